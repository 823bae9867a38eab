//! What a spawner holds of its task: the right to await, to abort, and to let go.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::future::FusedFuture;

use super::JoinError;
use super::header::{CANCELLED, COMPLETE, Header, JOINABLE, TaskPtr, release};
use super::id::Id;
use super::waker;
use crate::util::budget::Toll;
use crate::util::shard_bound::{AwaitTheHandleOnItsShard, ShardBound};
use crate::util::unwind::drop_quietly;

/// A spawned task's handle: a future of its output.
///
/// Dropping the handle detaches the task: it runs on, and its output is dropped. The handle stays on its task's shard:
///
/// ```compile_fail
/// fn assert_send<T: Send>() {}
/// assert_send::<corering::task::JoinHandle<()>>();
/// ```
///
/// # Cancel safety
/// Awaiting a `&mut` reference to the handle may be given up and begun anew; nothing is lost.
///
/// # Panics
/// Polled again after it has given the output.
pub struct JoinHandle<T> {
    task: ShardBound<TaskPtr, dyn AwaitTheHandleOnItsShard>,
    toll: Toll,
    /// The output was given.
    done: bool,
    output: PhantomData<T>,
}

impl<T> JoinHandle<T> {
    /// # Safety
    /// The caller's reference becomes the handle's; it is the task's only join handle, and `T` is
    /// the output of the task's future.
    pub(super) unsafe fn new(task: TaskPtr) -> Self {
        let task = ShardBound::new(task);
        JoinHandle { task, toll: Toll::Due, done: false, output: PhantomData }
    }

    /// Cancels the task: its future is dropped, soon but not within this call, and the handle
    /// reports [`JoinError::is_cancelled`]. A task that completes first keeps its output. What the drop
    /// leaves of each operation is in [`cancel_safety`](crate::cancel_safety).
    pub fn abort(&self) {
        // SAFETY: the handle holds a reference, and stays on the task's thread.
        unsafe { abort(*self.task) };
    }

    /// Whether the task is complete, so that awaiting the handle would not wait.
    pub fn is_finished(&self) -> bool {
        self.header().has(COMPLETE)
    }

    /// The number of the task.
    pub fn id(&self) -> Id {
        self.header().id()
    }

    /// A second handle, which can abort the task but not await it.
    pub fn abort_handle(&self) -> AbortHandle {
        // SAFETY: the handle holds a reference, and stays on the task's thread.
        unsafe { AbortHandle::of(*self.task) }
    }

    /// The task, without a reference of its own.
    pub(super) fn task(&self) -> TaskPtr {
        *self.task
    }

    fn header(&self) -> &Header {
        // SAFETY: the handle holds a reference.
        unsafe { self.task.as_ref() }
    }

    fn take_output(&mut self) -> Result<T, JoinError> {
        let mut output: Option<Result<T, JoinError>> = None;
        let take = self.header().vtable.take_output;
        // SAFETY: the task is complete, on this thread (the handle does not leave it), and its
        // output is a `T`.
        unsafe { take(*self.task, (&raw mut output).cast()) };
        output.expect("a JoinHandle was polled after it had given the task's output")
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut toll = self.toll;
        let polled = toll.poll(context, |context| self.poll_join(context));
        self.toll = toll;
        self.done |= polled.is_ready();
        polled
    }
}

impl<T> JoinHandle<T> {
    fn poll_join(&mut self, context: &mut Context<'_>) -> Poll<Result<T, JoinError>> {
        if self.is_finished() {
            return Poll::Ready(self.take_output());
        }
        // Cloning and dropping wakers is the user's code. It runs while the slot is empty, and
        // might complete the task.
        let slot = &self.header().join_waker;
        let waker = match slot.take() {
            Some(waker) if waker.will_wake(context.waker()) => waker,
            _ => context.waker().clone(),
        };
        if self.is_finished() {
            return Poll::Ready(self.take_output());
        }
        drop(self.header().join_waker.replace(Some(waker)));
        Poll::Pending
    }
}

impl<T> FusedFuture for JoinHandle<T> {
    fn is_terminated(&self) -> bool {
        self.done
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        // Nothing here needs the runtime or a thread-local: the handle is on its task's thread,
        // and that is all that counts. Unwinds must not skip the release, so none leaves.
        let header = self.header();
        header.remove(JOINABLE);
        if header.has(COMPLETE) {
            // SAFETY: complete, on its own thread, and nobody else can take the output.
            unsafe { (header.vtable.drop_output)(*self.task) };
        }
        drop_quietly(header.join_waker.take());
        // SAFETY: the handle's reference, given up once.
        unsafe { release(*self.task) };
    }
}

impl<T> Unpin for JoinHandle<T> {}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle")
            .field("id", &self.id())
            .field("finished", &self.is_finished())
            .finish()
    }
}

/// The right to abort a task, without its output, and what is known of it. It stays on the task's shard.
///
/// # Examples
/// ```
/// use corering::task;
///
/// corering::block_on(async {
///     let task = task::Builder::new().name("waits").spawn(std::future::pending::<()>());
///     for handle in task::all() {
///         assert_eq!(handle.name().as_deref(), Some("waits"));
///         handle.abort();
///     }
///     assert!(task.await.unwrap_err().is_cancelled());
/// });
/// ```
pub struct AbortHandle {
    task: ShardBound<TaskPtr, dyn AwaitTheHandleOnItsShard>,
}

impl AbortHandle {
    /// Cancels the task, as [`JoinHandle::abort`] does.
    pub fn abort(&self) {
        // SAFETY: the handle holds a reference, and stays on the task's thread.
        unsafe { abort(*self.task) };
    }

    /// Whether the task is complete.
    pub fn is_finished(&self) -> bool {
        self.header().has(COMPLETE)
    }

    /// The number of the task.
    pub fn id(&self) -> Id {
        self.header().id()
    }

    /// The name that [`task::Builder`](super::Builder) has given the task, until it is complete.
    pub fn name(&self) -> Option<Cow<'static, str>> {
        Some(self.header().context()?.name()?.to_cow())
    }

    /// # Safety
    /// On the task's thread; the task is allocated.
    pub(super) unsafe fn of(task: TaskPtr) -> Self {
        // SAFETY: the caller's word.
        unsafe { task.as_ref() }.add_reference();
        AbortHandle { task: ShardBound::new(task) }
    }

    fn header(&self) -> &Header {
        // SAFETY: the handle holds a reference.
        unsafe { self.task.as_ref() }
    }
}

impl Clone for AbortHandle {
    fn clone(&self) -> Self {
        self.header().add_reference();
        AbortHandle { task: self.task.clone() }
    }
}

impl Drop for AbortHandle {
    fn drop(&mut self) {
        // SAFETY: the handle's reference, given up once.
        unsafe { release(*self.task) };
    }
}

impl fmt::Debug for AbortHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AbortHandle")
            .field("id", &self.id())
            .field("name", &self.name())
            .field("future", &(self.header().vtable.future)())
            .field("finished", &self.is_finished())
            .finish()
    }
}

/// Has the task cancelled when it runs next, or when its poll returns. The future is not dropped
/// here, so that no user code runs within an abort.
///
/// # Safety
/// On the task's thread; the caller holds a reference, or knows of one that stays while this runs.
pub(super) unsafe fn abort(task: TaskPtr) {
    // SAFETY: the caller holds a reference.
    let header = unsafe { task.as_ref() };
    if header.has(COMPLETE | CANCELLED) {
        return;
    }
    header.insert(CANCELLED);
    // SAFETY: the caller holds a reference, and keeps it while this runs.
    unsafe { waker::wake_task(task) };
}
