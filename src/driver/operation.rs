//! What an operation is: one file of `op/` implements one of these traits, for all drivers.

use std::io;

use io_uring::squeue;

use super::SharedFd;
use crate::sys::call::SysCall;
use crate::sys::ring::Cqe;

/// A system call, described: the call in plain numbers, and what it waits for.
///
/// # Safety
///
/// The kernel trusts the pointers of `call`. They must stay valid, and what they point at must not
/// be touched, until the call has been made. That is at once, unless [`Waits::Disk`] says that a
/// thread of the pool makes it: then they are to be as those of [`Operation::encode`].
pub(crate) unsafe trait Call {
    /// What the call waits for. Asked before it is made, and again afterwards.
    fn waits(&self) -> Waits<'_>;

    /// The call, which does not wait if `waits` names a descriptor. Asked for again for each
    /// attempt.
    fn call(&mut self) -> SysCall;
}

/// One system call that may take its time, with the buffer and the descriptor that it uses.
///
/// The life of one: built by a method of `net` or `fs`; `encode` and a submission queue entry on a
/// ring, or [`call`](Call::call) and a plain system call elsewhere; `decode` exactly once, also when
/// the future was dropped in flight, so that a descriptor that was opened, or an accepted connection,
/// is closed and not lost.
///
/// # Safety
///
/// The kernel trusts the pointers of `encode`. They must stay valid, and what they point at must not
/// be touched, until `decode` is called or the operation is leaked, wherever the value itself is
/// moved meanwhile: they point at the heap or at static memory, never into the operation. The
/// descriptor stays open as long as the operation lives, since it holds a [`SharedFd`] (or none is
/// needed).
pub(crate) unsafe trait Operation: Call + Unpin + 'static {
    /// What the future resolves to.
    type Output: 'static;

    /// The entry for a ring, whose `user_data` is set by the driver. `None` if a ring makes the plain
    /// call, too: the kernel has no such operation, or what it does is dearer, or takes something
    /// away that an operation which was given up must leave.
    fn encode(&mut self) -> Option<squeue::Entry>;

    /// Makes the call as far as memory answers it, without waiting for anything: the result as of a
    /// [`SysCall`], or `None` if it does not. Asked where [`Disk`] says so, before `encode` and `call`.
    fn ask_memory(&mut self) -> Option<i32> {
        None
    }

    /// The output, from the count or descriptor that the call returned, or from its error.
    fn decode(self, outcome: io::Result<u32>) -> Self::Output;

    /// The signal that comes with an error of the operation. A ring raises it on the shard's thread
    /// while that visits the kernel.
    fn raises(&self) -> Option<Raises> {
        None
    }
}

/// An operation of a ring that posts completion after completion until it ends.
///
/// # Safety
///
/// As for [`Operation`].
pub(crate) unsafe trait Multishot: Unpin + 'static {
    /// What each completion brings.
    type Item: 'static;

    /// The entry; encoded anew each time the operation is armed.
    fn encode(&mut self) -> squeue::Entry;

    /// The item of one completion. Called for every completion, also after the handle was dropped.
    fn decode(&mut self, cqe: Cqe) -> Self::Item;

    /// With so many items not yet taken the operation is cancelled, and armed again when half of
    /// them have been.
    fn queued_max(&self) -> u32;
}

/// What a call waits for.
pub(crate) enum Waits<'a> {
    /// Nothing: the call never blocks.
    Nothing,
    /// The descriptor to become readable.
    Readable {
        /// Which.
        fd: &'a SharedFd,
        /// What keeps the call from waiting.
        held: Held,
    },
    /// The descriptor to have room.
    Writable {
        /// Which.
        fd: &'a SharedFd,
        /// What keeps the call from waiting.
        held: Held,
        /// A ring makes the plain call first, and takes the entry if that would wait.
        tries_first: bool,
    },
    /// The call asks whether the descriptor is ready; 0 says that it is not.
    Polled {
        /// Which.
        fd: &'a SharedFd,
        /// For what.
        direction: Direction,
    },
    /// A disk or a name server: the call blocks, on a thread of the pool if no ring carries it.
    Disk(Disk),
}

/// What keeps a plain call from waiting for its descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// A flag of the call, as `MSG_DONTWAIT`. The mode of the file stays as it is, which may be
    /// somebody else's, too.
    ByFlag,
    /// The mode of the file, `O_NONBLOCK`: the call has no flag for it.
    ByMode,
    /// Either: a stream that is read or written as a file is. See [`SharedFd::calls_by_flag`].
    AsStream,
}

/// What is known of a call that goes to a disk.
pub(crate) enum Disk {
    /// It may have to wait.
    Waits,
    /// Memory may have the answer ([`Operation::ask_memory`]), and is asked before a thread of the pool
    /// is. A ring's kernel asks by itself.
    Cached,
    /// As before, but a ring's kernel does not ask, and hands the operation to a thread of its own: memory
    /// is asked before a ring is, too.
    CachedUnasked,
    /// It goes past the page cache. A device begins with it as soon as the kernel has it, so on a
    /// ring it should not wait until all tasks of the round have run: the device may have nothing
    /// to do meanwhile.
    Direct,
}

/// A signal that comes with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Raises {
    /// SIGPIPE: nobody reads the stream.
    BrokenPipe,
    /// SIGXFSZ: the process may not have so large a file. Of what was opened by its path a ring does
    /// not know whether it is a pipe, so it may be SIGPIPE, too.
    LargeFile,
}

/// A direction of readiness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Data, a connection or the end of the stream is there.
    Read,
    /// There is room to send.
    Write,
}

impl<'a> Waits<'a> {
    /// The descriptor that is waited for, and for what.
    #[inline(always)]
    pub(super) fn descriptor(&self) -> Option<(&'a SharedFd, Direction)> {
        match self {
            Waits::Nothing | Waits::Disk(_) => None,
            Waits::Readable { fd, .. } => Some((fd, Direction::Read)),
            Waits::Writable { fd, .. } => Some((fd, Direction::Write)),
            Waits::Polled { fd, direction } => Some((fd, *direction)),
        }
    }

    /// What keeps the call from waiting.
    #[inline(always)]
    pub(super) fn held(&self) -> Held {
        match self {
            Waits::Readable { held, .. } | Waits::Writable { held, .. } => *held,
            Waits::Nothing | Waits::Polled { .. } | Waits::Disk(_) => Held::ByFlag,
        }
    }

    /// Whether an answer says that what is waited for is not there.
    #[inline(always)]
    pub(super) fn refused(&self, result: i32) -> bool {
        match self {
            Waits::Polled { .. } if result == 0 => true,
            _ => matches!(-result, libc::EAGAIN | libc::EINPROGRESS | libc::EALREADY),
        }
    }
}
