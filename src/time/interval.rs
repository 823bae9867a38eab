//! Ticks at a fixed distance.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::stream::{FusedStream, Stream};

use super::{Duration, Instant, Sleep, now};

/// Ticks every `period`, the first time at once.
///
/// Ticks that nobody waited for are not lost: they come in a burst, until the interval is back on
/// its beat. [`set_missed_ticks`](Interval::set_missed_ticks) chooses otherwise. After
/// `Duration::MAX` no second tick comes.
///
/// # Panics
///
/// If `period` is zero.
///
/// # Examples
///
/// ```
/// use corering::time::{self, Duration};
///
/// corering::block_on(async {
///     let mut beat = time::interval(Duration::from_millis(1));
///     let first = beat.tick().await;
///     let second = beat.tick().await;
///     assert_eq!(second - first, Duration::from_millis(1));
/// });
/// ```
pub fn interval(period: Duration) -> Interval {
    interval_at(now(), period)
}

/// Ticks every `period`, the first time at `start`.
///
/// # Panics
///
/// If `period` is zero.
///
/// # Examples
///
/// ```
/// use corering::time::{self, Duration};
///
/// corering::block_on(async {
///     let start = time::now() + Duration::from_millis(1);
///     let mut beat = time::interval_at(start, Duration::from_secs(1));
///     assert_eq!(beat.tick().await, start);
/// });
/// ```
pub fn interval_at(start: Instant, period: Duration) -> Interval {
    assert!(!period.is_zero(), "the period of an interval must be greater than zero");
    Interval { sleep: Sleep::new(Some(start)), period, missed_ticks: MissedTicks::default() }
}

/// Ticks at a fixed distance. Made by [`interval`] and [`interval_at`].
///
/// As a [`Stream`] it gives the moments for which its ticks were due, and has no end.
pub struct Interval {
    sleep: Sleep,
    period: Duration,
    missed_ticks: MissedTicks,
}

/// What an [`Interval`] does about ticks for which nobody waited in time.
///
/// They are those of tokio's `MissedTickBehavior`. A tick is late if it is taken more than 5 ms after its
/// moment; with a period below 5 ms, if it is taken a period after it, or later.
///
/// asyncio has no interval, but two idioms. A chain of `loop.call_at(due, ..)` with `due += period` has the
/// beat of [`Burst`](MissedTicks::Burst). A loop that does its work and then `await asyncio.sleep(period)`
/// has its period between the end of one turn and the next: that is [`sleep`](super::sleep) in a
/// loop here, too, or [`Interval::reset`] after the work. It is near [`Delay`](MissedTicks::Delay), which
/// moves the beat only if the work takes longer than the period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MissedTicks {
    /// They come one right after the other, until the interval is back on its beat. The count of
    /// ticks is kept. The default.
    #[default]
    Burst,
    /// The beat moves: the next tick comes one period after the late one was taken.
    Delay,
    /// They are left out: the next tick comes when the beat has its next.
    Skip,
}

impl Interval {
    /// Waits for the next tick, and returns the moment for which it was due.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no tick: the next call waits for the same one.
    ///
    /// # Errors
    ///
    /// None.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::time::{self, Duration};
    ///
    /// corering::block_on(async {
    ///     let mut beat = time::interval(Duration::from_millis(1));
    ///     for _ in 0..3 {
    ///         beat.tick().await;
    ///     }
    /// });
    /// ```
    pub async fn tick(&mut self) -> Instant {
        poll_fn(|cx| self.poll_tick(cx)).await
    }

