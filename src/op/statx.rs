//! `statx(2)`: what the file system knows of a file.
//!
//! What a local file system has in memory is asked for at once, on a ring, too, whose kernel would give
//! it to a thread always. Else `IORING_OP_STATX`, kernel 5.6; on the blocking pool without a ring, and
//! there by `fstatat(2)` where `statx(2)` (4.11) is missing or refused.

use std::io;
use std::mem::MaybeUninit;
use std::path::Path;

use io_uring::{opcode, squeue};

use super::path::{PathWith, start};
use crate::driver::{Call, Disk, Operation, SharedFd, Waits};
use crate::sys::cached::{self, Miss};
use crate::sys::call::SysCall;

pub(crate) struct Statx {
    folder: Option<SharedFd>,
    flags: i32,
    answer: PathWith<libc::statx, 64>,
    /// It is to be found out what its mount is of.
    teaches: bool,
}

/// All that `stat(2)` tells, the time of birth, and what O_DIRECT asks for (kernel 6.1).
const WANTED: u32 = libc::STATX_BASIC_STATS | libc::STATX_BTIME | libc::STATX_DIOALIGN;

impl Statx {
    /// Of a path. `AT_SYMLINK_NOFOLLOW` among the flags asks about a link itself.
    pub(crate) fn of_path(path: &Path, flags: i32) -> io::Result<Self> {
        Statx::new(None, path, flags)
    }

    /// Of an open file.
    pub(crate) fn of_file(fd: SharedFd) -> Self {
        Statx::new(Some(fd), Path::new(""), libc::AT_EMPTY_PATH).expect("nothing contains no NUL")
    }

    /// Of a path that starts from a folder.
    pub(crate) fn new(folder: Option<SharedFd>, path: &Path, flags: i32) -> io::Result<Self> {
        // SAFETY: a statx is made of integers, for which zero is a value.
        let zeroed = unsafe { MaybeUninit::<libc::statx>::zeroed().assume_init() };
        Ok(Statx { folder, flags, answer: PathWith::new(path, zeroed)?, teaches: false })
    }
}

// SAFETY: the path and the place of the answer are in an operand block, or a long path on the heap.
unsafe impl Call for Statx {
    fn waits(&self) -> Waits<'_> {
        Waits::Disk(Disk::CachedUnasked)
    }

    fn call(&mut self) -> SysCall {
        let answer = self.answer.value_mut() as usize;
        SysCall::new(
            libc::SYS_statx,
            [
                start(&self.folder).0 as usize,
                self.answer.path() as usize,
                self.flags as usize,
                WANTED as usize,
                answer,
            ],
        )
        .that_teaches(self.teaches)
    }
}

// SAFETY: as above.
unsafe impl Operation for Statx {
    type Output = io::Result<libc::statx>;

    fn encode(&mut self) -> Option<squeue::Entry> {
        // A thread of the kernel would teach nothing.
        if self.teaches {
            return None;
        }
        let answer = self.answer.value_mut();
        Some(
            opcode::Statx::new(start(&self.folder), self.answer.path(), answer.cast())
                .flags(self.flags)
                .mask(WANTED)
                .build(),
        )
    }

    fn ask_memory(&mut self) -> Option<i32> {
        let (folder, path) = (start(&self.folder).0, self.answer.path());
        let into = self.answer.value_mut();
        // SAFETY: path and answer are the operation's, which is borrowed meanwhile.
        let answer = unsafe { cached::statx(folder, path, self.flags, WANTED, into) };
        self.teaches = answer == Err(Miss::NewMount);
        answer.ok()
    }

    fn decode(self, outcome: io::Result<u32>) -> Self::Output {
        outcome.map(|_| *self.answer.value())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::submit;
    use crate::op::test_files::{Folder, scratch};

    #[corering::test]
    async fn an_open_file_and_a_path_tell_their_size() {
        let open = submit(Statx::of_file(scratch(b"12345"))).await.expect("it is open");
        assert_eq!(open.stx_size, 5);
        let folder = Folder::new();
        for name in ["short".to_owned(), "long".repeat(50)] {
            let path = folder.file(&name, b"1234567");
            let statx = Statx::of_path(&path, 0).expect("no NUL");
            assert_eq!(submit(statx).await.expect("it is there").stx_size, 7);
        }
    }

    #[corering::test]
    async fn a_link_is_followed_unless_it_is_asked_about() {
        let folder = Folder::new();
        folder.file("target", b"");
        let link = folder.join("link");
        std::os::unix::fs::symlink("target", &link).expect("links work");
        for (flags, kind) in [(0, libc::S_IFREG), (libc::AT_SYMLINK_NOFOLLOW, libc::S_IFLNK)] {
            let statx = Statx::of_path(&link, flags).expect("no NUL");
            let answer = submit(statx).await.expect("it is there");
            assert_eq!(u32::from(answer.stx_mode) & libc::S_IFMT, kind);
        }
    }

    #[corering::test]
    async fn a_file_that_is_not_there_is_an_error() {
        let statx = Statx::of_path(Path::new("/no/such/file"), 0).expect("no NUL");
        let error = submit(statx).await.expect_err("it is not there");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
