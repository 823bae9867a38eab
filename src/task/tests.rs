//! Tasks as a runtime of one shard drives them, without I/O: the loop below is the runtime's, with
//! the doorbell for a kernel.

// A wake that consumes its waker is another function than one by reference, and is tested too.
#![allow(clippy::waker_clone_wake)]

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::mem::ManuallyDrop;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;

use super::*;
use crate::util::mailbox::Mailbox;
use crate::util::test_waker::{Poller, hook_waker};

mod abort;
mod foreign;
mod join_set;
mod panics;
mod shutdown;

struct Shard {
    mailbox: Arc<Mailbox>,
    scheduler: Rc<Scheduler>,
}

impl Shard {
    fn new() -> Self {
        let mailbox = Mailbox::new().unwrap();
        Shard { scheduler: Scheduler::new(Arc::clone(&mailbox), None), mailbox }
    }

    fn block_on<F: Future>(&self, future: F) -> F::Output {
        let _entered = self.scheduler.enter();
        let waker = self.scheduler.root_waker();
        let mut future = pin!(future);
        let mut woken = true;
        loop {
            if woken
                && let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker))
            {
                return output;
            }
            self.scheduler.receive_foreign_wakes();
            self.scheduler.run(&mut Allowance::of_polls(64));
            if !self.scheduler.has_ready() && self.mailbox.prepare_park() {
                assert!(self.mailbox.wait_for_ring(), "a wake was lost");
                self.mailbox.unpark();
            }
            woken = self.scheduler.take_root_wake();
        }
    }

    /// Runs until no task is ready.
    fn run_all(&self) {
        let _entered = self.scheduler.enter();
        self.scheduler.receive_foreign_wakes();
        while self.scheduler.run(&mut Allowance::of_polls(64)) > 0 {}
    }
}

/// Counts its drops, and refuses to be dropped on another thread than it was made on.
struct Tracked {
    drops: Rc<Cell<usize>>,
    home: thread::ThreadId,
}

impl Tracked {
    fn new(drops: &Rc<Cell<usize>>) -> Self {
        Tracked { drops: Rc::clone(drops), home: thread::current().id() }
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        if thread::current().id() != self.home {
            // Not a panic, which the task layer would swallow.
            eprintln!("a value of the shard was dropped on another thread");
            std::process::abort();
        }
        self.drops.set(self.drops.get() + 1);
    }
}

/// Gives the waker of the task that polls it to `slot`, and waits for ever.
fn publish_waker(slot: &Rc<RefCell<Option<Waker>>>) -> impl Future<Output = ()> + use<> {
    let slot = Rc::clone(slot);
    poll_fn(move |context| {
        *slot.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    })
}

#[test]
fn a_task_runs_and_its_handle_gives_the_output() {
    let shard = Shard::new();
    let output = shard.block_on(async { spawn(async { 6 * 7 }).await });
    assert_eq!(output.unwrap(), 42);
    assert_eq!(shard.scheduler.live_tasks(), 0);
}

#[test]
fn a_task_does_not_run_within_spawn() {
    let shard = Shard::new();
    let ran = Rc::new(Cell::new(false));
    let flag = Rc::clone(&ran);
    let handle = shard.scheduler.spawn(async move { flag.set(true) });
    assert!(!ran.get() && !handle.is_finished());
    shard.run_all();
    assert!(ran.get() && handle.is_finished());
}

#[test]
fn tasks_spawn_tasks_and_await_them() {
    fn sum(n: u32) -> Pin<Box<dyn Future<Output = u32>>> {
        Box::pin(async move { if n == 0 { 0 } else { n + spawn(sum(n - 1)).await.unwrap() } })
    }
    assert_eq!(Shard::new().block_on(sum(100)), 5050);
}

#[test]
fn spawn_outside_a_runtime_panics_with_what_to_do() {
    let payload = thread::spawn(|| drop(spawn(async {}))).join().unwrap_err();
    let message = payload.downcast_ref::<&str>().unwrap();
    assert!(message.contains("corering::block_on"), "{message}");
}

#[test]
fn a_dropped_handle_detaches_its_task() {
    let shard = Shard::new();
    let drops = Rc::new(Cell::new(0));
    let ran = Rc::new(Cell::new(false));
    let (output, flag) = (Tracked::new(&drops), Rc::clone(&ran));
    drop(shard.scheduler.spawn(async move {
        yield_now().await;
        flag.set(true);
        output
    }));
    shard.run_all();
    assert!(ran.get());
    assert_eq!(drops.get(), 1, "the output that nobody can ask for is dropped at once");
}

#[test]
fn an_output_that_is_not_awaited_is_dropped_with_its_handle() {
    let shard = Shard::new();
    let drops = Rc::new(Cell::new(0));
    let output = Tracked::new(&drops);
    let handle = shard.scheduler.spawn(async move { output });
    shard.run_all();
    assert_eq!(drops.get(), 0);
    drop(handle);
    assert_eq!(drops.get(), 1);
}

