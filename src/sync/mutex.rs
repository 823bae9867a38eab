//! A mutex that is held across `.await`.
#![forbid(unsafe_code)]

use std::cell::{RefCell, RefMut};
use std::error::Error;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use super::semaphore::{Permit, PermitOf, Semaphore};
use crate::util::owned_ref_mut::OwnedRefMut;
use crate::util::shard_bound::{ShardBound, UseStdSyncAcrossThreads};

/// Keeps other tasks of the shard out of a value while one task holds it, also across an `.await`.
///
/// The lock goes to the task that has waited longest. It is not poisoned by a panic: the guard's drop
/// unlocks. A value that no task holds across an `.await` needs only a [`RefCell`].
///
/// ```
/// use corering::sync::Mutex;
///
/// corering::block_on(async {
///     let total = Mutex::new(0);
///     let add = async |number| {
///         let mut total = total.lock().await;
///         let before = *total;
///         corering::yield_now().await;
///         *total = before + number;
///     };
///     corering::join!(add(1), add(2));
///     assert_eq!(total.into_inner(), 3);
/// });
/// ```
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

/// The value of a locked [`Mutex`] that keeps the mutex alive, and so can be moved into a task. Unlocked
/// when this is dropped.
#[must_use = "a guard that is dropped at once unlocks at once"]
pub struct OwnedMutexGuard<T: ?Sized + 'static> {
    // The order matters: the value is given back before the permit wakes the next task.
    value: OwnedRefMut<Mutex<T>, T>,
    _permit: PermitOf<LockOf<T>>,
}

/// The lock of a mutex, which it keeps alive.
struct LockOf<T: ?Sized>(Rc<Mutex<T>>);

impl<T> Mutex<T> {
    /// A mutex that is not locked.
    ///
    /// ```
    /// let mutex = corering::sync::Mutex::new(1);
    /// assert!(mutex.try_lock().is_ok());
    /// ```
    pub const fn new(value: T) -> Self {
        Mutex { lock: Semaphore::new(1), value: ShardBound::new(RefCell::new(value)) }
    }

    /// The value.
    ///
    /// ```
    /// assert_eq!(corering::sync::Mutex::new(1).into_inner(), 1);
    /// ```
    pub fn into_inner(self) -> T {
        self.value.into_inner().into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits until no other task holds the value.
    ///
    /// ```
    /// # corering::block_on(async {
    /// let mutex = corering::sync::Mutex::new(1);
    /// *mutex.lock().await += 1;
    /// assert_eq!(*mutex.lock().await, 2);
    /// # });
    /// ```
    ///
    /// # Cancel safety
    ///
    /// A dropped future leaves the line; if it was already its turn, the next in line gets the lock.
    ///
    /// # Errors
    ///
    /// None; waiting cannot fail.
    pub async fn lock(&self) -> MutexGuard<'_, T> {
        let permit = self.lock.acquire().await.expect(NEVER_CLOSED);
        self.guard(permit)
    }

    /// As [`lock`](Mutex::lock), with a guard that keeps the mutex alive.
    ///
    /// ```
    /// use std::rc::Rc;
    ///
    /// # corering::block_on(async {
    /// let mutex = Rc::new(corering::sync::Mutex::new(1));
    /// let mut guard = Rc::clone(&mutex).lock_owned().await;
    /// let task = corering::spawn(async move { *guard += 1 });
    /// assert_eq!(*mutex.lock().await, 2);
    /// # task.await.unwrap();
    /// # });
    /// ```
    ///
    /// # Cancel safety
    ///
    /// A dropped future leaves the line; if it was already its turn, the next in line gets the lock.
    ///
    /// # Errors
    ///
    /// None; waiting cannot fail.
    pub async fn lock_owned(self: Rc<Self>) -> OwnedMutexGuard<T>
    where
        T: 'static,
    {
        let permit = self.lock.acquire().await.expect(NEVER_CLOSED);
        permit.forget();
        OwnedMutexGuard::of(self)
    }

