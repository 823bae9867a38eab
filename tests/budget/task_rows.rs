//! Joins of what has ended, timers that are over, and signals that have come.

use std::future::ready;
use std::pin::Pin;
use std::time::Duration;

use corering::process::Command;
use corering::sync::Semaphore;
use corering::task::{
    CancelToken, JoinHandle, JoinSet, TaskGroup, ThreadPool, cooperative, local_group,
};
use corering::{io, signal, spawn, spawn_blocking, time, yield_now};
use futures_util::{StreamExt, stream};

use crate::beside::Beside;

/// So many that a loop of joins without a budget goes far beyond its share.
const ENDED: usize = 1_000;

pub(crate) async fn rows(beside: &Beside) {
    tasks(beside).await;
    timers(beside).await;
    signals(beside).await;
    processes(beside).await;
    let (reader, writer) = std::io::pipe().expect("descriptors are left");
    let (reader, writer) = (io::Watched::new(reader.into()), io::Watched::new(writer.into()));
    beside
        .endless("io::writable", async move || {
            writer.writable().await.expect("the pipe is empty");
        })
        .await;
    // Its other end is gone.
    beside
        .endless("io::readable", async move || reader.readable().await.expect("it has hung up"))
        .await;
    beside.endless("io::nop", async || io::nop().await.expect("the runtime is there")).await;
}

async fn tasks(beside: &Beside) {
    let mut handles: Vec<JoinHandle<()>> = Vec::new();
    beside
        .endless("task::join_handle::JoinHandle", async move || {
            if handles.is_empty() {
                handles.extend((0..ENDED).map(|_| spawn(async {})));
                while !handles.iter().all(JoinHandle::is_finished) {
                    yield_now().await;
                }
            }
            handles.pop().expect("there are some").await.expect("it did not panic");
        })
        .await;
    let mut set = JoinSet::new();
    beside
        .endless("task::join_set::join_next", async move || {
            if set.is_empty() {
                let all = (0..ENDED).map(|_| set.spawn(async {})).collect::<Vec<_>>();
                while !all.iter().all(|task| task.is_finished()) {
                    yield_now().await;
                }
            }
            set.join_next().await.expect("there are some").expect("it did not panic");
        })
        .await;
    let mut set = JoinSet::new();
    beside
        .endless("task::join_set::JoinSet", async move || {
            if set.is_empty() {
                let all = (0..ENDED).map(|_| set.spawn(async {})).collect::<Vec<_>>();
                while !all.iter().all(|task| task.is_finished()) {
                    yield_now().await;
                }
            }
            set.next().await.expect("there are some").expect("it did not panic");
        })
        .await;
    groups(beside).await;
    let stop = CancelToken::new();
    stop.cancel();
    let stopped = stop.clone();
    beside.endless("task::cancel::cancelled", async move || stopped.cancelled().await).await;
    beside
        .endless("task::cancel::run", async move || {
            stop.run(ready(())).await.expect_err("it is cancelled");
        })
        .await;
    beside.endless("task::yield_now::yield_now", async || yield_now().await).await;
    beside
        .endless("runtime::blocking::BlockingHandle", async || {
            spawn_blocking(|| ()).await.expect("it does not panic");
        })
        .await;
    let pool = ThreadPool::new(1);
    beside
        .endless("runtime::thread_pool::PoolHandle", async move || {
            pool.run(|| ()).await.expect("it does not panic");
        })
        .await;
    beside
        .endless("runtime::thread_pool::shutdown", async || {
            assert_eq!(ThreadPool::new(1).shutdown(Duration::MAX).await, 0);
        })
        .await;
    beside.endless("task::cooperative::cooperative", async || cooperative(ready(())).await).await;
    let mut numbers = cooperative(stream::repeat(1));
    beside
        .endless("task::cooperative::Cooperative", async move || {
            numbers.next().await.expect("it does not end");
        })
        .await;
}

async fn processes(beside: &Beside) {
    for leaf in ["process::child::wait", "process::child::kill"] {
        let mut child = Command::new("true").spawn().await.expect("it is everywhere");
        child.wait().await.expect("it ends");
        beside
            .endless(leaf, async move || match leaf {
                "process::child::wait" => drop(child.wait().await.expect("it has ended")),
                _ => drop(child.kill().await.expect_err("it has ended")),
            })
            .await;
    }
}

