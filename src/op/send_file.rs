//! `sendfile(2)`: send a part of a file on a connection, without a copy through this process.
//!
//! A ring has no such operation: `net/send_file.rs` says what is done there.

use std::io;

use io_uring::squeue;

use crate::driver::{Operand, Operation, Readiness, SharedFd};
use crate::sys::call::SysCall;

pub(crate) struct SendFile {
    socket: SharedFd,
    file: SharedFd,
    /// Where the call reads from; it moves this on by what it has sent.
    offset: Operand<u64>,
    len: usize,
}

impl SendFile {
    pub(crate) fn new(socket: SharedFd, file: SharedFd, offset: u64, len: usize) -> Self {
        SendFile { socket, file, offset: Operand::new(offset), len }
    }
}

// SAFETY: the offset is in an operand block, which does not move.
unsafe impl Operation for SendFile {
    type Output = io::Result<u32>;

    fn encode(&mut self) -> squeue::Entry {
        unreachable!("net/send_file.rs makes this operation only without a ring")
    }

    fn waits_for(&self) -> Readiness<'_> {
        Readiness::Writable(&self.socket)
    }

    fn attempt(&mut self) -> SysCall {
        let offset = self.offset.as_mut_ptr() as usize;
        let (socket, file) = (self.socket.argument(), self.file.argument());
        SysCall::new(libc::SYS_sendfile, [socket, file, offset, self.len]).that_may_break_pipe()
    }

    fn decode(self, outcome: io::Result<u32>) -> Self::Output {
        outcome
    }
}
