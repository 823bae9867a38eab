//! A folder that is open, and what is below it.
//!
//! No path leaves the folder, whoever exchanges its parts meanwhile. Read `path.rs` first.

mod names;
mod path;

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use self::path::is_name;
use super::folder::{Folder, create_all};
use super::on_pool::{by_path, on_pool};
use super::whole::{self, Progress};
use super::{File, Metadata, OpenOptions, ReadDir};
use crate::buf::{BufError, IoBuf};
use crate::driver::{SharedFd, SingleOperation, submit};
use crate::op::statx::Statx;

/// A folder that is open: its methods take paths below it, and never leave it.
///
/// An absolute path, `..` and symbolic links are refused wherever they stand in a path, as far as they
/// lead out of the folder: with the error code `EXDEV` (`CrossesDevices`), or `ELOOP` for links of
/// `/proc`. The kernel checks while it walks, so somebody who exchanges a folder for a link meanwhile
/// gains nothing. Where `openat2(2)` (Linux 5.6) is missing or refused by a seccomp filter, paths are
/// walked name by name; then `..` is refused altogether (`EXDEV`), and so is every symbolic link that
/// would be followed (`ELOOP`, and `ENOTDIR` for one on the way). A line of the log says so.
///
/// The folder is the same though it is renamed; once it is removed, everything fails with `NotFound`.
/// A path of one name costs one system call, or two if a link has to be followed; of a longer path the
/// folder of its last name is opened first.
///
/// A clone is another handle of the same open folder and costs no descriptor.
///
/// # Examples
///
/// ```
/// use corering::fs::Dir;
///
/// # let folder = std::env::temp_dir().join(format!("corering-doc-dir-{}", std::process::id()));
/// corering::block_on(async {
///     corering::fs::create_dir_all(folder.join("uploads")).await?;
///     let uploads = Dir::open(folder.join("uploads")).await?;
///     uploads.create_dir("today").await?;
///     uploads.write("today/note", "hello").await?;
///     uploads.hard_link("today/note", &uploads, "note").await?;
///     uploads.rename("note", &uploads, "newest").await?;
///     assert_eq!(uploads.read("newest").await?, b"hello");
///     uploads.symlink("../../secret", "trap").await?;
///     for path in ["../secret", "trap", "/etc/passwd"] {
///         assert!(uploads.read(path).await.is_err(), "it leads out");
///     }
///     corering::fs::remove_dir_all(&folder).await
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Dir {
    fd: SharedFd,
}

impl Dir {
    /// Opens a folder, by any path: symbolic links and `..` are followed.
    ///
    /// It is opened to start from (`O_PATH`), so no permission to read it is asked for.
    ///
    /// # Cancel safety
    ///
    /// A drop leaves nothing: what was opened is closed. `within` [may be late](super#limits-in-time).
    ///
    /// # Errors
    ///
    /// Those of `open(2)`: `NotFound`, `NotADirectory`, `PermissionDenied` for a folder on the way,
    /// too many open files; `InvalidInput` for a path with a NUL byte.
    ///
    /// # Examples
    ///
    /// See [`Dir`].
    #[doc(alias = "IORING_OP_OPENAT")]
    #[doc(alias = "O_PATH")]
    pub fn open<P: AsRef<Path>>(
        path: P,
    ) -> impl SingleOperation<Output = io::Result<Dir>> + use<P> {
        Dir::options().open_as(None, path.as_ref(), |fd| Dir { fd })
    }

    /// What opens folders to start from.
    fn options() -> OpenOptions {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(libc::O_PATH | libc::O_DIRECTORY);
        options
    }

