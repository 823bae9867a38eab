//! A limit in time for any future.

use std::error::Error;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::{Duration, Instant, Sleep, sleep, sleep_until};
use crate::util::poll_pinned::poll_pinned;

/// Awaits `future` for `duration` at most, counted from this call. `Duration::MAX` is no limit.
///
/// When the time is over the future is dropped as it stands: [`cancel_safety`](crate::cancel_safety)
/// says what that leaves. For an I/O operation it means that the buffer it was given is lost; what a
/// stream had received stays for the next call. Use [`within`](super::within) to have the buffer back.
///
/// The future is polled before the timer, so a future that is ready wins. A limit that does not pass
/// costs no allocation, no system call and no cancel; one whose future is ready at once costs no timer.
///
/// # Cancel safety
///
/// That of `future`.
///
/// # Errors
///
/// [`Elapsed`] when the time is over.
///
/// # Panics
///
/// When polled outside a runtime, and if `future` panics.
///
/// # Examples
///
/// ```
/// use corering::time::{self, Duration};
///
/// corering::block_on(async {
///     let slow = time::sleep(Duration::MAX);
///     assert!(time::timeout(Duration::from_millis(1), slow).await.is_err());
///
///     let quick = async { 42 };
///     assert_eq!(time::timeout(Duration::from_secs(60), quick).await, Ok(42));
/// });
/// ```
pub fn timeout<F: IntoFuture>(
    duration: Duration,
    future: F,
) -> impl Future<Output = Result<F::Output, Elapsed>> + use<F> {
    race(future.into_future(), sleep(duration))
}

/// Awaits `future` until `deadline` at most.
///
/// As [`timeout`] otherwise.
///
/// # Cancel safety
///
/// That of `future`.
///
/// # Errors
///
/// [`Elapsed`] when the deadline has passed.
///
/// # Panics
///
/// When polled outside a runtime, and if `future` panics.
///
/// # Examples
///
/// ```
/// use corering::time::{self, Duration};
///
/// corering::block_on(async {
///     // One deadline for two steps.
///     let deadline = time::now() + Duration::from_millis(1);
///     assert_eq!(time::timeout_at(deadline, async { 1 }).await, Ok(1));
///     assert!(time::timeout_at(deadline, std::future::pending::<()>()).await.is_err());
/// });
/// ```
pub fn timeout_at<F: IntoFuture>(
    deadline: Instant,
    future: F,
) -> impl Future<Output = Result<F::Output, Elapsed>> + use<F> {
    race(future.into_future(), sleep_until(deadline))
}

fn race<F: Future>(
    future: F,
    mut limit: Sleep,
) -> impl Future<Output = Result<F::Output, Elapsed>> + use<F> {
    poll_pinned(future, move |future: Pin<&mut F>, cx: &mut Context<'_>| {
        if let Poll::Ready(output) = future.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        limit.poll_alarm(cx).map(|()| Err(Elapsed))
    })
}

/// The limit of a [`timeout`] was reached before the future ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time limit was reached")
    }
}

impl Error for Elapsed {}

impl From<Elapsed> for io::Error {
    fn from(elapsed: Elapsed) -> Self {
        io::Error::new(io::ErrorKind::TimedOut, elapsed)
    }
}
