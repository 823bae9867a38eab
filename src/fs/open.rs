//! How files are opened.

use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use super::File;
use super::walk::{Step, Walk};
use crate::driver::{SharedFd, Single, SingleOperation};
use crate::op::{open_at::OpenAt, open_at::Unopened};

/// How a file is opened: for what, and what happens if it is there, or is not.
///
/// # Examples
///
/// ```
/// use corering::fs::OpenOptions;
///
/// corering::block_on(async {
///     let null = OpenOptions::new().write(true).open("/dev/null").await?;
///     let (written, _) = null.write_at("nothing", 0).await?;
///     assert_eq!(written, 7);
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing until `open`"]
pub struct OpenOptions {
    read: bool,
    write: bool,
    append: bool,
    truncate: bool,
    create: bool,
    create_new: bool,
    mode: u32,
    custom_flags: i32,
    beneath: Option<SharedFd>,
}

/// A path with `..` is tried so often again when something that is being renamed kept the kernel
/// from finding out whether the path leaves the folder.
const RACES_MAX: u32 = 256;

impl OpenOptions {
    /// All off, and the mode 0o666.
    pub fn new() -> Self {
        OpenOptions {
            read: false,
            write: false,
            append: false,
            truncate: false,
            create: false,
            create_new: false,
            mode: 0o666,
            custom_flags: 0,
            beneath: None,
        }
    }

    /// For reading. Default: false.
    pub fn read(&mut self, read: bool) -> &mut Self {
        self.read = read;
        self
    }

    /// For writing. Default: false.
    pub fn write(&mut self, write: bool) -> &mut Self {
        self.write = write;
        self
    }

    /// For writing at the end, wherever the end is at that moment: the offset that a write is given
    /// is then ignored. Default: false.
    pub fn append(&mut self, append: bool) -> &mut Self {
        self.append = append;
        self
    }

    /// Empties a file that is there. Default: false.
    pub fn truncate(&mut self, truncate: bool) -> &mut Self {
        self.truncate = truncate;
        self
    }

    /// Creates a file that is not there. Default: false.
    pub fn create(&mut self, create: bool) -> &mut Self {
        self.create = create;
        self
    }

    /// Creates a file, and fails with `AlreadyExists` if it is there. `create` and `truncate` are
    /// then without effect. Default: false.
    pub fn create_new(&mut self, create_new: bool) -> &mut Self {
        self.create_new = create_new;
        self
    }

    /// The permissions of a file that is created, less the process's umask. Default: 0o666.
    pub fn mode(&mut self, mode: u32) -> &mut Self {
        self.mode = mode;
        self
    }

    /// Further flags of `open(2)`, for instance `libc::O_DIRECT` or `libc::O_NOFOLLOW`. The access
    /// mode in them is ignored. Default: none, and close-on-exec is always added.
    pub fn custom_flags(&mut self, flags: i32) -> &mut Self {
        self.custom_flags = flags;
        self
    }

