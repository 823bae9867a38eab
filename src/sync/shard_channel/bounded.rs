//! The end of a bounded channel that values are sent into.
#![forbid(unsafe_code)]

use std::fmt;
use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::sink::Sink;

use super::blocking::block_on;
use super::sender::End;
use super::state::{For, Shared, Waiting};
use crate::sync::channel::{SendError, TrySendError};
use crate::util::budget::{self, Toll};
use crate::util::line::Place;

/// The end of a [`bounded`](super::bounded) channel that values are sent into, from any thread, also as
/// a [`Sink`]. Clones send into the same channel.
pub struct BoundedShardSender<T> {
    end: End<T>,
    toll: Toll,
    /// As a sink: whether it has room, and where it waits for that.
    has_room: bool,
    place: Place,
}

/// Room for one value in a bounded channel. Dropped, it goes to the sender that has waited longest.
#[must_use = "room that is dropped goes to another sender"]
pub struct ShardReserved<'a, T> {
    /// `None` once it was filled.
    shared: Option<&'a Shared<T>>,
}

impl<T> BoundedShardSender<T> {
    pub(super) fn new(shared: Arc<Shared<T>>) -> Self {
        BoundedShardSender { end: End::new(shared), toll: Toll::Due, has_room: false, place: None }
    }

    /// Sends a value, and waits for room if the channel is full.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the future has not sent, and the value is dropped with it. To keep
    /// the value, await [`reserve`](Self::reserve) instead.
    ///
    /// # Errors
    ///
    /// Gives the value back if the channel is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::sync::shard_channel;
    ///
    /// let (sender, mut receiver) = shard_channel::bounded(1);
    /// let thread = std::thread::spawn(move || {
    ///     corering::block_on(async move {
    ///         for number in 0..3 {
    ///             sender.send(number).await.unwrap();
    ///         }
    ///     });
    /// });
    /// assert_eq!(receiver.blocking_recv(), Some(0));
    /// assert_eq!(receiver.blocking_recv(), Some(1));
    /// assert_eq!(receiver.blocking_recv(), Some(2));
    /// # thread.join().unwrap();
    /// ```
    pub async fn send(&self, value: T) -> Result<(), SendError<T>> {
        budget::pay().await;
        let value = match self.try_send(value) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(value)) => return Err(SendError(value)),
            Err(TrySendError::Full(value)) => value,
        };
        let mut waiting = Waiting::new(&self.end.shared, For::Room);
        match poll_fn(|cx| waiting.poll_room(cx)).await {
            Ok(()) => ShardReserved { shared: Some(&self.end.shared) }.send(value),
            Err(SendError(())) => Err(SendError(value)),
        }
    }

    /// Waits for room for one value: back-pressure without a value that could be lost.
    ///
    /// # Cancel safety
    ///
    /// A dropped future leaves the line; room that it had been given goes to the next sender.
    ///
    /// # Errors
    ///
    /// If the channel is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::sync::shard_channel;
    /// use corering::time::{Duration, timeout};
    ///
    /// corering::block_on(async {
    ///     let (sender, mut receiver) = shard_channel::bounded(1);
    ///     let room = sender.reserve().await.unwrap();
    ///     // There is no second one.
    ///     assert!(timeout(Duration::from_millis(1), sender.reserve()).await.is_err());
    ///     room.send("made when there was room").unwrap();
    ///     assert_eq!(receiver.recv().await, Some("made when there was room"));
    /// });
    /// ```
    pub async fn reserve(&self) -> Result<ShardReserved<'_, T>, SendError<()>> {
        if self.end.ended {
            return Err(SendError(()));
        }
        let mut toll = Toll::Due;
        let mut waiting = Waiting::new(&self.end.shared, For::Room);
        poll_fn(|cx| toll.poll(cx, |cx| waiting.poll_room(cx))).await?;
        Ok(ShardReserved { shared: Some(&self.end.shared) })
    }

    /// Sends a value if there is room for it. Never waits.
    ///
    /// # Errors
    ///
    /// Gives the value back if the channel is full, if others wait for room, or if it is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::sync::{channel::TrySendError, shard_channel};
    ///
    /// let (sender, receiver) = shard_channel::bounded(1);
    /// assert_eq!(sender.try_send(1), Ok(()));
    /// assert_eq!(sender.try_send(2), Err(TrySendError::Full(2)));
    /// drop(receiver);
    /// assert_eq!(sender.try_send(3), Err(TrySendError::Closed(3)));
    /// ```
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        if self.end.ended {
            return Err(TrySendError::Closed(value));
        }
        self.end.shared.send(value)
    }

    /// Sends a value from a thread without a runtime, which stops until there is room.
    ///
    /// # Errors
    ///
    /// Gives the value back if the channel is closed.
    ///
    /// # Panics
    ///
    /// Inside a corering runtime, whose shard would stop: await [`send`](Self::send) there.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::sync::shard_channel;
    ///
    /// let (sender, mut receiver) = shard_channel::bounded(1);
    /// std::thread::spawn(move || {
    ///     for number in 0..3 {
    ///         sender.blocking_send(number).unwrap();
    ///     }
    /// });
    /// corering::block_on(async move {
    ///     for number in 0..3 {
    ///         assert_eq!(receiver.recv().await, Some(number));
    ///     }
    ///     assert_eq!(receiver.recv().await, None);
    /// });
    /// ```
    #[track_caller]
    pub fn blocking_send(&self, value: T) -> Result<(), SendError<T>> {
        self.send_blocking(value, None).map_err(|refused| SendError(refused.into_inner()))
    }

    /// As [`blocking_send`](Self::blocking_send), for a limited time.
    ///
    /// # Errors
    ///
    /// Gives the value back: [`TrySendError::Full`] if there was no room until the limit,
    /// [`TrySendError::Closed`] if the channel is closed.
    ///
    /// # Panics
    ///
    /// Inside a corering runtime.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::sync::{channel::TrySendError, shard_channel};
    /// use std::time::Duration;
    ///
    /// let (sender, _receiver) = shard_channel::bounded(1);
    /// let limit = Duration::from_millis(1);
    /// assert_eq!(sender.blocking_send_timeout(1, limit), Ok(()));
    /// assert_eq!(sender.blocking_send_timeout(2, limit), Err(TrySendError::Full(2)));
    /// ```
    #[track_caller]
    pub fn blocking_send_timeout(&self, value: T, limit: Duration) -> Result<(), TrySendError<T>> {
        self.send_blocking(value, Some(limit))
    }

    #[track_caller]
    fn send_blocking(&self, value: T, limit: Option<Duration>) -> Result<(), TrySendError<T>> {
        if self.end.ended {
            return Err(TrySendError::Closed(value));
        }
        let mut waiting = Waiting::new(&self.end.shared, For::Room);
        match block_on("send", limit, |cx| waiting.poll_room(cx)) {
            Some(Ok(())) => {
                let room = ShardReserved { shared: Some(&self.end.shared) };
                room.send(value).map_err(|SendError(value)| TrySendError::Closed(value))
            }
            Some(Err(SendError(()))) => Err(TrySendError::Closed(value)),
            None => Err(TrySendError::Full(value)),
        }
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
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, receiver) = corering::sync::shard_channel::bounded::<u8>(1);
    /// std::thread::spawn(move || drop(receiver));
    /// corering::block_on(async move { sender.closed().await });
    /// ```
    pub async fn closed(&self) {
        self.end.closed().await;
    }

    /// Whether the receiver is gone or was closed.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, mut receiver) = corering::sync::shard_channel::bounded::<u8>(1);
    /// assert!(!sender.is_closed());
    /// receiver.close();
    /// assert!(sender.is_closed());
    /// ```
    pub fn is_closed(&self) -> bool {
        self.end.is_closed()
    }

    /// How many values wait to be received.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, receiver) = corering::sync::shard_channel::bounded(4);
    /// sender.try_send(1).unwrap();
    /// assert_eq!((sender.len(), receiver.len()), (1, 1));
    /// ```
    pub fn len(&self) -> usize {
        self.end.shared.len()
    }

    /// Whether no value waits to be received.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, _receiver) = corering::sync::shard_channel::bounded(4);
    /// assert!(sender.is_empty());
    /// sender.try_send(1).unwrap();
    /// assert!(!sender.is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many values the channel holds at most.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, _receiver) = corering::sync::shard_channel::bounded::<u8>(4);
    /// assert_eq!(sender.capacity(), 4);
    /// ```
    pub fn capacity(&self) -> usize {
        self.end.shared.capacity()
    }
}

