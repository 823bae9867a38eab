//! Wakers on other threads: while the shard runs, while it sleeps, and after it has ended.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;

/// Waits until `done` is set by someone who then wakes; sends a waker for every poll.
fn until(done: &Arc<AtomicBool>, wakers: mpsc::Sender<Waker>) -> impl Future<Output = ()> + use<> {
    let done = Arc::clone(done);
    poll_fn(move |context| {
        if done.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        // The other side may have finished with us.
        let _ = wakers.send(context.waker().clone());
        Poll::Pending
    })
}

#[test]
fn a_wake_from_another_thread_wakes_a_sleeping_shard() {
    let shard = Shard::new();
    let (sender, wakers) = mpsc::channel();
    let done = Arc::new(AtomicBool::new(false));
    let handle = shard.scheduler.spawn(until(&done, sender));
    let flag = Arc::clone(&done);
    let thread = thread::spawn(move || {
        let waker: Waker = wakers.recv().unwrap();
        flag.store(true, Ordering::Release);
        waker.wake();
    });
    shard.block_on(handle).unwrap();
    thread.join().unwrap();
}

#[test]
fn the_root_future_is_woken_from_another_thread() {
    let shard = Shard::new();
    let (sender, wakers) = mpsc::channel();
    let done = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&done);
    let thread = thread::spawn(move || {
        let waker: Waker = wakers.recv().unwrap();
        flag.store(true, Ordering::Release);
        waker.wake_by_ref();
    });
    shard.block_on(until(&done, sender));
    thread.join().unwrap();
}

#[test]
fn wakes_of_one_task_from_many_threads_are_never_lost() {
    const THREADS: usize = 4;
    const ROUNDS: usize = 500;
    let shard = Shard::new();
    // Each thread counts up and wakes; the task sees every count in the end, or hangs.
    let count = Arc::new(AtomicUsize::new(0));
    let (sender, receiver) = mpsc::channel::<Waker>();
    let seen = Arc::clone(&count);
    let handle = shard.scheduler.spawn(poll_fn(move |context| {
        if seen.load(Ordering::Acquire) == THREADS * ROUNDS {
            return Poll::Ready(());
        }
        let _ = sender.send(context.waker().clone());
        Poll::Pending
    }));
    shard.run_all();
    let waker = receiver.recv().unwrap();
    let start = Arc::new(Barrier::new(THREADS));
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let (waker, count, start) = (waker.clone(), Arc::clone(&count), Arc::clone(&start));
            thread::spawn(move || {
                start.wait();
                for round in 0..ROUNDS {
                    count.fetch_add(1, Ordering::Release);
                    match round % 3 {
                        0 => waker.wake_by_ref(),
                        1 => waker.clone().wake(),
                        _ => {
                            drop(waker.clone());
                            waker.wake_by_ref();
                        }
                    }
                }
            })
        })
        .collect();
    drop(waker);
    shard.block_on(handle).unwrap();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn many_tasks_ping_pong_with_another_thread() {
    const TASKS: usize = 8;
    const ROUNDS: usize = 200;
    let shard = Shard::new();
    let (sender, wakers) = mpsc::channel::<Waker>();
    let echo = thread::spawn(move || wakers.into_iter().map(Waker::wake).count());
    shard.block_on(async {
        let mut set = JoinSet::new();
        for _ in 0..TASKS {
            let sender = sender.clone();
            set.spawn(async move {
                for _ in 0..ROUNDS {
                    let mut sent = false;
                    poll_fn(|context| {
                        if std::mem::replace(&mut sent, true) {
                            return Poll::Ready(());
                        }
                        sender.send(context.waker().clone()).unwrap();
                        Poll::Pending
                    })
                    .await;
                }
            });
        }
        drop(sender);
        while let Some(joined) = set.join_next().await {
            joined.unwrap();
        }
    });
    assert_eq!(echo.join().unwrap(), TASKS * ROUNDS);
}

#[test]
fn a_foreign_wake_never_drops_the_future_there() {
    let shard = Shard::new();
    let drops = Rc::new(Cell::new(0));
    let (sender, wakers) = mpsc::channel();
    let held = Tracked::new(&drops);
    let done = Arc::new(AtomicBool::new(false));
    let waits = until(&done, sender);
    drop(shard.scheduler.spawn(async move {
        let _held = held;
        waits.await
    }));
    shard.run_all();
    // The thread's waker is the last one, the handle is gone, and the task is ready to end.
    done.store(true, Ordering::Release);
    thread::spawn(move || wakers.recv().unwrap().wake()).join().unwrap();
    assert_eq!(drops.get(), 0);
    shard.run_all();
    assert_eq!(drops.get(), 1);
}

