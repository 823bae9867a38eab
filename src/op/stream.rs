//! `read(2)` and `write(2)` of a stream that is not taken for a socket: a pipe, a terminal, or whatever
//! was inherited.
//!
//! Plain calls alone, made when the stream is ready: `preadv2(2)` and `pwritev2(2)` with `RWF_NOWAIT`,
//! which leave the mode of the open file as it is, or `readv(2)` and `writev(2)` where the mode is ours.

use std::io::{self, IoSlice};
use std::ops::Range;

use libc::iovec;

use super::position::{TRANSFER_MAX, without_waiting};
use crate::buf::{self, IoBufMut, RecvBuf};
use crate::driver::{Call, Driver, Held, SharedFd, Waits};
use crate::sys::call::SysCall;

/// The kernel takes so many parts in one call (`UIO_MAXIOV`).
const PIECES_MAX: usize = 1024;

/// Reads into the buffer that was used last, and says that more may be there. `None` if nothing was.
pub(crate) fn read_lent(driver: &Driver, fd: &SharedFd) -> Option<io::Result<(RecvBuf, bool)>> {
    let lent = driver.memory.lent();
    let mut buffer = lent.take();
    let mut read = Read::new(fd, buffer.as_mut_ptr().cast(), buffer.len());
    match driver.ready().attempt(&mut read) {
        Some(Ok(count)) if count > 0 => {
            // SAFETY: the kernel has written so many bytes from the beginning on.
            Some(Ok((unsafe { lent.lend(buffer, count as usize) }, false)))
        }
        ended => {
            lent.put_back(buffer);
            ended.map(|ended| ended.map(|_| (RecvBuf::empty(), false)))
        }
    }
}

/// Reads into a part of a buffer, whose first bytes are initialised, sets its length, and says that more
/// may be there. `None` if nothing was.
pub(crate) fn read_into<B: IoBufMut>(
    driver: &Driver,
    fd: &SharedFd,
    buf: &mut B,
    part: Range<usize>,
) -> Option<io::Result<(usize, bool)>> {
    let done = part.start;
    let (begin, room) = buf::room(buf, part);
    let read = driver.ready().attempt(&mut Read::new(fd, begin, room.min(TRANSFER_MAX)))?;
    Some(read.map(|count| {
        // SAFETY: the kernel has written so many bytes behind those that are initialised.
        unsafe { buf.set_len(done + count as usize) };
        (count as usize, false)
    }))
}

/// Writes bytes of several pieces. `None` if there was no room.
pub(crate) fn write(
    driver: &Driver,
    fd: &SharedFd,
    pieces: &[IoSlice<'_>],
) -> Option<io::Result<u32>> {
    let pieces = &pieces[..pieces.len().min(PIECES_MAX)];
    driver.now(&mut Write { fd, pieces })
}

struct Read<'a> {
    fd: &'a SharedFd,
    part: iovec,
}

impl<'a> Read<'a> {
    fn new(fd: &'a SharedFd, begin: *mut u8, room: usize) -> Self {
        Read { fd, part: iovec { iov_base: begin.cast(), iov_len: room } }
    }
}

// SAFETY: both functions above lend memory of their own for the length of the call, and the list is in
// the call itself, which is made at once.
unsafe impl Call for Read<'_> {
    fn waits(&self) -> Waits<'_> {
        Waits::Readable { fd: self.fd, held: Held::AsStream }
    }

    fn call(&mut self) -> SysCall {
        let list = &raw mut self.part;
        match self.fd.calls_by_flag() {
            true => without_waiting(libc::SYS_preadv2, self.fd, list, 1),
            false => SysCall::new(libc::SYS_readv, [self.fd.stream_argument(), list as usize, 1]),
        }
    }
}

struct Write<'a> {
    fd: &'a SharedFd,
    pieces: &'a [IoSlice<'a>],
}

// SAFETY: the pieces are borrowed.
unsafe impl Call for Write<'_> {
    fn waits(&self) -> Waits<'_> {
        Waits::Writable { fd: self.fd, held: Held::AsStream, tries_first: false }
    }

    fn call(&mut self) -> SysCall {
        // An `IoSlice` is laid out as an `iovec`, and the kernel only reads.
        let (list, count) = (self.pieces.as_ptr().cast_mut().cast(), self.pieces.len());
        let call = match self.fd.calls_by_flag() {
            true => without_waiting(libc::SYS_pwritev2, self.fd, list, count),
            false => {
                SysCall::new(libc::SYS_writev, [self.fd.stream_argument(), list as usize, count])
            }
        };
        call.that_may_break_pipe()
    }
}
