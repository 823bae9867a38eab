//! The two lists a task is in: the run queue and the list of live tasks. Both run through the tasks
//! themselves, so that neither allocates.

use std::cell::Cell;

use super::header::TaskPtr;

/// First in, first out.
#[derive(Default)]
pub(super) struct RunQueue {
    first: Cell<Option<TaskPtr>>,
    last: Cell<Option<TaskPtr>>,
}

impl RunQueue {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.first.get().is_none()
    }

    /// # Safety
    /// The task is in no run queue and stays allocated until it is popped.
    #[inline]
    pub(super) unsafe fn push(&self, task: TaskPtr) {
        // SAFETY: the caller vouches for the task.
        unsafe { task.as_ref() }.queue_next.set(None);
        match self.last.replace(Some(task)) {
            // SAFETY: a queued task is allocated.
            Some(last) => unsafe { last.as_ref() }.queue_next.set(Some(task)),
            None => self.first.set(Some(task)),
        }
    }

    #[inline]
    pub(super) fn pop(&self) -> Option<TaskPtr> {
        let task = self.first.get()?;
        // SAFETY: a queued task is allocated.
        let next = unsafe { task.as_ref() }.queue_next.get();
        self.first.set(next);
        if next.is_none() {
            self.last.set(None);
        }
        Some(task)
    }
}

/// All tasks that are not complete, in the order of their spawning.
#[derive(Default)]
pub(super) struct LiveList {
    first: Cell<Option<TaskPtr>>,
    last: Cell<Option<TaskPtr>>,
    length: Cell<usize>,
}

impl LiveList {
    pub(super) fn len(&self) -> usize {
        self.length.get()
    }

    /// # Safety
    /// The task is in no live list and stays allocated until it is removed.
    #[inline]
    pub(super) unsafe fn push(&self, task: TaskPtr) {
        let last = self.last.replace(Some(task));
        // SAFETY: the caller vouches for the task.
        let header = unsafe { task.as_ref() };
        header.live_previous.set(last);
        header.live_next.set(None);
        match last {
            // SAFETY: a listed task is allocated.
            Some(last) => unsafe { last.as_ref() }.live_next.set(Some(task)),
            None => self.first.set(Some(task)),
        }
        self.length.set(self.length.get() + 1);
    }

    /// # Safety
    /// The task is in this list.
    #[inline]
    pub(super) unsafe fn remove(&self, task: TaskPtr) {
        // SAFETY: a listed task is allocated.
        let header = unsafe { task.as_ref() };
        let (previous, next) = (header.live_previous.get(), header.live_next.get());
        match previous {
            // SAFETY: a listed task is allocated.
            Some(previous) => unsafe { previous.as_ref() }.live_next.set(next),
            None => self.first.set(next),
        }
        match next {
            // SAFETY: a listed task is allocated.
            Some(next) => unsafe { next.as_ref() }.live_previous.set(previous),
            None => self.last.set(previous),
        }
        self.length.set(self.length.get() - 1);
    }

    pub(super) fn for_each(&self, mut visit: impl FnMut(TaskPtr)) {
        let mut next = self.first.get();
        while let Some(task) = next {
            // SAFETY: a listed task is allocated.
            next = unsafe { task.as_ref() }.live_next.get();
            visit(task);
        }
    }

    /// The oldest task without `flag`.
    pub(super) fn first_without(&self, flag: u8) -> Option<TaskPtr> {
        let mut candidate = self.first.get();
        while let Some(task) = candidate {
            // SAFETY: a listed task is allocated.
            let header = unsafe { task.as_ref() };
            if !header.has(flag) {
                return Some(task);
            }
            candidate = header.live_next.get();
        }
        None
    }
}
