//! The clock of this thread: the kernel's monotonic one, or a simulated world's virtual one.

use std::time::{Duration, Instant};

#[cfg(feature = "sim")]
thread_local! {
    static VIRTUAL: std::cell::Cell<Option<Instant>> = const { std::cell::Cell::new(None) };
}

/// The present moment. Virtual where a simulated world is installed on this thread.
#[inline]
pub(crate) fn now() -> Instant {
    #[cfg(feature = "sim")]
    if let Some(now) = VIRTUAL.get() {
        return now;
    }
    Instant::now()
}

/// Sets this thread's clock to a virtual moment, or back to the kernel's with `None`.
#[cfg(feature = "sim")]
pub(crate) fn set_virtual(now: Option<Instant>) {
    VIRTUAL.set(now);
}

/// Gives way for a while, when asking again at once would be of no use. No time passes for a
/// simulated world.
pub(crate) fn pause(duration: Duration) {
    #[cfg(feature = "sim")]
    if VIRTUAL.get().is_some() {
        return;
    }
    std::thread::sleep(duration);
}
