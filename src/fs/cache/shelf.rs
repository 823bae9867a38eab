//! Entries within their bounds: the least recently used goes first.
//!
//! Nothing here drops an entry, which may run code of the user's: what goes is handed out.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use super::super::WatchId;
use super::CachedFile;
use super::follow::Watched;
use crate::util::linked_slab::{Key, LinkedSlab, List};

pub(super) struct Shelf<T> {
    by_path: HashMap<Rc<[u8]>, Key>,
    slots: LinkedSlab<Slot<T>>,
    /// All slots, the most recently used at the back.
    order: List,
    /// Bytes of contents.
    bytes: usize,
    files_max: usize,
    bytes_max: usize,
    pub(super) watched: Watched,
}

/// An entry, and how long it may be used unchecked.
pub(super) struct Kept<T> {
    pub(super) entry: Rc<CachedFile<T>>,
    pub(super) until: Instant,
}

struct Slot<T> {
    path: Rc<[u8]>,
    kept: Kept<T>,
    watch: Option<WatchId>,
}

impl<T> Kept<T> {
    fn bytes(&self) -> usize {
        self.entry.contents().map_or(0, |contents| contents.len())
    }
}

impl<T> Shelf<T> {
    pub(super) fn new(files_max: usize, bytes_max: usize) -> Self {
        Shelf {
            by_path: HashMap::new(),
            slots: LinkedSlab::new(),
            order: List::EMPTY,
            bytes: 0,
            files_max,
            bytes_max,
            watched: Watched::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What is kept of a path, unless it has to be checked.
    pub(super) fn fresh(&mut self, path: &Path, now: Instant) -> Option<Rc<CachedFile<T>>> {
        let key = *self.by_path.get(path.as_os_str().as_bytes())?;
        let kept = &self.slots.get(key)?.kept;
        if now >= kept.until {
            return None;
        }
        let entry = Rc::clone(&kept.entry);
        self.used(key);
        Some(entry)
    }

    /// What is kept of a path, however old.
    pub(super) fn any(&self, path: &Path) -> Option<Rc<CachedFile<T>>> {
        let key = *self.by_path.get(path.as_os_str().as_bytes())?;
        self.slots.get(key).map(|slot| Rc::clone(&slot.kept.entry))
    }

    /// Keeps an entry, and returns those that have to go for it. One that is kept already stays, with its
    /// watch.
    #[must_use = "entries are dropped when nothing is borrowed"]
    pub(super) fn put(&mut self, path: &Path, kept: Kept<T>) -> Vec<Kept<T>> {
        if self.renew(path, &kept) {
            return vec![kept];
        }
        let mut gone = Vec::from_iter(self.remove(path));
        let path: Rc<[u8]> = path.as_os_str().as_bytes().into();
        self.bytes += kept.bytes();
        let key = self.slots.insert(Slot { path: Rc::clone(&path), kept, watch: None });
        self.slots.push_back(&mut self.order, key);
        self.by_path.insert(path, key);
        while self.len() > self.files_max || self.bytes > self.bytes_max {
            let Some(oldest) = self.slots.front(&self.order) else { break };
            gone.extend(self.take(oldest));
        }
        gone
    }

    #[must_use = "entries are dropped when nothing is borrowed"]
    pub(super) fn remove(&mut self, path: &Path) -> Option<Kept<T>> {
        let key = *self.by_path.get(path.as_os_str().as_bytes())?;
        self.take(key)
    }

    /// Watches the file of a path, if it is kept, changes are followed, and the kernel has room.
    pub(super) fn watch(&mut self, path: &Path) {
        let Some(&key) = self.by_path.get(path.as_os_str().as_bytes()) else { return };
        let Some(slot) = self.slots.get_mut(key) else { return };
        // What happens to the files in a folder would be reported, too.
        if slot.watch.is_none() && slot.kept.entry.metadata().is_file() {
            slot.watch = self.watched.add(slot.kept.entry.file(), key);
        }
    }

    /// Removes the entries of the file that has this watch.
    #[must_use = "entries are dropped when nothing is borrowed"]
    pub(super) fn remove_watched(&mut self, id: WatchId) -> Vec<Kept<T>> {
        let mut gone = Vec::new();
        while let Some(key) = self.watched.any(id) {
            gone.extend(self.take(key));
        }
        gone
    }

    /// Changes are followed no more.
    pub(super) fn unwatch_all(&mut self) {
        self.watched = Watched::default();
        for &key in self.by_path.values() {
            if let Some(slot) = self.slots.get_mut(key) {
                slot.watch = None;
            }
        }
    }

    #[must_use = "entries are dropped when nothing is borrowed"]
    pub(super) fn clear(&mut self) -> Vec<Kept<T>> {
        let mut gone = Vec::with_capacity(self.len());
        while let Some(oldest) = self.slots.front(&self.order) {
            gone.extend(self.take(oldest));
        }
        gone
    }

    /// Lets the very entry that is kept be used for longer. Whether it is that.
    fn renew(&mut self, path: &Path, kept: &Kept<T>) -> bool {
        let Some(&key) = self.by_path.get(path.as_os_str().as_bytes()) else { return false };
        let Some(slot) = self.slots.get_mut(key) else { return false };
        let is_kept = Rc::ptr_eq(&slot.kept.entry, &kept.entry);
        if is_kept {
            slot.kept.until = kept.until;
            self.used(key);
        }
        is_kept
    }

    fn used(&mut self, key: Key) {
        self.slots.unlink(&mut self.order, key);
        self.slots.push_back(&mut self.order, key);
    }

    fn take(&mut self, key: Key) -> Option<Kept<T>> {
        self.slots.unlink(&mut self.order, key);
        let Slot { path, kept, watch } = self.slots.remove(key)?;
        self.by_path.remove(&path);
        if let Some(id) = watch {
            self.watched.remove(id, key);
        }
        self.bytes -= kept.bytes();
        Some(kept)
    }
}
