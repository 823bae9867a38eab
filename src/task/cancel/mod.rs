//! Tokens by which tasks of one shard are asked to end, and the handle by which any thread asks.
//!
//! A token ends nothing itself: whoever waits for it hears of it, and [`CancelToken::run`] drops a
//! future then. All tokens that stem from one share a tree (`tree.rs`), which holds one entry for
//! each that is in use; no token keeps another alive. What another thread does goes through the
//! shard's mailbox (`handle.rs`).

mod handle;
mod tree;

use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_util::future::FusedFuture;

use crate::util::budget::Toll;
use crate::util::line::{Place, leave, offer, wake_each};
use crate::util::linked_slab::Key;
use crate::util::poll_pinned::poll_pinned;
use crate::util::shard_bound::{SendItsHandleToOtherThreads, ShardBound};

pub use handle::CancelHandle;

use tree::Tree;

/// Asks tasks of a shard to end: all that wait for it, and all that wait for a token below it.
///
/// Clones are the same token. [`child`](Self::child) makes one that is cancelled with this one, and
/// can be cancelled alone. A token that is dropped cancels nothing; that is
/// [`drop_guard`](Self::drop_guard). It stays on its shard: what leaves it is a
/// [`handle`](Self::handle).
///
/// # Examples
///
/// ```
/// use corering::task::{CancelToken, Cancelled};
/// use corering::time::{self, Duration};
///
/// corering::block_on(async {
///     let stop = CancelToken::new();
///     let server = corering::spawn(stop.run(std::future::pending::<()>()));
///     let connection = stop.child();
///     let worker = corering::spawn(async move {
///         loop {
///             if connection.run(time::sleep(Duration::MAX)).await.is_err() {
///                 return "cleaned up";
///             }
///         }
///     });
///     stop.cancel();
///     assert_eq!(server.await.unwrap(), Err(Cancelled));
///     assert_eq!(worker.await.unwrap(), "cleaned up");
/// });
/// ```
pub struct CancelToken {
    tree: ShardBound<Rc<RefCell<Tree>>, dyn SendItsHandleToOtherThreads>,
    key: Key,
}

impl CancelToken {
    /// A token without a parent.
    pub fn new() -> Self {
        let mut tree = Tree::new();
        let key = tree.plant();
        CancelToken { tree: ShardBound::new(Rc::new(RefCell::new(tree))), key }
    }

    /// A token that is cancelled when this one is. It is cancelled at once if this one was.
    ///
    /// It may outlive this one, and is then cancelled with what this one was below.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::task::CancelToken;
    ///
    /// let all = CancelToken::new();
    /// let (one, other) = (all.child(), all.child());
    /// one.cancel();
    /// assert!(one.is_cancelled() && !all.is_cancelled() && !other.is_cancelled());
    /// all.cancel();
    /// assert!(other.is_cancelled() && all.child().is_cancelled());
    /// ```
    #[must_use = "a token that is dropped cancels nothing"]
    pub fn child(&self) -> Self {
        let key = self.tree.borrow_mut().branch(self.key);
        CancelToken { tree: self.tree.clone(), key }
    }

    /// Cancels this token and those below it, for good: first all are cancelled, then all that wait
    /// for them are woken.
    pub fn cancel(&self) {
        cancel(&self.tree, self.key);
    }

