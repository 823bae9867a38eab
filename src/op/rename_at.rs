//! `renameat(2)`: give a file another name, or move it.
//!
//! `IORING_OP_RENAMEAT`, kernel 5.11; on the blocking pool without a ring.

use std::io;
use std::path::Path;

use io_uring::{opcode, squeue, types};

use super::path::PathOnly;
use crate::driver::{Call, Disk, Operation, Waits};
use crate::sys::call::{SYS_RENAMEAT, SysCall};

pub(crate) struct RenameAt {
    from: PathOnly,
    to: PathOnly,
}

impl RenameAt {
    /// A file that has the new name is replaced.
    pub(crate) fn new(from: &Path, to: &Path) -> io::Result<Self> {
        Ok(RenameAt { from: PathOnly::new(from, ())?, to: PathOnly::new(to, ())? })
    }
}

// SAFETY: the paths are in operand blocks, or on the heap.
unsafe impl Call for RenameAt {
    fn waits(&self) -> Waits<'_> {
        Waits::Disk(Disk::Waits)
    }

    fn call(&mut self) -> SysCall {
        let here = libc::AT_FDCWD as usize;
        let (from, to) = (self.from.path() as usize, self.to.path() as usize);
        SysCall::new(SYS_RENAMEAT, [here, from, here, to])
    }
}

// SAFETY: as above.
unsafe impl Operation for RenameAt {
    type Output = io::Result<()>;

    fn encode(&mut self) -> Option<squeue::Entry> {
        let here = types::Fd(libc::AT_FDCWD);
        Some(opcode::RenameAt::new(here, self.from.path(), here, self.to.path()).build())
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
        submit(RenameAt::new(&from, &to)?).await?;
        assert_eq!(std::fs::read(to)?, b"new");
        assert!(!from.exists());
        Ok(())
    }
}
