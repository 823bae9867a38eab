//! The semaphore: order, dropped waiters, and wakers that come back to it.
#![forbid(unsafe_code)]

use std::pin::pin;

use futures_util::FutureExt;

use super::*;
use crate::util::test_waker::{Poller, hook_waker};

#[test]
fn permits_go_back_when_they_are_dropped() {
    let semaphore = Rc::new(Semaphore::new(3));
    let two = semaphore.acquire_many(2).now_or_never().expect("two are free").expect("open");
    assert_eq!((two.permits(), semaphore.available_permits()), (2, 1));
    let owned = Rc::clone(&semaphore).acquire_owned().now_or_never().expect("one is free");
    assert_eq!(semaphore.try_acquire().unwrap_err(), TryAcquireError::NoPermits);
    drop((two, owned));
    assert_eq!(semaphore.available_permits(), 3);
}

#[test]
fn forgotten_permits_do_not_go_back() {
    let semaphore = Rc::new(Semaphore::new(2));
    semaphore.try_acquire().expect("one is free").forget();
    Rc::clone(&semaphore).try_acquire_owned().expect("one is free").forget();
    assert_eq!(semaphore.available_permits(), 0);
    semaphore.add_permits(1);
    assert!(semaphore.try_acquire().is_ok());
}

#[test]
fn permits_go_to_those_that_wait_in_the_order_they_came() {
    let semaphore = Semaphore::new(0);
    let pollers = [Poller::new(), Poller::new(), Poller::new()];
    let (mut first, mut second, mut third) =
        (pin!(semaphore.acquire()), pin!(semaphore.acquire()), pin!(semaphore.acquire()));
    assert!(pollers[0].poll(&mut first).is_pending());
    assert!(pollers[1].poll(&mut second).is_pending());
    assert!(pollers[2].poll(&mut third).is_pending());
    semaphore.add_permits(2);
    assert_eq!(pollers.each_ref().map(Poller::wakes), [1, 1, 0]);
    assert!(pollers[2].poll(&mut third).is_pending());
    let held = pollers[1].poll(&mut second);
    assert!(held.is_ready());
    drop(held);
    assert_eq!(pollers[2].wakes(), 1);
    assert!(pollers[2].poll(&mut third).is_ready());
}

#[test]
fn who_asks_for_many_is_not_overtaken() {
    let semaphore = Semaphore::new(2);
    let (many, few) = (Poller::new(), Poller::new());
    let mut asks_for_three = pin!(semaphore.acquire_many(3));
    let mut asks_for_one = pin!(semaphore.acquire());
    assert!(many.poll(&mut asks_for_three).is_pending());
    assert!(few.poll(&mut asks_for_one).is_pending());
    assert_eq!(semaphore.try_acquire().unwrap_err(), TryAcquireError::NoPermits);
    semaphore.add_permits(1);
    assert_eq!((many.wakes(), few.wakes()), (1, 0));
    assert!(matches!(many.poll(&mut asks_for_three), Poll::Ready(Ok(_))));
}

#[test]
fn waiter_that_is_dropped_leaves_the_line() {
    let semaphore = Semaphore::new(0);
    let (gone, stays) = (Poller::new(), Poller::new());
    let mut next = Box::pin(semaphore.acquire());
    {
        let mut dropped = Box::pin(semaphore.acquire());
        assert!(gone.poll(&mut dropped).is_pending());
        assert!(stays.poll(&mut next).is_pending());
    }
    assert_eq!(gone.kept(), 0, "no waker stays behind");
    semaphore.add_permits(1);
    assert_eq!((gone.wakes(), stays.wakes()), (0, 1));
    assert!(stays.poll(&mut next).is_ready());
}

#[test]
fn permits_given_to_a_dropped_waiter_go_to_the_next() {
    let semaphore = Semaphore::new(0);
    let (gone, stays) = (Poller::new(), Poller::new());
    let mut dropped = Box::pin(semaphore.acquire_many(2));
    let mut next = Box::pin(semaphore.acquire_many(2));
    assert!(gone.poll(&mut dropped).is_pending());
    assert!(stays.poll(&mut next).is_pending());
    semaphore.add_permits(2);
    assert_eq!((gone.wakes(), stays.wakes()), (1, 0));
    drop(dropped);
    assert_eq!(stays.wakes(), 1);
    assert!(stays.poll(&mut next).is_ready());
    drop(next);
    assert_eq!(semaphore.available_permits(), 2);
}

