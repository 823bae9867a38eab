//! The end that values are sent into.
#![forbid(unsafe_code)]

use std::fmt;
use std::mem;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, ready};

use futures_util::sink::Sink;

use super::{OwnedReserved, Reserved, SendError, Shared, SharedBound, TrySendError, unbounded};
use crate::sync::store::{Closed, NoRoom, Room};
use crate::util::budget::Toll;
use crate::util::line::Place;
use crate::util::shard_bound::{ShardBound, UseShardChannelAcrossThreads};

/// The end that values are sent into, also as a [`Sink`]. Clones send into the same channel.
///
/// ```
/// use corering::sync::channel;
/// use futures_util::{StreamExt, stream};
///
/// corering::block_on(async {
///     let (sender, receiver) = channel::bounded(2);
///     let forwarding = corering::spawn(stream::iter(1..=3).map(Ok).forward(sender));
///     assert_eq!(receiver.collect::<Vec<_>>().await, [1, 2, 3]);
///     forwarding.await.unwrap().unwrap();
/// });
/// ```
pub struct Sender<T> {
    shared: SharedBound<T>,
    /// As a sink: whether it has room, and where it waits for that.
    has_room: bool,
    place: Place,
    toll: Toll,
}

/// A [`Sender`] that does not keep its channel open: what it is made into again while others do.
///
/// ```
/// use corering::sync::channel;
///
/// let (sender, mut receiver) = channel::unbounded();
/// let weak = sender.downgrade();
/// weak.upgrade().expect("a sender is there").try_send(1).unwrap();
/// drop(sender);
/// assert!(weak.upgrade().is_none());
/// assert_eq!(receiver.try_recv(), Ok(1));
/// assert!(receiver.is_closed());
/// ```
pub struct WeakSender<T> {
    shared: ShardBound<Weak<Shared<T>>, dyn UseShardChannelAcrossThreads>,
}

impl<T> Sender<T> {
    pub(super) fn of(shared: &Rc<Shared<T>>) -> Self {
        shared.senders.set(shared.senders.get() + 1);
        let shared = ShardBound::new(Rc::clone(shared));
        Sender { shared, has_room: false, place: None, toll: Toll::Due }
    }

