//! Cancel tokens on their shard, and from elsewhere.

#[allow(dead_code)] // Each test file uses a part.
#[path = "common/net.rs"]
mod net;

use std::cell::Cell;
use std::future::pending;
use std::io::{self, Write};
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;

use corering::sync::Notify;
use corering::task::{CancelHandle, CancelToken, Cancelled, JoinSet, spawn_blocking};
use corering::time::{Duration, sleep, timeout};
use corering::{Runtime, Shard, spawn, test_support, yield_now};
use net::{POLICIES, poll_once, unix_peer, until};

/// So many shards on each driver under test, on however few processors.
fn on_shards<F: Future<Output = ()>>(count: usize, main: impl Fn(Shard) -> F + Send + Sync) {
    for driver in test_support::drivers() {
        let builder = Runtime::builder().driver(driver).shards(count).oversubscribe(true);
        builder.run(&main).expect("shards can be started");
    }
}

#[corering::test]
async fn cancel_ends_all_tasks_that_run_under_the_token() {
    let stop = CancelToken::new();
    let mut tasks = JoinSet::new();
    for number in 0..100 {
        let token = if number % 2 == 0 { stop.clone() } else { stop.child() };
        tasks.spawn(async move { token.run(sleep(Duration::MAX)).await });
    }
    yield_now().await;
    stop.cancel();
    for _ in 0..100 {
        let ended = tasks.join_next().await.expect("they are in the set");
        assert_eq!(ended.expect("no panic"), Err(Cancelled));
    }
}

#[test]
fn receive_that_a_token_ends_loses_no_byte() {
    for policy in POLICIES {
        let name = format!("receive_that_a_token_ends_loses_no_byte, {policy:?}");
        let configure = |builder: corering::Builder| builder.receive_policy(policy);
        test_support::run_configured(&name, None, configure, || async {
            let (mut stream, mut peer) = unix_peer()?;
            let mut received = Vec::new();
            for number in 0..100_u8 {
                let stop = CancelToken::new();
                let mut run = Box::pin(stop.run(stream.recv()));
                assert!(poll_once(&mut run).await.is_pending());
                // The kernel may have the bytes already when the receive is dropped.
                if number % 2 == 0 {
                    peer.write_all(&[number])?;
                }
                stop.cancel();
                if let Ok(bytes) = run.await {
                    received.extend_from_slice(&bytes?);
                }
                if number % 2 == 1 {
                    peer.write_all(&[number])?;
                }
                while received.len() <= number.into() {
                    received.extend_from_slice(&stream.recv().await?);
                }
            }
            assert!(received.iter().copied().eq(0..100));
            Ok::<(), io::Error>(())
        });
    }
}

#[corering::test]
async fn future_is_dropped_when_its_token_is_cancelled() {
    let (stop, kept) = (CancelToken::new(), Rc::new(()));
    let task = spawn(stop.run({
        let kept = kept.clone();
        async move {
            pending::<()>().await;
            drop(kept);
        }
    }));
    yield_now().await;
    assert_eq!(Rc::strong_count(&kept), 2);
    stop.cancel();
    assert_eq!(task.await.expect("no panic"), Err(Cancelled));
    assert_eq!(Rc::strong_count(&kept), 1);
}

#[corering::test]
async fn guard_cancels_when_its_task_is_aborted_or_panics() {
    for panics in [false, true] {
        let stop = CancelToken::new();
        let guard = stop.child().drop_guard();
        let child = stop.child();
        let (owner, go_on) = (child.clone(), Rc::new(Notify::new()));
        let notified = go_on.clone();
        let task = spawn(async move {
            let _guards = (guard, owner.drop_guard());
            notified.notified().await;
            panic!("on purpose");
        });
        yield_now().await;
        assert!(!child.is_cancelled());
        if panics {
            go_on.notify_one();
        } else {
            task.abort();
        }
        child.cancelled().await;
        assert_eq!(task.await.expect_err("it did not end by itself").is_panic(), panics);
        assert!(!stop.is_cancelled());
    }
}

#[corering::test]
async fn forgotten_wait_keeps_nothing_from_the_others() {
    let stop = CancelToken::new();
    let mut forgotten = stop.cancelled();
    assert!(poll_once(&mut forgotten).await.is_pending());
    std::mem::forget(forgotten);
    drop(stop.cancelled());
    let task = spawn(stop.run(pending::<()>()));
    yield_now().await;
    stop.cancel();
    assert_eq!(task.await.expect("no panic"), Err(Cancelled));
}

#[corering::test]
async fn handle_on_its_own_shard_cancels_at_once() {
    let stop = CancelToken::new();
    let (child, handle) = (stop.child(), stop.handle());
    assert!(!handle.is_cancelled());
    handle.cancel();
    assert!(stop.is_cancelled() && child.is_cancelled() && child.handle().is_cancelled());
}

#[corering::test]
async fn handle_says_so_when_its_token_is_cancelled() {
    let stop = CancelToken::new();
    let (handle, child) = (stop.handle(), stop.child());
    let of_child = child.handle();
    drop(child);
    // Its token is gone, and is not cancelled with its parent.
    stop.cancel();
    assert!(handle.is_cancelled() && !of_child.is_cancelled());
    of_child.cancel();
    assert!(!of_child.is_cancelled());
}

