//! What streams of all kinds have in common.

use std::future::Future;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::task::{Context, Poll};

use crate::buf::RecvBuf;

/// A stream whose next bytes come in memory that is chosen when they are there, so that a stream that
/// waits holds none.
pub trait Lend {
    /// The next bytes; empty at the end of the stream. Pending, it wakes the task when there are some.
    ///
    /// # Errors
    ///
    /// Those of the stream.
    fn poll_lend(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<RecvBuf>>;

    /// The next bytes; empty at the end of the stream.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    ///
    /// # Errors
    ///
    /// Those of the stream.
    fn lend(&mut self) -> impl Future<Output = io::Result<RecvBuf>> {
        poll_fn(|cx| self.poll_lend(cx))
    }
}

/// A stream that is written to by poll methods, with bytes that are lent for the time of a call: what
/// bridges to other libraries stand on.
pub trait PollWrite {
    /// Takes as many bytes as it can now. Pending, it wakes the task when it can take some.
    ///
    /// # Errors
    ///
    /// Those of the stream, also of what was taken earlier.
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;

    /// Takes bytes of several pieces, as if they were one.
    ///
    /// # Errors
    ///
    /// As [`poll_write`](Self::poll_write).
    fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>>;

    /// Waits until all that was taken has left.
    ///
    /// # Errors
    ///
    /// Those of the stream, also of what was taken earlier.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Ends the sending side behind what was taken.
    ///
    /// # Errors
    ///
    /// Those of the stream, also of what was taken earlier.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// A stream that is borrowed, as [`split`](crate::net::ByteStream::split) gives halves.
impl<S: Lend + ?Sized> Lend for &mut S {
    #[inline]
    fn poll_lend(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<RecvBuf>> {
        (**self).poll_lend(cx)
    }
}

/// As for [`Lend`].
impl<S: PollWrite + ?Sized> PollWrite for &mut S {
    #[inline]
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        (**self).poll_write(cx, bytes)
    }

    #[inline]
    fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        (**self).poll_write_vectored(cx, pieces)
    }

    #[inline]
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        (**self).poll_flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        (**self).poll_shutdown(cx)
    }
}
