//! Channels whose ends may be on any threads, shards or not: from many senders to one receiver, first
//! in, first out.
//!
//! [`bounded`] holds a number of values at most: a sender that finds it full waits, and so a fast sender
//! cannot run ahead of a slow receiver without limit. [`unbounded`] takes every value immediately; it
//! is [`corering::shard_channel`](crate::shard_channel()), too. Both have the same receiver.
//!
//! | | in a task | on a thread without a runtime |
//! |---|---|---|
//! | send | [`BoundedShardSender::send`], [`BoundedShardSender::reserve`], [`Sink`](futures_util::sink::Sink) | [`BoundedShardSender::blocking_send`], [`BoundedShardSender::blocking_send_timeout`] |
//! | send without a wait | [`ShardSender::send`], [`BoundedShardSender::try_send`] | the same |
//! | receive | [`ShardReceiver::recv`], [`Stream`] | [`ShardReceiver::blocking_recv`], [`ShardReceiver::blocking_recv_timeout`] |
//! | receive without a wait | [`ShardReceiver::try_recv`] | the same |
//!
//! The futures are `Send`, and run on any executor. An end may be used on one thread, and then go to
//! another.
//!
//! A channel is closed when its receiver is dropped or closed, or when its last sender is dropped.
//! What was sent before is still received; what is sent afterwards comes back to the sender. A shard
//! that ends drops its tasks, and with them the ends that they hold.
//!
//! A value is dropped on the thread that has it: a value that was refused on the sender's, one that was
//! received on the receiver's, and what is left in the channel on the thread that drops the receiver.
//!
//! A value is handed over under a mutex that is held for a push or a pop, and wakes the receiver only
//! if that waits. A shard that is awake looks for such wakes by itself, and they cost no system call;
//! one that sleeps is woken by one.
#![forbid(unsafe_code)]

mod blocking;
mod bounded;
mod sender;
mod state;

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::{FusedStream, Stream};

use self::blocking::block_on;
use self::state::Shared;
use super::channel::TryRecvError;
use crate::util::budget::Toll;

pub use bounded::{BoundedShardSender, ShardReserved};
pub use sender::ShardSender;

/// Makes a channel that holds at most `capacity` values. Its ends may be on any threads.
///
/// # Panics
///
/// If `capacity` is 0.
///
/// # Examples
///
/// ```
/// use corering::sync::shard_channel;
///
/// let (sender, receiver) = shard_channel::bounded(2);
/// let shards = corering::Runtime::builder().shards(2).oversubscribe(true);
/// let receivers = std::sync::Mutex::new(vec![receiver]);
/// shards.run(|shard| {
///     let sender = sender.clone();
///     let receiver = receivers.lock().unwrap().pop();
///     async move {
///         match receiver {
///             // One of the shards takes what the other sends, and as fast as it does.
///             Some(mut receiver) => {
///                 for number in 0..5 {
///                     assert_eq!(receiver.recv().await, Some(number));
///                 }
///             }
///             None => {
///                 for number in 0..5 {
///                     sender.send(number).await.unwrap();
///                 }
///             }
///         }
///     }
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn bounded<T: Send>(capacity: usize) -> (BoundedShardSender<T>, ShardReceiver<T>) {
    assert!(capacity > 0, "a bounded channel holds at least one value");
    // The most is no bound.
    let shared = Shared::new(capacity.min(usize::MAX - 1));
    (BoundedShardSender::new(shared.clone()), ShardReceiver::new(shared))
}

/// Makes a channel that holds any number of values; sending never waits. Its ends may be on any threads.
///
/// It can grow until memory ends: something else should bound what is sent.
///
/// # Examples
///
/// ```
/// let (sender, mut receiver) = corering::sync::shard_channel::unbounded();
/// std::thread::spawn(move || sender.send("from elsewhere"));
/// corering::block_on(async move {
///     assert_eq!(receiver.recv().await, Some("from elsewhere"));
///     assert_eq!(receiver.recv().await, None);
/// });
/// ```
pub fn unbounded<T: Send>() -> (ShardSender<T>, ShardReceiver<T>) {
    let shared = Shared::new(usize::MAX);
    (ShardSender::new(shared.clone()), ShardReceiver::new(shared))
}

/// The end of a channel that values come out of, on any thread, also as a [`Stream`].
#[must_use = "a receiver that is dropped closes the channel"]
pub struct ShardReceiver<T> {
    shared: Arc<Shared<T>>,
    /// The end of the channel has been told.
    ended: bool,
    toll: Toll,
}

impl<T> ShardReceiver<T> {
    fn new(shared: Arc<Shared<T>>) -> Self {
        ShardReceiver { shared, ended: false, toll: Toll::Due }
    }

