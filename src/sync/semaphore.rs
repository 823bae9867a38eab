//! A semaphore: a number of permits, handed out first come, first served.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::mem;
use std::ops::Deref;
use std::pin::Pin;
use std::ptr;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::line::{self, Service};
use crate::util::budget::Toll;
use crate::util::line::{Line, Place, leave, wake_each};
use crate::util::shard_bound::{ShardBound, UseStdSyncAcrossThreads};

/// Limits how many tasks of a shard do something at once.
///
/// Permits go to whoever has waited longest. Who asks for many is not overtaken by later ones that
/// ask for few: they wait behind it, also while there would be enough permits for them. For the same
/// reason [`try_acquire`](Semaphore::try_acquire) fails while others wait.
///
/// Permits are guards: dropping them gives back as many as were taken. So a semaphore never has more
/// permits than it was made with, as asyncio's `BoundedSemaphore` sees to by an error, unless
/// [`add_permits`](Semaphore::add_permits) is called.
///
/// ```
/// use std::rc::Rc;
///
/// use corering::sync::Semaphore;
///
/// corering::block_on(async {
///     let at_most_two = Rc::new(Semaphore::new(2));
///     let tasks: Vec<_> = (0..10)
///         .map(|_| {
///             let at_most_two = Rc::clone(&at_most_two);
///             corering::spawn(async move {
///                 let _permit = at_most_two.acquire().await.unwrap();
///                 corering::yield_now().await;
///             })
///         })
///         .collect();
///     for task in tasks {
///         task.await.unwrap();
///     }
/// });
/// ```
#[derive(Debug)]
pub struct Semaphore {
    state: ShardBound<RefCell<State>, dyn UseStdSyncAcrossThreads>,
}

/// Permits of a [`Semaphore`], borrowed from it.
pub type Permit<'a> = PermitOf<&'a Semaphore>;

/// Permits of a [`Semaphore`] that keep it alive, and so can be moved into a task.
pub type OwnedPermit = PermitOf<Rc<Semaphore>>;

/// What [`Permit`] and [`OwnedPermit`] are: permits that go back to their semaphore when this is dropped.
///
/// ```
/// use corering::sync::{Permit, Semaphore};
///
/// let semaphore = Semaphore::new(3);
/// let two: Permit<'_> = semaphore.try_acquire_many(2).unwrap();
/// assert_eq!(semaphore.available_permits(), 1);
/// drop(two);
/// assert_eq!(semaphore.available_permits(), 3);
/// ```
#[must_use = "a permit that is dropped at once permits nothing"]
#[derive(Debug)]
pub struct PermitOf<S: Deref<Target = Semaphore>> {
    semaphore: S,
    permits: usize,
}

impl Semaphore {
    /// The most permits that a semaphore can have.
    pub const MAX_PERMITS: usize = usize::MAX >> 1;

    /// A semaphore with a number of permits.
    ///
    /// ```
    /// use corering::sync::Semaphore;
    ///
    /// thread_local! {
    ///     static AT_MOST_FOUR: Semaphore = const { Semaphore::new(4) };
    /// }
    /// assert_eq!(AT_MOST_FOUR.with(|it| it.available_permits()), 4);
    /// ```
    ///
    /// # Panics
    ///
    /// If `permits` exceeds [`MAX_PERMITS`](Semaphore::MAX_PERMITS).
    pub const fn new(permits: usize) -> Self {
        assert!(permits <= Self::MAX_PERMITS, "more permits than a semaphore can have");
        let state = State { permits, closed: false, line: Line::new() };
        Semaphore { state: ShardBound::new(RefCell::new(state)) }
    }

    /// How many permits are free.
    ///
    /// ```
    /// let semaphore = corering::sync::Semaphore::new(2);
    /// let _permit = semaphore.try_acquire().unwrap();
    /// assert_eq!(semaphore.available_permits(), 1);
    /// ```
    pub fn available_permits(&self) -> usize {
        self.state.borrow().permits
    }

