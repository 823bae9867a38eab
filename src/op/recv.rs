//! `recv(2)`: receive bytes from a connected socket.
//!
//! On a ring a buffer of the caller's may be handed to the kernel: `IORING_OP_RECV`, kernel 5.6. Else
//! it is a plain call, made when the socket is readable. A Unix stream is received from by
//! `recvmsg(2)` then, which reports descriptors and credentials that came with the bytes and ended
//! the receive early.

use std::io;
use std::ops::Range;

use io_uring::{opcode, squeue};
use libc::iovec;

use super::iovecs::NOTHING;
use super::position::TRANSFER_MAX;
use super::recvmsg::no_header;
use crate::buf::{self, BufError, BufResult, IoBufMut, RecvBuf};
use crate::driver::{Call, CutBy, Driver, Held, Operation, SharedFd, Waits};
use crate::sys::call::SysCall;

/// A receive into a buffer of the caller's, by a ring.
pub(crate) struct Recv<B> {
    fd: SharedFd,
    buf: B,
    part: Range<usize>,
}

impl<B: IoBufMut> Recv<B> {
    /// Receives into a part of the buffer's memory, whose first bytes are initialised.
    pub(crate) fn new(fd: SharedFd, buf: B, part: Range<usize>) -> Self {
        Recv { fd, buf, part }
    }

    fn room(&mut self) -> (*mut u8, usize) {
        let (begin, room) = buf::room(&mut self.buf, self.part.clone());
        (begin, room.min(TRANSFER_MAX))
    }
}

// SAFETY: the pointer leads to the buffer's memory, which `IoBufMut` keeps in place.
unsafe impl<B: IoBufMut> Call for Recv<B> {
    fn waits(&self) -> Waits<'_> {
        Waits::Readable { fd: &self.fd, held: Held::ByFlag }
    }

    fn call(&mut self) -> SysCall {
        let (begin, room) = self.room();
        recvfrom(&self.fd, begin, room)
    }
}

// SAFETY: as above.
unsafe impl<B: IoBufMut> Operation for Recv<B> {
    type Output = BufResult<usize, B>;

    fn encode(&mut self) -> Option<squeue::Entry> {
        let (begin, room) = self.room();
        Some(opcode::Recv::new(self.fd.target(), begin, room as u32).build())
    }

    fn decode(mut self, outcome: io::Result<u32>) -> Self::Output {
        match outcome {
            Ok(count) => {
                // SAFETY: the kernel has written so many bytes behind those that are initialised.
                unsafe { self.buf.set_len(self.part.start + count as usize) };
                Ok((count as usize, self.buf))
            }
            Err(error) => Err(BufError::new(error, self.buf)),
        }
    }
}

#[inline(always)]
fn recvfrom(fd: &SharedFd, begin: *mut u8, room: usize) -> SysCall {
    let flags = libc::MSG_DONTWAIT as usize;
    SysCall::new(libc::SYS_recvfrom, [fd.argument(), begin as usize, room, flags])
}

/// A receive of what is there, into memory that is borrowed.
struct Now<'a> {
    fd: &'a SharedFd,
    begin: *mut u8,
    room: usize,
    cut_by: CutBy,
    /// Of a Unix stream.
    message: Option<(libc::msghdr, iovec)>,
}

/// Receives into the buffer that was used last, and says whether nothing is left. `None` if nothing
/// was there.
#[inline(always)]
pub(crate) fn lent(driver: &Driver, fd: &SharedFd) -> Option<io::Result<(RecvBuf, bool)>> {
    let lent = driver.memory.lent();
    let mut buffer = lent.take();
    let mut recv = Now::new(driver, fd, buffer.as_mut_ptr().cast(), buffer.len());
    match driver.ready().attempt(&mut recv) {
        Some(Ok(count)) if count > 0 => {
            let drained = recv.has_drained(count);
            // SAFETY: the kernel has written so many bytes from the beginning on.
            Some(Ok((unsafe { lent.lend(buffer, count as usize) }, drained)))
        }
        ended => {
            lent.put_back(buffer);
            ended.map(|ended| ended.map(|_| (RecvBuf::empty(), false)))
        }
    }
}

