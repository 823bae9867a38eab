//! Files that stay open between their uses.
//!
//! A request for a file costs an open, a question about its metadata and a close, and what cannot be
//! answered from memory goes to a thread. A cache pays that once a second for each file, however often
//! it is asked for.
//!
//! A check opens the path anew, exactly as the first time, and compares. Asking about the path alone
//! would be cheaper, but would follow a link that has come to lead out of the folder.
//!
//! Read `entry.rs` for what users hold, then this file, then `shelf.rs`, which keeps entries within
//! their bounds, and `follow.rs`, which drops them early.

mod entry;
mod follow;
mod line;
mod shelf;

pub use self::entry::CachedFile;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use self::line::{Line, Lines};
use self::shelf::{Kept, Shelf};
use super::{File, Metadata, OpenOptions};
use crate::time;
use crate::util::budget;
use crate::util::shard_bound::{ShardBound, UseACacheForEachShard};

/// Open files of one folder, with their metadata and the contents of small ones, kept for the next time
/// they are asked for.
///
/// [`get`](FileCache::get) opens a path below the folder as [`OpenOptions::resolve_beneath`] does, so
/// nothing outside is ever opened, and a FIFO makes nobody wait. What it returns may be as old as
/// [`validity`](FileCacheBuilder::validity) says, one second by default. Then the path is opened again and
/// compared, once for all who ask at the same time.
///
/// # What that means for a file that changes
///
/// - Replaced by a rename, removed, or made inaccessible: for up to one second the file is served that had
///   the name, whole and consistent.
/// - Rewritten, grown or cut in place: for up to one second metadata and contents in memory are those of
///   the earlier file. What is read of the open [`file`](CachedFile::file) is already new, so a length that
///   was announced before may be more than the file still has. Replace a file that is being served by a
///   rename.
/// - A file that was changed less than two seconds ago is checked each time, since the clock of its file
///   system may not tell a later change from that one. So is one that is being written to.
///
/// Paths that lead to nothing, and what is neither a file nor a folder, are not kept. Two spellings of one
/// path (`a/b` and `a//b`) are two entries.
///
/// `T` is for what the user makes of an entry once and needs each time: see
/// [`value_with`](CachedFile::value_with).
///
/// # Examples
///
/// ```
/// use corering::fs::{File, FileCache};
///
/// corering::block_on(async {
///     let folder = File::open(".").await?;
///     let cache: FileCache = FileCache::builder().files_max(100).beneath(&folder);
///     let manifest = cache.get("Cargo.toml").await?;
///     assert!(manifest.metadata().is_file());
///     assert!(cache.get("../elsewhere").await.is_err());
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct FileCache<T: 'static = ()> {
    shared: ShardBound<Shared<T>, dyn UseACacheForEachShard>,
}

struct Shared<T: 'static> {
    /// How everything below the folder is opened.
    beneath: OpenOptions,
    limits: FileCacheBuilder,
    shelf: RefCell<Shelf<T>>,
    /// Those who wait for a check, by path.
    lines: Lines<T>,
    /// Counts how often something was forgotten: a check that was under way may be outdated.
    forgets: Cell<u64>,
    #[cfg(test)]
    ahead: Cell<Duration>,
    #[cfg(test)]
    checks: Cell<u64>,
}

/// The bounds of a [`FileCache`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use corering::fs::{File, FileCache};
///
/// corering::block_on(async {
///     let cache: FileCache = FileCache::builder()
///         .files_max(1_000)
///         .bytes_max(16 << 20)
///         .file_bytes_max(32 << 10)
///         .validity(Duration::from_millis(100))
///         .beneath(&File::open("src").await?);
///     assert_eq!(cache.len(), 0);
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "a builder makes nothing until `beneath`"]
pub struct FileCacheBuilder {
    files_max: usize,
    bytes_max: usize,
    file_bytes_max: usize,
    validity: Duration,
}

/// A change that follows another within this time may leave the times of the file as they were: FAT
/// counts in two seconds, and others in ticks of the kernel's clock.
const CLOCK_TICK_MAX: Duration = Duration::from_secs(2);

/// Bytes of a file up to which a check looks whether the page cache has all of it. That takes about a
/// millisecond for each GiB, so a longer file is looked at piece by piece as it is sent.
const LOOKED_AT_MAX: u64 = 64 << 20;

