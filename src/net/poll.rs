//! Streams by poll methods, which bridges to other libraries stand on, and by the traits of `io`.
//!
//! A poll that waits keeps the waker of its task until the stream is ready, and only the last one of
//! each direction is woken. A caller that goes away leaves that waker and nothing else: what was received
//! stays with the stream, and bytes that were taken are sent.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::task::{Context, Poll};

use super::family::Family;
use super::halves::{ReadHalf, WriteHalf};
use super::stream::ByteStream;
use crate::buf::{BufError, BufResult, IoBuf, IoBufMut, RecvBuf};
use crate::io::{Lend, OwnedRead, OwnedWrite, PollWrite};
use crate::util::budget;

impl<F: Family> ByteStream<F> {
    /// The next bytes, as [`recv`](Self::recv); pending, it wakes the task when they are there. The
    /// task's budget pays.
    ///
    /// # Errors
    ///
    /// Those of `recv(2)`.
    ///
    /// # Examples
    ///
    /// ```
    /// # corering::block_on(async {
    /// use std::future::poll_fn;
    ///
    /// use corering::net::UnixStream;
    ///
    /// let (mut one, mut other) = UnixStream::pair()?;
    /// assert_eq!(poll_fn(|cx| one.poll_write(cx, b"hello")).await?, 5);
    /// assert_eq!(&*poll_fn(|cx| other.poll_recv(cx)).await?, b"hello");
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<RecvBuf>> {
        self.reader.poll_recv(cx)
    }

    /// Takes bytes that are lent for this call only, as many as there is room for; pending, none was
    /// taken, and it wakes the task when there is room. The task's budget pays.
    ///
    /// What was taken is as good as in the kernel. On epoll it is there; on a ring up to 4 KiB may be
    /// copied, to leave with the sends of other tasks at the end of the round, and the shard sends them
    /// without another poll (but not while a task blocks its thread). All that follows on the stream comes behind them. A stream that is dropped
    /// closes when they are sent, or when [`Builder::linger`](crate::Builder::linger) is over.
    ///
    /// # Errors
    ///
    /// Those of `send(2)`, also of bytes that were taken earlier, and
    /// [`WriteAbandoned`](super::WriteAbandoned).
    ///
    /// # Examples
    ///
    /// As [`poll_recv`](Self::poll_recv).
    #[inline]
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.writer.poll_write(cx, bytes)
    }

    /// Sends bytes of several pieces, as [`poll_write`](Self::poll_write) does of one.
    ///
    /// # Errors
    ///
    /// As [`poll_write`](Self::poll_write).
    ///
    /// # Examples
    ///
    /// ```
    /// # corering::block_on(async {
    /// use std::future::poll_fn;
    /// use std::io::IoSlice;
    ///
    /// use corering::net::UnixStream;
    ///
    /// let (mut one, mut other) = UnixStream::pair()?;
    /// let pieces = [IoSlice::new(b"head"), IoSlice::new(b"body")];
    /// assert_eq!(poll_fn(|cx| one.poll_write_vectored(cx, &pieces)).await?, 8);
    /// assert_eq!(&*other.recv().await?, b"headbody");
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.writer.poll_write_vectored(cx, pieces)
    }

    /// Tells of an earlier write that failed or was abandoned, and else does nothing: what
    /// [`poll_write`](Self::poll_write) took needs no flush. Pending while an abandoned write is still
    /// in flight.
    ///
    /// # Errors
    ///
    /// As [`poll_write`](Self::poll_write).
    ///
    /// # Examples
    ///
    /// As [`poll_shutdown`](Self::poll_shutdown).
    #[inline]
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer.poll_flush(cx)
    }

    /// Ends the sending side behind all that was taken, without waiting for it.
    ///
    /// # Errors
    ///
    /// As [`poll_flush`](Self::poll_flush) and [`shutdown`](Self::shutdown).
    ///
    /// # Examples
    ///
    /// ```
    /// # corering::block_on(async {
    /// use std::future::poll_fn;
    ///
    /// use corering::net::UnixStream;
    ///
    /// let (mut one, mut other) = UnixStream::pair()?;
    /// poll_fn(|cx| one.poll_write(cx, b"bye")).await?;
    /// poll_fn(|cx| one.poll_flush(cx)).await?;
    /// poll_fn(|cx| one.poll_shutdown(cx)).await?;
    /// assert_eq!(&*other.recv().await?, b"bye");
    /// assert!(other.recv().await?.is_empty());
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer.poll_shutdown(cx)
    }
}

