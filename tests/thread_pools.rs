//! Pools of threads that belong to the program: what is taken out of the queue, what goes on, and how they end.

#[path = "common/child.rs"]
mod child;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Barrier};
use std::thread::{self, ThreadId};
use std::time::Duration;

use child::Child;
use corering::sim::Simulation;
use corering::task::{PoolHandle, ThreadPool};
use corering::test_support::drivers;
use corering::time::timeout;
use corering::{Runtime, yield_now};
use futures_util::future::{FusedFuture, join_all};
use futures_util::poll;

/// Keeps a thread of a pool until the sender is dropped.
async fn keep_thread(pool: &ThreadPool) -> (PoolHandle<()>, Sender<()>) {
    let (release, released) = mpsc::channel::<()>();
    let begun = Arc::new(AtomicBool::new(false));
    let begins = begun.clone();
    let handle = pool.run(move || {
        begins.store(true, Ordering::Release);
        assert!(released.recv().is_err(), "nothing is ever sent");
    });
    while !begun.load(Ordering::Acquire) {
        yield_now().await;
    }
    (handle, release)
}

/// Says on which thread it was dropped.
struct Dropped(Sender<ThreadId>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.send(thread::current().id());
    }
}

fn captured() -> (Dropped, Receiver<ThreadId>) {
    let (sender, receiver) = mpsc::channel();
    (Dropped(sender), receiver)
}

#[corering::test]
async fn closures_run_at_once_up_to_the_limit() -> io::Result<()> {
    let pool = ThreadPool::builder().threads(3).name("three").build();
    // None of three would go on if there were two threads.
    let barrier = Arc::new(Barrier::new(3));
    let handles = (0..9).map(|_| {
        let barrier = barrier.clone();
        pool.run(move || {
            barrier.wait();
            (thread::current().id(), thread::current().name().map(str::to_owned))
        })
    });
    let ran: BTreeSet<_> = join_all(handles)
        .await
        .into_iter()
        .map(|ran| ran.expect("it does not panic"))
        .map(|(thread, name)| (format!("{thread:?}"), name))
        .collect();
    assert_eq!((ran.len(), pool.threads(), pool.queued()), (3, 3, 0));
    assert!(ran.iter().all(|(_, name)| name.as_deref() == Some("three")), "{ran:?}");
    Ok(())
}

#[corering::test]
async fn abort_takes_closure_out_of_the_queue() -> io::Result<()> {
    let pool = ThreadPool::new(1);
    let (first, release) = keep_thread(&pool).await;
    let (captured, dropped) = captured();
    let mut second = pool.run(move || drop(captured));
    assert!(poll!(&mut second).is_pending());
    assert_eq!((pool.queued(), pool.running()), (1, 1));
    assert!(second.abort());
    assert_eq!(dropped.try_recv(), Ok(thread::current().id()));
    assert_eq!(pool.queued(), 0);
    assert!(!second.abort(), "it is not there any more");
    let error = (&mut second).await.expect_err("it never ran");
    assert!(error.is_cancelled() && second.is_terminated());
    drop(release);
    first.await?;
    Ok(())
}

#[corering::test]
async fn dropped_handle_takes_closure_out_of_the_queue() -> io::Result<()> {
    let pool = ThreadPool::new(1);
    let (first, release) = keep_thread(&pool).await;
    let (captured, dropped) = captured();
    drop(pool.run(move || drop(captured)));
    assert_eq!(dropped.try_recv(), Ok(thread::current().id()));
    // A limit of time is a drop.
    for _ in 0..1_000 {
        assert!(timeout(Duration::ZERO, pool.run(|| ())).await.is_err());
    }
    assert_eq!(pool.queued(), 0);
    let third = pool.run(|| "runs");
    drop(release);
    first.await?;
    assert_eq!(third.await?, "runs");
    Ok(())
}

#[corering::test]
async fn closure_that_has_begun_goes_on() -> io::Result<()> {
    let pool = ThreadPool::new(1);
    let (first, release) = keep_thread(&pool).await;
    assert!(!first.abort());
    drop(release);
    first.await?;
    let (second, release) = keep_thread(&pool).await;
    drop(second);
    assert_eq!(pool.running(), 1);
    drop(release);
    assert_eq!(pool.run(|| "after it").await?, "after it");
    Ok(())
}

#[corering::test]
async fn panic_is_an_error_and_thread_goes_on() -> io::Result<()> {
    let pool = ThreadPool::new(1);
    let error = pool.run(|| std::panic::resume_unwind(Box::new("oh"))).await.expect_err("it fails");
    assert_eq!(error.into_panic().downcast_ref(), Some(&"oh"));
    assert_eq!(pool.run(|| 1).await?, 1);
    assert_eq!(pool.threads(), 1);
    Ok(())
}

#[corering::test]
async fn panic_of_dropped_closure_does_not_reach_who_aborts() -> io::Result<()> {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            std::panic::resume_unwind(Box::new("dropped"));
        }
    }
    let pool = ThreadPool::new(1);
    let (first, release) = keep_thread(&pool).await;
    let captured = Panics;
    let second = pool.run(move || std::mem::forget(captured));
    assert!(second.abort());
    assert!(second.await.expect_err("it never ran").is_cancelled());
    drop(release);
    first.await?;
    Ok(())
}

