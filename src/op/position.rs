//! Where in a file a call reads or writes.

use crate::driver::{Direction, Disk, Held, Raises, SharedFd, Waits};
use crate::sys::call::SysCall;

/// The place in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    /// So many bytes from the beginning, whatever the file's own position is.
    At(u64),
    /// The file has no positions: a pipe, a terminal, a socket.
    Stream,
    /// The file's own, which its other users move, too. A thread of the pool makes the call on any
    /// driver: a ring does not take the lock that keeps two users from writing at one place.
    Own,
}

/// The kernel moves so many bytes at most in one call (`MAX_RW_COUNT`). A plain call with more is cut;
/// of a ring's entry the length is read with a sign, and a socket refuses what is then below zero.
pub(crate) const TRANSFER_MAX: usize = 0x7fff_f000;

/// A plain call on a stream that takes `RWF_NOWAIT`: `preadv2(2)` or `pwritev2(2)`. The position of
/// all ones stands for the file's own.
pub(crate) fn without_waiting(
    number: libc::c_long,
    stream: &SharedFd,
    list: *mut libc::iovec,
    count: usize,
) -> SysCall {
    let own = usize::MAX;
    let flag = libc::RWF_NOWAIT as usize;
    SysCall::new(number, [stream.argument(), list as usize, count, own, own, flag])
}

/// More than this is copied on the pool without a ring, where it holds nobody up: about 50 µs of
/// copying.
pub(super) const COPY_MAX: usize = 256 * 1024;

/// What is known of the disk of a file of which so many bytes are read or written.
pub(super) fn disk(
    fd: &SharedFd,
    direction: Direction,
    through_cache: bool,
    bytes: impl FnOnce() -> usize,
) -> Disk {
    match through_cache {
        true if fd.asks_memory(direction) && bytes() <= COPY_MAX => Disk::Cached,
        true => Disk::Waits,
        false => Disk::Direct,
    }
}

impl Position {
    /// As an entry of a ring says it. All ones stand for a file's own position: it suits a stream,
    /// and must not be reached by an offset, for which the next lower number is as absurd.
    pub(crate) fn for_ring(self) -> u64 {
        match self {
            Position::At(offset) => offset.min(u64::MAX - 1),
            Position::Stream | Position::Own => u64::MAX,
        }
    }

    /// The signal that a write there may raise.
    pub(crate) fn raises(self) -> Raises {
        match self {
            Position::At(_) | Position::Own => Raises::LargeFile,
            Position::Stream => Raises::BrokenPipe,
        }
    }

    /// What reading there waits for, given what is known of the disk.
    pub(crate) fn to_read(self, fd: &SharedFd, disk: Disk) -> Waits<'_> {
        match self {
            Position::At(_) => Waits::Disk(disk),
            Position::Own => Waits::Disk(Disk::Waits),
            Position::Stream => Waits::Readable { fd, held: Held::AsStream },
        }
    }

    /// What writing there waits for, given what is known of the disk.
    pub(crate) fn to_write(self, fd: &SharedFd, disk: Disk) -> Waits<'_> {
        match self {
            Position::At(_) => Waits::Disk(disk),
            Position::Own => Waits::Disk(Disk::Waits),
            Position::Stream => Waits::Writable { fd, held: Held::AsStream, tries_first: false },
        }
    }
}
