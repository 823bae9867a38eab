//! `renameat2(2)`: give a file another name, or move it.
//!
//! `IORING_OP_RENAMEAT`, kernel 5.11; on the blocking pool without a ring.

use std::io;
use std::path::Path;

use io_uring::{opcode, squeue, types};

use super::path::PathOnly;
use crate::driver::{Operation, Readiness};
use crate::sys::call::SysCall;

pub(crate) struct RenameAt {
    from: PathOnly,
    to: PathOnly,
    flags: u32,
}

impl RenameAt {
    /// The flags are those of `renameat2(2)`; without any, a file of the new name is replaced.
    pub(crate) fn new(from: &Path, to: &Path, flags: u32) -> io::Result<Self> {
        Ok(RenameAt { from: PathOnly::new(from, ())?, to: PathOnly::new(to, ())?, flags })
    }
}

// SAFETY: the paths are in operand blocks, or on the heap.
unsafe impl Operation for RenameAt {
    type Output = io::Result<()>;

    fn encode(&mut self) -> squeue::Entry {
        let here = types::Fd(libc::AT_FDCWD);
        opcode::RenameAt::new(here, self.from.path(), here, self.to.path())
            .flags(self.flags)
            .build()
    }

    fn waits_for(&self) -> Readiness<'_> {
        Readiness::Blocking
    }

    fn attempt(&mut self) -> SysCall {
        let here = libc::AT_FDCWD as usize;
        SysCall::new(
            libc::SYS_renameat2,
            [here, self.from.path() as usize, here, self.to.path() as usize, self.flags as usize],
        )
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
    async fn an_existing_file_is_replaced_unless_a_flag_forbids_it() -> io::Result<()> {
        let folder = Folder::new();
        let (from, to) = (folder.file("from", b"new"), folder.file("to", b"old"));
        let kept = submit(RenameAt::new(&from, &to, libc::RENAME_NOREPLACE)?).await;
        assert_eq!(kept.expect_err("it is there").kind(), io::ErrorKind::AlreadyExists);
        submit(RenameAt::new(&from, &to, 0)?).await?;
        assert_eq!(std::fs::read(to)?, b"new");
        assert!(!from.exists());
        Ok(())
    }
}