async fn groups(beside: &Beside) {
    let mut ended = Vec::new();
    beside
        .endless("task::join_set::join_all", async move || {
            next_ended(&mut ended).await.join_all().await;
        })
        .await;
    let mut ended = Vec::new();
    beside
        .endless("task::join_set::shutdown", async move || {
            next_ended(&mut ended).await.shutdown().await;
        })
        .await;
    beside
        .endless("runtime::group::join", async || {
            TaskGroup::<()>::new().join().await.expect("there is no child");
        })
        .await;
    beside
        .endless("task::local_group::local_group", async || {
            local_group(async |_| Ok::<_, ()>(())).await.expect("it does not fail");
        })
        .await;
}

/// A set whose one task has ended.
async fn next_ended(ended: &mut Vec<JoinSet<()>>) -> JoinSet<()> {
    if ended.is_empty() {
        let mut tasks = Vec::new();
        ended.extend((0..ENDED).map(|_| {
            let mut set = JoinSet::new();
            tasks.push(set.spawn(async {}));
            set
        }));
        while !tasks.iter().all(|task| task.is_finished()) {
            yield_now().await;
        }
    }
    ended.pop().expect("there are some")
}

async fn timers(beside: &Beside) {
    let past = time::now();
    beside.endless("time::sleep::sleep", async || time::sleep(Duration::ZERO).await).await;
    beside.endless("time::sleep::sleep_until", async move || time::sleep_until(past).await).await;
    let wall = time::wall();
    beside
        .endless("time::wall::sleep_until_wall", async move || time::sleep_until_wall(wall).await)
        .await;
    let mut over = time::sleep(Duration::ZERO);
    beside.endless("time::sleep::Sleep", async move || Pin::new(&mut over).await).await;
    let mut beat = time::interval(Duration::from_nanos(1));
    beside.endless("time::interval::tick", async move || _ = beat.tick().await).await;
    let mut beat = time::interval(Duration::from_nanos(1));
    beside.endless("time::interval::Interval", async move || _ = beat.next().await).await;
    let (free, longer) = (Semaphore::new(1), Duration::from_secs(60));
    beside
        .endless("time::timeout::timeout", async move || {
            drop(time::timeout(longer, free.acquire()).await.expect("it is free"));
        })
        .await;
    let free = Semaphore::new(1);
    beside
        .endless("time::timeout::timeout_at", async move || {
            let limit = time::now() + longer;
            drop(time::timeout_at(limit, free.acquire()).await.expect("it is free"));
        })
        .await;
    let free = Semaphore::new(1);
    beside
        .endless("time::timeout::timeout_with", async move || {
            let limit = time::now() + longer;
            let acquired = time::timeout_with(limit, async |_| free.acquire().await.map(drop));
            acquired.await.expect("it is in time").expect("it is free");
        })
        .await;
    // One that has passed may be awaited again.
    let mut over = time::timeout(Duration::ZERO, std::future::pending::<()>());
    beside
        .endless("time::timeout::Timeout", async move || {
            let passed = Pin::new(&mut over).await;
            assert!(passed.is_err());
        })
        .await;
}

async fn signals(beside: &Beside) {
    for (leaf, signal, number) in [
        ("signal::ctrl_c", signal::ctrl_c(), libc::SIGINT),
        ("signal::terminate", signal::terminate(), libc::SIGTERM),
        ("signal::shutdown", signal::shutdown(), libc::SIGTERM),
    ] {
        // SAFETY: raise takes no pointer.
        assert_eq!(unsafe { libc::raise(number) }, 0);
        signal.clone().await.expect("the handler is installed");
        beside.endless(leaf, async move || signal.clone().await.expect("it has come")).await;
    }
    let listen = || {
        let signals = signal::signal(signal::SignalKind::user_defined1());
        signals.expect("it can be caught")
    };
    let raise = || {
        // SAFETY: raise takes no pointer.
        assert_eq!(unsafe { libc::raise(libc::SIGUSR1) }, 0);
    };
    let mut signals = listen();
    beside
        .endless("signal::stream::recv", async move || {
            raise();
            signals.recv().await.expect("the shard watches for signals");
        })
        .await;
    let mut signals = listen();
    beside
        .endless("signal::stream::Signals", async move || {
            raise();
            let next = signals.next().await.expect("it has no end");
            next.expect("the shard watches for signals");
        })
        .await;
}