/// Receives into a part of a buffer, whose first bytes are initialised, sets its length, and says
/// whether nothing is left. `None` if nothing was there.
#[inline(always)]
pub(crate) fn into<B: IoBufMut>(
    driver: &Driver,
    fd: &SharedFd,
    buf: &mut B,
    part: Range<usize>,
) -> Option<io::Result<(usize, bool)>> {
    let done = part.start;
    let (begin, room) = buf::room(buf, part);
    let mut recv = Now::new(driver, fd, begin, room.min(TRANSFER_MAX));
    let received = driver.ready().attempt(&mut recv)?;
    Some(received.map(|count| {
        // SAFETY: the kernel has written so many bytes behind those that are initialised.
        unsafe { buf.set_len(done + count as usize) };
        (count as usize, recv.has_drained(count))
    }))
}

impl<'a> Now<'a> {
    #[inline(always)]
    fn new(driver: &Driver, fd: &'a SharedFd, begin: *mut u8, room: usize) -> Self {
        Now { fd, begin, room, cut_by: driver.ready().cut_by(fd), message: None }
    }

    /// Whether so many bytes were all that was there: there was room for more, and nothing can have
    /// cut them off.
    #[inline(always)]
    fn has_drained(&self, count: u32) -> bool {
        let cut = match self.cut_by {
            CutBy::Mark => false,
            // A header without room for control data: the kernel says if there was some.
            CutBy::MarkOrControl => {
                self.message.is_none_or(|(header, _)| header.msg_flags & libc::MSG_CTRUNC != 0)
            }
            CutBy::Anything => true,
        };
        count > 0 && (count as usize) < self.room && !cut
    }
}

