//! `symlinkat(2)` and `linkat(2)`: give a file one more name, by a path to follow or by itself.
//!
//! `IORING_OP_SYMLINKAT` and `IORING_OP_LINKAT`, kernel 5.15; on the blocking pool before, and without
//! a ring.

use std::io;
use std::path::Path;

use io_uring::{opcode, squeue};

use super::path::{PathOnly, Place, start};
use crate::driver::{Call, Disk, Operation, SharedFd, Waits};
use crate::sys::call::SysCall;

pub(crate) struct LinkAt {
    kind: Kind,
    /// Of a symbolic link the first is not asked for.
    folders: [Option<SharedFd>; 2],
    target: PathOnly,
    link: PathOnly,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Symbolic,
    Hard,
}

impl LinkAt {
    /// A path that leads on to `target`, whatever that is.
    pub(crate) fn symbolic(target: &Path, link: Place<'_>) -> io::Result<Self> {
        LinkAt::new(Kind::Symbolic, (None, target), link)
    }

    /// Another name for the file at `target`; of a symbolic link, for the link itself.
    pub(crate) fn hard(target: Place<'_>, link: Place<'_>) -> io::Result<Self> {
        LinkAt::new(Kind::Hard, target, link)
    }

    fn new(kind: Kind, (folder, target): Place<'_>, (into, link): Place<'_>) -> io::Result<Self> {
        let (target, link) = (PathOnly::new(target, ())?, PathOnly::new(link, ())?);
        Ok(LinkAt { kind, folders: [folder, into], target, link })
    }
}

// SAFETY: the paths are in operand blocks, or on the heap.
unsafe impl Call for LinkAt {
    fn waits(&self) -> Waits<'_> {
        Waits::Disk(Disk::Waits)
    }

    fn call(&mut self) -> SysCall {
        let [folder, into] = self.folders.each_ref().map(|folder| start(folder).0 as usize);
        let (target, link) = (self.target.path() as usize, self.link.path() as usize);
        match self.kind {
            Kind::Symbolic => SysCall::new(libc::SYS_symlinkat, [target, into, link]),
            Kind::Hard => SysCall::new(libc::SYS_linkat, [folder, target, into, link, 0]),
        }
    }
}

// SAFETY: as above.
unsafe impl Operation for LinkAt {
    type Output = io::Result<()>;

    fn encode(&mut self) -> Option<squeue::Entry> {
        let [folder, into] = self.folders.each_ref().map(start);
        let (target, link) = (self.target.path(), self.link.path());
        Some(match self.kind {
            Kind::Symbolic => opcode::SymlinkAt::new(into, target, link).build(),
            Kind::Hard => opcode::LinkAt::new(folder, target, into, link).build(),
        })
    }

    fn decode(self, outcome: io::Result<u32>) -> Self::Output {
        outcome.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::driver::submit;
    use crate::op::test_files::Folder;

    #[corering::test]
    async fn hard_link_is_the_same_file() -> io::Result<()> {
        let folder = Folder::new();
        let (file, link) = (folder.file("file", b"content"), folder.join("link"));
        submit(LinkAt::hard((None, &file), (None, &link))?).await?;
        assert_eq!(std::fs::metadata(&file)?.ino(), std::fs::metadata(&link)?.ino());
        let again = submit(LinkAt::hard((None, &file), (None, &link))?).await;
        assert_eq!(again.expect_err("it is there").kind(), io::ErrorKind::AlreadyExists);
        Ok(())
    }

    #[corering::test]
    async fn symbolic_link_leads_where_it_was_told() -> io::Result<()> {
        let folder = Folder::new();
        let link = folder.join("link");
        submit(LinkAt::symbolic(Path::new("nowhere"), (None, &link))?).await?;
        assert_eq!(std::fs::read_link(&link)?, Path::new("nowhere"));
        let again = submit(LinkAt::symbolic(Path::new("x"), (None, &link))?).await;
        assert_eq!(again.expect_err("it is there").kind(), io::ErrorKind::AlreadyExists);
        // Of a symbolic link a hard link is another name, though it leads nowhere.
        let other = folder.join("other");
        submit(LinkAt::hard((None, &link), (None, &other))?).await?;
        assert_eq!(std::fs::read_link(&other)?, Path::new("nowhere"));
        Ok(())
    }
}
