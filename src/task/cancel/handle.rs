//! Cancelling from another thread: a message in the shard's mailbox.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::tree::Tree;
use super::{CancelToken, cancel};
use crate::task::Scheduler;
use crate::util::linked_slab::Key;
use crate::util::mailbox::Mailbox;
use crate::util::thread_bound::ThreadBound;

/// Cancels a [`CancelToken`] from any thread or shard. Made by [`CancelToken::handle`].
///
/// It keeps neither the token nor its runtime alive. After the runtime has ended it does nothing.
#[derive(Clone)]
pub struct CancelHandle {
    remote: Arc<Remote>,
}

impl CancelHandle {
    #[track_caller]
    pub(super) fn of(token: &CancelToken) -> Self {
        let Some(scheduler) = Scheduler::current() else {
            panic!(
                "a CancelHandle needs the runtime that it reaches the token in: call `handle` inside \
                 corering::block_on or under #[corering::main]"
            );
        };
        let mailbox = scheduler.mailbox();
        let mut tree = token.tree.borrow_mut();
        let is_cancelled = tree.is_cancelled(token.key);
        let remotes = tree.remotes(token.key);
        let made = remotes.iter().find(|remote| Arc::ptr_eq(&remote.mailbox, mailbox));
        if let Some(remote) = made {
            return CancelHandle { remote: Arc::clone(remote) };
        }
        let remote = Arc::new(Remote {
            mailbox: Arc::clone(mailbox),
            cancelled: AtomicBool::new(is_cancelled),
            tree: ThreadBound::new(Cell::new(Rc::as_ptr(&token.tree))),
            key: token.key,
        });
        // Those of earlier runtimes go when their handles are gone.
        remotes.retain(|remote| Arc::strong_count(remote) > 1);
        remotes.push(Arc::clone(&remote));
        CancelHandle { remote }
    }

    /// Cancels the token: at once on its own thread, else as soon as its shard looks into its mailbox.
    /// Never waits.
    pub fn cancel(&self) {
        let remote = &self.remote;
        if remote.tree.get().is_some() {
            remote.deliver();
        } else if !remote.cancelled.swap(true, Ordering::AcqRel) {
            let message = Arc::clone(remote);
            // A shard that has ended takes no mail, and has nothing to cancel.
            let _ = remote.mailbox.post_message(Box::new(move || message.deliver()));
        }
    }

    /// Whether the token is cancelled, or a handle was asked for it: for a closure on another thread
    /// that looks from time to time.
    pub fn is_cancelled(&self) -> bool {
        self.remote.cancelled.load(Ordering::Acquire)
    }
}

impl fmt::Debug for CancelHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelHandle").field("is_cancelled", &self.is_cancelled()).finish()
    }
}

/// What the handles of a token share, those that were made in one runtime.
pub(super) struct Remote {
    mailbox: Arc<Mailbox>,
    /// Set by whoever cancels first, on whichever thread.
    cancelled: AtomicBool,
    /// Null once the token is gone. A plain pointer, so that nothing of the shard's is dropped with the
    /// last handle, wherever that is.
    tree: ThreadBound<Cell<*const RefCell<Tree>>>,
    key: Key,
}

impl Remote {
    /// The token is cancelled.
    pub(super) fn mark(&self) {
        self.cancelled.store(true, Ordering::Release);
    }

    /// The token is gone.
    pub(super) fn forget(&self) {
        if let Some(tree) = self.tree.get() {
            tree.set(ptr::null());
        }
    }

    /// Cancels the token, on its own thread, if it is not gone.
    fn deliver(&self) {
        let tree = self.tree.get().map_or(ptr::null(), Cell::get);
        if tree.is_null() {
            return;
        }
        // SAFETY: the pointer is of an `Rc`. It is null from the moment on at which the last user of the
        // token is released, and until then that user holds a count. This is the thread of both.
        unsafe { Rc::increment_strong_count(tree) };
        // SAFETY: the count that was just added becomes this `Rc`'s.
        let tree = unsafe { Rc::from_raw(tree) };
        cancel(&tree, self.key);
    }
}
