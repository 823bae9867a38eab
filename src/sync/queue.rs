//! Queues of work: they know when all that was put has been dealt with.
#![forbid(unsafe_code)]

mod order;

use std::cell::Cell;
use std::fmt;

use super::channel::{SendError, TryRecvError, TrySendError};
use super::notify::Notify;
use super::semaphore::Semaphore;
use super::store::{NoRoom, Nothing, Store, Taking};
use crate::util::budget::Toll;
use crate::util::shard_bound::{ShardBound, UseStdSyncAcrossThreads};

use order::sealed::Sealed;
pub use order::{FirstIn, LastIn, Order, Smallest};

/// A queue of work that gives first what was put first.
///
/// ```
/// use std::rc::Rc;
///
/// use corering::sync::Queue;
///
/// corering::block_on(async {
///     let queue = Rc::new(Queue::new(10));
///     for _ in 0..3 {
///         let queue = Rc::clone(&queue);
///         corering::spawn(async move {
///             while let Some(job) = queue.get().await {
///                 println!("job {job}");
///                 queue.task_done();
///             }
///         });
///     }
///     for job in 0..20 {
///         queue.put(job).await.unwrap();
///     }
///     queue.join().await;
///     queue.shutdown(false);
/// });
/// ```
pub type Queue<T> = TaskQueue<T, FirstIn>;

/// A queue of work that gives the smallest value first, and of equal ones that which was put first.
///
/// [`std::cmp::Reverse`] makes it the largest. A pair is in the order of its first part, and where those
/// are equal of its second, which has to be [`Ord`] for that.
///
/// A value is compared when it is put: [`get`](TaskQueue::get) compares nothing. While it is compared the
/// queue is neither full nor empty but *busy*: a comparison that comes back to it finds no room to put
/// and no value to get, and what it polls has its turn afterwards. If a comparison panics, the value
/// that was being put is dropped, and the queue is as it was before.
///
/// ```
/// use corering::sync::PriorityQueue;
///
/// let queue = PriorityQueue::unbounded();
/// for job in [(2, "dishes"), (1, "fire"), (2, "laundry")] {
///     queue.try_put(job).unwrap();
/// }
/// assert_eq!(queue.try_get(), Ok((1, "fire")));
/// assert_eq!(queue.try_get(), Ok((2, "dishes")));
/// ```
pub type PriorityQueue<T> = TaskQueue<T, Smallest>;

/// A queue of work that gives first what was put last.
///
/// ```
/// use corering::sync::LifoQueue;
///
/// let queue = LifoQueue::unbounded();
/// queue.try_put(1).unwrap();
/// queue.try_put(2).unwrap();
/// assert_eq!(queue.try_get(), Ok(2));
/// ```
pub type LifoQueue<T> = TaskQueue<T, LastIn>;

/// What [`Queue`], [`PriorityQueue`] and [`LifoQueue`] are: values that any number of tasks put and get.
///
/// Tasks share it by an [`Rc`](std::rc::Rc). Tasks that wait to put or to get have their turn in the order in
/// which they came, whatever the order of the values is.
///
/// Beside its room, it counts the values that were put and for which [`task_done`](TaskQueue::task_done) was
/// not called, and [`join`](TaskQueue::join) waits until there are none. What needs no such count is a
/// [`channel`](crate::sync::channel), which ends by itself.
pub struct TaskQueue<T, O: Order<T>> {
    store: ShardBound<Store<<O as Sealed<T>>::Values>, dyn UseStdSyncAcrossThreads>,
    /// Values that were put and are dealt with.
    done: Cell<u64>,
    /// The tasks that wait in `join`.
    all_done: Notify,
}

impl<T, O: Order<T>> TaskQueue<T, O> {
    /// A queue that holds at most `capacity` values.
    ///
    /// ```
    /// use corering::sync::Queue;
    ///
    /// let queue = Queue::new(1);
    /// queue.try_put("one").unwrap();
    /// assert!(queue.is_full());
    /// ```
    ///
    /// # Panics
    ///
    /// If `capacity` is 0 or exceeds [`Semaphore::MAX_PERMITS`].
    pub fn new(capacity: usize) -> Self {
        assert!(
            capacity > 0,
            "a queue holds at least one value; `unbounded` makes one without a limit"
        );
        assert!(capacity <= Semaphore::MAX_PERMITS, "more values than a queue can hold");
        Self::with(Some(capacity))
    }