    /// Waits for one permit.
    ///
    /// ```
    /// # corering::block_on(async {
    /// let semaphore = corering::sync::Semaphore::new(1);
    /// let permit = semaphore.acquire().await.unwrap();
    /// assert!(semaphore.try_acquire().is_err());
    /// drop(permit);
    /// # });
    /// ```
    ///
    /// # Cancel safety
    ///
    /// A dropped future leaves the line and takes no permit with it. It loses its place.
    ///
    /// # Errors
    ///
    /// If the semaphore is closed, or is being closed meanwhile.
    pub async fn acquire(&self) -> Result<Permit<'_>, AcquireError> {
        self.acquire_many(1).await
    }

    /// Waits for a number of permits, and gets them all at once.
    ///
    /// ```
    /// # corering::block_on(async {
    /// let megabytes = corering::sync::Semaphore::new(64);
    /// let _memory = megabytes.acquire_many(48).await.unwrap();
    /// assert_eq!(megabytes.available_permits(), 16);
    /// # });
    /// ```
    ///
    /// Waits forever if the semaphore never has that many.
    ///
    /// # Cancel safety
    ///
    /// A dropped future leaves the line and takes no permit with it. It loses its place.
    ///
    /// # Errors
    ///
    /// If the semaphore is closed, or is being closed meanwhile.
    pub async fn acquire_many(&self, permits: usize) -> Result<Permit<'_>, AcquireError> {
        Acquire { semaphore: self, permits, place: None, toll: Toll::Due }.await?;
        Ok(PermitOf { semaphore: self, permits })
    }

    /// Waits for one permit that keeps the semaphore alive.
    ///
    /// ```
    /// use std::rc::Rc;
    ///
    /// # corering::block_on(async {
    /// let semaphore = Rc::new(corering::sync::Semaphore::new(1));
    /// let permit = Rc::clone(&semaphore).acquire_owned().await.unwrap();
    /// let task = corering::spawn(async move { drop(permit) });
    /// semaphore.acquire().await.unwrap();
    /// # task.await.unwrap();
    /// # });
    /// ```
    ///
    /// # Cancel safety
    ///
    /// A dropped future leaves the line and takes no permit with it. It loses its place.
    ///
    /// # Errors
    ///
    /// If the semaphore is closed, or is being closed meanwhile.
    pub async fn acquire_owned(self: Rc<Self>) -> Result<OwnedPermit, AcquireError> {
        self.acquire_many_owned(1).await
    }

    /// Waits for a number of permits that keep the semaphore alive, and gets them all at once.
    ///
    /// ```
    /// use std::rc::Rc;
    ///
    /// # corering::block_on(async {
    /// let semaphore = Rc::new(corering::sync::Semaphore::new(3));
    /// let permits = Rc::clone(&semaphore).acquire_many_owned(2).await.unwrap();
    /// assert_eq!(permits.permits(), 2);
    /// # });
    /// ```
    ///
    /// Waits forever if the semaphore never has that many.
    ///
    /// # Cancel safety
    ///
    /// A dropped future leaves the line and takes no permit with it. It loses its place.
    ///
    /// # Errors
    ///
    /// If the semaphore is closed, or is being closed meanwhile.
    pub async fn acquire_many_owned(
        self: Rc<Self>,
        permits: usize,
    ) -> Result<OwnedPermit, AcquireError> {
        Acquire { semaphore: &self, permits, place: None, toll: Toll::Due }.await?;
        Ok(PermitOf { semaphore: self, permits })
    }

    /// Takes one permit if that is possible without waiting.
    ///
    /// ```
    /// let semaphore = corering::sync::Semaphore::new(1);
    /// let _permit = semaphore.try_acquire().unwrap();
    /// assert!(semaphore.try_acquire().is_err());
    /// ```
    ///
    /// # Errors
    ///
    /// If no permit is free, if others wait for one, or if the semaphore is closed.
    pub fn try_acquire(&self) -> Result<Permit<'_>, TryAcquireError> {
        self.try_acquire_many(1)
    }

    /// Takes a number of permits if that is possible without waiting.
    ///
    /// ```
    /// let semaphore = corering::sync::Semaphore::new(3);
    /// let _permits = semaphore.try_acquire_many(2).unwrap();
    /// assert!(semaphore.try_acquire_many(2).is_err());
    /// ```
    ///
    /// # Errors
    ///
    /// If not as many permits are free, if others wait, or if the semaphore is closed.
    pub fn try_acquire_many(&self, permits: usize) -> Result<Permit<'_>, TryAcquireError> {
        self.take_now(permits)?;
        Ok(PermitOf { semaphore: self, permits })
    }

    /// Takes one permit that keeps the semaphore alive, if that is possible without waiting.
    ///
    /// ```
    /// use std::rc::Rc;
    ///
    /// let semaphore = Rc::new(corering::sync::Semaphore::new(1));
    /// let _permit = Rc::clone(&semaphore).try_acquire_owned().unwrap();
    /// assert!(semaphore.try_acquire().is_err());
    /// ```
    ///
    /// # Errors
    ///
    /// If no permit is free, if others wait for one, or if the semaphore is closed.
    pub fn try_acquire_owned(self: Rc<Self>) -> Result<OwnedPermit, TryAcquireError> {
        self.try_acquire_many_owned(1)
    }

    /// Takes a number of permits that keep the semaphore alive, if that is possible without waiting.
    ///
    /// ```
    /// use std::rc::Rc;
    ///
    /// use corering::sync::Semaphore;
    ///
    /// let semaphore = Rc::new(Semaphore::new(3));
    /// let permits = Rc::clone(&semaphore).try_acquire_many_owned(2).unwrap();
    /// assert!(Rc::clone(&semaphore).try_acquire_many_owned(2).is_err());
    /// assert_eq!(permits.permits(), 2);
    /// ```
    ///
    /// # Errors
    ///
    /// If not as many permits are free, if others wait, or if the semaphore is closed.
    pub fn try_acquire_many_owned(
        self: Rc<Self>,
        permits: usize,
    ) -> Result<OwnedPermit, TryAcquireError> {
        self.take_now(permits)?;
        Ok(PermitOf { semaphore: self, permits })
    }

    /// Adds permits, which go to the tasks that wait.
    ///
    /// ```
    /// let semaphore = corering::sync::Semaphore::new(0);
    /// semaphore.add_permits(2);
    /// assert_eq!(semaphore.available_permits(), 2);
    /// ```
    ///
    /// # Panics
    ///
    /// If there would be more than [`MAX_PERMITS`](Semaphore::MAX_PERMITS).
    pub fn add_permits(&self, permits: usize) {
        let mut state = self.state.borrow_mut();
        let sum = state.permits.checked_add(permits).filter(|&sum| sum <= Self::MAX_PERMITS);
        state.permits = sum.expect("more permits than a semaphore can have");
        drop(state);
        wake_each(&self.state, State::serve_first);
    }

    /// Takes up to `permits` free permits away from the semaphore for good. Returns how many there were.
    ///
    /// ```
    /// let semaphore = corering::sync::Semaphore::new(3);
    /// assert_eq!(semaphore.forget_permits(2), 2);
    /// assert_eq!(semaphore.forget_permits(2), 1);
    /// assert_eq!(semaphore.available_permits(), 0);
    /// ```
    pub fn forget_permits(&self, permits: usize) -> usize {
        let mut state = self.state.borrow_mut();
        let forgotten = permits.min(state.permits);
        state.permits -= forgotten;
        forgotten
    }

    /// Closes the semaphore: all that wait, and all that come later, get an error.
    ///
    /// Permits that are held stay valid.
    ///
    /// ```
    /// # corering::block_on(async {
    /// let semaphore = corering::sync::Semaphore::new(1);
    /// semaphore.close();
    /// assert!(semaphore.acquire().await.is_err());
    /// # });
    /// ```
    pub fn close(&self) {
        self.state.borrow_mut().closed = true;
        wake_each(&self.state, State::serve_first);
    }

    /// Whether the semaphore was closed.
    ///
    /// ```
    /// let semaphore = corering::sync::Semaphore::new(1);
    /// semaphore.close();
    /// assert!(semaphore.is_closed());
    /// ```
    pub fn is_closed(&self) -> bool {
        self.state.borrow().closed
    }

    fn take_now(&self, permits: usize) -> Result<(), TryAcquireError> {
        match self.state.borrow_mut().serve_newcomer(permits) {
            Some(Ok(())) => Ok(()),
            Some(Err(AcquireError(()))) => Err(TryAcquireError::Closed),
            None => Err(TryAcquireError::NoPermits),
        }
    }
}

