//! A mutex that is held across `.await`.
#![forbid(unsafe_code)]

use std::cell::{RefCell, RefMut};
use std::error::Error;
use std::fmt;
use std::ops::{Deref, DerefMut};

use super::semaphore::{Permit, Semaphore};
use crate::util::shard_bound::{ShardBound, UseStdSyncAcrossThreads};

/// Keeps other tasks of the shard out of a value while one task holds it, also across an `.await`.
///
/// The lock goes to whoever has waited longest. It is not poisoned by a panic: the guard's drop
/// unlocks. A value that nobody holds across an `.await` needs only a [`RefCell`].
pub struct Mutex<T: ?Sized> {
    /// One permit: whoever has it may borrow the value.
    lock: Semaphore,
    value: ShardBound<RefCell<T>, dyn UseStdSyncAcrossThreads>,
}

/// The value of a locked [`Mutex`], unlocked when this is dropped.
#[must_use = "a guard that is dropped at once unlocks at once"]
pub struct MutexGuard<'a, T: ?Sized> {
    // The order matters: the value is given back before the permit wakes the next task.
    value: RefMut<'a, T>,
    _permit: Permit<'a>,
}

impl<T> Mutex<T> {
    /// A mutex that nobody holds.
    pub const fn new(value: T) -> Self {
        Mutex { lock: Semaphore::new(1), value: ShardBound::new(RefCell::new(value)) }
    }

    /// The value, of which nobody else can have a guard any more.
    pub fn into_inner(self) -> T {
        self.value.into_inner().into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits until nobody else holds the value.
    ///
    /// # Cancel safety
    ///
    /// A dropped future leaves the line; if it was already its turn, the next in line gets the lock.
    ///
    /// # Errors
    ///
    /// None; waiting cannot fail.
    pub async fn lock(&self) -> MutexGuard<'_, T> {
        let permit = self.lock.acquire().await.expect("the semaphore of a mutex is never closed");
        self.guard(permit)
    }

    /// Locks if nobody holds the value and nobody waits for it.
    ///
    /// # Errors
    ///
    /// If the value is held or waited for.
    pub fn try_lock(&self) -> Result<MutexGuard<'_, T>, TryLockError> {
        let permit = self.lock.try_acquire().map_err(|_| TryLockError(()))?;
        Ok(self.guard(permit))
    }

    /// The value, through a reference that proves that nobody has a guard.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    fn guard<'a>(&'a self, permit: Permit<'a>) -> MutexGuard<'a, T> {
        MutexGuard { value: self.value.borrow_mut(), _permit: permit }
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Mutex::new(T::default())
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut output = f.debug_struct("Mutex");
        // Printing the value is user code, which may come back here and finds the lock taken.
        match self.try_lock() {
            Ok(value) => output.field("value", &&*value),
            Err(_) => output.field("value", &format_args!("<locked>")),
        };
        output.finish_non_exhaustive()
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}

/// The error of [`Mutex::try_lock`] when the value is held or waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TryLockError(());

impl fmt::Display for TryLockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the mutex is locked")
    }
}

impl Error for TryLockError {}

#[cfg(test)]
mod tests;
