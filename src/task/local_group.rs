//! A group whose children are part of the future that waits for them, and so may borrow.
//!
//! There is no unsafe code here. A child may borrow what outlives the call of `local_group`, not what
//! its body owns: it may be spawned by a sibling that the body knows nothing of. It holds the group by
//! a counted reference, not by a borrow, which would have to be one of itself.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};

use super::group::Failures;
use super::{GroupError, GroupFailure, panicked_here};
use crate::util::budget;
use crate::util::shard_bound::{SendAHandleOfTheGroupsToken, ShardBound};
use crate::util::unwind::{catch, drop_quietly};
use crate::util::waker_cell::WakerCell;

/// Runs `body` and the children that it spawns, all within this future: they may borrow what outlives
/// the call.
///
/// The body is a child itself. The first that returns an error or panics ends the group: the others,
/// the body included, are dropped as they stand. There is no grace time: a child with something to
/// clean up is for [`TaskGroup`](super::TaskGroup). The value is the body's, once all children have
/// ended. Children need no handles, since they may write where they borrow.
///
/// They take turns on one task: while one computes, the others do not. Each allocates twice.
///
/// # Cancel safety
///
/// Dropping the future drops the body and the children as they stand.
///
/// # Errors
///
/// What the first child has failed with, and the panics of those that were dropped.
///
/// # Examples
///
/// ```
/// use corering::task::local_group;
///
/// # corering::block_on(async {
/// let words = vec!["one", "three", "five"];
/// let (mut longest, mut count) = (0, 0);
/// local_group(async |group| {
///     group.spawn(async {
///         longest = words.iter().map(|word| word.len()).max().ok_or("no words")?;
///         Ok(())
///     });
///     group.spawn(async {
///         count = words.len();
///         Ok(())
///     });
///     Ok(())
/// })
/// .await?;
/// assert_eq!((longest, count), (5, 3));
/// # Ok::<(), corering::task::GroupError<&str>>(())
/// # }).unwrap();
/// ```
///
/// What the body owns may be gone before a child is:
///
/// ```compile_fail
/// # corering::block_on(async {
/// corering::task::local_group(async |group| {
///     let words = vec!["one", "three", "five"];
///     group.spawn(async { Ok(println!("{words:?}")) });
///     Ok::<(), ()>(())
/// })
/// .await
/// # });
/// ```
pub async fn local_group<'env, T, E>(
    body: impl AsyncFnOnce(LocalGroup<'env, E>) -> Result<T, E>,
) -> Result<T, GroupError<E>> {
    let group = LocalGroup { shared: ShardBound::new(Rc::new(Shared::default())) };
    let shared = &**group.shared;
    let _closes = CloseOnDrop(shared);
    let value = Cell::new(None);
    let mut children = FuturesUnordered::new();
    let body = async {
        value.set(Some(body(group.clone()).await?));
        Ok(())
    };
    children.push(Child { future: Some(Box::pin(body)), end: &shared.end });
    poll_fn(|cx| shared.poll(&mut children, cx)).await;
    // Each may fail once more.
    drop(children);
    shared.close();
    let value = shared.end.failures.result(value.take())?;
    Ok(value.expect("the body has ended, or something has failed"))
}

/// The group of a [`local_group`], by which its body and its children spawn more. Clones are the same.
///
/// Kept beyond the group's end it does nothing: what it spawns is dropped without a poll.
pub struct LocalGroup<'env, E> {
    shared: ShardBound<Rc<Shared<'env, E>>, dyn SendAHandleOfTheGroupsToken>,
}

impl<'env, E> LocalGroup<'env, E> {
    /// Adds a child. It begins when the body waits, or another child.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::Cell;
    ///
    /// use corering::task::local_group;
    ///
    /// corering::block_on(async {
    ///     let sum = Cell::new(0);
    ///     let sum = &sum;
    ///     local_group(async |group| {
    ///         for number in 1..=10 {
    ///             let siblings = group.clone();
    ///             group.spawn(async move {
    ///                 siblings.spawn(async move { Ok(sum.set(sum.get() + number)) });
    ///                 Ok(())
    ///             });
    ///         }
    ///         Ok::<(), ()>(())
    ///     })
    ///     .await
    ///     .unwrap();
    ///     assert_eq!(sum.get(), 55);
    /// });
    /// ```
    pub fn spawn(&self, child: impl Future<Output = Result<(), E>> + 'env) {
        if self.shared.end.is_over.get() {
            return;
        }
        self.shared.new.borrow_mut().push(Box::pin(child));
        self.shared.waker.wake();
    }
}

