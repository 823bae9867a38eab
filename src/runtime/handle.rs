//! The way into a shard from any thread: closures that run there, and tasks whose handles may go
//! anywhere.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::future::{
    AbortHandle, AbortRegistration, Abortable, Aborted, FusedFuture, FutureExt,
};

use super::across::{self, Replied, Reply, ShardError};
use crate::driver;
use crate::sys::fork::fork_generation;
use crate::task::{self, JoinError, panicked_here};
use crate::util::mailbox::Mailbox;
use crate::util::park;
use crate::util::unwind::catch;

/// The way into a shard, for any thread and any other shard.
///
/// From a runtime it comes by [`current`](Self::current) or [`Runtime::handle`](super::Runtime::handle),
/// and from a [`Shard`](super::Shard) by [`Shard::handle`](super::Shard::handle). It does not keep its
/// runtime alive: what is spawned by the handle of one that has ended is dropped, and says so.
///
/// What is sent there runs when the shard's thread is inside [`block_on`](super::Runtime::block_on), or
/// inside [`Builder::run`](super::Builder::run). Between two `block_on` of a runtime of one shard it
/// waits.
///
/// A closure that has not run when its runtime ends is dropped on the runtime's thread; later ones, and
/// those of a forked child, are dropped on the thread that sends them.
///
/// # Examples
///
/// ```
/// use corering::Handle;
///
/// let (sender, receiver) = std::sync::mpsc::channel();
/// let thread = std::thread::spawn(move || {
///     corering::block_on(async {
///         sender.send(Handle::current()).unwrap();
///         corering::time::sleep(std::time::Duration::MAX).await;
///     })
/// });
/// # drop(thread);
/// let shard = receiver.recv().unwrap();
/// // The future is made on the shard, so it may hold what cannot be sent.
/// let answer = shard.block_on(|| async { std::rc::Rc::new(6 * 7).to_string() });
/// assert_eq!(answer.unwrap(), "42");
/// ```
#[derive(Clone)]
pub struct Handle {
    mailbox: Arc<Mailbox>,
    /// The process that the runtime is in.
    forks: u32,
}

impl Handle {
    pub(super) fn of(mailbox: Arc<Mailbox>) -> Self {
        Handle { mailbox, forks: fork_generation() }
    }

    pub(super) fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    /// The handle of the runtime that runs on this thread.
    ///
    /// # Panics
    ///
    /// Outside a runtime; [`try_current`](Self::try_current) is `None` there.
    ///
    /// # Examples
    ///
    /// ```
    /// corering::block_on(async {
    ///     let task = corering::Handle::current().spawn(|| async { 40 });
    ///     assert_eq!(task.await.unwrap() + 2, 42);
    /// });
    /// ```
    #[track_caller]
    pub fn current() -> Self {
        match Handle::try_current() {
            Some(handle) => handle,
            None => panic!(
                "Handle::current needs a corering runtime on this thread: call it inside \
                 corering::block_on or under #[corering::main], and send the handle to where it is used"
            ),
        }
    }

    /// The handle of the runtime that runs on this thread, if one does.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::Handle;
    ///
    /// assert!(Handle::try_current().is_none());
    /// corering::block_on(async { assert!(Handle::try_current().is_some()) });
    /// ```
    pub fn try_current() -> Option<Self> {
        // In a forked child the runtime is its parent's, and does not run.
        if !driver::is_running() {
            return None;
        }
        task::current_mailbox().map(Handle::of)
    }

