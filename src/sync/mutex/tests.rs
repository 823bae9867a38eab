//! The mutex: order, dropped waiters, panics, and what a waker finds at the unlock.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_util::FutureExt;

use super::*;
use crate::util::test_waker::{Poller, hook_waker};

#[test]
fn guard_gives_the_value_and_unlocks_when_dropped() {
    let mutex = Mutex::new(1);
    *mutex.lock().now_or_never().expect("nobody holds it") += 1;
    let guard = mutex.try_lock().expect("nobody holds it");
    assert_eq!(*guard, 2);
    assert!(mutex.try_lock().is_err());
    assert!(mutex.lock().now_or_never().is_none());
    drop(guard);
    assert_eq!(mutex.into_inner(), 2);
}

#[test]
fn lock_goes_to_whoever_has_waited_longest() {
    let mutex = Mutex::new(());
    let pollers = [Poller::new(), Poller::new()];
    let guard = mutex.try_lock().expect("nobody holds it");
    let mut first = Box::pin(mutex.lock());
    let mut second = Box::pin(mutex.lock());
    assert!(pollers[0].poll(&mut first).is_pending());
    assert!(pollers[1].poll(&mut second).is_pending());
    drop(guard);
    assert_eq!(pollers.each_ref().map(Poller::wakes), [1, 0]);
    assert!(mutex.try_lock().is_err(), "a newcomer does not overtake");
    let Poll::Ready(guard) = pollers[0].poll(&mut first) else { panic!("it is the first's turn") };
    drop(guard);
    assert_eq!(pollers[1].wakes(), 1);
    assert!(pollers[1].poll(&mut second).is_ready());
}

#[test]
fn lock_given_to_a_dropped_waiter_goes_to_the_next() {
    let mutex = Mutex::new(());
    let poller = Poller::new();
    let guard = mutex.try_lock().expect("nobody holds it");
    let mut dropped = Box::pin(mutex.lock());
    let mut next = Box::pin(mutex.lock());
    assert!(Poller::new().poll(&mut dropped).is_pending());
    assert!(poller.poll(&mut next).is_pending());
    drop(guard);
    assert_eq!(poller.wakes(), 0);
    drop(dropped);
    assert_eq!(poller.wakes(), 1);
    assert!(poller.poll(&mut next).is_ready());
}

#[test]
fn waiter_that_is_dropped_leaves_the_line() {
    let mutex = Mutex::new(());
    let guard = mutex.try_lock().expect("nobody holds it");
    let poller = Poller::new();
    let mut dropped = Box::pin(mutex.lock());
    assert!(poller.poll(&mut dropped).is_pending());
    drop(dropped);
    assert_eq!(poller.kept(), 0);
    drop(guard);
    assert!(mutex.try_lock().is_ok());
}

#[test]
fn panic_while_locked_unlocks() {
    let mutex = Mutex::new(1);
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _guard = mutex.try_lock().expect("nobody holds it");
        std::panic::resume_unwind(Box::new("while locked"));
    }));
    assert!(caught.is_err());
    assert_eq!(*mutex.try_lock().expect("unlocked"), 1);
}

#[test]
fn value_can_be_locked_by_the_waker_that_the_unlock_wakes() {
    let mutex = Rc::new(Mutex::new(0));
    let runs = Rc::new(Cell::new(0));
    let waker = {
        let (mutex, runs) = (Rc::clone(&mutex), Rc::clone(&runs));
        hook_waker(move || {
            runs.set(runs.get() + 1);
            if let Ok(mut value) = mutex.try_lock() {
                *value += 1;
            }
        })
    };
    let guard = mutex.try_lock().expect("nobody holds it");
    let mut waiting = Box::pin(mutex.lock());
    assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    drop(guard);
    drop(waiting);
    drop(waker);
    assert!(runs.get() >= 3, "the clone, the wake and the drop ran the hook");
    assert!(*mutex.try_lock().expect("unlocked") >= 1, "the last drop found it unlocked");
}

#[test]
fn unsized_values_can_be_locked() {
    let mutex: Box<Mutex<[u8]>> = Box::new(Mutex::new([1, 2, 3]));
    mutex.try_lock().expect("nobody holds it")[0] = 9;
    assert_eq!(format!("{mutex:?}"), "Mutex { value: [9, 2, 3], .. }");
    let _guard = mutex.try_lock();
    assert_eq!(format!("{mutex:?}"), "Mutex { value: <locked>, .. }");
}

