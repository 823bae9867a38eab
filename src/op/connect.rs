//! `connect(2)`: connect a socket to an address.
//!
//! `IORING_OP_CONNECT`, kernel 5.5. Without a ring the call is begun, the socket's becoming
//! writable awaited, and the call made again, which then tells how it went.

use std::io;

use io_uring::{opcode, squeue};
use socket2::SockAddr;

use crate::driver::{Operand, Operation, Readiness, SharedFd};
use crate::sys::call::SysCall;

pub(crate) struct Connect {
    fd: SharedFd,
    address: Operand<SockAddr>,
}

impl Connect {
    pub(crate) fn new(fd: SharedFd, address: SockAddr) -> Self {
        Connect { fd, address: Operand::new(address) }
    }
}

// SAFETY: the address is in an operand block, which does not move.
unsafe impl Operation for Connect {
    type Output = io::Result<()>;

    fn encode(&mut self) -> squeue::Entry {
        opcode::Connect::new(self.fd.target(), self.address.as_ptr().cast(), self.address.len())
            .build()
    }

    fn waits_for(&self) -> Readiness<'_> {
        Readiness::Writable(&self.fd)
    }

    fn attempt(&mut self) -> SysCall {
        SysCall::new(
            libc::SYS_connect,
            [self.fd.argument(), self.address.as_ptr() as usize, self.address.len() as usize],
        )
    }

    fn decode(self, outcome: io::Result<u32>) -> Self::Output {
        outcome.map(drop)
    }
}
