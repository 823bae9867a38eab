//! What was dropped in flight keeps its file open, and its address taken, until the kernel has ended
//! it: seeing to it that this is soon, and waiting for it.

use std::ptr;

use super::{CURRENT, Driver, current};
use crate::sys::ring::Wait;
use crate::util::linked_slab::Key;

/// Visits to the kernel in which what was cancelled has ended, if only because nothing else is left:
/// one visit brings some twenty completions.
const VISITS_MAX: usize = 256;

impl Driver {
    /// Outside this driver's runtime nobody visits the kernel before that runs again: the one that
    /// has just cancelled the operation does so.
    pub(super) fn visit_from_outside(&self, cancelled: Key) {
        if ptr::eq(CURRENT.get(), self) {
            return;
        }
        for _ in 0..VISITS_MAX {
            if !self.is_usable() || !self.is_uring || !self.is_held(cancelled) {
                return;
            }
            self.visit(Wait::No);
        }
    }
}

/// Waits until the ring has ended what was dropped in flight by now, by operations that end at once
/// and take a visit to the kernel each. False if there was nothing.
pub(crate) async fn dropped_have_ended<F: Future>(visit: impl Fn() -> F) -> bool {
    let Ok(driver) = current() else { return false };
    let dropped = driver.state.borrow_mut().slots.abandoned();
    for _ in 0..VISITS_MAX {
        if !dropped.iter().any(|key| driver.is_held(*key)) {
            break;
        }
        // Behind the cancels in the queue.
        drop(visit().await);
    }
    !dropped.is_empty()
}
