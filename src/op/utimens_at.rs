//! `utimensat(2)`: set when a file was last read and changed.
//!
//! The kernel has no operation of a ring for it: on the blocking pool, since a path may lead to a
//! slow disk.

use std::io;
use std::path::Path;

use io_uring::squeue;

use super::path::PathWith;
use crate::driver::{Call, Disk, Operation, SharedFd, Waits};
use crate::sys::call::SysCall;

pub(crate) struct UtimensAt {
    /// The file itself; without one the path leads to it.
    file: Option<SharedFd>,
    target: PathWith<Times, 64>,
}

/// When a file was last read, and when its contents were last changed.
type Times = [libc::timespec; 2];

/// A time that stays as it is.
pub(crate) const UNCHANGED: libc::timespec =
    libc::timespec { tv_sec: 0, tv_nsec: libc::UTIME_OMIT };

impl UtimensAt {
    /// Of the file at a path; a symbolic link is followed.
    pub(crate) fn of_path(path: &Path, times: Times) -> io::Result<Self> {
        Ok(UtimensAt { file: None, target: PathWith::new(path, times)? })
    }

    /// Of an open file.
    pub(crate) fn of_file(fd: SharedFd, times: Times) -> Self {
        let target = PathWith::new(Path::new(""), times).expect("nothing contains no NUL");
        UtimensAt { file: Some(fd), target }
    }
}

// SAFETY: path and times are in an operand block, or a long path on the heap.
unsafe impl Call for UtimensAt {
    fn waits(&self) -> Waits<'_> {
        Waits::Disk(Disk::Waits)
    }

    fn call(&mut self) -> SysCall {
        let times = std::ptr::from_ref(self.target.value()) as usize;
        let (folder, path) = match &self.file {
            // Without a path the call is futimens(3).
            Some(file) => (file.argument(), 0),
            None => (libc::AT_FDCWD as usize, self.target.path() as usize),
        };
        SysCall::new(libc::SYS_utimensat, [folder, path, times, 0])
    }
}

// SAFETY: as above.
unsafe impl Operation for UtimensAt {
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
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::driver::submit;
    use crate::op::test_files::Folder;

    fn time(tv_sec: i64, tv_nsec: i64) -> libc::timespec {
        libc::timespec { tv_sec, tv_nsec }
    }

    #[corering::test]
    async fn times_of_a_path_and_of_an_open_file_are_set() -> io::Result<()> {
        let folder = Folder::new();
        for name in ["short".to_owned(), "long".repeat(50)] {
            let path = folder.file(&name, b"");
            let both = [time(1_000, 1), time(2_000, 2)];
            submit(UtimensAt::of_path(&path, both)?).await?;
            let known = std::fs::metadata(&path)?;
            let times = (known.atime(), known.atime_nsec(), known.mtime(), known.mtime_nsec());
            assert_eq!(times, (1_000, 1, 2_000, 2));
            let file = SharedFd::from(std::os::fd::OwnedFd::from(std::fs::File::open(&path)?));
            submit(UtimensAt::of_file(file, [UNCHANGED, time(-5, 7)])).await?;
            let known = std::fs::metadata(&path)?;
            assert_eq!((known.atime(), known.mtime(), known.mtime_nsec()), (1_000, -5, 7));
        }
        Ok(())
    }

    #[corering::test]
    async fn file_that_is_not_there_has_no_times() -> io::Result<()> {
        let nowhere = UtimensAt::of_path(Path::new("/no/such/file"), [time(0, 0); 2])?;
        let error = submit(nowhere).await.expect_err("it is not there");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        Ok(())
    }
}
