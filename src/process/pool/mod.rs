//! A pool of processes for functions that compute: children of the same program, each of which runs one
//! function at a time.
//!
//! Read `link.rs` for one worker as the pool sees it, and `worker.rs` for what it is itself.

mod builder;
mod error;
mod frame;
mod functions;
mod link;
mod worker;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, PipeWriter};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use builder::PoolBuilder;
pub use error::CallError;
#[doc(hidden)]
pub use functions::{Failure, Function, Typed};
#[doc(inline)]
pub use functions::{Functions, functions};
pub use worker::worker;

use builder::Config;
use frame::{Hello, TooLarge};
use link::{Link, Running, Said, Silence, not_a_worker};

use crate::sync::{Permit, Semaphore};
use crate::task::CancelToken;
use crate::time;
use crate::util::shard_bound::{CallThePoolOnItsShard, ShardBound};

/// The pauses before a worker is started again that could not be started.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// How many workers are tried for a call whose function has not begun since they had ended before.
const TRIES_MAX: u32 = 4;

/// Runs functions in processes of their own, so that they compute beside this one.
///
/// A worker is a child that runs the same program, from its file: nothing is forked that goes on without
/// an `exec`. It serves the functions of a table, which [`worker`] gives it as the first line of `main`.
/// What goes there and back is serialized by serde, in `postcard`'s format. A format that does not
/// describe itself has no `deserialize_any`: untagged enums and `serde_json::Value` do not arrive.
///
/// - At most [`workers`](PoolBuilder::workers) calls run at a time. Others wait, and have their turn in the
///   order in which they came.
/// - Workers are started as calls need them, and kept. One that has ended, for whatever reason, is
///   replaced; what it had begun fails with [`CallError::Died`], and no other call.
/// - A panic of a function is an error of its call, and the worker lives on. Its message goes to standard
///   error, too, as that of any panic.
/// - Dropped, the pool kills its workers. A program that ends in whatever way, by `SIGKILL` too, leaves
///   none: each worker watches a pipe that only the program holds open. (A child that the program forks
///   without an `exec` holds it open, too: the workers then end with the last of both.)
///
/// A function that waits for something is better a task, and one that computes for less than some ten
/// microseconds is better called in place: that is what a call costs. [`spawn_blocking`] runs closures on
/// threads, which share memory, and therefore a crash.
///
/// [`spawn_blocking`]: crate::spawn_blocking
///
/// # Examples
///
/// ```
/// use corering::process::{Functions, Pool, functions};
///
/// const FUNCTIONS: Functions = functions![primes];
///
/// fn primes(range: std::ops::Range<u32>) -> usize {
///     range.filter(|n| *n > 1 && (2..*n).all(|divisor| n % divisor != 0)).count()
/// }
///
/// #[corering::main(worker = FUNCTIONS)]
/// async fn main() -> std::io::Result<()> {
///     let pool = Pool::new(FUNCTIONS)?;
///     let (low, high) = corering::try_join!(pool.call(primes, 1..50), pool.call(primes, 50..100))?;
///     assert_eq!(low + high, 25);
///     pool.shutdown().await;
///     Ok(())
/// }
/// ```
pub struct Pool {
    state: ShardBound<State, dyn CallThePoolOnItsShard>,
}

struct State {
    functions: Functions,
    config: Config,
    /// One for each call that may run. A worker that serves none is idle.
    permits: Semaphore,
    /// The one that was used last is last.
    idle: RefCell<Vec<Link>>,
    is_shut_down: Cell<bool>,
    /// In a row.
    failed_starts: Cell<u32>,
    /// Kills all that run.
    kill: CancelToken,
    running: Rc<Running>,
    /// Workers have the read end, and end when the other is closed.
    lifeline: (Arc<OwnedFd>, PipeWriter),
}

impl Pool {
    /// A pool with a worker for each processor, and no limits.
    ///
    /// # Errors
    ///
    /// As [`PoolBuilder::build`].
    pub fn new(functions: Functions) -> io::Result<Pool> {
        Pool::builder(functions).build()
    }

    /// Begins the configuration of a pool.
    pub fn builder(functions: Functions) -> PoolBuilder {
        PoolBuilder::new(functions)
    }

    fn with(functions: Functions, config: Config) -> io::Result<Pool> {
        let (lifeline, ends_lifeline) = io::pipe()?;
        let state = State {
            functions,
            permits: Semaphore::new(config.workers),
            config,
            idle: RefCell::default(),
            is_shut_down: Cell::new(false),
            failed_starts: Cell::new(0),
            kill: CancelToken::new(),
            running: Rc::default(),
            lifeline: (Arc::new(lifeline.into()), ends_lifeline),
        };
        Ok(Pool { state: ShardBound::new(state) })
    }