#[test]
fn first_in_line_that_is_dropped_lets_those_behind_have_what_there_is() {
    let semaphore = Semaphore::new(1);
    let (gone, stays) = (Poller::new(), Poller::new());
    let mut asks_for_five = Box::pin(semaphore.acquire_many(5));
    let mut asks_for_one = Box::pin(semaphore.acquire());
    assert!(gone.poll(&mut asks_for_five).is_pending());
    assert!(stays.poll(&mut asks_for_one).is_pending());
    drop(asks_for_five);
    assert_eq!(stays.wakes(), 1);
    assert!(stays.poll(&mut asks_for_one).is_ready());
}

#[test]
fn close_fails_those_that_wait_and_those_that_come() {
    let semaphore = Semaphore::new(1);
    let held = semaphore.try_acquire().expect("one is free");
    let poller = Poller::new();
    let mut waiting = Box::pin(semaphore.acquire());
    assert!(poller.poll(&mut waiting).is_pending());
    semaphore.close();
    assert!(semaphore.is_closed());
    assert_eq!(poller.wakes(), 1);
    assert!(matches!(poller.poll(&mut waiting), Poll::Ready(Err(AcquireError(())))));
    drop(held);
    assert_eq!(semaphore.try_acquire().unwrap_err(), TryAcquireError::Closed);
    assert!(matches!(semaphore.acquire().now_or_never(), Some(Err(_))));
    assert_eq!(semaphore.available_permits(), 1);
}

#[test]
fn waker_of_the_latest_poll_is_the_one_that_is_woken() {
    let semaphore = Semaphore::new(0);
    let (before, after) = (Poller::new(), Poller::new());
    let mut waiting = Box::pin(semaphore.acquire());
    assert!(before.poll(&mut waiting).is_pending());
    assert!(after.poll(&mut waiting).is_pending());
    assert_eq!(before.kept(), 0);
    semaphore.add_permits(1);
    assert_eq!((before.wakes(), after.wakes()), (0, 1));
}

#[test]
fn waker_may_use_the_semaphore_when_cloned_woken_or_dropped() {
    let semaphore = Rc::new(Semaphore::new(0));
    let runs = Rc::new(std::cell::Cell::new(0));
    let waker = || {
        let (semaphore, runs) = (Rc::clone(&semaphore), Rc::clone(&runs));
        hook_waker(move || {
            runs.set(runs.get() + 1);
            drop(semaphore.try_acquire());
            semaphore.add_permits(0);
        })
    };
    let mut first = Box::pin(semaphore.acquire());
    let mut second = Box::pin(semaphore.acquire());
    assert!(first.as_mut().poll(&mut Context::from_waker(&waker())).is_pending());
    assert!(first.as_mut().poll(&mut Context::from_waker(&waker())).is_pending());
    assert!(second.as_mut().poll(&mut Context::from_waker(&waker())).is_pending());
    semaphore.add_permits(1);
    assert!(first.as_mut().poll(&mut Context::from_waker(&waker())).is_ready());
    drop(second);
    assert!(runs.get() >= 9, "three clones, a wake and the drops ran the hook");
    assert_eq!(semaphore.available_permits(), 1);
}

#[test]
fn permit_released_while_the_waker_is_cloned_is_taken_in_the_same_poll() {
    let semaphore = Rc::new(Semaphore::new(0));
    let given = Rc::new(std::cell::Cell::new(false));
    let waker = {
        let semaphore = Rc::clone(&semaphore);
        hook_waker(move || {
            if !given.replace(true) {
                semaphore.add_permits(1);
            }
        })
    };
    let mut waiting = Box::pin(semaphore.acquire());
    assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
}

#[test]
#[should_panic(expected = "more permits than a semaphore can have")]
fn too_many_permits_panic() {
    Semaphore::new(Semaphore::MAX_PERMITS).add_permits(1);
}