    /// The next tick, for futures that are written by hand. A tick is pending until its moment.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<Instant> {
        ready!(Pin::new(&mut self.sleep).poll(cx));
        let due = self.sleep.deadline().expect("a sleep without a deadline does not end");
        self.sleep.reset_to(self.after(due, now()));
        Poll::Ready(due)
    }

    /// When the tick after the one of `due` comes, which is taken at `now`; `None` for never.
    fn after(&self, due: Instant, now: Instant) -> Option<Instant> {
        let next = due.checked_add(self.period)?;
        let late = now.saturating_duration_since(due);
        if late <= TOLERANCE && late < self.period {
            return Some(next);
        }
        match self.missed_ticks {
            MissedTicks::Burst => Some(next),
            MissedTicks::Delay => now.checked_add(self.period),
            MissedTicks::Skip => {
                let late = late.as_nanos() % self.period.as_nanos();
                // A remainder is below the period, so its seconds fit as the period's did.
                let late = Duration::new(
                    (late / NANOSECONDS) as u64,
                    u32::try_from(late % NANOSECONDS).expect("a remainder of 10^9 fits"),
                );
                now.checked_add(self.period - late)
            }
        }
    }

    /// Moves the next tick to one period from now. The beat goes on from there.
    pub fn reset(&mut self) {
        self.reset_after(self.period);
    }

    /// Lets the next tick come now. The beat goes on from there.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::time::{self, Duration};
    ///
    /// corering::block_on(async {
    ///     let mut beat = time::interval(Duration::from_secs(3600));
    ///     let first = beat.tick().await;
    ///     beat.reset_immediately();
    ///     assert!(beat.tick().await - first < Duration::from_secs(3600));
    /// });
    /// ```
    pub fn reset_immediately(&mut self) {
        self.reset_at(now());
    }

    /// Moves the next tick to `after` from now; after `Duration::MAX` none comes. The beat goes on from
    /// there.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::time::{self, Duration};
    ///
    /// corering::block_on(async {
    ///     let mut beat = time::interval(Duration::from_secs(3600));
    ///     let first = beat.tick().await;
    ///     beat.reset_after(Duration::from_millis(1));
    ///     assert!(beat.tick().await - first < Duration::from_secs(3600));
    /// });
    /// ```
    pub fn reset_after(&mut self, after: Duration) {
        self.sleep.reset_to(now().checked_add(after));
    }

    /// Moves the next tick to `deadline`, and the beat with it. If that is past, the tick comes
    /// now, and those that follow are missed ones.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::time::{self, Duration};
    ///
    /// corering::block_on(async {
    ///     let mut beat = time::interval(Duration::from_secs(3600));
    ///     let soon = beat.tick().await + Duration::from_millis(1);
    ///     beat.reset_at(soon);
    ///     assert_eq!(beat.tick().await, soon);
    /// });
    /// ```
    pub fn reset_at(&mut self, deadline: Instant) {
        self.sleep.reset_to(Some(deadline));
    }

    /// The distance of the ticks.
    pub fn period(&self) -> Duration {
        self.period
    }

    /// What happens to ticks for which nobody waited in time.
    pub fn missed_ticks(&self) -> MissedTicks {
        self.missed_ticks
    }

    /// Chooses what happens to ticks for which nobody waited in time. Default:
    /// [`MissedTicks::Burst`].
    pub fn set_missed_ticks(&mut self, missed_ticks: MissedTicks) {
        self.missed_ticks = missed_ticks;
    }
}

impl Stream for Interval {
    type Item = Instant;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Instant>> {
        self.poll_tick(cx).map(Some)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::MAX, None)
    }
}

impl FusedStream for Interval {
    fn is_terminated(&self) -> bool {
        false
    }
}

impl fmt::Debug for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interval")
            .field("next", &self.sleep.deadline())
            .field("period", &self.period)
            .field("missed_ticks", &self.missed_ticks)
            .finish()
    }
}

/// A tick that is taken this long after its moment is still in time.
const TOLERANCE: Duration = Duration::from_millis(5);

const NANOSECONDS: u128 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn beat(missed_ticks: MissedTicks) -> (Interval, Instant) {
        let start = now();
        let mut interval = interval_at(start, Duration::from_secs(10));
        interval.set_missed_ticks(missed_ticks);
        (interval, start)
    }

    #[test]
    fn a_tick_in_time_is_followed_by_one_a_period_after_it() {
        for missed_ticks in [MissedTicks::Burst, MissedTicks::Delay, MissedTicks::Skip] {
            let (interval, start) = beat(missed_ticks);
            for taken in [start, start + TOLERANCE] {
                assert_eq!(interval.after(start, taken), Some(start + Duration::from_secs(10)));
            }
        }
    }

    #[test]
    fn a_tick_within_its_period_may_be_late() {
        let next = |missed_ticks| {
            let (interval, start) = beat(missed_ticks);
            let taken = start + TOLERANCE + Duration::from_nanos(1);
            interval.after(start, taken).expect("it is near") - start
        };
        assert_eq!(next(MissedTicks::Burst), Duration::from_secs(10));
        assert_eq!(next(MissedTicks::Delay), Duration::new(10, 5_000_001));
        assert_eq!(next(MissedTicks::Skip), Duration::from_secs(10));
    }

    #[test]
    fn a_tick_of_a_short_period_is_late_by_a_period() {
        let start = now();
        let mut interval = interval_at(start, Duration::from_millis(1));
        let taken = start + Duration::from_micros(1_500);
        for (missed_ticks, next) in
            [(MissedTicks::Burst, 1_000), (MissedTicks::Delay, 2_500), (MissedTicks::Skip, 2_000)]
        {
            interval.set_missed_ticks(missed_ticks);
            assert_eq!(interval.after(start, taken), Some(start + Duration::from_micros(next)));
        }
    }

    #[test]
    fn missed_ticks_burst_move_the_beat_or_are_left_out() {
        let next = |missed_ticks| {
            let (interval, start) = beat(missed_ticks);
            let taken = start + Duration::from_secs(34);
            interval.after(start, taken).expect("it is near") - start
        };
        assert_eq!(next(MissedTicks::Burst), Duration::from_secs(10));
        assert_eq!(next(MissedTicks::Delay), Duration::from_secs(44));
        assert_eq!(next(MissedTicks::Skip), Duration::from_secs(40));
    }

    #[test]
    fn a_period_beyond_the_end_of_the_clock_has_no_second_tick() {
        let interval = interval(Duration::MAX);
        assert_eq!(interval.after(now(), now()), None);
    }

    #[test]
    #[should_panic(expected = "greater than zero")]
    fn a_period_of_zero_is_refused() {
        let _ = interval(Duration::ZERO);
    }
}
