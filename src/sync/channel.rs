//! Channels from many tasks to one, first in, first out.
//!
//! [`bounded`] holds a number of values at most: who sends into a full one waits, and so a fast
//! sender cannot run ahead of a slow receiver without limit. [`unbounded`] takes every value at
//! once. Both have the same two ends.
//!
//! A channel is closed when its receiver is dropped or closed, or when its last sender is dropped.
//! What was sent before is still received; what is sent afterwards comes back to the sender.
#![forbid(unsafe_code)]

mod error;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_util::stream::{FusedStream, Stream};

use super::notify::Notify;
use super::semaphore::{self, Semaphore};
use crate::util::budget::{self, Toll};
use crate::util::shard_bound::{ShardBound, UseShardChannelAcrossThreads};
use crate::util::waker_cell::WakerCell;

pub use error::{SendError, TryRecvError, TrySendError};

/// Makes a channel that holds at most `capacity` values.
///
/// # Panics
///
/// If `capacity` is 0 or exceeds [`Semaphore::MAX_PERMITS`].
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "a bounded channel holds at least one value");
    channel(Some(Bound { capacity, free: Semaphore::new(capacity) }))
}

/// Makes a channel that holds any number of values; sending never waits.
///
/// It can grow until memory ends: something else should bound what is sent.
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    channel(None)
}

/// The end that values are sent into. Clones send into the same channel.
pub struct Sender<T> {
    shared: ShardBound<Rc<Shared<T>>, dyn UseShardChannelAcrossThreads>,
}

/// The end that values come out of: one task's, also as a [`Stream`].
#[must_use = "a receiver that is dropped closes the channel"]
pub struct Receiver<T> {
    shared: ShardBound<Rc<Shared<T>>, dyn UseShardChannelAcrossThreads>,
    /// The end of the channel has been told.
    ended: bool,
    toll: Toll,
}

/// Room for one value, from [`Sender::reserve`]. Dropped unused, it is free for others.
#[must_use = "room that is dropped is free for others"]
pub struct Reserved<'a, T> {
    shared: &'a Shared<T>,
    /// `None` in an unbounded channel.
    room: Option<semaphore::Permit<'a>>,
}

struct Shared<T> {
    queue: RefCell<VecDeque<T>>,
    bound: Option<Bound>,
    senders: Cell<usize>,
    /// The receiver takes nothing that is sent from now on.
    closed: Cell<bool>,
    receiver: WakerCell,
    /// Who waits in `Sender::closed`.
    close: Notify,
}

struct Bound {
    capacity: usize,
    /// A permit for each value that finds room.
    free: Semaphore,
}

fn channel<T>(bound: Option<Bound>) -> (Sender<T>, Receiver<T>) {
    let shared = Rc::new(Shared {
        queue: RefCell::new(VecDeque::new()),
        bound,
        senders: Cell::new(1),
        closed: Cell::new(false),
        receiver: WakerCell::default(),
        close: Notify::new(),
    });
    let shared = ShardBound::new(shared);
    (Sender { shared: shared.clone() }, Receiver { shared, ended: false, toll: Toll::Due })
}

impl<T> Sender<T> {
    /// Sends a value, and waits for room if the channel is full.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the future has not sent, and the value is dropped with it. To keep
    /// the value, await [`reserve`](Sender::reserve) instead.
    ///
    /// # Errors
    ///
    /// Gives the value back if the channel is closed.
    pub async fn send(&self, value: T) -> Result<(), SendError<T>> {
        match self.reserve().await {
            Ok(reserved) => reserved.send(value),
            Err(SendError(())) => Err(SendError(value)),
        }
    }

    /// Waits for room for one value.
    ///
    /// # Cancel safety
    ///
    /// A dropped future leaves the line; room that it had been given goes to the next sender.
    ///
    /// # Errors
    ///
    /// If the channel is closed.
    pub async fn reserve(&self) -> Result<Reserved<'_, T>, SendError<()>> {
        let room = match &self.shared.bound {
            Some(bound) => Some(bound.free.acquire().await.map_err(|_| SendError(()))?),
            None => {
                budget::pay().await;
                None
            }
        };
        if self.shared.closed.get() {
            return Err(SendError(()));
        }
        Ok(Reserved { shared: &self.shared, room })
    }

    /// Sends a value if there is room for it. Never waits; an unbounded channel always has room.
    ///
    /// # Errors
    ///
    /// Gives the value back if the channel is full, if others wait for room, or if it is closed.
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        let room = match &self.shared.bound {
            Some(bound) if !self.shared.closed.get() => match bound.free.try_acquire() {
                Ok(permit) => Some(permit),
                Err(_) => return Err(TrySendError::Full(value)),
            },
            _ => None,
        };
        let sent = Reserved { shared: &self.shared, room }.send(value);
        sent.map_err(|SendError(value)| TrySendError::Closed(value))
    }

    /// Waits until the channel is closed: the moment to stop making values that nobody will take.
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again.
    ///
    /// # Errors
    ///
    /// None; waiting cannot fail.
    pub async fn closed(&self) {
        // Made before the look, so that a close between the two is not missed.
        let close = self.shared.close.notified();
        match self.shared.closed.get() {
            true => budget::pay().await,
            false => close.await,
        }
    }

    /// Whether the receiver is gone or was closed.
    pub fn is_closed(&self) -> bool {
        self.shared.closed.get()
    }

    /// How many values wait to be received.
    pub fn len(&self) -> usize {
        self.shared.len()
    }

    /// Whether no value waits to be received.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many values the channel holds at most, `None` if it is unbounded.
    pub fn capacity(&self) -> Option<usize> {
        self.shared.bound.as_ref().map(|bound| bound.capacity)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.senders.set(self.shared.senders.get() + 1);
        Sender { shared: self.shared.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let left = self.shared.senders.get() - 1;
        self.shared.senders.set(left);
        if left == 0 {
            self.shared.receiver.wake();
        }
    }
}

