//! Queues: orders, lines, joins and shutdowns, dropped futures, and user code that comes back.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::cmp::Ordering;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

use futures_util::FutureExt;

use super::*;
use crate::util::test_waker::{Poller, hook_waker};

fn all<T, O: Order<T>>(queue: &TaskQueue<T, O>) -> Vec<T> {
    std::iter::from_fn(|| queue.try_get().ok()).collect()
}

#[test]
fn each_kind_gives_its_values_in_its_order() {
    let (first, last, smallest) =
        (Queue::unbounded(), LifoQueue::unbounded(), PriorityQueue::unbounded());
    for value in [3, 1, 2, 1] {
        first.try_put(value).expect("there is always room");
        last.try_put(value).expect("there is always room");
        smallest.put(value).now_or_never().expect("it never waits").expect("open");
    }
    assert_eq!(all(&first), [3, 1, 2, 1]);
    assert_eq!(all(&last), [1, 2, 1, 3]);
    assert_eq!(all(&smallest), [1, 1, 2, 3]);
}

/// Equal to all of the same rank.
#[derive(Debug)]
struct Ranking(u8, usize);

impl Ord for Ranking {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

impl PartialOrd for Ranking {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Eq for Ranking {}

impl PartialEq for Ranking {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

#[test]
fn equal_values_come_in_the_order_they_were_put() {
    let queue = PriorityQueue::unbounded();
    let mut numbers: Vec<Ranking> = Vec::new();
    for number in 0..1_000 {
        let rank = (number * 7 % 5) as u8;
        queue.try_put(Ranking(rank, number)).expect("there is always room");
        // Some are taken in between, so that the tree has lost its first.
        if number % 3 == 0 {
            numbers.push(queue.try_get().expect("there is one"));
        }
    }
    let rest = all(&queue);
    assert_eq!(numbers.len() + rest.len(), 1_000);
    assert!(rest.is_sorted_by(|one, other| (one.0, one.1) < (other.0, other.1)));
}

#[test]
fn those_that_wait_are_served_in_the_order_they_came() {
    let queue = PriorityQueue::new(1);
    let pollers = [Poller::new(), Poller::new()];
    let wakes = || pollers.each_ref().map(Poller::wakes);
    let mut gets = [(); 2].map(|()| Box::pin(queue.get()));
    for (poller, get) in pollers.iter().zip(&mut gets) {
        assert!(poller.poll(get).is_pending());
    }
    queue.try_put(5).expect("there is room");
    assert_eq!(wakes(), [1, 0]);
    assert_eq!(queue.try_get(), Err(TryRecvError::Empty), "the value is promised");
    assert_eq!(pollers[0].poll(&mut gets[0]), Poll::Ready(Some(5)));
    drop(gets);
    assert_eq!(pollers[1].kept(), 0);

    queue.try_put(9).expect("there is room");
    assert!(queue.is_full());
    // A smaller value does not overtake.
    let mut puts = [2, 1].map(|value| Box::pin(queue.put(value)));
    for (poller, put) in pollers.iter().zip(&mut puts) {
        assert!(poller.poll(put).is_pending());
    }
    assert_eq!(queue.try_get(), Ok(9));
    assert_eq!(wakes(), [1, 0]);
    assert_eq!(queue.try_put(0), Err(TrySendError::Full(0)), "the room is promised");
    assert_eq!(pollers[0].poll(&mut puts[0]), Poll::Ready(Ok(())));
    assert_eq!(queue.try_get(), Ok(2));
    assert_eq!(wakes(), [0, 1]);
    assert_eq!(pollers[1].poll(&mut puts[1]), Poll::Ready(Ok(())));
    assert_eq!(all(&queue), [1]);
}

#[test]
fn what_a_dropped_future_was_given_goes_to_the_next() {
    let queue = Queue::new(1);
    let pollers = [Poller::new(), Poller::new()];
    let [mut dropped, mut next] = [(); 2].map(|()| Box::pin(queue.get()));
    assert!(pollers[0].poll(&mut dropped).is_pending());
    assert!(pollers[1].poll(&mut next).is_pending());
    queue.try_put(1).expect("there is room");
    drop(dropped);
    assert_eq!(pollers.each_ref().map(Poller::wakes), [1, 1]);
    assert_eq!(pollers[1].poll(&mut next), Poll::Ready(Some(1)));

    queue.try_put(2).expect("there is room");
    let [mut dropped, mut next] = [3, 4].map(|value| Box::pin(queue.put(value)));
    assert!(pollers[0].poll(&mut dropped).is_pending());
    assert!(pollers[1].poll(&mut next).is_pending());
    assert_eq!(queue.try_get(), Ok(2));
    drop(dropped);
    assert_eq!(pollers.each_ref().map(Poller::wakes), [1, 1]);
    assert_eq!(pollers[1].poll(&mut next), Poll::Ready(Ok(())));
    assert_eq!(all(&queue), [4]);
}

#[test]
fn join_waits_until_each_value_has_been_dealt_with() {
    let queue = Queue::unbounded();
    assert_eq!(queue.join().now_or_never(), Some(()));
    for value in 0..3 {
        queue.try_put(value).expect("there is always room");
    }
    let pollers = [Poller::new(), Poller::new()];
    let mut joins = [(); 2].map(|()| Box::pin(queue.join()));
    for (poller, join) in pollers.iter().zip(&mut joins) {
        assert!(poller.poll(join).is_pending());
    }
    assert_eq!(all(&queue), [0, 1, 2]);
    for _ in 0..2 {
        queue.task_done();
    }
    assert_eq!(pollers.each_ref().map(Poller::wakes), [0, 0]);
    queue.task_done();
    assert_eq!(pollers.each_ref().map(Poller::wakes), [1, 1]);
    // That all was done once is what they waited for.
    queue.try_put(3).expect("there is always room");
    for (poller, join) in pollers.iter().zip(&mut joins) {
        assert!(poller.poll(join).is_ready());
    }
    assert_eq!(queue.join().now_or_never(), None);
}

#[test]
#[should_panic(expected = "more often than values were put")]
fn task_done_without_a_value_panics() {
    let queue = Queue::unbounded();
    queue.try_put(1).expect("there is always room");
    queue.task_done();
    queue.task_done();
}

#[test]
fn shutdown_ends_putting_and_getting_ends_with_the_last_value() {
    let queue = Queue::new(1);
    queue.try_put(1).expect("there is room");
    let pollers = [Poller::new(), Poller::new()];
    let mut put = Box::pin(queue.put(2));
    assert!(pollers[0].poll(&mut put).is_pending());
    queue.shutdown(false);
    assert!(queue.is_shut_down());
    assert_eq!(pollers[0].wakes(), 1);
    assert_eq!(pollers[0].poll(&mut put), Poll::Ready(Err(SendError(2))));
    assert_eq!(queue.try_put(3), Err(TrySendError::Closed(3)));
    assert_eq!(queue.join().now_or_never(), None);
    assert_eq!(queue.get().now_or_never(), Some(Some(1)));
    assert_eq!(queue.get().now_or_never(), Some(None));
    assert_eq!(queue.try_get(), Err(TryRecvError::Closed));
    queue.task_done();
    assert_eq!(queue.join().now_or_never(), Some(()));

    let queue = Queue::<u8>::new(1);
    let mut gets = [(); 2].map(|()| Box::pin(queue.get()));
    for (poller, get) in pollers.iter().zip(&mut gets) {
        assert!(poller.poll(get).is_pending());
    }
    queue.shutdown(false);
    assert_eq!(pollers.each_ref().map(Poller::wakes), [1, 1]);
    for (poller, get) in pollers.iter().zip(&mut gets) {
        assert_eq!(poller.poll(get), Poll::Ready(None));
    }
}

#[test]
fn immediate_shutdown_drops_the_rest_and_completes_joins() {
    let queue = Queue::unbounded();
    let value = Rc::new(());
    for _ in 0..3 {
        queue.try_put(Rc::clone(&value)).expect("there is always room");
    }
    let at_work = queue.try_get().expect("there are three");
    let poller = Poller::new();
    let mut join = Box::pin(queue.join());
    assert!(poller.poll(&mut join).is_pending());
    queue.shutdown(true);
    assert_eq!(Rc::strong_count(&value), 2, "only what was got is left");
    assert_eq!(poller.wakes(), 0, "one is still at work");
    drop(at_work);
    queue.task_done();
    assert_eq!(poller.wakes(), 1);
    assert!(poller.poll(&mut join).is_ready());
    assert!(queue.is_empty());
}

#[test]
fn getter_of_a_value_that_a_shutdown_drops_gets_the_end() {
    let queue = Queue::unbounded();
    let pollers = [Poller::new(), Poller::new()];
    let mut gets = [(); 2].map(|()| Box::pin(queue.get()));
    for (poller, get) in pollers.iter().zip(&mut gets) {
        assert!(poller.poll(get).is_pending());
    }
    queue.try_put(1).expect("there is always room");
    queue.shutdown(false);
    assert_eq!(pollers.each_ref().map(Poller::wakes), [1, 0]);
    queue.shutdown(true);
    assert_eq!(pollers[1].wakes(), 1);
    for (poller, get) in pollers.iter().zip(&mut gets) {
        assert_eq!(poller.poll(get), Poll::Ready(None));
    }
    assert_eq!(queue.join().now_or_never(), Some(()));
}

#[test]
fn values_done_before_they_were_got_count_once_when_dropped() {
    let queue = Queue::unbounded();
    queue.try_put(1).expect("there is always room");
    queue.try_put(2).expect("there is always room");
    queue.task_done();
    queue.shutdown(true);
    assert_eq!(queue.join().now_or_never(), Some(()));
}

#[test]
fn forgotten_get_keeps_its_value_and_the_line_goes_on() {
    let queue = Queue::unbounded();
    let poller = Poller::new();
    let mut forgotten = Box::pin(queue.get());
    assert!(poller.poll(&mut forgotten).is_pending());
    std::mem::forget(forgotten);
    let mut behind = Box::pin(queue.get());
    assert!(poller.poll(&mut behind).is_pending());
    queue.try_put(1).expect("there is always room");
    assert_eq!(queue.try_get(), Err(TryRecvError::Empty));
    queue.try_put(2).expect("there is always room");
    assert!(poller.poll(&mut behind).is_ready());
    assert_eq!(queue.len(), 1);
}

/// Runs a hook when it is dropped.
struct Dropped(Box<dyn Fn()>);

impl Drop for Dropped {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[test]
fn value_may_use_the_queue_when_it_is_dropped() {
    let queue = Rc::new(Queue::<Dropped>::unbounded());
    let drops = Rc::new(Cell::new(0));
    for _ in 0..3 {
        let (weak, drops) = (Rc::downgrade(&queue), Rc::clone(&drops));
        let value = Dropped(Box::new(move || {
            drops.set(drops.get() + 1);
            let queue = weak.upgrade().expect("the test has it");
            assert!(queue.is_shut_down() && queue.is_empty());
            assert!(queue.try_put(Dropped(Box::new(|| ()))).is_err() && queue.try_get().is_err());
            assert_eq!(queue.join().now_or_never(), Some(()));
        }));
        assert!(queue.try_put(value).is_ok());
    }
    queue.shutdown(true);
    assert_eq!(drops.get(), 3);
}

#[test]
fn waker_may_use_the_queue_when_cloned_woken_or_dropped() {
    let queue = Rc::new(PriorityQueue::new(2));
    let runs = Rc::new(Cell::new(0));
    let waker = {
        let (queue, runs) = (Rc::clone(&queue), Rc::clone(&runs));
        hook_waker(move || {
            runs.set(runs.get() + 1);
            match runs.get() % 3 {
                0 => drop(queue.try_put(runs.get())),
                1 if queue.try_get().is_ok() => queue.task_done(),
                _ => drop(queue.join().now_or_never()),
            }
        })
    };
    let cx = &mut Context::from_waker(&waker);
    for _ in 0..10 {
        let mut get = Box::pin(queue.get());
        let mut puts = [1, 2, 3].map(|value| Box::pin(queue.put(value)));
        for _ in 0..2 {
            // A second poll of one that is done would panic.
            if let Poll::Ready(Some(_)) = get.as_mut().poll(cx) {
                queue.task_done();
                get = Box::pin(queue.get());
            }
        }
        for put in &mut puts {
            let _ = put.as_mut().poll(cx);
        }
    }
    queue.shutdown(true);
    assert!(runs.get() > 20, "the hook ran {} times", runs.get());
    assert_eq!(queue.join().now_or_never(), Some(()));
}

type Hook = RefCell<Option<Box<dyn Fn()>>>;

/// Compares by its number, after a hook.
struct Hooked {
    number: u32,
    hook: Rc<Hook>,
}

impl Ord for Hooked {
    fn cmp(&self, other: &Self) -> Ordering {
        // Taken out, so that it does not run for its own comparisons.
        let hook = self.hook.borrow_mut().take();
        if let Some(hook) = hook {
            hook();
            *self.hook.borrow_mut() = Some(hook);
        }
        self.number.cmp(&other.number)
    }
}

impl PartialOrd for Hooked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Eq for Hooked {}

impl PartialEq for Hooked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

fn hooked(number: u32, hook: impl Fn() + 'static) -> Hooked {
    Hooked { number, hook: Rc::new(RefCell::new(Some(Box::new(hook)))) }
}

fn plain(number: u32) -> Hooked {
    Hooked { number, hook: Rc::default() }
}

fn numbers(queue: &PriorityQueue<Hooked>) -> Vec<u32> {
    all(queue).iter().map(|value| value.number).collect()
}

#[test]
fn queue_is_as_before_when_a_comparison_panics() {
    let queue = PriorityQueue::new(3);
    for number in [2, 1] {
        assert!(queue.try_put(plain(number)).is_ok());
    }
    for _ in 0..5 {
        let panics = hooked(3, || resume_unwind(Box::new("compared")));
        let put = catch_unwind(AssertUnwindSafe(|| queue.try_put(panics)));
        assert!(put.is_err());
        let panics = hooked(0, || resume_unwind(Box::new("compared")));
        let put = catch_unwind(AssertUnwindSafe(|| queue.put(panics).now_or_never()));
        assert!(put.is_err());
        assert_eq!(queue.len(), 2);
    }
    assert!(queue.try_put(plain(0)).is_ok(), "the room was given back");
    assert!(queue.is_full());
    assert_eq!(numbers(&queue), [0, 1, 2]);
    for _ in 0..3 {
        queue.task_done();
    }
    assert_eq!(queue.join().now_or_never(), Some(()), "what is gone was not counted");
}

#[test]
fn putter_behind_one_whose_comparison_panics_has_its_turn() {
    let queue = PriorityQueue::new(2);
    for number in [1, 2] {
        assert!(queue.try_put(plain(number)).is_ok());
    }
    let pollers = [Poller::new(), Poller::new()];
    let mut panics = Box::pin(queue.put(hooked(3, || resume_unwind(Box::new("compared")))));
    let mut behind = Box::pin(queue.put(plain(4)));
    assert!(pollers[0].poll(&mut panics).is_pending());
    assert!(pollers[1].poll(&mut behind).is_pending());
    assert!(queue.try_get().is_ok());
    assert_eq!(pollers.each_ref().map(Poller::wakes), [1, 0]);
    assert!(catch_unwind(AssertUnwindSafe(|| pollers[0].poll(&mut panics))).is_err());
    assert_eq!(pollers[1].wakes(), 1);
    assert!(matches!(pollers[1].poll(&mut behind), Poll::Ready(Ok(()))));
    assert_eq!(numbers(&queue), [2, 4]);
}

#[test]
fn comparison_that_uses_the_queue_finds_it_busy() {
    let queue = Rc::new(PriorityQueue::new(9));
    assert!(queue.try_put(plain(5)).is_ok());
    let runs = Rc::new(Cell::new(0));
    let hook = {
        let (queue, runs): (Weak<PriorityQueue<Hooked>>, _) = (Rc::downgrade(&queue), runs.clone());
        move || {
            runs.set(runs.get() + 1);
            let queue = queue.upgrade().expect("the test has it");
            assert_eq!(queue.len(), 1, "the new one is not there yet");
            assert!(matches!(queue.try_get(), Err(TryRecvError::Empty)));
            assert!(matches!(queue.try_put(plain(9)), Err(TrySendError::Full(_))));
            assert!(queue.get().now_or_never().is_none());
            assert!(queue.put(plain(9)).now_or_never().is_none());
            assert!(queue.join().now_or_never().is_none());
            assert!(format!("{queue:?}").contains("len: 1"));
        }
    };
    assert!(queue.try_put(hooked(7, hook)).is_ok());
    assert!(runs.get() > 0);
    assert_eq!(numbers(&queue), [5, 7]);
}

#[test]
fn future_polled_in_a_comparison_has_its_turn_afterwards() {
    type Waits = RefCell<Vec<std::pin::Pin<Box<dyn Future<Output = ()>>>>>;
    let queue = Rc::new(PriorityQueue::new(9));
    assert!(queue.try_put(plain(5)).is_ok());
    let waits: Rc<Waits> = Rc::default();
    let poller = Rc::new(Poller::new());
    for wait in [true, false] {
        let queue = Rc::clone(&queue);
        waits.borrow_mut().push(Box::pin(async move {
            match wait {
                true => assert_eq!(queue.get().await.map(|got| got.number), Some(5)),
                false => assert!(queue.put(plain(1)).await.is_ok()),
            }
        }));
    }
    let hook = {
        let (waits, poller) = (Rc::clone(&waits), Rc::clone(&poller));
        move || {
            for wait in &mut *waits.borrow_mut() {
                assert!(poller.poll(wait).is_pending());
            }
        }
    };
    assert!(queue.try_put(hooked(7, hook)).is_ok());
    assert!(poller.wakes() >= 2);
    for wait in &mut *waits.borrow_mut() {
        assert!(poller.poll(wait).is_ready());
    }
    assert_eq!(numbers(&queue), [1, 7]);
}

#[test]
fn shutdown_in_a_comparison_drops_what_is_compared() {
    let queue = Rc::new(PriorityQueue::unbounded());
    assert!(queue.try_put(plain(5)).is_ok());
    let hook = {
        let queue = Rc::downgrade(&queue);
        move || queue.upgrade().expect("the test has it").shutdown(true)
    };
    assert!(queue.try_put(hooked(7, hook)).is_ok(), "it was put before the shutdown");
    assert!(queue.is_empty() && queue.is_shut_down());
    assert_eq!(queue.get().now_or_never().map(|got| got.is_some()), Some(false));
    assert_eq!(queue.join().now_or_never(), Some(()));
}

#[test]
#[should_panic(expected = "at least one value")]
fn capacity_of_zero_panics() {
    drop(Queue::<()>::new(0));
}

#[test]
fn queues_say_in_debug_what_they_are() {
    let queue = PriorityQueue::<u8>::new(2);
    assert_eq!(
        format!("{queue:?}"),
        "PriorityQueue { len: 0, capacity: Some(2), closed: false, .. }"
    );
    let queue = LifoQueue::<u8>::unbounded();
    assert_eq!(format!("{queue:?}"), "LifoQueue { len: 0, capacity: None, closed: false, .. }");
}