    /// A queue that holds any number of values; putting never waits.
    ///
    /// It can grow until memory ends: something else should bound what is put.
    ///
    /// ```
    /// use corering::sync::Queue;
    ///
    /// let queue = Queue::unbounded();
    /// for job in 0..1_000 {
    ///     queue.try_put(job).unwrap();
    /// }
    /// assert_eq!((queue.len(), queue.capacity()), (1_000, None));
    /// ```
    pub fn unbounded() -> Self {
        Self::with(None)
    }

    fn with(capacity: Option<usize>) -> Self {
        TaskQueue {
            store: ShardBound::new(Store::new(capacity)),
            done: Cell::new(0),
            all_done: Notify::new(),
        }
    }

    /// Puts a value, and waits for room if the queue is full.
    ///
    /// ```
    /// # corering::block_on(async {
    /// let queue = corering::sync::Queue::new(8);
    /// queue.put("work").await.unwrap();
    /// assert_eq!(queue.get().await, Some("work"));
    /// # });
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the future has not put, and the value is dropped with it. Room that it
    /// had been given goes to the next that waits to put.
    ///
    /// # Errors
    ///
    /// Gives the value back if the queue was shut down.
    pub async fn put(&self, value: T) -> Result<(), SendError<T>> {
        self.store.put(value).await.map_err(SendError)
    }

    /// Puts a value if there is room for it. Never waits.
    ///
    /// ```
    /// use corering::sync::{Queue, channel::TrySendError};
    ///
    /// let queue = Queue::new(1);
    /// assert_eq!(queue.try_put(1), Ok(()));
    /// assert_eq!(queue.try_put(2), Err(TrySendError::Full(2)));
    /// ```
    ///
    /// # Errors
    ///
    /// Gives the value back if the queue is full, if others wait for room, or if it was shut down.
    pub fn try_put(&self, value: T) -> Result<(), TrySendError<T>> {
        self.store.try_put(value).map_err(|(value, why)| match why {
            NoRoom::Full => TrySendError::Full(value),
            NoRoom::Closed => TrySendError::Closed(value),
        })
    }

    /// Waits for a value. `None` when the queue was shut down and has no value left.
    ///
    /// [`join`](TaskQueue::join) waits until [`task_done`](TaskQueue::task_done) is called for the value.
    ///
    /// ```
    /// # corering::block_on(async {
    /// let queue = corering::sync::Queue::unbounded();
    /// queue.put(1).await.unwrap();
    /// queue.shutdown(false);
    /// assert_eq!(queue.get().await, Some(1));
    /// assert_eq!(queue.get().await, None);
    /// # });
    /// ```
    ///
    /// # Cancel safety
    ///
    /// A dropped future has taken no value. One that it was promised goes to the next that waits.
    ///
    /// # Errors
    ///
    /// None; a queue that was shut down is an end and not a failure.
    pub async fn get(&self) -> Option<T> {
        let (mut place, mut toll) = (None, Toll::Due);
        let (place, toll) = (&mut place, &mut toll);
        Taking { store: &self.store, is_alone: false, place, toll }.await
    }

    /// Takes a value if one is not promised to a waiting task. Never waits.
    ///
    /// ```
    /// use corering::sync::{Queue, channel::TryRecvError};
    ///
    /// let queue = Queue::new(1);
    /// assert_eq!(queue.try_get(), Err(TryRecvError::Empty));
    /// queue.try_put(1).unwrap();
    /// assert_eq!(queue.try_get(), Ok(1));
    /// ```
    ///
    /// # Errors
    ///
    /// [`TryRecvError::Empty`] while one may still come, [`TryRecvError::Closed`] when none will.
    pub fn try_get(&self) -> Result<T, TryRecvError> {
        self.store.try_take(&mut None).map_err(|nothing| match nothing {
            Nothing::Yet => TryRecvError::Empty,
            Nothing::Ever => TryRecvError::Closed,
        })
    }

