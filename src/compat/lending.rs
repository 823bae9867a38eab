//! A stream and the rest of what it has lent: other libraries read less at a time than a stream lends.

use std::io;
use std::task::{Context, Poll, ready};

use crate::buf::RecvBuf;
use crate::io::Lend;
use crate::util::budget::Toll;

/// Holds memory of the shard's only while there are bytes in it that nobody has taken.
#[derive(Debug)]
pub(super) struct Lending<S> {
    pub(super) stream: S,
    lent: Option<RecvBuf>,
    /// For bytes that are here already; for others the stream pays.
    toll: Toll,
}

impl<S> Lending<S> {
    pub(super) fn new(stream: S) -> Self {
        Lending { stream, lent: None, toll: Toll::Due }
    }

    pub(super) fn into_parts(self) -> (S, RecvBuf) {
        (self.stream, self.lent.unwrap_or_else(RecvBuf::empty))
    }

    /// Drops the first `count` of the bytes that are here.
    #[inline]
    pub(super) fn consume(&mut self, count: usize) {
        let Some(lent) = &mut self.lent else {
            assert_eq!(count, 0, "nothing is here to be consumed");
            return;
        };
        lent.advance(count);
        if lent.is_empty() {
            self.lent = None;
        }
    }
}

impl<S: Lend> Lending<S> {
    /// The bytes that are here, or else those that the stream lends next; none at its end.
    #[inline]
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        if self.lent.is_some() {
            ready!(self.toll.pay(cx.waker()));
            self.toll = Toll::Due;
        } else {
            let lent = ready!(self.stream.poll_lend(cx))?;
            self.lent = (!lent.is_empty()).then_some(lent);
        }
        Poll::Ready(Ok(self.lent.as_deref().unwrap_or_default()))
    }

    /// Hands `take` the next bytes, of which it takes as many as it says.
    #[inline]
    pub(super) fn poll_take(
        &mut self,
        cx: &mut Context<'_>,
        take: impl FnOnce(&[u8]) -> usize,
    ) -> Poll<io::Result<usize>> {
        let taken = take(ready!(self.poll_fill(cx))?);
        self.consume(taken);
        Poll::Ready(Ok(taken))
    }
}

/// What the wrappers of streams have in common.
#[cfg(any(feature = "futures-io", feature = "tokio-io"))]
macro_rules! wrapper {
    ($name:ident) => {
        impl<S> $name<S> {
            /// Wraps a stream, or one half of one.
            pub fn new(stream: S) -> Self {
                $name { lending: Lending::new(stream) }
            }

            /// The stream.
            pub fn get_ref(&self) -> &S {
                &self.lending.stream
            }

            /// The stream. Whoever receives from it passes over bytes that were lent and not taken.
            pub fn get_mut(&mut self) -> &mut S {
                &mut self.lending.stream
            }

            /// The stream. Bytes that were lent and not taken are lost; [`into_parts`](Self::into_parts)
            /// gives them, too.
            pub fn into_inner(self) -> S {
                self.lending.stream
            }

            /// The stream, and the bytes that were lent and not taken.
            pub fn into_parts(self) -> (S, RecvBuf) {
                self.lending.into_parts()
            }
        }

        // The stream is never pinned: its methods take it by reference.
        impl<S> Unpin for $name<S> {}
    };
}

#[cfg(any(feature = "futures-io", feature = "tokio-io"))]
pub(super) use wrapper;
