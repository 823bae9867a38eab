//! What streams of all kinds have in common.

use std::future::Future;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::task::{Context, Poll};

use crate::buf::{self, BufError, BufResult, IoBuf, IoBufMut, RecvBuf, Slice};

/// A stream that is read from into buffers that it owns meanwhile.
///
/// # Examples
///
/// One function for streams of every kind:
///
/// ```
/// use corering::io::{OwnedRead, OwnedWrite, duplex};
/// use corering::net::UnixStream;
///
/// /// Answers a message of so many bytes.
/// async fn answer<S: OwnedRead + OwnedWrite>(mut stream: S, len: usize) -> std::io::Result<()> {
///     let message = stream.read_exact(Vec::with_capacity(len), len).await?;
///     stream.write_all(message).await?;
///     stream.shutdown().await
/// }
///
/// corering::block_on(async {
///     let (mut client, server) = UnixStream::pair()?;
///     client.write_all("hello").await?;
///     answer(server, 5).await?;
///     assert_eq!(client.recv().await?, "hello");
///
///     let (mut client, server) = duplex(1024);
///     client.write_all("hello").await?;
///     answer(server, 5).await?;
///     assert_eq!(client.read(Vec::with_capacity(5)).await?.1, b"hello");
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait OwnedRead {
    /// Reads into `buf`, from its beginning up to its capacity; the buffer's length is then the
    /// number of bytes. 0 at the end of the stream, and only there.
    ///
    /// # Cancel safety
    ///
    /// No byte is lost; the buffer is.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a buffer without room, and those of the stream; the error carries the buffer.
    fn read<B: IoBufMut>(&mut self, buf: B) -> impl Future<Output = BufResult<usize, B>>;

    /// Reads `n` bytes into `buf`, from its beginning on, and makes it as long.
    ///
    /// # Cancel safety
    ///
    /// The library's own streams lose no byte. As the trait provides it, what it had read is lost.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if the stream ends before, `InvalidInput` if the buffer has less room, and
    /// those of the stream; the error carries the buffer.
    fn read_exact<B: IoBufMut>(
        &mut self,
        mut buf: B,
        n: usize,
    ) -> impl Future<Output = Result<B, BufError<B>>> {
        async move {
            let room = buf.capacity();
            if room < n {
                return Err(BufError::new(buf::little_room(room, n), buf));
            }
            buf::truncate(&mut buf, 0);
            let mut done = 0;
            while done < n {
                let (count, part) = match self.read(buf.slice(done..n)).await {
                    Ok(read) => read,
                    Err(failed) => return Err(failed.map_buf(Slice::into_inner).after(done)),
                };
                buf = part.into_inner();
                if count == 0 {
                    return Err(BufError::new(buf::early_end(done, n), buf).after(done));
                }
                done += count;
            }
            Ok(buf)
        }
    }
}

/// A stream that is written to from buffers that it owns meanwhile.
pub trait OwnedWrite {
    /// Writes bytes of `buf`, as many as are taken at once, and returns how many.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it may have written a part. A stream of `net` then says so once, by
    /// [`WriteAbandoned`](crate::net::WriteAbandoned).
    ///
    /// # Errors
    ///
    /// Those of the stream; the error carries the buffer.
    fn write<B: IoBuf>(&mut self, buf: B) -> impl Future<Output = BufResult<usize, B>>;

    /// Writes all of `buf` and gives it back.
    ///
    /// # Cancel safety
    ///
    /// As [`write`](Self::write).
    ///
    /// # Errors
    ///
    /// `WriteZero` if the stream takes no more, and those of the stream; the error carries the buffer.
    fn write_all<B: IoBuf>(&mut self, mut buf: B) -> impl Future<Output = Result<B, BufError<B>>> {
        async move {
            let mut done = 0;
            while done < buf.bytes_len() {
                let (count, part) = match self.write(buf.slice(done..)).await {
                    Ok(written) => written,
                    Err(failed) => return Err(failed.map_buf(Slice::into_inner).after(done)),
                };
                buf = part.into_inner();
                if count == 0 {
                    let error = io::ErrorKind::WriteZero.into();
                    return Err(BufError::new(error, buf).after(done));
                }
                done += count;
            }
            Ok(buf)
        }
    }

