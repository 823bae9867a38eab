//! A path that must not leave its folder, on a kernel that does not watch over it.
//!
//! `openat2(2)` came with Linux 5.6, and containers whose filters are older refuse it. There the path
//! is walked name by name, each opened relative to the folder before it and never through a symbolic
//! link: a link that somebody puts in place meanwhile is not followed either. What `openat2` decides
//! while it walks, whether a link or `..` stays below the folder, cannot be decided from outside
//! without a race, so both are refused.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::driver::SharedFd;
use crate::op::open_at::OpenAt;
use crate::sys::{file, log};

/// A walk that has arrived at a folder.
pub(super) struct Walk {
    folder: SharedFd,
    /// Those of the folders below it, and the last, of what is to be opened.
    names: VecDeque<OsString>,
    flags: i32,
    mode: u32,
}

/// What a step of a walk has come to.
pub(super) enum Step {
    /// A folder on the way.
    Further(OpenAt),
    /// The end of the path.
    Arrived(SharedFd),
}

const FOLDER_ON_THE_WAY: i32 = libc::O_PATH | libc::O_NOFOLLOW | libc::O_DIRECTORY;

impl Walk {
    /// Whether an error says that the kernel, or a filter, refuses `openat2(2)` altogether. The
    /// error numbers that it is refused with have other reasons, too, so it is asked for.
    pub(super) fn is_needed(error: &io::Error) -> bool {
        let may_be = [libc::ENOSYS, libc::EPERM, libc::EINVAL];
        error.raw_os_error().is_some_and(|errno| may_be.contains(&errno)) && file::lacks_openat2()
    }

    /// A walk from `folder` to what `path` names, to be opened with `flags` and `mode`.
    pub(super) fn begin(
        folder: SharedFd,
        path: &Path,
        flags: i32,
        mode: u32,
    ) -> io::Result<(Self, OpenAt)> {
        static TOLD: AtomicBool = AtomicBool::new(false);
        if !TOLD.swap(true, Ordering::Relaxed) {
            log::warn(format_args!(
                "openat2 is missing or refused: paths that must stay below a folder are walked name \
                 by name, and symbolic links and `..` in them are refused; allow openat2 (Linux 5.6) \
                 in the seccomp profile"
            ));
        }
        let bytes = path.as_os_str().as_bytes();
        if bytes.is_empty() {
            return Err(io::Error::from_raw_os_error(libc::ENOENT));
        }
        let mut names: VecDeque<OsString> = VecDeque::new();
        let mut names_a_folder = false;
        for (index, name) in bytes.split(|&byte| byte == b'/').enumerate() {
            match name {
                b"" if index == 0 => return Err(io::Error::from_raw_os_error(libc::EXDEV)),
                b".." => return Err(io::Error::from_raw_os_error(libc::EXDEV)),
                b"" | b"." => {}
                _ => names.push_back(OsStr::from_bytes(name).to_owned()),
            }
            names_a_folder = matches!(name, b"" | b".");
        }
        if names_a_folder && flags & libc::O_CREAT != 0 {
            return Err(io::Error::from_raw_os_error(libc::EISDIR));
        }
        if names.is_empty() {
            names.push_back(".".into());
        }
        let flags = if names_a_folder { flags | libc::O_DIRECTORY } else { flags };
        let mut walk = Walk { folder, names, flags, mode };
        let first = walk.open_next()?;
        Ok((walk, first))
    }

    fn open_next(&mut self) -> io::Result<OpenAt> {
        let name = self.names.pop_front().expect("a walk goes on while there are names");
        let flags = match self.names.is_empty() {
            true => self.flags | libc::O_NOFOLLOW,
            false => FOLDER_ON_THE_WAY,
        };
        OpenAt::new(Some(self.folder.clone()), Path::new(&name), flags, self.mode, 0)
    }

