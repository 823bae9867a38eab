//! `unlinkat(2)`: remove a name, of a file or (with `AT_REMOVEDIR`) of an empty folder.
//!
//! `IORING_OP_UNLINKAT`, kernel 5.11; on the blocking pool without a ring.

use std::io;
use std::path::Path;

use io_uring::{opcode, squeue};

use super::path::{PathOnly, start};
use crate::driver::{Call, Disk, Operation, SharedFd, Waits};
use crate::sys::call::SysCall;

pub(crate) struct UnlinkAt {
    folder: Option<SharedFd>,
    path: PathOnly,
    flags: i32,
}

impl UnlinkAt {
    pub(crate) fn new(folder: Option<SharedFd>, path: &Path, flags: i32) -> io::Result<Self> {
        Ok(UnlinkAt { folder, path: PathOnly::new(path, ())?, flags })
    }
}

// SAFETY: the path is in an operand block, or on the heap.
unsafe impl Call for UnlinkAt {
    fn waits(&self) -> Waits<'_> {
        Waits::Disk(Disk::Waits)
    }

    fn call(&mut self) -> SysCall {
        SysCall::new(
            libc::SYS_unlinkat,
            [start(&self.folder).0 as usize, self.path.path() as usize, self.flags as usize],
        )
    }
}

// SAFETY: as above.
unsafe impl Operation for UnlinkAt {
    type Output = io::Result<()>;

    fn encode(&mut self) -> Option<squeue::Entry> {
        Some(opcode::UnlinkAt::new(start(&self.folder), self.path.path()).flags(self.flags).build())
    }

    fn decode(self, outcome: io::Result<u32>) -> Self::Output {
        outcome.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::submit;
    use crate::op::test_files::Folder;

    #[corering::test]
    async fn files_and_empty_folders_are_removed_each_by_its_own_flag() -> io::Result<()> {
        let folder = Folder::new();
        let file = folder.file("file", b"");
        let below = folder.join("below");
        std::fs::create_dir(&below)?;
        let wrong = submit(UnlinkAt::new(None, &file, libc::AT_REMOVEDIR)?).await;
        assert_eq!(wrong.expect_err("a file").kind(), io::ErrorKind::NotADirectory);
        let wrong = submit(UnlinkAt::new(None, &below, 0)?).await;
        assert_eq!(wrong.expect_err("a folder").kind(), io::ErrorKind::IsADirectory);
        submit(UnlinkAt::new(None, &file, 0)?).await?;
        submit(UnlinkAt::new(None, &below, libc::AT_REMOVEDIR)?).await?;
        assert_eq!(std::fs::read_dir(&folder)?.count(), 0);
        Ok(())
    }
}
