//! Waiting for a time of the wall clock, which may be set meanwhile.

use std::time::SystemTime;

use super::{Duration, sleep};
use crate::sys::clock;

/// A change of the wall clock is noticed after this long at most.
const PIECE_MAX: Duration = Duration::from_secs(1);

/// The present time of the wall clock.
///
/// That is [`SystemTime::now`], except on a simulated kernel, whose wall clock is virtual, too.
///
/// # Examples
///
/// ```
/// use corering::time::{self, SystemTime};
///
/// assert!(time::wall() > SystemTime::UNIX_EPOCH);
/// ```
pub fn wall() -> SystemTime {
    clock::wall()
}

/// Waits until the wall clock shows `deadline`, also if it is set meanwhile.
///
/// Other waits go by a clock that nobody sets, and that stands still while the machine is suspended. This
/// one reads the wall clock at least once a second: it ends at most a second late if the clock was set
/// forward, or the machine was suspended past the deadline, and waits longer if the clock was set
/// back. At its end the wall clock has shown the deadline.
///
/// A time that is past lets the other tasks run once.
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
///     let soon = time::wall() + Duration::from_millis(2);
///     time::sleep_until_wall(soon).await;
///     println!("it is past {soon:?}");
/// });
/// ```
pub async fn sleep_until_wall(deadline: SystemTime) {
    let mut left = left_until(deadline);
    loop {
        sleep(left.min(PIECE_MAX)).await;
        left = left_until(deadline);
        if left.is_zero() {
            return;
        }
    }
}

fn left_until(deadline: SystemTime) -> Duration {
    deadline.duration_since(clock::wall()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[corering::test]
    async fn wait_for_wall_clock_ends_when_it_shows_the_time() {
        let soon = wall() + Duration::from_millis(2);
        sleep_until_wall(soon).await;
        assert!(wall() >= soon);
        sleep_until_wall(SystemTime::UNIX_EPOCH).await;
        assert_eq!(crate::metrics().timers, 0);
    }
}