// SAFETY: both functions above lend memory of their own for the length of the call, and what is
// pointed at beside it is in the call itself, which is made at once.
unsafe impl Call for Now<'_> {
    #[inline(always)]
    fn waits(&self) -> Waits<'_> {
        Waits::Readable { fd: self.fd, held: Held::ByFlag }
    }

    #[inline(always)]
    fn call(&mut self) -> SysCall {
        if self.cut_by != CutBy::MarkOrControl {
            return recvfrom(self.fd, self.begin, self.room);
        }
        let (header, list) = self.message.insert((no_header(), NOTHING));
        *list = iovec { iov_base: self.begin.cast(), iov_len: self.room };
        (header.msg_iov, header.msg_iovlen) = (list, 1);
        let (header, flags) = ((&raw mut *header) as usize, libc::MSG_DONTWAIT as usize);
        SysCall::new(libc::SYS_recvmsg, [self.fd.argument(), header, flags])
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;
    use std::task::{Context, Poll};
    use std::time::Duration;

    use super::*;
    use crate::driver::{ReadableWait, single, submit, within};
    use crate::op::test_sockets::{drop_in_flight, ends, nothing_is_in_flight, pair};
    use crate::task::yield_now;
    use crate::util::budget;
    use crate::util::test_waker::Poller;

    #[corering::test]
    async fn bytes_fill_the_buffer_from_its_beginning() -> io::Result<()> {
        let (fd, mut peer) = pair();
        peer.write_all(b"hello")?;
        let (count, buf) = submit(Recv::new(fd, b"0123456789".to_vec(), WHOLE)).await?;
        assert_eq!((count, &*buf), (5, &b"hello"[..]));
        Ok(())
    }

    #[corering::test]
    async fn no_more_comes_than_there_is_room_for() -> io::Result<()> {
        let (fd, mut peer) = pair();
        peer.write_all(b"hello")?;
        let (_, buf) = submit(Recv::new(fd.clone(), vec![0; 3].into_boxed_slice(), WHOLE)).await?;
        assert_eq!(*buf, *b"hel");
        let (_, buf) = submit(Recv::new(fd, Vec::with_capacity(8), WHOLE)).await?;
        assert_eq!(buf, b"lo");
        Ok(())
    }

    #[corering::test]
    async fn end_of_the_stream_is_zero_bytes() -> io::Result<()> {
        let (fd, peer) = pair();
        drop(peer);
        let (count, buf) = submit(Recv::new(fd, Vec::with_capacity(8), WHOLE)).await?;
        assert_eq!((count, buf.len()), (0, 0));
        Ok(())
    }

    #[corering::test]
    async fn error_gives_the_buffer_back() -> io::Result<()> {
        let (reader, _writer) = io::pipe()?;
        let fd = SharedFd::from(OwnedFd::from(reader));
        let failed =
            submit(Recv::new(fd, b"mine".to_vec(), WHOLE)).await.expect_err("not a socket");
        let (error, buf) = failed.into_parts();
        assert_eq!(error.raw_os_error(), Some(libc::ENOTSOCK));
        assert_eq!(buf, b"mine");
        Ok(())
    }

    #[corering::test]
    async fn dropped_in_flight_it_closes_the_descriptor_and_frees_its_slot() {
        let (fd, peer) = pair();
        drop_in_flight(submit(Recv::new(fd, Vec::with_capacity(64), WHOLE))).await;
        nothing_is_in_flight().await;
        assert!(ends(&peer));
    }

    #[corering::test]
    async fn time_limit_gives_the_buffer_back() {
        let (fd, _peer) = pair();
        let recv = within(Duration::from_millis(1), single(Recv::new(fd, b"mine".to_vec(), WHOLE)));
        let (error, buf) = recv.await.expect_err("nothing was sent").into_parts();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(buf, b"mine");
        nothing_is_in_flight().await;
    }

    #[corering::test]
    async fn what_is_there_wins_against_a_time_limit_of_zero() -> io::Result<()> {
        let (fd, mut peer) = pair();
        peer.write_all(b"first")?;
        let recv = within(Duration::ZERO, single(Recv::new(fd, Vec::with_capacity(8), WHOLE)));
        assert_eq!(recv.await?.1, b"first");
        Ok(())
    }

    /// The part of a buffer that is all of it.
    const WHOLE: Range<usize> = 0..usize::MAX;

    fn own_pair() -> io::Result<(SharedFd, UnixStream)> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        Ok((SharedFd::opened(OwnedFd::from(ours), true, CutBy::MarkOrControl), theirs))
    }

    /// Polls for bytes, with so much of a budget: all, or nothing.
    fn poll(
        wait: &mut ReadableWait,
        fd: &SharedFd,
        poller: &Poller,
        pays: bool,
    ) -> Poll<io::Result<RecvBuf>> {
        budget::begin_poll();
        if !pays {
            budget::exhaust();
        }
        let polled =
            wait.poll(fd, &mut Context::from_waker(poller.waker()), |driver| lent(driver, fd));
        budget::begin_poll();
        polled
    }

    #[corering::test]
    async fn refused_receive_keeps_word_and_wakes() -> io::Result<()> {
        let (fd, mut peer) = own_pair()?;
        let (mut wait, poller) = (ReadableWait::default(), Poller::new());
        for (round, byte) in (b'a'..=b'y').enumerate() {
            // The socket is drained, and the wait may have begun or not.
            if round % 3 == 0 {
                assert!(poll(&mut wait, &fd, &poller, true).is_pending());
            }
            peer.write_all(&[byte])?;
            // The kernel tells of the byte, if it was asked.
            for _ in 0..round % 4 {
                yield_now().await;
            }
            let mut wakes = poller.wakes();
            let received = loop {
                match poll(&mut wait, &fd, &poller, round % 2 == 0) {
                    Poll::Ready(received) => break received?,
                    Poll::Pending => {
                        // Refused, or about to wait: it is woken either way.
                        while poller.wakes() == wakes {
                            yield_now().await;
                        }
                        wakes = poller.wakes();
                    }
                }
            };
            assert_eq!(&*received, [byte]);
        }
        drop(wait);
        assert_eq!(poller.kept(), 0);
        Ok(())
    }
}