impl<T> Reserved<'_, T> {
    /// Sends a value into the reserved room. Never waits.
    ///
    /// # Errors
    ///
    /// Gives the value back if the channel was closed since.
    pub fn send(self, value: T) -> Result<(), SendError<T>> {
        if self.shared.closed.get() {
            return Err(SendError(value));
        }
        self.shared.queue.borrow_mut().push_back(value);
        // The room is taken until the value is received.
        if let Some(room) = self.room {
            room.forget();
        }
        self.shared.receiver.wake();
        Ok(())
    }
}

impl<T> Receiver<T> {
    /// Waits for a value. `None` when the channel is closed and everything sent has been received.
    ///
    /// # Cancel safety
    ///
    /// A dropped future has taken no value.
    ///
    /// # Errors
    ///
    /// None; a closed channel is an end and not a failure.
    pub async fn recv(&mut self) -> Option<T> {
        let Receiver { shared, toll, .. } = self;
        let _unregister = shared.receiver.clear_on_drop();
        let received = poll_fn(|cx| toll.poll(cx, |cx| shared.poll_recv(cx))).await;
        self.ended = received.is_none();
        received
    }

    /// Takes a value if one is there.
    ///
    /// # Errors
    ///
    /// [`TryRecvError::Empty`] while one may still come, [`TryRecvError::Closed`] when none will.
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        self.shared.try_recv()
    }

    /// Closes the channel: senders fail from now on, also those that wait. What was sent before can
    /// still be received.
    pub fn close(&mut self) {
        self.shared.close();
    }

    /// How many values wait to be received.
    pub fn len(&self) -> usize {
        self.shared.len()
    }

    /// Whether no value waits to be received.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the channel is closed; values may still wait to be received.
    pub fn is_closed(&self) -> bool {
        self.shared.closed.get() || self.shared.senders.get() == 0
    }
}

impl<T> Stream for Receiver<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let Receiver { shared, toll, .. } = &mut *self;
        let polled = toll.poll(cx, |cx| shared.poll_recv(cx));
        self.ended = matches!(polled, Poll::Ready(None));
        polled
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let waiting = self.len();
        (waiting, self.is_closed().then_some(waiting))
    }
}

impl<T> FusedStream for Receiver<T> {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.receiver.clear();
        self.shared.close();
        // The values go now and not with the last sender, one at a time: dropping one is user code.
        while let Ok(value) = self.shared.try_recv() {
            drop(value);
        }
    }
}

impl<T> Shared<T> {
    fn try_recv(&self) -> Result<T, TryRecvError> {
        let value = self.queue.borrow_mut().pop_front();
        match value {
            Some(value) => {
                if let Some(bound) = &self.bound {
                    bound.free.add_permits(1);
                }
                Ok(value)
            }
            None if self.closed.get() || self.senders.get() == 0 => Err(TryRecvError::Closed),
            None => Err(TryRecvError::Empty),
        }
    }

    fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut received = self.try_recv();
        if matches!(received, Err(TryRecvError::Empty)) {
            self.receiver.register(cx.waker());
            // Registering may have run code that sent.
            received = self.try_recv();
        }
        match received {
            Ok(value) => Poll::Ready(Some(value)),
            Err(TryRecvError::Closed) => Poll::Ready(None),
            Err(TryRecvError::Empty) => Poll::Pending,
        }
    }

    fn close(&self) {
        if self.closed.replace(true) {
            return;
        }
        if let Some(bound) = &self.bound {
            bound.free.close();
        }
        self.close.notify_waiters();
    }

    fn len(&self) -> usize {
        self.queue.borrow().len()
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.describe("Sender", f)
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.describe("Receiver", f)
    }
}

impl<T> fmt::Debug for Reserved<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.describe("Reserved", f)
    }
}

impl<T> Shared<T> {
    fn describe(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let capacity = self.bound.as_ref().map(|bound| bound.capacity);
        let mut output = f.debug_struct(name);
        output.field("len", &self.len()).field("capacity", &capacity);
        output.field("closed", &self.closed.get()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
