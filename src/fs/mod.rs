//! Files, with owned buffers and offsets: nothing here has a position of its own.
//!
//! On a ring every call here is an operation of the kernel's; on epoll, which cannot wait for a
//! disk, each runs on a thread of the blocking pool, but for reads that the page cache can answer
//! at once. Either way the shard goes on. The exception are files that are not on a disk (a pipe, a
//! terminal): they are waited for as sockets are.
//!
//! A file operation that has begun may not be possible to cancel: a time limit or a dropped future
//! then waits, or leaves the operation behind with its buffer, until the disk has answered.
//!
//! Read `file.rs` first, then `transfer.rs`, which is every read and write.

#![forbid(unsafe_code)]

mod file;
mod future;
mod metadata;
mod open;
mod transfer;
mod walk;
mod whole;

pub use file::File;
pub use metadata::{DirectAlignment, Metadata};
pub use open::OpenOptions;

use std::io;
use std::path::Path;

use self::future::{Begun, Map, Then};
use self::whole::{ReadToEnd, WriteAll};
use crate::buf::{BufError, IoBuf};
use crate::driver::SingleOperation;
use crate::op;

/// Reads a whole file.
///
/// Files whose size is not known before they are read, as those of `/proc`, are read to their end,
/// too. Not for files opened with `O_DIRECT`, which need aligned buffers.
///
/// # Cancel safety
///
/// Dropping the future loses what was read and changes nothing.
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
pub fn read<P: AsRef<Path>>(
    path: P,
) -> impl SingleOperation<Output = io::Result<Vec<u8>>> + use<P> {
    let opening = OpenOptions::new().read(true).opening(path.as_ref());
    Then::new(opening, |opened: io::Result<File>| match opened {
        Ok(file) => Ok(ReadToEnd::of(&file)),
        Err(error) => Err(Err(error)),
    })
}

/// Writes a buffer as the whole contents of a file, which is created if it is not there, and gives
/// the buffer back.
///
/// The data is then with the kernel, and not yet on the disk: see [`File::sync_all`].
///
/// # Cancel safety
///
/// Dropping the future loses the buffer, and may leave the file empty, or with the first part of
/// the contents.
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
pub fn write<P: AsRef<Path>, B: IoBuf>(
    path: P,
    buf: B,
) -> impl SingleOperation<Output = Result<B, BufError<B>>> + use<P, B> {
    let opening = OpenOptions::new().write(true).create(true).truncate(true).opening(path.as_ref());
    Then::new(opening, |opened: io::Result<File>| match opened {
        Ok(file) => Ok(WriteAll::of(&file, buf, 0)),
        Err(error) => Err(Err(BufError::new(error, buf))),
    })
}

/// Removes a file's name. The file goes when nobody has it open any more.
///
/// # Cancel safety
///
/// If the future is dropped the file may or may not be removed.
///
/// # Errors
///
/// Those of `unlink(2)`: `NotFound`, `IsADirectory`, `PermissionDenied`; `InvalidInput` for a path
/// with a NUL byte.
#[doc(alias = "IORING_OP_UNLINKAT")]
pub fn remove_file<P: AsRef<Path>>(
    path: P,
) -> impl SingleOperation<Output = io::Result<()>> + use<P> {
    Begun::new(op::unlink_at::UnlinkAt::new(None, path.as_ref(), 0))
}

/// Removes an empty folder.
///
/// # Cancel safety
///
/// If the future is dropped the folder may or may not be removed.
///
/// # Errors
///
/// Those of `rmdir(2)`: `NotFound`, `NotADirectory`, `DirectoryNotEmpty`, `PermissionDenied`;
/// `InvalidInput` for a path with a NUL byte.
#[doc(alias = "IORING_OP_UNLINKAT")]
pub fn remove_dir<P: AsRef<Path>>(
    path: P,
) -> impl SingleOperation<Output = io::Result<()>> + use<P> {
    Begun::new(op::unlink_at::UnlinkAt::new(None, path.as_ref(), libc::AT_REMOVEDIR))
}

/// Gives a file or folder another name, within one file system. A file that has the name already
/// is replaced: at every moment there is one or the other.
///
/// # Cancel safety
///
/// If the future is dropped the file has the old name or the new one.
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
    Begun::new(op::rename_at::RenameAt::new(from.as_ref(), to.as_ref()))
}

/// Makes a folder, with the permissions 0o777 less the process's umask.
///
/// A ring makes it on Linux 5.15 and later; before, a thread of the pool does.
///
/// # Cancel safety
///
/// If the future is dropped the folder may or may not be made.
///
/// # Errors
///
/// Those of `mkdir(2)`: `AlreadyExists`, `NotFound` for a parent that is not there,
/// `PermissionDenied`; `InvalidInput` for a path with a NUL byte.
#[doc(alias = "IORING_OP_MKDIRAT")]
pub fn create_dir<P: AsRef<Path>>(
    path: P,
) -> impl SingleOperation<Output = io::Result<()>> + use<P> {
    Begun::new(op::mkdir_at::MkDirAt::new(None, path.as_ref(), 0o777))
}

/// What the file system knows of the file at a path; a symbolic link is followed.
///
/// # Cancel safety
///
/// There is nothing to lose.
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
    Map::new(Begun::new(statx), |answer: io::Result<_>| answer.map(Metadata::new))
}

/// What the file system knows of what is at a path: of a symbolic link itself, if it is one.
///
/// # Cancel safety
///
/// There is nothing to lose.
///
/// # Errors
///
/// As [`metadata`].
#[doc(alias = "IORING_OP_STATX")]
pub fn symlink_metadata<P: AsRef<Path>>(
    path: P,
) -> impl SingleOperation<Output = io::Result<Metadata>> + use<P> {
    let statx = op::statx::Statx::of_path(path.as_ref(), libc::AT_SYMLINK_NOFOLLOW);
    Map::new(Begun::new(statx), |answer: io::Result<_>| answer.map(Metadata::new))
}

/// Whether something is at a path; a symbolic link is followed.
///
/// What is true now may not be so a moment later: to create a file only if it is not there, use
/// [`OpenOptions::create_new`].
///
/// # Cancel safety
///
/// There is nothing to lose.
///
/// # Errors
///
/// As [`metadata`], but for `NotFound`, which is `Ok(false)`.
#[doc(alias = "IORING_OP_STATX")]
pub fn exists<P: AsRef<Path>>(path: P) -> impl SingleOperation<Output = io::Result<bool>> + use<P> {
    let statx = op::statx::Statx::of_path(path.as_ref(), 0);
    Map::new(Begun::new(statx), |answer: io::Result<_>| match answer {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    })
}

#[cfg(test)]
mod tests;
