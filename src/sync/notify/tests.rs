//! Notify: what is stored, whom a notification reaches, and where it goes from a dropped waiter.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::rc::Rc;

use futures_util::FutureExt;

use super::*;
use crate::util::test_waker::{Poller, hook_waker};

type Newcomer = Pin<Box<dyn Future<Output = ()>>>;

#[test]
fn one_notification_is_stored_for_the_next_that_comes() {
    let notify = Notify::new();
    notify.notify_one();
    notify.notify_one();
    assert!(notify.notified().now_or_never().is_some());
    assert!(notify.notified().now_or_never().is_none());
}

#[test]
fn notify_one_wakes_who_has_waited_longest() {
    let notify = Notify::new();
    let pollers = [Poller::new(), Poller::new()];
    let (mut first, mut second) = (notify.notified(), notify.notified());
    assert!(pollers[0].poll(&mut first).is_pending());
    assert!(pollers[1].poll(&mut second).is_pending());
    notify.notify_one();
    assert_eq!(pollers.each_ref().map(Poller::wakes), [1, 0]);
    assert!(pollers[0].poll(&mut first).is_ready());
    assert!(pollers[1].poll(&mut second).is_pending());
    notify.notify_one();
    assert!(pollers[1].poll(&mut second).is_ready());
}

#[test]
fn notification_given_to_a_dropped_waiter_goes_to_the_next() {
    let notify = Notify::new();
    let poller = Poller::new();
    let (mut dropped, mut next) = (notify.notified(), notify.notified());
    assert!(Poller::new().poll(&mut dropped).is_pending());
    assert!(poller.poll(&mut next).is_pending());
    notify.notify_one();
    assert_eq!(poller.wakes(), 0);
    drop(dropped);
    assert_eq!(poller.wakes(), 1);
    drop(next);
    assert!(notify.notified().now_or_never().is_some(), "without a next it is stored");
}

#[test]
fn waiter_that_is_dropped_leaves_the_line() {
    let notify = Notify::new();
    let poller = Poller::new();
    let mut dropped = notify.notified();
    assert!(poller.poll(&mut dropped).is_pending());
    drop(dropped);
    assert_eq!(poller.kept(), 0);
    notify.notify_one();
    assert!(notify.notified().now_or_never().is_some());
}

#[test]
fn notify_waiters_wakes_all_that_wait_and_stores_nothing() {
    let notify = Notify::new();
    let poller = Poller::new();
    let mut waiting: Vec<_> = (0..5).map(|_| notify.notified()).collect();
    let mut made_but_not_polled = notify.notified();
    assert!(waiting.iter_mut().all(|waiter| poller.poll(waiter).is_pending()));
    notify.notify_waiters();
    assert_eq!(poller.wakes(), 5);
    assert!(waiting.iter_mut().all(|waiter| poller.poll(waiter).is_ready()));
    assert!(poller.poll(&mut made_but_not_polled).is_ready());
    assert!(notify.notified().now_or_never().is_none());
}

#[test]
fn notification_of_all_given_to_a_dropped_waiter_ends_with_it() {
    let notify = Notify::new();
    let mut dropped = notify.notified();
    assert!(Poller::new().poll(&mut dropped).is_pending());
    notify.notify_waiters();
    drop(dropped);
    assert!(notify.notified().now_or_never().is_none());
}

#[test]
fn waiter_of_an_earlier_round_leaves_the_stored_notification() {
    let notify = Notify::new();
    let mut earlier = notify.notified();
    notify.notify_waiters();
    notify.notify_one();
    assert!(Poller::new().poll(&mut earlier).is_ready());
    assert!(notify.notified().now_or_never().is_some());
}

#[test]
fn waiters_that_come_while_all_are_woken_wait_on() {
    let notify = Rc::new(Notify::new());
    // Dropped at the end of the test at the earliest, so that they stay in line.
    let newcomer: Rc<Cell<Option<Newcomer>>> = Rc::default();
    let waker = {
        let (notify, newcomer) = (Rc::clone(&notify), Rc::clone(&newcomer));
        hook_waker(move || {
            let notify = Rc::clone(&notify);
            let mut comes: Newcomer = Box::pin(async move { notify.notified().await });
            assert!(Poller::new().poll(&mut comes).is_pending());
            drop(newcomer.replace(Some(comes)));
        })
    };
    let mut waiting = notify.notified();
    assert!(Pin::new(&mut waiting).poll(&mut Context::from_waker(&waker)).is_pending());
    notify.notify_waiters();
    let mut comes = newcomer.take().expect("the wake made a newcomer");
    assert!(Poller::new().poll(&mut comes).is_pending(), "this round was not for it");
    assert!(Poller::new().poll(&mut waiting).is_ready());
    notify.notify_waiters();
    assert!(Poller::new().poll(&mut comes).is_ready());
}

#[test]
fn future_that_is_done_stays_done() {
    let notify = Notify::new();
    let mut notified = notify.notified();
    notify.notify_one();
    assert!(Poller::new().poll(&mut notified).is_ready());
    assert!(Poller::new().poll(&mut notified).is_ready());
}

#[test]
fn forgotten_waiter_keeps_one_notification_and_the_line_goes_on() {
    let notify = Notify::new();
    let poller = Poller::new();
    let mut forgotten = Box::pin(notify.notified());
    assert!(poller.poll(&mut forgotten).is_pending());
    std::mem::forget(forgotten);
    let mut behind = Box::pin(notify.notified());
    assert!(poller.poll(&mut behind).is_pending());
    notify.notify_one();
    assert!(poller.poll(&mut behind).is_pending());
    notify.notify_one();
    assert!(poller.poll(&mut behind).is_ready());
}

#[test]
fn enabled_future_has_a_place_before_it_is_polled() {
    let notify = Notify::new();
    let poller = Poller::new();
    let mut enabled = Box::pin(notify.notified());
    let mut behind = Box::pin(notify.notified());
    assert!(!enabled.as_mut().enable());
    assert!(poller.poll(&mut behind).is_pending());
    notify.notify_one();
    assert_eq!(poller.wakes(), 0);
    assert!(poller.poll(&mut enabled).is_ready());
    notify.notify_one();
    assert_eq!(poller.wakes(), 1);
    assert!(behind.as_mut().enable() && behind.is_terminated());
    assert!(poller.poll(&mut behind).is_ready());

    // One that is dropped gives its notification on.
    let mut dropped = Box::pin(notify.notified());
    assert!(!dropped.as_mut().enable());
    notify.notify_one();
    drop(dropped);
    assert!(Box::pin(notify.notified()).as_mut().enable());
}

#[test]
fn enabled_future_that_is_polled_wakes_by_the_last_waker() {
    let notify = Notify::new();
    let poller = Poller::new();
    let mut enabled = Box::pin(notify.notified());
    assert!(!enabled.as_mut().enable());
    assert!(poller.poll(&mut enabled).is_pending());
    notify.notify_one();
    assert_eq!(poller.wakes(), 1);
    assert!(poller.poll(&mut enabled).is_ready());
}
