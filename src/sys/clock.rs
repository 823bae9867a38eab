//! The clocks of this thread: the kernel's monotonic one and its wall clock, or the virtual ones of a
//! simulated world.

use std::time::{Duration, Instant, SystemTime};

#[cfg(feature = "sim")]
thread_local! {
    static VIRTUAL: std::cell::Cell<Option<Virtual>> = const { std::cell::Cell::new(None) };
}

/// The present moment by both clocks of a simulated world.
#[cfg(feature = "sim")]
#[derive(Clone, Copy)]
pub(crate) struct Virtual {
    pub(crate) now: Instant,
    pub(crate) wall: SystemTime,
}

/// The present moment. Virtual where a simulated world is installed on this thread.
#[inline]
pub(crate) fn now() -> Instant {
    #[cfg(feature = "sim")]
    if let Some(moment) = VIRTUAL.get() {
        return moment.now;
    }
    Instant::now()
}

/// The present time of the wall clock, which people and programs may set. Virtual as [`now`] is.
pub(crate) fn wall() -> SystemTime {
    #[cfg(feature = "sim")]
    if let Some(moment) = VIRTUAL.get() {
        return moment.wall;
    }
    SystemTime::now()
}

/// Sets this thread's clocks to a virtual moment, or back to the kernel's with `None`.
#[cfg(feature = "sim")]
pub(crate) fn set_virtual(moment: Option<Virtual>) {
    VIRTUAL.set(moment);
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
