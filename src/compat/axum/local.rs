//! What stays on its shard, where other libraries want it to be `Send`.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::stream::Stream;
use pin_project_lite::pin_project;
use send_wrapper::SendWrapper;

/// Makes a future or a [`Stream`] of corering's own streams, files and timers `Send` and `Sync`, as axum
/// and tonic demand of handlers and bodies. It goes on to be polled on its shard, where
/// [`serve`](super::super::serve) leaves it.
///
/// # Cancel safety
///
/// That of what is in it.
///
/// # Errors
///
/// Those of what is in it.
///
/// # Panics
///
/// What this returns panics when it is polled, or dropped, on another thread than this one.
///
/// # Examples
///
/// ```
/// use corering::compat;
/// use corering::time::{self, Duration};
///
/// fn handler() -> impl Future<Output = &'static str> + Send {
///     compat::local(async {
///         time::sleep(Duration::from_millis(1)).await;
///         "slept on the shard's own timer"
///     })
/// }
/// # corering::block_on(async { assert!(handler().await.starts_with("slept")) });
/// ```
pub fn local<T>(value: T) -> Local<T> {
    Local { wrapped: SendWrapper::new(value) }
}

pin_project! {
    /// What [`local`](super::local) returns: a future of a future, a stream of a stream.
    #[derive(Debug)]
    #[must_use = "futures and streams do nothing unless polled"]
    pub struct Local<T> {
        #[pin]
        wrapped: SendWrapper<T>,
    }
}

impl<T> Local<T> {
    fn at_home(self: Pin<&mut Self>) -> Pin<&mut SendWrapper<T>> {
        assert!(
            self.wrapped.valid(),
            "what corering::compat::local has made is polled on another thread than its own: serve it \
             by corering::compat::serve, and spawn it by corering::spawn"
        );
        self.project().wrapped
    }
}

impl<F: Future> Future for Local<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.at_home().poll(cx)
    }
}

impl<S: Stream> Stream for Local<S> {
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        self.at_home().poll_next(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.wrapped.size_hint()
    }
}
