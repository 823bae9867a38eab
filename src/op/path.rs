//! Paths as the kernel takes them: ended by a NUL, at an address that does not move.

use std::ffi::{CStr, CString, OsStr, c_char};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use io_uring::types::Fd;

use crate::driver::{Operand, SharedFd};

/// A path and one value beside it, in one operand block. A path of `ROOM` bytes or more is in a
/// block of its own.
pub(crate) struct PathWith<T, const ROOM: usize> {
    block: Operand<Block<T, ROOM>>,
    long: Option<CString>,
}

struct Block<T, const ROOM: usize> {
    value: T,
    path: [u8; ROOM],
}

/// A path alone.
pub(crate) type PathOnly = PathWith<(), 256>;

impl<T, const ROOM: usize> PathWith<T, ROOM> {
    pub(crate) fn new(path: &Path, value: T) -> io::Result<Self> {
        let bytes = path.as_os_str().as_bytes();
        if bytes.contains(&0) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("the path {path:?} contains a NUL byte, which no name of a file can"),
            ));
        }
        let mut block = Operand::new(Block { value, path: [0; ROOM] });
        let long = if bytes.len() < ROOM {
            block.path[..bytes.len()].copy_from_slice(bytes);
            None
        } else {
            Some(CString::new(bytes).expect("it was searched for NUL above"))
        };
        Ok(PathWith { block, long })
    }

    /// Where the path begins.
    pub(crate) fn path(&self) -> *const c_char {
        match &self.long {
            Some(long) => long.as_ptr(),
            None => self.block.path.as_ptr().cast(),
        }
    }

    /// The path, for another operation.
    pub(crate) fn to_path(&self) -> PathBuf {
        // SAFETY: both places hold a path that ends in a NUL, and are borrowed meanwhile.
        let bytes = unsafe { CStr::from_ptr(self.path()) }.to_bytes();
        PathBuf::from(OsStr::from_bytes(bytes))
    }

    pub(crate) fn value(&self) -> &T {
        &self.block.value
    }

    /// Where the value is, for the kernel to write to.
    pub(crate) fn value_mut(&mut self) -> *mut T {
        &raw mut self.block.value
    }
}

/// A path, and the folder from which it starts if it is relative; without one that of the process.
pub(crate) type Place<'a> = (Option<SharedFd>, &'a Path);

/// The folder from which a relative path starts; without one that of the process.
pub(crate) fn start(folder: &Option<SharedFd>) -> Fd {
    Fd(folder.as_ref().map_or(libc::AT_FDCWD, SharedFd::raw))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_paths_end_in_a_nul() {
        for len in [0, 1, 255, 256, 257, 4095] {
            let name = "n".repeat(len);
            let path = PathOnly::new(Path::new(&name), ()).expect("it has no NUL");
            // SAFETY: `path` points at bytes that end in a NUL, and outlives the borrow.
            let seen = unsafe { CStr::from_ptr(path.path()) };
            assert_eq!(seen.to_str(), Ok(&*name));
        }
    }

    #[test]
    fn a_nul_within_is_an_error_that_names_the_path() {
        let refused = PathOnly::new(Path::new("a\0b"), ());
        let error = refused.err().expect("it has a NUL");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains(r#""a\0b""#), "{error}");
    }
}
