//! Streams of bytes: TCP and Unix connections, which differ in how they come into being.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use futures_util::future::LocalBoxFuture;

#[cfg(doc)]
use super::WriteAbandoned;
use super::family::Family;
use super::halves::{ReadHalf, WriteHalf};
use super::receive::Receiver;
use super::transmit::Transmitter;
use crate::buf::{BufError, BufResult, IoBuf, IoBufMut, RecvBuf};
use crate::driver::{CutBy, SharedFd, SingleOperation, submit};
use crate::fs::File;
use crate::util::budget;
use crate::util::shard_bound::ShardBound;
use crate::{op, sys};

/// A connection: a [`TcpStream`](super::TcpStream) or a [`UnixStream`](super::UnixStream).
///
/// What arrives before it is asked for stays with the stream, in order, so dropping a `recv` or a
/// `read` loses nothing. Dropping the stream closes it.
///
/// # Examples
///
/// One function serves connections of every family:
///
/// ```
/// use corering::net::{ByteStream, Family, TcpListener, TcpStream, UnixStream};
///
/// async fn echo<F: Family>(mut stream: ByteStream<F>) -> std::io::Result<()> {
///     loop {
///         let received = stream.recv().await?;
///         if received.is_empty() {
///             return Ok(());
///         }
///         stream.write_all(received).await?;
///     }
/// }
///
/// corering::block_on(async {
///     let listener = TcpListener::bind("127.0.0.1:0").await?;
///     let mut client = TcpStream::connect(listener.local_addr()?).await?;
///     corering::spawn(echo(listener.accept().await?));
///     client.write_all("hello").await?;
///     assert_eq!(&*client.recv().await?, b"hello");
///
///     let (mut client, server) = UnixStream::pair()?;
///     corering::spawn(echo(server));
///     client.write_all("hello").await?;
///     assert_eq!(&*client.recv().await?, b"hello");
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct ByteStream<F> {
    pub(super) reader: ReadHalf<F>,
    pub(super) writer: WriteHalf<F>,
}

/// A stream on its way to another shard, from [`ByteStream::detach`]: the descriptor, and what had
/// been received and not taken yet. Dropping it closes the connection.
pub struct Detached<F> {
    fd: OwnedFd,
    cut_by: CutBy,
    received: Vec<u8>,
    family: PhantomData<F>,
}

impl<F: Family> ByteStream<F> {
    pub(super) fn from_fd(fd: SharedFd) -> Self {
        ByteStream::new(Receiver::new(fd))
    }

    fn new(receiver: Receiver) -> Self {
        let transmitter = Transmitter::new(receiver.fd().clone());
        let (receiver, transmitter) = (ShardBound::new(receiver), ShardBound::new(transmitter));
        let writer = WriteHalf { transmitter, family: PhantomData };
        ByteStream { reader: ReadHalf { receiver, family: PhantomData }, writer }
    }

    pub(super) fn fd(&self) -> &SharedFd {
        self.reader.fd()
    }