impl<T> ShardReserved<'_, T> {
    /// Sends a value into the reserved room. Never waits.
    ///
    /// # Errors
    ///
    /// Gives the value back if the channel was closed since.
    ///
    /// # Examples
    ///
    /// ```
    /// corering::block_on(async {
    ///     let (sender, mut receiver) = corering::sync::shard_channel::bounded(1);
    ///     sender.reserve().await.unwrap().send(7).unwrap();
    ///     assert_eq!(receiver.recv().await, Some(7));
    /// });
    /// ```
    pub fn send(mut self, value: T) -> Result<(), SendError<T>> {
        match self.shared.take() {
            Some(shared) => shared.fill(value),
            None => unreachable!("room is filled by what consumes it"),
        }
    }
}

impl<T> Drop for ShardReserved<'_, T> {
    fn drop(&mut self) {
        if let Some(shared) = self.shared {
            shared.give_back();
        }
    }
}

/// Values of a sink are sent when it takes them: a flush has nothing to wait for, and a close gives up
/// this sender alone. An error drops the value.
impl<T> Sink<T> for BoundedShardSender<T> {
    type Error = SendError<()>;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        let BoundedShardSender { end, toll, has_room, place } = &mut *self;
        if end.ended {
            return Poll::Ready(Err(SendError(())));
        }
        if !*has_room {
            ready!(toll.poll(cx, |cx| end.shared.poll_room(place, cx)))?;
            *has_room = true;
        }
        Poll::Ready(Ok(()))
    }

    /// # Panics
    ///
    /// If `poll_ready` has not found room for the value.
    fn start_send(mut self: Pin<&mut Self>, value: T) -> Result<(), Self::Error> {
        if self.end.ended {
            return Err(SendError(()));
        }
        assert!(mem::take(&mut self.has_room), "start_send needs the room of a poll_ready");
        self.end.shared.fill(value).map_err(|SendError(_)| SendError(()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.give_room_up();
        self.end.end();
        Poll::Ready(Ok(()))
    }
}

impl<T> BoundedShardSender<T> {
    fn give_room_up(&mut self) {
        self.end.shared.leave(For::Room, &mut self.place);
        if mem::take(&mut self.has_room) {
            self.end.shared.give_back();
        }
    }
}

impl<T> Clone for BoundedShardSender<T> {
    fn clone(&self) -> Self {
        BoundedShardSender { end: self.end.clone(), toll: Toll::Due, has_room: false, place: None }
    }
}

impl<T> Drop for BoundedShardSender<T> {
    fn drop(&mut self) {
        self.give_room_up();
    }
}

impl<T> fmt::Debug for BoundedShardSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.end.shared.describe("BoundedShardSender", f)
    }
}

impl<T> fmt::Debug for ShardReserved<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.shared {
            Some(shared) => shared.describe("ShardReserved", f),
            None => f.write_str("ShardReserved"),
        }
    }
}
