//! Names of files: more than one for a file, and where a name leads.

use std::convert::identity;
use std::io;
use std::path::{Path, PathBuf};

use super::on_pool::on_pool;
use crate::driver::{SingleOperation, single_with, submit};
use crate::op::{link_at::LinkAt, read_link_at::ReadLinkAt};

/// Makes a symbolic link at `link` that leads to `original`, which need not exist. A relative
/// `original` is looked for from the folder that the link is in.
///
/// A ring makes it on Linux 5.15 and later; before, a thread of the pool does.
///
/// # Cancel safety
///
/// A drop leaves a link that may have been made. `within` [may be late](super#limits-in-time).
///
/// # Errors
///
/// Those of `symlink(2)`: `AlreadyExists` if there is something at `link`, `NotFound` for its folder,
/// `PermissionDenied`; `InvalidInput` for a path with a NUL byte.
///
/// # Examples
///
/// ```
/// # let folder = std::env::temp_dir().join(format!("corering-doc-symlink-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// corering::block_on(async {
///     let link = folder.join("current");
///     corering::fs::symlink("release-7", &link).await?;
///     assert_eq!(corering::fs::read_link(&link).await?.to_str(), Some("release-7"));
///     corering::fs::remove_file(&link).await
/// })?;
/// # std::fs::remove_dir(&folder)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "IORING_OP_SYMLINKAT")]
pub fn symlink<P: AsRef<Path>, Q: AsRef<Path>>(
    original: P,
    link: Q,
) -> impl SingleOperation<Output = io::Result<()>> + use<P, Q> {
    single_with(LinkAt::symbolic(original.as_ref(), (None, link.as_ref())).map_err(Err), identity)
}

/// Gives the file at `original` another name, `link`, in the same file system. If `original` is a
/// symbolic link, that gets the name, and not what it leads to.
///
/// A ring makes it on Linux 5.15 and later; before, a thread of the pool does.
///
/// # Cancel safety
///
/// A drop leaves a name that may have been made. `within` [may be late](super#limits-in-time).
///
/// # Errors
///
/// Those of `link(2)`: `AlreadyExists`, `NotFound`, `CrossesDevices`, `TooManyLinks`,
/// `PermissionDenied` (of a folder, too); `InvalidInput` for a path with a NUL byte.
///
/// # Examples
///
/// ```
/// # let folder = std::env::temp_dir().join(format!("corering-doc-link-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// corering::block_on(async {
///     let (file, link) = (folder.join("file"), folder.join("link"));
///     corering::fs::write(&file, "content").await?;
///     corering::fs::hard_link(&file, &link).await?;
///     corering::fs::remove_file(&file).await?;
///     assert_eq!(corering::fs::read(&link).await?, b"content");
///     corering::fs::remove_file(&link).await
/// })?;
/// # std::fs::remove_dir(&folder)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "IORING_OP_LINKAT")]
pub fn hard_link<P: AsRef<Path>, Q: AsRef<Path>>(
    original: P,
    link: Q,
) -> impl SingleOperation<Output = io::Result<()>> + use<P, Q> {
    let link = LinkAt::hard((None, original.as_ref()), (None, link.as_ref()));
    single_with(link.map_err(Err), identity)
}

/// Where a symbolic link leads, as it was made. A thread of the pool asks.
///
/// # Cancel safety
///
/// A drop leaves nothing.
///
/// # Errors
///
/// Those of `readlink(2)`: `NotFound`; `InvalidInput` for what is not a symbolic link, and for a path
/// with a NUL byte.
///
/// # Examples
///
/// ```
/// corering::block_on(async {
///     let own = corering::fs::read_link("/proc/self/exe").await?;
///     assert!(own.is_absolute());
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "readlink")]
pub async fn read_link<P: AsRef<Path>>(path: P) -> io::Result<PathBuf> {
    submit(ReadLinkAt::new(None, path.as_ref())?).await
}

/// The absolute path of what exists, without symbolic links, `.` and `..`. A thread of the pool walks
/// it.
///
/// # Cancel safety
///
/// A drop leaves nothing.
///
/// # Errors
///
/// Those of `realpath(3)`: `NotFound`, `NotADirectory`, `PermissionDenied` for a folder on the way;
/// `InvalidInput` for a path with a NUL byte.
///
/// # Examples
///
/// ```
/// corering::block_on(async {
///     let path = corering::fs::canonicalize("/proc/../proc/./version").await?;
///     assert_eq!(path.to_str(), Some("/proc/version"));
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "realpath")]
pub async fn canonicalize<P: AsRef<Path>>(path: P) -> io::Result<PathBuf> {
    let path = path.as_ref().to_owned();
    on_pool(|| std::fs::canonicalize(path)).await
}
