//! Blocking work, on a thread of the pool.

use std::cell::OnceCell;
use std::fmt;
use std::future::{Future, pending};
use std::io;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use futures_util::future::FusedFuture;

use super::across::{self, Replied};
use crate::driver::{self, Driver};
use crate::sys::log;
use crate::task::{AbortHandle, JoinError, JoinSet};
use crate::util::unwind::{Payload, catch};

/// Runs a closure that blocks, or computes for long, on a thread of the pool, and resolves to what
/// it returns.
///
/// Its signal mask and its processors are those of the thread that built the runtime: this is the
/// place to start processes and threads in, which inherit both.
///
/// The closure runs also if the handle is dropped. On a simulated kernel it runs at once, on the
/// calling thread.
///
/// # Cancel safety
///
/// Dropping the handle lets the closure go on, and loses what it returns.
///
/// # Errors
///
/// A [`JoinError`] that carries the payload if the closure panics, and one that is "cancelled" if
/// the pool was ended before the closure began, or no thread could be started.
///
/// # Panics
///
/// Outside a runtime.
///
/// # Examples
///
/// ```
/// corering::block_on(async {
///     let sum = corering::spawn_blocking(|| (1..=100_u64).sum::<u64>()).await;
///     assert_eq!(sum.unwrap(), 5050);
/// });
/// ```
pub fn spawn_blocking<F, T>(closure: F) -> BlockingHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let driver = match driver::current() {
        Ok(driver) => driver,
        Err(error) => panic!("{error}"),
    };
    let (handle, begun) = begin(&driver, closure);
    if let Err(error) = begun {
        log::warn(format_args!("no thread for spawn_blocking: {error}"));
    }
    handle
}

/// As [`spawn_blocking`], with an error where no thread can be started, or the runtime cannot be used.
pub(crate) fn try_spawn_blocking<F, T>(closure: F) -> io::Result<BlockingHandle<T>>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let driver = driver::current()?;
    driver.check_usable()?;
    let (handle, begun) = begin(&driver, closure);
    begun.map(|()| handle)
}

fn begin<F, T>(driver: &Driver, closure: F) -> (BlockingHandle<T>, io::Result<()>)
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let (job, result) = job(closure);
    if driver.can().is_simulated {
        job();
        return (result, Ok(()));
    }
    (result, driver.pool.run(job))
}

/// A closure as a job of a pool, and what waits for its result. If the job is dropped before it ran, that is
/// "cancelled".
pub(super) fn job<F, T>(closure: F) -> (impl FnOnce() + Send + 'static, BlockingHandle<T>)
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let (reply, replied) = across::reply();
    let job = move || {
        reply.send(catch(closure));
    };
    (job, BlockingHandle { replied, done: false })
}

/// The result of [`spawn_blocking`].
#[must_use = "await the handle to hear of a panic; drop it to let the closure go on alone"]
pub struct BlockingHandle<T> {
    replied: Replied<Result<T, Payload>>,
    done: bool,
}

impl<T> Future for BlockingHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let reply = ready!(Pin::new(&mut self.replied).poll(cx));
        self.done = true;
        Poll::Ready(match reply {
            Some(Ok(value)) => Ok(value),
            Some(Err(payload)) => Err(JoinError::panicked(None, payload)),
            None => Err(JoinError::cancelled(None)),
        })
    }
}

impl<T> FusedFuture for BlockingHandle<T> {
    fn is_terminated(&self) -> bool {
        self.done
    }
}

impl<T: Send + 'static> JoinSet<T> {
    /// Runs a closure on a thread of the pool, as [`spawn_blocking`] does, and waits for it in a task of
    /// this set.
    ///
    /// The closure itself cannot be aborted: it runs to its end, also if the task is aborted or the set
    /// dropped, and what it returns is lost then. If no thread can be started, or the pool was ended before
    /// it began, the set reports a task that was cancelled.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::task::JoinSet;
    ///
    /// corering::block_on(async {
    ///     let mut set = JoinSet::new();
    ///     set.spawn_blocking(|| (1..=100_u64).sum::<u64>());
    ///     set.spawn(async { 50 });
    ///     assert_eq!(set.join_all().await.into_iter().sum::<u64>(), 5100);
    /// });
    /// ```
    pub fn spawn_blocking<F>(&mut self, closure: F) -> AbortHandle
    where
        F: FnOnce() -> T + Send + 'static,
    {
        let blocking = spawn_blocking(closure);
        let own = Rc::new(OnceCell::new());
        let task = own.clone();
        let abort = self.spawn(async move {
            match blocking.await {
                Ok(output) => output,
                Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
                Err(_) => {
                    task.get().map(AbortHandle::abort);
                    pending().await
                }
            }
        });
        // A task does not run within its spawn.
        own.get_or_init(|| abort.clone());
        abort
    }
}

impl<T> fmt::Debug for BlockingHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockingHandle").field("done", &self.done).finish_non_exhaustive()
    }
}