    /// Sends a value, and waits for room if the channel is full.
    ///
    /// ```
    /// # corering::block_on(async {
    /// let (sender, mut receiver) = corering::sync::channel::bounded(8);
    /// sender.send("hello").await.unwrap();
    /// assert_eq!(receiver.recv().await, Some("hello"));
    /// # });
    /// ```
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
        self.shared.store.put(value).await.map_err(SendError)
    }

    /// Waits for room for one value.
    ///
    /// ```
    /// # corering::block_on(async {
    /// let (sender, mut receiver) = corering::sync::channel::bounded(8);
    /// let reserved = sender.reserve().await.unwrap();
    /// // The value is made when there is room for it.
    /// reserved.send(vec![0; 1024]).unwrap();
    /// assert_eq!(receiver.recv().await.unwrap().len(), 1024);
    /// # });
    /// ```
    ///
    /// # Cancel safety
    ///
    /// A dropped future leaves the line; room that it had been given goes to the next sender.
    ///
    /// # Errors
    ///
    /// If the channel is closed.
    pub async fn reserve(&self) -> Result<Reserved<'_, T>, SendError<()>> {
        let room = self.shared.store.room().await;
        room.map(Reserved::new).map_err(|Closed| SendError(()))
    }

    /// Waits for room for one value, which keeps the sender.
    ///
    /// ```
    /// # corering::block_on(async {
    /// let (sender, mut receiver) = corering::sync::channel::bounded(1);
    /// let reserved = sender.reserve_owned().await.unwrap();
    /// let sending = corering::spawn(async move { reserved.send(1).is_ok() });
    /// assert_eq!(receiver.recv().await, Some(1));
    /// assert!(sending.await.unwrap());
    /// # });
    /// ```
    ///
    /// # Cancel safety
    ///
    /// A dropped future leaves the line, and drops the sender; room that it had been given goes to the
    /// next sender.
    ///
    /// # Errors
    ///
    /// If the channel is closed.
    pub async fn reserve_owned(self) -> Result<OwnedReserved<T>, SendError<()>> {
        self.reserve().await.map(Reserved::keep)?;
        Ok(OwnedReserved::new(self))
    }

    /// Sends a value if there is room for it. Never waits; an unbounded channel always has room.
    ///
    /// ```
    /// use corering::sync::channel::{self, TrySendError};
    ///
    /// let (sender, _receiver) = channel::bounded(1);
    /// assert_eq!(sender.try_send(1), Ok(()));
    /// assert_eq!(sender.try_send(2), Err(TrySendError::Full(2)));
    /// ```
    ///
    /// # Errors
    ///
    /// Gives the value back if the channel is full, if others wait for room, or if it is closed.
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        self.shared.store.try_put(value).map_err(|(value, why)| match why {
            NoRoom::Full => TrySendError::Full(value),
            NoRoom::Closed => TrySendError::Closed(value),
        })
    }

    /// Reserves room for one value if there is some. Never waits.
    ///
    /// ```
    /// use corering::sync::channel::{self, TrySendError};
    ///
    /// let (sender, mut receiver) = channel::bounded(1);
    /// let reserved = sender.try_reserve().unwrap();
    /// assert_eq!(sender.try_send(1), Err(TrySendError::Full(1)));
    /// reserved.send(2).unwrap();
    /// assert_eq!(receiver.try_recv(), Ok(2));
    /// ```
    ///
    /// # Errors
    ///
    /// If the channel is full, if others wait for room, or if it is closed.
    pub fn try_reserve(&self) -> Result<Reserved<'_, T>, TrySendError<()>> {
        self.shared.store.try_room().map(Reserved::new).map_err(|no_room| match no_room {
            NoRoom::Full => TrySendError::Full(()),
            NoRoom::Closed => TrySendError::Closed(()),
        })
    }

    /// Reserves room for one value if there is some, which keeps the sender. Never waits.
    ///
    /// ```
    /// let (sender, mut receiver) = corering::sync::channel::bounded(1);
    /// let reserved = sender.try_reserve_owned().unwrap();
    /// let sender = reserved.send(1).unwrap();
    /// assert!(sender.try_reserve_owned().is_err());
    /// assert_eq!(receiver.try_recv(), Ok(1));
    /// ```
    ///
    /// # Errors
    ///
    /// Gives the sender back if the channel is full, if others wait for room, or if it is closed.
    pub fn try_reserve_owned(self) -> Result<OwnedReserved<T>, TrySendError<Self>> {
        match self.try_reserve().map(Reserved::keep) {
            Ok(()) => Ok(OwnedReserved::new(self)),
            Err(TrySendError::Full(())) => Err(TrySendError::Full(self)),
            Err(TrySendError::Closed(())) => Err(TrySendError::Closed(self)),
        }
    }

    /// Waits until the channel is closed: the moment to stop making values that nobody will take.
    ///
    /// ```
    /// # corering::block_on(async {
    /// let (sender, receiver) = corering::sync::channel::bounded::<u8>(1);
    /// let closed = corering::spawn(async move { sender.closed().await });
    /// drop(receiver);
    /// closed.await.unwrap();
    /// # });
    /// ```
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again.
    ///
    /// # Errors
    ///
    /// None; waiting cannot fail.
    pub async fn closed(&self) {
        self.shared.close.notified_unless(|| self.is_closed()).await;
    }

    /// Whether a receiver has closed the channel, or none is left.
    ///
    /// ```
    /// let (sender, mut receiver) = corering::sync::channel::bounded::<u8>(1);
    /// assert!(!sender.is_closed());
    /// receiver.close();
    /// assert!(sender.is_closed());
    /// ```
    pub fn is_closed(&self) -> bool {
        self.shared.store.is_closed()
    }

    /// How many values wait to be received.
    ///
    /// ```
    /// let (sender, _receiver) = corering::sync::channel::unbounded();
    /// sender.try_send(1).unwrap();
    /// assert_eq!(sender.len(), 1);
    /// ```
    pub fn len(&self) -> usize {
        self.shared.store.len()
    }

    /// Whether no value waits to be received.
    ///
    /// ```
    /// let (sender, _receiver) = corering::sync::channel::unbounded::<u8>();
    /// assert!(sender.is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many values the channel holds at most, `None` if it is unbounded.
    ///
    /// ```
    /// use corering::sync::channel;
    ///
    /// assert_eq!(channel::bounded::<u8>(5).0.capacity(), Some(5));
    /// assert_eq!(channel::unbounded::<u8>().0.capacity(), None);
    /// ```
    pub fn capacity(&self) -> Option<usize> {
        self.shared.store.capacity()
    }

    /// Makes a sender that does not keep the channel open.
    ///
    /// ```
    /// let (sender, receiver) = corering::sync::channel::unbounded::<u8>();
    /// let weak = sender.downgrade();
    /// drop(sender);
    /// assert!(receiver.is_closed() && weak.upgrade().is_none());
    /// ```
    pub fn downgrade(&self) -> WeakSender<T> {
        WeakSender { shared: ShardBound::new(Rc::downgrade(&self.shared)) }
    }

    /// Whether both send into the same channel.
    ///
    /// ```
    /// use corering::sync::channel;
    ///
    /// let (sender, _receiver) = channel::unbounded::<u8>();
    /// assert!(sender.same_channel(&sender.clone()));
    /// assert!(!sender.same_channel(&channel::unbounded().0));
    /// ```
    pub fn same_channel(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.shared, &other.shared)
    }

    /// How many senders keep the channel open.
    ///
    /// ```
    /// let (sender, _receiver) = corering::sync::channel::unbounded::<u8>();
    /// let _second = sender.clone();
    /// let _weak = sender.downgrade();
    /// assert_eq!((sender.strong_count(), sender.weak_count()), (2, 1));
    /// ```
    pub fn strong_count(&self) -> usize {
        self.shared.senders.get()
    }

    /// How many [`WeakSender`]s there are.
    ///
    /// ```
    /// let (sender, _receiver) = corering::sync::channel::unbounded::<u8>();
    /// assert_eq!(sender.weak_count(), 0);
    /// ```
    pub fn weak_count(&self) -> usize {
        Rc::weak_count(&self.shared)
    }

    pub(super) fn shared(&self) -> &Rc<Shared<T>> {
        &self.shared
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Sender::of(&self.shared)
    }
}

