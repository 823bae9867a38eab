//! What crosses from one shard to another: replies.
//!
//! Wakers are `Send`, and a wake from another thread goes through the shard's mailbox; so a mutex
//! around a value and a waker is all that is needed here. Channels are in `sync/shard_channel.rs`.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

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
