//! The budget of a poll: how many leaves a task may begin before it lets the others run.
//!
//! A source that is always ready, a socket under a flood or a channel that a thread feeds, never
//! makes its task wait. The scheduler gives each poll of a task a number of units, and every leaf
//! (a future of the library that waits for nothing but its own source) takes one. A leaf that finds
//! none wakes its task and waits, so the task goes to the back of the run queue.
//!
//! An operation pays when it begins, never when its result is taken: a result that is there is
//! given, or a time limit would win against it. What does not begin anything, a channel, a lock or a
//! queue of what has arrived, pays when it is ready.
//!
//! No leaf is refused twice in a row. Otherwise the second future of a `join!`, which are polled in
//! one order, would find at each poll that the first has taken everything.

use std::cell::Cell;
use std::future::poll_fn;
use std::task::{Context, Poll, Waker, ready};

/// Units of one poll. Few enough that the other tasks run again within microseconds, enough that
/// the trip through the run queue costs little for each.
const PER_POLL: i64 = 128;

/// Outside a runtime nobody waits for the turn of another.
const UNLIMITED: i64 = i64::MAX;

// Without a destructor, so that it can be used as long as the thread runs.
thread_local! {
    /// What is left to the poll that runs on this thread.
    static LEFT: Cell<i64> = const { Cell::new(UNLIMITED) };
}

/// A poll of a task, or of a main future, begins.
#[inline(always)]
pub(crate) fn begin_poll() {
    LEFT.set(PER_POLL);
}

/// Units that were taken since [`begin_poll`].
#[inline(always)]
pub(crate) fn taken() -> i64 {
    PER_POLL - LEFT.get()
}

/// Until it is dropped, polls are counted here for themselves; then the thread has what it had.
pub(crate) struct Apart(i64);

impl Apart {
    pub(crate) fn begin() -> Self {
        Apart(LEFT.replace(UNLIMITED))
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        LEFT.set(self.0);
    }
}

/// Runs `poll` without a limit. What it takes is missing afterwards, as far as there was something.
pub(crate) fn without_limit<T>(poll: impl FnOnce() -> T) -> T {
    struct Restore(i64);
    impl Drop for Restore {
        fn drop(&mut self) {
            let taken = UNLIMITED - LEFT.get();
            LEFT.set(self.0.saturating_sub(taken).max(0));
        }
    }
    let _restore = Restore(LEFT.replace(UNLIMITED));
    poll()
}

/// Takes a unit, or waits for the task's next turn: for what makes calls in a loop of its own.
pub(crate) async fn pay() {
    let mut toll = Toll::Due;
    poll_fn(|cx| toll.pay(cx.waker())).await;
}

/// Takes a unit for what has come, and whoever finds none puts it back: then the waker was woken.
///
/// The waker is user code; nothing may be borrowed.
#[inline(always)]
pub(crate) fn take(waker: &Waker) -> bool {
    let left = LEFT.get() - 1;
    LEFT.set(left);
    if left < 0 { nothing_left(waker) } else { true }
}

#[cold]
fn nothing_left(waker: &Waker) -> bool {
    LEFT.set(0);
    waker.wake_by_ref();
    false
}

/// Takes units for what has turned out to be more than an operation: whoever pays next waits longer.
pub(crate) fn take_more(units: u64) {
    LEFT.set(LEFT.get().saturating_sub_unsigned(units));
}

/// What a leaf owes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Toll {
    /// A unit.
    #[default]
    Due,
    /// A unit, and it cannot be refused: it was, the last time.
    Refused,
}

impl Toll {
    /// For a leaf that is about to begin. Pending: it was refused, and its waker was woken.
    ///
    /// The waker is user code; nothing may be borrowed.
    #[inline(always)]
    pub(crate) fn pay(&mut self, waker: &Waker) -> Poll<()> {
        let left = LEFT.get() - 1;
        LEFT.set(left);
        if left < 0 { self.overdrawn(waker) } else { Poll::Ready(()) }
    }

    /// For a leaf that pays when it is ready, each time: polls it, unless there is nothing to pay
    /// with.
    #[inline]
    pub(crate) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        if LEFT.get() <= 0 {
            ready!(self.overdrawn(cx.waker()));
        }
        let polled = poll(cx);
        if polled.is_ready() {
            *self = Toll::Due;
            LEFT.set(LEFT.get() - 1);
        }
        polled
    }

    #[cold]
    fn overdrawn(&mut self, waker: &Waker) -> Poll<()> {
        LEFT.set(0);
        if *self == Toll::Refused {
            *self = Toll::Due;
            return Poll::Ready(());
        }
        *self = Toll::Refused;
        waker.wake_by_ref();
        Poll::Pending
    }
}

/// Takes all that is left to this poll.
#[cfg(test)]
pub(crate) fn exhaust() {
    LEFT.set(0);
}
