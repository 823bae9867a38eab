//! What has tokio's I/O traits, as a stream of corering's.

use std::future::Future;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::buf::{BufError, BufResult, IoBuf, IoBufMut, RecvBuf};
use crate::io::{Lend, OwnedRead, OwnedWrite, PollWrite, owned};
use crate::util::budget::Toll;

/// What has tokio's I/O traits, for whatever takes streams of corering's: a `tokio_rustls` stream that
/// stands on [`Tokio<TcpStream>`](super::Tokio), for instance.
///
/// Bytes are received into memory of the stack and then copied into memory of their size, so a stream
/// that waits holds none. What was written leaves when the stream below sends it: flush it.
///
/// # Examples
///
/// ```
/// use corering::compat::{FromTokio, Tokio};
/// use corering::io::{Lend, OwnedWrite};
/// use corering::net::UnixStream;
///
/// # corering::block_on(async {
/// let (mut one, other) = UnixStream::pair()?;
/// // Here a library would stand between the two.
/// let mut other = FromTokio::new(Tokio::new(other));
/// other.write_all("hello").await?;
/// other.flush().await?;
/// assert_eq!(one.recv().await?, "hello");
/// one.write_all("bye").await?;
/// assert_eq!(other.lend().await?, "bye");
/// # Ok::<(), std::io::Error>(())
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct FromTokio<S> {
    stream: S,
    /// What was put back.
    first: Option<RecvBuf>,
    reads: Toll,
    writes: Toll,
}

/// Bytes that one read asks for: those of a full TLS record.
const READ_MAX: usize = 16 * 1024;

impl<S> FromTokio<S> {
    /// Wraps a stream, or one half of one.
    pub fn new(stream: S) -> Self {
        FromTokio { stream, first: None, reads: Toll::Due, writes: Toll::Due }
    }

    /// The stream.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// The stream.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// The stream. Bytes that were put back are lost.
    pub fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: AsyncRead + Unpin> Lend for FromTokio<S> {
    fn poll_lend(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<RecvBuf>> {
        let FromTokio { stream, first, reads, .. } = self;
        reads.poll(cx, |cx| {
            if let Some(first) = first.take() {
                return Poll::Ready(Ok(first));
            }
            let mut memory = [MaybeUninit::uninit(); READ_MAX];
            let mut buf = ReadBuf::uninit(&mut memory);
            ready!(Pin::new(stream).poll_read(cx, &mut buf))?;
            Poll::Ready(Ok(RecvBuf::from_vec(buf.filled().to_vec())))
        })
    }

    fn put_back(&mut self, bytes: RecvBuf) {
        if !bytes.is_empty() {
            self.first = Some(bytes.followed_by(self.first.take().as_deref().unwrap_or_default()));
        }
    }
}

impl<S: AsyncRead + Unpin> OwnedRead for FromTokio<S> {
    fn read<B: IoBufMut>(&mut self, buf: B) -> impl Future<Output = BufResult<usize, B>> {
        owned::fill(self, buf)
    }

    fn read_exact<B: IoBufMut>(
        &mut self,
        buf: B,
        n: usize,
    ) -> impl Future<Output = Result<B, BufError<B>>> {
        owned::fill_exact(self, buf, n)
    }
}

impl<S: AsyncWrite + Unpin> PollWrite for FromTokio<S> {
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let FromTokio { stream, writes, .. } = self;
        writes.poll(cx, |cx| Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let FromTokio { stream, writes, .. } = self;
        writes.poll(cx, |cx| Pin::new(stream).poll_write_vectored(cx, pieces))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<S: AsyncWrite + Unpin> OwnedWrite for FromTokio<S> {
    fn write<B: IoBuf>(&mut self, buf: B) -> impl Future<Output = BufResult<usize, B>> {
        owned::write(self, buf)
    }

    fn flush(&mut self) -> impl Future<Output = io::Result<()>> {
        owned::flush(self)
    }

    fn shutdown(&mut self) -> impl Future<Output = io::Result<()>> {
        owned::shutdown(self)
    }
}