    /// Runs a function of the table in a worker, and gives what it returns.
    ///
    /// It waits until a worker is free, after the calls that came before.
    ///
    /// # Cancel safety
    ///
    /// A call that is dropped while it waits for a worker leaves the line. Dropped later, it kills its
    /// worker, so that nothing computes in vain; the next call starts another.
    ///
    /// # Errors
    ///
    /// Those of [`CallError`].
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::process::{self, CallError, Functions, Pool, functions};
    ///
    /// const FUNCTIONS: Functions = functions![divide];
    ///
    /// fn divide((number, by): (i64, i64)) -> i64 {
    ///     number / by
    /// }
    ///
    /// fn main() -> std::io::Result<()> {
    ///     process::worker(FUNCTIONS);
    ///     corering::block_on(async {
    ///         let pool = Pool::builder(FUNCTIONS).workers(1).build()?;
    ///         assert_eq!(pool.call(divide, (42, 6)).await?, 7);
    ///         let panicked = pool.call(divide, (42, 0)).await;
    ///         assert!(matches!(panicked, Err(CallError::Panicked(message)) if message.contains("zero")));
    ///         Ok(())
    ///     })
    /// }
    /// ```
    pub async fn call<F, Q, A>(&self, function: F, request: Q) -> Result<A, CallError>
    where
        F: Fn(Q) -> A + 'static,
        Q: Serialize,
        A: DeserializeOwned,
    {
        let _ = function;
        let name = std::any::type_name::<F>();
        let index = self.state.functions.index_of::<F>().ok_or(CallError::UnknownFunction(name))?;
        let permit = self.state.turn().await?;
        let max = self.state.message_max();
        let body = frame::append(&request, frame::begin(Vec::new()), max);
        let body = body.map_err(|error| match error {
            Ok(TooLarge) => CallError::TooLarge(max),
            Err(error) => CallError::Request(error.to_string()),
        })?;
        drop(request);
        let said = self.state.ask(&permit, frame::finish(body, index)).await?;
        // The next call has the worker while this one looks at its answer.
        drop(permit);
        match said.kind {
            frame::ANSWER => postcard::from_bytes(said.body())
                .map_err(|error| CallError::Answer(error.to_string())),
            frame::PANICKED => Err(CallError::Panicked(said.text())),
            frame::BAD_REQUEST => Err(CallError::Request(said.text())),
            frame::BAD_ANSWER => Err(CallError::Answer(said.text())),
            frame::TOO_LARGE => Err(CallError::TooLarge(max)),
            kind => Err(CallError::Answer(format!("the worker said {kind}, which is no answer"))),
        }
    }

