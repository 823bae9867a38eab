//! What users hold of a cache.

use std::cell::OnceCell;
use std::fmt;
use std::sync::Arc;

use super::super::{File, Metadata};
use crate::util::shard_bound::{ShardBound, UseACacheForEachShard};

/// An open file of a [`FileCache`](super::FileCache), as it was when the cache last looked. It stays open as
/// long as anybody has it.
pub struct CachedFile<T = ()> {
    state: ShardBound<State<T>, dyn UseACacheForEachShard>,
}

struct State<T> {
    file: File,
    metadata: Metadata,
    contents: Option<Arc<[u8]>>,
    value: OnceCell<T>,
}

impl<T> CachedFile<T> {
    pub(super) fn new(file: File, metadata: Metadata, contents: Option<Arc<[u8]>>) -> Self {
        let value = OnceCell::new();
        CachedFile { state: ShardBound::new(State { file, metadata, contents, value }) }
    }

    /// The open file.
    pub fn file(&self) -> &File {
        &self.state.file
    }

    /// What the file system knew of it.
    pub fn metadata(&self) -> &Metadata {
        &self.state.metadata
    }

    /// All bytes of the file, if it is small enough to be kept in memory: as many as
    /// [`metadata`](Self::metadata) says, and of the same state.
    pub fn contents(&self) -> Option<&Arc<[u8]>> {
        self.state.contents.as_ref()
    }

    /// Whether the page cache had all of the file when the cache looked, not longer ago than the
    /// [`validity`](super::FileCacheBuilder::validity). It does not look at what is kept in memory, nor at
    /// files of more than 64 MiB.
    pub fn is_in_page_cache(&self) -> bool {
        self.file().was_in_cache()
    }

    /// What the user has made of this entry. `make` is called the first time, and again only for another
    /// state of the file.
    ///
    /// # Panics
    ///
    /// If `make` asks for the value itself.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::fs::{CachedFile, File, FileCache};
    ///
    /// corering::block_on(async {
    ///     let cache: FileCache<String> = FileCache::builder().beneath(&File::open(".").await?);
    ///     let manifest = cache.get("Cargo.toml").await?;
    ///     let head = manifest.value_with(|file: &CachedFile<String>| {
    ///         format!("content-length: {}\r\n\r\n", file.metadata().len())
    ///     });
    ///     assert!(head.starts_with("content-length: "));
    ///     Ok::<(), std::io::Error>(())
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn value_with(&self, make: impl FnOnce(&Self) -> T) -> &T {
        self.state.value.get_or_init(|| make(self))
    }
}

impl<T> fmt::Debug for CachedFile<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedFile")
            .field("file", self.file())
            .field("len", &self.metadata().len())
            .field("in_memory", &self.contents().is_some())
            .finish_non_exhaustive()
    }
}
