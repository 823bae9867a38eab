//! How workers end, and pools.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::rc::Rc;
use std::time::Duration;

use corering::process::{CallError, Pool};
use corering::time::{sleep, timeout};

use crate::functions::{
    FUNCTIONS, aborts, allocates, crashes, echo, ends, loops, pid, tagged, waits,
};
use crate::processes::{
    Gate, children, kill, no_child_is_left, on_both_drivers, runs, until, wait_until,
};

fn one_worker() -> io::Result<Pool> {
    Pool::builder(FUNCTIONS).workers(1).build()
}

fn died<T>(outcome: Result<T, CallError>) -> ExitStatus {
    match outcome {
        Err(CallError::Died(status)) => status,
        Err(error) => panic!("another error: {error}"),
        Ok(_) => panic!("it has an answer"),
    }
}

pub(crate) fn crash_fails_its_call(name: &str) {
    on_both_drivers(name, async || {
        let pool = one_worker()?;
        let mut worker = pool.call(pid, ()).await?;
        for round in 0..3 {
            let status = match round {
                0 => died(pool.call(ends, 7).await),
                1 => died(pool.call(aborts, ()).await),
                _ => died(pool.call(crashes, libc::SIGKILL).await),
            };
            let expected =
                [(Some(7), None), (None, Some(libc::SIGABRT)), (None, Some(libc::SIGKILL))];
            assert_eq!((status.code(), status.signal()), expected[round]);
            let another = pool.call(pid, ()).await?;
            assert_ne!(another, worker);
            assert!(children() == [another], "the one that ended was reaped");
            worker = another;
        }
        Ok::<(), io::Error>(())
    });
}

pub(crate) fn time_limit_kills(name: &str) {
    on_both_drivers(name, async || {
        let mut gate = Gate::new().await?;
        let pool =
            Pool::builder(FUNCTIONS).workers(1).time_limit(Duration::from_millis(200)).build()?;
        pool.warm_up().await?;
        let (timed_out, begun) = corering::join!(pool.call(loops, gate.path()), gate.begun());
        assert!(matches!(timed_out, Err(CallError::TimedOut)), "{timed_out:?}");
        let (_, worker) = begun?;
        until("the worker is killed", || !children().contains(&worker)).await;
        assert_eq!(pool.call(echo, "next".to_owned()).await?, "next");
        Ok::<(), io::Error>(())
    });
}

pub(crate) fn memory_limit_ends(name: &str) {
    on_both_drivers(name, async || {
        let pool = Pool::builder(FUNCTIONS).workers(1).memory_limit(1 << 30).build()?;
        assert_eq!(pool.call(allocates, 64 << 20).await?, 64 << 20);
        let worker = pool.call(pid, ()).await?;
        let status = died(pool.call(allocates, 2 << 30).await);
        assert_eq!(status.signal(), Some(libc::SIGABRT));
        assert_ne!(pool.call(pid, ()).await?, worker);
        let free = one_worker()?;
        assert_eq!(free.call(allocates, 1 << 20).await?, 1 << 20);
        Ok::<(), io::Error>(())
    });
}

pub(crate) fn death_while_idle_fails_no_call(name: &str) {
    on_both_drivers(name, async || {
        let pool = Pool::builder(FUNCTIONS).workers(2).build()?;
        for _ in 0..3 {
            pool.warm_up().await?;
            assert_eq!(children().len(), 2);
            for worker in children() {
                kill(worker, libc::SIGKILL);
            }
            no_child_is_left().await;
            assert_eq!(pool.call(echo, "next".to_owned()).await?, "next");
        }
        Ok::<(), io::Error>(())
    });
}

