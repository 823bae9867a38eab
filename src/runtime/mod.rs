//! Layer 5: the loop of a shard, its configuration, and several shards of one program.
//!
//! It joins the scheduler, which knows nothing of I/O, with the driver, which knows nothing of
//! tasks. Read `block_on` in this file first: it is the loop. Then `builder.rs` and `shards.rs`.

#![forbid(unsafe_code)]

mod across;
mod blocking;
mod builder;
mod choice;
mod handle;
mod group;
mod mains;
mod shards;
mod thread_pool;
#[cfg(feature = "sim")]
pub mod sim;
pub mod test_support;

pub use across::ShardError;
pub(crate) use blocking::try_spawn_blocking;
pub use blocking::{BlockingHandle, spawn_blocking};
pub use builder::Builder;
pub use choice::Driver;
pub use handle::{Handle, RemoteHandle};
pub use mains::ShardFailure;
pub use shards::Shard;
pub use thread_pool::{PoolHandle, ThreadPool, ThreadPoolBuilder};

use std::cell::RefCell;
use std::future::Future;
use std::io::{self, Write};
use std::pin::pin;
use std::process;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::driver::{self, Backend, Job, Metrics, Parts};
use crate::sys::{clock, log, signal};
use crate::task::{self, Allowance, Scheduler};
use crate::util::budget;
use crate::util::mailbox::{Mailbox, Message};
use crate::util::pool::Pool;
use crate::util::unwind::shield;

/// A runtime of one shard, on the thread that built it: a driver, an executor, timers and buffers.
///
/// Dropping it cancels all tasks, cancels what is in flight and waits for the kernel to give
/// everything back; see [`shut_down`](Self::shut_down).
///
/// # What outlives it
///
/// A stream, a listener or a socket works in a later runtime, with what it had queued. What
/// waits to receive from a stream or to accept goes on there, and a timer moves over; any other future
/// that waited when its runtime ended fails with `ECANCELED` when it is polled in a later one, and
/// the handle of a task says "cancelled". Used in another runtime while the first
/// one lives, what is under way in the first fails with an error that says what to do: a stream
/// moves over by `detach`.
pub struct Runtime {
    scheduler: Rc<Scheduler>,
    driver: Rc<driver::Driver>,
    handle: Handle,
    pool: Arc<Pool<Job>>,
    messages: RefCell<Vec<Message>>,
    times: Times,
    /// Already shut down.
    over: bool,
}

/// How long the end of a runtime may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// For tasks that run on when the main future has ended.
    pub(crate) drain: Duration,
    /// For the kernel, to give back what is in flight.
    pub(crate) shutdown: Duration,
}

/// What was left when a runtime ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Tasks that had not ended by themselves and were dropped.
    pub cancelled_tasks: usize,
    /// Operations that the kernel, or a thread of the pool, still held at the deadline. Their
    /// memory was leaked, since it may yet be written to.
    pub leaked_operations: usize,
    /// Closures of `spawn_blocking` that still run. They go on to their end, unobserved.
    pub running_closures: usize,
}

impl Runtime {
    /// Begins the configuration of a runtime.
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(crate) fn new(
        backend: Backend,
        config: &builder::Config,
        pool: Arc<Pool<Job>>,
    ) -> io::Result<Self> {
        let mailbox = Mailbox::new()?;
        let parts =
            Parts { backend, mailbox: mailbox.clone(), pool: pool.clone(), limits: config.limits };
        Ok(Runtime {
            driver: driver::Driver::new(parts)?,
            scheduler: Scheduler::new(mailbox.clone(), config.on_panic.clone()),
            handle: Handle::of(mailbox),
            pool,
            messages: RefCell::default(),
            times: config.times,
            over: false,
        })
    }

