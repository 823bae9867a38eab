//! `recv(2)`: receive bytes from a connected socket into a buffer of the caller's.
//!
//! `IORING_OP_RECV`, kernel 5.6. Without a ring a Unix stream is received from by `recvmsg(2)`, which
//! reports descriptors and credentials that came with the bytes and ended the receive early.

use std::io;

use io_uring::{opcode, squeue};
use libc::iovec;

use super::iovecs::NOTHING;
use super::position::TRANSFER_MAX;
use super::recvmsg::no_header;
use crate::buf::{BufError, BufResult, IoBufMut};
use crate::driver::{CutBy, Operand, Operation, Readiness, SharedFd};
use crate::sys::call::SysCall;

pub(crate) struct Recv<B> {
    fd: SharedFd,
    buf: B,
    /// Of a Unix stream, once it was received from by a plain call.
    message: Option<Operand<Message>>,
}

/// What the plain call reads and writes beside the bytes.
struct Message {
    header: libc::msghdr,
    list: iovec,
}

impl<B: IoBufMut> Recv<B> {
    pub(crate) fn new(fd: SharedFd, buf: B) -> Self {
        Recv { fd, buf, message: None }
    }

    fn room(&self) -> usize {
        self.buf.capacity().min(TRANSFER_MAX)
    }

    /// A header without room for control data, so that the kernel says if there was some.
    fn header(&mut self) -> *mut libc::msghdr {
        let room = self.room();
        let message = self
            .message
            .get_or_insert_with(|| Operand::new(Message { header: no_header(), list: NOTHING }));
        let Message { header, list } = &mut **message;
        *list = iovec { iov_base: self.buf.bytes_mut_ptr().cast(), iov_len: room };
        header.msg_iov = list;
        header.msg_iovlen = 1;
        header
    }
}

// SAFETY: the pointers lead to the buffer's memory, which `IoBufMut` keeps in place, and to an operand
// block, which does not move.
unsafe impl<B: IoBufMut> Operation for Recv<B> {
    type Output = BufResult<usize, B>;

    fn encode(&mut self) -> squeue::Entry {
        let room = self.room() as u32;
        opcode::Recv::new(self.fd.target(), self.buf.bytes_mut_ptr(), room).build()
    }

    fn waits_for(&self) -> Readiness<'_> {
        Readiness::Readable(&self.fd)
    }

    fn needs_nonblocking(&self) -> bool {
        false
    }

    fn attempt(&mut self) -> SysCall {
        let (fd, flags) = (self.fd.argument(), libc::MSG_DONTWAIT as usize);
        if self.fd.cut_by() == CutBy::MarkOrControl {
            return SysCall::new(libc::SYS_recvmsg, [fd, self.header() as usize, flags]);
        }
        let begin = self.buf.bytes_mut_ptr() as usize;
        SysCall::new(libc::SYS_recvfrom, [fd, begin, self.room(), flags])
    }

    fn decode(mut self, outcome: io::Result<u32>) -> Self::Output {
        match outcome {
            Ok(count) => {
                // SAFETY: the kernel has written `count` bytes from the beginning on.
                unsafe { self.buf.set_len(count as usize) };
                Ok((count as usize, self.buf))
            }
            Err(error) => Err(BufError::new(error, self.buf)),
        }
    }

    fn has_drained(&self, count: usize) -> bool {
        let cut = match self.fd.cut_by() {
            CutBy::Mark => false,
            CutBy::MarkOrControl => self
                .message
                .as_ref()
                .is_none_or(|message| message.header.msg_flags & libc::MSG_CTRUNC != 0),
            CutBy::Anything => true,
        };
        count < self.room() && !cut
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::time::Duration;

    use super::*;
    use crate::driver::{IoFuture, submit};
    use crate::op::test_sockets::{drop_in_flight, ends, nothing_is_in_flight, pair};

    #[corering::test]
    async fn bytes_fill_the_buffer_from_its_beginning() -> io::Result<()> {
        let (fd, mut peer) = pair();
        peer.write_all(b"hello")?;
        let (count, buf) = submit(Recv::new(fd, b"0123456789".to_vec())).await?;
        assert_eq!((count, &*buf), (5, &b"hello"[..]));
        Ok(())
    }

    #[corering::test]
    async fn no_more_comes_than_there_is_room_for() -> io::Result<()> {
        let (fd, mut peer) = pair();
        peer.write_all(b"hello")?;
        let (_, buf) = submit(Recv::new(fd.clone(), vec![0; 3].into_boxed_slice())).await?;
        assert_eq!(*buf, *b"hel");
        let (_, buf) = submit(Recv::new(fd, Vec::with_capacity(8))).await?;
        assert_eq!(buf, b"lo");
        Ok(())
    }

    #[corering::test]
    async fn end_of_the_stream_is_zero_bytes() -> io::Result<()> {
        let (fd, peer) = pair();
        drop(peer);
        let (count, buf) = submit(Recv::new(fd, Vec::with_capacity(8))).await?;
        assert_eq!((count, buf.len()), (0, 0));
        Ok(())
    }

    #[corering::test]
    async fn error_gives_the_buffer_back() -> io::Result<()> {
        let (reader, _writer) = io::pipe()?;
        let fd = SharedFd::from(std::os::fd::OwnedFd::from(reader));
        let failed = submit(Recv::new(fd, b"mine".to_vec())).await.expect_err("not a socket");
        let (error, buf) = failed.into_parts();
        assert_eq!(error.raw_os_error(), Some(libc::ENOTSOCK));
        assert_eq!(buf, b"mine");
        Ok(())
    }

    #[corering::test]
    async fn dropped_in_flight_it_closes_the_descriptor_and_frees_its_slot() {
        let (fd, peer) = pair();
        drop_in_flight(submit(Recv::new(fd, Vec::with_capacity(64)))).await;
        nothing_is_in_flight().await;
        assert!(ends(&peer));
    }

    #[corering::test]
    async fn time_limit_gives_the_buffer_back() {
        let (fd, _peer) = pair();
        let recv = submit(Recv::new(fd, b"mine".to_vec())).timeout(Duration::from_millis(1));
        let (error, buf) = recv.await.expect_err("nothing was sent").into_parts();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(buf, b"mine");
        nothing_is_in_flight().await;
    }

    #[corering::test]
    async fn what_is_there_wins_against_a_time_limit_of_zero() -> io::Result<()> {
        let (fd, mut peer) = pair();
        peer.write_all(b"first")?;
        let recv = submit(Recv::new(fd, Vec::with_capacity(8))).timeout(Duration::ZERO);
        assert_eq!(recv.await?.1, b"first");
        Ok(())
    }
}
