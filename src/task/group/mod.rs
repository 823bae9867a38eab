//! Groups of tasks that end together.
//!
//! ```text
//!            a child fails, or the token is cancelled          the grace time is over
//!   open ────────────────────────────────────────────► ended ─────────────────────────► aborted
//!    │                                                   │                                 │
//!    └───────────────────────────────────────────────────┴─────────────────────────────────┴─► joined
//!                                 the last child is gone
//! ```
//!
//! A group has ended when its token is cancelled: there is no other flag. What a child does to its
//! group is in `child.rs`. Awaiting a group needs a timer, which this layer does not know: that is
//! `runtime/group.rs`.

mod child;
mod error;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::future::FusedFuture;
use slab::Slab;

use super::header::TaskPtr;
use super::join_handle::abort;
use super::{CancelToken, JoinHandle, spawn};
use crate::util::shard_bound::{SendAHandleOfTheGroupsToken, ShardBound};
use crate::util::unwind::shield;
use crate::util::waker_cell::WakerCell;

use child::{Child, Member};

pub use error::{GroupError, GroupFailure};

pub(super) use error::Failures;

/// Tasks that end together: all are awaited, and the first that fails ends the others.
///
/// A child fails when it returns an error or panics. With the first failure, and when the group's
/// [token](Self::token) is cancelled from wherever, the group *ends*: its token is cancelled, its
/// children have the [grace time](Self::with_grace) to clean up, none by default, and those left
/// are aborted then. [`join`](Self::join) waits until all are gone, and returns what all that failed
/// have failed with. A child that the group aborts, or that says [`Cancelled`](super::Cancelled)
/// when the group has ended, has not failed.
///
/// Children spawn further ones by the [`GroupScope`] that each is given. One that is spawned after
/// the end is not begun: its future is dropped without a poll.
///
/// # Who waits
///
/// - Cancelled while it is awaited, a group goes on until its children are gone: [`join`](Self::join)
///   returns then.
/// - Dropped, or dropped while it is awaited (by a timeout, or because the task around it is
///   aborted), it cancels the token and aborts its children without a grace time. Nobody waits for
///   them: each is gone when its turn in the run queue has come, in this round or the next. A group
///   that is a child's own is dropped with that child; under the outer group's token
///   ([`under`](Self::under)) and in its grace time it ends as one that is awaited does.
/// - While nobody awaits it, a failure cancels the token, and aborts the others only if there is no
///   grace time; a token that is cancelled from elsewhere aborts nobody until the group is awaited.
/// - Forgotten by [`mem::forget`](std::mem::forget), it leaves its children alone, and leaks its own
///   memory.
///
/// # Examples
///
/// ```
/// use corering::task::TaskGroup;
/// use corering::time::{self, Duration};
///
/// corering::block_on(async {
///     let group = TaskGroup::new();
///     let sum = group.spawn(|_| async { Ok::<_, std::io::Error>(1 + 2) });
///     let product = group.spawn(|_| async { Ok(3 * 4) });
///     group.join().await.unwrap();
///     assert_eq!((sum.await, product.await), (Some(3), Some(12)));
///
///     let group = TaskGroup::new();
///     group.spawn(|_| async { Err::<(), _>("no route") });
///     group.spawn(|_| async { Ok(time::sleep(Duration::MAX).await) });
///     let error = group.join().await.unwrap_err();
///     assert_eq!(error.to_string(), "a task of the group failed: no route");
/// });
/// ```
///
/// Cleaning up is a child's own code, after its work was cancelled:
///
/// ```
/// use corering::task::TaskGroup;
/// use corering::time::{self, Duration};
///
/// # async fn serve() -> std::io::Result<()> { std::future::pending().await }
/// # async fn say_goodbye() -> std::io::Result<()> { Ok(corering::yield_now().await) }
/// # corering::block_on(async {
/// let group = TaskGroup::new().with_grace(Duration::from_secs(5));
/// group.spawn(|scope| async move {
///     match scope.token().run(serve()).await {
///         Ok(served) => served,
///         Err(_) => say_goodbye().await,
///     }
/// });
/// group.cancel();
/// group.join().await.unwrap();
/// # });
/// ```
///
/// What must not be cancelled with the child that waits for it is no part of the group: it is spawned
/// beside it. (asyncio calls that a shield.)
///
/// ```
/// use corering::task::{TaskGroup, spawn};
///
/// # async fn commit() -> u32 { corering::yield_now().await; 42 }
/// # corering::block_on(async {
/// let group = TaskGroup::<corering::task::JoinError>::new();
/// // Aborted while it waits, the child drops a handle, and the task goes on.
/// let committed = group.spawn(|_| async { spawn(commit()).await });
/// group.join().await.unwrap();
/// assert_eq!(committed.await, Some(42));
/// # });
/// ```
pub struct TaskGroup<E> {
    shared: ShardBound<Rc<Shared<E>>, dyn SendAHandleOfTheGroupsToken>,
}