pub(crate) fn unread_request_goes_to_another(name: &str) {
    on_both_drivers(name, async || {
        let pool = Rc::new(one_worker()?);
        let worker = pool.call(pid, ()).await?;
        // The shard has no time to notice.
        kill(worker, libc::SIGKILL);
        wait_until("it is killed", || !runs(worker));
        let another = pool.call(pid, ()).await?;
        assert_ne!(another, worker);

        kill(another, libc::SIGSTOP);
        let call = pool.clone();
        let call = corering::spawn(async move { call.call(echo, "text".to_owned()).await });
        for _ in 0..10 {
            corering::yield_now().await;
        }
        kill(another, libc::SIGKILL);
        assert_eq!(call.await??, "text");
        Ok::<(), io::Error>(())
    });
}

pub(crate) fn dropped_call_kills(name: &str) {
    on_both_drivers(name, async || {
        let pool = Rc::new(one_worker()?);
        let mut gate = Gate::new().await?;
        for _ in 0..3 {
            let (call, path) = (pool.clone(), gate.path());
            let call = corering::spawn(async move { call.call(loops, path).await });
            let (_stream, worker) = gate.begun().await?;
            // It waits for the worker, and gets no answer that is not its own.
            let (next, text) = (pool.clone(), "mine".to_owned());
            let next = corering::spawn(async move { next.call(echo, text).await });
            corering::yield_now().await;
            call.abort();
            assert_eq!(next.await??, "mine");
            until("the worker is killed", || !children().contains(&worker)).await;
        }
        // One that never had a worker leaves the one that is there.
        let worker = pool.call(pid, ()).await?;
        drop(pool.call(pid, ()));
        assert_eq!(pool.call(pid, ()).await?, worker);
        Ok::<(), io::Error>(())
    });
}

pub(crate) fn dropped_pool_leaves_nothing(name: &str) {
    on_both_drivers(name, async || {
        let pool = Rc::new(Pool::builder(FUNCTIONS).workers(3).build()?);
        let mut gate = Gate::new().await?;
        pool.warm_up().await?;
        let calls: Vec<_> = (0..2)
            .map(|_| {
                let (pool, path) = (pool.clone(), gate.path());
                corering::spawn(async move { pool.call(loops, path).await })
            })
            .collect();
        let begun = (gate.begun().await?, gate.begun().await?);
        assert_eq!(children().len(), 3);
        calls.iter().for_each(|call| call.abort());
        for call in calls {
            assert!(call.await.expect_err("it was aborted").is_cancelled());
        }
        assert_eq!(Rc::strong_count(&pool), 1);
        drop(pool);
        no_child_is_left().await;
        drop(begun);
        Ok::<(), io::Error>(())
    });
}

pub(crate) fn shutdown_waits(name: &str) {
    on_both_drivers(name, async || {
        let pool = Rc::new(one_worker()?);
        let mut gate = Gate::new().await?;
        let (running, path) = (pool.clone(), gate.path());
        let running = corering::spawn(async move { running.call(waits, path).await });
        let (stream, worker) = gate.begun().await?;
        let waiting = pool.clone();
        let waiting = corering::spawn(async move { waiting.call(pid, ()).await });
        corering::yield_now().await;
        let ending = pool.clone();
        let ending = corering::spawn(async move { ending.shutdown().await });
        corering::yield_now().await;
        let late = pool.call(pid, ()).await;
        assert!(matches!(late, Err(CallError::ShutDown)), "{late:?}");
        assert!(!ending.is_finished());
        drop(stream);
        ending.await?;
        assert_eq!(children(), [0; 0]);
        assert_eq!((running.await??, waiting.await??), (worker, worker));
        pool.shutdown().await;
        Ok::<(), io::Error>(())
    });
}

pub(crate) fn dropped_shutdown_goes_on(name: &str) {
    on_both_drivers(name, async || {
        let pool = Rc::new(one_worker()?);
        let mut gate = Gate::new().await?;
        let (running, path) = (pool.clone(), gate.path());
        let running = corering::spawn(async move { running.call(waits, path).await });
        let (stream, worker) = gate.begun().await?;
        assert!(timeout(Duration::ZERO, pool.shutdown()).await.is_err());
        let late = pool.call(pid, ()).await;
        assert!(matches!(late, Err(CallError::ShutDown)), "{late:?}");
        drop(stream);
        assert_eq!(running.await??, worker);
        pool.shutdown().await;
        assert_eq!(children(), [0; 0]);
        Ok::<(), io::Error>(())
    });
}

