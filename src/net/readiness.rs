//! Waiting for a stream, and looking at what has come, without taking it.

use std::io;

use super::family::Family;
use super::halves::{ReadHalf, WriteHalf};
use super::stream::ByteStream;
use crate::buf::{BufResult, IoBufMut};
use crate::driver::{SingleOperation, single};
use crate::op;

impl<F: Family> ByteStream<F> {
    /// Waits for bytes and shows them; they stay for the next receive. Empty at the end of the stream.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    ///
    /// # Errors
    ///
    /// Those of `recv(2)`, for instance `ConnectionReset`.
    ///
    /// # Examples
    ///
    /// ```
    /// # corering::block_on(async {
    /// use corering::net::UnixStream;
    ///
    /// let (mut one, mut other) = UnixStream::pair()?;
    /// one.write_all("GET /").await?;
    /// let speaks_http = other.peek().await?.starts_with(b"GET");
    /// assert!(speaks_http);
    /// assert_eq!(&*other.recv().await?, b"GET /");
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn peek(&mut self) -> io::Result<&[u8]> {
        self.reader.peek().await
    }

    /// Waits until a receive has something to give at once: bytes, or the end of the stream. The
    /// bytes are with the stream then, in memory of the shard's.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    ///
    /// # Errors
    ///
    /// Those of `recv(2)`, for instance `ConnectionReset`.
    ///
    /// # Examples
    ///
    /// As [`try_read`](Self::try_read).
    pub async fn readable(&mut self) -> io::Result<()> {
        self.reader.readable().await
    }

    /// Receives what is there, without waiting, as [`read`](Self::read) does otherwise.
    ///
    /// Where the kernel receives for the stream ([`ReceivePolicy`](crate::ReceivePolicy)), the first
    /// call begins that, and finds what the shard's next visit to the kernel brings.
    /// [`readable`](Self::readable) waits for it.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if nothing is there, and those of [`read`](Self::read); the error carries the
    /// buffer.
    ///
    /// # Examples
    ///
    /// ```
    /// # corering::block_on(async {
    /// use corering::net::UnixStream;
    ///
    /// let (mut one, mut other) = UnixStream::pair()?;
    /// let nothing = other.try_read(Vec::with_capacity(100)).unwrap_err();
    /// assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
    /// let (_, buf) = nothing.into_parts();
    /// one.write_all("hello").await?;
    /// other.readable().await?;
    /// assert_eq!(other.try_read(buf)?, (5, b"hello".to_vec()));
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn try_read<B: IoBufMut>(&mut self, buf: B) -> BufResult<usize, B> {
        self.reader.try_read(buf)
    }

    /// Waits until the socket has room for bytes to be sent. A write waits for that itself.
    ///
    /// # Cancel safety
    ///
    /// It does nothing but wait.
    ///
    /// # Errors
    ///
    /// Those of `poll(2)`.
    ///
    /// # Examples
    ///
    /// ```
    /// # corering::block_on(async {
    /// use corering::net::UnixStream;
    ///
    /// let (mut one, _other) = UnixStream::pair()?;
    /// one.writable().await?;
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "IORING_OP_POLL_ADD")]
    pub fn writable(&self) -> impl SingleOperation<Output = io::Result<()>> + use<F> {
        self.writer.writable()
    }
}

impl<F: Family> ReadHalf<F> {
    /// Waits for bytes and shows them, as [`ByteStream::peek`].
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    ///
    /// # Errors
    ///
    /// Those of `recv(2)`.
    pub async fn peek(&mut self) -> io::Result<&[u8]> {
        self.receiver.peek().await
    }

    /// Waits for bytes, as [`ByteStream::readable`].
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    ///
    /// # Errors
    ///
    /// Those of `recv(2)`.
    pub async fn readable(&mut self) -> io::Result<()> {
        self.receiver.peek().await.map(drop)
    }

    /// Receives what is there, as [`ByteStream::try_read`].
    ///
    /// # Errors
    ///
    /// As [`ByteStream::try_read`]; the error carries the buffer.
    pub fn try_read<B: IoBufMut>(&mut self, buf: B) -> BufResult<usize, B> {
        self.receiver.try_read(buf)
    }
}

impl<F: Family> WriteHalf<F> {
    /// Waits for room, as [`ByteStream::writable`].
    ///
    /// # Cancel safety
    ///
    /// It does nothing but wait.
    ///
    /// # Errors
    ///
    /// Those of `poll(2)`.
    #[doc(alias = "IORING_OP_POLL_ADD")]
    pub fn writable(&self) -> impl SingleOperation<Output = io::Result<()>> + use<F> {
        single(op::poll_add::PollAdd::writable(self.fd().clone()))
    }
}
