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
    lent: Option<Lent<S>>,
    /// For bytes that are here already; for others the stream pays.
    toll: Toll,
}

/// Bytes that nobody has taken, and how the stream takes them back: what only sends has lent none.
#[derive(Debug)]
struct Lent<S> {
    bytes: RecvBuf,
    put_back: fn(&mut S, RecvBuf),
}

impl<S> Lending<S> {
    pub(super) fn new(stream: S) -> Self {
        Lending { stream, lent: None, toll: Toll::Due }
    }

    /// The stream, which has back what nobody has taken.
    pub(super) fn into_inner(mut self) -> S {
        self.whole();
        self.stream
    }

    /// As [`into_inner`](Self::into_inner).
    pub(super) fn whole(&mut self) -> &mut S {
        if let Some(Lent { bytes, put_back }) = self.lent.take() {
            put_back(&mut self.stream, bytes);
        }
        &mut self.stream
    }

    /// Drops the first `count` of the bytes that are here.
    #[inline]
    pub(super) fn consume(&mut self, count: usize) {
        let Some(lent) = &mut self.lent else {
            assert_eq!(count, 0, "nothing is here to be consumed");
            return;
        };
        lent.bytes.advance(count);
        if lent.bytes.is_empty() {
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
            let bytes = ready!(self.stream.poll_lend(cx))?;
            self.lent = (!bytes.is_empty()).then_some(Lent { bytes, put_back: S::put_back });
        }
        Poll::Ready(Ok(self.lent.as_ref().map_or(&[], |lent| &*lent.bytes)))
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

            /// The stream, with all bytes that nobody has read.
            pub fn get_mut(&mut self) -> &mut S {
                self.lending.whole()
            }

            /// The stream, with all bytes that nobody has read.
            pub fn into_inner(self) -> S {
                self.lending.into_inner()
            }
        }

        // The stream is never pinned: its methods take it by reference.
        impl<S> Unpin for $name<S> {}
    };
}

#[cfg(any(feature = "futures-io", feature = "tokio-io"))]
pub(super) use wrapper;