    /// Takes paths as relative to `folder`, and refuses those that lead out of it: an absolute path,
    /// `..` and symbolic links, wherever they stand in the path, as far as they leave the folder.
    /// The kernel checks while it walks, so nobody can exchange a part of the path meanwhile.
    ///
    /// [`Dir`](super::Dir) does the same for all that can be done below a folder.
    ///
    /// A refused path is an error with the code `EXDEV` (`CrossesDevices`). Links of `/proc` are not
    /// followed (`ELOOP`).
    ///
    /// The kernel does so from Linux 5.6 on, by `openat2(2)`. Where that is missing, or refused by a
    /// seccomp filter, the path is walked name by name, still safe from whoever exchanges a part of
    /// it; then `..` is refused altogether (`EXDEV`), and so is every symbolic link (`ELOOP`, and
    /// `ENOTDIR` for one on the way). A line of the log says so.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::fs::{File, OpenOptions};
    ///
    /// corering::block_on(async {
    ///     let root = File::open("/proc").await?;
    ///     let mut within = OpenOptions::new();
    ///     within.read(true).resolve_beneath(&root);
    ///     assert!(within.open("version").await.is_ok());
    ///     assert!(within.open("../etc/passwd").await.is_err());
    ///     assert!(within.open("/etc/passwd").await.is_err());
    ///     Ok::<(), std::io::Error>(())
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "RESOLVE_BENEATH")]
    pub fn resolve_beneath(&mut self, folder: &File) -> &mut Self {
        self.beneath = Some(folder.shared().clone());
        self
    }

    /// Opens a file.
    ///
    /// Opening a FIFO waits for its other end on epoll, and takes a thread of the pool meanwhile,
    /// unless `libc::O_NONBLOCK` is among the custom flags; for regular files that flag is without
    /// effect. A ring opens a FIFO whose path the kernel has in memory as with that flag: at once
    /// for reading, and for writing without a reader it fails with `ENXIO`.
    ///
    /// # Cancel safety
    ///
    /// A drop leaves a file that may have been created or emptied, if the options say so; what was
    /// opened is closed. `within` [may be late](super#limits-in-time).
    ///
    /// # Errors
    ///
    /// Those of `open(2)`: `NotFound`, `PermissionDenied`, `AlreadyExists`, `IsADirectory` (for
    /// writing), too many open files; `InvalidInput` for options that contradict each other and for
    /// a path with a NUL byte.
    #[doc(alias = "IORING_OP_OPENAT")]
    #[doc(alias = "IORING_OP_OPENAT2")]
    pub fn open<P: AsRef<Path>>(
        &self,
        path: P,
    ) -> impl SingleOperation<Output = io::Result<File>> + use<P> {
        self.open_file(self.beneath.clone(), path.as_ref())
    }

    /// Opens a file, below a folder if one is given.
    pub(super) fn open_file(
        &self,
        beneath: Option<SharedFd>,
        path: &Path,
    ) -> impl SingleOperation<Output = io::Result<File>> + use<> {
        let is_direct = self.custom_flags & libc::O_DIRECT != 0;
        self.open_as(beneath, path, move |fd| File::opened(fd, is_direct))
    }

    /// Opens what `opened` makes something of.
    pub(super) fn open_as<T, F: FnMut(SharedFd) -> T>(
        &self,
        beneath: Option<SharedFd>,
        path: &Path,
        mut opened: F,
    ) -> impl SingleOperation<Output = io::Result<T>> + use<T, F> {
        // Without a folder that must not be left EAGAIN has another meaning.
        let races_left = if beneath.is_some() { RACES_MAX } else { 0 };
        let mut attempts = Attempts { races_left, walk: None };
        let first = self.operation(beneath, path).map_err(Err);
        Single::new(first, move |attempt| match attempts.after(attempt) {
            Ok(Step::Arrived(fd)) => ControlFlow::Break(Ok(opened(fd))),
            Ok(Step::Further(next)) => ControlFlow::Continue(next),
            Err(error) => ControlFlow::Break(Err(error)),
        })
    }

    fn operation(&self, beneath: Option<SharedFd>, path: &Path) -> io::Result<OpenAt> {
        let flags = self.access()? | self.creation()? | self.custom_flags & !libc::O_ACCMODE;
        let resolve = match beneath {
            Some(_) => libc::RESOLVE_BENEATH | libc::RESOLVE_NO_MAGICLINKS,
            None => 0,
        };
        OpenAt::new(beneath, path, flags, self.mode, resolve)
    }

    fn access(&self) -> io::Result<i32> {
        Ok(match (self.read, self.write, self.append) {
            (true, false, false) => libc::O_RDONLY,
            (false, true, false) => libc::O_WRONLY,
            (true, true, false) => libc::O_RDWR,
            (false, _, true) => libc::O_WRONLY | libc::O_APPEND,
            (true, _, true) => libc::O_RDWR | libc::O_APPEND,
            (false, false, false) => {
                return Err(contradiction("a file is opened to read, write or append: set one"));
            }
        })
    }

    fn creation(&self) -> io::Result<i32> {
        let changes = self.truncate || self.create || self.create_new;
        if changes && !self.write && !self.append {
            return Err(contradiction(
                "only a file that is opened to write or append can be created or truncated",
            ));
        }
        if self.truncate && self.append && !self.create_new {
            return Err(contradiction("a file is either truncated or appended to"));
        }
        Ok(match (self.create, self.truncate, self.create_new) {
            (_, _, true) => libc::O_CREAT | libc::O_EXCL,
            (true, true, false) => libc::O_CREAT | libc::O_TRUNC,
            (true, false, false) => libc::O_CREAT,
            (false, true, false) => libc::O_TRUNC,
            (false, false, false) => 0,
        })
    }
}

fn contradiction(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("OpenOptions: {text}"))
}

impl Default for OpenOptions {
    fn default() -> Self {
        OpenOptions::new()
    }
}

/// How often one file was tried to be opened: again and again while the kernel cannot tell whether a
/// path leaves its folder, and step by step where it never can.
struct Attempts {
    /// So many attempts more if it is refused for a race.
    races_left: u32,
    walk: Option<Walk>,
}

impl Attempts {
    /// What comes after an attempt.
    fn after(&mut self, attempt: Result<SharedFd, Unopened>) -> io::Result<Step> {
        let Unopened { error, again } = match (attempt, &mut self.walk) {
            (Ok(fd), None) => return Ok(Step::Arrived(fd)),
            (Ok(fd), Some(walk)) => return walk.go_on(fd),
            (Err(unopened), Some(_)) => return Err(unopened.error),
            (Err(unopened), None) => unopened,
        };
        if self.races_left > 0 && error.raw_os_error() == Some(libc::EAGAIN) {
            self.races_left -= 1;
            return Ok(Step::Further(again));
        }
        if !Walk::is_needed(&error) {
            return Err(error);
        }
        let Some((folder, path, flags, mode)) = again.beneath() else { return Err(error) };
        let (walk, first) = Walk::begin(folder, &path, flags, mode)?;
        self.walk = Some(walk);
        Ok(Step::Further(first))
    }
}
