//! The atomics, lock and cell of everything that more than one thread touches, and the thread-local
//! of what each has for itself: the standard library's, or loom's where a model is checked
//! (`RUSTFLAGS="--cfg loom"`).
//!
//! Only the mailbox, the task header and `current.rs` use these. Loom runs its threads as coroutines
//! of one thread, so that a standard atomic would hide every interleaving from it.

#[cfg(not(loom))]
pub(crate) use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering, fence},
    },
    thread::LocalKey,
    thread_local,
};

#[cfg(loom)]
pub(crate) use loom::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering, fence},
    },
    thread::LocalKey,
};

/// Loom's knows nothing of `const`.
#[cfg(loom)]
macro_rules! loom_local {
    (static $name:ident: $type:ty = const $init:block;) => {
        loom::thread_local! { static $name: $type = $init; }
    };
}
#[cfg(loom)]
pub(crate) use loom_local as thread_local;

/// An `UnsafeCell` whose accesses loom checks: two at once, or one that no synchronisation orders
/// after the last, fail the model.
pub(crate) struct CheckedCell<T> {
    #[cfg(not(loom))]
    cell: std::cell::UnsafeCell<T>,
    #[cfg(loom)]
    cell: loom::cell::UnsafeCell<T>,
}

impl<T> CheckedCell<T> {
    #[cfg(not(loom))]
    pub(crate) fn new(value: T) -> Self {
        CheckedCell { cell: std::cell::UnsafeCell::new(value) }
    }

    #[cfg(loom)]
    pub(crate) fn new(value: T) -> Self {
        CheckedCell { cell: loom::cell::UnsafeCell::new(value) }
    }

    /// Hands the pointer to `access`. Whether it may be dereferenced is the caller's to know.
    #[inline]
    #[cfg(not(loom))]
    pub(crate) fn with_mut<R>(&self, access: impl FnOnce(*mut T) -> R) -> R {
        access(self.cell.get())
    }

    /// Hands the pointer to `access`. Whether it may be dereferenced is the caller's to know.
    #[cfg(loom)]
    pub(crate) fn with_mut<R>(&self, access: impl FnOnce(*mut T) -> R) -> R {
        self.cell.with_mut(access)
    }
}

/// Runs `model` in every interleaving with at most `preemptions` switches away from a thread that
/// could have gone on. Two threads are checked with 4, three with 2: almost every known bug of this
/// kind needs no more, and without a bound the number of runs explodes.
#[cfg(all(test, loom))]
pub(crate) fn explore(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}
