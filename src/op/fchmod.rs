//! `fchmod(2)`: set who may read, write and execute an open file.
//!
//! The kernel has no operation of a ring for it: on the blocking pool, since a file system may wait
//! for its journal.

use std::io;

use io_uring::squeue;

use crate::driver::{Call, Disk, Operation, SharedFd, Waits};
use crate::sys::call::SysCall;

pub(crate) struct Fchmod {
    fd: SharedFd,
    mode: u32,
}

impl Fchmod {
    /// Of the mode only the permissions count.
    pub(crate) fn new(fd: SharedFd, mode: u32) -> Self {
        Fchmod { fd, mode: mode & 0o7777 }
    }
}

// SAFETY: no pointer is passed.
unsafe impl Call for Fchmod {
    fn waits(&self) -> Waits<'_> {
        Waits::Disk(Disk::Waits)
    }

    fn call(&mut self) -> SysCall {
        SysCall::new(libc::SYS_fchmod, [self.fd.argument(), self.mode as usize])
    }
}

// SAFETY: as above.
unsafe impl Operation for Fchmod {
    type Output = io::Result<()>;

    fn encode(&mut self) -> Option<squeue::Entry> {
        None
    }

    fn decode(self, outcome: io::Result<u32>) -> Self::Output {
        outcome.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsFd, AsRawFd};

    use super::*;
    use crate::driver::submit;
    use crate::op::test_files::scratch;

    #[corering::test]
    async fn permissions_are_set_and_nothing_else() -> io::Result<()> {
        let file = scratch(b"");
        for mode in [0o640, 0o1755, 0o4000] {
            submit(Fchmod::new(file.clone(), libc::S_IFDIR | mode)).await?;
            let path = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
            let left = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(path)?);
            assert_eq!(left, libc::S_IFREG | mode);
        }
        Ok(())
    }

    #[corering::test]
    async fn what_is_a_path_only_cannot_be_changed() -> io::Result<()> {
        use std::os::unix::fs::OpenOptionsExt;
        let mut options = std::fs::OpenOptions::new();
        let path = options.read(true).custom_flags(libc::O_PATH).open("/")?;
        let path = SharedFd::from(std::os::fd::OwnedFd::from(path));
        let error = submit(Fchmod::new(path, 0o700)).await.expect_err("it is no open file");
        assert_eq!(error.raw_os_error(), Some(libc::EBADF));
        Ok(())
    }
}
