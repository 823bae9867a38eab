//! Code of the user's that runs in the middle of things: wakers, buffers and drops that use the
//! runtime, and panics where nobody expects one.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};
use std::time::Duration;

use corering::buf::{IoBuf, IoBufMut};
use corering::{JoinHandle, ReceivePolicy};
use futures_util::future::join;

use crate::pairs::{pair, pattern, receive_all};
use crate::simulated::{defaults, drop_after, pause, run};

const POLICIES: [ReceivePolicy; 2] = [ReceivePolicy::Completion, ReceivePolicy::Notification];

thread_local! {
    static MEDDLED: Cell<u64> = const { Cell::new(0) };
    static MEDDLING: Cell<bool> = const { Cell::new(false) };
}

/// Uses everything of the runtime that code of the user's can reach from anywhere: reads the
/// counters, spawns, starts an operation and a timer and drops both in flight.
fn meddle() {
    // Not for the wakers and buffers that the meddling itself makes.
    if MEDDLING.replace(true) {
        return;
    }
    MEDDLED.set(MEDDLED.get() + 1);
    corering::metrics();
    corering::spawn(async {});
    let mut cx = Context::from_waker(Waker::noop());
    assert!(pin!(corering::io::nop()).poll(&mut cx).is_pending());
    assert!(pin!(pause(Duration::from_secs(1))).poll(&mut cx).is_pending());
    MEDDLING.set(false);
}

fn assert_meddled(at_least: u64) {
    let meddled = MEDDLED.replace(0);
    assert!(meddled >= at_least, "user code ran {meddled} times");
}

/// A waker that meddles whenever it is cloned, woken or dropped, and passes the wake on.
struct Meddler(RefCell<Waker>);

const VTABLE: RawWakerVTable = RawWakerVTable::new(
    |data| {
        meddle();
        // SAFETY: the data is that of `Rc::into_raw` below, and a clone has a count of its own.
        unsafe { Rc::increment_strong_count(data.cast::<Meddler>()) };
        RawWaker::new(data, &VTABLE)
    },
    |data| {
        meddle();
        // SAFETY: the waker that is woken gives its count away.
        let meddler = unsafe { Rc::from_raw(data.cast::<Meddler>()) };
        meddler.0.borrow().wake_by_ref();
    },
    |data| {
        meddle();
        // SAFETY: the waker lives on, and with it the value.
        let meddler = unsafe { &*data.cast::<Meddler>() };
        meddler.0.borrow().wake_by_ref();
    },
    |data| {
        meddle();
        // SAFETY: the waker that is dropped gives its count away.
        drop(unsafe { Rc::from_raw(data.cast::<Meddler>()) });
    },
);

/// Polls a future with such a waker.
async fn with_meddling_waker<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        // A new one each time, so that every poll replaces the waker that was known.
        let meddler = Rc::new(Meddler(RefCell::new(cx.waker().clone())));
        // SAFETY: the vtable keeps the counts as `Waker` demands; the waker stays on this thread,
        // since nothing in a simulated world uses another.
        let waker = unsafe { Waker::new(Rc::into_raw(meddler).cast(), &VTABLE) };
        future.as_mut().poll(&mut Context::from_waker(&waker))
    })
    .await
}

#[test]
fn waker_may_use_the_runtime_when_it_is_cloned_woken_and_dropped() {
    for seed in 0..60 {
        let builder = defaults()
            .receive_policy(POLICIES[seed as usize % 2])
            .buffer_group(2, 64)
            .ring_entries(2)
            .max_queued_buffers(1);
        run(seed, builder, async move {
            let (mut left, mut right) = pair().await;
            let sending = corering::spawn(with_meddling_waker(async move {
                left.write_all(pattern(2_000)).await.unwrap();
                left
            }));
            let mut received = Vec::new();
            while received.len() < 1_000 {
                let bytes = with_meddling_waker(right.recv()).await.unwrap();
                received.extend_from_slice(&bytes);
                let limit = Duration::from_micros(seed);
                let dropped = drop_after(limit, with_meddling_waker(right.recv())).await;
                received.extend(dropped.map_or(Vec::new(), |bytes| bytes.unwrap().to_vec()));
                let reading = with_meddling_waker(right.read(Vec::with_capacity(40)));
                let dropped = drop_after(limit, reading).await;
                received.extend(dropped.map_or(Vec::new(), |read| read.unwrap().1));
                with_meddling_waker(pause(Duration::from_micros(5))).await;
            }
            received.extend(receive_all(&mut right, 2_000 - received.len()).await);
            assert!(received == pattern(2_000), "other bytes came, or in another order");
            drop(sending.await.unwrap());
        });
        assert_meddled(20);
    }
}

