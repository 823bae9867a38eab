//! A moment that a future waits for.

use std::io;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Instant;

use super::driver::{Driver, current};
use crate::util::timer_wheel::TimerKey;

/// A timer of the runtime that runs, or none. Begun in one runtime and awaited in another, it moves
/// over. Dropped, it rings no more.
#[derive(Default)]
pub(crate) struct Alarm(Option<(Rc<Driver>, TimerKey)>);

impl Alarm {
    /// Ready once the timer has fired. Without one, it is set for the deadline, also for one that
    /// has passed: a loop around it leaves the other tasks and the kernel their turn.
    pub(crate) fn poll(&mut self, deadline: Instant, waker: &Waker) -> Poll<io::Result<()>> {
        if let Some((driver, key)) = &self.0
            && driver.is_here()
        {
            if driver.timers.update(*key, waker) {
                return Poll::Pending;
            }
            self.0 = None;
            return Poll::Ready(Ok(()));
        }
        let driver = current()?;
        self.stop();
        let key = driver.timers.insert(deadline, waker.clone());
        self.0 = Some((driver, key));
        Poll::Pending
    }

    /// Takes the timer away.
    pub(crate) fn stop(&mut self) {
        if let Some((driver, key)) = self.0.take() {
            driver.timers.remove(key);
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.stop();
    }
}