    /// Opens a folder below this one.
    ///
    /// # Cancel safety
    ///
    /// As [`open`](Self::open).
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open), and [those of a path that leads out](Self).
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::fs::Dir;
    ///
    /// corering::block_on(async {
    ///     let own = Dir::open("/proc").await?.open_dir("self/task").await?;
    ///     assert!(own.open_dir("..").await.is_err());
    ///     Ok::<(), std::io::Error>(())
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "RESOLVE_BENEATH")]
    #[doc(alias = "IORING_OP_OPENAT2")]
    pub fn open_dir<P: AsRef<Path>>(
        &self,
        path: P,
    ) -> impl SingleOperation<Output = io::Result<Dir>> + use<P> {
        Dir::options().open_as(Some(self.fd.clone()), path.as_ref(), |fd| Dir { fd })
    }

    /// Opens a file, or a folder, for reading.
    ///
    /// # Cancel safety
    ///
    /// As [`File::open`].
    ///
    /// # Errors
    ///
    /// Those of [`File::open`], and [those of a path that leads out](Self).
    ///
    /// # Examples
    ///
    /// ```
    /// corering::block_on(async {
    ///     let folder = corering::fs::Dir::open("/proc").await?;
    ///     let version = folder.open_file("version").await?.read_to_end().await?;
    ///     assert!(version.starts_with(b"Linux"));
    ///     assert!(folder.open_file("../etc/passwd").await.is_err());
    ///     Ok::<(), std::io::Error>(())
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "RESOLVE_BENEATH")]
    #[doc(alias = "IORING_OP_OPENAT2")]
    pub fn open_file<P: AsRef<Path>>(
        &self,
        path: P,
    ) -> impl SingleOperation<Output = io::Result<File>> + use<P> {
        self.open_with(OpenOptions::new().read(true), path)
    }

    /// Opens a file for writing: creates it if it is not there, and empties it if it is.
    ///
    /// # Cancel safety
    ///
    /// As [`File::create`].
    ///
    /// # Errors
    ///
    /// Those of [`File::create`], and [those of a path that leads out](Self).
    ///
    /// # Examples
    ///
    /// See [`open_with`](Self::open_with).
    pub fn create_file<P: AsRef<Path>>(
        &self,
        path: P,
    ) -> impl SingleOperation<Output = io::Result<File>> + use<P> {
        self.open_with(OpenOptions::new().write(true).create(true).truncate(true), path)
    }

    /// Opens a file as the options say, below this folder whatever [`OpenOptions::resolve_beneath`] was given.
    ///
    /// # Cancel safety
    ///
    /// As [`OpenOptions::open`].
    ///
    /// # Errors
    ///
    /// Those of [`OpenOptions::open`], and [those of a path that leads out](Self).
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::fs::{Dir, OpenOptions};
    ///
    /// # let folder = std::env::temp_dir().join(format!("corering-doc-with-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// corering::block_on(async {
    ///     let dir = Dir::open(&folder).await?;
    ///     dir.create_file("log").await?.write_all_at("one\n", 0).await?;
    ///     let log = dir.open_with(OpenOptions::new().append(true), "log").await?;
    ///     log.write_all_at("two\n", 0).await?;
    ///     assert_eq!(dir.read("log").await?, b"one\ntwo\n");
    ///     dir.remove_file("log").await
    /// })?;
    /// # std::fs::remove_dir(&folder)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn open_with<P: AsRef<Path>>(
        &self,
        options: &OpenOptions,
        path: P,
    ) -> impl SingleOperation<Output = io::Result<File>> + use<P> {
        options.open_file(Some(self.fd.clone()), path.as_ref())
    }

    /// Reads a whole file, as [`fs::read`](super::read()) does.
    ///
    /// # Cancel safety
    ///
    /// A drop leaves nothing.
    ///
    /// # Errors
    ///
    /// Those of [`open_file`](Self::open_file) and [`File::read_to_end`].
    ///
    /// # Examples
    ///
    /// See [`Dir`].
    pub async fn read<P: AsRef<Path>>(&self, path: P) -> io::Result<Vec<u8>> {
        let file = self.open_file(path).await?;
        whole::read_to_end(Progress::of(&file, 0)).await
    }

    /// Writes a buffer as the whole contents of a file, as [`fs::write`](super::write()) does.
    ///
    /// # Cancel safety
    ///
    /// A drop leaves a file that may have been created, emptied, or written with a first part of the
    /// buffer or all, and loses the buffer.
    ///
    /// # Errors
    ///
    /// Those of [`create_file`](Self::create_file) and [`File::write_all_at`]. The error carries the
    /// buffer.
    ///
    /// # Examples
    ///
    /// See [`Dir`].
    pub async fn write<P: AsRef<Path>, B: IoBuf>(&self, path: P, buf: B) -> Result<B, BufError<B>> {
        match self.create_file(path).await {
            Ok(file) => whole::write_all(Progress::of(&file, 0), buf).await,
            Err(error) => Err(BufError::new(error, buf)),
        }
    }

    /// What the file system knows of the file at a path; a symbolic link is followed.
    ///
    /// # Cancel safety
    ///
    /// A drop leaves nothing.
    ///
    /// # Errors
    ///
    /// Those of [`fs::metadata`](super::metadata()), and [those of a path that leads out](Self).
    ///
    /// # Examples
    ///
    /// ```
    /// corering::block_on(async {
    ///     let proc = corering::fs::Dir::open("/proc").await?;
    ///     assert!(proc.metadata("self").await?.is_dir());
    ///     assert!(proc.symlink_metadata("self").await?.is_symlink());
    ///     assert!(proc.exists("self/status").await?);
    ///     Ok::<(), std::io::Error>(())
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "IORING_OP_STATX")]
    pub async fn metadata<P: AsRef<Path>>(&self, path: P) -> io::Result<Metadata> {
        let path = path.as_ref();
        if is_name(path) {
            let known = self.metadata_of_name(path).await?;
            if !known.is_symlink() {
                return Ok(known);
            }
        }
        self.metadata_at(path, 0).await
    }

    /// What the file system knows of what is at a path: of a symbolic link itself, if it is one.
    ///
    /// # Cancel safety
    ///
    /// A drop leaves nothing.
    ///
    /// # Errors
    ///
    /// As [`metadata`](Self::metadata).
    ///
    /// # Examples
    ///
    /// See [`metadata`](Self::metadata).
    #[doc(alias = "IORING_OP_STATX")]
    pub async fn symlink_metadata<P: AsRef<Path>>(&self, path: P) -> io::Result<Metadata> {
        let path = path.as_ref();
        match is_name(path) {
            true => self.metadata_of_name(path).await,
            false => self.metadata_at(path, libc::O_NOFOLLOW).await,
        }
    }

    async fn metadata_of_name(&self, name: &Path) -> io::Result<Metadata> {
        let statx = Statx::new(Some(self.fd.clone()), name, libc::AT_SYMLINK_NOFOLLOW)?;
        submit(statx).await.map(Metadata::new)
    }

    async fn metadata_at(&self, path: &Path, flags: i32) -> io::Result<Metadata> {
        let reached = self.reach(path, flags).await?;
        submit(Statx::of_file(reached)).await.map(Metadata::new)
    }

    /// Whether something is at a path; a symbolic link is followed.
    ///
    /// # Cancel safety
    ///
    /// A drop leaves nothing.
    ///
    /// # Errors
    ///
    /// As [`metadata`](Self::metadata), but for `NotFound`, which is `Ok(false)`.
    ///
    /// # Examples
    ///
    /// See [`metadata`](Self::metadata).
    #[doc(alias = "IORING_OP_STATX")]
    pub async fn exists<P: AsRef<Path>>(&self, path: P) -> io::Result<bool> {
        match self.metadata(path).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Sets who may read, write and execute the file at a path; a symbolic link is followed. A thread of
    /// the pool does it, through `/proc`.
    ///
    /// # Cancel safety
    ///
    /// It may happen though the future is dropped.
    ///
    /// # Errors
    ///
    /// Those of [`fs::set_permissions`](super::set_permissions), and
    /// [those of a path that leads out](Self).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::fs::Permissions;
    /// use std::os::unix::fs::PermissionsExt;
    ///
    /// # let folder = std::env::temp_dir().join(format!("corering-doc-dirmode-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// corering::block_on(async {
    ///     let dir = corering::fs::Dir::open(&folder).await?;
    ///     dir.write("key", "secret").await?;
    ///     dir.set_permissions("key", Permissions::from_mode(0o600)).await?;
    ///     assert_eq!(dir.metadata("key").await?.mode() & 0o777, 0o600);
    ///     dir.remove_file("key").await
    /// })?;
    /// # std::fs::remove_dir(&folder)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "fchmodat")]
    pub async fn set_permissions<P: AsRef<Path>>(
        &self,
        path: P,
        permissions: std::fs::Permissions,
    ) -> io::Result<()> {
        let reached = self.reach(path.as_ref(), 0).await?.as_fd().try_clone_to_owned()?;
        on_pool(move || {
            by_path(reached.as_fd(), |path| std::fs::set_permissions(path, permissions))
        })
        .await
    }

    /// What is in a folder, in no order, without `.` and `..`; `.` is this folder. The paths of entries
    /// begin with the one that is given here. It is read through `/proc`, as
    /// [`fs::read_dir`](super::read_dir) does.
    ///
    /// # Cancel safety
    ///
    /// A drop leaves nothing.
    ///
    /// # Errors
    ///
    /// Those of [`fs::read_dir`](super::read_dir), and [those of a path that leads out](Self).
    ///
    /// # Examples
    ///
    /// ```
    /// corering::block_on(async {
    ///     let proc = corering::fs::Dir::open("/proc").await?;
    ///     let mut entries = proc.read_dir("self/fd").await?;
    ///     while let Some(entry) = entries.next_entry().await? {
    ///         assert!(entry.path().starts_with("self/fd"));
    ///     }
    ///     Ok::<(), std::io::Error>(())
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "getdents")]
    #[doc(alias = "scandir")]
    pub async fn read_dir<P: AsRef<Path>>(&self, path: P) -> io::Result<ReadDir> {
        let path = path.as_ref();
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(libc::O_DIRECTORY);
        let open = options.open_as(Some(self.fd.clone()), path, |fd| fd).await?;
        let (open, path) = (open.as_fd().try_clone_to_owned()?, path.to_owned());
        ReadDir::open(|| Folder::below(open, path)).await
    }

    /// Makes a folder, and those above it that are missing, as
    /// [`fs::create_dir_all`](super::create_dir_all) does.
    ///
    /// # Cancel safety
    ///
    /// A drop leaves folders of which the first may have been made, or all.
    ///
    /// # Errors
    ///
    /// Those of [`create_dir`](Self::create_dir); `AlreadyExists` if something else than a folder has
    /// the name.
    ///
    /// # Examples
    ///
    /// ```
    /// # let folder = std::env::temp_dir().join(format!("corering-doc-dirall-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// corering::block_on(async {
    ///     let dir = corering::fs::Dir::open(&folder).await?;
    ///     dir.create_dir_all("a/b/c").await?;
    ///     assert!(dir.metadata("a/b/c").await?.is_dir());
    ///     dir.remove_dir_all("a").await
    /// })?;
    /// # std::fs::remove_dir(&folder)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "makedirs")]
    pub async fn create_dir_all<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        let create = async |path: &Path| self.create_dir(path).await;
        create_all(path.as_ref(), create, async |path: &Path| {
            Ok(self.metadata(path).await?.is_dir())
        })
        .await
    }
}

impl From<OwnedFd> for Dir {
    /// Takes over a folder that is open. What is no folder makes every method fail with
    /// `NotADirectory`.
    fn from(fd: OwnedFd) -> Self {
        Dir { fd: SharedFd::from(fd) }
    }
}

impl From<&File> for Dir {
    /// The folder that was opened as a file.
    fn from(folder: &File) -> Self {
        Dir { fd: folder.shared().clone() }
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.expose()
    }
}

impl fmt::Debug for Dir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dir").field("fd", &self.fd.raw()).finish()
    }
}