    /// Locks if no task holds the value and none waits for it.
    ///
    /// ```
    /// let mutex = corering::sync::Mutex::new(1);
    /// let guard = mutex.try_lock().unwrap();
    /// assert!(mutex.try_lock().is_err());
    /// # drop(guard);
    /// ```
    ///
    /// # Errors
    ///
    /// If the value is held or waited for.
    pub fn try_lock(&self) -> Result<MutexGuard<'_, T>, TryLockError> {
        let permit = self.lock.try_acquire().map_err(|_| TryLockError(()))?;
        Ok(self.guard(permit))
    }

    /// As [`try_lock`](Mutex::try_lock), with a guard that keeps the mutex alive.
    ///
    /// ```
    /// use std::rc::Rc;
    ///
    /// let mutex = Rc::new(corering::sync::Mutex::new(1));
    /// let guard = Rc::clone(&mutex).try_lock_owned().unwrap();
    /// assert!(mutex.try_lock().is_err());
    /// # drop(guard);
    /// ```
    ///
    /// # Errors
    ///
    /// If the value is held or waited for.
    pub fn try_lock_owned(self: Rc<Self>) -> Result<OwnedMutexGuard<T>, TryLockError>
    where
        T: 'static,
    {
        let permit = self.lock.try_acquire().map_err(|_| TryLockError(()))?;
        permit.forget();
        Ok(OwnedMutexGuard::of(self))
    }

    /// The value, through a reference that proves that there is no guard.
    ///
    /// ```
    /// let mut mutex = corering::sync::Mutex::new(1);
    /// *mutex.get_mut() = 2;
    /// assert_eq!(mutex.into_inner(), 2);
    /// ```
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    fn guard<'a>(&'a self, permit: Permit<'a>) -> MutexGuard<'a, T> {
        MutexGuard { value: self.value.borrow_mut(), _permit: permit }
    }
}

const NEVER_CLOSED: &str = "the semaphore of a mutex is never closed";

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    /// Makes a guard of a part of the value.
    ///
    /// It is a function and not a method, which would hide one of the value's.
    ///
    /// ```
    /// use corering::sync::{Mutex, MutexGuard};
    ///
    /// let pair = Mutex::new((1, "two"));
    /// let mut second = MutexGuard::map(pair.try_lock().unwrap(), |pair| &mut pair.1);
    /// *second = "three";
    /// drop(second);
    /// assert_eq!(pair.into_inner(), (1, "three"));
    /// ```
    pub fn map<U: ?Sized>(guard: Self, part: impl FnOnce(&mut T) -> &mut U) -> MutexGuard<'a, U> {
        MutexGuard { value: RefMut::map(guard.value, part), _permit: guard._permit }
    }

    /// Makes a guard of a part of the value if it has that part.
    ///
    /// ```
    /// use corering::sync::{Mutex, MutexGuard};
    ///
    /// let words = Mutex::new(vec!["one"]);
    /// let guard = words.try_lock().unwrap();
    /// let guard = MutexGuard::try_map(guard, |words| words.get_mut(1)).unwrap_err();
    /// *MutexGuard::try_map(guard, |words| words.get_mut(0)).unwrap() = "two";
    /// assert_eq!(words.into_inner(), ["two"]);
    /// ```
    ///
    /// # Errors
    ///
    /// Gives the guard back if `part` returns `None`.
    pub fn try_map<U: ?Sized>(
        guard: Self,
        part: impl FnOnce(&mut T) -> Option<&mut U>,
    ) -> Result<MutexGuard<'a, U>, Self> {
        let MutexGuard { value, _permit } = guard;
        match RefMut::filter_map(value, part) {
            Ok(value) => Ok(MutexGuard { value, _permit }),
            Err(value) => Err(MutexGuard { value, _permit }),
        }
    }
}

impl<T: ?Sized> OwnedMutexGuard<T> {
    /// Of a mutex whose one permit was taken.
    fn of(mutex: Rc<Mutex<T>>) -> Self {
        let _permit = PermitOf::taken(LockOf(Rc::clone(&mutex)), 1);
        OwnedMutexGuard { value: OwnedRefMut::new(mutex, |mutex| &mutex.value), _permit }
    }

    /// The mutex whose value this is.
    ///
    /// ```
    /// use std::rc::Rc;
    ///
    /// use corering::sync::{Mutex, OwnedMutexGuard};
    ///
    /// let mutex = Rc::new(Mutex::new(1));
    /// let guard = Rc::clone(&mutex).try_lock_owned().unwrap();
    /// assert!(Rc::ptr_eq(OwnedMutexGuard::mutex(&guard), &mutex));
    /// ```
    pub fn mutex(guard: &Self) -> &Rc<Mutex<T>> {
        guard.value.owner()
    }
}

impl<T: ?Sized> Deref for LockOf<T> {
    type Target = Semaphore;

    fn deref(&self) -> &Semaphore {
        &self.0.lock
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

impl<T: ?Sized> Deref for OwnedMutexGuard<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: ?Sized> DerefMut for OwnedMutexGuard<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for OwnedMutexGuard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for OwnedMutexGuard<T> {
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
