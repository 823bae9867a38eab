//! Waiting until a moment has passed.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::future::FusedFuture;

use super::{Duration, Instant, now};
use crate::driver::Alarm;
use crate::util::budget::Toll;

/// Waits for `duration` from now on; `Duration::MAX` is for ever.
///
/// The time counts from this call, not from the first poll. Even a duration of zero lets the other
/// tasks run once.
///
/// # Cancel safety
///
/// Dropping the future takes the timer away; nothing is lost.
///
/// # Errors
///
/// None.
///
/// # Panics
///
/// When polled outside a runtime.
///
/// # Examples
///
/// ```
/// use corering::time::{self, Duration};
///
/// corering::block_on(async {
///     let begin = time::now();
///     time::sleep(Duration::from_millis(2)).await;
///     assert!(time::now() - begin >= Duration::from_millis(2));
/// });
/// ```
pub fn sleep(duration: Duration) -> Sleep {
    Sleep::new(now().checked_add(duration))
}

/// Waits until `deadline` has passed.
///
/// # Cancel safety
///
/// Dropping the future takes the timer away; nothing is lost.
///
/// # Errors
///
/// None.
///
/// # Panics
///
/// When polled outside a runtime.
///
/// # Examples
///
/// ```
/// use corering::time::{self, Duration};
///
/// corering::block_on(async {
///     let deadline = time::now() + Duration::from_millis(2);
///     time::sleep_until(deadline).await;
///     assert!(time::now() >= deadline);
/// });
/// ```
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep::new(Some(deadline))
}

/// The future of [`sleep`] and [`sleep_until`].
///
/// It can be moved, polled again after its end (and is then still ready), and set to another
/// deadline by [`reset`](Self::reset).
#[must_use = "a sleep does nothing until it is awaited"]
pub struct Sleep {
    /// `None`: never.
    deadline: Option<Instant>,
    alarm: Alarm,
    elapsed: bool,
    /// Of a poll after the end, the only one that is ready at once.
    toll: Toll,
}

impl Sleep {
    pub(super) fn new(deadline: Option<Instant>) -> Self {
        Sleep { deadline, alarm: Alarm::default(), elapsed: false, toll: Toll::Due }
    }

    /// When it ends, or `None` for a duration that reaches beyond the clock's end: never.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Whether it has ended, that is, was polled and found ready.
    pub fn is_elapsed(&self) -> bool {
        self.elapsed
    }

    /// Begins anew with another deadline, whether it has ended or not. Whoever waits for it has to
    /// poll it again.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::time::{self, Duration};
    ///
    /// corering::block_on(async {
    ///     let mut sleep = time::sleep(Duration::MAX);
    ///     sleep.reset(time::now() + Duration::from_millis(1));
    ///     (&mut sleep).await;
    ///     assert!(sleep.is_elapsed());
    /// });
    /// ```
    pub fn reset(&mut self, deadline: Instant) {
        self.reset_to(Some(deadline));
    }

    pub(super) fn reset_to(&mut self, deadline: Option<Instant>) {
        self.alarm.stop();
        self.elapsed = false;
        self.deadline = deadline;
    }

    /// As `poll` of one that has not ended.
    #[inline]
    pub(super) fn poll_alarm(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline else { return Poll::Pending };
        match ready!(self.alarm.poll(deadline, cx.waker())) {
            Ok(()) => {
                self.elapsed = true;
                Poll::Ready(())
            }
            Err(error) => nowhere(&error),
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.elapsed {
            return self.toll.poll(cx, |_| Poll::Ready(()));
        }
        self.poll_alarm(cx)
    }
}

#[cold]
fn nowhere(error: &io::Error) -> ! {
    panic!("a timer was polled, but {error}")
}

impl FusedFuture for Sleep {
    fn is_terminated(&self) -> bool {
        self.elapsed
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep")
            .field("deadline", &self.deadline)
            .field("is_elapsed", &self.is_elapsed())
            .finish()
    }
}
