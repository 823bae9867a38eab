//! Every interleaving of a shard with wakers on one or two other threads:
//! `RUSTFLAGS="--cfg loom" cargo test -p corering --lib loom_`.
//!
//! A lost wake shows as a deadlock, a task freed too early as an access that loom or the allocator
//! refuses, and one never freed as a mailbox that outlives its model.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;

use super::*;
use crate::util::mailbox::Mailbox;
use crate::util::sync_types::explore;

/// Runs `model` with a shard of its own, in all interleavings (see [`explore`]), and checks at the end that nobody
/// holds the shard's mailbox: no task is left.
fn check(preemptions: usize, model: impl Fn(Rc<Scheduler>, Arc<Mailbox>) + Send + Sync + 'static) {
    explore(preemptions, move || {
        let mailbox = Mailbox::new().unwrap();
        let left = Arc::downgrade(&mailbox);
        model(Scheduler::new(Arc::clone(&mailbox), None), mailbox);
        assert!(left.upgrade().is_none(), "a task or a waker was leaked");
    });
}

fn block_on<F: Future>(scheduler: &Rc<Scheduler>, mailbox: &Mailbox, future: F) -> F::Output {
    let _entered = scheduler.enter();
    let waker = scheduler.root_waker();
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        loop {
            scheduler.receive_foreign_wakes();
            scheduler.run(&mut Allowance::of_polls(8));
            if scheduler.take_root_wake() {
                break;
            }
            if !scheduler.has_ready() && mailbox.prepare_park() {
                mailbox.wait_for_ring();
                mailbox.unpark();
            }
        }
    }
}

/// Spawns a task that is ready once all flags are set, and polls it once. Returns its handle and
/// its waker.
fn spawn_waiting<const N: usize>(
    scheduler: &Rc<Scheduler>,
    flags: &Arc<[AtomicBool; N]>,
) -> (JoinHandle<()>, Waker) {
    let slot = Rc::new(RefCell::new(None));
    let (flags, own) = (Arc::clone(flags), Rc::clone(&slot));
    let handle = scheduler.spawn(poll_fn(move |context| {
        if flags.iter().all(|flag| flag.load(Ordering::Relaxed)) {
            return Poll::Ready(());
        }
        own.borrow_mut().get_or_insert_with(|| context.waker().clone());
        Poll::Pending
    }));
    let _entered = scheduler.enter();
    scheduler.run(&mut Allowance::of_polls(1));
    let waker = slot.borrow_mut().take().expect("the task has waited");
    (handle, waker)
}

