//! What an operation is: one file of `op/` implements one of these traits, for all drivers.

use std::io;

use io_uring::squeue;

use super::SharedFd;
use crate::sys::call::SysCall;
use crate::sys::ring::Cqe;

/// One system call that may take its time, with the buffer and the descriptor that it uses.
///
/// The life of one: built by a method of `net` or `fs`; `encode` and a submission queue entry on a
/// ring, or `attempt` and a plain system call elsewhere; `decode` exactly once, also when the
/// future was dropped in flight, so that a descriptor that was opened, or an accepted connection,
/// is closed and not lost.
///
/// # Safety
///
/// The kernel trusts the pointers of `encode` and of `attempt`. They must stay valid, and what
/// they point at must not be touched, from the call of either until `decode` is called or the
/// operation is leaked, wherever the value itself is moved meanwhile: they point at the heap or at
/// static memory, never into the operation. The descriptor stays open as long as the operation
/// lives, since it holds a [`SharedFd`] (or none is needed).
pub(crate) unsafe trait Operation: Unpin + 'static {
    /// What the future resolves to.
    type Output: 'static;

    /// The entry for a ring. Its `user_data` is set by the driver.
    fn encode(&mut self) -> squeue::Entry;

    /// What the call waits for where there is no ring.
    fn waits_for(&self) -> Readiness<'_>;

    /// The same operation as a plain system call, which does not block if `waits_for` names a
    /// descriptor (`MSG_DONTWAIT`, or `O_NONBLOCK`). Called again after each readiness.
    fn attempt(&mut self) -> SysCall;

    /// The output, from the count or descriptor that the call returned, or from its error.
    fn decode(self, outcome: io::Result<u32>) -> Self::Output;

    /// Whether a count of the last attempt says that the descriptor is drained: there was room for
    /// more, and nothing can have cut it.
    fn has_drained(&self, _count: usize) -> bool {
        false
    }

    /// Whether a count of 0 says that the descriptor is not ready, as `poll(2)` does.
    fn zero_would_block(&self) -> bool {
        false
    }

    /// Whether nothing but the descriptor's `O_NONBLOCK` keeps the plain call from waiting. The mode
    /// may be somebody else's, too: where the call has a flag for it, the mode stays as it is.
    fn needs_nonblocking(&self) -> bool {
        true
    }

    /// The stream that is read or written as a file is, so that the mode of its file may decide
    /// whether it waits: see [`SharedFd::calls_by_flag`].
    fn stream(&self) -> Option<&SharedFd> {
        None
    }

    /// The count that the call would return, if that can be had at once without waiting for a disk:
    /// asked on the shard before the call goes to the pool.
    fn cached_count(&mut self) -> Option<u32> {
        None
    }

    /// Whether a device begins with it as soon as the kernel has it: on a ring it should not wait
    /// until all tasks of the round have run, for the device may have nothing to do meanwhile.
    fn is_for_device(&self) -> bool {
        false
    }

    /// The signal that comes with an error of the operation. A ring raises it on the shard's thread
    /// while that visits the kernel.
    fn raises(&self) -> Option<Raises> {
        None
    }

    /// Whether a ring, too, waits for readiness and then makes the plain call, as epoll does: for what
    /// takes something away, which an operation that was given up would take as well, until the
    /// kernel is told.
    fn by_readiness(&self) -> bool {
        false
    }

    /// Whether a ring tries the plain call first and takes the operation only if it would block:
    /// for calls that the ring would hand to a worker thread though they never block.
    fn tries_first(&self) -> bool {
        false
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

/// What an operation waits for where there is no ring.
pub(crate) enum Readiness<'a> {
    /// Nothing: the call never blocks.
    Nothing,
    /// The descriptor to become readable.
    Readable(&'a SharedFd),
    /// The descriptor to become writable.
    Writable(&'a SharedFd),
    /// A disk or a name server: the call blocks, on a thread of the pool.
    Blocking,
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