#[test]
fn the_future_is_dropped_when_it_is_ready_and_not_with_the_handle() {
    struct ReadyWith(#[expect(dead_code, reason = "held for its Drop")] Tracked);
    impl Future for ReadyWith {
        type Output = ();
        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            Poll::Ready(())
        }
    }
    let shard = Shard::new();
    let drops = Rc::new(Cell::new(0));
    let handle = shard.scheduler.spawn(ReadyWith(Tracked::new(&drops)));
    shard.run_all();
    assert_eq!(drops.get(), 1);
    drop(handle);
}

#[test]
fn a_handle_polled_after_it_gave_the_output_panics() {
    let shard = Shard::new();
    shard.block_on(async {
        let mut handle = spawn(async {});
        (&mut handle).await.unwrap();
        assert!(handle.is_finished());
        let again = spawn(handle).await;
        assert!(again.unwrap_err().is_panic());
    });
}

#[test]
fn ready_tasks_run_in_the_order_in_which_they_became_ready() {
    let shard = Shard::new();
    let order = Rc::new(RefCell::new(Vec::new()));
    for name in 0..3 {
        let order = Rc::clone(&order);
        drop(shard.scheduler.spawn(async move {
            for round in 0..2 {
                order.borrow_mut().push((round, name));
                yield_now().await;
            }
        }));
    }
    shard.run_all();
    assert_eq!(*order.borrow(), [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]);
}

#[test]
fn ten_thousand_busy_tasks_take_equal_turns_under_a_budget() {
    const TASKS: usize = 10_000;
    let shard = Shard::new();
    let _entered = shard.scheduler.enter();
    let polls = Rc::new(RefCell::new(vec![0_u32; TASKS]));
    for task in 0..TASKS {
        let polls = Rc::clone(&polls);
        drop(shard.scheduler.spawn(poll_fn::<(), _>(move |context| {
            polls.borrow_mut()[task] += 1;
            context.waker().wake_by_ref();
            Poll::Pending
        })));
    }
    for _ in 0..3 * TASKS / 50 {
        assert_eq!(shard.scheduler.run(&mut Allowance::of_polls(50)), 50);
        let polls = polls.borrow();
        let (least, most) = (polls.iter().min().unwrap(), polls.iter().max().unwrap());
        assert!(most - least <= 1, "one task had {most} turns, another {least}");
    }
    assert!(polls.borrow().iter().all(|turns| *turns == 3));
}

#[test]
fn run_stops_at_its_budget_and_says_how_many_it_polled() {
    let shard = Shard::new();
    for _ in 0..5 {
        drop(shard.scheduler.spawn(async {}));
    }
    assert_eq!(shard.scheduler.run(&mut Allowance::of_polls(3)), 3);
    assert!(shard.scheduler.has_ready());
    assert_eq!(shard.scheduler.run(&mut Allowance::of_polls(3)), 2);
    assert!(!shard.scheduler.has_ready());
    assert_eq!(shard.scheduler.run(&mut Allowance::of_polls(0)), 0);
}

#[test]
fn many_wakes_before_a_poll_are_one_poll() {
    let shard = Shard::new();
    let _entered = shard.scheduler.enter();
    let slot = Rc::new(RefCell::new(None));
    let handle = shard.scheduler.spawn(publish_waker(&slot));
    assert_eq!(shard.scheduler.run(&mut Allowance::of_polls(64)), 1);
    let waker = slot.borrow_mut().take().unwrap();
    for _ in 0..3 {
        waker.wake_by_ref();
        waker.clone().wake();
    }
    assert_eq!(shard.scheduler.run(&mut Allowance::of_polls(64)), 1);
    drop(handle);
}

#[test]
fn a_wake_of_a_complete_task_does_nothing() {
    let shard = Shard::new();
    let _entered = shard.scheduler.enter();
    let waker = shard.block_on(async {
        spawn(poll_fn(|context| Poll::Ready(context.waker().clone()))).await.unwrap()
    });
    waker.wake_by_ref();
    assert!(!shard.scheduler.has_ready());
    waker.wake();
    assert!(!shard.scheduler.has_ready());
}

#[test]
fn a_waker_that_spawns_may_await_a_handle() {
    let shard = Shard::new();
    let _entered = shard.scheduler.enter();
    let spawned = Rc::new(Cell::new(0));
    let count = Rc::clone(&spawned);
    // Runs when the waker is cloned, woken and dropped.
    let waker = hook_waker(move || {
        count.set(count.get() + 1);
        drop(spawn(yield_now()));
    });
    let mut handle = shard.scheduler.spawn(yield_now());
    for _ in 0..2 {
        assert!(Pin::new(&mut handle).poll(&mut Context::from_waker(&waker)).is_pending());
    }
    shard.run_all();
    assert!(handle.is_finished());
    drop((waker, handle));
    assert!(spawned.get() >= 3, "a clone, a wake and a drop");
    shard.run_all();
    assert_eq!(shard.scheduler.live_tasks(), 0);
}

