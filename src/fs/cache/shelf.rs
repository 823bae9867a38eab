//! Entries within their bounds: the least recently used goes first.
//!
//! Nothing here drops an entry, which may run code of the user's: what goes is handed out.

use std::collections::HashMap;
use std::mem;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use super::CachedFile;
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
}

/// An entry, and how long it may be used unchecked.
pub(super) struct Kept<T> {
    pub(super) entry: Rc<CachedFile<T>>,
    pub(super) until: Instant,
}

struct Slot<T> {
    path: Rc<[u8]>,
    kept: Kept<T>,
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
        self.slots.unlink(&mut self.order, key);
        self.slots.push_back(&mut self.order, key);
        Some(entry)
    }

    /// What is kept of a path, however old.
    pub(super) fn any(&self, path: &Path) -> Option<Rc<CachedFile<T>>> {
        let key = *self.by_path.get(path.as_os_str().as_bytes())?;
        self.slots.get(key).map(|slot| Rc::clone(&slot.kept.entry))
    }

    /// Keeps an entry, and returns those that have to go for it.
    #[must_use = "entries are dropped when nothing is borrowed"]
    pub(super) fn put(&mut self, path: &Path, kept: Kept<T>) -> Vec<Kept<T>> {
        let mut gone = Vec::from_iter(self.remove(path));
        let path: Rc<[u8]> = path.as_os_str().as_bytes().into();
        self.bytes += kept.bytes();
        let key = self.slots.insert(Slot { path: Rc::clone(&path), kept });
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

    #[must_use = "entries are dropped when nothing is borrowed"]
    pub(super) fn clear(&mut self) -> Self {
        mem::replace(self, Shelf::new(self.files_max, self.bytes_max))
    }

    fn take(&mut self, key: Key) -> Option<Kept<T>> {
        self.slots.unlink(&mut self.order, key);
        let Slot { path, kept } = self.slots.remove(key)?;
        self.by_path.remove(&path);
        self.bytes -= kept.bytes();
        Some(kept)
    }
}
