//! Paths below an open folder: parted at the last name, and walked as far as that.
//!
//! The kernel watches over an open that must not leave its folder, and over nothing else: to remove,
//! make, rename or link, the folder of the last name is opened so, and then the call gets that name
//! alone, which it does not follow.

use std::convert::identity;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::Dir;
use crate::driver::{SharedFd, SingleOperation};
use crate::fs::OpenOptions;

/// A path parted into that of a folder and the last name, with the slashes behind it.
pub(super) struct Parted<'a> {
    folder: Option<&'a Path>,
    pub(super) name: &'a Path,
    /// Where slashes begin that stand behind the name.
    end: usize,
}

impl<'a> Parted<'a> {
    /// Refuses what has no last name below the folder: `EXDEV` as for other paths that lead out.
    pub(super) fn of(path: &'a Path) -> io::Result<Self> {
        let bytes = path.as_os_str().as_bytes();
        let refused = |errno| Err(io::Error::from_raw_os_error(errno));
        match bytes.first() {
            None => return refused(libc::ENOENT),
            Some(b'/') => return refused(libc::EXDEV),
            Some(_) => {}
        }
        let end = bytes.iter().rposition(|&byte| byte != b'/').map_or(0, |last| last + 1);
        let begin = bytes[..end].iter().rposition(|&byte| byte == b'/').map_or(0, |last| last + 1);
        if &bytes[begin..end] == b".." {
            return refused(libc::EXDEV);
        }
        let part = |bytes| Path::new(std::ffi::OsStr::from_bytes(bytes));
        let folder = (begin > 0).then(|| part(&bytes[..begin]));
        Ok(Parted { folder, name: part(&bytes[begin..]), end: end - begin })
    }

    /// Whether slashes stand behind the name: calls that look at a link would then follow it.
    pub(super) fn names_a_folder(&self) -> bool {
        self.end < self.name.as_os_str().len()
    }

    /// The name without slashes behind it.
    pub(super) fn plain_name(&self) -> &'a Path {
        let bytes = self.name.as_os_str().as_bytes();
        Path::new(std::ffi::OsStr::from_bytes(&bytes[..self.end]))
    }
}

/// Whether a path is one name, of which a call that follows no link makes all that there is to walk.
pub(super) fn is_name(path: &Path) -> bool {
    let bytes = path.as_os_str().as_bytes();
    !bytes.is_empty() && bytes != b".." && !bytes.contains(&b'/')
}

impl Dir {
    /// The folder that the last name of a path is in, and the path in its parts.
    pub(super) async fn part<'a>(&self, path: &'a Path) -> io::Result<(SharedFd, Parted<'a>)> {
        let parted = Parted::of(path)?;
        let folder = match parted.folder {
            Some(folder) => self.reach(folder, libc::O_DIRECTORY).await?,
            None => self.fd.clone(),
        };
        Ok((folder, parted))
    }

    /// Opens what a path leads to as a place alone: to be asked, or to start from.
    pub(super) fn reach(
        &self,
        path: &Path,
        flags: i32,
    ) -> impl SingleOperation<Output = io::Result<SharedFd>> + use<> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(libc::O_PATH | flags);
        options.open_as(Some(self.fd.clone()), path, identity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_is_parted_at_its_last_name() {
        for (path, folder, name, plain) in [
            ("a", None, "a", "a"),
            ("a//", None, "a//", "a"),
            (".", None, ".", "."),
            ("a/b", Some("a/"), "b", "b"),
            ("a//b/", Some("a//"), "b/", "b"),
            ("../b", Some("../"), "b", "b"),
            ("a/../b", Some("a/../"), "b", "b"),
            ("...", None, "...", "..."),
        ] {
            let parted = Parted::of(Path::new(path)).expect(path);
            assert_eq!(parted.folder, folder.map(Path::new), "{path}");
            assert_eq!((parted.name, parted.plain_name()), (Path::new(name), Path::new(plain)));
            assert_eq!(parted.names_a_folder(), name != plain, "{path}");
        }
        for (path, errno) in [
            ("", libc::ENOENT),
            ("/", libc::EXDEV),
            ("///", libc::EXDEV),
            ("/a", libc::EXDEV),
            ("..", libc::EXDEV),
            ("../", libc::EXDEV),
            ("a/..", libc::EXDEV),
        ] {
            let error = Parted::of(Path::new(path)).err().expect(path);
            assert_eq!(error.raw_os_error(), Some(errno), "{path}");
        }
    }
}
