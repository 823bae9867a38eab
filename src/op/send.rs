//! `send(2)`: send bytes on a connected socket.
//!
//! `IORING_OP_SEND`, kernel 5.6. Always with `MSG_NOSIGNAL`: a peer that is gone is an error of
//! this call and not a signal to the process.

use std::io;

use io_uring::{opcode, squeue};

use crate::buf::{BufError, BufResult, IoBuf};
use crate::driver::{Operation, Readiness, SharedFd};
use crate::sys::call::SysCall;

pub(crate) struct Send<B> {
    fd: SharedFd,
    buf: B,
    /// Bytes of the buffer that earlier sends have taken.
    begin: usize,
    flags: i32,
}

impl<B: IoBuf> Send<B> {
    /// Sends what is left of the buffer after its first `begin` bytes.
    pub(crate) fn new(fd: SharedFd, buf: B, begin: usize) -> Self {
        debug_assert!(begin <= buf.bytes_len());
        Send { fd, buf, begin, flags: libc::MSG_NOSIGNAL }
    }

    fn ptr(&self) -> *const u8 {
        // SAFETY: `begin` is within the buffer's bytes.
        unsafe { self.buf.bytes_ptr().add(self.begin) }
    }

    fn len(&self) -> usize {
        self.buf.bytes_len() - self.begin
    }
}

// SAFETY: the pointer leads to the buffer's memory, which `IoBuf` keeps in place.
unsafe impl<B: IoBuf> Operation for Send<B> {
    type Output = BufResult<usize, B>;

    fn encode(&mut self) -> squeue::Entry {
        let len = self.len().min(u32::MAX as usize) as u32;
        opcode::Send::new(self.fd.target(), self.ptr(), len).flags(self.flags).build()
    }

    fn waits_for(&self) -> Readiness<'_> {
        Readiness::Writable(&self.fd)
    }

    fn attempt(&mut self) -> SysCall {
        let flags = self.flags | libc::MSG_DONTWAIT;
        SysCall::new(
            libc::SYS_sendto,
            [self.fd.argument(), self.ptr() as usize, self.len(), flags as usize],
        )
    }

    fn decode(self, outcome: io::Result<u32>) -> Self::Output {
        match outcome {
            Ok(count) => Ok((count as usize, self.buf)),
            Err(error) => Err(BufError::new(error, self.buf)),
        }
    }

    fn wanted(&self) -> usize {
        self.len()
    }

    fn tries_first(&self) -> bool {
        self.fd.tries_first()
    }
}