#[test]
fn a_wake_from_a_thread_after_the_scheduler_is_gone_does_nothing() {
    let (to_thread, wakers) = mpsc::channel::<Waker>();
    let (gone, is_gone) = mpsc::channel::<()>();
    let thread = thread::spawn(move || {
        let wakers: Vec<Waker> = wakers.iter().collect();
        is_gone.recv().unwrap();
        for waker in wakers {
            waker.wake_by_ref();
            waker.clone().wake();
            drop(waker);
        }
    });
    let shard = Shard::new();
    let drops = Rc::new(Cell::new(0));
    let never = Arc::new(AtomicBool::new(false));
    let mut kept = Vec::new();
    for detached in [true, false] {
        let (held, waits) = (Tracked::new(&drops), until(&never, to_thread.clone()));
        let handle = shard.scheduler.spawn(async move {
            let _held = held;
            waits.await
        });
        if !detached {
            kept.push(handle);
        }
    }
    shard.run_all();
    to_thread.send(shard.scheduler.root_waker()).unwrap();
    drop(to_thread);
    drop(shard);
    assert_eq!(drops.get(), 2, "dropped by the shard, before any late wake");
    gone.send(()).unwrap();
    thread.join().unwrap();
    assert_eq!(drops.get(), 2);
}

#[test]
fn the_doorbell_stays_open_as_long_as_a_waker_may_ring_it() {
    let shard = Shard::new();
    let slot = Rc::default();
    drop(shard.scheduler.spawn(publish_waker(&slot)));
    shard.run_all();
    let waker = slot.borrow_mut().take().unwrap();
    let mailbox = Arc::downgrade(&shard.mailbox);
    drop(shard);
    assert!(mailbox.upgrade().is_some());
    drop(waker);
    assert!(mailbox.upgrade().is_none(), "and no longer");
}

#[test]
fn wakes_that_race_with_the_end_drop_nothing_elsewhere() {
    for _ in 0..50 {
        let shard = Shard::new();
        let drops = Rc::new(Cell::new(0));
        let slot = Rc::default();
        for _ in 0..4 {
            let (held, waits) = (Tracked::new(&drops), publish_waker(&slot));
            drop(shard.scheduler.spawn(async move {
                let _held = held;
                waits.await
            }));
        }
        shard.run_all();
        let waker = slot.borrow_mut().take().unwrap();
        let start = Arc::new(Barrier::new(3));
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (waker, start) = (waker.clone(), Arc::clone(&start));
                thread::spawn(move || {
                    start.wait();
                    for _ in 0..20 {
                        waker.wake_by_ref();
                    }
                })
            })
            .collect();
        drop(waker);
        start.wait();
        drop(shard);
        assert_eq!(drops.get(), 4);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}

#[test]
fn a_posted_task_that_ends_before_the_shard_looks_is_freed_once() {
    let shard = Shard::new();
    let mailbox = Arc::downgrade(&shard.mailbox);
    let (sender, wakers) = mpsc::channel();
    let never = Arc::new(AtomicBool::new(false));
    let handle = shard.scheduler.spawn(until(&never, sender));
    shard.run_all();
    thread::spawn(move || wakers.recv().unwrap().wake()).join().unwrap();
    shard.scheduler.cancel_all();
    drop(handle);
    // The mailbox has the only reference now.
    shard.run_all();
    drop(shard);
    assert!(mailbox.upgrade().is_none(), "every task has let its mailbox go");
}

#[test]
fn mailbox_is_freed_by_the_last_waker_on_any_thread() {
    let on_thread = |act: Box<dyn FnOnce() -> Waker + Send>| thread::spawn(act).join().unwrap();
    // Where the waker that is left was cloned, and where it is dropped.
    for (cloned_elsewhere, dropped_elsewhere) in
        [(false, false), (false, true), (true, false), (true, true)]
    {
        let shard = Shard::new();
        let left = Arc::downgrade(&shard.mailbox);
        let root = shard.scheduler.root_waker();
        let clone: Box<dyn FnOnce() -> Waker + Send> = Box::new(move || root.clone());
        let waker = if cloned_elsewhere { on_thread(clone) } else { clone() };
        // Given back while the shard is entered, which the others are not.
        let entered = shard.scheduler.enter();
        let here = shard.scheduler.root_waker();
        drop((here.clone(), here));
        drop(entered);
        drop(shard);
        assert!(left.upgrade().is_some(), "the waker keeps it");
        waker.wake_by_ref();
        match dropped_elsewhere {
            true => thread::spawn(move || drop(waker)).join().unwrap(),
            false => drop(waker),
        }
        assert!(left.upgrade().is_none(), "a share was lost");
    }
}
