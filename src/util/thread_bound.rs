//! A value that stays with its thread, inside something that may go to others: the buffer in an error,
//! the line behind a waker.

use std::cell::Cell;
use std::mem::{self, ManuallyDrop};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

/// A value that is reached, and dropped, on the thread that made it, and on no other.
///
/// Dropped elsewhere, the value is leaked and [`leaked`] counts it: its thread may have ended, so
/// there is nobody who could be asked to drop it.
pub(crate) struct ThreadBound<T> {
    home: u64,
    value: ManuallyDrop<T>,
}

// SAFETY: another thread moves the bytes of the value, and does nothing else with them. Every access
// (`get`, `into_inner`) and the drop first compare the number of the calling thread with that of the
// thread that made the value, and no two threads of a process ever have the same. Whoever hands the
// whole over synchronises its bytes; leaking is always allowed.
unsafe impl<T> Send for ThreadBound<T> {}

// SAFETY: as above: a shared reference gives access to the value on its own thread alone.
unsafe impl<T> Sync for ThreadBound<T> {}

impl<T> ThreadBound<T> {
    /// Binds a value to the calling thread.
    pub(crate) fn new(value: T) -> Self {
        ThreadBound { home: this_thread(), value: ManuallyDrop::new(value) }
    }

    /// The value; `None` on another thread.
    pub(crate) fn get(&self) -> Option<&T> {
        self.is_at_home().then_some(&self.value)
    }

    /// The value; `None` on another thread.
    #[cfg(any(all(test, not(loom)), feature = "hyper"))]
    pub(crate) fn get_mut(&mut self) -> Option<&mut T> {
        self.is_at_home().then_some(&mut *self.value)
    }

    /// Takes the value out; `None`, and a leak, on another thread.
    pub(crate) fn into_inner(self) -> Option<T> {
        if !self.is_at_home() {
            return None;
        }
        let this = ManuallyDrop::new(self);
        // SAFETY: the value is there until it is dropped, which `this` keeps from happening; it is
        // read once, and on its own thread.
        Some(unsafe { ptr::read(&*this.value) })
    }

    fn is_at_home(&self) -> bool {
        self.home == this_thread()
    }
}

impl<T> Drop for ThreadBound<T> {
    fn drop(&mut self) {
        if self.is_at_home() {
            // SAFETY: the value is dropped once, here; `into_inner` forgets what it has emptied.
            unsafe { ManuallyDrop::drop(&mut self.value) };
        } else if mem::needs_drop::<T>() {
            LEAKED.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// How many values this process has leaked, since they were dropped on another thread than theirs.
pub(crate) fn leaked() -> u64 {
    LEAKED.load(Ordering::Relaxed)
}

static LEAKED: AtomicU64 = AtomicU64::new(0);

/// The number of the calling thread. No other thread of this process has had it or will: the numbers
/// of the kernel and the addresses of a thread's memory are used again, and 2^64 are not used up.
fn this_thread() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    // Without a destructor, so that it can be read as long as the thread runs, also by the destructors
    // of its other locals.
    thread_local! {
        static NUMBER: Cell<u64> = const { Cell::new(0) };
    }
    match NUMBER.get() {
        0 => {
            let number = LAST.fetch_add(1, Ordering::Relaxed) + 1;
            NUMBER.set(number);
            number
        }
        number => number,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::rc::Rc;
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    #[test]
    fn bound_value_comes_out_on_its_own_thread() {
        let value = Rc::new(7);
        let bound = ThreadBound::new(Rc::clone(&value));
        assert_eq!(bound.get(), Some(&value));
        // There and back: the bytes may move, the value is touched at home.
        let bound = thread::spawn(move || bound).join().expect("it moves a value");
        assert_eq!(bound.into_inner(), Some(Rc::clone(&value)));
        assert_eq!(Rc::strong_count(&value), 1);
        drop(ThreadBound::new(Rc::clone(&value)));
        assert_eq!(Rc::strong_count(&value), 1);
    }

    #[test]
    fn bound_value_is_out_of_reach_elsewhere_and_leaks() {
        let value = Rc::new(7);
        let (taken, dropped) =
            (ThreadBound::new(Rc::clone(&value)), ThreadBound::new(Rc::clone(&value)));
        let before = leaked();
        thread::scope(|scope| {
            scope.spawn(|| {
                assert_eq!(taken.get(), None);
                assert!(taken.into_inner().is_none());
                drop(dropped);
                // Nothing is lost of what needs no drop.
                drop(ThreadBound::new("static"));
            });
        });
        assert_eq!(Rc::strong_count(&value), 3);
        assert!(leaked() >= before + 2);
    }

    #[test]
    fn thread_numbers_are_never_used_again() {
        let mut seen = HashSet::from([this_thread()]);
        // One after the other, so that the kernel and the C library use the same places again.
        for _ in 0..100 {
            let number = thread::spawn(this_thread).join().expect("it reads a number");
            assert!(seen.insert(number), "{number} has been a thread's before");
        }
    }

    #[test]
    fn bound_value_is_dropped_at_home_while_its_thread_ends() {
        struct Tells(mpsc::Sender<()>);
        impl Drop for Tells {
            fn drop(&mut self) {
                // Nobody listens only if the test has failed already.
                let _ = self.0.send(());
            }
        }
        thread_local! {
            static KEPT: Cell<Option<ThreadBound<Tells>>> = const { Cell::new(None) };
        }
        let (sender, receiver) = mpsc::channel();
        let ended = thread::spawn(move || KEPT.set(Some(ThreadBound::new(Tells(sender)))));
        ended.join().expect("it keeps a value");
        assert_eq!(receiver.try_recv(), Ok(()), "the value was not dropped");
    }
}
