//! The contents of a file replaced as a whole.

use std::ffi::CString;
use std::fs::{File as StdFile, Metadata as StdMetadata, Permissions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use super::File;
use super::fresh::{Fresh, open_parent};
use super::on_pool::on_pool;
use super::whole::{self, Progress};
use crate::buf::{BufError, IoBuf};

/// Writes a buffer as the whole contents of a file, which at every moment has the old contents or the new
/// ones, and never a part; gives the buffer back. Then the new ones are on the disk, also after a loss of
/// power.
///
/// The buffer is written to a new file in the same folder, which is flushed (`fsync(2)`) and takes the
/// place of the old one; then the folder is flushed. The new file has the permission bits of the old one,
/// and its owner and group as far as the process may give them; without the group it has no permissions of
/// a group. If there was none, it has the permissions 0o666 less the process's umask. What has the old
/// file open, or another name for it, keeps the old contents. A symbolic link is replaced, and what it leads
/// to stays: to write through it, give the path from [`canonicalize`](super::canonicalize). Access lists and
/// extended attributes are not kept.
///
/// The new file has no name while it is written (`O_TMPFILE`, Linux 3.11), so nothing is left of it if the
/// process ends. Where it replaces a file, it has the name `.corering-` with 16 digits for a moment; on a
/// file system without such files (NFS, FAT) it has that name from the beginning. A process that is killed
/// then leaves it.
///
/// # Cancel safety
///
/// A drop leaves the old contents or the new ones, and no other file: once all is flushed, the new ones
/// come though the future is dropped. It loses the buffer.
///
/// # Errors
///
/// Those of [`File::create`], [`File::write_all_at`] and [`File::sync_all`], with the buffer: the file is
/// as it was. `PermissionDenied` if the folder cannot be read or written; `InvalidInput` for a device, a
/// pipe and a socket, which are not replaced. If flushing the folder fails, the file has its new
/// contents, and a loss of power may bring back the old ones.
///
/// # Examples
///
/// ```
/// # let folder = std::env::temp_dir().join(format!("corering-doc-atomic-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// corering::block_on(async {
///     let path = folder.join("settings");
///     corering::fs::atomic_write(&path, "colour = blue").await?;
///     corering::fs::atomic_write(&path, "colour = red").await?;
///     assert_eq!(corering::fs::read(&path).await?, b"colour = red");
///     corering::fs::remove_file(&path).await
/// })?;
/// # std::fs::remove_dir(&folder)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "rename")]
#[doc(alias = "O_TMPFILE")]
pub async fn atomic_write<P: AsRef<Path>, B: IoBuf>(path: P, buf: B) -> Result<B, BufError<B>> {
    let path = path.as_ref().to_owned();
    let mut replacement = match on_pool(|| begin(path)).await {
        Ok(begun) => Replacement(Some(begun)),
        Err(error) => return Err(BufError::new(error, buf)),
    };
    let file = match replacement.file() {
        Ok(file) => file,
        Err(error) => return Err(BufError::new(error, buf)),
    };
    let buf = whole::write_all(Progress::of(&file, 0), buf).await?;
    let written = buf.bytes_len();
    let ended = match file.sync_all().await {
        Ok(()) => replacement.finish().await,
        Err(error) => Err(error),
    };
    match ended {
        Ok(()) => Ok(buf),
        Err(error) => Err(BufError::new(error, buf).after(written)),
    }
}

/// A file that is to take a name.
struct Begun {
    fresh: Fresh,
    name: CString,
}

/// Dropped before it is finished, it removes what it has put on the disk.
struct Replacement(Option<Begun>);

impl Replacement {
    fn file(&self) -> io::Result<File> {
        let begun = self.0.as_ref().expect("it is finished last");
        Ok(File::opened(begun.fresh.shared()?, false))
    }

    async fn finish(&mut self) -> io::Result<()> {
        let Begun { mut fresh, name } = self.0.take().expect("it is finished once");
        on_pool(move || {
            let folder = StdFile::from(fresh.folder().try_clone_to_owned()?);
            fresh.replace(folder.as_fd(), &name)?;
            folder.sync_all()
        })
        .await
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if let Some(begun) = self.0.take() {
            begun.fresh.drop_on_pool();
        }
    }
}

fn begin(path: PathBuf) -> io::Result<Begun> {
    let (folder, name) = open_parent(&path)?;
    let old = match path.symlink_metadata() {
        Ok(old) if old.is_dir() => return Err(io::Error::from_raw_os_error(libc::EISDIR)),
        Ok(old) if old.is_symlink() => None,
        Ok(old) if !old.is_file() => {
            let text = format!("{path:?} is a device, a pipe or a socket, which is not replaced");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        Ok(old) => Some(old),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let mode = old.as_ref().map_or(0o666, |old| old.mode() & 0o600);
    let fresh = Fresh::create(folder, mode)?;
    if let Some(old) = old {
        take_after(fresh.file(), &old)?;
    }
    Ok(Begun { fresh, name })
}

/// Gives a file the owner, group and permissions of another, and never more rights than that one grants.
fn take_after(file: &StdFile, old: &StdMetadata) -> io::Result<()> {
    let new = file.metadata()?;
    let mut mode = old.mode() & 0o777;
    if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
        // To give a file away takes a capability; to give it to one of one's groups takes none.
        let given = fchown(file, Some(old.uid()), Some(old.gid()));
        let given = given.or_else(|_| fchown(file, None, Some(old.gid())));
        if given.is_err() && new.gid() != old.gid() {
            mode &= !0o070;
        }
    }
    file.set_permissions(Permissions::from_mode(mode))
}
