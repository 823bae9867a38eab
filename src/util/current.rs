//! What a thread has entered last: its current scheduler, its current driver.
//!
//! ```text
//! thread_local! {
//!     static POINTER: Pointer<Scheduler> = const { Pointer::empty() };
//! }
//! const CURRENT: Current<Scheduler> = Current::at(&POINTER);
//! ```
//!
//! The place holds a plain pointer. So it has no destructor and can be read as long as the thread
//! runs, also by the destructors of its other locals; and a look at it costs one load.

use std::cell::Cell;
use std::ptr;
use std::rc::Rc;

use super::sync_types::LocalKey;

/// Where a thread keeps what is current there. Only a [`Current`] reads or writes it.
pub(crate) struct Pointer<T>(Cell<*const T>);

impl<T> Pointer<T> {
    /// A place of a thread that has entered nothing.
    pub(crate) const fn empty() -> Self {
        Pointer(Cell::new(ptr::null()))
    }
}

/// The value of a kind that the calling thread has entered last and not left, if there is one.
pub(crate) struct Current<T: 'static>(&'static LocalKey<Pointer<T>>);

impl<T> Current<T> {
    pub(crate) const fn at(place: &'static LocalKey<Pointer<T>>) -> Self {
        Current(place)
    }

    /// Makes a value the current one until the guard is dropped; then the one before is back.
    /// Guards are dropped in the reverse order of their making.
    pub(crate) fn enter(&self, value: Rc<T>) -> Entered<T> {
        let previous = self.0.with(|place| place.0.replace(Rc::as_ptr(&value)));
        Entered { place: self.0, value, previous }
    }

    /// Calls `then` with the current value. `then` does not leave it.
    #[inline(always)]
    pub(crate) fn with<R>(&self, then: impl FnOnce(&T) -> R) -> Option<R> {
        // SAFETY: the pointer is null or an `Rc`'s whose guard holds a count while it stands there.
        unsafe { self.pointer().as_ref() }.map(then)
    }

    /// The current value.
    #[inline(always)]
    pub(crate) fn get(&self) -> Option<Rc<T>> {
        let pointer = self.pointer();
        if pointer.is_null() {
            return None;
        }
        // SAFETY: the pointer is an `Rc`'s whose guard holds a count while it stands there.
        unsafe { Rc::increment_strong_count(pointer) };
        // SAFETY: the count that was just added becomes this `Rc`'s.
        Some(unsafe { Rc::from_raw(pointer) })
    }

    /// Whether `value` is the current one: one comparison.
    #[inline(always)]
    pub(crate) fn is(&self, value: &T) -> bool {
        ptr::eq(self.pointer(), value)
    }

    /// Whether there is no current value.
    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.pointer().is_null()
    }

    /// The thread has no current value until the guard is dropped, or another is entered.
    pub(crate) fn hide(&self) -> Hidden<T> {
        Hidden { place: self.0, previous: self.0.with(|place| place.0.replace(ptr::null())) }
    }

    #[inline(always)]
    fn pointer(&self) -> *const T {
        self.0.with(|place| place.0.get())
    }
}

/// While it lives, its value is the thread's current one.
#[must_use = "the value is current only as long as the guard lives"]
pub(crate) struct Entered<T: 'static> {
    place: &'static LocalKey<Pointer<T>>,
    value: Rc<T>,
    previous: *const T,
}

impl<T> Drop for Entered<T> {
    fn drop(&mut self) {
        let in_order = Current(self.place).is(&self.value);
        self.place.with(|place| place.0.set(self.previous));
        // What is read here rests on it.
        assert!(in_order, "guards left out of order");
    }
}

/// While it lives, what was current before it is not.
#[must_use = "the value is hidden only as long as the guard lives"]
pub(crate) struct Hidden<T: 'static> {
    place: &'static LocalKey<Pointer<T>>,
    previous: *const T,
}

impl<T> Drop for Hidden<T> {
    fn drop(&mut self) {
        let in_order = Current(self.place).is_empty();
        self.place.with(|place| place.0.set(self.previous));
        assert!(in_order, "guards left out of order");
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::mem::ManuallyDrop;
    use std::sync::mpsc;
    use std::thread;

    use super::*;
    use crate::util::sync_types::thread_local;

    thread_local! {
        static POINTER: Pointer<u32> = const { Pointer::empty() };
    }
    const CURRENT: Current<u32> = Current::at(&POINTER);

    fn value() -> Option<u32> {
        CURRENT.with(|value| *value)
    }

    #[test]
    fn value_before_is_current_again_when_the_guard_is_dropped() {
        assert!(value().is_none() && CURRENT.get().is_none());
        let (outer, inner) = (Rc::new(1), Rc::new(2));
        let entered_outer = CURRENT.enter(outer.clone());
        let entered_inner = CURRENT.enter(inner.clone());
        assert_eq!(value(), Some(2));
        assert!(CURRENT.is(&inner) && !CURRENT.is(&outer));
        drop(entered_inner);
        assert_eq!((value(), Rc::strong_count(&inner)), (Some(1), 1));
        assert!(CURRENT.is(&outer));
        drop(entered_outer);
        assert_eq!((value(), Rc::strong_count(&outer)), (None, 1));
        assert!(!CURRENT.is(&outer));
    }

    #[test]
    fn current_value_that_was_handed_out_is_counted() {
        let given = Rc::new(7);
        let entered = CURRENT.enter(given.clone());
        let gotten = CURRENT.get().expect("it was entered");
        drop(entered);
        assert!(Rc::ptr_eq(&gotten, &given));
        assert_eq!(Rc::strong_count(&given), 2);
    }

    #[test]
    #[should_panic(expected = "guards left out of order")]
    fn guards_that_are_dropped_out_of_order_are_told_of() {
        let entered = CURRENT.enter(Rc::new(1));
        let _not_left = ManuallyDrop::new(CURRENT.enter(Rc::new(2)));
        drop(entered);
    }

    #[test]
    fn current_value_is_seen_by_destructors_of_thread_locals() {
        struct Looks(mpsc::Sender<Option<u32>>);
        impl Drop for Looks {
            fn drop(&mut self) {
                let _entered = CURRENT.enter(Rc::new(3));
                // Nobody listens only if the test has failed already.
                let _ = self.0.send(value());
            }
        }
        thread_local! {
            static KEPT: Cell<Option<Looks>> = const { Cell::new(None) };
        }
        let (sender, receiver) = mpsc::channel();
        let ended = thread::spawn(move || KEPT.set(Some(Looks(sender))));
        ended.join().expect("it keeps a value");
        assert_eq!(receiver.try_recv(), Ok(Some(3)));
    }
}
