//! A file that is new and has not the name yet that it is to have.
//!
//! Its methods wait for a disk: they run on threads of the pool. Whatever becomes of it, on whichever
//! thread, no name of its own is left.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::driver::{self, CutBy, SharedFd};
use crate::runtime::try_spawn_blocking;
use crate::sys::names;

pub(super) struct Fresh {
    open: File,
    folder: OwnedFd,
    /// `None` where the file system has files without a name.
    own: Option<CString>,
}

/// Names that are tried before it is an error that all are taken: each has 64 random bits.
const TRIES_MAX: u32 = 16;

impl Fresh {
    /// Creates a file in a folder, for reading and writing; the process's umask takes bits off the mode.
    pub(super) fn create(folder: OwnedFd, mode: u32) -> io::Result<Self> {
        match names::open_in(folder.as_fd(), c".", libc::O_TMPFILE | libc::O_RDWR, mode) {
            Ok(open) => Ok(Fresh { open: open.into(), folder, own: None }),
            Err(error) if lacks_unnamed(&error) => Fresh::named(folder, mode),
            Err(error) => Err(error),
        }
    }

    fn named(folder: OwnedFd, mode: u32) -> io::Result<Self> {
        let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW;
        let (own, open) = with_free_name(|name| names::open_in(folder.as_fd(), name, flags, mode))?;
        Ok(Fresh { open: open.into(), folder, own: Some(own) })
    }

    pub(super) fn file(&self) -> &File {
        &self.open
    }

    pub(super) fn folder(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }

    /// The file once more, for operations.
    pub(super) fn shared(&self) -> io::Result<SharedFd> {
        let open = OwnedFd::from(self.open.try_clone()?);
        Ok(SharedFd::opened(open, false, CutBy::Anything))
    }

    /// Gives it a name that nothing has.
    pub(super) fn link(&mut self, folder: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
        let Some(own) = &self.own else {
            return names::link_open(self.open.as_fd(), folder, name);
        };
        names::link((self.folder.as_fd(), own), (folder, name))?;
        self.forget_name();
        Ok(())
    }

    /// Gives it a name, in the place of what has that.
    pub(super) fn replace(&mut self, folder: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
        if let Some(own) = &self.own {
            names::rename((self.folder.as_fd(), own), (folder, name))?;
            self.own = None;
            return Ok(());
        }
        let linked = names::link_open(self.open.as_fd(), folder, name);
        if !linked.as_ref().is_err_and(|error| error.kind() == ErrorKind::AlreadyExists) {
            return linked;
        }
        // Nothing replaces a file by one without a name, so for a moment it has another.
        let link = |between: &CStr| names::link_open(self.open.as_fd(), folder, between);
        let (between, ()) = with_free_name(link)?;
        names::rename((folder, &between), (folder, name)).inspect_err(|_| {
            // What is to be reported is the first error.
            let _ = names::unlink((folder, &between));
        })
    }

    /// Leaves it without a name.
    pub(super) fn forget_name(&mut self) {
        if let Some(own) = self.own.take() {
            // Where it fails, the folder has gone or may not be written any more.
            let _ = names::unlink((self.folder.as_fd(), &own));
        }
    }

    /// Drops it where it may wait for a disk.
    pub(super) fn drop_on_pool(self) {
        if self.own.is_some() && driver::current().is_ok() {
            // Without a thread it is dropped here.
            drop(try_spawn_blocking(|| drop(self)));
        }
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        self.forget_name();
    }
}

/// Whether a file system, or a kernel before 3.11, has no files without a name.
fn lacks_unnamed(error: &io::Error) -> bool {
    let errno = error.raw_os_error();
    matches!(errno, Some(libc::EOPNOTSUPP | libc::EISDIR | libc::ENOENT | libc::EINVAL))
}

