//! Letting the other tasks run.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::future::FusedFuture;

/// Goes to the back of the run queue: every task that is ready now runs before this one goes on.
///
/// Timers and the kernel have their turn after at most 128 polls of tasks. A task that computes yields
/// often enough for that: each 10 µs rather than each millisecond.
///
/// # Cancel safety
/// Nothing to lose.
///
/// # Errors
///
/// None.
///
/// # Examples
///
/// ```
/// # async fn step() {}
/// async fn long_computation() {
///     for _ in 0..1000 {
///         step().await;
///         corering::task::yield_now().await;
///     }
/// }
/// ```
pub fn yield_now() -> YieldNow {
    YieldNow { yielded: false, done: false }
}

/// The future of [`yield_now`].
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct YieldNow {
    yielded: bool,
    done: bool,
}

impl Future for YieldNow {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.yielded {
            self.done = true;
            return Poll::Ready(());
        }
        self.yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl FusedFuture for YieldNow {
    fn is_terminated(&self) -> bool {
        self.done
    }
}
