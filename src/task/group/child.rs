//! The task of a child: it runs the child's future, and says how it ended to the group.

use std::any::Any;
use std::error::Error;
use std::future::Future;
use std::io;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::{GroupFailure, Shared};
use crate::task::{Cancelled, panicked_here};
use crate::util::unwind::{catch, discard};

/// A child's future, which tells the group of failures. Its panics end here.
pub(super) struct Child<F, E: 'static> {
    /// Pinned with the whole, and dropped in place.
    future: ManuallyDrop<F>,
    /// The future has ended, and how is known.
    ended: bool,
    /// Dropped after the future.
    member: Member<E>,
}

impl<F, E> Child<F, E> {
    pub(super) fn new(future: F, member: Member<E>) -> Self {
        Child { future: ManuallyDrop::new(future), ended: false, member }
    }
}

impl<F: Future<Output = Result<T, E>>, T, E> Future for Child<F, E> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        // SAFETY: nothing is moved out of the borrow.
        let this = unsafe { self.get_unchecked_mut() };
        // SAFETY: the future is pinned whenever the whole is: it is dropped in place, nobody else gets
        // at it, and the whole is `Unpin` only if it is.
        let future = unsafe { Pin::new_unchecked(&mut *this.future) };
        let failure = match catch(|| future.poll(cx)) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(Ok(value))) => {
                this.ended = true;
                return Poll::Ready(Some(value));
            }
            Ok(Poll::Ready(Err(error))) => GroupFailure::Error(error),
            Err(payload) => GroupFailure::Panic(panicked_here(payload)),
        };
        this.ended = true;
        this.member.fail(failure);
        Poll::Ready(None)
    }
}

impl<F, E> Drop for Child<F, E> {
    fn drop(&mut self) {
        // SAFETY: it is dropped once, here, and in place.
        let dropped = catch(|| unsafe { ManuallyDrop::drop(&mut self.future) });
        match dropped {
            Ok(()) => {}
            // How it ended tells more than a Drop that panicked after it.
            Err(payload) if self.ended => discard(payload),
            Err(payload) => self.member.fail(GroupFailure::Panic(panicked_here(payload))),
        }
    }
}

/// A child's place in its group, which it leaves when this is dropped.
pub(super) struct Member<E: 'static> {
    group: Rc<Shared<E>>,
    key: usize,
}

impl<E> Member<E> {
    pub(super) fn enter(group: Rc<Shared<E>>) -> Self {
        let key = group.children.borrow_mut().insert(None);
        Member { group, key }
    }

    pub(super) fn key(&self) -> usize {
        self.key
    }

    #[cold]
    fn fail(&self, failure: GroupFailure<E>) {
        if let GroupFailure::Error(error) = &failure
            && self.group.token.is_cancelled()
            && says_cancelled(error)
        {
            return;
        }
        self.group.failures.add(failure);
        self.group.end();
    }
}

impl<E> Drop for Member<E> {
    fn drop(&mut self) {
        self.group.leave(self.key);
    }
}

/// Whether an error is [`Cancelled`], or one that holds it, as `?` makes them.
fn says_cancelled<E: 'static>(error: &E) -> bool {
    let error: &dyn Any = error;
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return is_cancelled(error);
    }
    if let Some(error) = error.downcast_ref::<Box<dyn Error + Send + Sync>>() {
        return is_cancelled(&**error);
    }
    if let Some(error) = error.downcast_ref::<Box<dyn Error>>() {
        return is_cancelled(&**error);
    }
    error.is::<Cancelled>()
}

fn is_cancelled(error: &(dyn Error + 'static)) -> bool {
    let held = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    error.is::<Cancelled>() || held.is_some_and(|held| held.is::<Cancelled>())
}
