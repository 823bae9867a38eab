//! The two halves of a stream, for two tasks.

use std::io;
use std::marker::PhantomData;
use std::net::Shutdown;
use std::os::fd::AsFd;

#[cfg(doc)]
use super::WriteAbandoned;
use super::family::Family;
use super::receive::{Read, ReadExact, Receiver, Recv};
use super::send_file::send_file;
use super::stream::ByteStream;
use super::transmit::{SendAll, Transmitter, Write, WriteAll};
use crate::buf::{BufError, BufResult, IoBuf, IoBufMut, RecvBuf};
use crate::driver::{SharedFd, SingleOperation};
use crate::fs::File;
use crate::sys;
use crate::util::budget;
use crate::util::shard_bound::{DetachToMoveToAnotherShard, ShardBound};

/// The receiving half of a [`ByteStream`], from [`split`](ByteStream::split) or
/// [`into_split`](ByteStream::into_split). Dropping it ends nothing: the other half goes on.
pub struct ReadHalf<F> {
    pub(super) receiver: ShardBound<Receiver, dyn DetachToMoveToAnotherShard>,
    pub(super) family: PhantomData<F>,
}

/// The sending half of a [`ByteStream`], from [`split`](ByteStream::split) or
/// [`into_split`](ByteStream::into_split).
///
/// Dropping one that [`into_split`](ByteStream::into_split) has made ends the stream's sending side:
/// the peer sees the end of the stream behind what was sent, also while the other half lives.
/// [`forget`](Self::forget) leaves it open.
pub struct WriteHalf<F> {
    pub(super) transmitter: ShardBound<Transmitter, dyn DetachToMoveToAnotherShard>,
    pub(super) family: PhantomData<F>,
}

impl<F: Family> ReadHalf<F> {
    pub(super) fn fd(&self) -> &SharedFd {
        self.receiver.fd()
    }

    /// The next bytes, as [`ByteStream::recv`].
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    ///
    /// # Errors
    ///
    /// Those of `recv(2)`.
    #[doc(alias = "IORING_OP_RECV")]
    pub fn recv(&mut self) -> impl SingleOperation<Output = io::Result<RecvBuf>> {
        Recv::new(&mut self.receiver)
    }

    /// Receives into a buffer, as [`ByteStream::read`].
    ///
    /// # Cancel safety
    ///
    /// No byte is lost; the buffer is.
    ///
    /// # Errors
    ///
    /// As [`ByteStream::read`]; the error carries the buffer.
    #[doc(alias = "IORING_OP_RECV")]
    pub fn read<B: IoBufMut>(
        &mut self,
        buf: B,
    ) -> impl SingleOperation<Output = BufResult<usize, B>> {
        Read::new(&mut self.receiver, buf)
    }

    /// Receives `n` bytes, as [`ByteStream::read_exact`].
    ///
    /// # Cancel safety
    ///
    /// As [`ByteStream::read_exact`].
    ///
    /// # Errors
    ///
    /// As [`ByteStream::read_exact`]; the error carries the buffer.
    pub fn read_exact<B: IoBufMut>(
        &mut self,
        buf: B,
        n: usize,
    ) -> impl SingleOperation<Output = Result<B, BufError<B>>> {
        ReadExact::new(&mut self.receiver, buf, n)
    }

    /// The address of this end.
    ///
    /// # Errors
    ///
    /// Those of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<F::Address> {
        F::address(sys::socket::local_addr(self.fd().as_fd())?)
    }

    /// The address of the other end. Asks the kernel.
    ///
    /// # Errors
    ///
    /// Those of `getpeername(2)`.
    pub fn peer_addr(&self) -> io::Result<F::Address> {
        F::address(sys::socket::peer_addr(self.fd().as_fd())?)
    }

    /// Drops this half, and waits until the kernel has given back what it had in flight. What had
    /// been received and not taken is lost. The other half goes on; without one the stream is
    /// closed.
    ///
    /// # Cancel safety
    ///
    /// The half is gone also if the future is dropped.
    ///
    /// # Errors
    ///
    /// Those of `recv(2)`, and that the runtime has ended.
    pub async fn close(self) -> io::Result<()> {
        budget::pay().await;
        self.receiver.into_inner().finish().await.map(drop)
    }

    /// The stream that [`into_split`](ByteStream::into_split) has parted.
    ///
    /// # Errors
    ///
    /// The halves, if they are of two streams.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::net::UnixStream;
    ///
    /// corering::block_on(async {
    ///     let (one, mut other) = UnixStream::pair()?;
    ///     let (reader, mut writer) = one.into_split();
    ///     writer.write_all("question").await?;
    ///     let mut one = reader.reunite(writer).expect("they are of one stream");
    ///     other.write_all("answer").await?;
    ///     assert_eq!(&*one.recv().await?, b"answer");
    ///     Ok::<(), std::io::Error>(())
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[expect(clippy::result_large_err, reason = "it is as large as the stream")]
    pub fn reunite(self, mut writer: WriteHalf<F>) -> Result<ByteStream<F>, (Self, WriteHalf<F>)> {
        if !self.fd().is(writer.fd()) {
            return Err((self, writer));
        }
        writer.transmitter.ends = false;
        Ok(ByteStream { reader: self, writer })
    }
}

impl<F: Family> WriteHalf<F> {
    pub(super) fn fd(&self) -> &SharedFd {
        self.transmitter.fd()
    }