    /// Starts all workers that do not run yet, and waits until they can serve: the first calls need not
    /// wait for them.
    ///
    /// # Cancel safety
    ///
    /// Workers that were not ready are killed, and those that were, too.
    ///
    /// # Errors
    ///
    /// The first error of a start.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::process::{self, Functions, Pool, functions};
    ///
    /// const FUNCTIONS: Functions = functions![pid];
    ///
    /// fn pid((): ()) -> u32 {
    ///     std::process::id()
    /// }
    ///
    /// fn main() -> std::io::Result<()> {
    ///     process::worker(FUNCTIONS);
    ///     corering::block_on(async {
    ///         let pool = Pool::builder(FUNCTIONS).workers(2).build()?;
    ///         pool.warm_up().await?;
    ///         assert_ne!(pool.call(pid, ()).await?, std::process::id());
    ///         Ok(())
    ///     })
    /// }
    /// ```
    pub async fn warm_up(&self) -> Result<(), CallError> {
        let state = &self.state;
        let starts = (0..state.permits.available_permits()).map(|_| async {
            let permit = state.turn().await?;
            Ok((state.worker(&permit).await?, permit))
        });
        // Each keeps its worker until all have one, or the same would be counted twice.
        let started: Vec<Result<(Link, Permit<'_>), CallError>> = join_all(starts).await;
        let mut failed = None;
        for one in started {
            match one {
                Ok((link, permit)) => state.keep(&permit, link),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Takes no further call, waits for those that came before, and ends the workers.
    ///
    /// When it returns, no process of the pool is left. Calls that come later fail with
    /// [`CallError::ShutDown`].
    ///
    /// # Cancel safety
    ///
    /// The pool stays shut down, and calls that came before go on. Another `shutdown` goes on where this
    /// one was.
    ///
    /// # Errors
    ///
    /// None.
    pub async fn shutdown(&self) {
        let state = &self.state;
        state.is_shut_down.set(true);
        // Those that wait came before, and the line keeps its order.
        if let Ok(all) = state.permits.acquire_many(state.config.workers).await {
            state.permits.close();
            drop(all);
        }
        let idle = state.idle.take();
        idle.into_iter().for_each(Link::retire);
        state.running.until_none_is_left().await;
    }

    /// Takes no further call, kills all workers, and waits until they have ended.
    ///
    /// Calls that run, or wait, fail with [`CallError::ShutDown`].
    ///
    /// # Cancel safety
    ///
    /// All workers are killed all the same.
    ///
    /// # Errors
    ///
    /// None.
    pub async fn shutdown_now(&self) {
        let state = &self.state;
        state.is_shut_down.set(true);
        state.permits.close();
        state.kill.cancel();
        drop(state.idle.take());
        state.running.until_none_is_left().await;
    }
}

impl State {
    fn message_max(&self) -> usize {
        self.config.message_limit as usize
    }

    /// Waits until a call may run.
    async fn turn(&self) -> Result<Permit<'_>, CallError> {
        if self.is_shut_down.get() {
            return Err(CallError::ShutDown);
        }
        self.permits.acquire().await.map_err(|_| CallError::ShutDown)
    }

    /// Asks a worker, and another one if that had ended before it could begin.
    async fn ask(&self, permit: &Permit<'_>, mut frame: Vec<u8>) -> Result<Said, CallError> {
        let mut tries = 0;
        loop {
            let mut link = self.worker(permit).await?;
            let asked = link.ask(frame, self.message_max());
            let asked = match self.config.time_limit {
                None => asked.await,
                Some(limit) => {
                    time::timeout(limit, asked).await.map_err(|_| CallError::TimedOut)?
                }
            };
            tries += 1;
            match asked {
                Ok(said) => {
                    link.calls += 1;
                    self.keep(permit, link);
                    return Ok(said);
                }
                Err(_) if self.kill.is_cancelled() => return Err(CallError::ShutDown),
                Err(Silence::Unread(unread)) if tries < TRIES_MAX => frame = unread,
                Err(Silence::Unread(_) | Silence::Ended) => {
                    return Err(CallError::Died(link.ended().await?));
                }
                Err(Silence::Io(error)) => return Err(error.into()),
            }
        }
    }

    /// A worker that is idle, or a new one.
    async fn worker(&self, _permit: &Permit<'_>) -> Result<Link, CallError> {
        while let Some(link) = self.take_idle() {
            if !link.has_ended() {
                return Ok(link);
            }
        }
        let failed = self.failed_starts.get();
        if failed > 0 {
            let pause = FIRST_PAUSE * 2_u32.saturating_pow(failed - 1);
            time::sleep(pause.min(PAUSE_MAX)).await;
        }
        let started = self.started().await;
        match &started {
            Ok(_) => self.failed_starts.set(0),
            Err(_) => self.failed_starts.set(self.failed_starts.get().saturating_add(1)),
        }
        started
    }

    fn take_idle(&self) -> Option<Link> {
        self.idle.borrow_mut().pop()
    }

    /// A new worker, which has greeted.
    async fn started(&self) -> Result<Link, CallError> {
        let hello = Hello {
            checksum: self.functions.checksum(),
            message_max: self.config.message_limit,
            memory_max: self.config.memory_limit,
        };
        let limit = self.config.start_limit;
        let start = async {
            let lifeline = self.lifeline.0.clone();
            let mut link = Link::start(lifeline, self.kill.child(), &self.running).await?;
            link.greet(hello).await.map(|()| link)
        };
        let started = time::timeout(limit, start).await;
        if self.kill.is_cancelled() {
            return Err(CallError::ShutDown);
        }
        started.unwrap_or_else(|_| Err(not_a_worker(format_args!("it said nothing for {limit:?}"))))
    }

    /// Keeps a worker for the next call, unless it has served enough.
    fn keep(&self, _permit: &Permit<'_>, link: Link) {
        if self.config.calls_max.is_some_and(|max| link.calls >= max.get()) {
            link.retire();
        } else if !self.kill.is_cancelled() {
            self.idle.borrow_mut().push(link);
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.kill.cancel();
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("functions", &self.state.functions)
            .field("workers", &self.state.config.workers)
            .field("idle", &self.state.idle.borrow().len())
            .finish_non_exhaustive()
    }
}
