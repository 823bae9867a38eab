//! A runtime used where it cannot be: after a fork, after its end, inside another.

#[path = "common/child.rs"]
mod child;

use std::io::{self, ErrorKind, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::task::{Poll, Waker};
use std::time::Duration;
use std::{future, thread};

use child::Child;
use corering::net::{TcpListener, TcpStream};
use corering::test_support::drivers;
use corering::time::within;
use corering::{ReceivePolicy, Runtime};
use futures_util::FutureExt;

/// The text of a panic, or of the error inside `Ok`.
fn complaint(body: impl FnOnce() -> std::io::Result<()>) -> Option<String> {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(payload) => Some(
            payload
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| payload.downcast_ref::<&str>().map(ToString::to_string))
                .unwrap_or_default(),
        ),
    }
}

#[test]
fn a_runtime_says_in_a_forked_child_that_it_was_forked() {
    if !child::is_child() {
        return Child::of("a_runtime_says_in_a_forked_child_that_it_was_forked").passes();
    }
    for driver in drivers() {
        let runtime = Runtime::builder().driver(driver).build().expect("the driver is there");
        runtime.block_on(corering::io::nop()).expect("the runtime works");
        // SAFETY: the test runs alone in its process, which has no other thread that holds a lock.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            let told = complaint(|| runtime.block_on(TcpStream::connect("127.0.0.1:9")).map(drop));
            let named = told.is_some_and(|told| told.contains("fork"));
            // SAFETY: _exit takes no pointer and runs no destructor.
            unsafe { libc::_exit(if named { 0 } else { 1 }) };
        }
        let mut status = 0;
        // SAFETY: the pointer leads to an integer that outlives the call.
        assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
        assert_eq!(status, 0, "{driver}: the child used its parent's runtime");
        // The parent's goes on.
        runtime.block_on(corering::io::nop()).expect("the runtime works");
    }
}

#[test]
fn a_forked_child_that_drops_everything_leaves_its_parent_alone() {
    const TEST: &str = "a_forked_child_that_drops_everything_leaves_its_parent_alone";
    if !child::is_child() {
        return Child::of(TEST).passes();
    }
    for driver in drivers() {
        for policy in [ReceivePolicy::Completion, ReceivePolicy::Notification] {
            let builder = Runtime::builder().driver(driver).receive_policy(policy);
            let runtime = builder.build().expect("the driver is there");
            let (mut stream, mut peer) = runtime.block_on(waiting_stream()).expect("sockets work");
            // SAFETY: the test runs alone in its process, which has no other thread that holds a lock.
            let pid = unsafe { libc::fork() };
            if pid == 0 {
                drop(stream);
                drop(runtime);
                // SAFETY: _exit takes no pointer and runs no destructor.
                unsafe { libc::_exit(0) };
            }
            let mut status = 0;
            // SAFETY: the pointer leads to an integer that outlives the call.
            assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
            assert_eq!(status, 0, "{driver}, {policy:?}");
            runtime
                .block_on(async {
                    peer.write_all(b"for the parent")?;
                    let received = within(Duration::from_secs(20), stream.recv()).await?;
                    assert_eq!(&*received, b"for the parent");
                    stream.write_all("from it").await?;
                    stream.close().await
                })
                .expect("the parent's stream works");
            let mut answer = String::new();
            peer.read_to_string(&mut answer).expect("it was closed, not reset");
            assert_eq!(answer, "from it");
            let report = runtime.shut_down();
            assert_eq!(report.leaked_operations, 0, "{driver}, {policy:?}");
        }
    }
}

/// Ends a forked child, with what it found.
fn exit_child(is_good: bool) -> ! {
    // SAFETY: _exit takes no pointer and runs no destructor.
    unsafe { libc::_exit(if is_good { 0 } else { 1 }) }
}

/// In a forked child, whose thread would end with status 0: a panic is nothing good.
struct PanicIsBad;

impl Drop for PanicIsBad {
    fn drop(&mut self) {
        if thread::panicking() {
            exit_child(false);
        }
    }
}

