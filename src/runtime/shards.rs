//! Several shards of one program: a pinned thread, a ring, an executor and buffers each.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::mpsc;
use std::{fmt, thread};

use super::across::ShardError;
use super::builder::{Config, fall_back};
use super::mains::Mains;
use super::{Builder, Driver, Handle, Runtime};
use crate::driver::{Backend, Job};
use crate::sys::refusal::Refusal;
use crate::sys::{affinity, log};
use crate::util::pool::Pool;

/// One shard of a program, as its main future sees it: its number, and the way to the others.
#[derive(Clone)]
pub struct Shard {
    id: usize,
    handles: Handles,
    driver: Driver,
}

impl Shard {
    /// The number of this shard, from 0 on.
    pub fn id(&self) -> usize {
        self.id
    }

    /// How many shards there are.
    pub fn count(&self) -> usize {
        self.handles.len()
    }

    /// The driver that all shards run on: [`Driver::Uring`] or [`Driver::Epoll`].
    pub fn driver(&self) -> Driver {
        self.driver
    }

    /// The way into a shard, this one or another, from any thread.
    ///
    /// # Errors
    ///
    /// [`ShardError::NoSuchShard`].
    ///
    /// # Examples
    ///
    /// ```
    /// let sums = corering::Runtime::builder().shards(2).oversubscribe(true).run(async |shard| {
    ///     let next = shard.handle((shard.id() + 1) % shard.count()).unwrap();
    ///     let blocks = move || next.block_on(|| async { 20 + 1 });
    ///     corering::spawn_blocking(blocks).await.unwrap().unwrap()
    /// })?;
    /// assert_eq!(sums, [21, 21]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn handle(&self, shard: usize) -> Result<Handle, ShardError> {
        let no_such_shard = || ShardError::NoSuchShard { shard, count: self.count() };
        self.handles.get(shard).cloned().ok_or_else(no_such_shard)
    }

    /// Runs a closure on another shard (or this one) as a task, and brings its result here, as
    /// [`Handle::spawn`] does.
    ///
    /// The closure is on its way when this returns, awaited or not.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the task goes on there, detached, and its result is lost.
    ///
    /// # Errors
    ///
    /// [`ShardError`] if there is no such shard, if it has ended, or if the task panicked.
    pub fn submit_to<F, Fut, T>(
        &self,
        shard: usize,
        closure: F,
    ) -> impl Future<Output = Result<T, ShardError>> + use<F, Fut, T>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = T> + 'static,
        T: Send + 'static,
    {
        let task = self.handle(shard).map(|handle| handle.spawn(closure));
        async move {
            task?.await.map_err(|error| match error.is_panic() {
                true => ShardError::Panicked(error),
                // Nobody else has the handle, by which it could be aborted.
                false => ShardError::Gone,
            })
        }
    }
}

impl std::fmt::Debug for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Shard { id, handles, driver } = self;
        write!(f, "Shard {{ id: {id}, count: {}, driver: {driver} }}", handles.len())
    }
}

/// Why a shard could not be started.
enum StartError {
    Refused(Refusal),
    Other(io::Error),
}

impl Builder {
    /// Starts the shards, runs `main` on each, and returns what they return, by number, when all
    /// have ended. A shard whose main future has ended serves the others until theirs have, too.
    ///
    /// Each shard is a thread, the first one the calling thread, pinned to a processor of its own,
    /// unless there are more shards than processors (see [`oversubscribe`](Self::oversubscribe)),
    /// [`pin(false)`](Self::pin) was said, or pinning is refused, as by a seccomp filter, which a
    /// line of the log then says.
    /// All run on the same driver.
    ///
    /// # Errors
    ///
    /// As [`build`](Self::build), and: more shards than processors, or none; a thread cannot be
    /// started. No main future has begun then.
    ///
    /// # Panics
    ///
    /// If the main future of a shard panics, when the others have ended; the log tells of it at
    /// once. What the others do is for [`on_shard_failure`](Self::on_shard_failure) to say. Errors
    /// that main futures return are like any other output here: [`try_run`](Self::try_run) knows
    /// them.
    ///
    /// # Examples
    ///
    /// ```
    /// let sums = corering::Runtime::builder().shards(2).oversubscribe(true).run(|shard| async move {
    ///     let other = (shard.id() + 1) % shard.count();
    ///     shard.submit_to(other, || async { 20 + 1 }).await.unwrap()
    /// })?;
    /// assert_eq!(sums, [21, 21]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn run<F, Fut, T>(self, main: F) -> io::Result<Vec<T>>
    where
        F: Fn(Shard) -> Fut + Send + Sync,
        Fut: Future<Output = T>,
        T: Send,
    {
        let outputs = self.run_with(main, |_| None)?;
        // Only a failure ends the others, and here it is a panic, which has been passed on.
        Ok(outputs.by_shard.into_iter().flatten().collect())
    }

