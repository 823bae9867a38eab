//! Folders: what is in them, and whole trees.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::future::poll_fn;
use futures_util::stream::{FusedStream, Stream};

use super::on_pool::{by_path, on_pool};
use super::{FileType, Metadata, create_dir, metadata, symlink_metadata};
use crate::driver::{self, SharedFd, submit};
use crate::op::statx::Statx;
use crate::runtime::{BlockingHandle, spawn_blocking};
use crate::util::budget::{self, Toll};

/// Makes a folder, and those above it that are missing, with the permissions 0o777 less the process's
/// umask. One that exists is no error.
///
/// # Cancel safety
///
/// A drop leaves folders of which the first may have been made, or all.
///
/// # Errors
///
/// Those of [`create_dir`]; `AlreadyExists` if something else than a folder has the name.
///
/// # Examples
///
/// ```
/// # let folder = std::env::temp_dir().join(format!("corering-doc-all-{}", std::process::id()));
/// corering::block_on(async {
///     corering::fs::create_dir_all(folder.join("a/b/c")).await?;
///     assert!(corering::fs::metadata(folder.join("a/b")).await?.is_dir());
///     corering::fs::remove_dir_all(&folder).await
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "makedirs")]
pub async fn create_dir_all<P: AsRef<Path>>(path: P) -> io::Result<()> {
    let create = async |path: &Path| create_dir(path).await;
    let is_dir = async |path: &Path| Ok(metadata(path).await?.is_dir());
    create_all(path.as_ref(), create, is_dir).await
}

/// Makes a folder and those above it, by what makes one, and what says whether one is there.
pub(super) async fn create_all(
    path: &Path,
    create: impl AsyncFn(&Path) -> io::Result<()>,
    is_dir: impl AsyncFn(&Path) -> io::Result<bool>,
) -> io::Result<()> {
    let mut missing = vec![path];
    let mut goes_up = true;
    while let Some(&next) = missing.last() {
        let error = match create(next).await {
            Ok(()) => {
                goes_up = false;
                missing.pop();
                continue;
            }
            Err(error) => error,
        };
        if error.kind() == io::ErrorKind::NotFound && goes_up {
            match next.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => {
                    missing.push(parent);
                    continue;
                }
                _ => return Err(error),
            }
        }
        if !is_dir(next).await.unwrap_or(false) {
            return Err(error);
        }
        // What is missing below it has been tried: its parent is not to be tried again.
        goes_up = false;
        missing.pop();
    }
    Ok(())
}

/// Removes a folder with all that is in it. A symbolic link is removed, and what it leads to stays,
/// also if somebody puts a link in the place of a folder meanwhile. A thread of the pool does it, by
/// [`std::fs::remove_dir_all`].
///
/// # Cancel safety
///
/// It goes on though the future is dropped.
///
/// # Errors
///
/// Those of [`std::fs::remove_dir_all`]: `NotFound`, `PermissionDenied`, `DirectoryNotEmpty` if
/// somebody adds files meanwhile. A part may have been removed.
///
/// # Examples
///
/// See [`create_dir_all`].
#[doc(alias = "rmtree")]
pub async fn remove_dir_all<P: AsRef<Path>>(path: P) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    on_pool(|| std::fs::remove_dir_all(path)).await
}

/// What is in a folder, in no order, without `.` and `..`.
///
/// A thread of the pool reads 256 entries at a time, when they are asked for: the kernel has no
/// operation of a ring for it.
///
/// # Cancel safety
///
/// A drop leaves nothing.
///
/// # Errors
///
/// Those of `opendir(3)`: `NotFound`, `NotADirectory`, `PermissionDenied`; `InvalidInput` for a path
/// with a NUL byte.
///
/// # Examples
///
/// ```
/// use futures_util::TryStreamExt;
///
/// corering::block_on(async {
///     let mut entries = corering::fs::read_dir("/proc/self").await?;
///     while let Some(entry) = entries.next_entry().await? {
///         if entry.file_name() == "fd" {
///             assert!(entry.file_type().await?.is_dir());
///         }
///     }
///     let all: Vec<_> = corering::fs::read_dir("/proc/self").await?.try_collect().await?;
///     assert!(all.iter().any(|entry| entry.path().ends_with("self/status")));
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "getdents")]
#[doc(alias = "scandir")]
pub async fn read_dir<P: AsRef<Path>>(path: P) -> io::Result<ReadDir> {
    let path = path.as_ref().to_owned();
    ReadDir::open(|| Ok(Folder { entries: std::fs::read_dir(path)?, below: None })).await
}

/// A folder that is being read.
pub(super) struct Folder {
    entries: std::fs::ReadDir,
    below: Option<Arc<Below>>,
}

/// A folder that was opened below another: its path says nothing without that.
struct Below {
    open: OwnedFd,
    path: PathBuf,
}

impl Folder {
    /// Reads an open folder, whose entries have paths that begin with `path`.
    pub(super) fn below(open: OwnedFd, path: PathBuf) -> io::Result<Self> {
        let entries = by_path(open.as_fd(), std::fs::read_dir)?;
        Ok(Folder { entries, below: Some(Arc::new(Below { open, path })) })
    }

