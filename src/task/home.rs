//! What a task, and each waker of the main future, knows of its shard: the mailbox, and who is left
//! that knows it.
//!
//! A shard spawns and ends tasks by the million, nearly all of them on its own thread. So the count
//! has two parts: a plain one of that thread, and an atomic one of all others. The shard adds them up
//! when it ends, and who gives the last share back frees the home.

use std::cell::Cell;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::Arc;

use super::Scheduler;
use crate::util::mailbox::Mailbox;
use crate::util::sync_types::{AtomicUsize, Ordering, fence};

pub(super) struct Home {
    pub(super) mailbox: Arc<Mailbox>,
    /// Shares taken on the shard's thread, less those given back there, which may be more. That
    /// thread's alone, until the shard ends.
    here: Cell<usize>,
    /// The same of all other threads, and [`OPEN`] until the shard has ended and added its own.
    elsewhere: AtomicUsize,
}

/// More than there can be shares: the count of others alone never comes to zero.
const OPEN: usize = 1 << (usize::BITS - 1);

/// Keeps a home. Any thread may take another from it, use it, and give it back.
pub(super) struct Share {
    home: NonNull<Home>,
}

// SAFETY: `here` is touched by the shard's thread alone, the rest is `Sync`.
unsafe impl Send for Share {}
// SAFETY: as above.
unsafe impl Sync for Share {}

/// The shard's own: not a share, and the only one who takes shares without having one.
pub(super) struct Owner {
    home: NonNull<Home>,
}

impl Owner {
    pub(super) fn new(mailbox: Arc<Mailbox>) -> Self {
        let home =
            Box::new(Home { mailbox, here: Cell::new(0), elsewhere: AtomicUsize::new(OPEN) });
        // SAFETY: a box is never null.
        Owner { home: unsafe { NonNull::new_unchecked(Box::into_raw(home)) } }
    }

    /// Takes a share, on the shard's thread.
    #[inline]
    pub(super) fn share(&self) -> Share {
        self.here.set(self.here.get().wrapping_add(1));
        Share { home: self.home }
    }

    #[inline]
    pub(super) fn is_of(&self, share: &Share) -> bool {
        self.home == share.home
    }
}

impl Deref for Owner {
    type Target = Home;

    #[inline]
    fn deref(&self) -> &Home {
        // SAFETY: the home stays until the shard has ended.
        unsafe { self.home.as_ref() }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let here = self.here.get();
        let to_add = here.wrapping_sub(OPEN);
        let before = self.elsewhere.fetch_add(to_add, Ordering::AcqRel);
        if before.wrapping_add(to_add) == 0 {
            // SAFETY: the shard has ended, and no share is left.
            drop(unsafe { Box::from_raw(self.home.as_ptr()) });
        }
    }
}

impl Share {
    /// The share that a raw waker is made of.
    pub(super) fn into_raw(self) -> *const () {
        std::mem::ManuallyDrop::new(self).home.as_ptr().cast_const().cast()
    }

    /// # Safety
    /// `raw` came from [`into_raw`](Self::into_raw), and becomes a share once.
    pub(super) unsafe fn from_raw(raw: *const ()) -> Self {
        // SAFETY: the caller's word.
        Share { home: unsafe { NonNull::new_unchecked(raw.cast_mut().cast()) } }
    }
}

impl Deref for Share {
    type Target = Home;

    #[inline]
    fn deref(&self) -> &Home {
        // SAFETY: the share keeps the home.
        unsafe { self.home.as_ref() }
    }
}

impl Clone for Share {
    #[inline]
    fn clone(&self) -> Self {
        let is_here = Scheduler::if_owner(self, |_| self.here.set(self.here.get().wrapping_add(1)));
        if !is_here {
            self.elsewhere.fetch_add(1, Ordering::Relaxed);
        }
        Share { home: self.home }
    }
}

impl Drop for Share {
    #[inline]
    fn drop(&mut self) {
        let is_here = Scheduler::if_owner(self, |_| self.here.set(self.here.get().wrapping_sub(1)));
        if !is_here && self.elsewhere.fetch_sub(1, Ordering::Release) == 1 {
            fence(Ordering::Acquire);
            // SAFETY: the shard has ended, and this was the last share.
            drop(unsafe { Box::from_raw(self.home.as_ptr()) });
        }
    }
}