/// Tries names until one is not taken.
fn with_free_name<T>(mut attempt: impl FnMut(&CStr) -> io::Result<T>) -> io::Result<(CString, T)> {
    for _ in 0..TRIES_MAX {
        // The standard library's hasher is the one source of random bits that it has.
        let number = RandomState::new().hash_one(0);
        let name = CString::new(format!(".corering-{number:016x}")).expect("it has no NUL");
        match attempt(&name) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            attempted => return attempted.map(|made| (name, made)),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

/// Opens the folder that a path's last name is in, for reading, and that name.
pub(super) fn open_parent(path: &Path) -> io::Result<(OwnedFd, CString)> {
    let bytes = path.as_os_str().as_bytes();
    if bytes.ends_with(b"/") || bytes.ends_with(b"/.") {
        return Err(io::Error::from_raw_os_error(libc::EISDIR));
    }
    let Some(name) = path.file_name() else {
        let errno = if bytes.is_empty() { libc::ENOENT } else { libc::EISDIR };
        return Err(io::Error::from_raw_os_error(errno));
    };
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let name = CString::new(name.as_bytes()).map_err(|_| {
        let text = format!("the path {path:?} contains a NUL byte, which no name of a file can");
        io::Error::new(ErrorKind::InvalidInput, text)
    })?;
    Ok((open_folder(parent)?, name))
}

pub(super) fn open_folder(path: &Path) -> io::Result<OwnedFd> {
    let mut options = File::options();
    Ok(options.read(true).custom_flags(libc::O_DIRECTORY).open(path)?.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::op::test_files::Folder;

    fn names_in(folder: &Folder) -> Vec<String> {
        let entries = std::fs::read_dir(folder).expect("it is there");
        let name = |entry: io::Result<std::fs::DirEntry>| {
            entry.expect("it can be read").file_name().into_string().expect("it is ours")
        };
        let mut names: Vec<_> = entries.map(name).collect();
        names.sort();
        names
    }

    /// A new file, as each kind of file system has it.
    fn both(folder: &Folder) -> [Fresh; 2] {
        let open = || open_folder(folder.as_ref()).expect("it is there");
        let fresh = Fresh::create(open(), 0o600).expect("the disk has room");
        assert!(fresh.own.is_none(), "this test needs a file system with O_TMPFILE");
        [fresh, Fresh::named(open(), 0o600).expect("the disk has room")]
    }

    #[test]
    fn new_file_takes_the_place_of_another_or_does_not() {
        for index in 0..2 {
            let folder = Folder::new();
            folder.file("taken", b"old");
            let [mut fresh, mut other] = both(&folder);
            if index == 1 {
                std::mem::swap(&mut fresh, &mut other);
            }
            drop(other);
            fresh.file().write_all(b"new").expect("the disk has room");
            let at = open_folder(folder.as_ref()).expect("it is there");
            let error = fresh.link(at.as_fd(), c"taken").expect_err("it is taken");
            assert_eq!(error.kind(), ErrorKind::AlreadyExists);
            fresh.replace(at.as_fd(), c"taken").expect("it is replaced");
            assert_eq!(std::fs::read(folder.join("taken")).expect("it is there"), b"new");
            drop(fresh);
            assert_eq!(names_in(&folder), ["taken"]);
        }
    }

    #[test]
    fn new_file_that_nobody_names_leaves_none() {
        let folder = Folder::new();
        let [unnamed, named] = both(&folder);
        assert_eq!(names_in(&folder).len(), 1, "one of them has a name");
        drop((unnamed, named));
        assert_eq!(names_in(&folder).len(), 0);
    }

    #[test]
    fn failed_replacement_leaves_no_name_between() {
        let folder = Folder::new();
        std::fs::create_dir(folder.join("below")).expect("a disk");
        let at = open_folder(folder.as_ref()).expect("it is there");
        for mut fresh in both(&folder) {
            let error = fresh.replace(at.as_fd(), c"below").expect_err("a folder");
            assert_eq!(error.kind(), ErrorKind::IsADirectory);
        }
        assert_eq!(names_in(&folder), ["below"]);
    }
}