    /// Runs a future to its end, and with it every task that it spawns.
    ///
    /// Tasks that have not ended stay, and go on in the next `block_on`.
    ///
    /// # Panics
    ///
    /// If called from within a runtime on the same thread, if the future panics, or if the ring
    /// cannot be used any more (its descriptor was closed behind the runtime's back).
    ///
    /// # Examples
    ///
    /// ```
    /// let runtime = corering::Runtime::builder().build()?;
    /// assert_eq!(runtime.block_on(async { 6 * 7 }), 42);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        assert!(
            !driver::is_running(),
            "block_on inside a corering runtime: await the future, or spawn a task for it"
        );
        let mut future = pin!(task::in_this_context(future));
        let _scheduler = self.scheduler.enter();
        let _driver = self.driver.enter();
        let waker = self.scheduler.root_waker();
        let mut cx = Context::from_waker(&waker);
        let mut woken = true;
        loop {
            let mut left = Allowance::of_a_round();
            loop {
                let mut yielded = false;
                if woken {
                    budget::begin_poll();
                    if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
                        self.driver.submit_staged();
                        return output;
                    }
                    left.take(1, budget::taken());
                    yielded = self.scheduler.take_root_wake_from_here();
                }
                self.run_tasks(&mut left);
                woken = self.scheduler.take_root_wake_from_here() | yielded;
                // Woken by a task, it goes on in the same round: to spawn a task and to await it is
                // not worth a visit to the kernel. What was staged is, and what woke itself has
                // asked for it.
                if !woken || yielded || left.is_spent() || self.driver.has_staged() {
                    break;
                }
            }
            woken = self.visit(woken, true);
        }
    }

    /// Runs ready tasks, as far as the round's allowance goes.
    fn run_tasks(&self, left: &mut Allowance) {
        let polls = self.scheduler.run(left);
        let counted = &self.driver.counters.polls;
        counted.set(counted.get() + polls);
    }

    /// The end of a round: timers, messages, and a visit to the kernel, which waits if there is
    /// nothing else to do, and somebody to wait for: the main future, or a task. Returns whether the
    /// main future was woken.
    fn visit(&self, woken: bool, main_runs: bool) -> bool {
        self.driver.fire_timers();
        signal::deliver();
        self.scheduler.receive_foreign_wakes();
        self.run_messages();
        let woken = self.scheduler.take_root_wake() || woken;
        let idle = !woken && !self.scheduler.has_ready();
        self.driver.turn(idle && (main_runs || self.scheduler.live_tasks() > 0));
        self.scheduler.take_root_wake() || woken
    }

    fn run_messages(&self) {
        let mut messages = self.messages.take();
        self.handle.mailbox().take_messages(&mut messages);
        for message in messages.drain(..) {
            shield(message);
        }
        self.messages.replace(messages);
    }

    /// The driver that runs: [`Driver::Uring`] or [`Driver::Epoll`].
    pub fn driver(&self) -> Driver {
        Driver::of(&self.driver)
    }

    /// What this shard has counted, and what it holds now.
    pub fn metrics(&self) -> Metrics {
        self.driver.metrics()
    }

    /// The way into this runtime from other threads.
    ///
    /// # Examples
    ///
    /// ```
    /// let runtime = corering::Runtime::builder().build()?;
    /// let task = runtime.handle().spawn(|| async { 6 * 7 });
    /// runtime.block_on(async { assert_eq!(task.await.unwrap(), 42) });
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Ends the runtime: lets tasks go on for as long as `Builder::drain_timeout` says, drops the
    /// others, cancels what is in flight, waits for the kernel until `Builder::shutdown_timeout` is
    /// over, and only then frees. What the kernel still holds is leaked and reported.
    pub fn shut_down(mut self) -> ShutdownReport {
        self.end(self.times.shutdown)
    }

    fn end(&mut self, patience_with_closures: Duration) -> ShutdownReport {
        self.over = true;
        if self.driver.is_of_parent() {
            return self.leave_to_parent();
        }
        let scheduler = self.scheduler.clone();
        let _scheduler = scheduler.enter();
        let _driver = self.driver.enter();
        self.drain();
        let cancelled_tasks = self.scheduler.live_tasks();
        self.scheduler.cancel_all();
        self.driver.linger();
        let leaked_operations = self.driver.shut_down(self.times.shutdown);
        self.handle.mailbox().close();
        self.scheduler.receive_foreign_wakes();
        // Other shards may still use the pool. The last one, whose driver and self are the only
        // ones left, ends it.
        let running_closures = match Arc::strong_count(&self.pool) {
            2 => self.pool.shutdown(clock::now().checked_add(patience_with_closures)),
            _ => 0,
        };
        ShutdownReport { cancelled_tasks, leaked_operations, running_closures }
    }

    /// The end in a forked child: its copies of the tasks are dropped, and nothing is waited for.
    fn leave_to_parent(&self) -> ShutdownReport {
        let _scheduler = self.scheduler.enter();
        let _driver = self.driver.enter();
        let cancelled_tasks = self.scheduler.live_tasks();
        self.scheduler.cancel_all();
        self.driver.shut_down(Duration::ZERO);
        // A thread of the parent's may have held their locks at the fork, and is not here to open
        // them again. The pool has no threads here.
        std::mem::forget((self.scheduler.clone(), self.pool.clone()));
        ShutdownReport { cancelled_tasks, ..ShutdownReport::default() }
    }

    /// Lets the tasks go on until all have ended or their time is over.
    fn drain(&self) {
        if self.times.drain.is_zero() || self.scheduler.live_tasks() == 0 {
            return;
        }
        // Beyond what the clock can say is never.
        let deadline = clock::now().checked_add(self.times.drain);
        let waker = self.scheduler.root_waker();
        let over = deadline.map(|deadline| self.driver.timers.insert(deadline, waker));
        let is_over = || deadline.is_some_and(|deadline| clock::now() >= deadline);
        while self.scheduler.live_tasks() > 0 && !is_over() {
            self.run_tasks(&mut Allowance::of_a_round());
            self.visit(false, false);
        }
        if let Some(over) = over {
            self.driver.timers.remove(over);
        }
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        // A closure may wait for what never comes, a line from a terminal for instance.
        let report = self.end(Duration::ZERO);
        if report.leaked_operations > 0 {
            log::warn(format_args!(
                "{} operations had not ended {:?} after their runtime; their memory is leaked",
                report.leaked_operations, self.times.shutdown
            ));
        }
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").field("driver", &self.driver()).finish_non_exhaustive()
    }
}

