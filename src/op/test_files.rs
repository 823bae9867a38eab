//! What the tests of several operations need: files to work on.

use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::driver::SharedFd;

/// A folder of the test's own, removed with all that is in it when dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("corering-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("the folder for temporary files can be written");
        Folder(path)
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A file in the folder with these bytes.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.join(name);
        fs::write(&path, bytes).expect("a file can be made");
        path
    }
}

impl AsRef<Path> for Folder {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left of a failed test is no further failure.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A file without a name, with these bytes.
pub(super) fn scratch(bytes: &[u8]) -> SharedFd {
    let folder = Folder::new();
    let path = folder.file("scratch", bytes);
    let file = File::options().read(true).write(true).open(path).expect("it was just made");
    SharedFd::from(OwnedFd::from(file))
}

/// What exists already, for reading and writing.
pub(super) fn opened(path: &str) -> SharedFd {
    let file = File::options().read(true).write(true).open(path).expect(path);
    SharedFd::from(OwnedFd::from(file))
}

/// All that is in a file.
pub(crate) fn contents(fd: &SharedFd) -> Vec<u8> {
    let file = File::from(fd.as_fd().try_clone_to_owned().expect("a descriptor is free"));
    let len = file.metadata().expect("an open file has metadata").len();
    let mut bytes = vec![0; len as usize];
    file.read_exact_at(&mut bytes, 0).expect("it is that long");
    bytes
}
