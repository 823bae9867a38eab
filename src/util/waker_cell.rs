//! The waker of the one task that may wait, where only one may.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::fmt;
use std::task::Waker;

#[derive(Default)]
pub(crate) struct WakerCell(Cell<Option<Waker>>);

impl WakerCell {
    /// Keeps a waker for the next `wake`. Cloning and dropping wakers is user code that may bring
    /// about what the caller waits for, so the caller looks again afterwards.
    pub(crate) fn register(&self, waker: &Waker) {
        let kept = self.0.take();
        if kept.as_ref().is_some_and(|kept| kept.will_wake(waker)) {
            self.0.set(kept);
            return;
        }
        self.0.set(Some(waker.clone()));
        drop(kept);
    }

    /// Wakes the task that waits, if one does.
    pub(crate) fn wake(&self) {
        if let Some(waker) = self.0.take() {
            waker.wake();
        }
    }

    /// Forgets the waker: nobody waits any more.
    pub(crate) fn clear(&self) {
        drop(self.0.take());
    }

    /// Forgets the waker when the future that holds this is done or dropped.
    pub(crate) fn clear_on_drop(&self) -> ClearOnDrop<'_> {
        ClearOnDrop(self)
    }
}

impl fmt::Debug for WakerCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WakerCell")
    }
}

pub(crate) struct ClearOnDrop<'a>(&'a WakerCell);

impl Drop for ClearOnDrop<'_> {
    fn drop(&mut self) {
        self.0.clear();
    }
}
