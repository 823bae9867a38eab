//! tokio's runtime beside corering's.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::{self, EnterGuard, Handle};

use crate::sys::affinity::Cpus;

/// A runtime of tokio's for libraries that need one: `reqwest`, database clients, tokio's own sockets,
/// timers and processes can be awaited in tasks of corering's.
///
/// The libraries' futures are polled on the shard, by the shard; tokio's runtime watches their sockets
/// and timers, and runs what they spawn. [`enter`](Self::enter) makes it known to a whole thread,
/// [`run`](Self::run) to a single future.
///
/// # What it costs
///
/// - Threads: one that watches sockets and timers and runs spawned tasks, and one for each blocking call
///   at a time (files, names of hosts), up to 512, each for 10 s after its last. They run on the
///   processors of the thread that made the guest: make it before the shards, which are pinned.
/// - A wake from another thread for each wait: what becomes ready is noticed on tokio's thread, which
///   wakes the task through the mailbox of its shard and rings it if it sleeps. An exchange of a byte with
///   a peer took 1.9 switches of threads, and 1.0 by a socket of corering's.
/// - Fairness is the task's own: tokio's sockets and channels, which are read and written by plain calls
///   on the shard, do not count what a task begins. A loop around one that is always ready lets the
///   others run by [`task::cooperative`](crate::task::cooperative).
/// - tokio's `process::Command` starts the child on the calling thread, and a child of a pinned shard
///   has one processor: start it in a task of [`handle`](Self::handle), or see
///   [`Builder::pin`](crate::Builder::pin).
///
/// # Its end
///
/// Dropped, it ends in the background: tasks that tokio has spawned are dropped where they wait, and
/// blocking calls go on to their end. What still waits for tokio gets an error (a socket, a handle of a
/// task), or panics with a sentence of tokio's (a timer). So it should outlive the tasks that use it.
///
/// # Examples
///
/// ```
/// use corering::compat::tokio::Guest;
///
/// #[corering::main]
/// async fn main() -> std::io::Result<()> {
///     let guest = Guest::new()?;
///     let _tokio = guest.enter();
///     // From here on every task of this shard may use what needs tokio.
///     let task = corering::spawn(async {
///         tokio::time::sleep(std::time::Duration::from_millis(1)).await;
///     });
///     task.await.unwrap();
///     Ok(())
/// }
/// ```
///
/// On several shards each enters it:
///
/// ```
/// use corering::compat::tokio::Guest;
///
/// let guest = Guest::new()?;
/// corering::Runtime::builder().shards(2).oversubscribe(true).run(async |_shard| {
///     let _tokio = guest.enter();
///     tokio::net::TcpListener::bind("127.0.0.1:0").await.map(drop)
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Guest {
    /// There until this is dropped.
    runtime: Option<runtime::Runtime>,
}

impl Guest {
    /// Starts a runtime of tokio's with one thread for its tasks, its sockets and its timers.
    ///
    /// # Errors
    ///
    /// A thread or a descriptor cannot be had.
    pub fn new() -> io::Result<Self> {
        let cpus = Cpus::of_this_thread();
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("corering-guest")
            // tokio starts threads from the shards, whose one processor they would inherit.
            .on_thread_start(move || cpus.give_to_this_thread())
            .enable_all()
            .build()?;
        Ok(runtime.into())
    }

    /// Makes it tokio's current runtime on this thread, for all that runs there until the guard is
    /// dropped: around `block_on`, or first in the main future of each shard.
    ///
    /// Guards of a thread are dropped in the reverse order, or tokio panics; so it stands in the main
    /// future, and not in a task that others outlive. What is dropped when the shard ends, after the
    /// main future, is dropped without it: enter it around `block_on` where destructors need tokio.
    ///
    /// # Examples
    ///
    /// ```
    /// let guest = corering::compat::tokio::Guest::new()?;
    /// let _tokio = guest.enter();
    /// let sum = corering::block_on(async { tokio::spawn(async { 40 + 2 }).await });
    /// assert_eq!(sum.unwrap(), 42);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn enter(&self) -> EnterGuard<'_> {
        self.running().enter()
    }

    /// Runs a future, with this as tokio's current runtime while it is polled, and while it is dropped
    /// after a poll: for a task on a shard that has not entered it. What needs tokio from the beginning,
    /// `tokio::time::sleep` for instance, is called within: `guest.run(async { sleep(d).await })`.
    ///
    /// # Cancel safety
    ///
    /// That of the future itself.
    ///
    /// # Errors
    ///
    /// Those of the future itself.
    ///
    /// # Examples
    ///
    /// ```
    /// # corering::block_on(async {
    /// let guest = corering::compat::tokio::Guest::new()?;
    /// let task = corering::spawn(guest.run(async {
    ///     tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    /// }));
    /// task.await.unwrap();
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn run<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        let handle = self.handle().clone();
        async move {
            let mut hosted = Hosted { future: pin!(Some(future)), handle };
            poll_fn(|cx| hosted.poll(cx)).await
        }
    }

    /// What spawns tasks on tokio's own thread, from any thread.
    pub fn handle(&self) -> &Handle {
        self.running().handle()
    }

    /// Ends it, and waits for its threads, which end with the calls that they make; for so long at most.
    /// Nothing else happens on this thread meanwhile.
    pub fn shut_down(mut self, patience: Duration) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(patience);
        }
    }

    fn running(&self) -> &runtime::Runtime {
        self.runtime.as_ref().expect("only the end takes it")
    }
}

/// A runtime with settings of one's own.
impl From<runtime::Runtime> for Guest {
    fn from(runtime: runtime::Runtime) -> Self {
        Guest { runtime: Some(runtime) }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A call that blocks for ever must not keep the shard.
            runtime.shutdown_background();
        }
    }
}

/// A future that is polled and dropped in a runtime of tokio's.
struct Hosted<'a, F> {
    future: Pin<&'a mut Option<F>>,
    handle: Handle,
}

impl<F: Future> Hosted<'_, F> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<F::Output> {
        let _entered = self.handle.enter();
        let future = self.future.as_mut().as_pin_mut().expect("it is here until this is dropped");
        future.poll(cx)
    }
}

impl<F> Drop for Hosted<'_, F> {
    fn drop(&mut self) {
        let _entered = self.handle.enter();
        self.future.set(None);
    }
}