    /// As [`run`](Self::run), of main futures that may fail: returns what they return, by number, or
    /// the error of the first that has failed. That a shard has failed, and why, is told by the log
    /// at once, and [`on_shard_failure`](Self::on_shard_failure) says what the others do.
    ///
    /// # Errors
    ///
    /// The first error of a main future, when all have ended; and those of [`run`](Self::run).
    ///
    /// # Panics
    ///
    /// As [`run`](Self::run).
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::{Runtime, ShardFailure, net::TcpListener};
    ///
    /// let builder = Runtime::builder().shards(2).oversubscribe(true);
    /// let ended = builder.on_shard_failure(ShardFailure::End).try_run(|shard| async move {
    ///     if shard.id() == 0 {
    ///         // Serves for ever, if the other does, too.
    ///         std::future::pending::<()>().await;
    ///     }
    ///     TcpListener::bind("no address").await.map(drop)
    /// });
    /// assert!(ended.is_err());
    /// ```
    pub fn try_run<F, Fut, T, E>(self, main: F) -> Result<Vec<T>, E>
    where
        F: Fn(Shard) -> Fut + Send + Sync,
        Fut: Future<Output = Result<T, E>>,
        T: Send,
        E: fmt::Display + From<io::Error> + Send,
    {
        let failure: Failure<Result<T, E>> = |output| match output {
            Ok(_) => None,
            Err(error) => Some(error),
        };
        let mut outputs = self.run_with(main, failure)?;
        if let Some(failed) = outputs.failed {
            outputs.by_shard.swap(0, failed);
        }
        outputs.by_shard.into_iter().flatten().collect()
    }

