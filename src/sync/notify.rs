//! A notification without a value.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use futures_util::future::FusedFuture;

use super::line::{self, Service};
use crate::util::budget::{self, Toll};
use crate::util::line::{Line, Place, leave, wake_each};
use crate::util::shard_bound::{ShardBound, UseStdSyncAcrossThreads};

/// Tells tasks of the shard that something has changed. What, they see for themselves.
///
/// [`notify_one`](Notify::notify_one) wakes one task; if none waits it is stored, once, for the next
/// that comes. So a task that looks, finds nothing, and then waits misses no notification.
/// [`notify_waiters`](Notify::notify_waiters) wakes all that wait at that moment and stores nothing.
#[derive(Debug)]
pub struct Notify {
    state: ShardBound<RefCell<State>, dyn UseStdSyncAcrossThreads>,
}

/// The future of [`Notify::notified`].
#[must_use = "a future does nothing unless it is awaited"]
#[derive(Debug)]
pub struct Notified<'a> {
    notify: &'a Notify,
    /// The round in which the future was made: a later one has notified it.
    round: u64,
    place: Place,
    toll: Toll,
    done: bool,
}

impl Notify {
    /// A `Notify` without a stored notification.
    ///
    /// ```
    /// use corering::sync::Notify;
    /// use futures_util::FutureExt;
    ///
    /// assert!(Notify::new().notified().now_or_never().is_none());
    /// ```
    pub const fn new() -> Self {
        let state = State { line: Line::new(), stored: false, round: 0 };
        Notify { state: ShardBound::new(RefCell::new(state)) }
    }

    /// Waits for a notification, or takes the stored one.
    ///
    /// ```
    /// # corering::block_on(async {
    /// let notify = corering::sync::Notify::new();
    /// let ready = std::cell::Cell::new(false);
    /// let wait = async {
    ///     while !ready.get() {
    ///         notify.notified().await;
    ///     }
    /// };
    /// let set = async {
    ///     ready.set(true);
    ///     notify.notify_one();
    /// };
    /// corering::join!(wait, set);
    /// # });
    /// ```
    ///
    /// The future counts as waiting for [`notify_waiters`](Notify::notify_waiters) from the moment
    /// it is made, and for [`notify_one`](Notify::notify_one) from its first poll.
    ///
    /// # Cancel safety
    ///
    /// A dropped future leaves the line; if `notify_one` had chosen it, the notification goes to the
    /// next in line, or is stored.
    ///
    /// # Errors
    ///
    /// None; waiting cannot fail.
    pub fn notified(&self) -> Notified<'_> {
        let round = self.state.borrow().round;
        Notified { notify: self, round, place: None, toll: Toll::Due, done: false }
    }

    /// Waits for a notification unless `has_happened` says that what it tells of has happened already.
    pub(super) async fn notified_unless(&self, has_happened: impl FnOnce() -> bool) {
        // Made before the look, so that a notification between the two is not missed.
        let notified = self.notified();
        match has_happened() {
            true => budget::pay().await,
            false => notified.await,
        }
    }

    /// Wakes the task that has waited longest, or stores the notification if none waits.
    ///
    /// At most one is stored, however often this is called.
    ///
    /// ```
    /// # corering::block_on(async {
    /// let notify = corering::sync::Notify::new();
    /// notify.notify_one();
    /// notify.notified().await;
    /// # });
    /// ```
    pub fn notify_one(&self) {
        let mut state = self.state.borrow_mut();
        let first = state.line.call_first(Notification::One);
        if first.is_none() {
            state.stored = true;
        }
        drop(state);
        if let Some(waker) = first {
            waker.wake();
        }
    }

    /// Wakes all that wait now. Stores nothing for those that come later.
    ///
    /// ```
    /// # corering::block_on(async {
    /// let notify = corering::sync::Notify::new();
    /// let (one, other) = (notify.notified(), notify.notified());
    /// notify.notify_waiters();
    /// corering::join!(one, other);
    /// # });
    /// ```
    pub fn notify_waiters(&self) {
        self.state.borrow_mut().round += 1;
        wake_each(&self.state, State::serve_first);
    }
}

impl Notified<'_> {
    /// Waits for [`notify_one`](Notify::notify_one) from now on, and not only from the first poll. Returns true
    /// if the notification has come; then the future is ready.
    ///
    /// ```
    /// use std::pin::pin;
    ///
    /// use corering::sync::Notify;
    ///
    /// corering::block_on(async {
    ///     let notify = Notify::new();
    ///     let mut notified = pin!(notify.notified());
    ///     assert!(!notified.as_mut().enable());
    ///     // Wakes the one that waits already, and stores nothing.
    ///     notify.notify_one();
    ///     assert!(notified.as_mut().enable());
    ///     notified.await;
    /// });
    /// ```
    pub fn enable(mut self: Pin<&mut Self>) -> bool {
        // The poll that waits brings the waker.
        self.as_mut().poll_free(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    fn poll_free(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let notified = &mut *self;
        if !notified.done {
            let Notified { notify, round, place, .. } = notified;
            ready!(line::poll(&notify.state, place, *round, cx));
            notified.done = true;
        }
        Poll::Ready(())
    }
}

impl Default for Notify {
    fn default() -> Self {
        Notify::new()
    }
}

impl Future for Notified<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut toll = self.toll;
        let polled = toll.poll(cx, |cx| self.as_mut().poll_free(cx));
        self.toll = toll;
        polled
    }
}

impl FusedFuture for Notified<'_> {
    fn is_terminated(&self) -> bool {
        self.done
    }
}

impl Drop for Notified<'_> {
    fn drop(&mut self) {
        let left = leave(&self.notify.state, |state| state.line.leave(&mut self.place));
        if let Some(Notification::One) = left {
            self.notify.notify_one();
        }
    }
}

#[derive(Debug)]
struct State {
    /// Each waiter with the round in which it came.
    line: Line<u64, Notification>,
    stored: bool,
    /// Counts `notify_waiters`. Those that wait came in this round, or are about to be woken.
    round: u64,
}

#[derive(Clone, Copy, Debug)]
enum Notification {
    One,
    All,
}

impl State {
    /// Notifies the first in line if it came in an earlier round, and gives its waker.
    fn serve_first(&mut self) -> Option<Waker> {
        if self.line.first()? == self.round {
            return None;
        }
        self.line.call_first(Notification::All)
    }
}

impl Service for State {
    type Wants = u64;
    type Given = Notification;

    fn line(&mut self) -> &mut Line<u64, Notification> {
        &mut self.line
    }

    fn serve_newcomer(&mut self, round: u64) -> Option<Notification> {
        if round != self.round {
            return Some(Notification::All);
        }
        std::mem::take(&mut self.stored).then_some(Notification::One)
    }
}

#[cfg(test)]
mod tests;