#[corering::test]
async fn thread_cancels_a_token_of_a_shard_that_sleeps() {
    for asleep in [false, true] {
        let stop = CancelToken::new();
        let (handle, child) = (stop.handle(), stop.child());
        let (begin, may_begin) = mpsc::channel();
        let thread = thread::spawn(move || {
            may_begin.recv().expect("the shard says so");
            let another = handle.clone();
            handle.cancel();
            another.cancel();
            assert!(handle.is_cancelled() && another.is_cancelled());
        });
        if asleep {
            // A task that runs right before the shard goes to sleep, or is about to.
            spawn(async move { begin.send(()).expect("the thread is there") });
        } else {
            begin.send(()).expect("the thread is there");
            until(|| stop.is_cancelled()).await;
        }
        child.cancelled().await;
        assert!(stop.is_cancelled());
        thread.join().expect("it does not panic");
    }
}

#[test]
fn token_is_cancelled_from_another_shard() {
    on_shards(2, |shard| async move {
        let (stop, other) = (CancelToken::new(), 1 - shard.id());
        let mut tasks = JoinSet::new();
        for _ in 0..10 {
            tasks.spawn(stop.run(sleep(Duration::MAX)));
        }
        let handle = stop.handle();
        shard.submit_to(other, move || async move { handle.cancel() }).await.expect("it is there");
        while let Some(ended) = tasks.join_next().await {
            assert_eq!(ended.expect("no panic"), Err(Cancelled));
        }
        assert!(stop.is_cancelled());
    });
}

#[test]
fn many_threads_cancel_many_tokens_while_they_go() {
    on_shards(1, |_| async {
        let (sender, receiver) = mpsc::channel::<CancelHandle>();
        let receiver = std::sync::Arc::new(std::sync::Mutex::new(receiver));
        let threads = [(); 3].map(|()| {
            let receiver = receiver.clone();
            thread::spawn(move || {
                loop {
                    let next = receiver.lock().expect("no panic").recv();
                    let Ok(handle) = next else { return };
                    handle.cancel();
                }
            })
        });
        let all = CancelToken::new();
        for number in 0..2_000 {
            let token = all.child();
            sender.send(token.handle()).expect("the threads are there");
            match number % 3 {
                // It is gone when its message comes, or before it is sent.
                0 => drop(token),
                1 => token.cancelled().await,
                _ => _ = poll_once(&mut token.cancelled()).await,
            }
        }
        drop(sender);
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
        assert!(!all.is_cancelled());
    });
}

#[corering::test]
async fn closure_on_another_thread_sees_that_it_should_end() {
    let stop = CancelToken::new();
    let handle = stop.handle();
    let (begun, has_begun) = mpsc::channel();
    let closure = spawn_blocking(move || {
        begun.send(()).expect("the shard waits");
        while !handle.is_cancelled() {
            thread::yield_now();
        }
    });
    until(|| has_begun.try_recv().is_ok()).await;
    stop.cancel();
    closure.await.expect("it ends");
}

#[test]
fn handle_of_an_ended_runtime_does_nothing() {
    for driver in test_support::drivers() {
        let runtime = || Runtime::builder().driver(driver).build().expect("it was asked for");
        let first = runtime();
        let (stop, handle) = first.block_on(async {
            let stop = CancelToken::new();
            let handle = stop.handle();
            (stop, handle)
        });
        drop(first);
        let cancels = |handle: CancelHandle| {
            thread::spawn(move || handle.cancel()).join().expect("it does not panic");
        };
        cancels(handle.clone());
        assert!(!stop.is_cancelled());
        // The token lives on, and is reached through the runtime that it is used in.
        let second = runtime();
        second.block_on(async {
            cancels(handle);
            yield_now().await;
            assert!(!stop.is_cancelled());
            cancels(stop.handle());
            stop.cancelled().await;
        });
    }
}

#[test]
fn token_cancelled_between_two_block_ons_is_so_in_the_next() {
    for driver in test_support::drivers() {
        let runtime = Runtime::builder().driver(driver).build().expect("it was asked for");
        let (task, handle) = runtime.block_on(async {
            let stop = CancelToken::new();
            let handle = stop.handle();
            (spawn(stop.run(pending::<()>())), handle)
        });
        thread::spawn(move || handle.cancel()).join().expect("it does not panic");
        assert_eq!(runtime.block_on(task).expect("no panic"), Err(Cancelled));
    }
}

#[corering::test]
async fn task_that_cancels_its_own_token_runs_to_its_next_wait() {
    let stop = CancelToken::new();
    let reached = Rc::new(Cell::new(0));
    let task = spawn(stop.run({
        let (stop, reached) = (stop.clone(), reached.clone());
        async move {
            stop.cancel();
            reached.set(1);
            yield_now().await;
            reached.set(2);
        }
    }));
    assert_eq!(task.await.expect("no panic"), Err(Cancelled));
    assert_eq!(reached.get(), 1);
}

#[corering::test]
async fn cancelled_converts_into_an_io_error() {
    async fn limited(stop: &CancelToken) -> io::Result<()> {
        stop.run(async { Ok(()) }).await?
    }
    let stop = CancelToken::new();
    limited(&stop).await.expect("it is not cancelled");
    stop.cancel();
    let error = limited(&stop).await.expect_err("it is cancelled");
    assert!(error.get_ref().is_some_and(|error| error.is::<Cancelled>()), "{error}");
    // A drop like that of a limit in time.
    let run = timeout(Duration::from_secs(60), stop.run(pending::<()>()));
    assert_eq!(run.await.expect("it has ended"), Err(Cancelled));
}
