//! The part of a task that does not depend on the future's type, and the count of references.
//!
//! References are held by: the scheduler (from spawn until the task is complete and out of the run
//! queue), the [`JoinHandle`](super::JoinHandle), each [`AbortHandle`](super::AbortHandle), each
//! waker, and the mailbox while the task is posted there.

use std::cell::Cell;
use std::ptr::NonNull;
use std::rc::Rc;
use std::task::{Poll, Waker};

use super::home::Share;
use super::id::Id;
use super::local::Context;
use crate::util::mailbox::Node;
use crate::util::sync_types::{AtomicUsize, Ordering, fence};

/// A task, whatever its future. Whoever holds one also holds, or borrows, a reference.
pub(super) type TaskPtr = NonNull<Header>;

#[repr(C)] // The node stays first: a posted node is the task's address.
pub(super) struct Header {
    // Any thread.
    pub(super) node: Node,
    pub(super) state: AtomicUsize,
    pub(super) home: Share,
    pub(super) vtable: &'static Vtable,
    // The shard's thread only.
    pub(super) flags: Cell<u8>,
    /// The number of the task, in the bytes that the flags leave.
    id: [u8; 7],
    pub(super) queue_next: Cell<Option<TaskPtr>>,
    pub(super) live_previous: Cell<Option<TaskPtr>>,
    pub(super) live_next: Cell<Option<TaskPtr>>,
    /// Who awaits the join handle.
    pub(super) join_waker: Cell<Option<Waker>>,
    /// Until the task is complete. The header may be freed on another thread, which may not drop it.
    pub(super) context: Cell<Option<Rc<Context>>>,
}

/// What depends on the future's type. Every function takes the task's own pointer, runs on the
/// shard's thread (but `free`), and lets no panic of the user's code out.
pub(super) struct Vtable {
    /// Polls the future once. Ready: the future is dropped and its output is stored.
    pub(super) poll: unsafe fn(TaskPtr) -> Poll<()>,
    /// Drops the future and stores "cancelled" as the output.
    pub(super) cancel: unsafe fn(TaskPtr),
    /// Moves the output to the `Option<Result<T, JoinError>>` that the pointer points at.
    pub(super) take_output: unsafe fn(TaskPtr, *mut ()),
    /// Drops the output if it is still there.
    pub(super) drop_output: unsafe fn(TaskPtr),
    /// Frees the memory; future and output are gone. The one function for any thread.
    pub(super) free: unsafe fn(TaskPtr),
    /// The name of the future's type.
    pub(super) future: fn() -> &'static str,
}

// Flags of the shard's thread.

/// In the run queue. Set by a wake of an idle task, cleared when it is taken out to run.
pub(super) const QUEUED: u8 = 1 << 0;
/// User code of this task runs: its poll, or the drop of its future. A running task is never
/// queued, so that it cannot be entered twice.
pub(super) const RUNNING: u8 = 1 << 1;
/// Woken while it was running; it is queued once its poll has returned.
pub(super) const WOKEN: u8 = 1 << 2;
/// Aborted. The future is dropped when the task runs next, or when its poll has returned.
pub(super) const CANCELLED: u8 = 1 << 3;
/// The future is gone, the task is off the live list, and only `QUEUED`, `JOINABLE` and `TAKEN` change.
pub(super) const COMPLETE: u8 = 1 << 4;
/// The join handle exists, and with it whoever will drop the output.
pub(super) const JOINABLE: u8 = 1 << 5;

/// The output was taken or dropped.
pub(super) const TAKEN: u8 = 1 << 6;

/// The task has a context, in which it is polled.
pub(super) const IN_CONTEXT: u8 = 1 << 7;

// `state`, of all threads: two bits, and the count of references above them.

/// In the mailbox, or about to be. Set by a foreign wake, which posts the task only if the bit was
/// clear; cleared by the owner when the node has come out, before the task is queued.
pub(super) const POSTED: usize = 1 << 0;
/// The future is gone: a foreign wake need not disturb the shard. Set late or never, since the
/// owner's own flag decides.
pub(super) const ENDED: usize = 1 << 1;
pub(super) const REFERENCE: usize = 1 << 2;