impl<E: 'static> TaskGroup<E> {
    /// An empty group, without a grace time.
    pub fn new() -> Self {
        TaskGroup::with_token(CancelToken::new())
    }

    /// An empty group that ends also when `token` is cancelled. Its own token is a
    /// [child](CancelToken::child) of that one, so that its end cancels nothing else.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::task::{CancelToken, TaskGroup};
    ///
    /// corering::block_on(async {
    ///     let stop = CancelToken::new();
    ///     let group = TaskGroup::<std::io::Error>::under(&stop);
    ///     group.spawn(|_| std::future::pending::<Result<(), _>>());
    ///     // From any thread: a signal's, another shard's.
    ///     let handle = stop.handle();
    ///     std::thread::spawn(move || handle.cancel());
    ///     group.join().await.unwrap();
    /// });
    /// ```
    pub fn under(token: &CancelToken) -> Self {
        TaskGroup::with_token(token.child())
    }

    fn with_token(token: CancelToken) -> Self {
        TaskGroup {
            shared: ShardBound::new(Rc::new(Shared {
                token,
                grace: Cell::new(Duration::ZERO),
                children: RefCell::default(),
                failures: Failures::default(),
                owner: WakerCell::default(),
            })),
        }
    }

    /// Gives the children this time between the end of the group and their abort. It counts from
    /// the moment at which the group has ended and is awaited; `Duration::MAX` aborts none.
    #[must_use = "it returns the group"]
    pub fn with_grace(self, grace: Duration) -> Self {
        self.shared.grace.set(grace);
        self
    }

    /// Spawns a task onto the shard of this thread, in this group. `child` is called at once.
    ///
    /// The handle gives the child's value; an error is the group's.
    ///
    /// # Panics
    /// Outside a corering runtime.
    #[track_caller]
    pub fn spawn<T, F>(&self, child: impl FnOnce(GroupScope<E>) -> F) -> ChildHandle<T>
    where
        F: Future<Output = Result<T, E>> + 'static,
        T: 'static,
    {
        Shared::spawn(&self.shared, child)
    }

    /// A scope, as each child is given one: it spawns into the group, and does not keep it open.
    pub fn scope(&self) -> GroupScope<E> {
        GroupScope { shared: self.shared.clone() }
    }

    /// The token that the end of the group cancels, and whose cancel ends it. Its
    /// [handle](CancelToken::handle) does that from any thread.
    pub fn token(&self) -> &CancelToken {
        &self.shared.token
    }

    /// Ends the group: its children are cancelled, and have the grace time.
    pub fn cancel(&self) {
        self.shared.end();
    }

    /// The number of children that are not gone.
    pub fn len(&self) -> usize {
        self.shared.children.borrow().len()
    }

    /// Whether there is no child, or none any more.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The time between the end and the abort.
    pub(crate) fn grace(&self) -> Duration {
        self.shared.grace.get()
    }

    /// Aborts the children that are left.
    pub(crate) fn abort_children(&self) {
        self.shared.abort_children();
    }

    /// Ready once no child is left.
    pub(crate) fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_empty() {
            self.shared.owner.register(cx.waker());
            // Cloning a waker is user code.
            if !self.is_empty() {
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    }

    /// What [`join`](Self::join) returns.
    pub(crate) fn into_result(self) -> Result<(), GroupError<E>> {
        self.shared.failures.result(())
    }
}

impl<E> Drop for TaskGroup<E> {
    fn drop(&mut self) {
        self.shared.token.cancel();
        self.shared.abort_children();
    }
}

impl<E: 'static> Default for TaskGroup<E> {
    fn default() -> Self {
        TaskGroup::new()
    }
}

impl<E> fmt::Debug for TaskGroup<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.describe("TaskGroup", f)
    }
}

/// What a child has of its group: the token, and the right to spawn siblings. Clones are the same.
///
/// Kept beyond the group's end it does nothing: what it spawns is not begun.
pub struct GroupScope<E> {
    shared: ShardBound<Rc<Shared<E>>, dyn SendAHandleOfTheGroupsToken>,
}