    /// Runs a closure on the shard as a task. The closure makes the future there, so the future need not
    /// be `Send`.
    ///
    /// The closure is on its way when this returns; dropping the handle detaches the task.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::time::{self, Duration};
    ///
    /// corering::block_on(async {
    ///     let shard = corering::Handle::current();
    ///     let (sender, mut receiver) = corering::shard_channel();
    ///     std::thread::spawn(move || {
    ///         let task = shard.spawn(|| async {
    ///             time::sleep(Duration::from_millis(1)).await;
    ///             "slept on the shard"
    ///         });
    ///         sender.send(task).unwrap();
    ///     });
    ///     // Any thread may await it, this one, too.
    ///     let task = receiver.recv().await.unwrap();
    ///     assert_eq!(task.await.unwrap(), "slept on the shard");
    /// });
    /// ```
    #[doc(alias = "run_coroutine_threadsafe")]
    #[doc(alias = "submit_to")]
    pub fn spawn<F, Fut, T>(&self, closure: F) -> RemoteHandle<T>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = T> + 'static,
        T: Send + 'static,
    {
        let (reply, replied) = across::reply();
        let (abort, registration) = AbortHandle::new_pair();
        // What cannot be posted is dropped, and the reply with it.
        let _ = self.post(move || {
            drop(task::spawn(run(async move { closure().await }, registration, reply)));
        });
        RemoteHandle { replied, abort, forks: self.forks, done: false }
    }

    /// As [`spawn`](Self::spawn), and blocks the calling thread until the result is there: for threads
    /// without a runtime.
    ///
    /// # Errors
    ///
    /// Those of [`RemoteHandle`].
    ///
    /// # Panics
    ///
    /// Inside a runtime, whose shard it would block: await what [`spawn`](Self::spawn) returns there.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::{Handle, spawn_blocking};
    ///
    /// corering::block_on(async {
    ///     let shard = Handle::current();
    ///     // On a thread of the pool, which blocks no shard.
    ///     let answer = spawn_blocking(move || shard.block_on(|| async { 6 * 7 })).await;
    ///     assert_eq!(answer.unwrap().unwrap(), 42);
    /// });
    /// ```
    #[track_caller]
    pub fn block_on<F, Fut, T>(&self, closure: F) -> Result<T, JoinError>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = T> + 'static,
        T: Send + 'static,
    {
        check_may_block("Handle::block_on");
        self.spawn(closure).join()
    }

