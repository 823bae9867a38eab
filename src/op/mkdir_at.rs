//! `mkdirat(2)`: make a folder.
//!
//! `IORING_OP_MKDIRAT`, kernel 5.15; on the blocking pool before, and without a ring.

use std::io;
use std::path::Path;

use io_uring::{opcode, squeue};

use super::path::{PathOnly, start};
use crate::driver::{Call, Disk, Operation, SharedFd, Waits};
use crate::sys::call::SysCall;

pub(crate) struct MkDirAt {
    folder: Option<SharedFd>,
    path: PathOnly,
    mode: u32,
}

impl MkDirAt {
    /// The process's umask takes bits off the mode.
    pub(crate) fn new(folder: Option<SharedFd>, path: &Path, mode: u32) -> io::Result<Self> {
        Ok(MkDirAt { folder, path: PathOnly::new(path, ())?, mode })
    }
}

// SAFETY: the path is in an operand block, or on the heap.
unsafe impl Call for MkDirAt {
    fn waits(&self) -> Waits<'_> {
        Waits::Disk(Disk::Waits)
    }

    fn call(&mut self) -> SysCall {
        SysCall::new(
            libc::SYS_mkdirat,
            [start(&self.folder).0 as usize, self.path.path() as usize, self.mode as usize],
        )
    }
}

// SAFETY: as above.
unsafe impl Operation for MkDirAt {
    type Output = io::Result<()>;

    fn encode(&mut self) -> Option<squeue::Entry> {
        Some(opcode::MkDirAt::new(start(&self.folder), self.path.path()).mode(self.mode).build())
    }

    fn decode(self, outcome: io::Result<u32>) -> Self::Output {
        outcome.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::driver::submit;
    use crate::op::test_files::Folder;

    #[corering::test]
    async fn a_folder_is_made_once_and_with_its_mode() -> io::Result<()> {
        let folder = Folder::new();
        let path = folder.join("below");
        submit(MkDirAt::new(None, &path, 0o700)?).await?;
        let metadata = std::fs::metadata(&path)?;
        assert!(metadata.is_dir());
        assert_eq!(metadata.permissions().mode() & 0o777, 0o700);
        let again = submit(MkDirAt::new(None, &path, 0o700)?).await;
        assert_eq!(again.expect_err("it is there").kind(), io::ErrorKind::AlreadyExists);
        Ok(())
    }
}