impl<F: Family> ReadHalf<F> {
    /// The next bytes, as [`ByteStream::poll_recv`].
    ///
    /// # Errors
    ///
    /// Those of `recv(2)`.
    #[inline]
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<RecvBuf>> {
        self.receiver.poll_recv(cx)
    }
}

impl<F: Family> WriteHalf<F> {
    /// Sends lent bytes, as [`ByteStream::poll_write`].
    ///
    /// # Errors
    ///
    /// As [`ByteStream::poll_write`].
    #[inline]
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.transmitter.poll_write(cx, bytes)
    }

    /// Sends bytes of several pieces, as [`ByteStream::poll_write_vectored`].
    ///
    /// # Errors
    ///
    /// As [`ByteStream::poll_write`].
    #[inline]
    pub fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.transmitter.poll_write_vectored(cx, pieces)
    }

    /// Tells of an earlier write that failed, as [`ByteStream::poll_flush`].
    ///
    /// # Errors
    ///
    /// As [`ByteStream::poll_flush`].
    #[inline]
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.transmitter.poll_flush(cx)
    }

    /// Ends the sending side, as [`ByteStream::poll_shutdown`].
    ///
    /// # Errors
    ///
    /// As [`ByteStream::poll_shutdown`].
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.transmitter.poll_shutdown(cx)
    }
}

impl<F: Family> Lend for ByteStream<F> {
    #[inline]
    fn poll_lend(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<RecvBuf>> {
        self.poll_recv(cx)
    }

    fn put_back(&mut self, bytes: RecvBuf) {
        self.reader.put_back(bytes);
    }
}

impl<F: Family> Lend for ReadHalf<F> {
    #[inline]
    fn poll_lend(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<RecvBuf>> {
        self.poll_recv(cx)
    }

    fn put_back(&mut self, bytes: RecvBuf) {
        self.receiver.put_back(bytes);
    }
}

macro_rules! owned_read {
    ($of:ident) => {
        impl<F: Family> OwnedRead for $of<F> {
            fn read<B: IoBufMut>(&mut self, buf: B) -> impl Future<Output = BufResult<usize, B>> {
                $of::read(self, buf)
            }

            fn read_exact<B: IoBufMut>(
                &mut self,
                buf: B,
                n: usize,
            ) -> impl Future<Output = Result<B, BufError<B>>> {
                $of::read_exact(self, buf, n)
            }
        }
    };
}

owned_read!(ByteStream);
owned_read!(ReadHalf);

macro_rules! write {
    ($of:ident) => {
        impl<F: Family> OwnedWrite for $of<F> {
            fn write<B: IoBuf>(&mut self, buf: B) -> impl Future<Output = BufResult<usize, B>> {
                $of::write(self, buf)
            }

            fn write_all<B: IoBuf>(
                &mut self,
                buf: B,
            ) -> impl Future<Output = Result<B, BufError<B>>> {
                $of::write_all(self, buf)
            }

            async fn flush(&mut self) -> io::Result<()> {
                budget::pay().await;
                poll_fn(|cx| self.poll_flush(cx)).await
            }

            async fn shutdown(&mut self) -> io::Result<()> {
                budget::pay().await;
                poll_fn(|cx| self.poll_shutdown(cx)).await
            }
        }

        impl<F: Family> PollWrite for $of<F> {
            #[inline]
            fn poll_write(
                &mut self,
                cx: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                $of::poll_write(self, cx, bytes)
            }

            #[inline]
            fn poll_write_vectored(
                &mut self,
                cx: &mut Context<'_>,
                pieces: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                $of::poll_write_vectored(self, cx, pieces)
            }

            #[inline]
            fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                $of::poll_flush(self, cx)
            }

            fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                $of::poll_shutdown(self, cx)
            }
        }
    };
}

write!(ByteStream);
write!(WriteHalf);