/// Runs a future to its end on a runtime of its own, with the default configuration.
///
/// # Panics
///
/// As [`Runtime::block_on`], and if no runtime can be built, with the reason; [`Builder::build`]
/// returns it instead.
///
/// # Examples
///
/// ```
/// let sum = corering::block_on(async {
///     let task = corering::spawn(async { 40 });
///     task.await.unwrap() + 2
/// });
/// assert_eq!(sum, 42);
/// ```
pub fn block_on<F: Future>(future: F) -> F::Output {
    match Runtime::builder().build() {
        Ok(runtime) => runtime.block_on(future),
        Err(error) => panic!("no corering runtime can be started: {error}"),
    }
}

/// What `#[corering::main]` expands to.
#[doc(hidden)]
pub fn run_main<M: FnOnce() -> F, F: Future>(driver: Driver, main: M) -> F::Output {
    match Runtime::builder().driver(driver).build() {
        Ok(runtime) => runtime.block_on(main()),
        Err(error) => {
            // A closed standard error is no reason to panic.
            let _ = writeln!(io::stderr(), "{error}");
            process::exit(1)
        }
    }
}

/// What the shard of the calling task has counted, and what it holds now.
///
/// # Panics
///
/// Outside a runtime.
pub fn metrics() -> Metrics {
    match driver::current() {
        Ok(driver) => driver.metrics(),
        Err(error) => panic!("{error}"),
    }
}
