//! A semaphore: a number of permits, handed out first come, first served.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::pin::Pin;
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
#[derive(Debug)]
pub struct Semaphore {
    state: ShardBound<RefCell<State>, dyn UseStdSyncAcrossThreads>,
}

/// Permits of a [`Semaphore`], which go back to it when this is dropped.
#[must_use = "a permit that is dropped at once permits nothing"]
#[derive(Debug)]
pub struct Permit<'a> {
    semaphore: &'a Semaphore,
    permits: usize,
}

/// Permits of a [`Semaphore`] that keep it alive, and so can be moved into a task.
///
/// They go back to the semaphore when this is dropped.
#[must_use = "a permit that is dropped at once permits nothing"]
#[derive(Debug)]
pub struct OwnedPermit {
    semaphore: Rc<Semaphore>,
    permits: usize,
}

impl Semaphore {
    /// The most permits that a semaphore can have.
    pub const MAX_PERMITS: usize = usize::MAX >> 1;

    /// A semaphore with a number of permits.
    ///
    /// # Panics
    ///
    /// If `permits` exceeds [`MAX_PERMITS`](Semaphore::MAX_PERMITS).
    pub const fn new(permits: usize) -> Self {
        assert!(permits <= Self::MAX_PERMITS, "more permits than a semaphore can have");
        let state = State { permits, closed: false, line: Line::new() };
        Semaphore { state: ShardBound::new(RefCell::new(state)) }
    }

    /// How many permits nobody holds.
    pub fn available_permits(&self) -> usize {
        self.state.borrow().permits
    }

    /// Waits for one permit.
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
        Ok(Permit { semaphore: self, permits })
    }

    /// Waits for one permit that keeps the semaphore alive.
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
        Ok(OwnedPermit { semaphore: self, permits })
    }

    /// Takes one permit if that is possible without waiting.
    ///
    /// # Errors
    ///
    /// If no permit is free, if others wait for one, or if the semaphore is closed.
    pub fn try_acquire(&self) -> Result<Permit<'_>, TryAcquireError> {
        self.try_acquire_many(1)
    }

    /// Takes a number of permits if that is possible without waiting.
    ///
    /// # Errors
    ///
    /// If not as many permits are free, if others wait, or if the semaphore is closed.
    pub fn try_acquire_many(&self, permits: usize) -> Result<Permit<'_>, TryAcquireError> {
        self.take_now(permits)?;
        Ok(Permit { semaphore: self, permits })
    }

    /// Takes one permit that keeps the semaphore alive, if that is possible without waiting.
    ///
    /// # Errors
    ///
    /// If no permit is free, if others wait for one, or if the semaphore is closed.
    pub fn try_acquire_owned(self: Rc<Self>) -> Result<OwnedPermit, TryAcquireError> {
        self.take_now(1)?;
        Ok(OwnedPermit { semaphore: self, permits: 1 })
    }

    /// Adds permits, which go to those that wait.
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

    /// Closes the semaphore: all that wait, and all that come later, get an error.
    ///
    /// Permits that are held stay valid.
    pub fn close(&self) {
        self.state.borrow_mut().closed = true;
        wake_each(&self.state, State::serve_first);
    }

    /// Whether the semaphore was closed.
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

impl Permit<'_> {
    /// How many permits these are.
    pub fn permits(&self) -> usize {
        self.permits
    }

    /// Takes the permits away from the semaphore for good.
    pub fn forget(mut self) {
        self.permits = 0;
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.permits > 0 {
            self.semaphore.add_permits(self.permits);
        }
    }
}

impl OwnedPermit {
    /// How many permits these are.
    pub fn permits(&self) -> usize {
        self.permits
    }

    /// Takes the permits away from the semaphore for good.
    pub fn forget(mut self) {
        self.permits = 0;
    }
}

impl Drop for OwnedPermit {
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
