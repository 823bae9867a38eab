//! `fsync(2)` and `fdatasync(2)`: bring what was written to the disk.
//!
//! `IORING_OP_FSYNC`, kernel 5.1; on the blocking pool without a ring.

use std::io;

use io_uring::types::FsyncFlags;
use io_uring::{opcode, squeue};

use crate::driver::{Call, Disk, Operation, SharedFd, Waits};
use crate::sys::call::SysCall;

pub(crate) struct Fsync {
    fd: SharedFd,
    data_only: bool,
}

impl Fsync {
    /// Data only: without metadata that is not needed to read the data back.
    pub(crate) fn new(fd: SharedFd, data_only: bool) -> Self {
        Fsync { fd, data_only }
    }
}

// SAFETY: no pointer is passed.
unsafe impl Call for Fsync {
    fn waits(&self) -> Waits<'_> {
        Waits::Disk(Disk::Waits)
    }

    fn call(&mut self) -> SysCall {
        let number = if self.data_only { libc::SYS_fdatasync } else { libc::SYS_fsync };
        SysCall::new(number, [self.fd.argument()])
    }
}

// SAFETY: as above.
unsafe impl Operation for Fsync {
    type Output = io::Result<()>;

    fn encode(&mut self) -> Option<squeue::Entry> {
        let flags = if self.data_only { FsyncFlags::DATASYNC } else { FsyncFlags::empty() };
        Some(opcode::Fsync::new(self.fd.target()).flags(flags).build())
    }

    fn decode(self, outcome: io::Result<u32>) -> Self::Output {
        outcome.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::submit;
    use crate::op::test_files::{opened, scratch};

    #[corering::test]
    async fn files_are_synced_with_and_without_their_metadata() -> io::Result<()> {
        let file = scratch(b"text");
        submit(Fsync::new(file.clone(), false)).await?;
        submit(Fsync::new(file, true)).await
    }

    #[corering::test]
    async fn what_cannot_be_synced_is_an_error() {
        let error = submit(Fsync::new(opened("/dev/null"), false)).await.expect_err("no disk");
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    }
}
