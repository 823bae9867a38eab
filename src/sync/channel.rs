//! Channels between the tasks of a shard, first in, first out.
//!
//! [`bounded`] holds a number of values at most: who sends into a full one waits, and so a fast
//! sender cannot run ahead of a slow receiver without limit. [`unbounded`] takes every value at
//! once. Both have the same two ends, and any number of each: a value goes to one receiver, the one that
//! has waited longest.
//!
//! A channel is closed when a receiver closes it, when its last receiver is dropped, or when its last
//! sender is. What was sent before is still received; what is sent afterwards comes back to the sender.
//!
//! A [`Queue`](crate::sync::Queue) has both ends in one, knows when all that was put has been dealt with,
//! and gives the smallest value first, or the last, if it is of such a kind.
#![forbid(unsafe_code)]

mod error;
mod receiver;
mod reserved;
mod sender;

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

use super::notify::Notify;
use super::semaphore::Semaphore;
use super::store::Store;
use crate::util::shard_bound::{ShardBound, UseShardChannelAcrossThreads};

pub use error::{SendError, TryRecvError, TrySendError};
pub use receiver::Receiver;
pub use reserved::{OwnedReserved, Reserved};
pub use sender::{Sender, WeakSender};

/// Makes a channel that holds at most `capacity` values.
///
/// ```
/// use corering::sync::channel;
///
/// corering::block_on(async {
///     let (sender, mut receiver) = channel::bounded(2);
///     let sending = corering::spawn(async move {
///         for number in 1..=3 {
///             // The third waits for room.
///             sender.send(number).await.unwrap();
///         }
///     });
///     let mut sum = 0;
///     while let Some(number) = receiver.recv().await {
///         sum += number;
///     }
///     assert_eq!(sum, 6);
///     sending.await.unwrap();
/// });
/// ```
///
/// # Panics
///
/// If `capacity` is 0 or exceeds [`Semaphore::MAX_PERMITS`].
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "a bounded channel holds at least one value");
    assert!(capacity <= Semaphore::MAX_PERMITS, "more values than a bounded channel can hold");
    channel(Some(capacity))
}

/// Makes a channel that holds any number of values; sending never waits.
///
/// It can grow until memory ends: something else should bound what is sent.
///
/// ```
/// use corering::sync::channel;
///
/// let (sender, mut receiver) = channel::unbounded();
/// sender.try_send("from code that cannot wait").unwrap();
/// assert_eq!(receiver.try_recv(), Ok("from code that cannot wait"));
/// ```
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    channel(None)
}

/// What the ends of a channel share.
struct Shared<T> {
    store: Store<VecDeque<T>>,
    senders: Cell<usize>,
    receivers: Cell<usize>,
    /// The tasks that wait in `Sender::closed`.
    close: Notify,
}

type SharedBound<T> = ShardBound<Rc<Shared<T>>, dyn UseShardChannelAcrossThreads>;

fn channel<T>(capacity: Option<usize>) -> (Sender<T>, Receiver<T>) {
    let shared = Rc::new(Shared {
        store: Store::new(capacity),
        senders: Cell::new(0),
        receivers: Cell::new(0),
        close: Notify::new(),
    });
    (Sender::of(&shared), Receiver::of(&shared))
}

impl<T> Shared<T> {
    fn has_one_receiver(&self) -> bool {
        self.receivers.get() == 1
    }

    fn close(&self) {
        if self.store.close() {
            self.close.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests;
