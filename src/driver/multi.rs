//! A multishot operation of the ring: armed once, completed many times.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::driver::{Driver, current};
use super::flight::{Abandoned, Kind, Next};
use super::operation::Multishot;
use crate::sys::ring::Cqe;
use crate::util::linked_slab::Key;
use crate::util::unwind::shield;

/// The owner of a multishot operation. What it brings waits in the slot, in order, until it is
/// taken; nothing is lost by not asking. Dropped, it cancels the operation.
pub(crate) struct Multi<M: Multishot> {
    /// `None` only while it is being dropped.
    operation: Option<M>,
    flight: Option<(Rc<Driver>, Key)>,
}

impl<M: Multishot> Multi<M> {
    /// Nothing is armed before the first [`poll_next`](Self::poll_next).
    pub(crate) fn new(operation: M) -> Self {
        Multi { operation: Some(operation), flight: None }
    }

    /// Asks for the end; what came before it can still be taken.
    pub(crate) fn cancel(&self) {
        if let Some((driver, key)) = &self.flight {
            driver.flight.cancel(*key);
        }
    }

    /// Whether it is in flight, or has brought something that nobody has taken yet.
    pub(crate) fn is_armed(&self) -> bool {
        self.flight.is_some()
    }

    /// The next item, in order. `Ready(None)` when the operation has ended and everything it
    /// brought has been taken: the next call arms it anew. Arms it if it is not armed.
    #[inline]
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<M::Item>>> {
        let operation = self.operation.as_mut().expect("a handle has its operation until dropped");
        let Some((driver, key)) = &self.flight else {
            let driver = current()?;
            let key = arm(&driver, operation, cx.waker())?;
            self.flight = Some((driver, key));
            return Poll::Pending;
        };
        match driver.flight.next(*key, operation.queued_max() / 2, cx.waker()) {
            Next::Item { cqe, rearm } => {
                if rearm && !driver.has_ended() {
                    // SAFETY: as in `arm`.
                    unsafe { driver.flight.rearm(*key, operation.encode()) };
                }
                Poll::Ready(Ok(Some(operation.decode(cqe))))
            }
            Next::Pending if driver.is_current() => Poll::Pending,
            Next::Pending => {
                driver.check_not_elsewhere()?;
                Poll::Pending
            }
            Next::Ended => {
                self.flight = None;
                Poll::Ready(Ok(None))
            }
        }
    }
}

fn arm<M: Multishot>(driver: &Driver, operation: &mut M, waker: &Waker) -> io::Result<Key> {
    driver.check_usable()?;
    let kind = Kind::Multi { queued_max: operation.queued_max() };
    // SAFETY: `Multishot` promises that what the entry points at stays valid until the handle, or
    // after it the slot, has seen the final completion.
    let armed = unsafe { driver.flight.start(operation.encode(), kind, None, waker) };
    armed.ok_or_else(|| io::ErrorKind::Unsupported.into())
}

impl<M: Multishot> Drop for Multi<M> {
    fn drop(&mut self) {
        let Some((driver, key)) = self.flight.take() else { return };
        let Some(mut operation) = self.operation.take() else { return };
        let (queued, held) = driver.flight.let_go_multi(key);
        shield(|| queued.into_iter().for_each(|cqe| drop(operation.decode(cqe))));
        if held {
            driver.flight.abandon(key, Box::new(Left(operation)));
            driver.visit_from_outside(|driver| driver.flight.is_held(key));
        } else {
            shield(|| drop(operation));
        }
    }
}

/// A multishot operation without its handle.
struct Left<M>(M);

impl<M: Multishot> Abandoned for Left<M> {
    fn complete(mut self: Box<Self>, completions: &[Cqe]) {
        for cqe in completions {
            shield(|| drop(self.0.decode(*cqe)));
        }
    }
}
