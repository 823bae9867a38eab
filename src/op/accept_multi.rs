//! `accept4(2)` again and again: every connection that comes to a listener.
//!
//! `IORING_OP_ACCEPT` with `IORING_ACCEPT_MULTISHOT`, kernel 5.19; see
//! `io_uring_prep_multishot_accept(3)`.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use io_uring::{opcode, squeue};

use crate::driver::{Multishot, SharedFd};
use crate::sys::ring::Cqe;

pub(crate) struct AcceptMulti {
    listener: SharedFd,
    queued_max: u32,
}

impl AcceptMulti {
    pub(crate) fn new(listener: SharedFd, queued_max: u32) -> Self {
        AcceptMulti { listener, queued_max }
    }
}

// SAFETY: no pointer is passed.
unsafe impl Multishot for AcceptMulti {
    type Item = io::Result<OwnedFd>;

    fn encode(&mut self) -> squeue::Entry {
        opcode::AcceptMulti::new(self.listener.target()).flags(libc::SOCK_CLOEXEC).build()
    }

    fn decode(&mut self, cqe: Cqe) -> Self::Item {
        // SAFETY: the kernel has just opened this descriptor for us, and nobody else knows it.
        cqe.outcome().map(|fd| unsafe { OwnedFd::from_raw_fd(fd as i32) })
    }

    fn queued_max(&self) -> u32 {
        self.queued_max
    }
}
