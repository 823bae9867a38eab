//! `ftruncate(2)`: set the length of a file.
//!
//! `IORING_OP_FTRUNCATE`, kernel 6.9; on the blocking pool before, and without a ring.

use std::io;

use io_uring::{opcode, squeue};

use crate::driver::{Call, Disk, Operation, Raises, SharedFd, Waits};
use crate::sys::call::SysCall;

pub(crate) struct Ftruncate {
    fd: SharedFd,
    len: u64,
}

impl Ftruncate {
    pub(crate) fn new(fd: SharedFd, len: u64) -> Self {
        Ftruncate { fd, len }
    }
}

// SAFETY: no pointer is passed.
unsafe impl Call for Ftruncate {
    fn waits(&self) -> Waits<'_> {
        Waits::Disk(Disk::Waits)
    }

    fn call(&mut self) -> SysCall {
        SysCall::new(libc::SYS_ftruncate, [self.fd.argument(), self.len as usize])
    }
}

// SAFETY: as above.
unsafe impl Operation for Ftruncate {
    type Output = io::Result<()>;

    fn encode(&mut self) -> Option<squeue::Entry> {
        Some(opcode::Ftruncate::new(self.fd.target(), self.len).build())
    }

    fn decode(self, outcome: io::Result<u32>) -> Self::Output {
        outcome.map(drop)
    }

    fn raises(&self) -> Option<Raises> {
        Some(Raises::LargeFile)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::submit;
    use crate::op::test_files::{contents, opened, scratch};

    #[corering::test]
    async fn a_file_is_cut_and_grows_by_zeroes() -> io::Result<()> {
        let file = scratch(b"abcdef");
        submit(Ftruncate::new(file.clone(), 2)).await?;
        assert_eq!(contents(&file), b"ab");
        submit(Ftruncate::new(file.clone(), 4)).await?;
        assert_eq!(contents(&file), b"ab\0\0");
        Ok(())
    }

    #[corering::test]
    async fn what_has_no_length_is_an_error() {
        let error = submit(Ftruncate::new(opened("/dev/null"), 1)).await.expect_err("a device");
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    }
}
