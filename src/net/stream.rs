//! What TCP and Unix streams have in common, written once.

/// Defines a stream, its two halves and its detached form.
macro_rules! stream {
    (
        $(#[$doc:meta])*
        $stream:ident, $read_half:ident, $write_half:ident, $detached:ident,
        $address:ty, $to_address:expr, $example:literal
    ) => {
        $(#[$doc])*
        pub struct $stream {
            receiver: Receiver,
            transmitter: Transmitter,
        }

        /// The receiving half of a stream, from `into_split`. Dropping it leaves the other half
        /// working.
        pub struct $read_half {
            receiver: Receiver,
        }

        /// The sending half of a stream, from `into_split`. Dropping it ends the stream's sending
        /// side: the peer sees the end of the stream behind what was sent, also while the other
        /// half lives. [`forget`](Self::forget) leaves it open.
        pub struct $write_half {
            transmitter: Transmitter,
            /// Dropping this half ends the sending side.
            ends: bool,
        }

        /// A stream on its way to another shard: the descriptor, and what had been received and not
        /// taken yet.
        #[derive(Debug)]
        pub struct $detached {
            fd: OwnedFd,
            cut_by: CutBy,
            received: Vec<u8>,
        }

        impl $stream {
            pub(super) fn from_fd(fd: SharedFd) -> Self {
                $stream { receiver: Receiver::new(fd.clone()), transmitter: Transmitter::new(fd) }
            }

            fn fd(&self) -> &SharedFd {
                self.receiver.fd()
            }

            /// The next bytes, in memory of the shard's that is chosen when they are there: an idle
            /// stream holds no buffer. Empty at the end of the stream.
            ///
            /// # Cancel safety
            ///
            /// Nothing is lost: what arrives after the future was dropped is received by the next
            /// call.
            ///
            /// # Errors
            ///
            /// Those of `recv(2)`, for instance `ConnectionReset`.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = $example]
            /// ```
            #[doc(alias = "IORING_OP_RECV")]
            pub fn recv(&mut self) -> Recv<'_> {
                Recv::new(&mut self.receiver)
            }

            /// Receives into `buf`, from its beginning up to its capacity (not its length, which may
            /// be less); the buffer's length is then the number of bytes. 0 at the end of the
            /// stream, and only there. `buf.slice(len..)` appends, `buf.slice(..n)` sets a limit.
            ///
            /// # Cancel safety
            ///
            /// No byte is lost: what a dropped read receives is received by the next call. The
            /// buffer is. What a read receives that was forgotten (`mem::forget`) may be lost with
            /// it; the next call then fails once and says how much that was.
            ///
            /// # Errors
            ///
            /// `InvalidInput` for a buffer without room, and those of `recv(2)`; the error carries
            /// the buffer.
            ///
            /// # How it receives
            ///
            /// As the [`ReceivePolicy`](crate::ReceivePolicy) says. By completion what came in a
            /// buffer of the shard is copied. By notification, and while nothing is armed and `buf`
            /// has room for 8 KiB or more, the bytes come straight into `buf`: on a ring the kernel
            /// is handed the buffer, on epoll it is received into once the socket is readable.
            #[doc(alias = "IORING_OP_RECV")]
            pub fn read<B: IoBufMut>(&mut self, buf: B) -> Read<'_, B> {
                Read::new(&mut self.receiver, buf)
            }

            /// Receives `n` bytes into `buf`, from its beginning on, and makes it as long. None are
            /// there at once.
            ///
            /// # Cancel safety
            ///
            /// Not cancel safe: bytes that had been received into the buffer are lost with it.
            ///
            /// # Errors
            ///
            /// `UnexpectedEof` if the stream ends before, `InvalidInput` if the buffer has less
            /// room, and those of `recv(2)`; the error carries the buffer.
            pub fn read_exact<B: IoBufMut>(&mut self, buf: B, n: usize) -> ReadExact<'_, B> {
                ReadExact::new(&mut self.receiver, buf, n)
            }

            /// Sends bytes of `buf`, as many as the kernel takes at once, and returns how many.
            ///
            /// # Cancel safety
            ///
            /// A write that is dropped in flight, or forgotten, may have sent a part. The next write
            /// waits for its end, so bytes never mix, and then fails once with [`WriteAbandoned`],
            /// which says how much was sent.
            ///
            /// # Errors
            ///
            /// Those of `send(2)`, for instance `BrokenPipe`, and [`WriteAbandoned`]; the error
            /// carries the buffer.
            #[doc(alias = "IORING_OP_SEND")]
            pub fn write<B: IoBuf>(&mut self, buf: B) -> Write<'_, B> {
                Write::new(&mut self.transmitter, buf)
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
            #[doc(alias = "IORING_OP_SEND")]
            pub fn write_all<B: IoBuf>(&mut self, buf: B) -> WriteAll<'_, B> {
                WriteAll::new(&mut self.transmitter, buf)
            }

            /// Sends all bytes of several buffers, one after the other, as if they were one: a head
            /// and a body leave together, and nothing is copied.
            ///
            /// # Cancel safety
            ///
            /// As [`write`](Self::write).
            ///
            /// # Errors
            ///
            /// As [`write`](Self::write); the error carries the buffers.
            #[doc(alias = "IORING_OP_SENDMSG")]
            pub fn send_all<B: IoBuf>(&mut self, bufs: Vec<B>) -> SendAll<'_, B> {
                SendAll::new(&mut self.transmitter, bufs)
            }

            /// Sends up to `len` bytes of `file`, from `offset` on, and returns how many: fewer only
            /// where the file ends.
            ///
            /// Memory is bounded, however long the file is and however slowly the peer reads. What
            /// the page cache has goes by `sendfile(2)`, from 32 KiB on a ring, and always on
            /// epoll, where the shard waits for the disk if it must. What a ring has to read goes
            /// through two buffers of 64 KiB, one read ahead while the other is sent.
            ///
            /// A file that `sendfile(2)` refuses is copied: one of `/proc`, or a pipe, which is sent
            /// until its end, whatever the offset.
            ///
            /// Bytes of the file that change while they are on their way may arrive as they were,
            /// or as they are then.
            ///
            /// # Cancel safety
            ///
            /// As [`write`](Self::write): dropped, it may have sent a part, and the next write
            /// fails once with [`WriteAbandoned`].
            ///
            /// # Errors
            ///
            /// Those of reading the file and of `send(2)`, and [`WriteAbandoned`]. `InvalidInput` for
            /// a socket in the place of the file.
            #[doc(alias = "sendfile")]
            pub async fn send_file(
                &mut self,
                file: &File,
                offset: u64,
                len: u64,
            ) -> io::Result<u64> {
                let head: &'static [u8] = &[];
                let (sent, _) = send_file(&mut self.transmitter, head, file, offset, len).await?;
                Ok(sent)
            }

            /// Sends all of `head` and then up to `len` bytes of `file`, from `offset` on, as if they
            /// were one, and returns how many bytes of the file. The head of an answer and the file
            /// leave together: in one call where the page cache has the file, else by `MSG_MORE`.
            ///
            /// # Cancel safety
            ///
            /// As [`send_file`](Self::send_file); [`WriteAbandoned`] counts the bytes of the head too.
            ///
            /// # Errors
            ///
            /// As [`send_file`](Self::send_file); the error carries the head, all or a part of which
            /// may have been sent. Of what can never be sent (a folder, a socket, a file that is not
            /// open for reading) the head is not sent either.
            #[doc(alias = "sendfile")]
            #[doc(alias = "MSG_MORE")]
            pub async fn send_file_after<B: IoBuf>(
                &mut self,
                head: B,
                file: &File,
                offset: u64,
                len: u64,
            ) -> BufResult<u64, B> {
                send_file(&mut self.transmitter, head, file, offset, len).await
            }

            /// Ends the receiving side, the sending side, or both. The peer sees the end of the
            /// stream when the sending side ends.
            ///
            /// # Cancel safety
            ///
            /// Once polled it happens, also if the future is dropped.
            ///
            /// # Errors
            ///
            /// Those of `shutdown(2)`. A connection that the peer has reset, or that never was one,
            /// has nothing to end, and that is no error.
            #[doc(alias = "IORING_OP_SHUTDOWN")]
            pub fn shutdown(&self, how: Shutdown) -> impl SingleOperation<Output = io::Result<()>> + use<> {
                crate::driver::single(op::shutdown::Shutdown::new(self.fd().clone(), how))
            }

            /// Closes the stream, and waits until the kernel has given back what was in flight.
            /// Dropping a stream closes it, too, without waiting.
            ///
            /// # Cancel safety
            ///
            /// The stream is closed also if the future is dropped.
            ///
            /// # Errors
            ///
            /// Those of `close(2)`.
            #[doc(alias = "IORING_OP_CLOSE")]
            pub async fn close(self) -> io::Result<()> {
                let fd = self.finish().await?.0;
                submit(op::close::Close::new(fd)).await
            }

            /// Takes the stream off this shard: what is in flight is cancelled, what had been
            /// received goes along. The result is `Send`; `into_stream` makes it a stream again, on
            /// any shard.
            ///
            /// # Cancel safety
            ///
            /// Dropped before its end, the stream is closed.
            ///
            /// # Errors
            ///
            /// The runtime has ended.
            pub async fn detach(self) -> io::Result<$detached> {
                let cut_by = self.fd().cut_by();
                let (fd, received) = self.finish().await?;
                Ok($detached { fd, cut_by, received })
            }

            async fn finish(self) -> io::Result<(OwnedFd, Vec<u8>)> {
                crate::util::budget::pay().await;
                drop(self.transmitter.finish().await);
                let (fd, received) = self.receiver.finish().await?;
                if fd.forget_readiness() {
                    // A poll in this shard's ring holds the open file: were it closed elsewhere, its
                    // peer would not see the end before this shard's next visit to the kernel.
                    drop(submit(op::nop::Nop).await);
                }
                let fd = fd.try_unwrap().map_err(|fd| {
                    io::Error::other(format!("{} operations still use the stream", fd.users() - 1))
                })?;
                Ok((fd, received))
            }

            /// Parts the stream into a receiving and a sending half, which two tasks can use.
            /// Dropping the sending half ends the sending side; dropping the receiving half ends
            /// nothing.
            pub fn into_split(self) -> ($read_half, $write_half) {
                let $stream { receiver, transmitter } = self;
                ($read_half { receiver }, $write_half { transmitter, ends: true })
            }

            /// The address of this end.
            ///
            /// # Errors
            ///
            /// Those of `getsockname(2)`.
            pub fn local_addr(&self) -> io::Result<$address> {
                $to_address(sys::socket::local_addr(self.fd().as_fd())?)
            }

            /// The address of the other end. Asks the kernel.
            ///
            /// # Errors
            ///
            /// Those of `getpeername(2)`.
            pub fn peer_addr(&self) -> io::Result<$address> {
                $to_address(sys::socket::peer_addr(self.fd().as_fd())?)
            }
        }

        impl $read_half {
            /// As the stream's `recv`.
            ///
            /// # Cancel safety
            ///
            /// Nothing is lost.
            ///
            /// # Errors
            ///
            /// Those of `recv(2)`.
            pub fn recv(&mut self) -> Recv<'_> {
                Recv::new(&mut self.receiver)
            }

            /// As the stream's `read`.
            ///
            /// # Cancel safety
            ///
            /// No byte is lost; the buffer is.
            ///
            /// # Errors
            ///
            /// As the stream's `read`; the error carries the buffer.
            pub fn read<B: IoBufMut>(&mut self, buf: B) -> Read<'_, B> {
                Read::new(&mut self.receiver, buf)
            }

            /// As the stream's `read_exact`.
            ///
            /// # Cancel safety
            ///
            /// Not cancel safe: bytes in the buffer are lost with it.
            ///
            /// # Errors
            ///
            /// As the stream's `read_exact`; the error carries the buffer.
            pub fn read_exact<B: IoBufMut>(&mut self, buf: B, n: usize) -> ReadExact<'_, B> {
                ReadExact::new(&mut self.receiver, buf, n)
            }
        }

        impl $write_half {
            /// As the stream's `write`.
            ///
            /// # Cancel safety
            ///
            /// As the stream's `write`.
            ///
            /// # Errors
            ///
            /// Those of `send(2)`, and [`WriteAbandoned`]; the error carries the buffer.
            pub fn write<B: IoBuf>(&mut self, buf: B) -> Write<'_, B> {
                Write::new(&mut self.transmitter, buf)
            }

            /// As the stream's `write_all`.
            ///
            /// # Cancel safety
            ///
            /// As the stream's `write`.
            ///
            /// # Errors
            ///
            /// Those of `send(2)`, and [`WriteAbandoned`]; the error carries the buffer.
            pub fn write_all<B: IoBuf>(&mut self, buf: B) -> WriteAll<'_, B> {
                WriteAll::new(&mut self.transmitter, buf)
            }

            /// As the stream's `send_all`.
            ///
            /// # Cancel safety
            ///
            /// As the stream's `write`.
            ///
            /// # Errors
            ///
            /// Those of `send(2)`, and [`WriteAbandoned`]; the error carries the buffers.
            pub fn send_all<B: IoBuf>(&mut self, bufs: Vec<B>) -> SendAll<'_, B> {
                SendAll::new(&mut self.transmitter, bufs)
            }

            /// As the stream's `shutdown`.
            ///
            /// # Cancel safety
            ///
            /// Once polled it happens, also if the future is dropped.
            ///
            /// # Errors
            ///
            /// As the stream's `shutdown`.
            pub fn shutdown(&self, how: Shutdown) -> impl SingleOperation<Output = io::Result<()>> + use<> {
                crate::driver::single(op::shutdown::Shutdown::new(self.transmitter.fd().clone(), how))
            }

            /// Drops this half without ending the stream's sending side: that lasts as long as the
            /// other half.
            pub fn forget(mut self) {
                self.ends = false;
            }
        }

        impl Drop for $write_half {
            fn drop(&mut self) {
                let fd = self.transmitter.fd();
                // Where nobody else has the descriptor, it is closed at once, which says the same.
                if self.ends && fd.users() > 1 {
                    sys::socket::end_sending(fd.as_fd());
                }
            }
        }

        impl $detached {
            /// The stream, on this shard. What had been received before comes first.
            pub fn into_stream(self) -> $stream {
                let fd = SharedFd::reopened_socket(self.fd, self.cut_by);
                let receiver = Receiver::with_rest(fd.clone(), self.received);
                $stream { receiver, transmitter: Transmitter::new(fd) }
            }
        }

        impl From<OwnedFd> for $stream {
            /// Takes a connected socket. Its `O_NONBLOCK`, which others may share, stays as it is,
            /// except that `send_file` sets it; dropped or detached, the stream puts it back.
            ///
            /// On epoll it is received from until that is refused, which is one call more for each
            /// message: nothing is known of what may end a receive early.
            fn from(fd: OwnedFd) -> Self {
                $stream::from_fd(SharedFd::from(fd))
            }
        }

        impl AsFd for $stream {
            /// The descriptor. Whoever has it may change what a receive brings, so from then on the
            /// stream is received from as one that was made of a descriptor.
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.fd().expose()
            }
        }

        impl fmt::Debug for $stream {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($stream)).field(self.fd()).finish()
            }
        }

        impl fmt::Debug for $read_half {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($read_half)).field(self.receiver.fd()).finish()
            }
        }

        impl fmt::Debug for $write_half {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($write_half)).field(self.transmitter.fd()).finish()
            }
        }
    };
}

