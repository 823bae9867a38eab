//! `openat(2)`, and `openat2(2)` for a path that must not leave its folder: open a file, relative to
//! a folder if one is given.
//!
//! `IORING_OP_OPENAT` and `IORING_OP_OPENAT2`, kernel 5.6. Without a ring a file of a local file system
//! whose path is in memory is opened at once (`RESOLVE_CACHED`, 5.12), and all else on the blocking
//! pool, since a path may lead to a slow disk.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use io_uring::types::OpenHow;
use io_uring::{opcode, squeue};

use super::path::{PathWith, start};
use crate::driver::{Call, CutBy, Disk, Operation, SharedFd, Waits};
use crate::sys::cached::{self, Miss};
use crate::sys::call::SysCall;

pub(crate) struct OpenAt {
    folder: Option<SharedFd>,
    target: PathWith<OpenHow, 256>,
    flags: i32,
    mode: u32,
    resolve: u64,
    memory: Memory,
}

/// What memory has said.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Memory {
    /// Nothing.
    Silent,
    /// That it is to be found out what the mount is of.
    NewMount,
    /// The answer.
    Answered,
}

impl OpenAt {
    /// `flags` and `resolve` are as in `openat2(2)`; close-on-exec is added. `mode` is the one of a
    /// file that is created. Without `resolve` the older call does the same, and is refused nowhere.
    pub(crate) fn new(
        folder: Option<SharedFd>,
        path: &Path,
        flags: i32,
        mode: u32,
        resolve: u64,
    ) -> io::Result<Self> {
        // The kernel refuses a mode without a file to be created.
        let creates = flags & (libc::O_CREAT | libc::O_TMPFILE & !libc::O_DIRECTORY) != 0;
        let flags = flags | libc::O_CLOEXEC;
        let how = OpenHow::new()
            .flags(u64::from(flags as u32))
            .mode(if creates { u64::from(mode & 0o7777) } else { 0 })
            .resolve(resolve);
        Ok(OpenAt {
            folder,
            target: PathWith::new(path, how)?,
            flags,
            mode,
            resolve,
            memory: Memory::Silent,
        })
    }
}

// SAFETY: path and `open_how` are in an operand block, or a long path on the heap.
unsafe impl Call for OpenAt {
    fn waits(&self) -> Waits<'_> {
        Waits::Disk(Disk::Cached)
    }

    fn call(&mut self) -> SysCall {
        let (folder, path) = (start(&self.folder).0 as usize, self.target.path() as usize);
        let teaches = self.memory == Memory::NewMount;
        if self.resolve == 0 {
            let (flags, mode) = (self.flags as usize, self.mode as usize);
            let call = SysCall::new(libc::SYS_openat, [folder, path, flags, mode]);
            return call.that_teaches(teaches);
        }
        let how = std::ptr::from_ref(self.target.value()) as usize;
        let call = SysCall::new(libc::SYS_openat2, [folder, path, how, size_of::<OpenHow>()]);
        call.that_teaches(teaches)
    }
}

// SAFETY: as above.
unsafe impl Operation for OpenAt {
    type Output = Result<SharedFd, Unopened>;

    fn encode(&mut self) -> Option<squeue::Entry> {
        let (folder, path, how) = (start(&self.folder), self.target.path(), self.target.value());
        Some(match self.resolve {
            0 => opcode::OpenAt::new(folder, path).flags(self.flags).mode(self.mode).build(),
            _ => opcode::OpenAt2::new(folder, path, how).build(),
        })
    }

    fn ask_memory(&mut self) -> Option<i32> {
        let (folder, path) = (start(&self.folder).0, self.target.path());
        // SAFETY: the path is the operation's, which is borrowed meanwhile.
        let answer = unsafe { cached::open(folder, path, self.flags, self.resolve) };
        self.memory = match answer {
            Ok(_) => Memory::Answered,
            Err(Miss::NewMount) => Memory::NewMount,
            Err(Miss::NotThere) => Memory::Silent,
        };
        answer.ok()
    }

    fn decode(self, outcome: io::Result<u32>) -> Self::Output {
        match outcome {
            Ok(fd) => {
                // SAFETY: the kernel has just opened this descriptor for us, and nobody else knows.
                let fd = unsafe { OwnedFd::from_raw_fd(fd as i32) };
                let nonblocking = self.flags & libc::O_NONBLOCK != 0;
                let fd = SharedFd::opened(fd, nonblocking, CutBy::Anything);
                let is_read = self.flags & libc::O_ACCMODE == libc::O_RDONLY;
                if self.memory == Memory::Answered && is_read {
                    fd.close_at_once();
                }
                Ok(fd)
            }
            Err(error) => Err(Unopened { error, again: self }),
        }
    }
}

