//! `recv(2)` again and again: the kernel fills a buffer of the shard's group whenever data is there.
//!
//! `IORING_OP_RECV` with `IORING_RECV_MULTISHOT`, kernel 6.0, and a ring of provided buffers,
//! kernel 5.19; see `io_uring_prep_recv_multishot(3)`.

use std::io;
use std::rc::Rc;

use io_uring::{opcode, squeue};

use crate::buf::{BufferGroup, RecvBuf};
use crate::driver::{Multishot, SharedFd};
use crate::sys::ring::Cqe;

pub(crate) struct RecvMulti {
    fd: SharedFd,
    group: Rc<BufferGroup>,
    queued_max: u32,
}

impl RecvMulti {
    /// The group is the driver's, which the kernel knows as number 0.
    pub(crate) fn new(fd: SharedFd, group: Rc<BufferGroup>, queued_max: u32) -> Self {
        RecvMulti { fd, group, queued_max }
    }
}

// SAFETY: the entry points at nothing; the group's memory outlives the ring's use of it.
unsafe impl Multishot for RecvMulti {
    type Item = io::Result<RecvBuf>;

    fn encode(&mut self) -> squeue::Entry {
        opcode::RecvMulti::new(self.fd.target(), 0).build()
    }

    fn decode(&mut self, cqe: Cqe) -> Self::Item {
        // An error may carry a buffer, too; it goes back to the group as this one is dropped.
        let received = cqe.buffer_id().map(|id| {
            RecvBuf::from_group(self.group.clone(), id, u32::try_from(cqe.result).unwrap_or(0))
        });
        let count = cqe.outcome()?;
        debug_assert!(count == 0 || received.is_some(), "bytes come in a buffer");
        Ok(received.unwrap_or_else(RecvBuf::empty))
    }

    fn queued_max(&self) -> u32 {
        self.queued_max
    }
}
