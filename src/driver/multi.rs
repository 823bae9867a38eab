//! A multishot operation of the ring: armed once, completed many times.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::operation::Multishot;
use super::slots::{Abandoned, Kind, Slots};
use super::{Driver, State, System, current};
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
            driver.cancel(*key);
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
            let key = driver.arm(operation, cx.waker().clone())?;
            self.flight = Some((driver, key));
            return Poll::Pending;
        };
        match driver.next_of(*key, operation, cx.waker()) {
            Next::Item(cqe) => Poll::Ready(Ok(Some(operation.decode(cqe)))),
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

impl<M: Multishot> Drop for Multi<M> {
    fn drop(&mut self) {
        let Some((driver, key)) = self.flight.take() else { return };
        let Some(mut operation) = self.operation.take() else { return };
        let (queued, held) = driver.let_go_multi(key);
        shield(|| queued.into_iter().for_each(|cqe| drop(operation.decode(cqe))));
        if held {
            driver.abandon(key, Box::new(Left(operation)));
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

enum Next {
    Item(Cqe),
    Pending,
    Ended,
}

impl Driver {
    fn arm<M: Multishot>(&self, operation: &mut M, waker: Waker) -> io::Result<Key> {
        self.check_usable()?;
        let entry = operation.encode();
        let mut state = self.state.borrow_mut();
        let State { slots, system: Some(System::Uring(uring)), .. } = &mut *state else {
            return Err(io::Error::from(io::ErrorKind::Unsupported));
        };
        let kind = Kind::Multi { queued_max: operation.queued_max() };
        let key = slots.insert(kind, Some(waker));
        // SAFETY: `Multishot` promises that what the entry points at stays valid until the handle,
        // or after it the slot, has seen the final completion.
        unsafe { uring.push(entry.user_data(key.to_bits()), &self.counters) };
        Ok(key)
    }

    #[inline]
    fn next_of<M: Multishot>(&self, key: Key, operation: &mut M, waker: &Waker) -> Next {
        let mut state = self.state.borrow_mut();
        if let Some((cqe, slot)) = state.slots.take_queued(key) {
            let half_taken = slot.queue_len <= operation.queued_max() / 2;
            if slot.done && slot.paused && half_taken && !self.ended.get() {
                drop(state);
                self.rearm(key, operation);
            }
            return Next::Item(cqe);
        }
        // A ring that is closed brings nothing more, whatever the kernel had not given back by then.
        let over = state.system.is_none() || self.is_of_parent();
        let slot = state.slots.get_mut(key).expect("an armed handle has a slot");
        if slot.done || over {
            let slot = state.slots.remove(key);
            drop(state);
            drop(slot);
            return Next::Ended;
        }
        if slot.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            return Next::Pending;
        }
        drop(state);
        let waker = waker.clone();
        let old = self.state.borrow_mut().slots.set_waker(key, waker);
        drop(old);
        Next::Pending
    }

    /// Arms a multishot that was stopped for back-pressure, under the key it has.
    fn rearm<M: Multishot>(&self, key: Key, operation: &mut M) {
        let entry = operation.encode();
        let mut state = self.state_of_kernel();
        let State { slots, system: Some(System::Uring(uring)), .. } = &mut *state else { return };
        slots.rearmed(key);
        // SAFETY: as in `arm`; the earlier flight under this key has had its final completion.
        unsafe { uring.push(entry.user_data(key.to_bits()), &self.counters) };
    }

    /// What nobody had taken, and whether the kernel still has the operation. If not, the slot is
    /// retired.
    fn let_go_multi(&self, key: Key) -> (Vec<Cqe>, bool) {
        let mut state = self.state.borrow_mut();
        let queued = std::iter::from_fn(|| Some(state.slots.take_queued(key)?.0)).collect();
        let held = state.slots.get_mut(key).is_some_and(|slot| !slot.done);
        let slot = if held { None } else { Slots::remove(&mut state.slots, key) };
        drop(state);
        drop(slot);
        (queued, held)
    }
}