#[test]
fn forgotten_waiter_keeps_the_lock_it_is_given() {
    let mutex = Mutex::new(1);
    let guard = mutex.try_lock().expect("nobody holds it");
    let poller = Poller::new();
    let mut forgotten = Box::pin(mutex.lock());
    assert!(poller.poll(&mut forgotten).is_pending());
    std::mem::forget(forgotten);
    drop(guard);
    assert_eq!(poller.wakes(), 1);
    assert!(mutex.try_lock().is_err());
}

#[test]
fn owned_guard_outlives_other_handles_and_unlocks() {
    let mutex = Rc::new(Mutex::new(String::from("a")));
    let mut guard = Rc::clone(&mutex).lock_owned().now_or_never().expect("it is not locked");
    assert!(mutex.try_lock().is_err());
    assert!(Rc::clone(&mutex).try_lock_owned().is_err());
    assert!(Rc::clone(&mutex).lock_owned().now_or_never().is_none());
    guard.push('b');
    assert!(Rc::ptr_eq(OwnedMutexGuard::mutex(&guard), &mutex));
    let weak = Rc::downgrade(&mutex);
    drop(mutex);
    assert_eq!((format!("{guard:?}"), guard.to_string()), ("\"ab\"".into(), "ab".into()));
    drop(guard);
    assert!(weak.upgrade().is_none());
}

#[test]
fn lock_of_an_owned_guard_goes_to_whoever_has_waited_longest() {
    let mutex = Rc::new(Mutex::new(()));
    let pollers = [Poller::new(), Poller::new(), Poller::new()];
    let guard = Rc::clone(&mutex).try_lock_owned().expect("it is not locked");
    let mut dropped = Box::pin(Rc::clone(&mutex).lock_owned());
    let mut owned = Box::pin(Rc::clone(&mutex).lock_owned());
    let mut borrowed = Box::pin(mutex.lock());
    assert!(pollers[0].poll(&mut dropped).is_pending());
    assert!(pollers[1].poll(&mut owned).is_pending());
    assert!(pollers[2].poll(&mut borrowed).is_pending());
    drop(guard);
    drop(dropped);
    assert_eq!(pollers.each_ref().map(Poller::wakes), [1, 1, 0]);
    let Poll::Ready(guard) = pollers[1].poll(&mut owned) else { panic!("it is its turn") };
    drop(guard);
    assert_eq!(pollers[2].wakes(), 1);
    assert!(pollers[2].poll(&mut borrowed).is_ready());
}

#[test]
fn value_can_be_locked_by_the_waker_that_an_owned_guard_wakes() {
    let mutex = Rc::new(Mutex::new(0));
    let locked = Rc::new(Cell::new(0));
    let waker = {
        let (mutex, locked) = (Rc::clone(&mutex), Rc::clone(&locked));
        hook_waker(move || locked.set(locked.get() + usize::from(mutex.value.try_borrow().is_ok())))
    };
    let guard = Rc::clone(&mutex).try_lock_owned().expect("it is not locked");
    let mut waiting = Box::pin(mutex.lock());
    assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    assert_eq!(locked.get(), 0);
    drop(guard);
    assert_eq!(locked.get(), 1, "the value was given back before the waker was woken");
}

#[test]
fn unsized_values_can_be_locked_by_owned_guards() {
    let mutex: Rc<Mutex<[u8]>> = Rc::new(Mutex::new([1, 2, 3]));
    mutex.clone().try_lock_owned().expect("it is not locked")[0] = 9;
    assert_eq!(*mutex.try_lock().expect("unlocked"), [9, 2, 3]);
}

#[test]
fn guard_of_a_part_keeps_the_lock() {
    let mutex = Mutex::new((1, [2, 3]));
    let guard = MutexGuard::map(mutex.try_lock().expect("it is not locked"), |value| &mut value.1);
    assert!(mutex.try_lock().is_err());
    let guard = MutexGuard::try_map(guard, |part| part.get_mut(7)).expect_err("there are two");
    assert!(mutex.try_lock().is_err());
    let mut guard = MutexGuard::try_map(guard, |part| part.get_mut(1)).expect("there are two");
    *guard = 4;
    drop(guard);
    assert_eq!(*mutex.try_lock().expect("unlocked"), (1, [2, 4]));
}