#[test]
fn a_waker_that_ends_the_task_it_is_to_wait_for_is_not_kept_waiting() {
    let shard = Shard::new();
    let _entered = shard.scheduler.enter();
    let mut handle = shard.scheduler.spawn(async { 3 });
    let scheduler = Rc::clone(&shard.scheduler);
    let waker = hook_waker(move || _ = scheduler.run(&mut Allowance::of_polls(1)));
    let polled = Pin::new(&mut handle).poll(&mut Context::from_waker(&waker));
    assert!(matches!(polled, Poll::Ready(Ok(3))), "its clone ran the task");
}

#[test]
fn a_handle_wakes_the_one_who_polled_it_last() {
    let shard = Shard::new();
    let _entered = shard.scheduler.enter();
    let (first, second) = (Poller::new(), Poller::new());
    let mut handle = shard.scheduler.spawn(async {});
    assert!(first.poll(&mut handle).is_pending());
    assert!(second.poll(&mut handle).is_pending());
    assert_eq!((first.kept(), second.kept()), (0, 1));
    shard.run_all();
    assert_eq!((first.wakes(), second.wakes()), (0, 1));
    assert_eq!(second.kept(), 0);
}

#[test]
fn a_forgotten_handle_leaks_its_output_and_nothing_else() {
    let shard = Shard::new();
    let drops = Rc::new(Cell::new(0));
    let (output, held) = (Tracked::new(&drops), Tracked::new(&drops));
    // Forgotten only until the end of the test, which leaves no leak behind.
    let forgotten = ManuallyDrop::new(shard.scheduler.spawn(async move {
        drop(held);
        output
    }));
    shard.run_all();
    drop(shard);
    assert_eq!(drops.get(), 1);
    drop(ManuallyDrop::into_inner(forgotten));
}

#[test]
fn a_forgotten_waker_keeps_no_future_alive() {
    let shard = Shard::new();
    let drops = Rc::new(Cell::new(0));
    let held = Tracked::new(&drops);
    let forgotten: Rc<Cell<Option<ManuallyDrop<Waker>>>> = Rc::default();
    let slot = Rc::clone(&forgotten);
    let handle = shard.scheduler.spawn(async move {
        let _held = held;
        poll_fn(|context| {
            slot.set(Some(ManuallyDrop::new(context.waker().clone())));
            Poll::Ready(())
        })
        .await;
    });
    shard.run_all();
    drop((handle, shard));
    assert_eq!(drops.get(), 1);
    // Forgotten only until the end of the test, which leaves no leak behind.
    drop(ManuallyDrop::into_inner(forgotten.take().expect("the task has run")));
}

#[test]
fn yield_now_in_the_root_future_lets_tasks_run() {
    let shard = Shard::new();
    let ran = Rc::new(Cell::new(0));
    let count = Rc::clone(&ran);
    shard.block_on(async {
        drop(spawn(async move {
            for _ in 0..3 {
                count.set(count.get() + 1);
                yield_now().await;
            }
        }));
        while ran.get() < 3 {
            yield_now().await;
        }
    });
}

#[test]
fn entering_restores_the_scheduler_that_was_current() {
    let (outer, other) = (Shard::new(), Shard::new());
    let current = || Scheduler::current().map(|scheduler| Rc::as_ptr(&scheduler));
    assert!(current().is_none());
    {
        let _outer = outer.scheduler.enter();
        {
            let _other = other.scheduler.enter();
            assert_eq!(current(), Some(Rc::as_ptr(&other.scheduler)));
        }
        assert_eq!(current(), Some(Rc::as_ptr(&outer.scheduler)));
    }
    assert!(current().is_none());
}

#[test]
fn a_wake_from_within_another_scheduler_of_the_thread_is_not_lost() {
    let (home, other) = (Shard::new(), Shard::new());
    let slot = Rc::new(RefCell::new(None));
    let mut handle = home.scheduler.spawn({
        let (slot, mut polled) = (Rc::clone(&slot), false);
        poll_fn(move |context| {
            *slot.borrow_mut() = Some(context.waker().clone());
            if std::mem::replace(&mut polled, true) { Poll::Ready(()) } else { Poll::Pending }
        })
    });
    home.run_all();
    other.block_on(async { slot.borrow_mut().take().unwrap().wake() });
    assert!(!other.scheduler.has_ready() && !home.scheduler.has_ready());
    home.block_on(&mut handle).unwrap();
}

#[test]
#[should_panic(expected = "a mailbox belongs to one scheduler")]
fn a_mailbox_has_one_scheduler() {
    let shard = Shard::new();
    drop(Scheduler::new(Arc::clone(&shard.mailbox), None));
}