/// Spawns a task that waits for ever and counts the drop of its future, and polls it once. Returns
/// its handle and its waker.
fn spawn_pending(scheduler: &Rc<Scheduler>, drops: &Rc<Cell<usize>>) -> (JoinHandle<()>, Waker) {
    struct Counted(Rc<Cell<usize>>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    let (slot, counted) = (Rc::new(RefCell::new(None)), Counted(Rc::clone(drops)));
    let own = Rc::clone(&slot);
    let handle = scheduler.spawn(async move {
        let _counted = counted;
        poll_fn(|context| {
            *own.borrow_mut() = Some(context.waker().clone());
            Poll::<()>::Pending
        })
        .await
    });
    let _entered = scheduler.enter();
    scheduler.run(&mut Allowance::of_polls(1));
    let waker = slot.borrow_mut().take().expect("the task has waited");
    (handle, waker)
}

#[test]
fn loom_a_foreign_wake_reaches_a_task_of_a_shard_that_goes_to_sleep() {
    check(4, |scheduler, mailbox| {
        let flags = Arc::new([AtomicBool::new(false)]);
        let (handle, waker) = spawn_waiting(&scheduler, &flags);
        let thread = thread::spawn(move || {
            flags[0].store(true, Ordering::Relaxed);
            waker.wake();
        });
        block_on(&scheduler, &mailbox, handle).unwrap();
        thread.join().unwrap();
    });
}

#[test]
fn loom_a_poll_after_two_foreign_wakes_sees_what_both_wrote() {
    check(2, |scheduler, mailbox| {
        let flags = Arc::new([AtomicBool::new(false), AtomicBool::new(false)]);
        let (handle, waker) = spawn_waiting(&scheduler, &flags);
        let threads = [0, 1].map(|index| {
            let (flags, waker) = (Arc::clone(&flags), waker.clone());
            thread::spawn(move || {
                flags[index].store(true, Ordering::Relaxed);
                waker.wake_by_ref();
            })
        });
        drop(waker);
        block_on(&scheduler, &mailbox, handle).unwrap();
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn loom_the_root_future_is_woken_from_another_thread() {
    check(4, |scheduler, mailbox| {
        let flag = Arc::new(AtomicBool::new(false));
        let (theirs, waker) = (Arc::clone(&flag), scheduler.root_waker());
        let thread = thread::spawn(move || {
            theirs.store(true, Ordering::Relaxed);
            waker.wake();
        });
        let woken = poll_fn(move |_| match flag.load(Ordering::Relaxed) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        });
        block_on(&scheduler, &mailbox, woken);
        thread.join().unwrap();
    });
}

#[test]
fn loom_a_local_and_a_foreign_wake_at_once_are_both_seen() {
    check(4, |scheduler, mailbox| {
        let flags = Arc::new([AtomicBool::new(false), AtomicBool::new(false)]);
        let (handle, waker) = spawn_waiting(&scheduler, &flags);
        let (theirs, foreign) = (Arc::clone(&flags), waker.clone());
        let thread = thread::spawn(move || {
            theirs[0].store(true, Ordering::Relaxed);
            foreign.wake();
        });
        block_on(&scheduler, &mailbox, async move {
            flags[1].store(true, Ordering::Relaxed);
            waker.wake();
            handle.await.unwrap();
        });
        thread.join().unwrap();
    });
}

#[test]
fn loom_the_last_reference_frees_the_task_on_either_thread() {
    check(4, |scheduler, mailbox| {
        let drops = Rc::new(Cell::new(0));
        let (handle, waker) = spawn_pending(&scheduler, &drops);
        let thread = thread::spawn(move || drop(waker));
        handle.abort();
        let error = block_on(&scheduler, &mailbox, handle).unwrap_err();
        assert!(error.is_cancelled());
        assert_eq!(drops.get(), 1);
        drop((scheduler, mailbox));
        thread.join().unwrap();
    });
}

#[test]
fn loom_a_wake_that_races_with_the_end_frees_the_task_once() {
    check(4, |scheduler, mailbox| {
        let drops = Rc::new(Cell::new(0));
        let (handle, waker) = spawn_pending(&scheduler, &drops);
        let thread = thread::spawn(move || waker.wake());
        drop((scheduler, mailbox));
        assert_eq!(drops.get(), 1);
        assert!(handle.is_finished());
        drop(handle);
        thread.join().unwrap();
    });
}

#[test]
fn loom_two_wakes_that_race_with_a_detached_tasks_end_free_it_once() {
    check(2, |scheduler, mailbox| {
        let drops = Rc::new(Cell::new(0));
        let (handle, waker) = spawn_pending(&scheduler, &drops);
        let threads = [waker.clone(), waker].map(|waker| thread::spawn(move || waker.wake()));
        drop(handle);
        scheduler.cancel_all();
        assert_eq!(drops.get(), 1);
        scheduler.receive_foreign_wakes();
        assert!(!scheduler.has_ready(), "a complete task is not queued");
        drop((scheduler, mailbox));
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn loom_a_handle_dropped_while_a_waker_is_cloned_elsewhere_keeps_the_task() {
    check(4, |scheduler, mailbox| {
        let drops = Rc::new(Cell::new(0));
        let (handle, waker) = spawn_pending(&scheduler, &drops);
        let thread = thread::spawn(move || {
            let second = waker.clone();
            drop(waker);
            second
        });
        scheduler.cancel_all();
        drop(handle);
        thread.join().unwrap().wake();
        drop((scheduler, mailbox));
    });
}