impl<S: Deref<Target = Semaphore>> PermitOf<S> {
    /// Permits that were taken from the semaphore and forgotten.
    pub(super) fn taken(semaphore: S, permits: usize) -> Self {
        PermitOf { semaphore, permits }
    }

    /// How many permits these are.
    ///
    /// ```
    /// let semaphore = corering::sync::Semaphore::new(3);
    /// assert_eq!(semaphore.try_acquire_many(2).unwrap().permits(), 2);
    /// ```
    pub fn permits(&self) -> usize {
        self.permits
    }

    /// Takes the permits away from the semaphore for good.
    ///
    /// ```
    /// let semaphore = corering::sync::Semaphore::new(3);
    /// semaphore.try_acquire().unwrap().forget();
    /// assert_eq!(semaphore.available_permits(), 2);
    /// ```
    pub fn forget(mut self) {
        self.permits = 0;
    }

    /// Adds the permits of `other` to these.
    ///
    /// ```
    /// let semaphore = corering::sync::Semaphore::new(3);
    /// let mut permit = semaphore.try_acquire().unwrap();
    /// permit.merge(semaphore.try_acquire_many(2).unwrap());
    /// assert_eq!(permit.permits(), 3);
    /// ```
    ///
    /// # Panics
    ///
    /// If they are permits of another semaphore.
    pub fn merge(&mut self, mut other: Self) {
        let is_same = ptr::eq(&*self.semaphore, &*other.semaphore);
        assert!(is_same, "only permits of the same semaphore can be merged");
        self.permits += mem::take(&mut other.permits);
    }

