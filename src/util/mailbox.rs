//! All that other threads may do to a shard: post a node (a task to wake), post a message (a
//! closure to run there), or notify it (the future of `block_on` was woken).
//!
//! A post never blocks on the shard, never loses a wake, and never runs user code. It rings the
//! doorbell only where the shard sleeps and nobody has rung yet.
//!
//! # Why no wake is lost
//! A poster writes its mail, then a fence, then looks at `parked`. The owner writes `parked`, then
//! a fence, then looks for mail. Whatever the order of the two threads, at least one of them sees
//! what the other wrote: either the poster rings, or the owner does not go to sleep.
//!
//! # The end
//! [`Mailbox::close`] refuses every later post. A refused node goes back to its poster, who still
//! owns what it carried. The doorbell's descriptor stays open as long as anyone holds the mailbox,
//! so that a late ring never writes to a number that was closed and given to another file.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::ptr::{self, NonNull};
use std::sync::Arc;

use crate::sys::eventfd::EventFd;
use crate::util::sync_types::{AtomicBool, AtomicPtr, Mutex, Ordering, fence};
use crate::util::unwind::drop_quietly;

/// Work that another thread hands to a shard.
pub(crate) type Message = Box<dyn FnOnce() + Send>;

/// The shard has ended and takes no mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Closed;

/// The link by which something hangs in a mailbox. It is in at most one, at most once.
pub(crate) struct Node {
    next: AtomicPtr<Node>,
}

/// The mailbox of a shard. Every method may be called from any thread, except those that say that
/// they are the owner's.
pub(crate) struct Mailbox {
    /// The newest posted node, or null. The lowest bit says closed: a node's address is even.
    posted: AtomicPtr<Node>,
    messages: Mutex<Messages>,
    /// Whether `messages` holds any, so that the owner asks every round without taking the lock.
    has_messages: AtomicBool,
    notified: AtomicBool,
    /// The owner sleeps, or is about to, and nobody has rung since it said so.
    parked: AtomicBool,
    /// A scheduler drains this mailbox; there is never a second one.
    claimed: AtomicBool,
    doorbell: EventFd,
    /// What a modelled owner sleeps on: loom cannot see into the kernel.
    #[cfg(loom)]
    rung: loom::sync::Notify,
}

struct Messages {
    queue: Vec<Message>,
    closed: bool,
}

impl Node {
    pub(crate) fn new() -> Self {
        Node { next: AtomicPtr::new(ptr::null_mut()) }
    }
}

impl Mailbox {
    /// A mailbox with a doorbell of its own.
    ///
    /// # Errors
    /// No descriptor is left for the doorbell.
    pub(crate) fn new() -> io::Result<Arc<Self>> {
        Ok(Arc::new(Mailbox {
            posted: AtomicPtr::new(ptr::null_mut()),
            messages: Mutex::new(Messages { queue: Vec::new(), closed: false }),
            has_messages: AtomicBool::new(false),
            notified: AtomicBool::new(false),
            parked: AtomicBool::new(false),
            claimed: AtomicBool::new(false),
            doorbell: EventFd::new()?,
            #[cfg(loom)]
            rung: loom::sync::Notify::new(),
        }))
    }