impl<E> Clone for LocalGroup<'_, E> {
    fn clone(&self) -> Self {
        LocalGroup { shared: self.shared.clone() }
    }
}

impl<E> fmt::Debug for LocalGroup<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalGroup")
            .field("is_over", &self.shared.end.is_over.get())
            .finish_non_exhaustive()
    }
}

struct Shared<'env, E> {
    /// Children that the group's future has not taken yet.
    new: RefCell<Vec<LocalBoxFuture<'env, Result<(), E>>>>,
    /// Of the group's future while it waits: a child may be spawned by somebody else.
    waker: WakerCell,
    end: End<E>,
}

struct End<E> {
    /// No child is begun any more.
    is_over: Cell<bool>,
    failures: Failures<E>,
}

impl<'env, E> Shared<'env, E> {
    /// Ready once all children have ended, or one has failed.
    fn poll<'a>(
        &'a self,
        children: &mut FuturesUnordered<Child<'a, E>>,
        cx: &mut Context<'_>,
    ) -> Poll<()>
    where
        'env: 'a,
    {
        // What is spawned from within is taken below without a wake.
        self.waker.clear();
        loop {
            let polled = children.poll_next_unpin(cx);
            if self.end.is_over.get() {
                return Poll::Ready(());
            }
            let new = self.new.take();
            if polled.is_pending() && new.is_empty() {
                self.waker.register(cx.waker());
                // Cloning a waker is user code.
                if self.new.borrow().is_empty() {
                    return Poll::Pending;
                }
            }
            if matches!(polled, Poll::Ready(None)) && new.is_empty() {
                return Poll::Ready(());
            }
            let new = new.into_iter().map(|future| Child { future: Some(future), end: &self.end });
            children.extend(new);
            // A child that begins or has ended counts as a leaf, or a group that feeds itself would
            // keep the shard.
            if !budget::take(cx.waker()) {
                return Poll::Pending;
            }
        }
    }

    /// Drops the children that have not begun, and lets none begin.
    fn close(&self) {
        self.end.is_over.set(true);
        // One that is dropped cannot spawn another.
        self.new.take().into_iter().for_each(drop_quietly);
    }
}
impl<E> Default for Shared<'_, E> {
    fn default() -> Self {
        let end = End { is_over: Cell::new(false), failures: Failures::default() };
        Shared { new: RefCell::default(), waker: WakerCell::default(), end }
    }
}

/// Children hold the group, and the group holds those that have not begun: however its future ends,
/// they go with it.
struct CloseOnDrop<'a, 'env, E>(&'a Shared<'env, E>);

impl<E> Drop for CloseOnDrop<'_, '_, E> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// A child that has begun. Its panics end here, also that of its drop.
struct Child<'a, E> {
    /// `None` once it has ended.
    future: Option<LocalBoxFuture<'a, Result<(), E>>>,
    end: &'a End<E>,
}

impl<E> Child<'_, E> {
    fn fail(&self, failure: GroupFailure<E>) {
        self.end.is_over.set(true);
        self.end.failures.add(failure);
    }
}

impl<E> Future for Child<'_, E> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(future) = &mut self.future else { return Poll::Ready(()) };
        let failure = match catch(|| future.as_mut().poll(cx)) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(Ok(()))) => None,
            Ok(Poll::Ready(Err(error))) => Some(GroupFailure::Error(error)),
            Err(payload) => Some(GroupFailure::Panic(panicked_here(payload))),
        };
        failure.into_iter().for_each(|failure| self.fail(failure));
        // How it ended tells more than a Drop that panics after it.
        drop_quietly(self.future.take());
        Poll::Ready(())
    }
}

impl<E> Drop for Child<'_, E> {
    fn drop(&mut self) {
        let future = self.future.take();
        if let Err(payload) = catch(|| drop(future)) {
            self.fail(GroupFailure::Panic(panicked_here(payload)));
        }
    }
}
