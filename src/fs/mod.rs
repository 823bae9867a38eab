//! Files, with owned buffers and offsets. A file has no position here; a [`Cursor`] over it has.
//!
//! On a ring every call here is an operation of the kernel's; on epoll, which cannot wait for a
//! disk, each runs on a thread of the blocking pool. Either way the shard goes on. The exception are
//! files that are not on a disk (a pipe, a terminal): they are waited for as sockets are.
//! [The guide](crate::guide::files) says what to take for what.
//!
//! What memory can answer takes no thread, neither of the pool nor of the kernel: a file that is opened by
//! a path the kernel has in memory, the metadata of local file systems, reads that the page cache has, and
//! writes where the file system takes them without waiting (XFS and Btrfs do).
//!
//! # Limits in time
//!
//! What the kernel has begun with a file it may not be able to cancel.
//! [`within`](crate::time::within) then waits until the disk has answered, however late that is;
//! [`timeout`](crate::time::timeout) is never late, and leaves the operation behind with its buffer
//! until then. What is made of several operations ([`read`], [`write()`], [`File::read_exact_at`],
//! [`File::write_all_at`], [`File::read_to_end`], what [`Dir`] does but for opening) is limited by
//! `timeout` only.
//!
//! Read `file.rs` first, then `whole.rs`, which is what takes several operations.

#![forbid(unsafe_code)]

mod alignment;
mod atomic;
mod cache;
mod copy;
mod cursor;
mod dir;
mod dir_builder;
mod file;
mod folder;
mod fresh;
mod metadata;
mod names;
mod on_pool;
mod open;
mod positional;
mod temporary;
mod times;
mod walk;
mod watch;
mod whole;

pub use atomic::atomic_write;
pub use cache::{CachedFile, FileCache, FileCacheBuilder};
pub use copy::copy;
pub use cursor::Cursor;
pub use dir::Dir;
pub use dir_builder::DirBuilder;
pub use file::{Advice, File};
pub use folder::{DirEntry, ReadDir, create_dir_all, read_dir, remove_dir_all};
pub use metadata::{Attributes, DirectAlignment, FileType, Metadata};
pub use names::{canonicalize, hard_link, read_link, symlink};
pub use open::OpenOptions;
pub use temporary::{TempFile, tempfile, tempfile_in};
pub use times::{FileTimes, set_times};
pub use watch::{Change, WatchEvent, WatchId, WatchMask, Watcher, Watches, watch};

use std::convert::identity;
use std::io;
use std::path::Path;

use self::whole::Progress;
use crate::buf::{BufError, IoBuf};
use crate::driver::{SingleOperation, single_with};
use crate::op;

/// Reads a whole file.
///
/// Files whose size is not known before they are read, as those of `/proc`, are read to their end,
/// too. Not for files opened with `O_DIRECT`, which need aligned buffers.
///
/// # Cancel safety
///
/// A drop leaves nothing.
///
/// # Errors
///
/// Those of [`File::open`] and [`File::read_to_end`], for instance `IsADirectory` for a folder.
///
/// # Examples
///
/// ```
/// corering::block_on(async {
///     let version = corering::fs::read("/proc/version").await?;
///     assert!(version.starts_with(b"Linux"));
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub async fn read<P: AsRef<Path>>(path: P) -> io::Result<Vec<u8>> {
    let file = File::open(path).await?;
    whole::read_to_end(Progress::of(&file, 0)).await
}