/// Defines a listener of such streams.
macro_rules! listener {
    ($(#[$doc:meta])* $listener:ident, $stream:ident, $address:ty, $to_address:expr) => {
        $(#[$doc])*
        pub struct $listener {
            acceptor: Acceptor,
        }

        impl $listener {
            /// The next connection. Several tasks may wait; they are served in the order of their
            /// coming.
            ///
            /// Connections that broke before they were accepted are passed over. Where descriptors
            /// have run out, it waits until some come free; connections wait in the backlog, and
            /// the log says so once.
            ///
            /// # Cancel safety
            ///
            /// No connection is lost: one that comes after the future was dropped is accepted by
            /// the next call.
            ///
            /// # Errors
            ///
            /// Those of `accept(2)` that concern the listener itself.
            #[doc(alias = "IORING_OP_ACCEPT")]
            pub fn accept(&self) -> Accept<'_, $stream> {
                Accept::new(&self.acceptor, $stream::from_fd)
            }

            /// All connections, as a stream that does not end.
            ///
            /// # Cancel safety
            ///
            /// No connection is lost.
            ///
            /// # Errors
            ///
            /// As [`accept`](Self::accept).
            pub fn incoming(&self) -> Incoming<'_, $stream> {
                Incoming::new(&self.acceptor, $stream::from_fd)
            }

            /// The address that is listened on.
            ///
            /// # Errors
            ///
            /// Those of `getsockname(2)`.
            pub fn local_addr(&self) -> io::Result<$address> {
                $to_address(sys::socket::local_addr(self.acceptor.fd().as_fd())?)
            }
        }

        impl From<OwnedFd> for $listener {
            /// Takes a listening socket. Its `O_NONBLOCK`, which others may share, stays as it is on
            /// a ring; on epoll it is set, and put back when the listener is dropped.
            fn from(fd: OwnedFd) -> Self {
                $listener { acceptor: Acceptor::new(SharedFd::listener(fd)) }
            }
        }

        impl AsFd for $listener {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.acceptor.fd().expose_listener()
            }
        }

        impl fmt::Debug for $listener {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($listener)).field(self.acceptor.fd()).finish()
            }
        }
    };
}

pub(super) use {listener, stream};