impl Header {
    /// The header of a task that the scheduler and one join handle refer to, queued to run.
    pub(super) fn new(
        id: Id,
        context: Option<Rc<Context>>,
        home: Share,
        vtable: &'static Vtable,
    ) -> Self {
        Header {
            node: Node::new(),
            state: AtomicUsize::new(2 * REFERENCE),
            home,
            vtable,
            flags: Cell::new(if context.is_some() { JOINABLE | IN_CONTEXT } else { JOINABLE }),
            id: id.to_bytes(),
            queue_next: Cell::new(None),
            live_previous: Cell::new(None),
            live_next: Cell::new(None),
            join_waker: Cell::new(None),
            context: Cell::new(context),
        }
    }

    pub(super) fn id(&self) -> Id {
        Id::from_bytes(self.id)
    }

    /// What the task carries, on the shard's thread.
    pub(super) fn context(&self) -> Option<Rc<Context>> {
        let context = self.context.take();
        self.context.set(context.clone());
        context
    }

    #[inline]
    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags.get() & flag != 0
    }

    #[inline]
    pub(super) fn insert(&self, flag: u8) {
        self.flags.set(self.flags.get() | flag);
    }

    #[inline]
    pub(super) fn remove(&self, flag: u8) {
        self.flags.set(self.flags.get() & !flag);
    }

    /// Adds a reference on behalf of someone who holds one.
    #[inline]
    pub(super) fn add_reference(&self) {
        let before = self.state.fetch_add(REFERENCE, Ordering::Relaxed);
        // Reached only by forgetting clones by the quintillion; a count that wraps would free a
        // task in use, so the process ends first.
        if before > usize::MAX / 2 {
            std::process::abort();
        }
    }
}

/// Gives a reference up, on any thread; the last one frees the memory.
///
/// # Safety
/// The caller holds a reference and does not use it again.
#[inline]
pub(super) unsafe fn release(task: TaskPtr) {
    // SAFETY: the caller's reference keeps the header allocated until it is given up below.
    let state = unsafe { &(*task.as_ptr()).state };
    // A count of one is the caller's own, and nobody can add to it meanwhile: the common end of a
    // task costs no atomic read-modify-write. Acquire: the others' last accesses come before.
    let last = state.load(Ordering::Acquire) < 2 * REFERENCE
        || state.fetch_sub(REFERENCE, Ordering::Release) < 2 * REFERENCE;
    if last {
        fence(Ordering::Acquire);
        // SAFETY: that was the last reference.
        unsafe { free(task) };
    }
}

/// Gives the scheduler's reference up, and marks the task as ended for foreign wakers.
///
/// # Safety
/// On the shard's thread; the task is complete and in no list; the scheduler's reference is not
/// used again.
#[inline]
pub(super) unsafe fn release_ended(task: TaskPtr) {
    // SAFETY: the scheduler's reference keeps the header allocated until it is given up below.
    let header = unsafe { task.as_ref() };
    let joinable = header.has(JOINABLE);
    let state = &header.state;
    let now = state.load(Ordering::Acquire);
    if now == 2 * REFERENCE && joinable {
        // The scheduler's and the join handle's: both belong to this thread, and no other thread
        // has a reference to make a third from. A plain store will do.
        state.store(REFERENCE | ENDED, Ordering::Release);
    } else if now < 2 * REFERENCE
        || state.fetch_add(ENDED.wrapping_sub(REFERENCE), Ordering::Release) < 2 * REFERENCE
    {
        fence(Ordering::Acquire);
        // SAFETY: that was the last reference.
        unsafe { free(task) };
    }
}

/// # Safety
/// No reference is left.
unsafe fn free(task: TaskPtr) {
    // SAFETY: nobody has freed the task yet.
    let free = unsafe { task.as_ref() }.vtable.free;
    // SAFETY: the vtable is this task's own, and by the caller's word nobody uses it any more.
    unsafe { free(task) };
}
