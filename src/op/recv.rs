//! `recv(2)`: receive bytes from a connected socket into a buffer of the caller's.
//!
//! `IORING_OP_RECV`, kernel 5.6.

use std::io;

use io_uring::{opcode, squeue};

use crate::buf::{BufError, BufResult, IoBufMut};
use crate::driver::{Operation, Readiness, SharedFd};
use crate::sys::call::SysCall;

pub(crate) struct Recv<B> {
    fd: SharedFd,
    buf: B,
}

impl<B: IoBufMut> Recv<B> {
    pub(crate) fn new(fd: SharedFd, buf: B) -> Self {
        Recv { fd, buf }
    }
}

// SAFETY: the pointer leads to the buffer's memory, which `IoBufMut` keeps in place.
unsafe impl<B: IoBufMut> Operation for Recv<B> {
    type Output = BufResult<usize, B>;

    fn encode(&mut self) -> squeue::Entry {
        let len = self.buf.capacity().min(u32::MAX as usize) as u32;
        opcode::Recv::new(self.fd.target(), self.buf.bytes_mut_ptr(), len).build()
    }

    fn waits_for(&self) -> Readiness<'_> {
        Readiness::Readable(&self.fd)
    }

    fn attempt(&mut self) -> SysCall {
        SysCall::new(
            libc::SYS_recvfrom,
            [
                self.fd.argument(),
                self.buf.bytes_mut_ptr() as usize,
                self.buf.capacity(),
                libc::MSG_DONTWAIT as usize,
            ],
        )
    }

    fn decode(mut self, outcome: io::Result<u32>) -> Self::Output {
        match outcome {
            Ok(count) => {
                // SAFETY: the kernel has written `count` bytes from the beginning on.
                unsafe { self.buf.set_len(count as usize) };
                Ok((count as usize, self.buf))
            }
            Err(error) => Err(BufError::new(error, self.buf)),
        }
    }

    fn wanted(&self) -> usize {
        self.buf.capacity()
    }
}
