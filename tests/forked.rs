//! What a forked child may do with its parent's runtime while a task of it runs: nothing.

#[path = "common/child.rs"]
mod child;
#[allow(dead_code)] // Each test file uses a part.
#[path = "common/net.rs"]
mod net;

use std::future::Future;
use std::io::{self, Read, Write};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use child::Child;
use corering::net::UdpSocket;
use corering::test_support::drivers;
use corering::time::within;
use corering::{ReceivePolicy, Runtime, yield_now};
use net::{POLICIES, TOO_MUCH, poll_once, tcp_peer};

/// Polls a future once, without a task.
fn poll<F: Future>(future: F) -> Poll<F::Output> {
    std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Forks, and runs `body` in the child. Whether it said yes, without a panic.
fn child_says(body: impl FnOnce() -> bool) -> bool {
    // SAFETY: the test runs alone in its process, which has no other thread that holds a lock.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let good = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).unwrap_or(false);
        // SAFETY: _exit takes no pointer and runs no destructor.
        unsafe { libc::_exit(if good { 0 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: the pointer leads to an integer that outlives the call.
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    status == 0
}

fn names_fork<T>(polled: Poll<io::Result<T>>) -> bool {
    matches!(polled, Poll::Ready(Err(error)) if error.to_string().contains("fork"))
}

/// Runs a body on each driver with each policy, in a process of its own.
fn alone<F: Future<Output = io::Result<()>>>(test: &str, body: impl Fn() -> F) {
    if !child::is_child() {
        return Child::of(test).passes();
    }
    for driver in drivers() {
        for policy in POLICIES {
            let builder = Runtime::builder().driver(driver).receive_policy(policy);
            let runtime = builder.build().expect("the driver is there");
            runtime
                .block_on(body())
                .unwrap_or_else(|error| panic!("{driver}, {policy:?}: {error}"));
            assert_eq!(runtime.shut_down().leaked_operations, 0, "{driver}, {policy:?}");
        }
    }
}

#[test]
fn forked_child_sends_nothing_by_the_runtime_of_its_parent() {
    alone("forked_child_sends_nothing_by_the_runtime_of_its_parent", || async {
        let (mut stream, mut peer) = tcp_peer().await?;
        let refused = child_says(|| {
            let polled = poll(stream.write_all(&b"from the child"[..]));
            names_fork(polled.map(|written| written.map_err(|failed| failed.error)))
        });
        stream.write_all(&b"from the parent"[..]).await?;
        stream.close().await?;
        let mut sent = String::new();
        peer.read_to_string(&mut sent)?;
        assert_eq!(sent, "from the parent");
        assert!(refused, "the child was not told that the runtime is its parent's");
        Ok(())
    });
}

#[test]
fn forked_child_receives_nothing_by_the_runtime_of_its_parent() {
    alone("forked_child_receives_nothing_by_the_runtime_of_its_parent", || async {
        // It asks before the parent's stream has received, and after.
        for received_before in [false, true] {
            let (mut stream, mut peer) = tcp_peer().await?;
            if received_before {
                peer.write_all(b"before")?;
                assert_eq!(&*stream.recv().await?, b"before");
            }
            let refused = child_says(|| {
                let recv = names_fork(poll(stream.recv()));
                let read = poll(stream.read(Vec::with_capacity(100)));
                recv && names_fork(read.map(|read| read.map_err(|failed| failed.error)))
            });
            peer.write_all(b"bytes")?;
            assert_eq!(&*within(Duration::from_secs(20), stream.recv()).await?, b"bytes");
            assert!(refused, "the child was not told that the runtime is its parent's");
        }
        Ok(())
    });
}

#[test]
fn forked_child_registers_no_buffers_with_its_parents_ring() {
    const TEST: &str = "forked_child_registers_no_buffers_with_its_parents_ring";
    if !child::is_child() {
        return Child::of(TEST).passes();
    }
    for driver in drivers() {
        let builder = Runtime::builder().driver(driver).receive_policy(ReceivePolicy::Completion);
        let runtime = builder.build().expect("the driver is there");
        runtime
            .block_on(async {
                let (mut stream, mut peer) = tcp_peer().await?;
                assert!(child_says(|| names_fork(poll(stream.recv()))));
                peer.write_all(b"bytes")?;
                let received = within(Duration::from_secs(20), stream.recv()).await?;
                assert_eq!(&*received, b"bytes");
                // By completion where the kernel can: a buffer of the group has it.
                let by_group = u64::from(driver == corering::Driver::Uring);
                assert_eq!(corering::metrics().group_buffers_out, by_group);
                io::Result::Ok(())
            })
            .expect("sockets work");
    }
}

#[test]
fn forked_child_watches_no_signal_on_its_parents_ring() {
    alone("forked_child_watches_no_signal_on_its_parents_ring", || async {
        let (mut stream, mut peer) = tcp_peer().await?;
        let refused = child_says(|| names_fork(poll(corering::signal::terminate())));
        // An entry of the child's in the parent's queue would push one of these out.
        for _ in 0..3 {
            peer.write_all(b"bytes")?;
            assert_eq!(&*within(Duration::from_secs(20), stream.recv()).await?, b"bytes");
            within(Duration::from_secs(20), corering::io::nop()).await?;
        }
        assert!(refused, "the child was not told that the runtime is its parent's");
        Ok(())
    });
}

#[test]
fn forked_child_that_drops_all_waits_leaves_them_to_its_parent() {
    alone("forked_child_that_drops_all_waits_leaves_them_to_its_parent", || async {
        let (mut reading, mut sender) = tcp_peer().await?;
        let (mut writing, mut reader) = tcp_peer().await?;
        let (listener, address) = net::listener().await?;
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        let peer = std::net::UdpSocket::bind("127.0.0.1:0")?;
        peer.connect(socket.local_addr()?)?;
        let mut read = Box::pin(reading.read(Vec::with_capacity(16 * 1024)));
        let mut write = Box::pin(writing.write_all(vec![7; TOO_MUCH]));
        let mut accept = Box::pin(listener.accept());
        let mut receive = Box::pin(socket.recv(Vec::with_capacity(16)));
        let waits = [
            poll_once(&mut read).await.is_pending(),
            poll_once(&mut write).await.is_pending(),
            poll_once(&mut accept).await.is_pending(),
            poll_once(&mut receive).await.is_pending(),
        ];
        assert_eq!(waits, [true; 4]);
        yield_now().await;
        let ours = (&mut read, &mut write, &mut accept, &mut receive);
        assert!(child_says(|| {
            // As a child that leaves its parent's futures by their drop. What they borrow stays.
            let (read, write, accept, receive) = ours;
            // SAFETY: the child ends without a use of them, and without their drop.
            unsafe {
                std::ptr::drop_in_place(read);
                std::ptr::drop_in_place(write);
                std::ptr::drop_in_place(accept);
                std::ptr::drop_in_place(receive);
            }
            true
        }));
        sender.write_all(b"bytes")?;
        assert_eq!(read.await?.1, b"bytes");
        let _client = std::net::TcpStream::connect(address)?;
        accept.await?;
        peer.send(b"datagram")?;
        assert_eq!(receive.await?.1, b"datagram");
        let reader = std::thread::spawn(move || {
            let mut all = vec![0; TOO_MUCH];
            reader.read_exact(&mut all).map(|()| all)
        });
        write.await?;
        assert!(reader.join().expect("it does not panic")?.iter().all(|byte| *byte == 7));
        Ok(())
    });
}