    /// Sends bytes of `buf`, as [`ByteStream::write`].
    ///
    /// # Cancel safety
    ///
    /// As [`ByteStream::write`].
    ///
    /// # Errors
    ///
    /// Those of `send(2)`, and [`WriteAbandoned`]; the error carries the buffer.
    #[doc(alias = "IORING_OP_SEND")]
    pub fn write<B: IoBuf>(
        &mut self,
        buf: B,
    ) -> impl SingleOperation<Output = BufResult<usize, B>> {
        Write::new(&mut self.transmitter, buf)
    }

    /// Sends all of `buf`, as [`ByteStream::write_all`].
    ///
    /// # Cancel safety
    ///
    /// As [`ByteStream::write`].
    ///
    /// # Errors
    ///
    /// Those of `send(2)`, and [`WriteAbandoned`]; the error carries the buffer.
    #[doc(alias = "IORING_OP_SEND")]
    pub fn write_all<B: IoBuf>(
        &mut self,
        buf: B,
    ) -> impl SingleOperation<Output = Result<B, BufError<B>>> {
        WriteAll::new(&mut self.transmitter, buf)
    }

    /// Sends all bytes of several buffers, as [`ByteStream::send_all`].
    ///
    /// # Cancel safety
    ///
    /// As [`ByteStream::write`].
    ///
    /// # Errors
    ///
    /// Those of `send(2)`, and [`WriteAbandoned`]; the error carries the buffers.
    #[doc(alias = "IORING_OP_SENDMSG")]
    pub fn send_all<B: IoBuf>(
        &mut self,
        bufs: Vec<B>,
    ) -> impl SingleOperation<Output = Result<Vec<B>, BufError<Vec<B>>>> {
        SendAll::new(&mut self.transmitter, bufs)
    }

    /// Sends bytes of a file, as [`ByteStream::send_file`].
    ///
    /// # Cancel safety
    ///
    /// As [`ByteStream::write`].
    ///
    /// # Errors
    ///
    /// As [`ByteStream::send_file`].
    #[doc(alias = "sendfile")]
    pub async fn send_file(&mut self, file: &File, offset: u64, len: u64) -> io::Result<u64> {
        Ok(send_file(&mut self.transmitter, "", file, offset, len).await?.0)
    }

    /// Sends `head` and then bytes of a file, as [`ByteStream::send_file_after`].
    ///
    /// # Cancel safety
    ///
    /// As [`ByteStream::send_file_after`].
    ///
    /// # Errors
    ///
    /// As [`ByteStream::send_file_after`]; the error carries the head.
    #[doc(alias = "sendfile")]
    pub async fn send_file_after<B: IoBuf>(
        &mut self,
        head: B,
        file: &File,
        offset: u64,
        len: u64,
    ) -> BufResult<u64, B> {
        send_file(&mut self.transmitter, head, file, offset, len).await
    }

    /// The address of this end.
    ///
    /// # Errors
    ///
    /// Those of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<F::Address> {
        F::address(sys::socket::local_addr(self.fd().as_fd())?)
    }

    /// The address of the other end. Asks the kernel.
    ///
    /// # Errors
    ///
    /// Those of `getpeername(2)`.
    pub fn peer_addr(&self) -> io::Result<F::Address> {
        F::address(sys::socket::peer_addr(self.fd().as_fd())?)
    }

    /// Ends a side of the stream, or both, as [`ByteStream::shutdown`].
    ///
    /// # Cancel safety
    ///
    /// Once polled it happens, also if the future is dropped.
    ///
    /// # Errors
    ///
    /// As [`ByteStream::shutdown`].
    #[doc(alias = "IORING_OP_SHUTDOWN")]
    pub fn shutdown(
        &self,
        how: Shutdown,
    ) -> impl SingleOperation<Output = io::Result<()>> + use<F> {
        self.transmitter.shutdown(how)
    }

    /// Ends the sending side behind what was sent, and waits for both. Dropping the half ends it, too,
    /// without waiting. Without the other half the stream is closed.
    ///
    /// # Cancel safety
    ///
    /// The sending side ends also if the future is dropped.
    ///
    /// # Errors
    ///
    /// As [`ByteStream::shutdown`].
    #[doc(alias = "IORING_OP_SHUTDOWN")]
    pub async fn close(mut self) -> io::Result<()> {
        budget::pay().await;
        let sent = self.transmitter.finish().await;
        self.shutdown(Shutdown::Write).await.and(sent)
    }

    /// Drops this half without ending the stream's sending side: that lasts as long as the other
    /// half.
    pub fn forget(mut self) {
        self.transmitter.ends = false;
    }

    /// The stream that [`into_split`](ByteStream::into_split) has parted, as [`ReadHalf::reunite`].
    ///
    /// # Errors
    ///
    /// The halves, if they are of two streams.
    #[expect(clippy::result_large_err, reason = "it is as large as the stream")]
    pub fn reunite(self, reader: ReadHalf<F>) -> Result<ByteStream<F>, (ReadHalf<F>, Self)> {
        reader.reunite(self)
    }
}

impl<F> Drop for WriteHalf<F> {
    fn drop(&mut self) {
        let fd = self.transmitter.fd();
        // Where nobody else has the descriptor, it is closed at once, which says the same.
        if self.transmitter.ends && fd.users() > 1 && !self.transmitter.ends_behind_lent() {
            sys::socket::end_sending(fd.as_fd());
        }
    }
}