    /// The next bytes, in memory of the shard's that is chosen when they are there: an idle stream
    /// holds no buffer. Empty at the end of the stream.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost: what arrives after the future was dropped is received by the next call.
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
    /// one.write_all("hello").await?;
    /// assert_eq!(&*other.recv().await?, b"hello");
    /// one.close().await?;
    /// assert!(other.recv().await?.is_empty());
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "IORING_OP_RECV")]
    pub fn recv(&mut self) -> impl SingleOperation<Output = io::Result<RecvBuf>> {
        self.reader.recv()
    }

    /// Receives into `buf`, from its beginning up to its capacity (not its length, which may be
    /// less); the buffer's length is then the number of bytes. 0 at the end of the stream, and only
    /// there. `buf.slice(len..)` appends, `buf.slice(..n)` sets a limit.
    ///
    /// # Cancel safety
    ///
    /// No byte is lost: what a dropped read receives is received by the next call. The buffer is.
    /// What a read receives that was forgotten (`mem::forget`) may be lost with it; the next call
    /// then fails once and says how much that was.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a buffer without room, and those of `recv(2)`; the error carries the buffer.
    ///
    /// # How it receives
    ///
    /// As the [`ReceivePolicy`](crate::ReceivePolicy) says. By completion what came in a buffer of
    /// the shard is copied. By notification, and while nothing is armed and `buf` has room for 8 KiB
    /// or more, the bytes come straight into `buf`: on a ring the kernel is handed the buffer, on
    /// epoll it is received into once the socket is readable.
    ///
    /// # Examples
    ///
    /// ```
    /// # corering::block_on(async {
    /// use corering::buf::IoBuf;
    /// use corering::net::UnixStream;
    ///
    /// let (mut one, mut other) = UnixStream::pair()?;
    /// one.write_all("hello, you").await?;
    /// let buf = Vec::with_capacity(64);
    /// let (count, buf) = other.read(buf.slice(..5)).await?;
    /// assert_eq!((count, buf.into_inner()), (5, b"hello".to_vec()));
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "IORING_OP_RECV")]
    pub fn read<B: IoBufMut>(
        &mut self,
        buf: B,
    ) -> impl SingleOperation<Output = BufResult<usize, B>> {
        self.reader.read(buf)
    }

    /// Receives `n` bytes into `buf`, from its beginning on, and makes it as long. None are there at
    /// once.
    ///
    /// # Cancel safety
    ///
    /// No byte is lost: what a dropped call had received, and what it still receives, comes with the
    /// next call, whichever that is. The buffer is lost; of a call that was forgotten (`mem::forget`)
    /// so is what it has.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if the stream ends before, `InvalidInput` if the buffer has less room, and
    /// those of `recv(2)`; the error carries the buffer.
    ///
    /// # Examples
    ///
    /// ```
    /// # corering::block_on(async {
    /// use corering::net::UnixStream;
    ///
    /// let (mut one, mut other) = UnixStream::pair()?;
    /// one.write_all("\x05hello").await?;
    /// let head = other.read_exact(Vec::with_capacity(1), 1).await?;
    /// let body = other.read_exact(Vec::with_capacity(5), head[0].into()).await?;
    /// assert_eq!(body, b"hello");
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn read_exact<B: IoBufMut>(
        &mut self,
        buf: B,
        n: usize,
    ) -> impl SingleOperation<Output = Result<B, BufError<B>>> {
        self.reader.read_exact(buf, n)
    }

    /// Sends bytes of `buf`, as many as the kernel takes at once, and returns how many.
    ///
    /// # Cancel safety
    ///
    /// A write that is dropped in flight, or forgotten, may have sent a part. The next write waits
    /// for its end, so bytes never mix, and then fails once with [`WriteAbandoned`], which says how
    /// much was sent.
    ///
    /// # Errors
    ///
    /// Those of `send(2)`, for instance `BrokenPipe`, and [`WriteAbandoned`]; the error carries the
    /// buffer.
    ///
    /// # Examples
    ///
    /// ```
    /// # corering::block_on(async {
    /// use corering::net::UnixStream;
    ///
    /// let (mut one, _other) = UnixStream::pair()?;
    /// let (count, buf) = one.write(vec![7; 100]).await?;
    /// assert!(count > 0 && buf.len() == 100);
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "IORING_OP_SEND")]
    pub fn write<B: IoBuf>(
        &mut self,
        buf: B,
    ) -> impl SingleOperation<Output = BufResult<usize, B>> {
        self.writer.write(buf)
    }

    /// Sends all of `buf` and gives it back.
    ///
    /// # Cancel safety
    ///
    /// As [`write`](Self::write).
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    ///
    /// # Examples
    ///
    /// ```
    /// # corering::block_on(async {
    /// use corering::net::UnixStream;
    ///
    /// let (mut one, _other) = UnixStream::pair()?;
    /// let mut buf = vec![7; 100];
    /// for _ in 0..10 {
    ///     buf = one.write_all(buf).await?;
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "IORING_OP_SEND")]
    pub fn write_all<B: IoBuf>(
        &mut self,
        buf: B,
    ) -> impl SingleOperation<Output = Result<B, BufError<B>>> {
        self.writer.write_all(buf)
    }

    /// Sends all bytes of several buffers, one after the other, as if they were one: a head and a
    /// body leave together, and nothing is copied.
    ///
    /// # Cancel safety
    ///
    /// As [`write`](Self::write).
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write); the error carries the buffers.
    ///
    /// # Examples
    ///
    /// ```
    /// # corering::block_on(async {
    /// use corering::net::UnixStream;
    ///
    /// let (mut one, mut other) = UnixStream::pair()?;
    /// let (head, body) = (b"5 ".to_vec(), b"bytes".to_vec());
    /// one.send_all(vec![head, body]).await?;
    /// assert_eq!(&*other.recv().await?, b"5 bytes");
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "IORING_OP_SENDMSG")]
    pub fn send_all<B: IoBuf>(
        &mut self,
        bufs: Vec<B>,
    ) -> impl SingleOperation<Output = Result<Vec<B>, BufError<Vec<B>>>> {
        self.writer.send_all(bufs)
    }

    /// Sends up to `len` bytes of `file`, from `offset` on, and returns how many: fewer only where
    /// the file ends.
    ///
    /// Memory is bounded, however long the file is and however slowly the peer reads. From 32 KiB on, what
    /// the page cache has goes by `sendfile(2)`. What has to be read of a disk goes through two buffers of
    /// 64 KiB, one read ahead by the ring or the pool while the other is sent: the shard does not wait.
    ///
    /// A file that `sendfile(2)` refuses is copied: one of `/proc`, or a pipe, which is sent until its
    /// end, whatever the offset.
    ///
    /// Bytes of the file that change while they are on their way may arrive as they were, or as they
    /// are then.
    ///
    /// # Cancel safety
    ///
    /// As [`write`](Self::write): dropped, it may have sent a part, and the next write fails once
    /// with [`WriteAbandoned`].
    ///
    /// # Errors
    ///
    /// Those of reading the file and of `send(2)`, and [`WriteAbandoned`]. `InvalidInput` for a
    /// socket in the place of the file.
    ///
    /// # Examples
    ///
    /// ```
    /// # corering::block_on(async {
    /// use corering::fs::File;
    /// use corering::net::UnixStream;
    ///
    /// let (mut one, mut other) = UnixStream::pair()?;
    /// let file = File::open("Cargo.toml").await?;
    /// let sent = one.send_file(&file, 1, 8).await?;
    /// assert_eq!((sent, other.recv().await?.len()), (8, 8));
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "sendfile")]
    pub async fn send_file(&mut self, file: &File, offset: u64, len: u64) -> io::Result<u64> {
        self.writer.send_file(file, offset, len).await
    }

    /// Sends all of `head` and then up to `len` bytes of `file`, from `offset` on, as if they were
    /// one, and returns how many bytes of the file. The head of an answer and the file leave
    /// together: in one call where the page cache has the file, else by `MSG_MORE`.
    ///
    /// # Cancel safety
    ///
    /// As [`send_file`](Self::send_file); [`WriteAbandoned`] counts the bytes of the head too.
    ///
    /// # Errors
    ///
    /// As [`send_file`](Self::send_file); the error carries the head, all or a part of which may have
    /// been sent. Of what can never be sent (a folder, a socket, a file that is not open for reading)
    /// the head is not sent either.
    ///
    /// # Examples
    ///
    /// ```
    /// # corering::block_on(async {
    /// use corering::fs::File;
    /// use corering::net::UnixStream;
    ///
    /// let (mut one, mut other) = UnixStream::pair()?;
    /// let file = File::open("Cargo.toml").await?;
    /// let head = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n";
    /// let (sent, head) = one.send_file_after(head, &file, 0, 8).await?;
    /// one.close().await?;
    /// let answer = other.read_exact(Vec::with_capacity(100), head.len() + 8).await?;
    /// assert!(sent == 8 && answer.starts_with(head.as_bytes()));
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "sendfile")]
    #[doc(alias = "MSG_MORE")]
    pub async fn send_file_after<B: IoBuf>(
        &mut self,
        head: B,
        file: &File,
        offset: u64,
        len: u64,
    ) -> BufResult<u64, B> {
        self.writer.send_file_after(head, file, offset, len).await
    }

    /// The address of this end.
    ///
    /// # Errors
    ///
    /// Those of `getsockname(2)`.
    ///
    /// # Examples
    ///
    /// ```
    /// # corering::block_on(async {
    /// use corering::net::{TcpListener, TcpStream};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// let client = TcpStream::connect(listener.local_addr()?).await?;
    /// assert!(client.local_addr()?.ip().is_loopback());
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn local_addr(&self) -> io::Result<F::Address> {
        F::address(sys::socket::local_addr(self.fd().as_fd())?)
    }

    /// The address of the other end. Asks the kernel.
    ///
    /// # Errors
    ///
    /// Those of `getpeername(2)`.
    ///
    /// # Examples
    ///
    /// ```
    /// # corering::block_on(async {
    /// use corering::net::{TcpListener, TcpStream};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// let client = TcpStream::connect(listener.local_addr()?).await?;
    /// assert_eq!(client.peer_addr()?, listener.local_addr()?);
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn peer_addr(&self) -> io::Result<F::Address> {
        F::address(sys::socket::peer_addr(self.fd().as_fd())?)
    }

    /// Ends the receiving side, the sending side, or both. The peer sees the end of the stream when
    /// the sending side ends.
    ///
    /// # Cancel safety
    ///
    /// Once polled it happens, also if the future is dropped.
    ///
    /// # Errors
    ///
    /// Those of `shutdown(2)`. A connection that the peer has reset, or that never was one, has
    /// nothing to end, and that is no error.
    ///
    /// # Examples
    ///
    /// ```
    /// # corering::block_on(async {
    /// use corering::net::UnixStream;
    /// use std::net::Shutdown;
    ///
    /// let (mut one, mut other) = UnixStream::pair()?;
    /// one.shutdown(Shutdown::Write).await?;
    /// assert!(other.recv().await?.is_empty());
    /// other.write_all("still here").await?;
    /// assert_eq!(&*one.recv().await?, b"still here");
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "IORING_OP_SHUTDOWN")]
    pub fn shutdown(
        &self,
        how: Shutdown,
    ) -> impl SingleOperation<Output = io::Result<()>> + use<F> {
        self.writer.shutdown(how)
    }

    /// Closes the stream, and waits until the kernel has given back what was in flight. Dropping a
    /// stream closes it, too, without waiting.
    ///
    /// # Cancel safety
    ///
    /// The stream is closed also if the future is dropped.
    ///
    /// # Errors
    ///
    /// Those of `close(2)`.
    ///
    /// # Examples
    ///
    /// ```
    /// # corering::block_on(async {
    /// use corering::net::UnixStream;
    ///
    /// let (one, mut other) = UnixStream::pair()?;
    /// one.close().await?;
    /// assert!(other.recv().await?.is_empty());
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "IORING_OP_CLOSE")]
    pub async fn close(self) -> io::Result<()> {
        let fd = self.finish().await?.0;
        submit(op::close::Close::new(fd)).await
    }

    /// Takes the stream off this shard: what is in flight is cancelled, what had been received goes
    /// along. The result is `Send`; [`into_stream`](Detached::into_stream) makes it a stream again,
    /// on any shard.
    ///
    /// # Cancel safety
    ///
    /// Dropped before its end, the stream is closed.
    ///
    /// # Errors
    ///
    /// The runtime has ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::net::UnixStream;
    ///
    /// let (detached, _other) = corering::block_on(async {
    ///     let (one, mut other) = UnixStream::pair()?;
    ///     other.write_all("hello").await?;
    ///     Ok::<_, std::io::Error>((one.detach().await?, other))
    /// })?;
    /// let elsewhere = std::thread::spawn(|| {
    ///     corering::block_on(async {
    ///         assert_eq!(&*detached.into_stream().recv().await?, b"hello");
    ///         Ok::<(), std::io::Error>(())
    ///     })
    /// });
    /// elsewhere.join().expect("it does not panic")?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn detach(self) -> io::Result<Detached<F>> {
        let cut_by = self.fd().cut_by();
        let (fd, received) = self.finish().await?;
        Ok(Detached { fd, cut_by, received, family: PhantomData })
    }

    /// Gives the connection to the standard library: the stream, whose calls block, and what had been
    /// received and not taken yet.
    ///
    /// # Cancel safety
    ///
    /// Dropped before its end, the stream is closed.
    ///
    /// # Errors
    ///
    /// The runtime has ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::net::UnixStream;
    /// use std::io::{Read, Write};
    ///
    /// let (one, mut other) = std::os::unix::net::UnixStream::pair()?;
    /// other.write_all(b"hello")?;
    /// let (mut one, mut received) = corering::block_on(UnixStream::from(one).into_std())?;
    /// drop(other);
    /// one.read_to_end(&mut received)?;
    /// assert_eq!(received, b"hello");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn into_std(self) -> io::Result<(F::Std, Vec<u8>)> {
        let (fd, received) = self.finish().await?;
        sys::socket::set_nonblocking(fd.as_fd(), false)?;
        Ok((fd.into(), received))
    }

    /// Boxed: in the future of a handler that ends by `close`, its states cost each connection 1 KB.
    fn finish(self) -> LocalBoxFuture<'static, io::Result<(OwnedFd, Vec<u8>)>> {
        Box::pin(async move {
            budget::pay().await;
            let ByteStream { reader, mut writer } = self;
            writer.transmitter.finish().await?;
            drop(writer);
            let (fd, received) = reader.receiver.into_inner().finish().await?;
            Ok((op::close::alone(fd).await?, received))
        })
    }

    /// Lends the two halves to two futures of one task, for as long as the stream is not used itself.
    /// Dropping them ends nothing. [`into_split`](Self::into_split) is for two tasks.
    ///
    /// # Examples
    ///
    /// ```
    /// # corering::block_on(async {
    /// use corering::net::UnixStream;
    ///
    /// let (mut one, mut other) = UnixStream::pair()?;
    /// let (reader, writer) = one.split();
    /// let served = async {
    ///     let question = other.recv().await?;
    ///     other.write_all(question).await?;
    ///     Ok::<(), std::io::Error>(())
    /// };
    /// let (sent, answer, served) =
    ///     futures_util::join!(writer.write_all("hello"), reader.recv(), served);
    /// assert_eq!(&*answer?, b"hello");
    /// assert_eq!(sent?, "hello");
    /// # served?;
    /// one.write_all("goodbye").await?;
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn split(&mut self) -> (&mut ReadHalf<F>, &mut WriteHalf<F>) {
        (&mut self.reader, &mut self.writer)
    }

    /// Parts the stream into a receiving and a sending half, which two tasks can use. Dropping the
    /// sending half ends the sending side; dropping the receiving half ends nothing.
    /// [`reunite`](ReadHalf::reunite) makes them a stream again.
    ///
    /// # Examples
    ///
    /// ```
    /// # corering::block_on(async {
    /// use corering::net::UnixStream;
    ///
    /// let (one, mut other) = UnixStream::pair()?;
    /// let (mut reader, mut writer) = one.into_split();
    /// let received = corering::spawn(async move { reader.recv().await });
    /// writer.write_all("question").await?;
    /// drop(writer);
    /// assert_eq!(&*other.recv().await?, b"question");
    /// assert!(other.recv().await?.is_empty());
    /// other.write_all("answer").await?;
    /// assert_eq!(&*received.await.expect("it does not panic")?, b"answer");
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn into_split(mut self) -> (ReadHalf<F>, WriteHalf<F>) {
        self.writer.transmitter.ends = true;
        (self.reader, self.writer)
    }
}

impl<F: Family> Detached<F> {
    /// The stream, on this shard. What had been received before comes first.
    pub fn into_stream(self) -> ByteStream<F> {
        let fd = SharedFd::reopened_socket(self.fd, self.cut_by);
        ByteStream::new(Receiver::with_rest(fd, self.received))
    }
}

impl<F: Family> From<OwnedFd> for ByteStream<F> {
    /// Takes a connected socket. Its `O_NONBLOCK`, which others may share, stays as it is, except
    /// that `send_file` sets it; dropped or detached, the stream puts it back.
    ///
    /// On epoll it is received from until that is refused, which is one call more for each message:
    /// nothing is known of what may end a receive early.
    fn from(fd: OwnedFd) -> Self {
        ByteStream::from_fd(SharedFd::from(fd))
    }
}

impl<F: Family> fmt::Debug for Detached<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let received = self.received.len();
        write!(f, "{}Detached {{ fd: {}, received: {received} }}", F::NAME, self.fd.as_raw_fd())
    }
}