    /// Runs a closure on the shard, between two polls of its tasks, soon and not within this call.
    /// Closures of one thread run in the order in which they were posted; a panic in one ends there.
    ///
    /// # Errors
    ///
    /// [`ShardError::Gone`] if the runtime has ended.
    ///
    /// # Examples
    ///
    /// ```
    /// corering::block_on(async {
    ///     let (sender, mut receiver) = corering::shard_channel();
    ///     let shard = corering::Handle::current();
    ///     std::thread::spawn(move || {
    ///         shard.post(move || sender.send(std::thread::current().id()).unwrap()).unwrap();
    ///     });
    ///     assert_eq!(receiver.recv().await, Some(std::thread::current().id()));
    /// });
    /// ```
    #[doc(alias = "call_soon_threadsafe")]
    pub fn post(&self, closure: impl FnOnce() + Send + 'static) -> Result<(), ShardError> {
        // In a forked child the mailbox is a copy that no shard looks into.
        if self.forks != fork_generation() {
            return Err(ShardError::Gone);
        }
        self.mailbox.post_message(Box::new(closure)).map_err(|_closed| ShardError::Gone)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

/// A task that replies by itself. What it runs is dropped when it replies, and not later.
async fn run<F: Future>(
    future: F,
    registration: AbortRegistration,
    reply: Reply<Result<F::Output, JoinError>>,
) {
    let ended = {
        // Within one that is awaited, so that a panic of its drop is caught, too.
        let abortable = async { Abortable::new(future, registration).await };
        let mut abortable = pin!(abortable);
        poll_fn(|cx| match catch(|| abortable.as_mut().poll(cx)) {
            Ok(ended) => {
                ended.map(|ended| ended.map_err(|Aborted| JoinError::cancelled(task::try_id())))
            }
            Err(payload) => Poll::Ready(Err(panicked_here(payload))),
        })
        .await
    };
    reply.send(ended);
}

/// # Panics
/// This thread runs a shard.
#[track_caller]
fn check_may_block(what: &str) {
    assert!(
        !driver::is_running(),
        "{what} inside a corering runtime would block its shard: await what Handle::spawn returns"
    );
}

/// The handle of a task that was spawned by a [`Handle`]: a future of its output, for any thread and any
/// executor. Dropping it detaches the task.
///
/// # Cancel safety
///
/// Awaiting a `&mut` reference to the handle may be given up and begun anew; nothing is lost.
///
/// # Errors
///
/// A [`JoinError`] that carries the payload if the closure or its task panicked, and one that is
/// "cancelled" if the task was aborted, or if its runtime ended before it did.
pub struct RemoteHandle<T> {
    replied: Replied<Result<T, JoinError>>,
    abort: AbortHandle,
    /// The process that the task is in.
    forks: u32,
    done: bool,
}

impl<T> RemoteHandle<T> {
    /// Cancels the task, from any thread: its future is dropped on its shard, soon and not within this
    /// call, or never made. A task that completes first keeps its output.
    ///
    /// # Examples
    ///
    /// ```
    /// corering::block_on(async {
    ///     let task = corering::Handle::current().spawn(std::future::pending::<()>);
    ///     task.abort();
    ///     assert!(task.await.unwrap_err().is_cancelled());
    /// });
    /// ```
    pub fn abort(&self) {
        self.abort.abort();
    }

    /// Whether awaiting the handle would not wait.
    ///
    /// # Examples
    ///
    /// ```
    /// let runtime = corering::Runtime::builder().build()?;
    /// let task = runtime.handle().spawn(|| async { 42 });
    /// assert!(!task.is_finished());
    /// drop(runtime);
    /// assert!(task.is_finished() && task.join().unwrap_err().is_cancelled());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn is_finished(&self) -> bool {
        self.is_of_parent() || self.replied.has_ended()
    }

    /// Blocks the calling thread until the task has ended, and gives its output: for threads without a
    /// runtime.
    ///
    /// # Errors
    ///
    /// As awaiting it.
    ///
    /// # Panics
    ///
    /// Inside a runtime, whose shard it would block: await the handle there.
    ///
    /// # Examples
    ///
    /// ```
    /// corering::block_on(async {
    ///     let task = corering::Handle::current().spawn(|| async { 42 });
    ///     let joined = corering::spawn_blocking(|| task.join()).await;
    ///     assert_eq!(joined.unwrap().unwrap(), 42);
    /// });
    /// ```
    #[track_caller]
    pub fn join(mut self) -> Result<T, JoinError> {
        check_may_block("RemoteHandle::join");
        let output = park::block_on(None, |cx| self.poll_unpin(cx));
        output.expect("without a limit it waits until the output is there")
    }

    /// As [`join`](Self::join), for as long as `limit` at most: `None` if the task has not ended by then. It
    /// goes on, and the handle may be used again.
    ///
    /// # Errors
    ///
    /// As awaiting it.
    ///
    /// # Panics
    ///
    /// Inside a runtime, whose shard it would block.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let runtime = corering::Runtime::builder().build()?;
    /// let mut task = runtime.handle().spawn(|| async { 42 });
    /// // The runtime is not inside `block_on`.
    /// assert!(task.join_timeout(Duration::from_millis(1)).is_none());
    /// runtime.block_on(async {
    ///     let limit = Duration::from_secs(60);
    ///     let joined = corering::spawn_blocking(move || task.join_timeout(limit)).await.unwrap();
    ///     assert_eq!(joined.expect("within a minute").unwrap(), 42);
    /// });
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn join_timeout(&mut self, limit: Duration) -> Option<Result<T, JoinError>> {
        check_may_block("RemoteHandle::join_timeout");
        park::block_on(Some(limit), |cx| self.poll_unpin(cx))
    }

    /// In a forked child nobody replies.
    fn is_of_parent(&self) -> bool {
        self.forks != fork_generation()
    }
}

impl<T> Future for RemoteHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let replied = match self.is_of_parent() {
            true => None,
            false => ready!(Pin::new(&mut self.replied).poll(cx)),
        };
        self.done = true;
        Poll::Ready(replied.unwrap_or_else(|| Err(JoinError::cancelled(None))))
    }
}

impl<T> FusedFuture for RemoteHandle<T> {
    fn is_terminated(&self) -> bool {
        self.done
    }
}

impl<T> fmt::Debug for RemoteHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteHandle").field("finished", &self.is_finished()).finish()
    }
}
