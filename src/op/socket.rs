//! `socket(2)`: open a socket.
//!
//! `IORING_OP_SOCKET`, kernel 5.19; before, and without a ring, a plain call, which never blocks.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use io_uring::{opcode, squeue};
use socket2::{Domain, Protocol, Type};

use crate::driver::{Operation, Readiness, SharedFd};
use crate::sys::call::SysCall;

pub(crate) struct Socket {
    domain: Domain,
    kind: Type,
    protocol: Option<Protocol>,
    /// Not on a ring, which waits itself.
    nonblocking: bool,
}

impl Socket {
    pub(crate) fn new(
        domain: Domain,
        kind: Type,
        protocol: Option<Protocol>,
        nonblocking: bool,
    ) -> Self {
        Socket { domain, kind, protocol, nonblocking }
    }

    fn kind(&self) -> i32 {
        let nonblocking = if self.nonblocking { libc::SOCK_NONBLOCK } else { 0 };
        i32::from(self.kind) | libc::SOCK_CLOEXEC | nonblocking
    }

    fn protocol(&self) -> i32 {
        self.protocol.map_or(0, i32::from)
    }
}

// SAFETY: no pointer is passed.
unsafe impl Operation for Socket {
    type Output = io::Result<SharedFd>;

    fn encode(&mut self) -> squeue::Entry {
        opcode::Socket::new(self.domain.into(), self.kind(), self.protocol()).build()
    }

    fn waits_for(&self) -> Readiness<'_> {
        Readiness::Nothing
    }

    fn attempt(&mut self) -> SysCall {
        SysCall::new(
            libc::SYS_socket,
            [i32::from(self.domain) as usize, self.kind() as usize, self.protocol() as usize],
        )
    }

    fn decode(self, outcome: io::Result<u32>) -> Self::Output {
        // SAFETY: the kernel has just opened this descriptor for us, and nobody else knows it.
        let fd = outcome.map(|fd| unsafe { OwnedFd::from_raw_fd(fd as i32) })?;
        Ok(SharedFd::opened(fd, self.nonblocking))
    }
}