pub(crate) fn shutdown_now_kills(name: &str) {
    on_both_drivers(name, async || {
        let pool = Rc::new(one_worker()?);
        let mut gate = Gate::new().await?;
        let (running, path) = (pool.clone(), gate.path());
        let running = corering::spawn(async move { running.call(loops, path).await });
        let _begun = gate.begun().await?;
        let waiting = pool.clone();
        let waiting = corering::spawn(async move { waiting.call(pid, ()).await });
        corering::yield_now().await;
        pool.shutdown_now().await;
        assert_eq!(children(), [0; 0]);
        for outcome in [running.await?.err(), waiting.await?.err(), pool.warm_up().await.err()] {
            assert!(matches!(outcome, Some(CallError::ShutDown)), "{outcome:?}");
        }
        Ok::<(), io::Error>(())
    });
}

pub(crate) fn worker_is_replaced_after_its_calls(name: &str) {
    on_both_drivers(name, async || {
        let two = std::num::NonZero::new(2).expect("it is 2");
        let pool = Pool::builder(FUNCTIONS).workers(1).max_calls_per_worker(two).build()?;
        let mut workers = Vec::new();
        for _ in 0..6 {
            workers.push(pool.call(pid, ()).await?);
        }
        assert!(workers.chunks(2).all(|pair| pair[0] == pair[1]), "{workers:?}");
        workers.dedup();
        assert_eq!(workers.len(), 3);
        pool.shutdown().await;
        assert_eq!(children(), [0; 0]);
        Ok::<(), io::Error>(())
    });
}

pub(crate) fn kills_under_load(name: &str) {
    on_both_drivers(name, async || {
        let pool = Rc::new(Pool::builder(FUNCTIONS).workers(4).build()?);
        pool.warm_up().await?;
        let calls: Vec<_> = (0..8_u64)
            .map(|task| {
                let pool = pool.clone();
                corering::spawn(async move {
                    let mut lost = 0;
                    for call in 0..100 {
                        let tag = task * 1000 + call;
                        match pool.call(tagged, (tag, 20_000)).await {
                            Ok(answer) => assert_eq!(answer, tag, "the answer of another call"),
                            Err(CallError::Died(status)) => {
                                assert_eq!(status.signal(), Some(libc::SIGKILL));
                                lost += 1;
                            }
                            // One that was killed before it was ready.
                            Err(CallError::NotAWorker(reason)) => {
                                assert!(reason.contains("SIGKILL"), "{reason}");
                                lost += 1;
                            }
                            Err(error) => panic!("{error}"),
                        }
                    }
                    lost
                })
            })
            .collect();
        let mut kills = 0;
        while calls.iter().any(|call| !call.is_finished()) {
            if let Some(worker) = children().get(kills % 4)
                && kills < 60
            {
                kill(*worker, libc::SIGKILL);
                kills += 1;
            }
            sleep(Duration::from_millis(2)).await;
        }
        let mut lost = 0;
        for call in calls {
            lost += call.await?;
        }
        assert!(kills > 10 && lost <= kills, "{lost} of {kills}");
        pool.shutdown().await;
        assert_eq!(children(), [0; 0]);
        Ok::<(), io::Error>(())
    });
}

pub(crate) fn interrupt_is_ignored(name: &str) {
    on_both_drivers(name, async || {
        let pool = one_worker()?;
        let worker = pool.call(pid, ()).await?;
        kill(worker, libc::SIGINT);
        assert_eq!(pool.call(pid, ()).await?, worker);
        assert!(runs(worker));
        Ok::<(), io::Error>(())
    });
}
