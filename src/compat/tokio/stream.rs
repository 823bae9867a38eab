//! A stream of corering's for libraries that take tokio's.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};

use crate::compat::lending::{Lending, wrapper};
use crate::io::{Lend, PollWrite};

/// A stream with tokio's I/O traits: `AsyncRead`, `AsyncBufRead` and `AsyncWrite`. It needs no runtime of
/// tokio's.
///
/// `fill_buf` gives the memory that the stream lends, without a copy; `read` copies once. A half has the
/// traits of its direction: `tokio::io::split` is not needed. Like the stream it stays on its shard, so
/// it goes to libraries that ask for no `Send`.
///
/// # Examples
///
/// ```
/// use std::future::poll_fn;
/// use std::pin::Pin;
///
/// use corering::compat::Tokio;
/// use corering::net::UnixStream;
/// use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
///
/// # corering::block_on(async {
/// let (one, other) = UnixStream::pair()?;
/// let (mut one, mut other) = (Tokio::new(one), Tokio::new(other));
/// // `tokio::io::AsyncWriteExt` and `AsyncReadExt` have `write_all`, `read_to_end` and the rest.
/// poll_fn(|cx| Pin::new(&mut one).poll_write(cx, b"hello")).await?;
/// let mut memory = [0; 16];
/// let mut buf = ReadBuf::new(&mut memory);
/// poll_fn(|cx| Pin::new(&mut other).poll_read(cx, &mut buf)).await?;
/// assert_eq!(buf.filled(), b"hello");
/// # Ok::<(), std::io::Error>(())
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Tokio<S> {
    lending: Lending<S>,
}

wrapper!(Tokio);

impl<S: Lend> AsyncRead for Tokio<S> {
    #[inline]
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        ready!(self.lending.poll_take(cx, |bytes| {
            let count = bytes.len().min(buf.remaining());
            buf.put_slice(&bytes[..count]);
            count
        }))?;
        Poll::Ready(Ok(()))
    }
}

impl<S: Lend> AsyncBufRead for Tokio<S> {
    #[inline]
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        self.get_mut().lending.poll_fill(cx)
    }

    #[inline]
    fn consume(mut self: Pin<&mut Self>, count: usize) {
        self.lending.consume(count);
    }
}

impl<S: PollWrite> AsyncWrite for Tokio<S> {
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

    fn is_write_vectored(&self) -> bool {
        true
    }

    #[inline]
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.lending.stream.poll_flush(cx)
    }

    #[inline]
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.lending.stream.poll_shutdown(cx)
    }
}
