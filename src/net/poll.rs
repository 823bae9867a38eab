//! Streams by the traits of `io`, which have the poll methods that bridges to other libraries stand on.

use std::io::{self, IoSlice};
use std::task::{Context, Poll};

use super::family::Family;
use super::halves::{ReadHalf, WriteHalf};
use super::stream::ByteStream;
use crate::buf::{BufError, BufResult, IoBuf, IoBufMut, RecvBuf};
use crate::io::{Lend, OwnedRead, OwnedWrite, PollWrite, owned};

impl<F: Family> Lend for ByteStream<F> {
    #[inline]
    fn poll_lend(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<RecvBuf>> {
        self.reader.poll_lend(cx)
    }

    fn put_back(&mut self, bytes: RecvBuf) {
        self.reader.put_back(bytes);
    }
}

impl<F: Family> Lend for ReadHalf<F> {
    #[inline]
    fn poll_lend(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<RecvBuf>> {
        self.receiver.poll_recv(cx)
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
    ($of:ident, $sender:ident) => {
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

            fn flush(&mut self) -> impl Future<Output = io::Result<()>> {
                owned::flush(self)
            }

            fn shutdown(&mut self) -> impl Future<Output = io::Result<()>> {
                owned::shutdown(self)
            }
        }

        impl<F: Family> PollWrite for $of<F> {
            #[inline]
            fn poll_write(
                &mut self,
                cx: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                self.$sender.poll_write(cx, bytes)
            }

            #[inline]
            fn poll_write_vectored(
                &mut self,
                cx: &mut Context<'_>,
                pieces: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                self.$sender.poll_write_vectored(cx, pieces)
            }

            #[inline]
            fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.$sender.poll_flush(cx)
            }

            fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.$sender.poll_shutdown(cx)
            }
        }
    };
}

write!(ByteStream, writer);
write!(WriteHalf, transmitter);
