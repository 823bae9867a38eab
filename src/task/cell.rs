//! The allocation of one task, and what its vtable does with the future and the output.

use std::any;
use std::future::Future;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::pin::Pin;
use std::ptr::{self, NonNull};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::JoinError;
use super::header::{Header, TaskPtr, Vtable};
use super::id::Id;
use super::{scheduler, waker};
use crate::util::mailbox::Mailbox;
use crate::util::sync_types::CheckedCell;
use crate::util::unwind::{Payload, catch, discard};

#[repr(C)] // The header stays first: the task's address is the header's.
struct TaskCell<F: Future> {
    header: Header,
    stage: CheckedCell<Stage<F>>,
}

enum Stage<F: Future> {
    Future(F),
    Output(Result<F::Output, JoinError>),
    /// The output was taken or dropped.
    Gone,
}

/// Allocates a task. Its two references are the scheduler's and the join handle's.
pub(super) fn allocate<F: Future + 'static>(
    future: F,
    id: Id,
    context: Option<Rc<super::local::Context>>,
    mailbox: Arc<Mailbox>,
) -> TaskPtr {
    let cell = Box::new(TaskCell {
        header: Header::new(id, context, mailbox, TaskCell::<F>::VTABLE),
        stage: CheckedCell::new(Stage::Future(future)),
    });
    // The pointer keeps the provenance of the whole cell.
    // SAFETY: a box is never null.
    unsafe { NonNull::new_unchecked(Box::into_raw(cell)) }.cast()
}

impl<F: Future + 'static> TaskCell<F> {
    const VTABLE: &'static Vtable = &Vtable {
        poll: Self::poll,
        cancel: Self::cancel,
        take_output: Self::take_output,
        drop_output: Self::drop_output,
        free: Self::free,
        future: any::type_name::<F>,
    };

    /// # Safety
    /// `task` came from [`allocate`] with this `F`, is not freed, and nobody else looks at its
    /// stage while `access` runs.
    #[inline]
    unsafe fn with_stage<R>(task: TaskPtr, access: impl FnOnce(*mut Stage<F>) -> R) -> R {
        let cell = task.cast::<Self>();
        // SAFETY: a shared reference to the stage's cell alone; the caller vouches for the pointer.
        let stage = unsafe { &(*cell.as_ptr()).stage };
        stage.with_mut(access)
    }

    /// # Safety
    /// On the shard's thread; the future is there and not entered.
    unsafe fn poll(task: TaskPtr) -> Poll<()> {
        // The task cannot be freed while it is polled, so the poll borrows a waker without counting.
        // SAFETY: the waker is never dropped, and a clone of it counts.
        let waker = ManuallyDrop::new(unsafe { waker::uncounted(task) });
        let mut context = Context::from_waker(&waker);
        let polled = |stage: *mut Stage<F>| {
            catch(|| {
                // SAFETY: `with_stage`'s access is exclusive, see below.
                let Stage::Future(future) = (unsafe { &mut *stage }) else {
                    unreachable!("a task that is not complete holds its future");
                };
                // SAFETY: the future lives in the task's allocation and is dropped in place.
                unsafe { Pin::new_unchecked(future) }.poll(&mut context)
            })
        };
        // SAFETY: the task is running, and the handles look at the stage of a complete task only.
        let output = match unsafe { Self::with_stage(task, polled) } {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(output)) => Ok(output),
            // SAFETY: the task is being polled, so it is allocated.
            Err(payload) => Err(unsafe { scheduler::panicked(task, payload) }),
        };
        // SAFETY: as above; the future is not used again.
        if let Err(payload) = unsafe { Self::drop_stage(task) } {
            // The output tells more than a Drop that panicked after it.
            discard(payload);
        }
        // SAFETY: the stage's value was just dropped.
        unsafe { Self::set_stage(task, Stage::Output(output)) };
        Poll::Ready(())
    }

    /// # Safety
    /// On the shard's thread; the future is there and not entered.
    unsafe fn cancel(task: TaskPtr) {
        // SAFETY: the task is marked as running, and the handles look at a complete task only.
        let error = match unsafe { Self::drop_stage(task) } {
            // SAFETY: the caller's task is allocated.
            Ok(()) => JoinError::cancelled(unsafe { task.as_ref() }.id()),
            // SAFETY: as above.
            Err(payload) => unsafe { scheduler::panicked(task, payload) },
        };
        // SAFETY: the stage's value was just dropped.
        unsafe { Self::set_stage(task, Stage::Output(Err(error))) };
    }

    /// # Safety
    /// On the shard's thread; the task is complete; `output` points at an
    /// `Option<Result<F::Output, JoinError>>`.
    unsafe fn take_output(task: TaskPtr, output: *mut ()) {
        let take = |stage: *mut Stage<F>| {
            // SAFETY: the stage of a complete task holds a value.
            unsafe { ptr::replace(stage, Stage::Gone) }
        };
        // SAFETY: the task is complete, and only its one join handle looks at the stage.
        let taken = match unsafe { Self::with_stage(task, take) } {
            Stage::Output(output) => Some(output),
            Stage::Gone => None,
            Stage::Future(_) => unreachable!("a complete task holds no future"),
        };
        // SAFETY: the caller vouches for the pointer and its type.
        unsafe { *output.cast::<Option<Result<F::Output, JoinError>>>() = taken };
    }

    /// # Safety
    /// On the shard's thread; the task is complete, and nobody else will look at its output.
    unsafe fn drop_output(task: TaskPtr) {
        // SAFETY: by the caller's word the stage is ours.
        if let Err(payload) = unsafe { Self::drop_stage(task) } {
            discard(payload);
        }
        // SAFETY: the stage's value was just dropped.
        unsafe { Self::set_stage(task, Stage::Gone) };
    }

    /// Writes the stage, whose value is already dropped.
    ///
    /// # Safety
    /// As for [`with_stage`](Self::with_stage).
    unsafe fn set_stage(task: TaskPtr, value: Stage<F>) {
        let write = |stage: *mut Stage<F>| {
            // SAFETY: the pointer is to the stage's own place.
            unsafe { stage.write(value) }
        };
        // SAFETY: the caller's word is the same.
        unsafe { Self::with_stage(task, write) };
    }

    /// Drops what the stage holds, in place, and catches its panic.
    ///
    /// # Safety
    /// As for [`with_stage`](Self::with_stage), and the caller writes a new value afterwards.
    unsafe fn drop_stage(task: TaskPtr) -> Result<(), Payload> {
        let drop_in_place = |stage: *mut Stage<F>| {
            // SAFETY: the stage holds a value, and the caller replaces it without dropping it.
            catch(|| unsafe { stage.drop_in_place() })
        };
        // SAFETY: the caller's word is the same.
        unsafe { Self::with_stage(task, drop_in_place) }
    }

    /// # Safety
    /// No reference is left, so future and output are gone: whoever held the last one of them that
    /// could see the output has dropped it.
    unsafe fn free(task: TaskPtr) {
        // Tells loom that the memory ends here.
        // SAFETY: nobody uses the task any more.
        unsafe { Self::with_stage(task, |_| ()) };
        // SAFETY: as above; the header is dropped once, here. The stage is not: it holds nothing,
        // and if it did, this could be the wrong thread to drop it.
        unsafe { task.drop_in_place() };
        // SAFETY: the pointer came from a box of this layout, and `MaybeUninit` drops nothing.
        drop(unsafe { Box::from_raw(task.cast::<MaybeUninit<Self>>().as_ptr()) });
    }
}
