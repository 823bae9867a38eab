//! The one I/O future: an operation, before, during and after its flight.

use std::future::Future;
use std::pin::Pin;
use std::ptr::NonNull;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::{io, ptr};

use super::deadline::IoFuture;
use super::operation::Operation;
use super::slots::Abandoned;
use super::standing::cancelled;
use super::start::{LetGo, Started};
use super::{Driver, SharedFd, current};
use crate::sys::ring::Cqe;
use crate::util::budget::Toll;
use crate::util::linked_slab::Key;
use crate::util::unwind::shield;

/// Makes a future of an operation. Nothing happens before it is first polled.
pub(crate) fn submit<T: Operation>(operation: T) -> Submit<T> {
    Submit { operation: Some(operation), flight: None, expired: false, toll: Toll::Due }
}

/// An operation as a future. Dropped in flight, it leaves the operation to its slot.
#[must_use = "an operation does nothing until it is awaited"]
pub(crate) struct Submit<T: Operation> {
    /// `None` after completion.
    operation: Option<T>,
    flight: Option<Flight>,
    expired: bool,
    toll: Toll,
}

struct Flight {
    driver: Rc<Driver>,
    key: Key,
}

/// Where an operation is in flight, for whoever comes after its future.
#[derive(Clone, Copy)]
pub(crate) struct Trail {
    /// To be compared only. A future that was forgotten keeps its driver, so no later one is there.
    driver: NonNull<Driver>,
    key: Key,
}

impl Trail {
    /// Asks for the end of an operation whose future was forgotten, so that nobody else polls or
    /// drops it, and waits for it. `None` if nothing had begun, or its runtime is not this one any
    /// more. What the future owned stays leaked.
    pub(crate) fn poll_forgotten(self, cx: &mut Context<'_>) -> Poll<Option<io::Result<u32>>> {
        let driver =
            current().ok().filter(|driver| ptr::eq(&raw const **driver, self.driver.as_ptr()));
        let Some(driver) = driver else { return Poll::Ready(None) };
        driver.cancel(self.key);
        driver.poll_forgotten(self.key, cx.waker())
    }
}

impl<T: Operation> Submit<T> {
    /// Where it is in flight.
    #[inline]
    pub(crate) fn trail(&self) -> Option<Trail> {
        let Flight { driver, key } = self.flight.as_ref()?;
        Some(Trail { driver: NonNull::from(&**driver), key: *key })
    }

    /// Whether the operation was submitted and its result not yet taken.
    pub(crate) fn in_flight(&self) -> bool {
        self.flight.is_some()
    }

    /// Whether it waits for a descriptor to become ready, so that nothing has happened yet.
    pub(crate) fn is_waiting(&self) -> bool {
        self.flight.as_ref().is_some_and(|flight| flight.driver.is_waiting(flight.key))
    }

    /// Its end, or `None` if nobody will ever hear of it: see [`Driver::has_lost`].
    pub(crate) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Option<T::Output>> {
        if self.flight.as_ref().is_some_and(|flight| flight.driver.has_lost(flight.key)) {
            return Poll::Ready(None);
        }
        Pin::new(self).poll(cx).map(Some)
    }

    /// Asks for an early end; the future still resolves, with whatever came first.
    pub(crate) fn cancel(&self) {
        if let Some(flight) = &self.flight {
            flight.driver.cancel(flight.key);
        }
    }
}

impl<T: Operation> Submit<T> {
    /// Whether a ring did not wait, since the descriptor came from outside, and does from now on.
    #[cold]
    fn has_to_wait(&self, error: &io::Error) -> bool {
        error.raw_os_error() == Some(libc::EAGAIN)
            && self.flight.as_ref().is_some_and(|flight| flight.driver.is_uring())
            && self.operation.as_ref().and_then(T::stream).is_some_and(SharedFd::lets_ring_wait)
    }

    /// Why it failed: what the kernel says of a cancelled operation is told apart by who cancelled.
    #[cold]
    fn reason(&self, error: io::Error) -> io::Error {
        if !was_cancelled(&error) {
            error
        } else if self.expired {
            super::deadline::timed_out()
        } else if self.flight.as_ref().is_some_and(|flight| !flight.driver.is_here()) {
            // Whether the kernel had begun with it is nothing to the one who waits.
            cancelled()
        } else {
            error
        }
    }

    /// The flight has ended, or goes on without this future.
    #[inline]
    fn land(&mut self) -> Option<Flight> {
        let flight = self.flight.take()?;
        if self.operation.as_ref().is_some_and(Operation::is_for_device) && flight.driver.is_uring()
        {
            flight.driver.landed_from_device();
        }
        Some(flight)
    }
}

impl<T: Operation> Future for Submit<T> {
    type Output = T::Output;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T::Output> {
        let this = &mut *self;
        let operation = this.operation.as_mut().expect("an I/O future is not polled after its end");
        let mut outcome = match &this.flight {
            Some(flight) => match flight.driver.poll(flight.key, operation, cx.waker()) {
                Poll::Ready(outcome) => outcome,
                Poll::Pending if !this.expired && flight.driver.is_here() => return Poll::Pending,
                Poll::Pending => match flight.driver.end_of_wait(flight.key, this.expired) {
                    Some(outcome) => outcome,
                    None => return Poll::Pending,
                },
            },
            None if this.expired => Err(cancelled()),
            None => {
                ready!(this.toll.pay(cx.waker()));
                match current() {
                    Err(error) => Err(error),
                    Ok(driver) => match driver.start(operation, cx.waker()) {
                        Started::Now(outcome) => outcome,
                        Started::Later(key) => {
                            this.flight = Some(Flight { driver, key });
                            return Poll::Pending;
                        }
                    },
                }
            }
        };
        if let Err(error) = outcome {
            if this.has_to_wait(&error) {
                this.land();
                return Pin::new(this).poll(cx);
            }
            outcome = Err(this.reason(error));
        }
        this.land();
        let operation = this.operation.take().expect("it was there above");
        Poll::Ready(operation.decode(outcome))
    }
}

/// What the kernel answers for an operation that a cancel has ended: EINTR if it was running.
pub(crate) fn was_cancelled(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ECANCELED | libc::EINTR))
}

impl<T: Operation> IoFuture for Submit<T> {
    fn expire(&mut self) {
        self.expired = true;
        self.cancel();
    }
}

impl<T: Operation> Drop for Submit<T> {
    fn drop(&mut self) {
        let Some(flight) = self.land() else { return };
        let Some(operation) = self.operation.take() else { return };
        match flight.driver.let_go(flight.key) {
            // It had completed, and nobody had taken the result: what it won must not be lost.
            LetGo::Free(Some(cqe)) => shield(|| drop(operation.decode(cqe.outcome()))),
            LetGo::Free(None) => shield(|| drop(operation)),
            LetGo::Held => flight.driver.abandon(flight.key, Box::new(Left(operation))),
        }
    }
}

/// An operation without its future.
struct Left<T>(T);

impl<T: Operation> Abandoned for Left<T> {
    fn complete(self: Box<Self>, completions: &[Cqe]) {
        let [cqe] = completions else { unreachable!("a single operation completes once") };
        drop(self.0.decode(cqe.outcome()));
    }
}
