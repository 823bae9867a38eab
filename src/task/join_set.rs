//! A set of tasks that are awaited in the order in which they complete.

use std::fmt;
use std::future::Future;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures_util::stream::{FusedStream, FuturesUnordered, Stream, StreamExt};

use super::{AbortHandle, JoinError, JoinHandle, spawn};
use crate::util::budget;

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

    /// Takes a task out that is complete, without waiting. `None`: none is, or the set is empty.
    ///
    /// # Errors
    /// The task was aborted or panicked.
    ///
    /// # Examples
    /// ```
    /// use corering::task::{JoinSet, yield_now};
    ///
    /// corering::block_on(async {
    ///     let mut set = JoinSet::new();
    ///     set.spawn(async { 42 });
    ///     assert!(set.try_join_next().is_none());
    ///     yield_now().await;
    ///     assert_eq!(set.try_join_next().unwrap().unwrap(), 42);
    /// });
    /// ```
    pub fn try_join_next(&mut self) -> Option<Result<T, JoinError>> {
        // What is refused for lack of a budget would look as if it were not complete.
        let mut context = Context::from_waker(Waker::noop());
        match budget::without_limit(|| self.handles.poll_next_unpin(&mut context)) {
            Poll::Ready(ended) => ended,
            Poll::Pending => None,
        }
    }

    /// Waits for all tasks, and gives their outputs in the order in which they completed.
    ///
    /// # Cancel safety
    /// The future owns the set: dropped, it aborts the tasks, and outputs are lost.
    ///
    /// # Errors
    /// None; see below.
    ///
    /// # Panics
    /// If a task panicked, with its payload, or was aborted; the other tasks are aborted then.
    ///
    /// # Examples
    /// ```
    /// use corering::task::JoinSet;
    ///
    /// corering::block_on(async {
    ///     let mut set = JoinSet::new();
    ///     for n in 1..=3 {
    ///         set.spawn(async move { n * n });
    ///     }
    ///     assert_eq!(set.join_all().await, [1, 4, 9]);
    /// });
    /// ```
    pub async fn join_all(mut self) -> Vec<T> {
        let mut outputs = Vec::with_capacity(self.len());
        while let Some(ended) = self.join_next().await {
            match ended {
                Ok(output) => outputs.push(output),
                Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
                Err(error) => panic!("{error}"),
            }
        }
        outputs
    }

    /// Aborts every task of the set. They stay in it until [`join_next`](Self::join_next) has
    /// reported them.
    pub fn abort_all(&mut self) {
        self.handles.iter().for_each(JoinHandle::abort);
    }

    /// Aborts every task, and waits until all are gone. Outputs of those that were complete before are
    /// dropped. The set is empty then, and may be used again.
    ///
    /// # Cancel safety
    /// The tasks are aborted with the first poll. Those that were not waited for stay in the set.
    ///
    /// # Errors
    /// None: panics of the tasks are passed over.
    ///
    /// # Examples
    /// ```
    /// use corering::task::JoinSet;
    ///
    /// corering::block_on(async {
    ///     let mut set = JoinSet::<()>::new();
    ///     set.spawn(std::future::pending());
    ///     set.shutdown().await;
    ///     assert!(set.is_empty());
    /// });
    /// ```
    pub async fn shutdown(&mut self) {
        self.abort_all();
        while self.join_next().await.is_some() {}
    }

    /// Lets go of all tasks without aborting them: they run on, and the set is empty.
    ///
    /// # Examples
    /// ```
    /// use corering::task::{JoinSet, yield_now};
    ///
    /// corering::block_on(async {
    ///     let mut set = JoinSet::new();
    ///     let (sender, receiver) = corering::sync::oneshot::channel();
    ///     set.spawn(async move {
    ///         yield_now().await;
    ///         sender.send(42)
    ///     });
    ///     set.detach_all();
    ///     drop(set);
    ///     assert_eq!(receiver.await, Ok(42));
    /// });
    /// ```
    pub fn detach_all(&mut self) {
        self.handles.clear();
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
