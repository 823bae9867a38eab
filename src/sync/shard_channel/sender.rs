//! The end of an unbounded channel that values are sent into.
#![forbid(unsafe_code)]

use std::fmt;
use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::sink::Sink;

use super::state::{For, Shared, Waiting};
use crate::sync::channel::SendError;
use crate::util::budget::Toll;

/// The end of an [`unbounded`](super::unbounded) channel that values are sent into, from any thread,
/// also as a [`Sink`]. Clones send into the same channel.
pub struct ShardSender<T> {
    end: End<T>,
    toll: Toll,
}

impl<T> ShardSender<T> {
    pub(super) fn new(shared: Arc<Shared<T>>) -> Self {
        ShardSender { end: End::new(shared), toll: Toll::Due }
    }

    /// Sends a value. Never waits, and may be called from any thread.
    ///
    /// # Errors
    ///
    /// Gives the value back if the channel is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// let (sender, mut receiver) = corering::shard_channel();
    /// std::thread::spawn(move || sender.send("from elsewhere"));
    /// corering::block_on(async move {
    ///     assert_eq!(receiver.recv().await, Some("from elsewhere"));
    ///     assert_eq!(receiver.recv().await, None);
    /// });
    /// ```
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        if self.end.ended {
            return Err(SendError(value));
        }
        // It is never full.
        self.end.shared.send(value).map_err(|refused| SendError(refused.into_inner()))
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
    /// let (sender, receiver) = corering::shard_channel::<u8>();
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
    /// let (sender, receiver) = corering::shard_channel::<u8>();
    /// assert!(!sender.is_closed());
    /// drop(receiver);
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
    /// let (sender, receiver) = corering::shard_channel();
    /// sender.send(1).unwrap();
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
    /// let (sender, _receiver) = corering::shard_channel();
    /// assert!(sender.is_empty());
    /// sender.send(1).unwrap();
    /// assert!(!sender.is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Values of a sink are sent when it takes them: a flush has nothing to wait for, and a close gives up
/// this sender alone. An error drops the value.
impl<T> Sink<T> for ShardSender<T> {
    type Error = SendError<()>;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        let ShardSender { end, toll } = &mut *self;
        toll.poll(cx, |_| Poll::Ready(if end.is_closed() { Err(SendError(())) } else { Ok(()) }))
    }

    fn start_send(self: Pin<&mut Self>, value: T) -> Result<(), Self::Error> {
        self.send(value).map_err(|SendError(_)| SendError(()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.end.end();
        Poll::Ready(Ok(()))
    }
}

impl<T> Clone for ShardSender<T> {
    fn clone(&self) -> Self {
        ShardSender { end: self.end.clone(), toll: Toll::Due }
    }
}

impl<T> fmt::Debug for ShardSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.end.shared.describe("ShardSender", f)
    }
}

/// One of the senders of a channel, of either kind.
pub(super) struct End<T> {
    pub(super) shared: Arc<Shared<T>>,
    /// It was closed as a sink, and counts no more.
    pub(super) ended: bool,
}

impl<T> End<T> {
    pub(super) fn new(shared: Arc<Shared<T>>) -> Self {
        End { shared, ended: false }
    }

    pub(super) async fn closed(&self) {
        let mut toll = Toll::Due;
        let mut waiting = Waiting::new(&self.shared, For::Close);
        poll_fn(|cx| toll.poll(cx, |cx| waiting.poll_closed(cx))).await;
    }

    pub(super) fn is_closed(&self) -> bool {
        self.ended || self.shared.refuses()
    }

    pub(super) fn end(&mut self) {
        if !mem::replace(&mut self.ended, true) {
            self.shared.remove_sender();
        }
    }
}

impl<T> Clone for End<T> {
    fn clone(&self) -> Self {
        if !self.ended {
            self.shared.add_sender();
        }
        End { shared: self.shared.clone(), ended: self.ended }
    }
}

impl<T> Drop for End<T> {
    fn drop(&mut self) {
        self.end();
    }
}