#[corering::test]
async fn shutdown_runs_what_is_queued() -> io::Result<()> {
    let pool = ThreadPool::new(1);
    let (first, release) = keep_thread(&pool).await;
    let queued: Vec<_> = (0..3).map(|number| pool.run(move || number)).collect();
    let ending = pool.clone();
    let mut shutdown = Box::pin(ending.shutdown(Duration::MAX));
    assert!(poll!(&mut shutdown).is_pending());
    assert!(pool.run(|| ()).await.expect_err("it takes no more").is_cancelled());
    drop(release);
    assert_eq!(shutdown.await, 0);
    assert_eq!(pool.threads(), 0);
    first.await?;
    for (number, result) in queued.into_iter().enumerate() {
        assert_eq!(result.await?, number);
    }
    Ok(())
}

#[corering::test]
async fn shutdown_drops_what_is_queued_at_its_limit() -> io::Result<()> {
    let pool = ThreadPool::new(1);
    let (first, release) = keep_thread(&pool).await;
    let (captured, dropped) = captured();
    let second = pool.run(move || drop(captured));
    assert_eq!(pool.shutdown(Duration::ZERO).await, 1);
    assert!(dropped.try_recv().is_ok());
    assert!(second.await.expect_err("it never ran").is_cancelled());
    drop(release);
    first.await?;
    assert_eq!(pool.shutdown(Duration::MAX).await, 0);
    Ok(())
}

#[corering::test]
async fn handle_keeps_its_pool() -> io::Result<()> {
    let pool = ThreadPool::new(1);
    let (first, release) = keep_thread(&pool).await;
    let second = pool.run(|| "the pool is dropped");
    drop(pool);
    drop(release);
    first.await?;
    assert_eq!(second.await?, "the pool is dropped");
    Ok(())
}

#[corering::test]
async fn pool_without_a_thread_is_cancelled() -> io::Result<()> {
    // No address space is large enough for such a stack.
    let pool = ThreadPool::builder().threads(1).stack_size(1 << 60).build();
    assert!(pool.run(|| ()).await.expect_err("no thread can start").is_cancelled());
    assert_eq!((pool.threads(), pool.queued()), (0, 0));
    Ok(())
}

#[test]
fn shards_and_threads_share_a_pool() {
    for driver in drivers() {
        let pool = ThreadPool::new(2);
        let shards = Runtime::builder().driver(driver).shards(2).oversubscribe(true);
        let sums = shards.run(|shard| {
            let pool = pool.clone();
            async move {
                let id = shard.id() as u64;
                let handles = (0..100).map(|number| pool.run(move || number * id));
                let results = join_all(handles).await;
                results.into_iter().map(|it| it.expect("it does not panic")).sum::<u64>()
            }
        });
        assert_eq!(sums.expect("two shards can be started"), [0, 4_950]);
        // Here no runtime runs, and none is needed until the result is awaited.
        let handle = pool.run(|| 1);
        let runtime = Runtime::builder().driver(driver).build().expect("it was asked for");
        assert_eq!(runtime.block_on(handle).expect("it does not panic"), 1);
    }
}

#[test]
fn forked_child_is_refused_and_builds_its_own() {
    if !child::is_child() {
        return Child::of("forked_child_is_refused_and_builds_its_own").passes();
    }
    let pool = ThreadPool::new(1);
    let run = |pool: &ThreadPool| corering::block_on(pool.run(|| 1));
    assert_eq!(run(&pool).expect("a thread starts"), 1);
    let held = pool.run(|| ());
    // SAFETY: the thread of the pool may hold a lock of the allocator, which glibc and musl open in a child.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let refused = run(&pool).is_err_and(|error| error.is_cancelled());
        drop((held, pool));
        let runs = run(&ThreadPool::new(1)).is_ok();
        // SAFETY: _exit takes no pointer and runs no destructor.
        unsafe { libc::_exit(if refused && runs { 0 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: the pointer leads to an integer that outlives the call.
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    assert_eq!(status, 0);
    assert_eq!(run(&pool).expect("the parent's goes on"), 1);
}

#[test]
fn simulated_kernel_runs_closures_on_its_thread() {
    let ran = Simulation::new(1).run(async {
        let pool = ThreadPool::new(2);
        let handle = pool.run(|| thread::current().id());
        assert_eq!((pool.threads(), handle.abort()), (0, false));
        let id = handle.await.expect("it does not panic");
        (id, pool.shutdown(Duration::MAX).await)
    });
    assert_eq!(ran.output, (thread::current().id(), 0));
}

#[test]
fn pool_of_pinned_shard_has_the_processors_of_the_program() {
    fn allowed() -> String {
        let status = fs::read_to_string("/proc/thread-self/status").expect("proc is mounted");
        let line = status.lines().find(|line| line.starts_with("Cpus_allowed:"));
        line.expect("the kernel says it").to_owned()
    }
    for driver in drivers() {
        let before = allowed();
        let shards = Runtime::builder().driver(driver).shards(1);
        let ran = shards.run(|_| async {
            let pool = ThreadPool::builder().build();
            let (pinned, ran) = (allowed(), pool.run(allowed).await.expect("it does not panic"));
            (pinned, ran)
        });
        let ran = ran.expect("a shard can be started");
        let several = thread::available_parallelism().is_ok_and(|count| count.get() > 1);
        assert!(!several || ran[0].0 != before, "the shard is not pinned");
        assert_eq!(ran[0].1, before);
    }
}