    fn entry(&self, entry: std::fs::DirEntry) -> DirEntry {
        let kind = entry.file_type().ok().map(FileType::from_std);
        let path = match &self.below {
            Some(below) => below.path.join(entry.file_name()),
            None => entry.path(),
        };
        DirEntry { path, ino: entry.ino(), kind, below: self.below.clone() }
    }
}

/// Entries that a thread reads at a time.
const BATCH: usize = 256;

type Batch = (Vec<io::Result<DirEntry>>, Option<Folder>);

/// The next entries, and what reads those behind them.
fn read_batch(mut folder: Folder) -> Batch {
    let mut batch = Vec::new();
    while batch.len() < BATCH {
        match folder.entries.next() {
            None => return (batch, None),
            Some(entry) => batch.push(entry.map(|entry| folder.entry(entry))),
        }
    }
    (batch, Some(folder))
}

/// The entries of a folder, from [`read_dir`]: one after the other, also as a [`Stream`].
pub struct ReadDir {
    entries: VecDeque<io::Result<DirEntry>>,
    source: Source,
    toll: Toll,
}

/// Where more entries come from.
enum Source {
    More(Folder),
    Reading(BlockingHandle<Batch>),
    Ended,
}

impl ReadDir {
    pub(super) async fn open(
        open: impl FnOnce() -> io::Result<Folder> + Send + 'static,
    ) -> io::Result<Self> {
        let (batch, rest) = on_pool(|| Ok(read_batch(open()?))).await?;
        let source = rest.map_or(Source::Ended, Source::More);
        Ok(ReadDir { entries: batch.into(), source, toll: Toll::Due })
    }

    /// The next entry, or `None` behind the last.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost: the next call gives the same entry.
    ///
    /// # Errors
    ///
    /// Those of `readdir(3)`; the next call goes on behind it.
    ///
    /// # Examples
    ///
    /// See [`read_dir`].
    pub async fn next_entry(&mut self) -> io::Result<Option<DirEntry>> {
        poll_fn(|cx| self.poll_entry(cx)).await.transpose()
    }

    fn poll_entry(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<DirEntry>>> {
        ready!(self.toll.pay(cx.waker()));
        loop {
            if let Some(entry) = self.entries.pop_front() {
                return Poll::Ready(Some(entry));
            }
            match std::mem::replace(&mut self.source, Source::Ended) {
                Source::Ended => return Poll::Ready(None),
                Source::More(folder) => {
                    driver::current()?;
                    self.source = Source::Reading(spawn_blocking(|| read_batch(folder)));
                }
                Source::Reading(mut reading) => {
                    let Poll::Ready(read) = Pin::new(&mut reading).poll(cx) else {
                        self.source = Source::Reading(reading);
                        return Poll::Pending;
                    };
                    let Ok((batch, rest)) = read else {
                        let error = io::Error::other("the thread that read the folder has ended");
                        return Poll::Ready(Some(Err(error)));
                    };
                    self.entries.extend(batch);
                    self.source = rest.map_or(Source::Ended, Source::More);
                }
            }
        }
    }
}

impl Stream for ReadDir {
    type Item = io::Result<DirEntry>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_entry(cx)
    }
}

impl FusedStream for ReadDir {
    fn is_terminated(&self) -> bool {
        self.entries.is_empty() && matches!(self.source, Source::Ended)
    }
}

impl fmt::Debug for ReadDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadDir").field("read", &self.entries.len()).finish_non_exhaustive()
    }
}

/// An entry of a folder, from [`ReadDir`].
pub struct DirEntry {
    path: PathBuf,
    ino: u64,
    /// `None` where the file system does not keep it beside the name.
    kind: Option<FileType>,
    below: Option<Arc<Below>>,
}

impl DirEntry {
    /// The path of the folder as it was given, and the name. Of an entry from
    /// [`Dir::read_dir`](super::Dir::read_dir) it is a path below that `Dir`.
    pub fn path(&self) -> PathBuf {
        self.path.clone()
    }

    /// The name alone.
    pub fn file_name(&self) -> OsString {
        self.path.file_name().unwrap_or_default().to_owned()
    }

    /// The number of its inode.
    pub fn ino(&self) -> u64 {
        self.ino
    }

    /// What kind of file it is; a symbolic link is not followed. Most file systems keep the kind beside the
    /// name, and then this makes no call.
    ///
    /// # Cancel safety
    ///
    /// A drop leaves nothing.
    ///
    /// # Errors
    ///
    /// Those of [`symlink_metadata`].
    pub async fn file_type(&self) -> io::Result<FileType> {
        match self.kind {
            Some(kind) => {
                budget::pay().await;
                Ok(kind)
            }
            None => Ok(self.metadata().await?.file_type()),
        }
    }

    /// What the file system knows of it; a symbolic link is not followed.
    ///
    /// # Cancel safety
    ///
    /// A drop leaves nothing.
    ///
    /// # Errors
    ///
    /// Those of [`symlink_metadata`].
    pub async fn metadata(&self) -> io::Result<Metadata> {
        let Some(below) = &self.below else { return symlink_metadata(&self.path).await };
        let folder = SharedFd::from(below.open.try_clone()?);
        let name = Path::new(self.path.file_name().unwrap_or_default());
        let statx = Statx::new(Some(folder), name, libc::AT_SYMLINK_NOFOLLOW)?;
        submit(statx).await.map(Metadata::new)
    }
}

impl fmt::Debug for DirEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DirEntry").field(&self.path).finish()
    }
}