/// Reads a whole file of text.
///
/// # Cancel safety
///
/// A drop leaves nothing.
///
/// # Errors
///
/// Those of [`read`], and `InvalidData` for what is not UTF-8.
///
/// # Examples
///
/// ```
/// corering::block_on(async {
///     let version = corering::fs::read_to_string("/proc/version").await?;
///     assert!(version.starts_with("Linux"));
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub async fn read_to_string<P: AsRef<Path>>(path: P) -> io::Result<String> {
    let bytes = read(path).await?;
    String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Writes a buffer as the whole contents of a file, which is created if it is not there, and gives
/// the buffer back.
///
/// The data is then with the kernel, and not yet on the disk: see [`File::sync_all`].
///
/// # Cancel safety
///
/// A drop leaves a file that may have been created, emptied, or written with a first part of the
/// buffer or all, and loses the buffer.
///
/// # Errors
///
/// Those of [`File::create`] and [`File::write_all_at`]. The error carries the buffer.
///
/// # Examples
///
/// ```
/// # let folder = tempfile();
/// corering::block_on(async {
///     let path = folder.join("greeting");
///     corering::fs::write(&path, "hello").await?;
///     assert_eq!(corering::fs::read(&path).await?, b"hello");
///     corering::fs::remove_file(&path).await
/// })?;
/// # fn tempfile() -> std::path::PathBuf {
/// #     let path = std::env::temp_dir().join(format!("corering-doc-write-{}", std::process::id()));
/// #     std::fs::create_dir_all(&path).unwrap();
/// #     path
/// # }
/// # std::fs::remove_dir(&folder)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub async fn write<P: AsRef<Path>, B: IoBuf>(path: P, buf: B) -> Result<B, BufError<B>> {
    match File::create(path).await {
        Ok(file) => whole::write_all(Progress::of(&file, 0), buf).await,
        Err(error) => Err(BufError::new(error, buf)),
    }
}

/// Removes a file's name. The file goes when nobody has it open any more.
///
/// # Cancel safety
///
/// A drop leaves a file that may have been removed. `within` [may be late](self#limits-in-time).
///
/// # Errors
///
/// Those of `unlink(2)`: `NotFound`, `IsADirectory`, `PermissionDenied`; `InvalidInput` for a path
/// with a NUL byte.
#[doc(alias = "IORING_OP_UNLINKAT")]
pub fn remove_file<P: AsRef<Path>>(
    path: P,
) -> impl SingleOperation<Output = io::Result<()>> + use<P> {
    single_with(op::unlink_at::UnlinkAt::new(None, path.as_ref(), 0).map_err(Err), identity)
}

/// Removes an empty folder.
///
/// # Cancel safety
///
/// A drop leaves a folder that may have been removed. `within` [may be late](self#limits-in-time).
///
/// # Errors
///
/// Those of `rmdir(2)`: `NotFound`, `NotADirectory`, `DirectoryNotEmpty`, `PermissionDenied`;
/// `InvalidInput` for a path with a NUL byte.
#[doc(alias = "IORING_OP_UNLINKAT")]
pub fn remove_dir<P: AsRef<Path>>(
    path: P,
) -> impl SingleOperation<Output = io::Result<()>> + use<P> {
    single_with(
        op::unlink_at::UnlinkAt::new(None, path.as_ref(), libc::AT_REMOVEDIR).map_err(Err),
        identity,
    )
}

/// Gives a file or folder another name, within one file system. A file that has the name already
/// is replaced: at every moment there is one or the other.
///
/// # Cancel safety
///
/// A drop leaves a file with the old name or the new one. `within`
/// [may be late](self#limits-in-time).
///
/// # Errors
///
/// Those of `rename(2)`: `NotFound`, `CrossesDevices`, `DirectoryNotEmpty`, `PermissionDenied`;
/// `InvalidInput` for a path with a NUL byte.
#[doc(alias = "IORING_OP_RENAMEAT")]
pub fn rename<P: AsRef<Path>, Q: AsRef<Path>>(
    from: P,
    to: Q,
) -> impl SingleOperation<Output = io::Result<()>> + use<P, Q> {
    let rename = op::rename_at::RenameAt::new((None, from.as_ref()), (None, to.as_ref()));
    single_with(rename.map_err(Err), identity)
}