    /// Goes on from what was opened.
    pub(super) fn go_on(&mut self, opened: SharedFd) -> io::Result<Step> {
        if self.names.is_empty() {
            // O_PATH opens a link itself, which is what was asked for only with O_NOFOLLOW.
            let wants_link = self.flags & libc::O_PATH == 0 || self.flags & libc::O_NOFOLLOW != 0;
            if !wants_link && file::is_link(opened.as_fd()) {
                return Err(io::Error::from_raw_os_error(libc::ELOOP));
            }
            return Ok(Step::Arrived(opened));
        }
        self.folder = opened;
        self.open_next().map(Step::Further)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::sync::Arc;

    use super::*;
    use crate::driver::submit;
    use crate::op::test_files::{Folder, contents};

    async fn walk(folder: &SharedFd, path: &str, flags: i32) -> io::Result<SharedFd> {
        let (mut walk, mut next) = Walk::begin(folder.clone(), Path::new(path), flags, 0o640)?;
        loop {
            let opened = submit(next).await.map_err(|unopened| unopened.error)?;
            next = match walk.go_on(opened)? {
                Step::Arrived(fd) => return Ok(fd),
                Step::Further(next) => next,
            };
        }
    }

    async fn refusal(folder: &SharedFd, path: &str, flags: i32) -> Option<i32> {
        walk(folder, path, flags).await.err().and_then(|error| error.raw_os_error())
    }

    /// A folder `root` with `a/b/file` beside a file `secret`, and `root`, open.
    async fn tree() -> (Folder, SharedFd) {
        let folder = Folder::new();
        let root = folder.join("root");
        fs::create_dir_all(root.join("a/b")).expect("a disk");
        fs::write(root.join("a/b/file"), "within").expect("a disk");
        folder.file("secret", b"outside");
        let open = OpenAt::new(None, &root, libc::O_PATH, 0, 0).expect("no NUL");
        let root = submit(open).await.map_err(|unopened| unopened.error).expect("it is there");
        (folder, root)
    }

    #[corering::test]
    async fn walk_opens_what_is_below_its_folder_and_nothing_else() {
        let (_folder, root) = tree().await;
        for path in ["a/b/file", "./a//./b/file"] {
            let fd = walk(&root, path, libc::O_RDONLY).await.expect("it is there");
            assert_eq!(contents(&fd), b"within", "{path}");
        }
        for path in [".", "a", "a/", "a/b/.", "a/b//"] {
            walk(&root, path, libc::O_RDONLY | libc::O_DIRECTORY).await.expect("a folder");
        }
        let outside = ["/", "/etc/hostname", "..", "../secret", "a/../../secret", "a/.."];
        for path in outside {
            assert_eq!(refusal(&root, path, libc::O_RDONLY).await, Some(libc::EXDEV), "{path}");
        }
        for (path, errno) in [
            ("", libc::ENOENT),
            ("a/none", libc::ENOENT),
            ("none/file", libc::ENOENT),
            ("a/b/file/", libc::ENOTDIR),
            ("a/b/file/.", libc::ENOTDIR),
            ("a/b/file/more", libc::ENOTDIR),
        ] {
            assert_eq!(refusal(&root, path, libc::O_RDONLY).await, Some(errno), "{path}");
        }
    }

    #[corering::test]
    async fn walk_follows_no_symbolic_link_wherever_it_leads() {
        let (folder, root) = tree().await;
        let links = [
            ("inward", "a/b/file"),
            ("outward", "../secret"),
            ("absolute", "/etc/hostname"),
            ("magic", "/proc/self/exe"),
            ("dangling", "none"),
        ];
        for (name, target) in links {
            symlink(target, folder.join("root").join(name)).expect("links work");
            for flags in [libc::O_RDONLY, libc::O_PATH, libc::O_WRONLY | libc::O_CREAT] {
                assert_eq!(refusal(&root, name, flags).await, Some(libc::ELOOP), "{name}");
            }
        }
        assert!(!folder.join("root/none").exists(), "nothing is created behind a link");
        for (name, target) in [("folder", "a/b"), ("up", "..")] {
            symlink(target, folder.join("root").join(name)).expect("links work");
            for below in ["file", "secret", ".", ""] {
                let path = format!("{name}/{below}");
                let refused = refusal(&root, &path, libc::O_RDONLY).await;
                assert_eq!(refused, Some(libc::ENOTDIR), "{path}");
            }
        }
        let link = walk(&root, "outward", libc::O_PATH | libc::O_NOFOLLOW).await;
        assert!(file::is_link(link.expect("the link itself was asked for").as_fd()));
    }

    #[corering::test]
    async fn walk_creates_with_the_mode_that_was_asked_for() {
        let (folder, root) = tree().await;
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL;
        walk(&root, "a/new", flags).await.expect("it can be created");
        let mode = fs::metadata(folder.join("root/a/new")).expect("it is there").permissions();
        assert_eq!(mode.mode() & 0o7717, 0o600);
        assert_eq!(refusal(&root, "a/new", flags).await, Some(libc::EEXIST));
        assert_eq!(refusal(&root, "a/newer/", flags).await, Some(libc::EISDIR));
    }

    #[corering::test]
    async fn walk_stays_below_while_folder_and_link_are_exchanged() {
        let (folder, root) = tree().await;
        let (outside, link) = (folder.join("outside"), folder.join("root/link"));
        fs::create_dir_all(outside.join("b")).expect("a disk");
        fs::write(outside.join("b/file"), "outside").expect("a disk");
        symlink(outside, &link).expect("links work");
        let (inside, aside) = (folder.join("root/a"), folder.join("root/aside"));
        let over = Arc::new(AtomicBool::new(false));
        let is_over = over.clone();
        let exchanging = std::thread::spawn(move || {
            let rename = |from: &Path, to: &Path| fs::rename(from, to).expect("names change");
            while !is_over.load(Ordering::Relaxed) {
                rename(&inside, &aside);
                rename(&link, &inside);
                rename(&inside, &link);
                rename(&aside, &inside);
            }
        });
        let mut opened = 0;
        while opened < 200 {
            match walk(&root, "a/b/file", libc::O_RDONLY).await {
                Ok(fd) => {
                    assert_eq!(contents(&fd), b"within");
                    opened += 1;
                }
                Err(error) => {
                    let errno = error.raw_os_error();
                    assert!(matches!(errno, Some(libc::ENOENT | libc::ENOTDIR)), "{error}");
                }
            }
        }
        over.store(true, Ordering::Relaxed);
        exchanging.join().expect("it does not panic");
    }
}
