//! Waiting until a moment has passed.

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::{Duration, Instant, now};
use crate::driver::{self, Driver};
use crate::util::timer_wheel::TimerKey;

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
    timer: Timer,
}

enum Timer {
    /// Not polled yet.
    Idle,
    Armed {
        driver: Rc<Driver>,
        key: TimerKey,
    },
    Elapsed,
}

impl Sleep {
    pub(super) fn new(deadline: Option<Instant>) -> Self {
        Sleep { deadline, timer: Timer::Idle }
    }

    /// When it ends, or `None` for a duration that reaches beyond the clock's end: never.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Whether it has ended, that is, was polled and found ready.
    pub fn is_elapsed(&self) -> bool {
        matches!(self.timer, Timer::Elapsed)
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
        self.disarm();
        self.deadline = deadline;
    }

    fn disarm(&mut self) {
        if let Timer::Armed { driver, key } = mem::replace(&mut self.timer, Timer::Idle) {
            driver.remove_timer(key);
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let current = match driver::current() {
            Ok(driver) => driver,
            Err(error) => panic!("a timer was polled, but {error}"),
        };
        match &self.timer {
            Timer::Elapsed => return Poll::Ready(()),
            Timer::Armed { driver, key } if Rc::ptr_eq(driver, &current) => {
                if driver.update_timer(*key, cx.waker()) {
                    return Poll::Pending;
                }
                self.timer = Timer::Elapsed;
                return Poll::Ready(());
            }
            // Armed in one runtime and awaited in another: the timer moves over.
            Timer::Armed { .. } => self.disarm(),
            Timer::Idle => {}
        }
        // A deadline that has passed goes through the wheel, too: a loop around `sleep(ZERO)` must
        // leave the other tasks and the kernel their turn.
        if let Some(deadline) = self.deadline {
            let key = current.insert_timer(deadline, cx.waker().clone());
            self.timer = Timer::Armed { driver: current, key };
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.disarm();
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
