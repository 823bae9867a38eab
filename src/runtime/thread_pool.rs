//! A pool of threads that belongs to the program: for closures that compute, apart from the runtime's.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::future::FusedFuture;

use super::blocking::{self, BlockingHandle, spawn_blocking};
use crate::driver;
use crate::sys::affinity::Cpus;
use crate::sys::{clock, fork, log};
use crate::task::JoinError;
use crate::util::linked_slab::Key;
use crate::util::pool::{Config, Pool};
use crate::util::unwind::drop_quietly;

type Closure = Box<dyn FnOnce() + Send>;

/// Threads for closures that compute: a limit, a name and a queue of their own.
///
/// [`spawn_blocking`](super::spawn_blocking) starts up to 512 threads, since closures that wait for a disk or
/// a child cost no processor. What computes wants as many threads as there are processors, and others not to
/// wait behind it: it gets a pool. A clone is the same pool; it goes to any shard or thread, and needs no
/// runtime to take closures.
///
/// Threads start when there is work, and end when they have had none for a while. Their signal mask and their
/// processors are those of the thread that built the pool; if that is a shard, those that it had before it was
/// pinned. The queue has no bound: who has more to do than fits into memory waits for results in between, or
/// takes a permit of a [`Semaphore`](crate::sync::Semaphore) before each [`run`](Self::run).
///
/// On a simulated kernel closures run immediately, on the calling thread.
///
/// # What ends it
///
/// [`shutdown`](Self::shutdown), or the drop of the last clone and of the last handle of a closure. In a child
/// of `fork` it takes no closures, since it has no threads there; the child builds its own.
///
/// # Examples
///
/// ```
/// use corering::task::ThreadPool;
///
/// corering::block_on(async {
///     let pool = ThreadPool::new(2);
///     let sums = [100, 1_000].map(|end| pool.run(move || (1..=end).sum::<u64>()));
///     let [small, large] = sums;
///     assert_eq!(small.await.unwrap(), 5_050);
///     assert_eq!(large.await.unwrap(), 500_500);
/// });
/// ```
#[derive(Clone)]
pub struct ThreadPool {
    pool: Arc<Pool<Closure>>,
}

impl ThreadPool {
    /// A pool of at most this number of threads. Zero counts as one.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = corering::task::ThreadPool::new(4);
    /// assert_eq!(pool.threads(), 0);
    /// ```
    pub fn new(threads: usize) -> Self {
        ThreadPool::builder().threads(threads).build()
    }

    /// Begins the configuration of a pool.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::task::ThreadPool;
    ///
    /// let pool = ThreadPool::builder().threads(2).name("resize").build();
    /// let thread = corering::block_on(pool.run(|| std::thread::current().name().map(str::to_owned)));
    /// assert_eq!(thread.unwrap().as_deref(), Some("resize"));
    /// ```
    pub fn builder() -> ThreadPoolBuilder {
        let threads_max = Cpus::of_this_thread_unpinned().count();
        let name = "corering-threads".to_owned();
        ThreadPoolBuilder { config: Config { threads_max, name, ..Config::default() } }
    }

    /// Queues a closure, which runs when a thread is free, and gives the handle of its result.
    ///
    /// Closures begin in the order in which they were queued. A handle that is dropped, or
    /// [aborted](PoolHandle::abort), takes its closure out of the queue; what has begun goes on.
    ///
    /// # Cancel safety
    ///
    /// Dropping the handle drops the closure on this thread if it has not begun. If it has, it goes on to its
    /// end, and what it returns is lost.
    ///
    /// # Errors
    ///
    /// The handle gives a [`JoinError`] that carries the payload if the closure panics, and one that is
    /// "cancelled" if the closure was aborted, the pool was shut down before it began, no thread could be
    /// started, or the pool is that of a parent process. The log tells of the last two.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::task::ThreadPool;
    ///
    /// corering::block_on(async {
    ///     let pool = ThreadPool::new(1);
    ///     assert_eq!(pool.run(|| 6 * 7).await.unwrap(), 42);
    ///     let panicked = pool.run(|| panic!("no")).await.unwrap_err();
    ///     assert!(panicked.is_panic());
    /// });
    /// ```
    pub fn run<F, T>(&self, closure: F) -> PoolHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let (job, result) = blocking::job(closure);
        if driver::current().is_ok_and(|driver| driver.can().is_simulated) {
            job();
            return PoolHandle { queued: None, result };
        }
        let queued = match self.pool.spawn(Box::new(job)) {
            Ok(key) => Some(Queued { pool: self.pool.clone(), key }),
            Err(refused) => {
                log::warn(format_args!("a ThreadPool drops a closure: {}", refused.error));
                None
            }
        };
        PoolHandle { queued, result }
    }

    /// How many threads there are, at work or idle.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = corering::task::ThreadPool::new(4);
    /// corering::block_on(pool.run(|| ())).unwrap();
    /// assert_eq!(pool.threads(), 1);
    /// ```
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// How many closures wait for a thread.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = corering::task::ThreadPool::new(4);
    /// assert_eq!(pool.queued(), 0);
    /// ```
    pub fn queued(&self) -> usize {
        self.pool.queued()
    }

    /// How many closures run.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = corering::task::ThreadPool::new(4);
    /// assert_eq!(pool.running(), 0);
    /// ```
    pub fn running(&self) -> usize {
        self.pool.running()
    }

    /// Ends the pool: takes no more closures, waits until those that it has have ended, and after `limit` drops
    /// those that have not begun. Gives the number of closures that still run, which go on to their end.
    ///
    /// The wait takes a thread of the runtime's own pool.
    ///
    /// # Cancel safety
    ///
    /// A dropped future has ended the pool if it was polled: closures that are queued have until the limit.
    ///
    /// # Errors
    ///
    /// None.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use corering::task::ThreadPool;
    ///
    /// corering::block_on(async {
    ///     let pool = ThreadPool::new(1);
    ///     let sum = pool.run(|| (1..=100).sum::<u64>());
    ///     assert_eq!(pool.shutdown(Duration::from_secs(60)).await, 0);
    ///     assert_eq!(sum.await.unwrap(), 5_050);
    ///     assert!(pool.run(|| ()).await.unwrap_err().is_cancelled());
    /// });
    /// ```
    pub async fn shutdown(&self, limit: Duration) -> usize {
        self.pool.refuse();
        // Beyond what the clock can say is never.
        let deadline = clock::now().checked_add(limit);
        let pool = self.pool.clone();
        let still_run = spawn_blocking(move || pool.finish(deadline)).await;
        still_run.unwrap_or_else(|_| self.pool.running())
    }
}

