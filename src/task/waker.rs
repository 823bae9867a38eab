//! Wakers of tasks, and of the one future that is not a task: that of `block_on`.
//!
//! A waker may be cloned, used and dropped on any thread, before and after the end of its runtime.
//! On the shard's thread a wake is a push onto the run queue. On another thread it posts the task
//! to the shard's mailbox, at most once until the shard has looked. It never blocks, never polls,
//! and touches nothing but the header's `state`, its node and its mailbox.

use std::mem::ManuallyDrop;
use std::task::{RawWaker, RawWakerVTable, Waker};

use super::header::{ENDED, POSTED, TaskPtr, release};
use super::home::Share;
use super::scheduler::Scheduler;
use crate::util::sync_types::Ordering;

/// A waker that holds no reference of its own: to be borrowed and never dropped.
///
/// # Safety
/// The task stays allocated while the waker is used, and the waker is not dropped.
#[inline]
pub(super) unsafe fn uncounted(task: TaskPtr) -> Waker {
    // SAFETY: the functions of the vtable fulfil `RawWaker`'s contract, from any thread, for a
    // pointer to a task that stays allocated.
    unsafe { Waker::new(task.as_ptr().cast_const().cast(), &VTABLE) }
}

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop_waker);

unsafe fn clone(data: *const ()) -> RawWaker {
    // SAFETY: the waker that is cloned keeps the task allocated.
    unsafe { task(data).as_ref() }.add_reference();
    RawWaker::new(data, &VTABLE)
}

unsafe fn wake(data: *const ()) {
    // Only afterwards is the reference given up: until then it keeps the mailbox open, also where
    // the shard takes the posted task out and ends in the meantime.
    // SAFETY: the waker keeps the task allocated.
    unsafe { wake_task(task(data)) };
    // SAFETY: the waker was consumed, and with it its reference.
    unsafe { release(task(data)) };
}

unsafe fn wake_by_ref(data: *const ()) {
    // SAFETY: the waker keeps the task allocated.
    unsafe { wake_task(task(data)) };
}

unsafe fn drop_waker(data: *const ()) {
    // SAFETY: the waker is gone, and with it its reference.
    unsafe { release(task(data)) };
}

/// Wakes a task, from any thread.
///
/// # Safety
/// The caller holds a reference, and keeps it until this has returned.
#[inline]
pub(super) unsafe fn wake_task(task: TaskPtr) {
    // SAFETY: the caller holds a reference.
    let header = unsafe { task.as_ref() };
    let here = Scheduler::if_owner(&header.home, |owner| {
        // SAFETY: the task's mailbox is the owner's, so the task is its own, and allocated.
        unsafe { owner.schedule(task) }
    });
    if !here {
        // SAFETY: the caller's word is the same.
        unsafe { post(task) };
    }
}

/// Posts a task to its shard's mailbox, from any thread.
///
/// # Safety
/// The caller holds a reference, and keeps it until this has returned.
unsafe fn post(task: TaskPtr) {
    // SAFETY: the caller holds a reference.
    let header = unsafe { task.as_ref() };
    // Also where the bit is set already this has to be a read-modify-write: the owner's clearing of
    // the bit then reads from it, and the poll that follows sees what this thread wrote before.
    let before = header.state.fetch_or(POSTED, Ordering::AcqRel);
    if before & (POSTED | ENDED) != 0 {
        return;
    }
    header.add_reference();
    // SAFETY: the bit was clear, so the node is in no mailbox; the new reference keeps the task
    // allocated until the owner has taken the node out. The pointer is the whole task's.
    let posted = unsafe { header.home.mailbox.post(task.cast()) };
    if posted.is_err() {
        // The runtime has ended. What the post would have carried comes back: a count, since the
        // future is dropped by the shard or has been.
        // SAFETY: the reference was added above for the mailbox, which did not take it.
        unsafe { release(task) };
    }
}

/// # Safety
/// `data` is a task waker's.
#[inline]
unsafe fn task(data: *const ()) -> TaskPtr {
    // SAFETY: the pointer came from a `TaskPtr`, see `uncounted`.
    unsafe { TaskPtr::new_unchecked(data.cast_mut().cast()) }
}

/// The waker of a shard's `block_on`.
pub(super) fn root_waker(home: Share) -> Waker {
    // SAFETY: the functions of the vtable fulfil `RawWaker`'s contract, from any thread, for a share.
    unsafe { Waker::new(home.into_raw(), &ROOT_VTABLE) }
}

static ROOT_VTABLE: RawWakerVTable =
    RawWakerVTable::new(clone_root, wake_root, wake_root_by_ref, drop_root);

unsafe fn clone_root(data: *const ()) -> RawWaker {
    // SAFETY: the waker that is cloned keeps its share.
    let home = ManuallyDrop::new(unsafe { Share::from_raw(data) });
    RawWaker::new(Share::clone(&home).into_raw(), &ROOT_VTABLE)
}

unsafe fn wake_root(data: *const ()) {
    // SAFETY: the waker was consumed, and with it its share.
    notify_root(&unsafe { Share::from_raw(data) });
}

unsafe fn wake_root_by_ref(data: *const ()) {
    // SAFETY: the waker keeps its share.
    notify_root(&ManuallyDrop::new(unsafe { Share::from_raw(data) }));
}

unsafe fn drop_root(data: *const ()) {
    // SAFETY: the waker is gone, and with it its share.
    drop(unsafe { Share::from_raw(data) });
}

fn notify_root(home: &Share) {
    if !Scheduler::if_owner(home, Scheduler::wake_root) {
        home.mailbox.notify();
    }
}