    /// Waits for a value, in the order of sending. `None` when the channel is closed and everything
    /// sent has been received.
    ///
    /// # Cancel safety
    ///
    /// A dropped future has taken no value.
    ///
    /// # Errors
    ///
    /// None; a closed channel is an end and not a failure.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, mut receiver) = corering::shard_channel();
    /// std::thread::spawn(move || sender.send(7));
    /// corering::block_on(async move {
    ///     assert_eq!(receiver.recv().await, Some(7));
    ///     assert_eq!(receiver.recv().await, None);
    /// });
    /// ```
    pub async fn recv(&mut self) -> Option<T> {
        let ShardReceiver { shared, toll, .. } = self;
        let mut receiving = Receiving { shared, is_kept: false };
        let received = poll_fn(|cx| {
            let polled = toll.poll(cx, |cx| shared.poll_recv(cx));
            receiving.is_kept = polled.is_pending();
            polled
        })
        .await;
        drop(receiving);
        self.ended = received.is_none();
        received
    }

    /// Takes a value if one is there.
    ///
    /// # Errors
    ///
    /// [`TryRecvError::Empty`] while one may still come, [`TryRecvError::Closed`] when none will.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::sync::channel::TryRecvError;
    ///
    /// let (sender, mut receiver) = corering::shard_channel();
    /// assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    /// sender.send(7).unwrap();
    /// drop(sender);
    /// assert_eq!(receiver.try_recv(), Ok(7));
    /// assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
    /// ```
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        self.shared.try_recv()
    }

    /// Waits for a value on a thread without a runtime, which stops meanwhile. `None` when the channel
    /// is closed and everything sent has been received.
    ///
    /// # Panics
    ///
    /// Inside a corering runtime, whose shard would stop: await [`recv`](Self::recv) there.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, mut receiver) = corering::shard_channel();
    /// let thread = std::thread::spawn(move || receiver.blocking_recv());
    /// corering::block_on(async move { sender.send("from a task").unwrap() });
    /// assert_eq!(thread.join().unwrap(), Some("from a task"));
    /// ```
    #[track_caller]
    pub fn blocking_recv(&mut self) -> Option<T> {
        self.recv_blocking(None).ok()
    }

    /// As [`blocking_recv`](Self::blocking_recv), for a limited time.
    ///
    /// # Errors
    ///
    /// [`TryRecvError::Empty`] if nothing came until the limit, [`TryRecvError::Closed`] if nothing
    /// will come any more.
    ///
    /// # Panics
    ///
    /// Inside a corering runtime.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::sync::channel::TryRecvError;
    /// use std::time::Duration;
    ///
    /// let (sender, mut receiver) = corering::shard_channel::<u8>();
    /// let limit = Duration::from_millis(1);
    /// assert_eq!(receiver.blocking_recv_timeout(limit), Err(TryRecvError::Empty));
    /// drop(sender);
    /// assert_eq!(receiver.blocking_recv_timeout(limit), Err(TryRecvError::Closed));
    /// ```
    #[track_caller]
    pub fn blocking_recv_timeout(&mut self, limit: Duration) -> Result<T, TryRecvError> {
        self.recv_blocking(Some(limit))
    }

    #[track_caller]
    fn recv_blocking(&mut self, limit: Option<Duration>) -> Result<T, TryRecvError> {
        match block_on("recv", limit, |cx| self.shared.poll_recv(cx)) {
            Some(received) => {
                self.ended = received.is_none();
                received.ok_or(TryRecvError::Closed)
            }
            None => {
                self.shared.forget_receiver();
                Err(TryRecvError::Empty)
            }
        }
    }

    /// Closes the channel: senders fail from now on, also those that wait. What was sent before can
    /// still be received.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, mut receiver) = corering::shard_channel();
    /// sender.send(1).unwrap();
    /// receiver.close();
    /// assert!(sender.send(2).is_err());
    /// assert_eq!(receiver.try_recv(), Ok(1));
    /// ```
    pub fn close(&mut self) {
        self.shared.close();
    }

    /// Whether the channel is closed; values may still wait to be received.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, receiver) = corering::shard_channel::<u8>();
    /// assert!(!receiver.is_closed());
    /// drop(sender);
    /// assert!(receiver.is_closed());
    /// ```
    pub fn is_closed(&self) -> bool {
        self.shared.has_ended()
    }

    /// How many values wait to be received.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, receiver) = corering::shard_channel();
    /// sender.send(1).unwrap();
    /// assert_eq!(receiver.len(), 1);
    /// ```
    pub fn len(&self) -> usize {
        self.shared.len()
    }

    /// Whether no value waits to be received.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, receiver) = corering::shard_channel();
    /// assert!(receiver.is_empty());
    /// sender.send(1).unwrap();
    /// assert!(!receiver.is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Stream for ShardReceiver<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let ShardReceiver { shared, ended, toll } = &mut *self;
        let polled = toll.poll(cx, |cx| shared.poll_recv(cx));
        *ended = matches!(polled, Poll::Ready(None));
        polled
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len(), None)
    }
}

impl<T> FusedStream for ShardReceiver<T> {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}

impl<T> Drop for ShardReceiver<T> {
    fn drop(&mut self) {
        self.shared.end();
    }
}

impl<T> fmt::Debug for ShardReceiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.describe("ShardReceiver", f)
    }
}

/// A wait for a value, whose waker is forgotten when this is dropped.
struct Receiving<'a, T> {
    shared: &'a Shared<T>,
    is_kept: bool,
}

impl<T> Drop for Receiving<'_, T> {
    fn drop(&mut self) {
        if self.is_kept {
            self.shared.forget_receiver();
        }
    }
}
