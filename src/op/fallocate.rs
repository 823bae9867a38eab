//! `fallocate(2)`: reserve room on the disk, or give it back.
//!
//! `IORING_OP_FALLOCATE`, kernel 5.6; on the blocking pool without a ring.

use std::io;

use io_uring::{opcode, squeue};

use crate::driver::{Call, Disk, Operation, Raises, SharedFd, Waits};
use crate::sys::call::SysCall;

pub(crate) struct Fallocate {
    fd: SharedFd,
    mode: i32,
    offset: u64,
    len: u64,
}

impl Fallocate {
    /// The mode is one of `fallocate(2)`; 0 reserves and makes the file that long.
    pub(crate) fn new(fd: SharedFd, mode: i32, offset: u64, len: u64) -> Self {
        Fallocate { fd, mode, offset, len }
    }
}

// SAFETY: no pointer is passed.
unsafe impl Call for Fallocate {
    fn waits(&self) -> Waits<'_> {
        Waits::Disk(Disk::Waits)
    }

    fn call(&mut self) -> SysCall {
        let Fallocate { ref fd, mode, offset, len } = *self;
        SysCall::new(
            libc::SYS_fallocate,
            [fd.argument(), mode as usize, offset as usize, len as usize],
        )
    }
}

// SAFETY: as above.
unsafe impl Operation for Fallocate {
    type Output = io::Result<()>;

    fn encode(&mut self) -> Option<squeue::Entry> {
        Some(
            opcode::Fallocate::new(self.fd.target(), self.len)
                .offset(self.offset)
                .mode(self.mode)
                .build(),
        )
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
    use crate::op::test_files::{contents, scratch};

    #[corering::test]
    async fn a_file_grows_by_zeroes_to_what_was_reserved() -> io::Result<()> {
        let file = scratch(b"ab");
        submit(Fallocate::new(file.clone(), 0, 0, 5)).await?;
        assert_eq!(contents(&file), b"ab\0\0\0");
        Ok(())
    }

    #[corering::test]
    async fn nothing_to_reserve_is_an_error() {
        let error = submit(Fallocate::new(scratch(b""), 0, 0, 0)).await.expect_err("no length");
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    }
}