impl fmt::Debug for ThreadPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadPool")
            .field("threads", &self.threads())
            .field("queued", &self.queued())
            .field("running", &self.running())
            .finish_non_exhaustive()
    }
}

/// Configures a [`ThreadPool`]. Made by [`ThreadPool::builder`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use corering::task::ThreadPool;
///
/// let pool = ThreadPool::builder()
///     .threads(2)
///     .name("digest")
///     .stack_size(8 << 20)
///     .keep_alive(Duration::from_secs(60))
///     .build();
/// assert_eq!(corering::block_on(pool.run(|| 6 * 7)).unwrap(), 42);
/// ```
#[must_use = "a builder does nothing until it is asked to `build`"]
#[derive(Clone, Debug)]
pub struct ThreadPoolBuilder {
    config: Config,
}

impl ThreadPoolBuilder {
    /// How many threads there may be at once. Zero counts as one. Default: as many as the thread that builds
    /// the pool may run on processors.
    pub fn threads(mut self, count: usize) -> Self {
        self.config.threads_max = count;
        self
    }

    /// What each thread is called. The system shows the first 15 bytes. Default: "corering-threads".
    ///
    /// # Panics
    ///
    /// If the name has a NUL byte.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.config.name = name.into();
        assert!(!self.config.name.contains('\0'), "the name of a thread cannot have a NUL byte");
        self
    }

    /// Bytes of stack of each thread. Default: what the standard library gives its threads, 2 MiB.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.config.stack_size = Some(bytes);
        self
    }

    /// How long a thread stays without work. Default: 10 seconds.
    pub fn keep_alive(mut self, time: Duration) -> Self {
        self.config.keep_alive = time;
        self
    }

    /// The pool, which has no threads yet.
    pub fn build(self) -> ThreadPool {
        // Without memory for that, a closure in a forked child waits for a thread that is not there.
        let _ = fork::notice_forks();
        ThreadPool { pool: Arc::new(Pool::new(self.config)) }
    }
}

/// The result of a closure on a [`ThreadPool`]. Dropped, it takes the closure out of the queue.
#[must_use = "a handle that is dropped takes its closure out of the queue"]
pub struct PoolHandle<T> {
    queued: Option<Queued>,
    result: BlockingHandle<T>,
}

/// A closure in the queue of a pool, from which it is taken by a drop unless it has begun.
struct Queued {
    pool: Arc<Pool<Closure>>,
    key: Key,
}

impl<T> PoolHandle<T> {
    /// Takes the closure out of the queue and drops it, on this thread. False if it has begun: then it goes on
    /// to its end, and the handle gives its result.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::task::ThreadPool;
    ///
    /// corering::block_on(async {
    ///     let pool = ThreadPool::new(1);
    ///     let (go_on, goes_on) = std::sync::mpsc::channel::<()>();
    ///     let first = pool.run(move || goes_on.recv());
    ///     let second = pool.run(|| "never");
    ///     assert!(second.abort());
    ///     assert!(second.await.unwrap_err().is_cancelled());
    ///     go_on.send(()).unwrap();
    ///     first.await.unwrap().unwrap();
    /// });
    /// ```
    pub fn abort(&self) -> bool {
        self.queued.as_ref().is_some_and(Queued::take_back)
    }
}

impl Queued {
    fn take_back(&self) -> bool {
        // Code of the user's is dropped here, when the queue is no longer locked.
        self.pool.take_back(self.key).map(drop_quietly).is_some()
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.take_back();
    }
}

impl<T> Future for PoolHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = ready!(Pin::new(&mut self.result).poll(cx));
        // The pool may end now, though the handle stays.
        self.queued = None;
        Poll::Ready(result)
    }
}

impl<T> FusedFuture for PoolHandle<T> {
    fn is_terminated(&self) -> bool {
        self.result.is_terminated()
    }
}

impl<T> fmt::Debug for PoolHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolHandle").field("done", &self.is_terminated()).finish_non_exhaustive()
    }
}