    /// Takes `permits` of these permits out. `None`, and nothing changes, if they are not as many.
    ///
    /// ```
    /// let semaphore = corering::sync::Semaphore::new(3);
    /// let mut three = semaphore.try_acquire_many(3).unwrap();
    /// drop(three.split(2).unwrap());
    /// assert_eq!((three.permits(), semaphore.available_permits()), (1, 2));
    /// assert!(three.split(2).is_none());
    /// ```
    pub fn split(&mut self, permits: usize) -> Option<Self>
    where
        S: Clone,
    {
        self.permits = self.permits.checked_sub(permits)?;
        Some(PermitOf { semaphore: self.semaphore.clone(), permits })
    }

    /// The semaphore whose permits these are.
    ///
    /// ```
    /// let semaphore = corering::sync::Semaphore::new(1);
    /// let permit = semaphore.try_acquire().unwrap();
    /// assert_eq!(permit.semaphore().available_permits(), 0);
    /// ```
    pub fn semaphore(&self) -> &S {
        &self.semaphore
    }
}

impl<S: Deref<Target = Semaphore>> Drop for PermitOf<S> {
    fn drop(&mut self) {
        if self.permits > 0 {
            self.semaphore.add_permits(self.permits);
        }
    }
}

#[derive(Debug)]
struct State {
    permits: usize,
    closed: bool,
    line: Line<usize, Result<(), AcquireError>>,
}

impl State {
    /// Serves the first in line if that is possible now, and gives its waker.
    fn serve_first(&mut self) -> Option<Waker> {
        if self.closed {
            return self.line.call_first(Err(AcquireError(())));
        }
        let wants = self.line.first()?;
        self.permits = self.permits.checked_sub(wants)?;
        self.line.call_first(Ok(()))
    }
}

impl Service for State {
    type Wants = usize;
    type Given = Result<(), AcquireError>;

    fn line(&mut self) -> &mut Line<usize, Self::Given> {
        &mut self.line
    }

    fn serve_newcomer(&mut self, wants: usize) -> Option<Self::Given> {
        if self.closed {
            return Some(Err(AcquireError(())));
        }
        if !self.line.is_empty() || wants > self.permits {
            return None;
        }
        self.permits -= wants;
        Some(Ok(()))
    }
}

/// Takes permits out of the semaphore; whoever awaits it gives them back.
struct Acquire<'a> {
    semaphore: &'a Semaphore,
    permits: usize,
    place: Place,
    toll: Toll,
}

impl Future for Acquire<'_> {
    type Output = Result<(), AcquireError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let acquire = &mut *self;
        let Acquire { semaphore, permits, place, toll } = acquire;
        toll.poll(cx, |cx| line::poll(&semaphore.state, place, *permits, cx))
    }
}

impl Drop for Acquire<'_> {
    fn drop(&mut self) {
        if self.place.is_none() {
            return;
        }
        let returned = match leave(&self.semaphore.state, |state| state.line.leave(&mut self.place))
        {
            Some(Ok(())) => self.permits,
            Some(Err(_)) | None => 0,
        };
        // Also without permits to return: those behind may ask for less.
        self.semaphore.add_permits(returned);
    }
}

/// The error of acquiring permits of a closed [`Semaphore`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcquireError(());

impl fmt::Display for AcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the semaphore is closed")
    }
}

impl Error for AcquireError {}

/// Why permits of a [`Semaphore`] cannot be had without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryAcquireError {
    /// The semaphore is closed.
    Closed,
    /// There are not enough permits, or others wait for them.
    NoPermits,
}

impl fmt::Display for TryAcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TryAcquireError::Closed => "the semaphore is closed",
            TryAcquireError::NoPermits => "the semaphore has not enough free permits",
        })
    }
}

impl Error for TryAcquireError {}

#[cfg(test)]
mod tests;
