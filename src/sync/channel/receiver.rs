//! The end that values come out of.
#![forbid(unsafe_code)]

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_util::stream::{FusedStream, Stream};

use super::{Shared, SharedBound, TryRecvError};
use crate::sync::store::{Nothing, Taking};
use crate::util::budget::Toll;
use crate::util::line::Place;
use crate::util::shard_bound::ShardBound;

/// The end that values come out of, also as a [`Stream`].
///
/// Clones receive from the same channel: each value goes to one of them, the one that has waited
/// longest, and the end to all. To poll for a value is to poll the stream.
///
/// ```
/// use corering::sync::channel;
///
/// corering::block_on(async {
///     let (sender, receiver) = channel::bounded(4);
///     let workers: Vec<_> = (0..3)
///         .map(|_| {
///             let mut jobs = receiver.clone();
///             corering::spawn(async move {
///                 let mut sum = 0;
///                 while let Some(job) = jobs.recv().await {
///                     sum += job;
///                 }
///                 sum
///             })
///         })
///         .collect();
///     for job in 1..=100 {
///         sender.send(job).await.unwrap();
///     }
///     drop(sender);
///     let mut sum = 0;
///     for worker in workers {
///         sum += worker.await.unwrap();
///     }
///     assert_eq!(sum, 5050);
/// });
/// ```
#[must_use = "the last receiver closes the channel when it is dropped"]
pub struct Receiver<T> {
    shared: SharedBound<T>,
    /// Of the task that waits in `recv`, or has polled the stream.
    place: Place,
    /// The end of the channel has been told.
    ended: bool,
    toll: Toll,
}

impl<T> Receiver<T> {
    pub(super) fn of(shared: &Rc<Shared<T>>) -> Self {
        shared.receivers.set(shared.receivers.get() + 1);
        shared.store.is_joined();
        let shared = ShardBound::new(Rc::clone(shared));
        Receiver { shared, place: None, ended: false, toll: Toll::Due }
    }

    /// Waits for a value. `None` when the channel is closed and everything sent has been received.
    ///
    /// ```
    /// # corering::block_on(async {
    /// let (sender, mut receiver) = corering::sync::channel::bounded(1);
    /// sender.send(1).await.unwrap();
    /// drop(sender);
    /// assert_eq!(receiver.recv().await, Some(1));
    /// assert_eq!(receiver.recv().await, None);
    /// # });
    /// ```
    ///
    /// # Cancel safety
    ///
    /// A dropped future has taken no value. One that it was promised goes to the receiver that has
    /// waited longest.
    ///
    /// # Errors
    ///
    /// None; a closed channel is an end and not a failure.
    pub async fn recv(&mut self) -> Option<T> {
        let Receiver { shared, place, toll, .. } = self;
        let is_alone = shared.has_one_receiver();
        let received = Taking { store: &shared.store, is_alone, place, toll }.await;
        self.ended = received.is_none();
        received
    }

    /// Waits for a value, takes up to `limit` in one go, and appends them to `values`. Returns their number:
    /// 0 when the channel is closed and everything sent has been received, and if `limit` is 0.
    ///
    /// ```
    /// # corering::block_on(async {
    /// let (sender, mut receiver) = corering::sync::channel::unbounded();
    /// for number in 1..=5 {
    ///     sender.try_send(number).unwrap();
    /// }
    /// let mut numbers = Vec::new();
    /// assert_eq!(receiver.recv_many(&mut numbers, 3).await, 3);
    /// assert_eq!(receiver.recv_many(&mut numbers, 3).await, 2);
    /// assert_eq!(numbers, [1, 2, 3, 4, 5]);
    /// # });
    /// ```
    ///
    /// # Cancel safety
    ///
    /// A dropped future has taken no value, as that of [`recv`](Receiver::recv).
    ///
    /// # Errors
    ///
    /// None; a closed channel is an end and not a failure.
    pub async fn recv_many(&mut self, values: &mut Vec<T>, limit: usize) -> usize {
        if limit == 0 {
            return 0;
        }
        let Some(first) = self.recv().await else { return 0 };
        values.push(first);
        let mut count = 1;
        while count < limit
            && let Ok(value) = self.try_recv()
        {
            values.push(value);
            count += 1;
        }
        count
    }

