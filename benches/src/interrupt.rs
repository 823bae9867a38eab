//! Ctrl-C and SIGTERM as a flag, so that what was measured so far can still be written.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Whether this process was asked to end. A second request ends it at once.
#[derive(Clone, Debug, Default)]
pub struct Interrupt {
    is_asked: Arc<AtomicBool>,
    deadline: Option<Instant>,
}

impl Interrupt {
    /// Starts to watch for SIGINT and SIGTERM.
    pub fn install() -> io::Result<Self> {
        let interrupt = Interrupt::default();
        for signal in [SIGINT, SIGTERM] {
            // In this order: at the first signal the flag is not yet set, and only sets it.
            flag::register_conditional_shutdown(signal, 130, interrupt.is_asked.clone())?;
            flag::register(signal, interrupt.is_asked.clone())?;
        }
        Ok(interrupt)
    }

    /// The same request to end, for work that has to end at `deadline` in any case.
    #[must_use]
    pub fn with_deadline(&self, deadline: Instant) -> Self {
        Interrupt { is_asked: self.is_asked.clone(), deadline: Some(deadline) }
    }

    /// True once the process was asked to end, or the deadline has passed.
    pub fn is_set(&self) -> bool {
        self.is_asked.load(Ordering::Relaxed)
            || self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Asks to end, as a signal would.
    pub fn set(&self) {
        self.is_asked.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Interrupt;

    #[test]
    fn a_deadline_ends_its_own_work_and_no_other() {
        let interrupt = Interrupt::default();
        let now = Instant::now();
        assert!(interrupt.with_deadline(now).is_set());
        assert!(!interrupt.with_deadline(now + Duration::from_secs(3600)).is_set());
        assert!(!interrupt.is_set());
    }

    #[test]
    fn a_request_to_end_reaches_work_that_has_a_deadline() {
        let interrupt = Interrupt::default();
        let limited = interrupt.with_deadline(Instant::now() + Duration::from_secs(3600));
        interrupt.set();
        assert!(limited.is_set());
    }
}