impl OpenAt {
    /// Folder, path, flags and mode of a path that must not leave the folder, if it is one.
    pub(crate) fn beneath(self) -> Option<(SharedFd, PathBuf, i32, u32)> {
        let folder = self.folder.filter(|_| self.resolve & libc::RESOLVE_BENEATH != 0)?;
        Some((folder, self.target.to_path(), self.flags, self.mode))
    }
}

/// Why a file was not opened, and the operation, to be tried again: a path with `..` below a folder
/// that must not be left is refused with EAGAIN while something anywhere is being renamed.
pub(crate) struct Unopened {
    pub(crate) error: io::Error,
    pub(crate) again: OpenAt,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::submit;
    use crate::op::test_files::{Folder, contents};
    use crate::op::test_sockets::{drop_in_flight, nothing_is_in_flight};

    async fn open(
        folder: Option<SharedFd>,
        path: impl AsRef<Path>,
        flags: i32,
        resolve: u64,
    ) -> io::Result<SharedFd> {
        let operation = OpenAt::new(folder, path.as_ref(), flags, 0o640, resolve)?;
        submit(operation).await.map_err(|unopened| unopened.error)
    }

    #[corering::test]
    async fn a_file_opens_and_is_closed_on_exec() {
        let folder = Folder::new();
        let path = folder.file("there", b"text");
        let fd = open(None, path, libc::O_RDONLY, 0).await.expect("it is there");
        assert_eq!(contents(&fd), b"text");
        let info = format!("/proc/self/fdinfo/{}", fd.raw());
        let info = std::fs::read_to_string(info).expect("the descriptor is open");
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).expect("it has one");
        let flags = i32::from_str_radix(flags.trim(), 8).expect("it is octal");
        assert_ne!(flags & libc::O_CLOEXEC, 0);
    }

    #[corering::test]
    async fn a_created_file_has_the_mode_that_was_asked_for() {
        use std::os::unix::fs::PermissionsExt;
        let folder = Folder::new();
        let path = folder.join("new");
        open(None, &path, libc::O_CREAT | libc::O_WRONLY, 0).await.expect("it can be created");
        let mode = std::fs::metadata(path).expect("it was created").permissions().mode();
        assert_eq!(mode & 0o7717, 0o600);
    }

    #[corering::test]
    async fn a_path_of_any_length_is_passed_on_whole() {
        let folder = Folder::new();
        let deep = format!("{}there", "./".repeat(1000));
        folder.file("there", b"deep");
        let fd = open(None, folder.join(&deep), libc::O_RDONLY, 0).await.expect("it is there");
        assert_eq!(contents(&fd), b"deep");
        let error = open(None, "x".repeat(5000), libc::O_RDONLY, 0).await.expect_err("too long");
        assert_eq!(error.raw_os_error(), Some(libc::ENAMETOOLONG));
    }

    #[corering::test]
    async fn nothing_is_opened_outside_a_folder_that_must_not_be_left() {
        let folder = Folder::new();
        folder.file("within", b"within");
        std::os::unix::fs::symlink("/etc/hostname", folder.join("link")).expect("links work");
        let root = open(None, &folder, libc::O_PATH, 0).await.expect("the folder is there");
        let beneath = |path| open(Some(root.clone()), path, libc::O_RDONLY, libc::RESOLVE_BENEATH);
        assert_eq!(contents(&beneath("within").await.expect("it is within")), b"within");
        for path in ["../x", "/etc/hostname", "link", "/"] {
            let error = beneath(path).await.expect_err("it is outside");
            assert_eq!(error.raw_os_error(), Some(libc::EXDEV), "{path}");
        }
    }

    #[corering::test]
    async fn drop_while_in_flight_closes_what_was_opened() {
        let folder = Folder::new();
        let path = folder.file("there", b"");
        for _ in 0..50 {
            // What may be created has to wait, also if it is there: memory alone does not answer.
            let flags = libc::O_RDONLY | libc::O_CREAT;
            let opening = OpenAt::new(None, &path, flags, 0, 0).expect("no NUL");
            drop_in_flight(submit(opening)).await;
        }
        nothing_is_in_flight().await;
        let open: Vec<_> = std::fs::read_dir("/proc/self/fd")
            .expect("there is a proc")
            .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
            .filter(|target| *target == path)
            .collect();
        assert!(open.is_empty(), "{} descriptors were not closed", open.len());
    }
}