/// A file of up to 16 KiB costs a server less from memory than by `sendfile(2)`. Processor time of an
/// answer over nginx's, which sends all of them by `sendfile(2)` (64 connections on loopback, Linux 6.18,
/// epoll; a ring is within 0.02 of it):
///
/// | | 6 KiB | 8 KiB | 12 KiB | 16 KiB | 32 KiB | 64 KiB |
/// |---|---|---|---|---|---|---|
/// | head and memory by one `sendmsg(2)` | 0.70 | 0.78 | 0.78 | 0.81 | 1.21 | 1.32 |
/// | the head, and then `sendfile(2)` | 0.84 | 0.88 | 0.89 | 0.92 | 0.93 | 1.02 |
const IN_MEMORY_MAX: usize = 16 << 10;

impl FileCache<()> {
    /// Bounds to make a cache by: 1,000 files, 32 MiB of contents of files of 16 KiB at most, and one second.
    pub fn builder() -> FileCacheBuilder {
        FileCacheBuilder {
            files_max: 1_000,
            bytes_max: 32 << 20,
            file_bytes_max: IN_MEMORY_MAX,
            validity: Duration::from_secs(1),
        }
    }
}

impl FileCacheBuilder {
    /// How many files and folders stay open that nobody uses; those that were not used for the longest
    /// time are closed first. One that is in use stays open as long as its users have it, so the cache
    /// and its users have at most this many descriptors more than the users have entries. 0 keeps
    /// nothing. Default: 1,000.
    pub fn files_max(mut self, count: usize) -> Self {
        self.files_max = count;
        self
    }

    /// Bytes of contents that are kept in memory, of all files together. Default: 32 MiB.
    pub fn bytes_max(mut self, bytes: usize) -> Self {
        self.bytes_max = bytes;
        self
    }

    /// Bytes of a file up to which its contents are kept in memory. Default: 16 KiB, since what is larger
    /// costs less by `sendfile(2)` from the page cache.
    pub fn file_bytes_max(mut self, bytes: usize) -> Self {
        self.file_bytes_max = bytes;
        self
    }

    /// How old an entry may be when it is returned. 0 checks each time. Default: one second.
    pub fn validity(mut self, validity: Duration) -> Self {
        self.validity = validity;
        self
    }

    /// A cache of what is below `folder`, which stays open as long as the cache.
    pub fn beneath<T>(self, folder: &File) -> FileCache<T> {
        let mut beneath = OpenOptions::new();
        // O_NONBLOCK: opening a FIFO would otherwise wait for somebody to write. O_NOCTTY: a terminal
        // would otherwise become that of the process.
        beneath.read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).resolve_beneath(folder);
        FileCache {
            shared: ShardBound::new(Shared {
                beneath,
                limits: self,
                shelf: RefCell::new(Shelf::new(self.files_max, self.bytes_max)),
                lines: Lines::default(),
                forgets: Cell::new(0),
                #[cfg(test)]
                ahead: Cell::default(),
                #[cfg(test)]
                checks: Cell::default(),
            }),
        }
    }
}

impl<T> FileCache<T> {
    /// What is at a path below the folder: opened, or kept from before and not older than the
    /// [`validity`](FileCacheBuilder::validity).
    ///
    /// It may also be a folder, a FIFO or a device: see [`CachedFile::metadata`].
    ///
    /// # Cancel safety
    ///
    /// A drop leaves nothing: what was opened is closed, and others who wait for the same path go on.
    ///
    /// # Errors
    ///
    /// Those of [`OpenOptions::open`] and [`File::metadata`]: `NotFound`, `PermissionDenied`,
    /// `CrossesDevices` for a path that leads out of the folder, too many open files.
    pub async fn get<P: AsRef<Path>>(&self, path: P) -> io::Result<Rc<CachedFile<T>>> {
        budget::pay().await;
        let path = path.as_ref();
        let asked = self.shared.now();
        if let Some(fresh) = self.shared.fresh(path, asked) {
            return Ok(fresh);
        }
        // On the heap, since few need it.
        Box::pin(self.shared.checked(path, asked)).await
    }

    /// Forgets what is at a path: the next who asks for it has it opened.
    pub fn forget<P: AsRef<Path>>(&self, path: P) {
        self.shared.forget(path.as_ref());
    }

    /// Forgets everything. What is in use stays open until its users drop it.
    pub fn clear(&self) {
        self.shared.forgets.update(|count| count + 1);
        let forgotten = self.shared.shelf.borrow_mut().clear();
        drop(forgotten);
    }

    /// How many files and folders are kept open.
    pub fn len(&self) -> usize {
        self.shared.shelf.borrow().len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of contents that are kept in memory.
    pub fn bytes(&self) -> usize {
        self.shared.shelf.borrow().bytes()
    }
}

impl<T> fmt::Debug for FileCache<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileCache").field("len", &self.len()).field("bytes", &self.bytes()).finish()
    }
}

