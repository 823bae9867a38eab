//! A runtime used where it cannot be: after a fork, after its end, inside another.

#[path = "common/child.rs"]
mod child;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::task::{Poll, Waker};
use std::time::Duration;
use std::{future, thread};

use child::Child;
use corering::{Driver, Runtime, net::UdpSocket};

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
        runtime.block_on(async { corering::time::sleep(Duration::from_millis(1)).await });
        // SAFETY: the test runs alone in its process, which has no other thread that holds a lock.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            let told = complaint(|| {
                runtime.block_on(async { UdpSocket::bind("127.0.0.1:0").await.map(drop) })
            });
            let named = told.is_some_and(|told| told.contains("fork"));
            // SAFETY: _exit takes no pointer and runs no destructor.
            unsafe { libc::_exit(if named { 0 } else { 1 }) };
        }
        let mut status = 0;
        // SAFETY: the pointer leads to an integer that outlives the call.
        assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
        assert_eq!(status, 0, "{driver}: the child used its parent's runtime");
        // The parent's goes on.
        runtime.block_on(async { corering::time::sleep(Duration::from_millis(1)).await });
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
fn a_handle_used_after_its_runtime_ended_is_an_error_that_says_so() {
    for driver in drivers() {
        let runtime = Runtime::builder().driver(driver).build().expect("the driver is there");
        let socket = runtime
            .block_on(async { UdpSocket::bind("127.0.0.1:0").await })
            .expect("a port is free");
        drop(runtime);
        let other = Runtime::builder().driver(driver).build().expect("the driver is there");
        let told = complaint(|| {
            // A different runtime on the same thread must not take an ended one's handle for its own.
            other.block_on(async { socket.send_to(vec![1], ([127, 0, 0, 1], 9)).await })?;
            Ok(())
        });
        if let Some(told) = told {
            assert!(told.contains("runtime"), "{driver}: {told}");
        }
        drop(other);
        // Without any runtime the handle closes.
        drop(socket);
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
                waker.clone().wake();
                drop(waker);
            }
        });
        thread.join().expect("no wake panics");
    }
}

/// Those that `CORERING_TEST_DRIVERS` names.
fn drivers() -> Vec<Driver> {
    let named = std::env::var("CORERING_TEST_DRIVERS").unwrap_or_else(|_| "uring,epoll".into());
    named.split(',').map(|name| name.trim().parse().expect("a driver's name")).collect()
}
