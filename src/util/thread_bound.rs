//! A value that only its own thread may touch, in a wrapper that any thread may hold.

use std::mem::ManuallyDrop;
use std::thread::{self, ThreadId};

/// Holds a value for the thread that made it. Elsewhere it can be moved and dropped, and no more;
/// dropped elsewhere, the value is leaked.
pub(crate) struct ThreadBound<T> {
    value: ManuallyDrop<T>,
    thread: ThreadId,
}

// SAFETY: `get` and `drop` touch the value on its own thread only, and no thread has the number of
// another, dead or alive.
unsafe impl<T> Send for ThreadBound<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for ThreadBound<T> {}

impl<T> ThreadBound<T> {
    /// Binds a value to the calling thread.
    pub(crate) fn new(value: T) -> Self {
        ThreadBound { value: ManuallyDrop::new(value), thread: thread::current().id() }
    }

    /// The value, on its own thread.
    pub(crate) fn get(&self) -> Option<&T> {
        self.is_here().then(|| &*self.value)
    }

    fn is_here(&self) -> bool {
        thread::current().id() == self.thread
    }
}

impl<T> Drop for ThreadBound<T> {
    fn drop(&mut self) {
        if self.is_here() {
            // SAFETY: the value is dropped once, here, and is not used again.
            unsafe { ManuallyDrop::drop(&mut self.value) };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    #[test]
    fn value_is_there_on_its_own_thread_alone() {
        let bound = ThreadBound::new(Rc::new(1));
        assert_eq!(bound.get().map(|value| **value), Some(1));
        thread::scope(|scope| {
            scope.spawn(|| assert!(bound.get().is_none()));
        });
    }

    #[test]
    fn value_is_dropped_at_home_and_leaked_elsewhere() {
        let value = Rc::new(());
        drop(ThreadBound::new(value.clone()));
        assert_eq!(Rc::strong_count(&value), 1);
        let abroad = ThreadBound::new(value.clone());
        thread::spawn(move || drop(abroad)).join().expect("it does not panic");
        assert_eq!(Rc::strong_count(&value), 2);
    }
}
