//! A future made of a pinned value and a function that polls it, for the layers that are free of
//! unsafe code and so cannot project a pin themselves.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Resolves to what `poll` returns, which is called with the pinned value at each poll.
pub(crate) fn poll_pinned<P, S, T>(pinned: P, poll: S) -> PollPinned<P, S>
where
    S: FnMut(Pin<&mut P>, &mut Context<'_>) -> Poll<T> + Unpin,
{
    PollPinned { pinned, poll }
}

/// The future of [`poll_pinned`]. It is `Unpin` only if the value is.
#[must_use = "a future does nothing until it is awaited"]
pub(crate) struct PollPinned<P, S> {
    pinned: P,
    poll: S,
}

impl<P, S, T> Future for PollPinned<P, S>
where
    S: FnMut(Pin<&mut P>, &mut Context<'_>) -> Poll<T> + Unpin,
{
    type Output = T;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        // SAFETY: `pinned` is not moved out of the borrow: it is only lent again, pinned.
        let this = unsafe { self.get_unchecked_mut() };
        // SAFETY: the field is pinned whenever the whole is: there is no other access to it, no
        // `Drop` that could move it, and the whole is `Unpin` only if the field is.
        let pinned = unsafe { Pin::new_unchecked(&mut this.pinned) };
        (this.poll)(pinned, cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Future, poll_fn};
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Waker};

    use super::poll_pinned;

    #[test]
    fn a_future_that_borrows_from_itself_is_polled_in_place() {
        let borrows = async {
            let text = String::from("kept in place");
            let borrowed = &text;
            let mut polls = 0;
            poll_fn(|_| {
                polls += 1;
                if polls < 3 { Poll::Pending } else { Poll::Ready(()) }
            })
            .await;
            borrowed.len()
        };
        let mut calls = 0;
        let polled = poll_pinned(borrows, move |future: Pin<&mut _>, cx: &mut Context<'_>| {
            calls += 1;
            Future::poll(future, cx).map(|len: usize| (len, calls))
        });
        let mut polled = pin!(polled);
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(polled.as_mut().poll(&mut cx), Poll::Pending);
        assert_eq!(polled.as_mut().poll(&mut cx), Poll::Pending);
        assert_eq!(polled.as_mut().poll(&mut cx), Poll::Ready((13, 3)));
    }
}
