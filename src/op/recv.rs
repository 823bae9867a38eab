//! `recv(2)`: receive what a connected socket has, into memory of the caller's.
//!
//! A plain call, made when the socket is readable. A Unix stream is received from by `recvmsg(2)`,
//! which reports descriptors and credentials that came with the bytes and ended the receive early.

use std::io;

use libc::iovec;

use super::iovecs::NOTHING;
use super::position::TRANSFER_MAX;
use super::recvmsg::no_header;
use crate::buf::{IoBufMut, RecvBuf};
use crate::driver::{Call, CutBy, Driver, Held, SharedFd, Waits};
use crate::sys::call::SysCall;

struct Recv<'a> {
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
    let mut recv = Recv::new(driver, fd, buffer.as_mut_ptr().cast(), buffer.len());
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

/// Receives into a buffer from its beginning on, sets its length, and says whether nothing is left.
/// `None` if nothing was there.
#[inline(always)]
pub(crate) fn into<B: IoBufMut>(
    driver: &Driver,
    fd: &SharedFd,
    buf: &mut B,
) -> Option<io::Result<(usize, bool)>> {
    let (begin, room) = (buf.bytes_mut_ptr(), buf.capacity().min(TRANSFER_MAX));
    let mut recv = Recv::new(driver, fd, begin, room);
    let received = driver.ready().attempt(&mut recv)?;
    Some(received.map(|count| {
        // SAFETY: the kernel has written so many bytes from the beginning on.
        unsafe { buf.set_len(count as usize) };
        (count as usize, recv.has_drained(count))
    }))
}

impl<'a> Recv<'a> {
    #[inline(always)]
    fn new(driver: &Driver, fd: &'a SharedFd, begin: *mut u8, room: usize) -> Self {
        Recv { fd, begin, room, cut_by: driver.ready().cut_by(fd), message: None }
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
unsafe impl Call for Recv<'_> {
    #[inline(always)]
    fn waits(&self) -> Waits<'_> {
        Waits::Readable { fd: self.fd, held: Held::ByFlag }
    }

    #[inline(always)]
    fn call(&mut self) -> SysCall {
        let (fd, flags) = (self.fd.argument(), libc::MSG_DONTWAIT as usize);
        if self.cut_by != CutBy::MarkOrControl {
            return SysCall::new(libc::SYS_recvfrom, [fd, self.begin as usize, self.room, flags]);
        }
        let (header, list) = self.message.insert((no_header(), NOTHING));
        *list = iovec { iov_base: self.begin.cast(), iov_len: self.room };
        (header.msg_iov, header.msg_iovlen) = (list, 1);
        SysCall::new(libc::SYS_recvmsg, [fd, (&raw mut *header) as usize, flags])
    }
}
