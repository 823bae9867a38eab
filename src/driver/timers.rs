//! The timers of a shard: each wakes one task at its deadline.

use std::cell::{Cell, RefCell};
use std::task::Waker;
use std::time::Instant;

use crate::sys::clock;
use crate::util::timer_wheel::{TimerKey, TimerWheel};
use crate::util::unwind::shield;

pub(crate) struct Timers {
    wheel: RefCell<TimerWheel<Waker>>,
    /// Kept for its capacity.
    fired: Cell<Vec<Waker>>,
}

impl Timers {
    pub(super) fn new() -> Self {
        Timers { wheel: RefCell::new(TimerWheel::new(clock::now())), fired: Cell::default() }
    }

    /// Timers that are armed.
    pub(super) fn len(&self) -> usize {
        self.wheel.borrow().len()
    }

    /// When the next one fires.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.wheel.borrow().next_deadline()
    }

    /// Arms a timer. The waker is woken once the deadline has passed.
    #[inline(always)]
    pub(crate) fn insert(&self, deadline: Instant, waker: Waker) -> TimerKey {
        self.wheel.borrow_mut().insert(deadline, waker)
    }

    /// Whether a timer is armed still; if so, it will wake this waker.
    pub(crate) fn update(&self, key: TimerKey, waker: &Waker) -> bool {
        let same = match self.wheel.borrow_mut().get_mut(key) {
            None => return false,
            Some(armed) => armed.will_wake(waker),
        };
        if !same {
            let waker = waker.clone();
            let old =
                self.wheel.borrow_mut().get_mut(key).map(|armed| std::mem::replace(armed, waker));
            drop(old);
        }
        true
    }

    /// Takes a timer away, fired or not.
    #[inline]
    pub(crate) fn remove(&self, key: TimerKey) {
        let waker = self.wheel.borrow_mut().remove(key);
        drop(waker);
    }

    /// Wakes the tasks whose deadlines have passed.
    #[inline]
    pub(super) fn fire(&self) {
        if self.wheel.borrow().len() == 0 {
            return;
        }
        let now = clock::now();
        let mut fired = self.fired.take();
        self.wheel.borrow_mut().expire(now, &mut fired);
        fired.drain(..).for_each(|waker| shield(|| waker.wake()));
        self.fired.set(fired);
    }

    /// Takes the wakers of all timers, which are not to fire any more.
    pub(super) fn take_wakers(&self, wakers: &mut Vec<Waker>) {
        self.wheel.borrow_mut().take_values(|| Waker::noop().clone(), wakers);
    }
}
