//! How many workers a pool has, and what limits them.

use std::io;
use std::num::NonZero;
use std::time::Duration;

use super::functions::Functions;
use super::{Pool, worker};
use crate::sys::affinity::parallelism;

/// What can be set of a [`Pool`], from [`Pool::builder`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use corering::process::{self, CallError, Functions, Pool, functions};
///
/// const FUNCTIONS: Functions = functions![forever];
///
/// fn forever((): ()) {
///     loop {
///         std::hint::spin_loop();
///     }
/// }
///
/// fn main() -> std::io::Result<()> {
///     process::worker(FUNCTIONS);
///     corering::block_on(async {
///         let pool = Pool::builder(FUNCTIONS)
///             .workers(1)
///             .time_limit(Duration::from_millis(50))
///             .memory_limit(1 << 30)
///             .build()?;
///         assert!(matches!(pool.call(forever, ()).await, Err(CallError::TimedOut)));
///         Ok(())
///     })
/// }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct PoolBuilder {
    functions: Functions,
    pub(super) config: Config,
}

#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) workers: usize,
    pub(super) time_limit: Option<Duration>,
    pub(super) start_limit: Duration,
    pub(super) memory_limit: Option<u64>,
    pub(super) message_limit: u32,
    pub(super) calls_max: Option<NonZero<u64>>,
}

/// The default of [`PoolBuilder::start_limit`].
const START_LIMIT: Duration = Duration::from_secs(30);
/// The default of [`PoolBuilder::message_limit`].
const MESSAGE_LIMIT: u32 = 1 << 30;

impl PoolBuilder {
    pub(super) fn new(functions: Functions) -> Self {
        let config = Config {
            workers: parallelism(),
            time_limit: None,
            start_limit: START_LIMIT,
            memory_limit: None,
            message_limit: MESSAGE_LIMIT,
            calls_max: None,
        };
        PoolBuilder { functions, config }
    }

    /// How many workers there are at most, and so how many calls run at a time. The default is the number
    /// of processors that the program may use.
    ///
    /// # Panics
    ///
    /// If it is 0, or more than a pool can have.
    pub fn workers(mut self, count: usize) -> Self {
        assert!(count > 0, "a pool without workers would never answer: it needs at least one");
        self.config.workers = count;
        self
    }

    /// How long a function may run. A worker whose function takes longer is killed, and the call fails
    /// with [`CallError::TimedOut`](super::CallError::TimedOut). The time in which a call waits for a
    /// worker does not count. By default there is no limit.
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.config.time_limit = Some(limit);
        self
    }

    /// How many bytes of address space a worker may have (`RLIMIT_AS`), which is more than it uses:
    /// the program itself counts, and so do its libraries and stacks. A function that needs more aborts
    /// its worker, as a program without memory does. By default there is no limit of the pool's.
    pub fn memory_limit(mut self, bytes: u64) -> Self {
        self.config.memory_limit = Some(bytes);
        self
    }

    /// How long a worker may take from its start until it can serve. The default is 30 s.
    pub fn start_limit(mut self, limit: Duration) -> Self {
        self.config.start_limit = limit;
        self
    }

    /// How many bytes a request or an answer may have, up to 4 GiB. The default is 1 GiB.
    pub fn message_limit(mut self, bytes: u32) -> Self {
        self.config.message_limit = bytes;
        self
    }

    /// After how many calls a worker is replaced by a new one, which has none of what functions left
    /// behind. By default it never is.
    pub fn max_calls_per_worker(mut self, count: NonZero<u64>) -> Self {
        self.config.calls_max = Some(count);
        self
    }

    /// Makes the pool. Workers are started as calls need them, or by [`Pool::warm_up`].
    ///
    /// # Errors
    ///
    /// If this process is itself a worker, or has no descriptor left (`EMFILE`).
    pub fn build(self) -> io::Result<Pool> {
        worker::check_parent()?;
        Pool::with(self.functions, self.config)
    }
}
