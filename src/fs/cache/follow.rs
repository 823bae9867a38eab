//! Entries that go as soon as their file changes, by inotify.
//!
//! It only ever takes entries away: what it misses is found by the next check. So a watch is added after
//! the look at the file, and one that cannot be had is done without.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;

use super::super::{File, WatchEvent, WatchId, WatchMask, Watcher, Watches};
use super::{FileCache, Shared};
use crate::util::linked_slab::Key;

impl<T> FileCache<T> {
    /// Drops each entry as soon as its file is rewritten, replaced, renamed, removed or given other
    /// permissions, so that the next who asks gets the new state before the
    /// [`validity`](super::FileCacheBuilder::validity) ends. It goes on until it is dropped, and costs a
    /// [`get`](Self::get) of what is kept nothing.
    ///
    /// The validity is the bound as before, since inotify does not see everything: a folder or a symbolic
    /// link on the way to a file, a file that is written to through a mapping, and what other machines do to
    /// a network file system. Entries of folders are not watched. Nor is a file, until its next check, that
    /// was opened before this began or was changed less than two seconds ago, or while the user has as many
    /// watches as `fs.inotify.max_user_watches` allows. There are never more watches than entries.
    ///
    /// # Cancel safety
    ///
    /// A drop ends the watches and leaves the entries.
    ///
    /// # Errors
    ///
    /// Those of [`Watcher::new`] and [`Watcher::recv`]: the user or the process is at its limit, for
    /// instance. `ResourceBusy` if the changes are followed already. The cache goes on as without.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::rc::Rc;
    ///
    /// use corering::fs::{File, FileCache};
    ///
    /// corering::block_on(async {
    ///     let cache: Rc<FileCache> = Rc::new(FileCache::builder().beneath(&File::open(".").await?));
    ///     let followed = Rc::clone(&cache);
    ///     corering::spawn(async move {
    ///         let Err(error) = followed.follow_changes().await;
    ///         eprintln!("changed files are noticed by checks alone: {error}");
    ///     });
    ///     let manifest = cache.get("Cargo.toml").await?;
    ///     assert!(manifest.metadata().is_file());
    ///     Ok::<(), std::io::Error>(())
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "inotify")]
    pub async fn follow_changes(&self) -> io::Result<Infallible> {
        let mut watcher = Watcher::new()?;
        let following = Following::begin(&self.shared, watcher.watches())?;
        loop {
            match watcher.recv().await? {
                WatchEvent::Changed(change) => following.0.forget_watched(change.id),
                // Of a file system that was unmounted. One that was removed here is known no more.
                WatchEvent::Ended(id) => following.0.forget_watched(id),
                WatchEvent::Overflow => self.clear(),
            }
        }
    }
}

/// The time during which changes are followed.
struct Following<'a, T: 'static>(&'a Shared<T>);

impl<'a, T> Following<'a, T> {
    fn begin(shared: &'a Shared<T>, watches: Watches) -> io::Result<Self> {
        let mut shelf = shared.shelf.borrow_mut();
        if shelf.watched.watches.is_some() {
            let text = "the changes of this cache's files are followed already";
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, text));
        }
        shelf.watched.watches = Some(watches);
        Ok(Following(shared))
    }
}

impl<T> Drop for Following<'_, T> {
    fn drop(&mut self) {
        self.0.shelf.borrow_mut().unwatch_all();
    }
}

impl<T> Shared<T> {
    /// Forgets the entries of a file. What is being checked may have been looked at before the change.
    fn forget_watched(&self, id: WatchId) {
        let gone = self.shelf.borrow_mut().remove_watched(id);
        if !gone.is_empty() {
            self.forgets.update(|count| count + 1);
        }
        drop(gone);
    }
}

/// The watches of a cache: one for each file, however many paths lead to it.
#[derive(Default)]
pub(super) struct Watched {
    /// `None` unless changes are followed.
    watches: Option<Watches>,
    /// The entries of each watch, at least one.
    entries: HashMap<WatchId, Vec<Key>>,
}

impl Watched {
    /// Watches the file of an entry. `None` if that cannot be.
    pub(super) fn add(&mut self, file: &File, entry: Key) -> Option<WatchId> {
        // A name that is removed or replaced is an attribute, one link less: what is open is not deleted.
        let changes = WatchMask::MODIFY | WatchMask::ATTRIB | WatchMask::MOVE_SELF;
        let id = self.watches.as_ref()?.add_open(file, changes).ok()?;
        self.entries.entry(id).or_default().push(entry);
        Some(id)
    }

    /// Takes an entry off its watch, which goes with the last one.
    pub(super) fn remove(&mut self, id: WatchId, entry: Key) {
        let Some(entries) = self.entries.get_mut(&id) else { return };
        entries.retain(|&other| other != entry);
        if !entries.is_empty() {
            return;
        }
        self.entries.remove(&id);
        if let Some(watches) = &self.watches {
            // It may have ended by itself.
            let _ = watches.remove(id);
        }
    }

    /// One of the entries of a watch.
    pub(super) fn any(&self, id: WatchId) -> Option<Key> {
        self.entries.get(&id)?.last().copied()
    }
}
