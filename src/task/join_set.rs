//! A set of tasks that are awaited in the order in which they complete.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::stream::{FusedStream, FuturesUnordered, Stream, StreamExt};

use super::{AbortHandle, JoinError, JoinHandle, spawn};

/// Tasks with outputs of one type, awaited together and aborted together.
///
/// Dropping the set aborts all tasks in it. As a [`Stream`] it gives what
/// [`join_next`](Self::join_next) gives, and goes on when a task is spawned after its end.
///
/// # Examples
/// ```
/// use corering::task::{JoinError, JoinSet};
///
/// async fn squares() -> Result<u32, JoinError> {
///     let mut set = JoinSet::new();
///     for n in 1..=3 {
///         set.spawn(async move { n * n });
///     }
///     let mut sum = 0;
///     while let Some(square) = set.join_next().await {
///         sum += square?;
///     }
///     Ok(sum)
/// }
/// ```
pub struct JoinSet<T> {
    handles: FuturesUnordered<JoinHandle<T>>,
}

impl<T: 'static> JoinSet<T> {
    /// An empty set.
    pub fn new() -> Self {
        JoinSet { handles: FuturesUnordered::new() }
    }

    /// Spawns a task onto the shard of this thread, in this set.
    ///
    /// # Panics
    /// Outside a corering runtime.
    #[track_caller]
    pub fn spawn<F: Future<Output = T> + 'static>(&mut self, future: F) -> AbortHandle {
        let handle = spawn(future);
        let abort = handle.abort_handle();
        self.handles.push(handle);
        abort
    }
}

impl<T> JoinSet<T> {
    /// Waits until a task of the set is complete, and takes it out. `None`: the set is empty.
    ///
    /// # Cancel safety
    /// A task leaves the set only when its output is returned; nothing is lost.
    ///
    /// # Errors
    /// The task was aborted or panicked.
    pub async fn join_next(&mut self) -> Option<Result<T, JoinError>> {
        self.handles.next().await
    }

    /// Aborts every task of the set. They stay in it until [`join_next`](Self::join_next) has
    /// reported them.
    pub fn abort_all(&mut self) {
        self.handles.iter().for_each(JoinHandle::abort);
    }

    /// The number of tasks whose output has not been taken.
    pub fn len(&self) -> usize {
        self.handles.len()
    }

    /// Whether the set holds no task.
    pub fn is_empty(&self) -> bool {
        self.handles.is_empty()
    }
}

impl<T> Stream for JoinSet<T> {
    type Item = Result<T, JoinError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.handles.poll_next_unpin(context)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len(), None)
    }
}

impl<T> FusedStream for JoinSet<T> {
    fn is_terminated(&self) -> bool {
        self.handles.is_terminated()
    }
}

impl<T> Drop for JoinSet<T> {
    fn drop(&mut self) {
        self.abort_all();
    }
}

impl<T: 'static> Default for JoinSet<T> {
    fn default() -> Self {
        JoinSet::new()
    }
}

impl<T> fmt::Debug for JoinSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinSet").field("len", &self.len()).finish()
    }
}
