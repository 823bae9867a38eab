//! A limit in time for a single operation: cancel, wait for the end, and lose nothing.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::future::FusedFuture;

use super::alarm::Alarm;
use crate::sys::clock;
use crate::util::expiry::poll_expired;

/// A single operation of corering's as a future: [`time::within`](crate::time::within) limits it in
/// time.
///
/// `read`, `read_exact`, `write`, `write_all`, `send_all`, `recv`, `accept` and `connect` of sockets
/// are such futures, and so is what [`fs`](crate::fs), [`io`](crate::io) and
/// [`UdpSocket`](crate::net::UdpSocket) do by one operation of the kernel's. The trait is sealed.
#[must_use = "an operation does nothing until it is awaited"]
pub trait SingleOperation: FusedFuture + Unpin + fmt::Debug + sealed::Sealed {}

impl<F: FusedFuture + Unpin + fmt::Debug + sealed::Sealed> SingleOperation for F {}

pub(crate) mod sealed {
    pub trait Sealed {}
}

/// Limits an operation to `duration`, from its first poll on, and tells how it ended.
///
/// When the time is over the operation is cancelled, and its end awaited: the result is that of the
/// operation if it won the race, else an error of kind [`TimedOut`](std::io::ErrorKind::TimedOut).
/// A buffer comes back either way; [`BufError::transferred`](crate::BufError::transferred) says how
/// many of its bytes were received or sent.
///
/// [`time::timeout`](crate::time::timeout) limits any future by dropping it, and is never late;
/// [`cancel_safety`](crate::cancel_safety) says what a drop leaves. What the kernel cannot cancel
/// (files, and the lookup of a name) outlasts a `within`.
///
/// # Cancel safety
///
/// That of the operation.
///
/// # Errors
///
/// Those of the operation, and [`TimedOut`](std::io::ErrorKind::TimedOut).
///
/// # Examples
///
/// ```
/// use corering::net::UnixStream;
/// use corering::time::{Duration, within};
///
/// corering::block_on(async {
///     let (mut one, _other) = UnixStream::pair()?;
///     let buf = Vec::with_capacity(100);
///     let failed = within(Duration::from_millis(1), one.read(buf)).await.unwrap_err();
///     assert_eq!(failed.kind(), std::io::ErrorKind::TimedOut);
///     let (_error, buf) = failed.into_parts();
///     assert_eq!(buf.capacity(), 100);
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn within<F: SingleOperation>(duration: Duration, operation: F) -> Within<F> {
    Within { future: operation, limit: Limit::Unarmed(duration) }
}

/// The future of [`within`].
#[must_use = "an operation does nothing until it is awaited"]
pub struct Within<F> {
    future: F,
    limit: Limit,
}

enum Limit {
    Unarmed(Duration),
    Until(Instant, Alarm),
    Over,
}

impl<F: SingleOperation> Future for Within<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Within { future, limit } = &mut *self;
        if let Limit::Over = limit {
            return poll_expired(cx, |cx| Pin::new(future).poll(cx));
        }
        if let Poll::Ready(output) = Pin::new(&mut *future).poll(cx) {
            *limit = Limit::Over;
            return Poll::Ready(output);
        }
        if let Limit::Unarmed(duration) = limit
            && let Some(deadline) = deadline_after(*duration)
        {
            *limit = Limit::Until(deadline, Alarm::default());
        }
        let Limit::Until(deadline, alarm) = limit else { return Poll::Pending };
        // Without a runtime no timer fires: the time is over, too.
        if alarm.poll(*deadline, cx.waker()).is_pending() {
            return Poll::Pending;
        }
        *limit = Limit::Over;
        poll_expired(cx, |cx| Pin::new(future).poll(cx))
    }
}

impl<F: SingleOperation> FusedFuture for Within<F> {
    fn is_terminated(&self) -> bool {
        self.future.is_terminated()
    }
}

impl<F: fmt::Debug> fmt::Debug for Within<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Within").field(&self.future).finish()
    }
}

/// The moment `duration` from now, or `None` if it lies beyond what the clock can say: never.
pub(crate) fn deadline_after(duration: Duration) -> Option<Instant> {
    clock::now().checked_add(duration)
}