    fn run_with<F, Fut, T>(self, main: F, failure: Failure<T>) -> io::Result<Outputs<T>>
    where
        F: Fn(Shard) -> Fut + Send + Sync,
        Fut: Future<Output = T>,
        T: Send,
    {
        let mut config = self.checked()?;
        let processors = processors(&config)?;
        warn_of_quota(&config);
        let auto = config.driver == Driver::Auto;
        if auto {
            config.driver = Driver::Uring;
        }
        match run_on(&config, &processors, &main, failure) {
            Ok(outputs) => Ok(outputs),
            Err(StartError::Refused(refusal)) if auto => {
                fall_back(&refusal);
                config.driver = Driver::Epoll;
                run_on(&config, &processors, &main, failure).map_err(io::Error::from)
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl From<StartError> for io::Error {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Refused(refusal) => refusal.into(),
            StartError::Other(error) => error,
        }
    }
}

/// More shards than processors may be started, but not so many that a slip of the pen fills the
/// machine with threads.
const OVERSUBSCRIBED_MAX: usize = 1024;

/// The processor of each shard; empty if they are not to be pinned.
pub(super) fn processors(config: &Config) -> io::Result<Vec<usize>> {
    let invalid = |message| Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    if config.shards == 0 {
        return invalid("a program needs at least one shard".to_owned());
    }
    let checked = |allowed| if config.pin { affinity::check_pinning(allowed) } else { Ok(allowed) };
    let allowed = match affinity::allowed_cpus().and_then(checked) {
        Ok(allowed) => allowed,
        Err(error) => {
            log::warn(format_args!(
                "shards are not pinned to processors: sched_setaffinity or sched_getaffinity is \
                 refused ({error})"
            ));
            return Ok(Vec::new());
        }
    };
    if config.shards <= allowed.len() {
        let pinned = if config.pin { config.shards } else { 0 };
        return Ok(allowed[..pinned].to_vec());
    }
    if config.oversubscribe {
        if config.shards > OVERSUBSCRIBED_MAX {
            return invalid(format!(
                "{} shards on {} processors: at most {OVERSUBSCRIBED_MAX} may be started",
                config.shards,
                allowed.len()
            ));
        }
        return Ok(Vec::new());
    }
    invalid(format!(
        "{} shards on {} processors: start at most {}, or call oversubscribe(true)",
        config.shards,
        allowed.len(),
        allowed.len()
    ))
}

fn warn_of_quota(config: &Config) {
    if let Some(quota) = affinity::cpu_quota()
        && quota < config.shards as f64
    {
        log::warn(format_args!(
            "{} shards share a quota of {quota} processors (cgroup); some will be stopped at times",
            config.shards
        ));
    }
}

/// Starts all shards on one driver; either all begin or none. The first is the calling thread.
fn run_on<F, Fut, T>(
    config: &Config,
    processors: &[usize],
    main: &F,
    failure: Failure<T>,
) -> Result<Outputs<T>, StartError>
where
    F: Fn(Shard) -> Fut + Send + Sync,
    Fut: Future<Output = T>,
    T: Send,
{
    let start = Start {
        config,
        pool: config.pool(),
        processors,
        main,
        failure,
        all: Mains::new(config.shards, config.on_shard_failure),
    };
    let _unpinned_again = affinity::Restore::of_this_thread();
    thread::scope(|scope| {
        let start = &start;
        let (built, is_built) = mpsc::channel();
        let mut threads = Vec::new();
        let mut begins = Vec::new();
        let mut failed = None;
        for id in 1..config.shards {
            let (begin, may_begin) = mpsc::channel::<Handles>();
            let built = built.clone();
            let run = move || {
                let runtime = start.build(id).map_err(|error| built.send((id, Err(error)))).ok()?;
                let _ = built.send((id, Ok(runtime.handle())));
                drop(built);
                // The sender is gone if another shard could not be started.
                Some(start.run(id, &runtime, may_begin.recv().ok()?))
            };
            match thread::Builder::new().name(format!("corering-{id}")).spawn_scoped(scope, run) {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    failed = Some(StartError::Other(error));
                    break;
                }
            }
            begins.push(begin);
        }
        drop(built);
        let first = start.build(0).map_err(|error| failed = Some(error)).ok();
        let mut handles = vec![first.as_ref().map(Runtime::handle)];
        handles.resize(config.shards, None);
        for (id, result) in is_built {
            match result {
                Ok(handle) => handles[id] = Some(handle),
                Err(error) => failed = Some(error),
            }
        }
        if let Some(error) = failed {
            drop(begins);
            return Err(error);
        }
        let first = first.expect("what could not be built has said why");
        let handles: Handles = handles.into_iter().flatten().collect();
        begins.into_iter().for_each(|begin| drop(begin.send(handles.clone())));
        let mut outputs = vec![start.run(0, &first, handles)];
        drop(first);
        for thread in threads {
            match thread.join() {
                Ok(output) => outputs.push(output.expect("every shard began")),
                Err(payload) => std::panic::resume_unwind(payload),
            }
        }
        Ok(Outputs { by_shard: outputs, failed: start.all.first_failed() })
    })
}

/// What the shards have returned, by number; `None` of those that another one has ended.
struct Outputs<T> {
    by_shard: Vec<Option<T>>,
    /// The first shard that has failed.
    failed: Option<usize>,
}

/// Those of all shards, by number.
type Handles = Arc<[Handle]>;

/// What every shard starts from.
struct Start<'a, F, T> {
    config: &'a Config,
    pool: Arc<Pool<Job>>,
    /// The processor of each shard; empty if they are not to be pinned.
    processors: &'a [usize],
    main: &'a F,
    failure: Failure<T>,
    all: Arc<Mains>,
}

/// Whether an output of a main future is a failure.
type Failure<T> = fn(&T) -> Option<&dyn fmt::Display>;

impl<F, T> Start<'_, F, T> {
    /// On the thread of the shard.
    fn build(&self, id: usize) -> Result<Runtime, StartError> {
        if let Some(&processor) = self.processors.get(id) {
            affinity::pin_to(processor).map_err(StartError::Other)?;
        }
        let backend = match self.config.driver {
            Driver::Epoll => Backend::Epoll,
            _ => self.config.open_ring().map_err(StartError::Refused)?,
        };
        Runtime::new(backend, self.config, self.pool.clone()).map_err(StartError::Other)
    }

    /// `None` if the main future was dropped since another shard has failed.
    fn run<Fut>(&self, id: usize, runtime: &Runtime, handles: Handles) -> Option<T>
    where
        F: Fn(Shard) -> Fut,
        Fut: Future<Output = T>,
    {
        let running = self.all.running(id);
        let shard = Shard { id, handles, driver: runtime.driver() };
        runtime.block_on(async move {
            let output = running.run(async { (self.main)(shard).await }, self.failure).await;
            // The others may still submit to this shard.
            running.until_all_have_ended().await;
            output
        })
    }
}
