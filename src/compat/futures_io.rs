//! The I/O traits of `futures`, which are those of `smol` and `async-std`, too.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncBufRead, AsyncRead, AsyncWrite};

use super::lending::{Lending, wrapper};
use crate::io::{DuplexStream, Lend, PollWrite};
use crate::net::{ByteStream, Family, ReadHalf, WriteHalf};

/// A stream with the I/O traits of `futures`: `AsyncRead`, `AsyncBufRead` and `AsyncWrite`.
///
/// `fill_buf` gives the memory that the stream lends, without a copy; `read` copies once. A half has the
/// traits of its direction. [`ByteStream::compat`] makes one.
///
/// # Examples
///
/// ```
/// use std::pin::Pin;
/// use std::future::poll_fn;
///
/// use corering::net::UnixStream;
/// use futures_io::{AsyncRead, AsyncWrite};
///
/// # corering::block_on(async {
/// let (one, other) = UnixStream::pair()?;
/// let (mut one, mut other) = (one.compat(), other.compat());
/// // `futures_util::AsyncWriteExt` and `AsyncReadExt` have `write_all`, `read_to_end` and the rest.
/// poll_fn(|cx| Pin::new(&mut one).poll_write(cx, b"hello")).await?;
/// let mut buf = [0; 16];
/// let count = poll_fn(|cx| Pin::new(&mut other).poll_read(cx, &mut buf)).await?;
/// assert_eq!(&buf[..count], b"hello");
/// # Ok::<(), std::io::Error>(())
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Futures<S> {
    lending: Lending<S>,
}

wrapper!(Futures);

impl<F: Family> ByteStream<F> {
    /// This stream with the I/O traits of `futures`.
    ///
    /// A method of the stream's own, so it needs no import and goes before those of traits. The
    /// `compat` methods of `tokio_util` are for what has the traits of `futures` or of tokio, which
    /// streams have not; on what this returns they work.
    ///
    /// # Examples
    ///
    /// As [`Futures`].
    pub fn compat(self) -> Futures<Self> {
        Futures::new(self)
    }
}

impl<F: Family> ReadHalf<F> {
    /// This half with `AsyncRead` and `AsyncBufRead`, as [`ByteStream::compat`].
    pub fn compat(self) -> Futures<Self> {
        Futures::new(self)
    }
}

impl<F: Family> WriteHalf<F> {
    /// This half with `AsyncWrite`, as [`ByteStream::compat`].
    pub fn compat(self) -> Futures<Self> {
        Futures::new(self)
    }
}

impl DuplexStream {
    /// This stream with the I/O traits of `futures`, as [`ByteStream::compat`].
    pub fn compat(self) -> Futures<Self> {
        Futures::new(self)
    }
}

impl<S: Lend> AsyncRead for Futures<S> {
    #[inline]
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.lending.poll_take(cx, |bytes| {
            let count = bytes.len().min(buf.len());
            buf[..count].copy_from_slice(&bytes[..count]);
            count
        })
    }
}

impl<S: Lend> AsyncBufRead for Futures<S> {
    #[inline]
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        self.get_mut().lending.poll_fill(cx)
    }

    #[inline]
    fn consume(mut self: Pin<&mut Self>, count: usize) {
        self.lending.consume(count);
    }
}

impl<S: PollWrite> AsyncWrite for Futures<S> {
    #[inline]
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.lending.stream.poll_write(cx, bytes)
    }

    #[inline]
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.lending.stream.poll_write_vectored(cx, pieces)
    }

    #[inline]
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.lending.stream.poll_flush(cx)
    }

    /// Ends the sending side; the stream receives on.
    #[inline]
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.lending.stream.poll_shutdown(cx)
    }
}