/// Random waiters that come, are polled, dropped and served in any order. No permit is lost or made
/// up, the first in line is served as soon as it can be, and a woken waiter has what it asked for.
#[test]
fn permits_are_conserved_in_any_order_of_events() {
    for seed in 1..=60_u64 {
        conserve(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    }
}

fn conserve(mut seed: u64) {
    let mut below = move |bound: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % bound as u64) as usize
    };
    let semaphore = Rc::new(Semaphore::new(4));
    let mut waiting = std::collections::VecDeque::new();
    let mut held = Vec::new();
    for _ in 0..500 {
        match below(5) {
            0 | 1 if waiting.len() < 16 => {
                let wants = 1 + below(4);
                let mut waiter = Box::pin(Rc::clone(&semaphore).acquire_many_owned(wants));
                let poller = Poller::new();
                match poller.poll(&mut waiter) {
                    Poll::Ready(permit) => held.push(permit.expect("open")),
                    Poll::Pending => waiting.push_back((wants, poller, waiter)),
                }
            }
            2 if !held.is_empty() => drop(held.swap_remove(below(held.len()))),
            3 if !waiting.is_empty() => drop(waiting.remove(below(waiting.len()))),
            _ if !waiting.is_empty() => {
                let nth = below(waiting.len());
                let (_, poller, waiter) = &mut waiting[nth];
                let woken = poller.wakes() > 0;
                let polled = poller.poll(waiter);
                assert_eq!(polled.is_ready(), woken, "woken exactly when served");
                if let Poll::Ready(permit) = polled {
                    held.push(permit.expect("open"));
                    drop(waiting.remove(nth));
                }
            }
            _ => {}
        }
        // A served waiter keeps no waker, so those that stand in line are known by theirs.
        let (in_line, served): (Vec<_>, Vec<_>) =
            waiting.iter().partition(|(_, poller, _)| poller.kept() == 1);
        let given: usize = served.iter().map(|(wants, ..)| wants).sum();
        let used: usize = held.iter().map(OwnedPermit::permits).sum();
        assert_eq!(semaphore.available_permits() + given + used, 4);
        let first = in_line.first().map(|(wants, ..)| *wants);
        assert!(first.is_none_or(|wants| wants > semaphore.available_permits()));
    }
    drop((waiting, held));
    assert_eq!(semaphore.available_permits(), 4);
}

#[test]
fn forgotten_waiter_keeps_its_permit_and_the_line_goes_on() {
    let semaphore = Semaphore::new(1);
    let held = semaphore.try_acquire().expect("one is free");
    let poller = Poller::new();
    let mut forgotten = Box::pin(semaphore.acquire());
    assert!(poller.poll(&mut forgotten).is_pending());
    std::mem::forget(forgotten);
    let mut behind = Box::pin(semaphore.acquire());
    assert!(poller.poll(&mut behind).is_pending());
    drop(held);
    assert!(poller.poll(&mut behind).is_pending());
    assert_eq!(semaphore.available_permits(), 0);
    semaphore.add_permits(1);
    assert!(poller.poll(&mut behind).is_ready());
}

#[test]
fn permits_can_be_merged_and_split() {
    let semaphore = Rc::new(Semaphore::new(5));
    let mut permits = Rc::clone(&semaphore).try_acquire_many_owned(2).expect("five are free");
    permits.merge(Rc::clone(&semaphore).try_acquire_many_owned(3).expect("three are free"));
    assert_eq!((permits.permits(), semaphore.available_permits()), (5, 0));
    assert!(Rc::clone(&semaphore).try_acquire_many_owned(1).is_err());
    assert!(permits.split(6).is_none());
    let part = permits.split(4).expect("there are five");
    assert!(Rc::ptr_eq(part.semaphore(), &semaphore));
    assert_eq!((permits.permits(), part.permits()), (1, 4));
    drop(permits);
    assert_eq!(semaphore.available_permits(), 1);
    drop(part);
    assert_eq!(semaphore.available_permits(), 5);
    let mut none = semaphore.try_acquire().expect("five are free").split(0).expect("none");
    assert_eq!(semaphore.available_permits(), 5);
    none.merge(semaphore.try_acquire().expect("five are free"));
    assert_eq!(semaphore.available_permits(), 4);
}

#[test]
#[should_panic(expected = "of the same semaphore")]
fn permits_of_two_semaphores_cannot_be_merged() {
    let (one, other) = (Semaphore::new(1), Semaphore::new(1));
    one.try_acquire().expect("one is free").merge(other.try_acquire().expect("one is free"));
}

#[test]
fn free_permits_can_be_forgotten_and_no_others() {
    let semaphore = Semaphore::new(3);
    let held = semaphore.try_acquire().expect("three are free");
    assert_eq!(semaphore.forget_permits(1), 1);
    assert_eq!(semaphore.forget_permits(9), 1);
    assert_eq!(semaphore.forget_permits(9), 0);
    drop(held);
    assert_eq!(semaphore.available_permits(), 1);
}