impl<T> Shared<T> {
    fn now(&self) -> Instant {
        let now = time::now();
        #[cfg(test)]
        let now = now + self.ahead.get();
        now
    }

    fn wall(&self) -> SystemTime {
        let now = time::wall();
        #[cfg(test)]
        let now = now + self.ahead.get();
        now
    }

    fn fresh(&self, path: &Path, now: Instant) -> Option<Rc<CachedFile<T>>> {
        self.shelf.borrow_mut().fresh(path, now)
    }

    /// Checks what is at a path, unless another does so: then its answer is taken, if it began after
    /// this was `asked`.
    async fn checked(&self, path: &Path, asked: Instant) -> io::Result<Rc<CachedFile<T>>> {
        let line = self.lines.join(path);
        let mut last = line.turn().await;
        if let Some(answer) = last.since(asked) {
            return answer;
        }
        if let Some(fresh) = self.fresh(path, self.now()) {
            return Ok(fresh);
        }
        let began = self.now();
        let known = self.shelf.borrow().any(path);
        let checked = self.check(path, known, began).await;
        last.set(Line::answered(began, &checked));
        checked
    }

    /// Opens a path, and keeps what is there. It is what is `known` if nothing has changed.
    async fn check(
        &self,
        path: &Path,
        known: Option<Rc<CachedFile<T>>>,
        began: Instant,
    ) -> io::Result<Rc<CachedFile<T>>> {
        let (wall, forgets) = (self.wall(), self.forgets.get());
        #[cfg(test)]
        self.waits_in_tests().await;
        let (file, metadata) = match self.open(path).await {
            Ok(found) => found,
            Err(error) => {
                self.forget(path);
                return Err(error);
            }
        };
        if !metadata.is_file() && !metadata.is_dir() {
            self.forget(path);
            return Ok(Rc::new(CachedFile::new(file, metadata, None)));
        }
        let is_settled = metadata.changed() + CLOCK_TICK_MAX < wall;
        let in_memory = is_settled && self.is_for_memory(&metadata);
        let known = known.filter(|known| {
            known.metadata().is_of_same_state(&metadata) && known.contents().is_some() == in_memory
        });
        let entry = match known {
            Some(known) => known,
            None => {
                let contents = if in_memory { read_whole(&file, &metadata).await } else { None };
                Rc::new(CachedFile::new(file, metadata, contents))
            }
        };
        // What was forgotten meanwhile may have changed after the look.
        let is_valid = is_settled && self.forgets.get() == forgets;
        let until = if is_valid { began + self.limits.validity } else { began };
        if entry.contents().is_none() && metadata.is_file() && metadata.len() <= LOOKED_AT_MAX {
            entry.file().look_at_page_cache(metadata.len(), until);
        }
        let kept = Kept { entry: Rc::clone(&entry), until };
        let mut shelf = self.shelf.borrow_mut();
        let dropped = shelf.put(path, kept);
        // What is checked each time needs none.
        if is_valid {
            shelf.watch(path);
        }
        drop(shelf);
        drop(dropped);
        Ok(entry)
    }

    /// Counts a check, which then waits, as it would for a disk.
    #[cfg(test)]
    async fn waits_in_tests(&self) {
        self.checks.update(|count| count + 1);
        crate::task::yield_now().await;
    }

    async fn open(&self, path: &Path) -> io::Result<(File, Metadata)> {
        let file = self.beneath.open(path).await?;
        let metadata = file.metadata().await?;
        Ok((file, metadata))
    }

    fn forget(&self, path: &Path) {
        self.forgets.update(|count| count + 1);
        let forgotten = self.shelf.borrow_mut().remove(path);
        drop(forgotten);
    }

    fn is_for_memory(&self, metadata: &Metadata) -> bool {
        let bytes_max = self.limits.file_bytes_max.min(self.limits.bytes_max);
        metadata.is_file() && metadata.len() <= bytes_max as u64
    }
}

/// All of a file, if that is what its metadata says. `None` if it changes meanwhile, or cannot be read:
/// whoever reads it then hears why.
async fn read_whole(file: &File, metadata: &Metadata) -> Option<Arc<[u8]>> {
    let len = usize::try_from(metadata.len()).ok()?;
    let read = match len {
        0 => Vec::new(),
        _ => file.read_exact_at(Vec::with_capacity(len), len, 0).await.ok()?,
    };
    let after = file.metadata().await.ok()?;
    metadata.is_of_same_state(&after).then(|| read.into())
}

#[cfg(test)]
mod tests;
