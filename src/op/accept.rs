//! `accept4(2)`: take one connection off a listener.
//!
//! `IORING_OP_ACCEPT`, kernel 5.5.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::ptr;

use io_uring::{opcode, squeue};

use crate::driver::{Operation, Readiness, SharedFd};
use crate::sys::call::SysCall;

pub(crate) struct Accept {
    listener: SharedFd,
}

impl Accept {
    pub(crate) fn new(listener: SharedFd) -> Self {
        Accept { listener }
    }
}

// SAFETY: no pointer is passed.
unsafe impl Operation for Accept {
    /// The connection; its `O_NONBLOCK` is as the driver wants it.
    type Output = io::Result<OwnedFd>;

    fn encode(&mut self) -> squeue::Entry {
        opcode::Accept::new(self.listener.target(), ptr::null_mut(), ptr::null_mut())
            .flags(libc::SOCK_CLOEXEC)
            .build()
    }

    fn waits_for(&self) -> Readiness<'_> {
        Readiness::Readable(&self.listener)
    }

    fn attempt(&mut self) -> SysCall {
        let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        SysCall::new(libc::SYS_accept4, [self.listener.argument(), 0, 0, flags as usize])
    }

    fn decode(self, outcome: io::Result<u32>) -> Self::Output {
        // SAFETY: the kernel has just opened this descriptor for us, and nobody else knows it.
        outcome.map(|fd| unsafe { OwnedFd::from_raw_fd(fd as i32) })
    }
}
