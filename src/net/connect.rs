//! `connect`: a single operation for whoever awaits it, made of several.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use futures_util::future::{FusedFuture, LocalBoxFuture};

use crate::driver::{Sealed, SingleOperation, timed_out};
use crate::util::expiry::has_expired;

struct Connect<T>(Option<LocalBoxFuture<'static, io::Result<T>>>);

/// Makes one operation of the steps of a `connect`.
pub(super) fn connect<T: 'static>(
    steps: impl Future<Output = io::Result<T>> + 'static,
) -> impl SingleOperation<Output = io::Result<T>> {
    Connect(Some(Box::pin(steps)))
}

/// Waits for a future that is no operation, unless the time of the whole is over.
pub(super) async fn in_time<T>(future: impl Future<Output = T>) -> io::Result<T> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Pending if has_expired(cx.waker()) => Poll::Ready(Err(timed_out())),
        polled => polled.map(Ok),
    })
    .await
}

impl<T> Future for Connect<T> {
    type Output = io::Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        let steps = self.0.as_mut().expect("a future is not polled after its end");
        let polled = steps.as_mut().poll(cx);
        if polled.is_ready() {
            self.0 = None;
        }
        polled
    }
}

impl<T> FusedFuture for Connect<T> {
    fn is_terminated(&self) -> bool {
        self.0.is_none()
    }
}

impl<T> Sealed for Connect<T> {}

impl<T> fmt::Debug for Connect<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Connect(..)" } else { "Connect(over)" })
    }
}
