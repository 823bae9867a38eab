//! Files that nobody needs once they are closed.

use std::env;
use std::fmt;
use std::io;
use std::ops::Deref;
use std::os::fd::AsFd;
use std::path::Path;

use super::File;
use super::fresh::{Fresh, open_folder, open_parent};
use super::on_pool::on_pool;

/// Opens a new file without a name, for reading and writing, in the folder for temporary files
/// ([`std::env::temp_dir`]: `TMPDIR`, or else `/tmp`). It is gone when it is closed, whatever ends the
/// process.
///
/// A file system without such files (`O_TMPFILE`: NFS, FAT) has it with a random name for a moment, and the
/// mode 0o600.
///
/// # Cancel safety
///
/// A drop leaves nothing.
///
/// # Errors
///
/// Those of `open(2)`: `PermissionDenied` for the folder, `StorageFull`, too many open files.
///
/// # Examples
///
/// ```
/// corering::block_on(async {
///     let file = corering::fs::tempfile().await?;
///     file.write_all_at("scratch", 0).await?;
///     assert_eq!(file.read_to_end().await?, b"scratch");
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "O_TMPFILE")]
pub async fn tempfile() -> io::Result<File> {
    tempfile_in(env::temp_dir()).await
}

/// Opens a new file without a name, as [`tempfile`] does, on the file system of a folder.
///
/// # Cancel safety
///
/// A drop leaves nothing.
///
/// # Errors
///
/// Those of [`tempfile`]; `NotFound` and `NotADirectory` for the folder.
///
/// # Examples
///
/// ```
/// corering::block_on(async {
///     let file = corering::fs::tempfile_in(std::env::temp_dir()).await?;
///     assert_eq!(file.metadata().await?.nlink(), 0);
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "O_TMPFILE")]
pub async fn tempfile_in<P: AsRef<Path>>(folder: P) -> io::Result<File> {
    let folder = folder.as_ref().to_owned();
    let fresh = on_pool(move || {
        let mut fresh = Fresh::create(open_folder(&folder)?, 0o600)?;
        fresh.forget_name();
        Ok(fresh)
    });
    Ok(File::opened(fresh.await?.shared()?, false))
}

/// A new file that has no name until [`persist`](Self::persist) gives it one: before that, others see
/// nothing of it, and it is gone if it is dropped. Its methods are those of [`File`].
///
/// On a file system without such files (`O_TMPFILE`: NFS, FAT) it has a random name meanwhile, which a drop
/// removes.
///
/// # Examples
///
/// ```
/// use corering::fs::TempFile;
///
/// # let folder = std::env::temp_dir().join(format!("corering-doc-temp-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// corering::block_on(async {
///     let mut upload = TempFile::new_in(&folder).await?;
///     upload.write_all_at("all that came", 0).await?;
///     upload.persist(folder.join("upload")).await?;
///     assert_eq!(corering::fs::read(folder.join("upload")).await?, b"all that came");
///     corering::fs::remove_file(folder.join("upload")).await
/// })?;
/// # std::fs::remove_dir(&folder)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct TempFile {
    file: File,
    /// `None` once it has a name, or is about to get one.
    fresh: Option<Fresh>,
}

impl TempFile {
    /// Creates a file in the folder for temporary files ([`std::env::temp_dir`]), with the mode 0o600.
    ///
    /// # Cancel safety
    ///
    /// A drop leaves nothing.
    ///
    /// # Errors
    ///
    /// Those of [`tempfile`].
    ///
    /// # Examples
    ///
    /// See [`TempFile`].
    pub async fn new() -> io::Result<TempFile> {
        TempFile::new_in(env::temp_dir()).await
    }

    /// Creates a file in a folder, with the mode 0o600. What is to be persisted belongs on the file system
    /// of its name.
    ///
    /// # Cancel safety
    ///
    /// A drop leaves nothing.
    ///
    /// # Errors
    ///
    /// Those of [`tempfile_in`].
    ///
    /// # Examples
    ///
    /// See [`TempFile`].
    pub async fn new_in<P: AsRef<Path>>(folder: P) -> io::Result<TempFile> {
        let folder = folder.as_ref().to_owned();
        let fresh = on_pool(move || Fresh::create(open_folder(&folder)?, 0o600)).await?;
        Ok(TempFile { file: File::opened(fresh.shared()?, false), fresh: Some(fresh) })
    }

    /// Gives the file a name, once. A file that has the name already is replaced: at every moment there is
    /// one or the other. What was written need not be on the disk: see [`File::sync_all`].
    ///
    /// # Cancel safety
    ///
    /// A drop leaves a file that has the name, or will have it soon.
    ///
    /// # Errors
    ///
    /// Those of `linkat(2)` and `rename(2)`: `NotFound` for the folder, `CrossesDevices`, `IsADirectory`,
    /// `PermissionDenied`; the file is still without a name then. `InvalidInput` for a path with a NUL byte,
    /// and if the file has a name.
    ///
    /// # Examples
    ///
    /// See [`TempFile`].
    pub async fn persist<P: AsRef<Path>>(&mut self, path: P) -> io::Result<()> {
        self.name(path.as_ref(), Fresh::replace).await
    }

    /// Gives the file a name that nothing has, once.
    ///
    /// # Cancel safety
    ///
    /// As [`persist`](Self::persist).
    ///
    /// # Errors
    ///
    /// Those of [`persist`](Self::persist); `AlreadyExists` if something has the name.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::fs::TempFile;
    ///
    /// # let folder = std::env::temp_dir().join(format!("corering-doc-new-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// corering::block_on(async {
    ///     let (mut one, mut other) = (TempFile::new_in(&folder).await?, TempFile::new_in(&folder).await?);
    ///     one.persist_new(folder.join("name")).await?;
    ///     assert!(other.persist_new(folder.join("name")).await.is_err());
    ///     other.persist_new(folder.join("another")).await
    /// })?;
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn persist_new<P: AsRef<Path>>(&mut self, path: P) -> io::Result<()> {
        self.name(path.as_ref(), Fresh::link).await
    }

    async fn name(&mut self, path: &Path, naming: Naming) -> io::Result<()> {
        let Some(mut fresh) = self.fresh.take() else {
            let text = "the file has been given a name already";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        };
        let path = path.to_owned();
        let (fresh, named) = on_pool(move || {
            let named = open_parent(&path)
                .and_then(|(folder, name)| naming(&mut fresh, folder.as_fd(), &name));
            Ok((fresh, named))
        })
        .await?;
        if named.is_err() {
            self.fresh = Some(fresh);
        }
        named
    }

    /// The file itself, which gets no name any more unless it has one.
    pub fn into_file(mut self) -> File {
        if let Some(fresh) = self.fresh.take() {
            fresh.drop_on_pool();
        }
        File::opened(self.file.shared().clone(), false)
    }
}

/// How a file gets its name: in the place of another, or not.
type Naming = fn(&mut Fresh, std::os::fd::BorrowedFd<'_>, &std::ffi::CStr) -> io::Result<()>;

impl Deref for TempFile {
    type Target = File;

    fn deref(&self) -> &File {
        &self.file
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        if let Some(fresh) = self.fresh.take() {
            fresh.drop_on_pool();
        }
    }
}

impl fmt::Debug for TempFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TempFile")
            .field("file", &self.file)
            .field("has_name", &self.fresh.is_none())
            .finish()
    }
}