#[test]
fn waker_of_a_stream_in_line_for_a_buffer_may_use_the_runtime() {
    for seed in 0..60 {
        let builder = defaults().receive_policy(ReceivePolicy::Completion).buffer_group(2, 64);
        run(seed, builder, async move {
            let mut tasks = Vec::new();
            // More streams than buffers: some are in line all the time.
            for _ in 0..6 {
                let (mut left, mut right) = pair().await;
                tasks.push(corering::spawn(async move {
                    left.write_all(pattern(1_000)).await.unwrap();
                    // Until the reader has gone.
                    assert!(left.recv().await.unwrap().is_empty());
                }));
                tasks.push(corering::spawn(async move {
                    let mut received = Vec::new();
                    while received.len() < 1_000 {
                        let bytes = with_meddling_waker(right.recv()).await.unwrap();
                        // Held for a while, so that the others find the group empty.
                        pause(Duration::from_micros(20)).await;
                        received.extend_from_slice(&bytes);
                    }
                    assert!(received == pattern(1_000));
                }));
            }
            // Receives that are cancelled, some of them with a buffer in hand.
            for _ in 0..30 {
                let (_first, mut left) = pair().await;
                let (_second, mut right) = pair().await;
                let both = join(left.recv(), right.recv());
                drop(drop_after(Duration::from_micros(20), both).await);
            }
            for task in tasks {
                task.await.unwrap();
            }
        });
        assert_meddled(5);
    }
}

/// A buffer that meddles whenever it is asked or dropped.
struct Meddling {
    bytes: Vec<u8>,
    /// Aborted by the drop.
    task: Option<JoinHandle<()>>,
    panics: bool,
}

impl Meddling {
    fn new(bytes: Vec<u8>) -> Self {
        Meddling { bytes, task: None, panics: false }
    }
}

// SAFETY: the bytes are a vector's, on the heap; meddling does not touch them.
unsafe impl IoBuf for Meddling {
    fn bytes_ptr(&self) -> *const u8 {
        meddle();
        self.bytes.as_ptr()
    }

    fn bytes_len(&self) -> usize {
        meddle();
        self.bytes.len()
    }
}

// SAFETY: as above.
unsafe impl IoBufMut for Meddling {
    fn bytes_mut_ptr(&mut self) -> *mut u8 {
        meddle();
        self.bytes.as_mut_ptr()
    }

    fn capacity(&self) -> usize {
        meddle();
        self.bytes.capacity()
    }

    unsafe fn set_len(&mut self, len: usize) {
        meddle();
        // SAFETY: the caller's promise is the same.
        unsafe { self.bytes.set_len(len) }
    }
}

impl Drop for Meddling {
    fn drop(&mut self) {
        meddle();
        if let Some(task) = self.task.take() {
            task.abort();
        }
        if self.panics {
            panic!("the buffer's drop panics, as the test wants it");
        }
    }
}