impl<E: 'static> GroupScope<E> {
    /// Spawns a sibling, as [`TaskGroup::spawn`] does.
    ///
    /// # Panics
    /// Outside a corering runtime.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::task::TaskGroup;
    ///
    /// corering::block_on(async {
    ///     let group = TaskGroup::new();
    ///     group.spawn(|scope| async move {
    ///         for number in 1..=3 {
    ///             scope.spawn(move |_| async move { if number < 3 { Ok(()) } else { Err("three") } });
    ///         }
    ///         Ok(())
    ///     });
    ///     assert_eq!(group.join().await.unwrap_err().len(), 1);
    /// });
    /// ```
    #[track_caller]
    pub fn spawn<T, F>(&self, child: impl FnOnce(GroupScope<E>) -> F) -> ChildHandle<T>
    where
        F: Future<Output = Result<T, E>> + 'static,
        T: 'static,
    {
        Shared::spawn(&self.shared, child)
    }

    /// The group's token: cancelled when the group ends.
    pub fn token(&self) -> &CancelToken {
        &self.shared.token
    }

    /// Ends the group, as [`TaskGroup::cancel`] does. Without a grace time the caller is aborted,
    /// too: it runs to its next wait.
    pub fn cancel(&self) {
        self.shared.end();
    }
}

impl<E> Clone for GroupScope<E> {
    fn clone(&self) -> Self {
        GroupScope { shared: self.shared.clone() }
    }
}

impl<E> fmt::Debug for GroupScope<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.describe("GroupScope", f)
    }
}

/// What the group, its scopes and its children share.
struct Shared<E> {
    token: CancelToken,
    grace: Cell<Duration>,
    /// The tasks of the children, without references of their own; `None` while one is being spawned.
    /// A child is taken out by the drop of its future.
    children: RefCell<Slab<Option<TaskPtr>>>,
    failures: Failures<E>,
    /// Who awaits the group.
    owner: WakerCell,
}

impl<E: 'static> Shared<E> {
    #[track_caller]
    fn spawn<T, F>(
        shared: &ShardBound<Rc<Self>, dyn SendAHandleOfTheGroupsToken>,
        child: impl FnOnce(GroupScope<E>) -> F,
    ) -> ChildHandle<T>
    where
        F: Future<Output = Result<T, E>> + 'static,
        T: 'static,
    {
        let future = child(GroupScope { shared: shared.clone() });
        if shared.token.is_cancelled() {
            return ChildHandle { task: None, done: false };
        }
        let member = Member::enter(Rc::clone(shared));
        let key = member.key();
        let task = spawn(Child::new(future, member));
        shared.children.borrow_mut()[key] = Some(task.task());
        ChildHandle { task: Some(task), done: false }
    }

    /// The wakers that this calls are user code.
    fn end(&self) {
        self.token.cancel();
        if self.grace.get().is_zero() {
            self.abort_children();
        }
    }
}

impl<E> Shared<E> {
    fn abort_children(&self) {
        // An abort runs no user code.
        for (_, task) in self.children.borrow().iter() {
            if let Some(task) = *task {
                // SAFETY: this is the shard's thread, and a task whose future is not dropped yet is its
                // scheduler's, who gives the reference up after that.
                unsafe { abort(task) };
            }
        }
    }

    /// A child is gone.
    fn leave(&self, key: usize) {
        let is_last = {
            let mut children = self.children.borrow_mut();
            children.remove(key);
            children.is_empty()
        };
        if is_last {
            shield(|| self.owner.wake());
        }
    }

    fn describe(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("children", &self.children.borrow().len())
            .field("has_ended", &self.token.is_cancelled())
            .finish()
    }
}

/// The handle of a group's child: a future of its value.
///
/// It gives `None` if the child failed (the error, or the panic, is in the group's [`GroupError`]),
/// was aborted, or was spawned after the group's end. Dropping the handle changes nothing for the
/// child. Siblings may await it as well as the group's owner, before and after [`TaskGroup::join`].
///
/// # Cancel safety
/// Awaiting a `&mut` reference to the handle may be given up and begun anew; nothing is lost.
pub struct ChildHandle<T> {
    /// `None`: it was not begun, or has given its value.
    task: Option<JoinHandle<Option<T>>>,
    done: bool,
}

impl<T> ChildHandle<T> {
    /// Cancels this child alone. That is no failure of it, and the group goes on.
    pub fn abort(&self) {
        self.task.iter().for_each(JoinHandle::abort);
    }

    /// Whether the child has ended, so that awaiting the handle would not wait.
    pub fn is_finished(&self) -> bool {
        self.task.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl<T> Future for ChildHandle<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let value = match &mut self.task {
            Some(task) => ready!(Pin::new(task).poll(cx)).ok().flatten(),
            None => None,
        };
        self.task = None;
        self.done = true;
        Poll::Ready(value)
    }
}

impl<T> FusedFuture for ChildHandle<T> {
    fn is_terminated(&self) -> bool {
        self.done
    }
}

impl<T> fmt::Debug for ChildHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildHandle").field("finished", &self.is_finished()).finish()
    }
}
