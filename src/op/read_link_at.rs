//! `readlinkat(2)`: where a symbolic link leads.
//!
//! No ring has an operation for it: a thread of the blocking pool makes the call.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use io_uring::squeue;

use super::path::{PathOnly, start};
use crate::driver::{Call, Disk, Operation, SharedFd, Waits};
use crate::sys::call::SysCall;

pub(crate) struct ReadLinkAt {
    folder: Option<SharedFd>,
    path: PathOnly,
    answer: Vec<u8>,
}

/// No link leads to a longer path.
const ANSWER_MAX: usize = libc::PATH_MAX as usize;

impl ReadLinkAt {
    pub(crate) fn new(folder: Option<SharedFd>, path: &Path) -> io::Result<Self> {
        Ok(ReadLinkAt { folder, path: PathOnly::new(path, ())?, answer: vec![0; ANSWER_MAX] })
    }
}

// SAFETY: the path is in an operand block or on the heap, and the room for the answer is on the heap.
unsafe impl Call for ReadLinkAt {
    fn waits(&self) -> Waits<'_> {
        Waits::Disk(Disk::Waits)
    }

    fn call(&mut self) -> SysCall {
        let answer = self.answer.as_mut_ptr() as usize;
        SysCall::new(
            libc::SYS_readlinkat,
            [start(&self.folder).0 as usize, self.path.path() as usize, answer, ANSWER_MAX],
        )
    }
}

// SAFETY: as above.
unsafe impl Operation for ReadLinkAt {
    type Output = io::Result<PathBuf>;

    fn encode(&mut self) -> Option<squeue::Entry> {
        None
    }

    fn decode(mut self, outcome: io::Result<u32>) -> Self::Output {
        self.answer.truncate(outcome? as usize);
        self.answer.shrink_to_fit();
        Ok(OsString::from_vec(self.answer).into())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::driver::submit;
    use crate::op::test_files::Folder;

    #[corering::test]
    async fn link_tells_its_whole_path_and_a_file_has_none() -> io::Result<()> {
        let folder = Folder::new();
        for len in [1, 255, 256, 4095] {
            let (link, target) = (folder.join(&format!("{len}")), "t".repeat(len));
            symlink(&target, &link)?;
            assert_eq!(submit(ReadLinkAt::new(None, &link)?).await?, Path::new(&target));
        }
        let file = folder.file("file", b"");
        let error = submit(ReadLinkAt::new(None, &file)?).await.expect_err("no link");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        Ok(())
    }
}