/// Closed, the sink is the sender of no channel: the one that it was of ends with its other senders.
impl<T> Sink<T> for Sender<T> {
    type Error = SendError<()>;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        let Sender { shared, has_room, place, toll } = &mut *self;
        if !*has_room {
            let room = ready!(toll.poll(cx, |cx| shared.store.poll_room(place, cx)));
            room.map_err(|Closed| SendError(()))?;
            *has_room = true;
        }
        Poll::Ready(Ok(()))
    }

    /// # Panics
    ///
    /// If `poll_ready` has not found room for the value.
    fn start_send(mut self: Pin<&mut Self>, value: T) -> Result<(), Self::Error> {
        assert!(mem::take(&mut self.has_room), "start_send needs the room of a poll_ready");
        Room::kept(&self.shared.store).put(value).map_err(|_| SendError(()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        *self = unbounded().0;
        Poll::Ready(Ok(()))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.store.leave_putters(&mut self.place);
        if self.has_room {
            drop(Room::kept(&self.shared.store));
        }
        let left = self.shared.senders.get() - 1;
        self.shared.senders.set(left);
        if left == 0 {
            self.shared.close();
        }
    }
}

impl<T> WeakSender<T> {
    /// Gives a sender, `None` if none has kept the channel open.
    ///
    /// ```
    /// let (sender, _receiver) = corering::sync::channel::unbounded::<u8>();
    /// let weak = sender.downgrade();
    /// assert!(weak.upgrade().is_some_and(|again| again.same_channel(&sender)));
    /// ```
    pub fn upgrade(&self) -> Option<Sender<T>> {
        let shared = self.shared.upgrade()?;
        (shared.senders.get() > 0).then(|| Sender::of(&shared))
    }
}

impl<T> Clone for WeakSender<T> {
    fn clone(&self) -> Self {
        WeakSender { shared: self.shared.clone() }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.store.describe("Sender", f)
    }
}

impl<T> fmt::Debug for WeakSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.shared.upgrade() {
            Some(shared) => shared.store.describe("WeakSender", f),
            None => f.write_str("WeakSender(gone)"),
        }
    }
}