/// Waits for a forked child, which is to have found everything good.
fn child_is_good(pid: i32) -> bool {
    let mut status = 0;
    // SAFETY: the pointer leads to an integer that outlives the call.
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    status == 0
}

#[test]
fn forked_child_starts_its_own_runtime_where_it_was_told_to() {
    const TEST: &str = "forked_child_starts_its_own_runtime_where_it_was_told_to";
    if !child::is_child() {
        return Child::of(TEST).passes();
    }
    for driver in drivers() {
        let runtime = Runtime::builder().driver(driver).build().expect("the driver is there");
        let is_good = runtime.block_on(async {
            let (mut stream, mut peer) = waiting_stream().await.expect("sockets work");
            // SAFETY: the test runs alone in its process, which has no other thread that holds a lock.
            let pid = unsafe { libc::fork() };
            if pid == 0 {
                let _is_bad = PanicIsBad;
                let error = corering::io::nop().await.expect_err("its runtime is its parent's");
                let own = Runtime::builder().driver(driver).build().expect("a driver is there");
                let works = own.block_on(async {
                    let (mut stream, mut peer) = waiting_stream().await?;
                    peer.write_all(b"in the child")?;
                    let received = within(Duration::from_secs(20), stream.recv()).await?;
                    assert_eq!(&*received, b"in the child");
                    corering::spawn(async { 7 }).await.map_err(io::Error::other)
                });
                drop(own);
                exit_child(error.to_string().contains("after fork") && works.is_ok_and(|n| n == 7));
            }
            let is_good = child_is_good(pid);
            peer.write_all(b"in the parent").expect("there is room");
            assert_eq!(&*stream.recv().await.expect("it was sent"), b"in the parent");
            is_good
        });
        assert!(is_good, "{driver}: the child said why");
    }
}

#[test]
fn forked_child_with_drain_and_tasks_ends_by_one_panic() {
    const TEST: &str = "forked_child_with_drain_and_tasks_ends_by_one_panic";
    if !child::is_child() {
        return Child::of(TEST).passes();
    }
    for driver in drivers() {
        let builder = Runtime::builder().driver(driver).drain_timeout(Duration::from_secs(60));
        let runtime = builder.build().expect("the driver is there");
        let parent = std::process::id();
        let told = complaint(|| {
            // Dropped by the panic, with a task.
            let runtime = runtime;
            runtime.block_on(async {
                let (mut stream, peer) = waiting_stream().await?;
                let waiting = corering::spawn(async move { stream.recv().await.map(drop) });
                let closure = corering::spawn_blocking(|| ());
                closure.await.map_err(io::Error::other)?;
                // SAFETY: as above; the thread of the pool holds no lock for long.
                let pid = unsafe { libc::fork() };
                if pid == 0 {
                    corering::yield_now().await;
                }
                assert!(child_is_good(pid), "{driver}: the child ended otherwise");
                waiting.abort();
                drop(peer);
                Ok(())
            })
        });
        if std::process::id() != parent {
            exit_child(told.is_some_and(|told| told.contains("fork")));
        }
        assert_eq!(told, None, "{driver}");
    }
}

/// A stream that waits to receive, and its peer.
async fn waiting_stream() -> io::Result<(TcpStream, std::net::TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let peer = std::net::TcpStream::connect(listener.local_addr()?)?;
    let stream = listener.accept().await?;
    // As one that came from elsewhere, so that its file may be shared.
    let mut stream = stream.detach().await?.into_stream();
    let received = within(Duration::from_millis(1), stream.recv()).await;
    assert_eq!(received.expect_err("nothing was sent").kind(), ErrorKind::TimedOut);
    Ok((stream, peer))
}

