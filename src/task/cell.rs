//! The allocation of one task, and what its vtable does with the future and the output.

use std::any;
use std::future::Future;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::pin::Pin;
use std::ptr::{self, NonNull};
use std::rc::Rc;
use std::task::{Context, Poll};

use super::JoinError;
use super::header::{Header, TAKEN, TaskPtr, Vtable};
use super::home::Share;
use super::id::Id;
use super::{scheduler, waker};
use crate::util::sync_types::CheckedCell;
use crate::util::unwind::{Payload, catch, discard};

#[repr(C)] // The header stays first: the task's address is the header's.
struct TaskCell<F: Future> {
    header: Header,
    stage: CheckedCell<Stage<F>>,
}

/// The flags say which it is: the future until the task is `COMPLETE`, then the output, and nothing
/// once that is `TAKEN`.
union Stage<F: Future> {
    future: ManuallyDrop<F>,
    output: ManuallyDrop<Result<F::Output, JoinError>>,
}

/// Allocates a task. Its two references are the scheduler's and the join handle's.
pub(super) fn allocate<F: Future + 'static>(
    future: F,
    id: Id,
    context: Option<Rc<super::local::Context>>,
    home: Share,
) -> TaskPtr {
    let cell = Box::new(TaskCell {
        header: Header::new(id, context, home, TaskCell::<F>::VTABLE),
        stage: CheckedCell::new(Stage { future: ManuallyDrop::new(future) }),
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
                // SAFETY: `with_stage`'s access is exclusive, see below, and the future is there.
                let future: &mut F = unsafe { &mut (*stage).future };
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
        if let Err(payload) = unsafe { Self::drop_future(task) } {
            // The output tells more than a Drop that panicked after it.
            discard(payload);
        }
        // SAFETY: the future was just dropped.
        unsafe { Self::set_output(task, output) };
        Poll::Ready(())
    }

    /// # Safety
    /// On the shard's thread; the future is there and not entered.
    unsafe fn cancel(task: TaskPtr) {
        // SAFETY: the task is marked as running, and the handles look at a complete task only.
        let error = match unsafe { Self::drop_future(task) } {
            // SAFETY: the caller's task is allocated.
            Ok(()) => JoinError::cancelled(unsafe { task.as_ref() }.id()),
            // SAFETY: as above.
            Err(payload) => unsafe { scheduler::panicked(task, payload) },
        };
        // SAFETY: the future was just dropped.
        unsafe { Self::set_output(task, Err(error)) };
    }

    /// # Safety
    /// On the shard's thread; the task is complete; `output` points at an
    /// `Option<Result<F::Output, JoinError>>`.
    unsafe fn take_output(task: TaskPtr, output: *mut ()) {
        // SAFETY: the caller's task is allocated.
        let header = unsafe { task.as_ref() };
        if header.has(TAKEN) {
            return;
        }
        header.insert(TAKEN);
        // SAFETY: the output is there, and read once: that it is taken is written down.
        let take = |stage: *mut Stage<F>| unsafe { ptr::read(&raw const (*stage).output) };
        // SAFETY: the task is complete, and only its one join handle looks at the stage.
        let taken = Some(ManuallyDrop::into_inner(unsafe { Self::with_stage(task, take) }));
        // SAFETY: the caller vouches for the pointer and its type.
        unsafe { *output.cast::<Option<Result<F::Output, JoinError>>>() = taken };
    }

    /// # Safety
    /// On the shard's thread; the task is complete, and nobody else will look at its output.
    unsafe fn drop_output(task: TaskPtr) {
        // SAFETY: the caller's task is allocated.
        let header = unsafe { task.as_ref() };
        if header.has(TAKEN) {
            return;
        }
        header.insert(TAKEN);
        let drop_in_place = |stage: *mut Stage<F>| {
            // SAFETY: the output is there, and dropped once: that it is taken is written down.
            catch(|| unsafe { ManuallyDrop::drop(&mut (*stage).output) })
        };
        // SAFETY: by the caller's word the stage is ours.
        if let Err(payload) = unsafe { Self::with_stage(task, drop_in_place) } {
            discard(payload);
        }
    }

    /// Writes the output in the place of the future, which is dropped already.
    ///
    /// # Safety
    /// As for [`with_stage`](Self::with_stage).
    unsafe fn set_output(task: TaskPtr, output: Result<F::Output, JoinError>) {
        let write = |stage: *mut Stage<F>| {
            // SAFETY: the pointer is to the stage's own place.
            unsafe { stage.write(Stage { output: ManuallyDrop::new(output) }) }
        };
        // SAFETY: the caller's word is the same.
        unsafe { Self::with_stage(task, write) };
    }

    /// Drops the future, in place, and catches its panic.
    ///
    /// # Safety
    /// As for [`with_stage`](Self::with_stage); the future is there, and the caller writes an output
    /// afterwards.
    unsafe fn drop_future(task: TaskPtr) -> Result<(), Payload> {
        let drop_in_place = |stage: *mut Stage<F>| {
            // SAFETY: the future is there, and the caller replaces it without dropping it.
            catch(|| unsafe { ManuallyDrop::drop(&mut (*stage).future) })
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
        // SAFETY: as above; the header is dropped once, here. The stage is not: it holds nothing.
        unsafe { task.drop_in_place() };
        // SAFETY: the pointer came from a box of this layout, and `MaybeUninit` drops nothing.
        drop(unsafe { Box::from_raw(task.cast::<MaybeUninit<Self>>().as_ptr()) });
    }
}
