//! What a task may begin in one poll: how to spend it for others, and how to do without a limit.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::future::FusedFuture;
use futures_util::stream::{FusedStream, Stream};

use crate::util::budget::{self, Toll};
use crate::util::poll_pinned::poll_pinned;

/// Lets a future or stream of another library take its part in the fair sharing of the shard.
///
/// The library's own operations, channels, locks and joins let the other tasks run when the calling
/// one has begun 128 of them without waiting. What other libraries make, a channel of
/// tokio's for instance, knows nothing of that, and a loop around one that is always ready would keep
/// the shard for itself. In here each of its results counts as one.
///
/// # Cancel safety
///
/// That of the future itself.
///
/// # Errors
///
/// Those of the future itself.
///
/// # Examples
///
/// ```
/// use corering::task::cooperative;
/// use futures_util::stream::{self, StreamExt};
///
/// corering::block_on(async {
///     // Always ready; and yet others run, every 128 numbers.
///     let mut numbers = cooperative(stream::iter(0..1000));
///     let mut sum = 0;
///     while let Some(number) = numbers.next().await {
///         sum += number;
///     }
///     assert_eq!(sum, 499_500);
/// });
/// ```
pub fn cooperative<F>(foreign: F) -> Cooperative<F> {
    Cooperative { foreign, toll: Toll::Due }
}

/// The future or stream of [`cooperative`].
#[derive(Debug)]
#[must_use = "futures and streams do nothing unless they are polled"]
pub struct Cooperative<F> {
    foreign: F,
    toll: Toll,
}

impl<F> Cooperative<F> {
    fn project(self: Pin<&mut Self>) -> (Pin<&mut F>, &mut Toll) {
        // SAFETY: nothing is moved out of the borrow.
        let this = unsafe { self.get_unchecked_mut() };
        // SAFETY: the field is pinned whenever the whole is: nobody else gets at it, no `Drop` could
        // move it, and the whole is `Unpin` only if the field is.
        (unsafe { Pin::new_unchecked(&mut this.foreign) }, &mut this.toll)
    }
}

impl<F: Future> Future for Cooperative<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let (foreign, toll) = self.project();
        toll.poll(cx, |cx| foreign.poll(cx))
    }
}

impl<S: Stream> Stream for Cooperative<S> {
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let (foreign, toll) = self.project();
        toll.poll(cx, |cx| foreign.poll_next(cx))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.foreign.size_hint()
    }
}

impl<F: FusedFuture> FusedFuture for Cooperative<F> {
    fn is_terminated(&self) -> bool {
        self.foreign.is_terminated()
    }
}

impl<S: FusedStream> FusedStream for Cooperative<S> {
    fn is_terminated(&self) -> bool {
        self.foreign.is_terminated()
    }
}

/// Lets a future begin as much as it likes in one poll: for what has to go on at once, and is known
/// to end.
///
/// Whatever it awaits that is ready is given to it; the other tasks, timers, signals and the kernel
/// wait until it waits itself. Only what the task begins after it is limited again.
///
/// # Cancel safety
///
/// That of the future itself.
///
/// # Errors
///
/// Those of the future itself.
///
/// # Examples
///
/// ```
/// use corering::{sync::channel, task::unconstrained};
///
/// corering::block_on(unconstrained(async {
///     let (sender, mut receiver) = channel::unbounded();
///     for number in 0..1000 {
///         sender.try_send(number).unwrap();
///     }
///     for number in 0..1000 {
///         assert_eq!(receiver.recv().await, Some(number));
///     }
/// }));
/// ```
pub fn unconstrained<F: Future>(future: F) -> impl Future<Output = F::Output> {
    poll_pinned(future, |future: Pin<&mut F>, cx: &mut Context<'_>| {
        budget::without_limit(|| future.poll(cx))
    })
}
