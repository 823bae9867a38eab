//! The user's own code while I/O is in flight: panics, buffers and wakers that do something when they
//! are dropped or woken, a task that aborts itself. Nothing of the runtime is borrowed meanwhile.

#[allow(dead_code)] // Each test file uses a part.
#[path = "common/net.rs"]
mod net;

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use corering::buf::{IoBuf, IoBufMut};
use corering::{spawn, yield_now};
use net::{drop_in_flight, ends, nothing_is_in_flight, poll_once, unix_peer};

#[corering::test]
async fn operations_are_dropped_while_a_panic_unwinds() {
    let peers = Rc::new(RefCell::new(Vec::new()));
    let held = peers.clone();
    let task = spawn(async move {
        let (mut reading, peer) = unix_peer().expect("descriptors are free");
        held.borrow_mut().push(peer);
        let (mut receiving, peer) = unix_peer().expect("descriptors are free");
        held.borrow_mut().push(peer);
        let mut read = reading.read(Vec::with_capacity(8));
        assert!(poll_once(&mut read).await.is_pending());
        assert!(poll_once(&mut receiving.recv()).await.is_pending());
        panic!("with two operations in flight");
    });
    assert!(task.await.expect_err("it panicked").is_panic());
    nothing_is_in_flight().await;
    assert!(peers.borrow().iter().all(ends));
}

/// A buffer that runs a hook when it is dropped.
struct Hooked<F: FnMut() + Unpin + 'static> {
    bytes: Vec<u8>,
    hook: F,
}

// SAFETY: the bytes are a vector's, which nothing else touches.
unsafe impl<F: FnMut() + Unpin + 'static> IoBuf for Hooked<F> {
    fn bytes_ptr(&self) -> *const u8 {
        self.bytes.as_ptr()
    }

    fn bytes_len(&self) -> usize {
        self.bytes.len()
    }
}

// SAFETY: as above.
unsafe impl<F: FnMut() + Unpin + 'static> IoBufMut for Hooked<F> {
    fn bytes_mut_ptr(&mut self) -> *mut u8 {
        self.bytes.as_mut_ptr()
    }

    fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    unsafe fn set_len(&mut self, len: usize) {
        // SAFETY: the caller's promise is the same.
        unsafe { self.bytes.set_len(len) };
    }
}

impl<F: FnMut() + Unpin + 'static> Drop for Hooked<F> {
    fn drop(&mut self) {
        (self.hook)();
    }
}

#[corering::test]
async fn buffer_whose_drop_uses_the_runtime_is_dropped_when_nothing_is_borrowed() -> io::Result<()>
{
    let dropped = Rc::new(Cell::new(0));
    for _ in 0..10 {
        let (mut other, other_peer) = unix_peer()?;
        drop_in_flight(other.recv()).await;
        let mut other = Some(other);
        let count = dropped.clone();
        let hook = move || {
            count.set(count.get() + 1);
            // Cancels a receive, starts another operation, spawns, and asks for the counts.
            drop(other.take());
            drop(spawn(corering::io::nop()));
            let mut nop = corering::io::nop();
            let _ = std::pin::Pin::new(&mut nop).poll(&mut Context::from_waker(Waker::noop()));
            let _ = corering::metrics();
        };
        let (mut stream, _peer) = unix_peer()?;
        drop_in_flight(stream.read(Hooked { bytes: Vec::with_capacity(8), hook })).await;
        drop(stream);
        nothing_is_in_flight().await;
        assert!(ends(&other_peer));
    }
    assert_eq!(dropped.get(), 10);
    Ok(())
}

#[corering::test]
async fn abandoned_buffer_whose_drop_panics_ends_nothing_else() -> io::Result<()> {
    let (mut stream, peer) = unix_peer()?;
    let hook = || panic!("in the drop of a buffer");
    let dropped = catch_unwind(AssertUnwindSafe(|| {
        let mut read = stream.read(Hooked { bytes: Vec::with_capacity(8), hook });
        let polled = std::pin::Pin::new(&mut read).poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
        drop(read);
        drop(stream);
    }));
    // Without a ring there is nothing to wait for, and the panic is the caller's own.
    drop(dropped);
    nothing_is_in_flight().await;
    assert!(ends(&peer));
    let (mut stream, mut peer) = unix_peer()?;
    peer.write_all(b"goes on")?;
    assert_eq!(&*stream.recv().await?, b"goes on");
    Ok(())
}

#[corering::test]
async fn waker_that_uses_the_runtime_is_woken_when_nothing_is_borrowed() -> io::Result<()> {
    /// Wakes the test, and in passing spawns and starts an operation.
    struct Spawning(Waker);
    impl std::task::Wake for Spawning {
        fn wake(self: std::sync::Arc<Self>) {
            drop(spawn(corering::io::nop()));
            let _ = corering::metrics();
            self.0.wake_by_ref();
        }
    }
    let (mut stream, mut peer) = unix_peer()?;
    for _ in 0..10 {
        let own = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
        let waker = Waker::from(std::sync::Arc::new(Spawning(own)));
        let mut recv = stream.recv();
        let first = std::pin::Pin::new(&mut recv).poll(&mut Context::from_waker(&waker));
        assert!(first.is_pending());
        peer.write_all(b"x")?;
        let received = poll_fn(|cx| {
            let _ = cx;
            std::pin::Pin::new(&mut recv).poll(&mut Context::from_waker(&waker))
        });
        assert_eq!(received.await?.len(), 1);
    }
    Ok(())
}

#[corering::test]
async fn task_that_aborts_itself_in_the_middle_of_io_ends() -> io::Result<()> {
    let (mut stream, peer) = unix_peer()?;
    let handle = Rc::new(RefCell::new(None::<corering::JoinHandle<()>>));
    let own = handle.clone();
    *handle.borrow_mut() = Some(spawn(async move {
        let mut read = stream.read(Vec::with_capacity(8));
        assert!(poll_once(&mut read).await.is_pending());
        own.borrow().as_ref().expect("it was stored").abort();
        pending().await
    }));
    yield_now().await;
    let task = handle.borrow_mut().take().expect("it was stored");
    assert!(task.await.expect_err("it aborted itself").is_cancelled());
    nothing_is_in_flight().await;
    assert!(ends(&peer));
    Ok(())
}
