//! `renameat(2)`: give a file another name, or move it.
//!
//! `IORING_OP_RENAMEAT`, kernel 5.11; on the blocking pool without a ring.

use std::io;

use io_uring::{opcode, squeue};

use super::path::{PathOnly, Place, start};
use crate::driver::{Call, Disk, Operation, SharedFd, Waits};
use crate::sys::call::{SYS_RENAMEAT, SysCall};

pub(crate) struct RenameAt {
    folders: [Option<SharedFd>; 2],
    from: PathOnly,
    to: PathOnly,
}

impl RenameAt {
    /// A file that has the new name is replaced.
    pub(crate) fn new((folder, from): Place<'_>, (into, to): Place<'_>) -> io::Result<Self> {
        let (from, to) = (PathOnly::new(from, ())?, PathOnly::new(to, ())?);
        Ok(RenameAt { folders: [folder, into], from, to })
    }
}

// SAFETY: the paths are in operand blocks, or on the heap.
unsafe impl Call for RenameAt {
    fn waits(&self) -> Waits<'_> {
        Waits::Disk(Disk::Waits)
    }

    fn call(&mut self) -> SysCall {
        let [folder, into] = self.folders.each_ref().map(|folder| start(folder).0 as usize);
        let (from, to) = (self.from.path() as usize, self.to.path() as usize);
        SysCall::new(SYS_RENAMEAT, [folder, from, into, to])
    }
}

// SAFETY: as above.
unsafe impl Operation for RenameAt {
    type Output = io::Result<()>;

    fn encode(&mut self) -> Option<squeue::Entry> {
        let [folder, into] = self.folders.each_ref().map(start);
        Some(opcode::RenameAt::new(folder, self.from.path(), into, self.to.path()).build())
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
    async fn an_existing_file_is_replaced() -> io::Result<()> {
        let folder = Folder::new();
        let (from, to) = (folder.file("from", b"new"), folder.file("to", b"old"));
        submit(RenameAt::new((None, &from), (None, &to))?).await?;
        assert_eq!(std::fs::read(to)?, b"new");
        assert!(!from.exists());
        Ok(())
    }
}