#[test]
fn buffer_may_use_the_runtime_when_it_is_asked_and_dropped() {
    for seed in 0..100 {
        let builder = defaults().receive_policy(POLICIES[seed as usize % 2]).ring_entries(2);
        run(seed, builder, async move {
            let (mut left, mut right) = pair().await;
            let sending = corering::spawn(async move {
                // The reader may be gone by then.
                drop(left.write_all(Meddling::new(pattern(1_000))).await);
                let limit = Duration::from_micros(seed);
                let large = Meddling::new(vec![0; 1 << 20]);
                drop(drop_after(limit, left.write_all(large)).await);
                left
            });
            let mut received = Vec::new();
            while received.len() < 1_000 {
                let limit = Duration::from_micros(seed);
                let room = (1_000 - received.len()).min(100);
                let buffer = Meddling::new(Vec::with_capacity(room));
                let read = match seed % 3 {
                    0 => Some(right.read(buffer).await),
                    _ => drop_after(limit, right.read(buffer)).await,
                };
                let Some(read) = read else { continue };
                received.extend_from_slice(&read.unwrap().1.bytes);
                if seed % 3 > 0 {
                    break;
                }
            }
            assert!(received == pattern(received.len()));
            drop(right);
            drop(sending.await.unwrap());
        });
        assert_meddled(3);
    }
}

#[test]
fn buffer_whose_drop_aborts_a_task_in_io_ends_both() {
    for seed in 0..60 {
        run(seed, defaults(), async move {
            let (mut left, right) = pair().await;
            let (mut victim, _peer) = pair().await;
            let waiting = corering::spawn(async move {
                drop(victim.read(Meddling::new(Vec::with_capacity(10))).await);
            });
            corering::yield_now().await;
            let mut buffer = Meddling::new(Vec::with_capacity(10));
            buffer.task = Some(waiting);
            // Dropped in flight, with its stream: the buffer goes with the final completion.
            let limit = Duration::from_micros(seed);
            assert!(drop_after(limit, left.read(buffer)).await.is_none());
            drop((left, right));
        });
    }
}

#[test]
fn output_that_panics_when_it_is_dropped_after_its_future_harms_nobody() {
    let hook = std::panic::take_hook();
    // What is expected need not be reported a hundred times.
    std::panic::set_hook(Box::new(move |panic| {
        let expected = panic.payload_as_str().is_some_and(|text| text.contains("the test wants"));
        if !expected {
            hook(panic);
        }
    }));
    for seed in 0..60 {
        let builder = defaults().receive_policy(POLICIES[seed as usize % 2]);
        run(seed, builder, async move {
            let (mut left, mut right) = pair().await;
            let writing = corering::spawn(async move {
                let mut buffer = Meddling::new(vec![0; 1 << 20]);
                buffer.panics = true;
                let mut write = Box::pin(left.write_all(buffer));
                poll_fn(|cx| match write.as_mut().poll(cx) {
                    Poll::Ready(_) => unreachable!("nobody reads"),
                    Poll::Pending => Poll::Ready(()),
                })
                .await;
                pause(Duration::from_micros(seed)).await;
            });
            writing.await.unwrap();
            // The shard lives on, and the stream ends.
            while !right.recv().await.unwrap().is_empty() {}
            pause(Duration::from_millis(1)).await;
        });
    }
}

#[test]
fn task_that_aborts_itself_in_io_is_cancelled_there() {
    for seed in 0..60 {
        run(seed, defaults(), async move {
            let (left, mut right) = pair().await;
            let own: Rc<RefCell<Option<JoinHandle<()>>>> = Rc::default();
            let handle = own.clone();
            let mut left = left;
            let task = corering::spawn(async move {
                let mut reading: Pin<Box<_>> = Box::pin(left.read(vec![0; 100]));
                poll_fn(|cx| {
                    let polled = reading.as_mut().poll(cx);
                    if let Some(own) = handle.borrow().as_ref() {
                        own.abort();
                    }
                    polled.map(drop)
                })
                .await;
                unreachable!("the abort came while it was in I/O");
            });
            *own.borrow_mut() = Some(task);
            corering::yield_now().await;
            assert!(right.recv().await.unwrap().is_empty(), "its stream was closed");
            let task = own.borrow_mut().take().unwrap();
            assert!(task.await.unwrap_err().is_cancelled());
        });
    }
}