    /// Says that a value that was put has been dealt with.
    ///
    /// ```
    /// # corering::block_on(async {
    /// let queue = corering::sync::Queue::unbounded();
    /// queue.put(1).await.unwrap();
    /// queue.get().await.unwrap();
    /// queue.task_done();
    /// queue.join().await;
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// If it was called for each value that was put already.
    pub fn task_done(&self) {
        let left = self.unfinished();
        assert!(left > 0, "task_done() was called more often than values were put");
        self.finish(1);
    }

    /// Waits until each value that was put has been dealt with: until
    /// [`task_done`](TaskQueue::task_done) was called for it, or a shutdown has dropped it.
    ///
    /// ```
    /// use std::rc::Rc;
    ///
    /// # corering::block_on(async {
    /// let queue = Rc::new(corering::sync::Queue::unbounded());
    /// queue.put("work").await.unwrap();
    /// let worker = Rc::clone(&queue);
    /// corering::spawn(async move {
    ///     worker.get().await.unwrap();
    ///     worker.task_done();
    /// });
    /// queue.join().await;
    /// # });
    /// ```
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again.
    ///
    /// # Errors
    ///
    /// None; waiting cannot fail.
    pub async fn join(&self) {
        self.all_done.notified_unless(|| self.unfinished() == 0).await;
    }

    /// Ends the queue: putting fails from now on, also for tasks that wait, and getting ends when no value
    /// is left. If `immediate`, the values that are left are dropped and count as dealt with.
    ///
    /// A queue that was shut down can be shut down again, immediately.
    ///
    /// ```
    /// # corering::block_on(async {
    /// let queue = corering::sync::Queue::unbounded();
    /// queue.put(1).await.unwrap();
    /// queue.shutdown(true);
    /// assert!(queue.put(2).await.is_err());
    /// assert_eq!(queue.get().await, None);
    /// queue.join().await;
    /// # });
    /// ```
    pub fn shutdown(&self, immediate: bool) {
        self.store.close();
        if immediate {
            let (values, count) = self.store.empty();
            self.finish(count as u64);
            // User code, which finds all done.
            drop(values);
        }
    }

    /// Whether the queue was shut down; it may still have values.
    ///
    /// ```
    /// let queue = corering::sync::Queue::<u8>::new(1);
    /// queue.shutdown(false);
    /// assert!(queue.is_shut_down());
    /// ```
    pub fn is_shut_down(&self) -> bool {
        self.store.is_closed()
    }

    /// How many values the queue has, including values promised to waiting tasks.
    ///
    /// ```
    /// let queue = corering::sync::Queue::new(2);
    /// queue.try_put(1).unwrap();
    /// assert_eq!(queue.len(), 1);
    /// ```
    pub fn len(&self) -> usize {
        self.store.len()
    }

    /// Whether the queue has no value.
    ///
    /// ```
    /// assert!(corering::sync::Queue::<u8>::new(2).is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is no room for a newcomer: room promised to waiting tasks counts as taken.
    ///
    /// ```
    /// let queue = corering::sync::Queue::new(1);
    /// queue.try_put(1).unwrap();
    /// assert!(queue.is_full());
    /// ```
    pub fn is_full(&self) -> bool {
        self.store.is_full()
    }

    /// How many values the queue holds at most, `None` if it is unbounded.
    ///
    /// ```
    /// assert_eq!(corering::sync::Queue::<u8>::new(3).capacity(), Some(3));
    /// ```
    pub fn capacity(&self) -> Option<usize> {
        self.store.capacity()
    }

    /// Values that were put and not dealt with.
    fn unfinished(&self) -> u64 {
        self.store.count_put() - self.done.get()
    }

    fn finish(&self, count: u64) {
        let left = self.unfinished();
        // More are dropped than are left if `task_done` was called for values that were still here.
        let count = count.min(left);
        self.done.set(self.done.get() + count);
        if count == left {
            self.all_done.notify_waiters();
        }
    }
}

impl<T, O: Order<T>> fmt::Debug for TaskQueue<T, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.describe(O::NAME, f)
    }
}

#[cfg(test)]
mod tests;