    /// Takes a value if one is not promised to another receiver that waits.
    ///
    /// ```
    /// use corering::sync::channel::{self, TryRecvError};
    ///
    /// let (sender, mut receiver) = channel::bounded(1);
    /// assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    /// sender.try_send(1).unwrap();
    /// drop(sender);
    /// assert_eq!(receiver.try_recv(), Ok(1));
    /// assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
    /// ```
    ///
    /// # Errors
    ///
    /// [`TryRecvError::Empty`] while one may still come, [`TryRecvError::Closed`] when none will.
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        self.shared.store.try_take(&mut self.place).map_err(|nothing| match nothing {
            Nothing::Yet => TryRecvError::Empty,
            Nothing::Ever => TryRecvError::Closed,
        })
    }

    /// Closes the channel for all its ends: sending fails from now on, also for tasks that wait. What was
    /// sent before can still be received.
    ///
    /// ```
    /// # corering::block_on(async {
    /// let (sender, mut receiver) = corering::sync::channel::bounded(2);
    /// sender.send(1).await.unwrap();
    /// receiver.close();
    /// assert!(sender.send(2).await.is_err());
    /// assert_eq!(receiver.recv().await, Some(1));
    /// assert_eq!(receiver.recv().await, None);
    /// # });
    /// ```
    pub fn close(&mut self) {
        self.shared.close();
    }

    /// How many values wait to be received.
    ///
    /// ```
    /// let (sender, receiver) = corering::sync::channel::unbounded();
    /// sender.try_send(1).unwrap();
    /// assert_eq!(receiver.len(), 1);
    /// ```
    pub fn len(&self) -> usize {
        self.shared.store.len()
    }

    /// Whether no value waits to be received.
    ///
    /// ```
    /// let (_sender, receiver) = corering::sync::channel::unbounded::<u8>();
    /// assert!(receiver.is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many values the channel holds at most, `None` if it is unbounded.
    ///
    /// ```
    /// let (_sender, receiver) = corering::sync::channel::bounded::<u8>(5);
    /// assert_eq!(receiver.capacity(), Some(5));
    /// ```
    pub fn capacity(&self) -> Option<usize> {
        self.shared.store.capacity()
    }

    /// Whether the channel is closed; values may still wait to be received.
    ///
    /// ```
    /// let (sender, receiver) = corering::sync::channel::unbounded();
    /// sender.try_send(1).unwrap();
    /// drop(sender);
    /// assert!(receiver.is_closed() && !receiver.is_empty());
    /// ```
    pub fn is_closed(&self) -> bool {
        self.shared.store.is_closed()
    }

    /// How many senders keep the channel open.
    ///
    /// ```
    /// let (sender, receiver) = corering::sync::channel::unbounded::<u8>();
    /// let _second = sender.clone();
    /// assert_eq!(receiver.sender_strong_count(), 2);
    /// ```
    pub fn sender_strong_count(&self) -> usize {
        self.shared.senders.get()
    }

    /// How many [`WeakSender`](super::WeakSender)s there are.
    ///
    /// ```
    /// let (sender, receiver) = corering::sync::channel::unbounded::<u8>();
    /// let _weak = sender.downgrade();
    /// assert_eq!(receiver.sender_weak_count(), 1);
    /// ```
    pub fn sender_weak_count(&self) -> usize {
        Rc::weak_count(&self.shared)
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Receiver::of(&self.shared)
    }
}

impl<T> Stream for Receiver<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let Receiver { shared, place, toll, .. } = &mut *self;
        let polled = toll.poll(cx, |cx| match shared.has_one_receiver() {
            true => shared.store.poll_take_alone(place, cx),
            false => shared.store.poll_take(place, cx),
        });
        self.ended = matches!(polled, Poll::Ready(None));
        polled
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let waiting = self.len();
        // Others may take them.
        let surely = if self.shared.has_one_receiver() { waiting } else { 0 };
        (surely, self.is_closed().then_some(waiting))
    }
}

impl<T> FusedStream for Receiver<T> {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.store.leave_takers(&mut self.place);
        let left = self.shared.receivers.get() - 1;
        self.shared.receivers.set(left);
        if left == 0 {
            self.shared.close();
            // The values go now and not with the last sender.
            drop(self.shared.store.empty());
        }
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.store.describe("Receiver", f)
    }
}
