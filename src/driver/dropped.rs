//! What was dropped in flight keeps its file open, and its address taken, until the kernel has ended
//! it: waiting for that.

use super::driver::{VISITS_MAX, current};

/// Waits until the ring has ended what was dropped in flight by now, by operations that end at once
/// and take a visit to the kernel each. False if there was nothing.
pub(crate) async fn dropped_have_ended<F: Future>(visit: impl Fn() -> F) -> bool {
    let Ok(driver) = current() else { return false };
    let dropped = driver.flight.abandoned();
    let ending = driver.ready.is_ending();
    for _ in 0..VISITS_MAX {
        if !dropped.iter().any(|key| driver.flight.is_held(*key)) && !driver.ready.is_ending() {
            break;
        }
        // Behind the cancels in the queue.
        drop(visit().await);
    }
    ending || !dropped.is_empty()
}
