//! `poll(2)`: wait until a descriptor is ready, for libraries that do their own I/O.
//!
//! `IORING_OP_POLL_ADD`, kernel 5.1. Without a ring the call asks without waiting, and again when
//! epoll reports the descriptor.

use std::io;

use io_uring::{opcode, squeue};

use crate::driver::{Operand, Operation, Readiness, SharedFd};
use crate::sys::call::SysCall;

pub(crate) struct PollAdd {
    fd: SharedFd,
    /// What the plain call writes its answer to.
    asked: Operand<libc::pollfd>,
}

impl PollAdd {
    /// Until a read would not block.
    pub(crate) fn readable(fd: SharedFd) -> Self {
        PollAdd::new(fd, libc::POLLIN | libc::POLLRDHUP)
    }

    /// Until a write would not block.
    pub(crate) fn writable(fd: SharedFd) -> Self {
        PollAdd::new(fd, libc::POLLOUT)
    }

    fn new(fd: SharedFd, events: i16) -> Self {
        let asked = Operand::new(libc::pollfd { fd: fd.raw(), events, revents: 0 });
        PollAdd { fd, asked }
    }
}

// SAFETY: the answer goes to an operand block, which does not move.
unsafe impl Operation for PollAdd {
    type Output = io::Result<()>;

    fn encode(&mut self) -> squeue::Entry {
        opcode::PollAdd::new(self.fd.target(), self.asked.events as u16 as u32).build()
    }

    fn waits_for(&self) -> Readiness<'_> {
        if self.asked.events & libc::POLLOUT != 0 {
            Readiness::Writable(&self.fd)
        } else {
            Readiness::Readable(&self.fd)
        }
    }

    fn attempt(&mut self) -> SysCall {
        SysCall::new(libc::SYS_poll, [self.asked.as_mut_ptr() as usize, 1, 0])
    }

    fn zero_would_block(&self) -> bool {
        true
    }

    fn decode(self, outcome: io::Result<u32>) -> Self::Output {
        outcome.map(drop)
    }
}
