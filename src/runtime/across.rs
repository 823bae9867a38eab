//! What crosses from one shard to another: replies and typed channels.
//!
//! Wakers are `Send`, and a wake from another thread goes through the shard's mailbox; so a mutex
//! around a queue and a waker is all that is needed here.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_util::stream::{FusedStream, Stream, StreamExt};

use crate::util::budget::Toll;

/// Why a shard did not answer.
#[derive(Debug)]
#[non_exhaustive]
pub enum ShardError {
    /// There is no shard of this number.
    NoSuchShard {
        /// The number that was asked for.
        shard: usize,
        /// How many there are, from 0 on.
        count: usize,
    },
    /// The shard has ended, before the task or during it.
    Gone,
    /// The task panicked there.
    Panicked(crate::task::JoinError),
}

impl fmt::Display for ShardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ShardError::NoSuchShard { shard, count } => {
                write!(f, "there is no shard {shard}: the {count} shards are numbered from 0 on")
            }
            ShardError::Gone => f.write_str("the shard has ended"),
            ShardError::Panicked(error) => write!(f, "on the other shard, {error}"),
        }
    }
}

impl std::error::Error for ShardError {}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct One<T> {
    value: Option<T>,
    waker: Option<Waker>,
    /// The side that replies is gone.
    ended: bool,
}

/// The side that replies, once, from any thread.
pub(super) struct Reply<T> {
    one: Arc<Mutex<One<T>>>,
}

/// The side that waits: `None` if no reply will come.
pub(super) struct Replied<T> {
    one: Arc<Mutex<One<T>>>,
    toll: Toll,
}

/// A place for one value that crosses threads.
pub(super) fn reply<T>() -> (Reply<T>, Replied<T>) {
    let one = Arc::new(Mutex::new(One { value: None, waker: None, ended: false }));
    (Reply { one: one.clone() }, Replied { one, toll: Toll::Due })
}

impl<T> Reply<T> {
    /// Replies. The value is dropped here if nobody waits for it any more.
    pub(super) fn send(self, value: T) {
        lock(&self.one).value = Some(value);
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        let waker = {
            let mut one = lock(&self.one);
            one.ended = true;
            one.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Replied<T> {
    /// Whether awaiting it would not wait.
    pub(super) fn has_ended(&self) -> bool {
        lock(&self.one).ended
    }
}

impl<T> Future for Replied<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let Replied { one, toll } = &mut *self;
        toll.poll(cx, |cx| poll_reply(one, cx))
    }
}

fn poll_reply<T>(one: &Mutex<One<T>>, cx: &mut Context<'_>) -> Poll<Option<T>> {
    let waker = cx.waker().clone();
    let mut one = lock(one);
    if one.ended {
        return Poll::Ready(one.value.take());
    }
    let old = one.waker.replace(waker);
    drop(one);
    drop(old);
    Poll::Pending
}

struct Channel<T> {
    queue: VecDeque<T>,
    waker: Option<Waker>,
    senders: usize,
    receiver: bool,
}

/// Makes a channel whose two ends may be on different shards (or any threads). It is unbounded.
///
/// A value is handed over with one lock, and a wake if the receiver waits.
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
pub fn shard_channel<T: Send>() -> (ShardSender<T>, ShardReceiver<T>) {
    let channel = Channel { queue: VecDeque::new(), waker: None, senders: 1, receiver: true };
    let channel = Arc::new(Mutex::new(channel));
    let sender = ShardSender { channel: channel.clone() };
    (sender, ShardReceiver { channel, ended: false, toll: Toll::Due })
}

/// The end of a [`shard_channel`] that sends.
pub struct ShardSender<T> {
    channel: Arc<Mutex<Channel<T>>>,
}

/// The end of a [`shard_channel`] that receives, also as a [`Stream`].
pub struct ShardReceiver<T> {
    channel: Arc<Mutex<Channel<T>>>,
    /// The end of the channel has been told.
    ended: bool,
    toll: Toll,
}

impl<T: Send> ShardSender<T> {
    /// Sends a value; never waits.
    ///
    /// # Errors
    ///
    /// The value comes back if the receiver is gone.
    pub fn send(&self, value: T) -> Result<(), T> {
        let waker = {
            let mut channel = lock(&self.channel);
            if !channel.receiver {
                return Err(value);
            }
            channel.queue.push_back(value);
            channel.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }
}

impl<T> Clone for ShardSender<T> {
    fn clone(&self) -> Self {
        lock(&self.channel).senders += 1;
        ShardSender { channel: self.channel.clone() }
    }
}

impl<T> Drop for ShardSender<T> {
    fn drop(&mut self) {
        let waker = {
            let mut channel = lock(&self.channel);
            channel.senders -= 1;
            if channel.senders == 0 { channel.waker.take() } else { None }
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T: Send> ShardReceiver<T> {
    /// The next value, in the order of sending; `None` when all senders are gone and nothing is
    /// left.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost: a value that was not taken stays.
    ///
    /// # Errors
    ///
    /// None.
    pub fn recv(&mut self) -> impl Future<Output = Option<T>> {
        std::future::poll_fn(move |cx| self.poll_next_unpin(cx))
    }

    /// A value that is there already.
    pub fn try_recv(&mut self) -> Option<T> {
        lock(&self.channel).queue.pop_front()
    }
}

impl<T> Stream for ShardReceiver<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let ShardReceiver { channel, ended, toll } = &mut *self;
        let polled = toll.poll(cx, |cx| poll_recv(channel, cx));
        *ended = matches!(polled, Poll::Ready(None));
        polled
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (lock(&self.channel).queue.len(), None)
    }
}

impl<T> FusedStream for ShardReceiver<T> {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}

fn poll_recv<T>(channel: &Mutex<Channel<T>>, cx: &mut Context<'_>) -> Poll<Option<T>> {
    let waker = cx.waker().clone();
    let mut channel = lock(channel);
    if let Some(value) = channel.queue.pop_front() {
        return Poll::Ready(Some(value));
    }
    if channel.senders == 0 {
        return Poll::Ready(None);
    }
    let old = channel.waker.replace(waker);
    drop(channel);
    drop(old);
    Poll::Pending
}

impl<T> Drop for ShardReceiver<T> {
    fn drop(&mut self) {
        let (queue, waker) = {
            let mut channel = lock(&self.channel);
            channel.receiver = false;
            (std::mem::take(&mut channel.queue), channel.waker.take())
        };
        drop(queue);
        drop(waker);
    }
}

impl<T> fmt::Debug for ShardSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardSender").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for ShardReceiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardReceiver").finish_non_exhaustive()
    }
}
