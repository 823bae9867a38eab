//! A limit in time for an I/O future: cancel, wait for the end, and lose nothing.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::Operation;
use super::alarm::Alarm;
use super::submit::Submit;
use crate::sys::clock;

/// A future of corering's that does I/O, and can be given a limit in time.
///
/// Import it to call [`timeout`](Self::timeout).
pub trait IoFuture: Future + Unpin + Sized {
    /// Limits the operation to `duration` from the first poll on.
    ///
    /// When the time is over the operation is cancelled, and its end awaited: the result is that of
    /// the operation if it won the race, else an error of kind [`TimedOut`](std::io::ErrorKind::TimedOut).
    /// A buffer comes back either way. File operations that the kernel cannot cancel may outlast
    /// the limit.
    ///
    /// Differs from [`time::timeout`](crate::time::timeout), which drops any future and so loses
    /// the buffer.
    ///
    /// # Cancel safety
    ///
    /// As that of the future itself.
    ///
    /// # Errors
    ///
    /// Those of the operation, and [`TimedOut`](std::io::ErrorKind::TimedOut).
    fn timeout(self, duration: Duration) -> Timeout<Self> {
        Timeout { future: self, limit: Limit::Unarmed(duration) }
    }

    /// The time is over: from now on the future resolves to an error of kind `TimedOut`, or to
    /// its result if that comes first.
    #[doc(hidden)]
    fn expire(&mut self);
}

/// The future of [`IoFuture::timeout`].
#[must_use = "an operation does nothing until it is awaited"]
pub struct Timeout<F> {
    future: F,
    limit: Limit,
}

enum Limit {
    Unarmed(Duration),
    Until(Instant, Alarm),
    Over,
}

impl<F: IoFuture> Future for Timeout<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        if let Poll::Ready(output) = Pin::new(&mut this.future).poll(cx) {
            this.limit = Limit::Over;
            return Poll::Ready(output);
        }
        if let Limit::Unarmed(duration) = this.limit
            && let Some(deadline) = deadline_after(duration)
        {
            this.limit = Limit::Until(deadline, Alarm::default());
        }
        let Limit::Until(deadline, alarm) = &mut this.limit else { return Poll::Pending };
        // Without a runtime no timer fires: the time is over, too.
        if alarm.poll(*deadline, cx.waker()).is_pending() {
            return Poll::Pending;
        }
        this.limit = Limit::Over;
        this.future.expire();
        Pin::new(&mut this.future).poll(cx)
    }
}

impl<T: Operation> IoFuture for Submit<T> {
    fn expire(&mut self) {
        self.expire();
    }
}

/// The moment `duration` from now, or `None` if it lies beyond what the clock can say: never.
pub(crate) fn deadline_after(duration: Duration) -> Option<Instant> {
    clock::now().checked_add(duration)
}