#[test]
fn a_runtime_that_is_dropped_inside_another_leaves_it_working() {
    for driver in drivers() {
        let runtime = Runtime::builder().driver(driver).build().expect("the driver is there");
        runtime.block_on(async {
            let (mut stream, mut peer) = waiting_stream().await.expect("sockets work");
            drop(Runtime::builder().driver(driver).build().expect("another is possible"));
            let other = corering::spawn_blocking(move || {
                let runtime = Runtime::builder().driver(driver).build()?;
                runtime.block_on(async { waiting_stream().await.map(drop) })
            });
            other
                .await
                .expect("it does not panic")
                .expect("a thread of its own has its own runtime");
            peer.write_all(b"still here").expect("there is room");
            assert_eq!(&*stream.recv().await.expect("it was sent"), b"still here");
        });
    }
}

#[test]
fn a_runtime_inside_a_runtime_is_refused_and_the_outer_goes_on() {
    for driver in drivers() {
        let runtime = Runtime::builder().driver(driver).build().expect("the driver is there");
        let told = runtime.block_on(async {
            complaint(|| {
                corering::block_on(async {});
                Ok(())
            })
        });
        let told = told.expect("it is refused");
        assert!(told.contains("runtime"), "{driver}: {told}");
        assert_eq!(runtime.block_on(async { 3 }), 3);
    }
}

#[test]
fn a_handle_whose_runtime_ended_says_so_or_works_on_another() {
    for driver in drivers() {
        let runtime = Runtime::builder().driver(driver).build().expect("the driver is there");
        let (listener, mut stream, mut peer) = runtime
            .block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await?;
                let peer = std::net::TcpStream::connect(listener.local_addr()?)?;
                let mut stream = listener.accept().await?;
                // With a receive in flight, which ends with its runtime.
                let received = within(Duration::from_millis(1), stream.recv()).await;
                assert_eq!(received.expect_err("nothing was sent").kind(), ErrorKind::TimedOut);
                io::Result::Ok((listener, stream, peer))
            })
            .expect("sockets work");
        drop(runtime);
        // Without a runtime there is nobody to wait for.
        let told = match stream.recv().now_or_never().expect("it does not wait") {
            Ok(_) => panic!("nothing was sent"),
            Err(error) => error.to_string(),
        };
        assert!(told.contains("runtime"), "{driver}: {told}");
        let other = Runtime::builder().driver(driver).build().expect("the driver is there");
        other
            .block_on(async {
                peer.write_all(b"after")?;
                assert_eq!(&*stream.recv().await?, b"after");
                stream.write_all("the end").await?;
                let next = std::net::TcpStream::connect(listener.local_addr()?)?;
                assert_eq!(listener.accept().await?.peer_addr()?, next.local_addr()?);
                io::Result::Ok(())
            })
            .expect("sockets outlive a runtime");
        drop(other);
        // Without any runtime the handles close.
        drop((listener, stream));
        let mut rest = String::new();
        peer.read_to_string(&mut rest).expect("it was closed, not reset");
        assert_eq!(rest, "the end");
    }
}

#[test]
fn a_wake_from_a_thread_after_the_runtime_ended_does_nothing() {
    for driver in drivers() {
        let (send, wakers) = mpsc::channel::<Waker>();
        let runtime = Runtime::builder().driver(driver).build().expect("the driver is there");
        let for_task = send.clone();
        runtime.block_on(async move {
            let waiting = future::poll_fn(move |context| {
                for_task.send(context.waker().clone()).expect("the test listens");
                Poll::<()>::Pending
            });
            drop(corering::spawn(waiting));
            let mut polled = false;
            future::poll_fn(|context| {
                send.send(context.waker().clone()).expect("the test listens");
                if std::mem::replace(&mut polled, true) {
                    return Poll::Ready(());
                }
                context.waker().wake_by_ref();
                Poll::Pending
            })
            .await;
        });
        drop(runtime);
        let wakers: Vec<_> = wakers.iter().collect();
        assert!(wakers.len() >= 2, "a waker of the task and one of block_on");
        let thread = thread::spawn(move || {
            for waker in wakers {
                waker.wake_by_ref();
                let copy = waker.clone();
                drop(waker);
                copy.wake();
            }
        });
        thread.join().expect("no wake panics");
    }
}