    /// Waits until what was written needs no further call to leave.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    ///
    /// # Errors
    ///
    /// Those of the stream, also of what was written earlier.
    fn flush(&mut self) -> impl Future<Output = io::Result<()>>;

    /// Ends the sending side behind what was written: the peer sees the end of the stream.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it may be called again.
    ///
    /// # Errors
    ///
    /// As [`flush`](Self::flush).
    fn shutdown(&mut self) -> impl Future<Output = io::Result<()>>;
}

/// A stream whose next bytes come in memory that is chosen when they are there, so that a stream that
/// waits holds none.
///
/// Implemented for a type that is not the library's, it makes what it lends by
/// `RecvBuf::from(vector)`.
pub trait Lend {
    /// The next bytes; empty at the end of the stream. Pending, it keeps the waker of its task, which is
    /// woken when there are some, unless another poll has left another. A caller that goes away leaves
    /// that and nothing else: what comes stays with the stream. The task's budget pays.
    ///
    /// # Errors
    ///
    /// Those of the stream.
    fn poll_lend(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<RecvBuf>>;

    /// Gives bytes back that were lent last, or the end of them: they come first in the next call,
    /// whichever that is.
    fn put_back(&mut self, bytes: RecvBuf);

    /// The next bytes; empty at the end of the stream.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    ///
    /// # Errors
    ///
    /// Those of the stream.
    ///
    /// # Examples
    ///
    /// ```
    /// # corering::block_on(async {
    /// use corering::io::Lend;
    /// use corering::net::UnixStream;
    ///
    /// let (mut one, mut other) = UnixStream::pair()?;
    /// one.write_all("head body").await?;
    /// let mut bytes = other.lend().await?;
    /// assert_eq!(&bytes[..5], b"head ");
    /// bytes.advance(5);
    /// other.put_back(bytes);
    /// assert_eq!(other.recv().await?, "body");
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn lend(&mut self) -> impl Future<Output = io::Result<RecvBuf>> {
        poll_fn(|cx| self.poll_lend(cx))
    }
}

/// A stream that is written to by poll methods, with bytes that are lent for the time of a call: what
/// bridges to other libraries stand on.
///
/// What a stream of [`net`](crate::net) has taken is as good as in the kernel. On epoll it is there; on a
/// ring up to 4 KiB may be copied, to leave with the sends of other tasks at the end of the round, and the
/// shard sends them without another poll (but not while a task blocks its thread). All that follows on
/// the stream comes behind them, also what is written otherwise. A stream that is dropped closes when
/// they are sent, or when [`Builder::linger`](crate::Builder::linger) is over. Its poll methods allocate
/// nothing, and the task's budget pays for what they take.
///
/// # Examples
///
/// ```
/// # corering::block_on(async {
/// use std::future::poll_fn;
/// use std::io::IoSlice;
///
/// use corering::io::PollWrite;
/// use corering::net::UnixStream;
///
/// let (mut one, mut other) = UnixStream::pair()?;
/// assert_eq!(poll_fn(|cx| one.poll_write(cx, b"status ")).await?, 7);
/// let pieces = [IoSlice::new(b"head "), IoSlice::new(b"body")];
/// assert_eq!(poll_fn(|cx| one.poll_write_vectored(cx, &pieces)).await?, 9);
/// poll_fn(|cx| one.poll_flush(cx)).await?;
/// poll_fn(|cx| one.poll_shutdown(cx)).await?;
/// assert_eq!(other.read_exact(Vec::with_capacity(16), 16).await?, b"status head body");
/// assert!(other.recv().await?.is_empty());
/// # Ok::<(), std::io::Error>(())
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait PollWrite {
    /// Takes as many bytes as there is room for. Pending, it has taken none, and keeps the waker of its
    /// task, which is woken when there is room, unless another poll has left another.
    ///
    /// # Errors
    ///
    /// Those of the stream, also of what was taken earlier, and
    /// [`WriteAbandoned`](crate::net::WriteAbandoned).
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

    /// Waits until what was taken needs no further call to leave, and tells if some of it could not.
    ///
    /// # Errors
    ///
    /// Those of the stream, also of what was taken earlier.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Ends the sending side behind what was taken; a stream of `net` does not wait for that.
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

    fn put_back(&mut self, bytes: RecvBuf) {
        (**self).put_back(bytes);
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