    /// The descriptor that becomes readable when the bell rings; the driver waits for it,
    /// edge-triggered.
    pub(crate) fn doorbell(&self) -> BorrowedFd<'_> {
        self.doorbell.as_fd()
    }

    /// Takes the owner's place. False if it is taken: two owners on two threads would each believe
    /// that they run on the only thread that may touch a task.
    pub(crate) fn claim(&self) -> bool {
        !self.claimed.swap(true, Ordering::Relaxed)
    }

    /// Posts a node. After [`close`](Self::close) the node is not taken, and what it stands for is
    /// still the caller's.
    ///
    /// # Safety
    /// The node is in no mailbox now and stays where it is, allocated, until it has come out of
    /// [`take_posted`](Self::take_posted). Its address keeps the provenance that whoever takes it
    /// out needs.
    pub(crate) unsafe fn post(&self, node: NonNull<Node>) -> Result<(), Closed> {
        // The owner takes the whole stack at once and never pops one node, so that the head that
        // is compared cannot have come back with another neighbour behind it (no ABA).
        let mut head = self.posted.load(Ordering::Relaxed);
        loop {
            if is_closed(head) {
                return Err(Closed);
            }
            // SAFETY: the caller says that the node is allocated; it is in no mailbox, so nobody
            // else writes its link.
            unsafe { node.as_ref() }.next.store(head, Ordering::Relaxed);
            match self.posted.compare_exchange_weak(
                head,
                node.as_ptr(),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => break,
                Err(now) => head = now,
            }
        }
        self.ring_if_parked();
        Ok(())
    }

    /// Posts a closure that the owner runs. After [`close`](Self::close) it is dropped here, on the
    /// poster's thread, which is allowed: a message is `Send`.
    pub(crate) fn post_message(&self, message: Message) -> Result<(), Closed> {
        // The lock is held for a push; what runs under it is never the user's. A refused message is
        // dropped when the function returns, after the lock.
        {
            let mut messages = self.lock();
            if messages.closed {
                return Err(Closed);
            }
            messages.queue.push(message);
            self.has_messages.store(true, Ordering::Relaxed);
        }
        self.ring_if_parked();
        Ok(())
    }

    /// Says that the owner has something to look at that is neither a node nor a message.
    pub(crate) fn notify(&self) {
        // A swap also where the flag is set already: the owner's own swap then reads it, and with
        // it sees all that this thread wrote before. Whoever set the flag first rings.
        if !self.notified.swap(true, Ordering::AcqRel) {
            self.ring_if_parked();
        }
    }

    /// Owner: whether [`notify`](Self::notify) was called since the last time.
    pub(crate) fn take_notified(&self) -> bool {
        self.notified.load(Ordering::Relaxed) && self.notified.swap(false, Ordering::AcqRel)
    }

    /// Owner: takes all posted nodes out, in the order in which they were posted.
    pub(crate) fn take_posted(&self) -> Posted {
        let head = self.posted.load(Ordering::Relaxed);
        if without_mark(head).is_null() {
            return Posted { next: ptr::null_mut() };
        }
        // Only `close` sets the mark, and only the owner calls it or this.
        let empty = if is_closed(head) { closed_mark() } else { ptr::null_mut() };
        let newest = without_mark(self.posted.swap(empty, Ordering::Acquire));
        Posted { next: reverse(newest) }
    }

    /// Owner: moves all messages to the end of `into`, in the order in which they were posted.
    pub(crate) fn take_messages(&self, into: &mut Vec<Message>) {
        if !self.has_messages.load(Ordering::Relaxed) {
            return;
        }
        let mut messages = self.lock();
        self.has_messages.store(false, Ordering::Relaxed);
        if into.is_empty() {
            // The two vectors swap their roles, and in steady state neither grows.
            std::mem::swap(into, &mut messages.queue);
        } else {
            into.append(&mut messages.queue);
        }
    }

    /// Owner: whether something has come that is no node: a message, or a notification.
    pub(crate) fn has_news(&self) -> bool {
        self.has_messages.load(Ordering::Relaxed) || self.notified.load(Ordering::Relaxed)
    }

    /// Owner: says that it is about to sleep. True: nothing has come, every post from now on rings
    /// the bell, and [`unpark`](Self::unpark) is due afterwards. False: there is mail, do not sleep.
    #[must_use]
    pub(crate) fn prepare_park(&self) -> bool {
        self.parked.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if self.has_mail() {
            self.parked.store(false, Ordering::Relaxed);
            return false;
        }
        true
    }

    /// Owner: it is awake, posts need not ring.
    pub(crate) fn unpark(&self) {
        self.parked.store(false, Ordering::Relaxed);
    }

    /// Owner: refuses every later post. Messages that nobody took are dropped here; nodes stay for
    /// a last [`take_posted`](Self::take_posted).
    pub(crate) fn close(&self) {
        let mut head = self.posted.load(Ordering::Relaxed);
        while !is_closed(head) {
            let marked = head.map_addr(|address| address | CLOSED);
            // The chain behind the mark was published by its posters; a read-modify-write keeps
            // it so.
            match self.posted.compare_exchange_weak(
                head,
                marked,
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => break,
                Err(now) => head = now,
            }
        }
        let unread = {
            let mut messages = self.lock();
            messages.closed = true;
            self.has_messages.store(false, Ordering::Relaxed);
            std::mem::take(&mut messages.queue)
        };
        self.parked.store(false, Ordering::Relaxed);
        // What a closure holds is the user's, and its Drop runs with the lock released.
        unread.into_iter().for_each(drop_quietly);
    }

    /// Waits until the bell rings. False: it did not within half a minute, which is a lost wake.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn wait_for_ring(&self) -> bool {
        self.doorbell.wait(std::time::Duration::from_secs(30))
    }

    /// Waits until the bell rings; if it never does, loom reports a deadlock.
    #[cfg(all(test, loom))]
    pub(crate) fn wait_for_ring(&self) -> bool {
        self.rung.wait();
        true
    }

    fn has_mail(&self) -> bool {
        !without_mark(self.posted.load(Ordering::Relaxed)).is_null() || self.has_news()
    }

    /// The poster's half of the handshake (see the module's words); the mail is written.
    fn ring_if_parked(&self) {
        fence(Ordering::SeqCst);
        // The swap picks one poster among many, so that a burst costs one system call.
        if self.parked.load(Ordering::Relaxed) && self.parked.swap(false, Ordering::Relaxed) {
            self.doorbell.ring();
            #[cfg(loom)]
            self.rung.notify();
        }
    }

    #[cfg(not(loom))]
    fn lock(&self) -> std::sync::MutexGuard<'_, Messages> {
        // Nothing under the lock can panic but an allocation, and then the queue is still whole.
        self.messages.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    #[cfg(loom)]
    fn lock(&self) -> loom::sync::MutexGuard<'_, Messages> {
        self.messages.lock().expect("no thread panics under the lock")
    }
}

