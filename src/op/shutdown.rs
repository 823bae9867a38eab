//! `shutdown(2)`: end one or both directions of a connection.
//!
//! `IORING_OP_SHUTDOWN`, kernel 5.11; a plain call, which never blocks, without a ring.

use std::io;

use io_uring::{opcode, squeue};

use crate::driver::{Operation, Readiness, SharedFd};
use crate::sys::call::SysCall;

pub(crate) struct Shutdown {
    fd: SharedFd,
    how: i32,
}

impl Shutdown {
    pub(crate) fn new(fd: SharedFd, how: std::net::Shutdown) -> Self {
        let how = match how {
            std::net::Shutdown::Read => libc::SHUT_RD,
            std::net::Shutdown::Write => libc::SHUT_WR,
            std::net::Shutdown::Both => libc::SHUT_RDWR,
        };
        Shutdown { fd, how }
    }
}

// SAFETY: no pointer is passed.
unsafe impl Operation for Shutdown {
    type Output = io::Result<()>;

    fn encode(&mut self) -> squeue::Entry {
        opcode::Shutdown::new(self.fd.target(), self.how).build()
    }

    fn waits_for(&self) -> Readiness<'_> {
        Readiness::Nothing
    }

    fn attempt(&mut self) -> SysCall {
        SysCall::new(libc::SYS_shutdown, [self.fd.argument(), self.how as usize])
    }

    fn decode(self, outcome: io::Result<u32>) -> Self::Output {
        outcome.map(drop)
    }
}