    /// Whether the token is cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.tree.borrow().is_cancelled(self.key)
    }

    /// Waits until the token is cancelled. The future holds the token, not a borrow of it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future takes nothing away from others that wait.
    ///
    /// # Errors
    ///
    /// None; waiting cannot fail.
    pub fn cancelled(&self) -> UntilCancelled {
        UntilCancelled { token: self.clone(), place: None, toll: Toll::Due, done: false }
    }

    /// Runs `future` until it ends or the token is cancelled; then it is dropped as it stands.
    ///
    /// That is what [`timeout`](crate::time::timeout) does when the time is over, and it loses as
    /// little: what a stream had received stays with the stream. A future that is ready when the token
    /// is cancelled wins; one that has not begun by then does not begin.
    ///
    /// # Cancel safety
    ///
    /// That of `future`.
    ///
    /// # Errors
    ///
    /// [`Cancelled`] if the token was cancelled first.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::task::{CancelToken, Cancelled};
    ///
    /// corering::block_on(async {
    ///     let stop = CancelToken::new();
    ///     assert_eq!(stop.run(async { 42 }).await, Ok(42));
    ///     stop.cancel();
    ///     assert_eq!(stop.run(async { 42 }).await, Err(Cancelled));
    /// });
    /// ```
    pub fn run<F: IntoFuture>(
        &self,
        future: F,
    ) -> impl Future<Output = Result<F::Output, Cancelled>> + use<F> {
        let mut cancelled = self.cancelled();
        let mut begun = false;
        let poll = move |future: Pin<&mut F::IntoFuture>, cx: &mut Context<'_>| {
            begun |= !cancelled.token.is_cancelled();
            if begun && let Poll::Ready(output) = future.poll(cx) {
                return Poll::Ready(Ok(output));
            }
            Pin::new(&mut cancelled).poll(cx).map(|()| Err(Cancelled))
        };
        poll_pinned(future.into_future(), poll)
    }

    /// Makes a guard that cancels the token when it is dropped, also by a panic or an abort.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::task::CancelToken;
    ///
    /// let stop = CancelToken::new();
    /// let guard = stop.clone().drop_guard();
    /// drop(guard);
    /// assert!(stop.is_cancelled());
    /// ```
    pub fn drop_guard(self) -> CancelOnDrop {
        CancelOnDrop { token: Some(self) }
    }

    /// A handle that cancels the token from any thread, for as long as this runtime lives.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::task::CancelToken;
    ///
    /// corering::block_on(async {
    ///     let stop = CancelToken::new();
    ///     let handle = stop.handle();
    ///     std::thread::spawn(move || handle.cancel());
    ///     stop.cancelled().await;
    /// });
    /// ```
    #[track_caller]
    pub fn handle(&self) -> CancelHandle {
        CancelHandle::of(self)
    }
}

/// Cancels a token that is in use, and those below it.
fn cancel(tree: &RefCell<Tree>, key: Key) {
    let is_first = tree.borrow_mut().cancel(key);
    if is_first {
        wake_each(tree, Tree::call_due);
    }
}

impl Clone for CancelToken {
    fn clone(&self) -> Self {
        self.tree.borrow_mut().share(self.key);
        CancelToken { tree: self.tree.clone(), key: self.key }
    }
}

impl Drop for CancelToken {
    fn drop(&mut self) {
        // What it returns is dropped when nothing is borrowed any more.
        let gone = self.tree.borrow_mut().release(self.key);
        drop(gone);
    }
}

impl Default for CancelToken {
    fn default() -> Self {
        CancelToken::new()
    }
}

impl fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelToken").field("is_cancelled", &self.is_cancelled()).finish()
    }
}

/// The future of [`CancelToken::cancelled`]. Polled again after its end, it is ready again.
#[must_use = "a future does nothing unless it is awaited"]
pub struct UntilCancelled {
    token: CancelToken,
    place: Place,
    toll: Toll,
    done: bool,
}

impl Future for UntilCancelled {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let UntilCancelled { token, place, toll, done } = &mut *self;
        let polled = toll.poll(cx, |cx| {
            offer(&token.tree, cx.waker(), |tree, offer| tree.wait(token.key, place, offer))
        });
        *done = polled.is_ready();
        polled
    }
}

impl FusedFuture for UntilCancelled {
    fn is_terminated(&self) -> bool {
        self.done
    }
}

impl Drop for UntilCancelled {
    fn drop(&mut self) {
        leave(&self.token.tree, |tree| tree.leave(self.token.key, &mut self.place));
    }
}

impl fmt::Debug for UntilCancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UntilCancelled").field("token", &self.token).finish_non_exhaustive()
    }
}

/// Cancels its token when it is dropped. Made by [`CancelToken::drop_guard`].
#[derive(Debug)]
#[must_use = "a guard that is not kept cancels its token at once"]
pub struct CancelOnDrop {
    /// `None` once it was disarmed.
    token: Option<CancelToken>,
}

impl CancelOnDrop {
    /// Gives the token back, without cancelling it.
    pub fn disarm(mut self) -> CancelToken {
        self.token.take().expect("a guard has its token until it is disarmed")
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(token) = &self.token {
            token.cancel();
        }
    }
}

/// The token of [`CancelToken::run`] was cancelled before the future ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancelled;

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it was cancelled by its token")
    }
}

impl Error for Cancelled {}

impl From<Cancelled> for io::Error {
    fn from(cancelled: Cancelled) -> Self {
        io::Error::other(cancelled)
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
