//! A channel for a single value: the answer to a request, the result of a task.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_util::future::FusedFuture;

use crate::util::budget::Toll;
use crate::util::shard_bound::{ShardBound, UseShardChannelAcrossThreads};
use crate::util::waker_cell::WakerCell;

/// Makes a channel for one value between two tasks of a shard.
///
/// ```
/// use corering::sync::oneshot;
///
/// corering::block_on(async {
///     let (sender, receiver) = oneshot::channel();
///     corering::spawn(async move { sender.send("the answer") });
///     assert_eq!(receiver.await, Ok("the answer"));
/// });
/// ```
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let shared = Rc::new(Shared {
        value: Cell::new(None),
        sender_gone: Cell::new(false),
        receiver_gone: Cell::new(false),
        sender: WakerCell::default(),
        receiver: WakerCell::default(),
    });
    let shared = ShardBound::new(shared);
    (Sender { shared: shared.clone() }, Receiver { shared, done: false, toll: Toll::Due })
}

/// Sends the one value. Dropped, it makes the receiver fail.
pub struct Sender<T> {
    shared: ShardBound<Rc<Shared<T>>, dyn UseShardChannelAcrossThreads>,
}

/// Waits for the one value: a future, which stays usable when its borrower is dropped.
///
/// # Cancel safety
///
/// `(&mut receiver).await` may be dropped and begun anew; the value stays until it is returned.
/// Dropping the receiver itself closes the channel and drops a value that was sent.
///
/// # Errors
///
/// The future fails with [`RecvError`] if the sender was dropped without sending, if the channel was
/// closed before it sent, or if the value has been received before.
#[must_use = "a receiver that is dropped closes the channel"]
pub struct Receiver<T> {
    shared: ShardBound<Rc<Shared<T>>, dyn UseShardChannelAcrossThreads>,
    /// The future has given its result.
    done: bool,
    toll: Toll,
}

struct Shared<T> {
    value: Cell<Option<T>>,
    /// The sender has sent, or was dropped.
    sender_gone: Cell<bool>,
    /// The receiver takes no value any more: it was closed or dropped.
    receiver_gone: Cell<bool>,
    /// Who waits in `Sender::closed`.
    sender: WakerCell,
    receiver: WakerCell,
}

impl<T> Sender<T> {
    /// Sends the value. Never waits.
    ///
    /// ```
    /// let (sender, mut receiver) = corering::sync::oneshot::channel();
    /// sender.send(1).unwrap();
    /// assert_eq!(receiver.try_recv(), Ok(1));
    /// ```
    ///
    /// # Errors
    ///
    /// Gives the value back if the receiver is gone. That it was sent does not mean that it will be
    /// received: the receiver may still be dropped.
    pub fn send(self, value: T) -> Result<(), T> {
        if self.shared.receiver_gone.get() {
            return Err(value);
        }
        self.shared.value.set(Some(value));
        // Dropping `self` wakes the receiver.
        Ok(())
    }

    /// Whether the receiver is gone, so that the value is not needed any more.
    ///
    /// ```
    /// let (sender, receiver) = corering::sync::oneshot::channel::<u8>();
    /// drop(receiver);
    /// assert!(sender.is_closed());
    /// ```
    pub fn is_closed(&self) -> bool {
        self.shared.receiver_gone.get()
    }

    /// Waits until the receiver is gone: the moment to give up work whose answer is not needed any more.
    ///
    /// ```
    /// # corering::block_on(async {
    /// let (mut sender, receiver) = corering::sync::oneshot::channel::<u8>();
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
    pub async fn closed(&mut self) {
        let shared = &*self.shared;
        let _unregister = shared.sender.clear_on_drop();
        let mut toll = Toll::Due;
        let closed = |cx: &mut Context<'_>| {
            shared.sender.register(cx.waker());
            if shared.receiver_gone.get() { Poll::Ready(()) } else { Poll::Pending }
        };
        poll_fn(|cx| toll.poll(cx, closed)).await;
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.sender_gone.set(true);
        self.shared.receiver.wake();
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}

impl<T> Receiver<T> {
    /// Takes the value if it has been sent.
    ///
    /// ```
    /// use corering::sync::oneshot::{self, TryRecvError};
    ///
    /// let (sender, mut receiver) = oneshot::channel();
    /// assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    /// sender.send(1).unwrap();
    /// assert_eq!(receiver.try_recv(), Ok(1));
    /// ```
    ///
    /// # Errors
    ///
    /// [`TryRecvError::Empty`] while it may still come, [`TryRecvError::Closed`] when it never will.
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        if let Some(value) = self.shared.value.take() {
            return Ok(value);
        }
        if self.shared.sender_gone.get() || self.shared.receiver_gone.get() {
            return Err(TryRecvError::Closed);
        }
        Err(TryRecvError::Empty)
    }

    /// Closes the channel: the sender fails from now on. A value that was sent before can still be
    /// received.
    ///
    /// ```
    /// let (sender, mut receiver) = corering::sync::oneshot::channel();
    /// receiver.close();
    /// assert_eq!(sender.send(1), Err(1));
    /// ```
    pub fn close(&mut self) {
        self.shared.receiver_gone.set(true);
        self.shared.sender.wake();
    }
}

impl<T> Future for Receiver<T> {
    type Output = Result<T, RecvError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut toll = self.toll;
        let polled = toll.poll(cx, |cx| self.poll_recv(cx));
        self.toll = toll;
        polled
    }
}

impl<T> Receiver<T> {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, RecvError>> {
        let mut received = self.try_recv();
        if matches!(received, Err(TryRecvError::Empty)) {
            self.shared.receiver.register(cx.waker());
            // Registering may have run code that sent.
            received = self.try_recv();
        }
        let result = match received {
            Ok(value) => Ok(value),
            Err(TryRecvError::Closed) => Err(RecvError(())),
            Err(TryRecvError::Empty) => return Poll::Pending,
        };
        self.done = true;
        Poll::Ready(result)
    }
}

impl<T> FusedFuture for Receiver<T> {
    fn is_terminated(&self) -> bool {
        self.done
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.receiver_gone.set(true);
        self.shared.receiver.clear();
        self.shared.sender.wake();
        drop(self.shared.value.take());
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

/// The error of a [`Receiver`] whose value never comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecvError(());

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the channel was closed without a value")
    }
}

impl Error for RecvError {}

/// Why [`Receiver::try_recv`] has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryRecvError {
    /// The value has not been sent yet.
    Empty,
    /// The value never comes, or has been received before.
    Closed,
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TryRecvError::Empty => "the value has not been sent yet",
            TryRecvError::Closed => "the channel was closed without a value",
        })
    }
}

impl Error for TryRecvError {}

#[cfg(test)]
mod tests;