/// Makes a folder, with the permissions 0o777 less the process's umask.
///
/// A ring makes it on Linux 5.15 and later; before, a thread of the pool does.
///
/// # Cancel safety
///
/// A drop leaves a folder that may have been made. `within` [may be late](self#limits-in-time).
///
/// # Errors
///
/// Those of `mkdir(2)`: `AlreadyExists`, `NotFound` for a parent that is not there,
/// `PermissionDenied`; `InvalidInput` for a path with a NUL byte.
#[doc(alias = "IORING_OP_MKDIRAT")]
pub fn create_dir<P: AsRef<Path>>(
    path: P,
) -> impl SingleOperation<Output = io::Result<()>> + use<P> {
    single_with(op::mkdir_at::MkDirAt::new(None, path.as_ref(), 0o777).map_err(Err), identity)
}

/// Sets who may read, write and execute the file at a path; a symbolic link is followed. A thread of the
/// pool does it.
///
/// # Cancel safety
///
/// It may happen though the future is dropped.
///
/// # Errors
///
/// Those of `chmod(2)`: `NotFound`, `PermissionDenied`; `InvalidInput` for a path with a NUL byte.
///
/// # Examples
///
/// ```
/// use std::fs::Permissions;
/// use std::os::unix::fs::PermissionsExt;
///
/// # let path = std::env::temp_dir().join(format!("corering-doc-mode-{}", std::process::id()));
/// corering::block_on(async {
///     corering::fs::write(&path, "secret").await?;
///     corering::fs::set_permissions(&path, Permissions::from_mode(0o600)).await?;
///     assert_eq!(corering::fs::metadata(&path).await?.mode() & 0o777, 0o600);
///     corering::fs::remove_file(&path).await
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "chmod")]
pub async fn set_permissions<P: AsRef<Path>>(
    path: P,
    permissions: std::fs::Permissions,
) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    on_pool::on_pool(|| std::fs::set_permissions(path, permissions)).await
}

/// What the file system knows of the file at a path; a symbolic link is followed.
///
/// # Cancel safety
///
/// A drop leaves nothing. `within` [may be late](self#limits-in-time).
///
/// # Errors
///
/// Those of `stat(2)`: `NotFound`, `PermissionDenied` for a folder on the way; `InvalidInput` for a
/// path with a NUL byte.
///
/// # Examples
///
/// ```
/// corering::block_on(async {
///     assert!(corering::fs::metadata("/proc").await?.is_dir());
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "IORING_OP_STATX")]
pub fn metadata<P: AsRef<Path>>(
    path: P,
) -> impl SingleOperation<Output = io::Result<Metadata>> + use<P> {
    let statx = op::statx::Statx::of_path(path.as_ref(), 0);
    single_with(statx.map_err(Err), |answer| answer.map(Metadata::new))
}

/// What the file system knows of what is at a path: of a symbolic link itself, if it is one.
///
/// # Cancel safety
///
/// A drop leaves nothing. `within` [may be late](self#limits-in-time).
///
/// # Errors
///
/// As [`metadata`].
#[doc(alias = "IORING_OP_STATX")]
pub fn symlink_metadata<P: AsRef<Path>>(
    path: P,
) -> impl SingleOperation<Output = io::Result<Metadata>> + use<P> {
    let statx = op::statx::Statx::of_path(path.as_ref(), libc::AT_SYMLINK_NOFOLLOW);
    single_with(statx.map_err(Err), |answer| answer.map(Metadata::new))
}

/// Whether something is at a path; a symbolic link is followed.
///
/// What is true now may not be so a moment later: to create a file only if it is not there, use
/// [`OpenOptions::create_new`].
///
/// # Cancel safety
///
/// A drop leaves nothing. `within` [may be late](self#limits-in-time).
///
/// # Errors
///
/// As [`metadata`], but for `NotFound`, which is `Ok(false)`.
#[doc(alias = "IORING_OP_STATX")]
pub fn exists<P: AsRef<Path>>(path: P) -> impl SingleOperation<Output = io::Result<bool>> + use<P> {
    let statx = op::statx::Statx::of_path(path.as_ref(), 0);
    single_with(statx.map_err(Err), |answer| match answer {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    })
}

#[cfg(test)]
mod tests;