// The nodes are raw pointers, and the mailbox never looks behind one: it hands them from the
// poster to the owner, and `post` makes the poster promise that this is sound.
const _: () = {
    const fn shared_by_threads<T: Send + Sync>() {}
    shared_by_threads::<Mailbox>();
};

/// Nodes that were taken out, oldest first. What is not asked for is lost: whoever takes nodes
/// takes all of them.
pub(crate) struct Posted {
    next: *mut Node,
}

impl Iterator for Posted {
    type Item = NonNull<Node>;

    fn next(&mut self) -> Option<NonNull<Node>> {
        let node = NonNull::new(self.next)?;
        // Read before the node is handed out: its owner may post it again at once.
        // SAFETY: a posted node stays allocated until it has been handed out here.
        self.next = unsafe { node.as_ref() }.next.load(Ordering::Relaxed);
        Some(node)
    }
}

/// Turns the stack (newest first) into a queue (oldest first).
fn reverse(newest: *mut Node) -> *mut Node {
    let mut rest = newest;
    let mut oldest_first = ptr::null_mut();
    while let Some(node) = NonNull::new(rest) {
        // SAFETY: the chain was taken out of the mailbox by the owner, who alone may touch the
        // links now, and its nodes are allocated until they are handed out.
        let link = unsafe { &node.as_ref().next };
        rest = link.load(Ordering::Relaxed);
        link.store(oldest_first, Ordering::Relaxed);
        oldest_first = node.as_ptr();
    }
    oldest_first
}

const CLOSED: usize = 1;

fn closed_mark() -> *mut Node {
    ptr::without_provenance_mut(CLOSED)
}

fn is_closed(head: *mut Node) -> bool {
    head.addr() & CLOSED != 0
}

fn without_mark(head: *mut Node) -> *mut Node {
    head.map_addr(|address| address & !CLOSED)
}

#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod tests;
