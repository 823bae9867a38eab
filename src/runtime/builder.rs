//! The configuration of a runtime.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::{Driver, Runtime, ShardFailure, Times, shards};
use crate::driver::{Backend, Job, Limits, ReceivePolicy};
use crate::sys::refusal::Refusal;
use crate::sys::ring::{KernelRing, Ring};
use crate::sys::{limits, log, setup};
use crate::task::{PanicHook, TaskPanic};
use crate::util::pool::{self, Pool};

/// The configuration of a runtime, with a default for everything.
///
/// [`build`](Self::build) makes a runtime of one shard on this thread; [`run`](Self::run) starts
/// several shards, each on a thread and a processor of its own.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build` or `run`"]
pub struct Builder {
    pub(super) config: Config,
}

#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(super) driver: Driver,
    pub(super) shards: usize,
    pub(super) on_shard_failure: ShardFailure,
    pub(super) oversubscribe: bool,
    pub(super) pin: bool,
    raise_descriptor_limit: bool,
    pub(super) ring_entries: u32,
    pub(super) reap_batch: u32,
    pub(super) blocking_threads: usize,
    pub(super) blocking_keep_alive: Duration,
    pub(crate) limits: Limits,
    pub(crate) times: Times,
    pub(super) on_panic: Option<PanicHook>,
}

/// What the kernel makes of more places in a submission queue.
const RING_ENTRIES_MAX: u32 = 32_768;

/// Bytes of a buffer group: far more than a shard can use, and still memory that a machine may have.
const GROUP_BYTES_MAX: u64 = 4 << 30;

impl Default for Builder {
    /// What [`Runtime::builder`] begins with.
    fn default() -> Self {
        Builder::new()
    }
}

impl Builder {
    pub(super) fn new() -> Self {
        let limits = Limits {
            group_buffers: 128,
            group_buffer_size: 16 * 1024,
            queued_buffers_max: 8,
            queued_accepts_max: 64,
            receive_policy: ReceivePolicy::Adaptive,
            linger: Duration::from_secs(5),
        };
        let times = Times { drain: Duration::ZERO, shutdown: Duration::from_secs(5) };
        let config = Config {
            driver: Driver::Auto,
            shards: 1,
            on_shard_failure: ShardFailure::default(),
            oversubscribe: false,
            pin: true,
            raise_descriptor_limit: true,
            ring_entries: 256,
            reap_batch: 1,
            blocking_threads: 512,
            blocking_keep_alive: Duration::from_secs(10),
            limits,
            times,
            on_panic: None,
        };
        Builder { config }
    }

    /// The driver. Default: [`Driver::Auto`].
    pub fn driver(mut self, driver: Driver) -> Self {
        self.config.driver = driver;
        self
    }

    /// How many shards [`run`](Self::run) starts. [`build`](Self::build) makes one, and refuses
    /// another number. Default: 1.
    pub fn shards(mut self, count: usize) -> Self {
        self.config.shards = count;
        self
    }

    /// What the other shards do when the main future of one panics, or returns an error to
    /// [`try_run`](Self::try_run). Default: [`ShardFailure::GoOn`].
    pub fn on_shard_failure(mut self, choice: ShardFailure) -> Self {
        self.config.on_shard_failure = choice;
        self
    }

    /// Allows more shards than this process has processors, up to 1,024; they are then not pinned.
    /// Default: false.
    pub fn oversubscribe(mut self, allowed: bool) -> Self {
        self.config.oversubscribe = allowed;
        self
    }

    /// Whether [`run`](Self::run) pins each shard to a processor. Default: true.
    ///
    /// Threads and processes that are started on a pinned shard inherit its one processor: the
    /// system has no way to have it otherwise, except for a process that is made by `fork(2)`, which
    /// gets the program's processors back. [`std::process::Command`] does without fork where it
    /// can. Start them by [`process::Command`](crate::process), or inside
    /// [`spawn_blocking`](crate::spawn_blocking): there they get the processors and the signal mask of
    /// the thread that built the runtime.
    pub fn pin(mut self, pinned: bool) -> Self {
        self.config.pin = pinned;
        self
    }

    /// Whether the process's soft limit of descriptors is raised to its hard limit. Default: true.
    ///
    /// The limit is the process's, so it stays raised when the runtime has ended. What
    /// [`process::Command`](crate::process) starts gets the one that was found; other processes that the
    /// program starts inherit the raised one. Say false where one of those uses `select(2)`, which cannot
    /// name descriptors from 1,024 on, or closes every descriptor that it may have, and where processes
    /// are started so often that their start by fork costs too much: without a limit to put back, the
    /// standard library does without fork.
    pub fn raise_descriptor_limit(mut self, raised: bool) -> Self {
        self.config.raise_descriptor_limit = raised;
        self
    }

    /// Places in the submission queue of each ring, rounded up to a power of two, at most 32,768;
    /// the completion queue has four times as many. More operations than that may be in flight.
    /// Default: 256.
    pub fn ring_entries(mut self, entries: u32) -> Self {
        self.config.ring_entries = entries.min(RING_ENTRIES_MAX);
        self
    }

    /// Up to how many completions one wait should gather (kernel 6.12; earlier ones ignore it).
    ///
    /// From 6.13 on the kernel returns about 20 at a time; above that, it is asked for more, with
    /// a minimum wait of 1 µs so that it never waits for the last of them. Default: 1.
    pub fn reap_batch(mut self, completions: u32) -> Self {
        self.config.reap_batch = completions;
        self
    }

    /// How streams of the ring driver receive and send. Default: [`ReceivePolicy::Adaptive`].
    pub fn receive_policy(mut self, policy: ReceivePolicy) -> Self {
        self.config.limits.receive_policy = policy;
        self
    }

    /// The buffers of each shard from which the kernel picks when data comes (kernel 5.19): a power
    /// of two, at most 32,768, and the bytes in each, together at most 4 GiB. They are allocated
    /// with the first receive; without so much memory, streams receive by notification. Default:
    /// 128 of 16 KiB.
    pub fn buffer_group(mut self, count: u16, bytes: u32) -> Self {
        self.config.limits.group_buffers = count;
        self.config.limits.group_buffer_size = bytes;
        self
    }

    /// How many received buffers may wait for a stream's reader, before receiving pauses.
    /// Default: 8.
    pub fn max_queued_buffers(mut self, count: u32) -> Self {
        self.config.limits.queued_buffers_max = count.max(1);
        self
    }

    /// How many connections may wait for `accept`, before accepting pauses and the kernel's
    /// backlog fills. A burst may go beyond it, except with 1, which accepts one by one: for
    /// programs with few descriptors. Default: 64.
    pub fn max_queued_accepts(mut self, count: u32) -> Self {
        self.config.limits.queued_accepts_max = count.max(1);
        self
    }

    /// Threads for blocking calls, of all shards together. They start when there is work and end
    /// when there is none for [a while](Self::blocking_keep_alive). Default: 512.
    pub fn blocking_threads(mut self, count: usize) -> Self {
        self.config.blocking_threads = count;
        self
    }

    /// How long a thread for blocking calls waits for more work before it ends. Default: 10 seconds.
    pub fn blocking_keep_alive(mut self, limit: Duration) -> Self {
        self.config.blocking_keep_alive = limit;
        self
    }

    /// How long tasks may go on when the main future has ended; `Duration::MAX` is until all have
    /// ended. Default: not at all.
    pub fn drain_timeout(mut self, limit: Duration) -> Self {
        self.config.times.drain = limit;
        self
    }

    /// How long the end of a runtime waits for the kernel to give back what is in flight, and
    /// [`Runtime::shut_down`] for blocking closures; `Duration::MAX` is for ever. What is held longer
    /// is leaked, and a future that still waits for it panics when it is polled in a later runtime,
    /// since it has no buffer to give back. Default: 5 seconds.
    pub fn shutdown_timeout(mut self, limit: Duration) -> Self {
        self.config.times.shutdown = limit;
        self
    }

    /// How long the shard goes on to send what `poll_write` of a stream had taken that was dropped, and
    /// how long the end of a runtime waits for that; `Duration::MAX` is for ever. Then the connection is
    /// closed, and what was not sent is counted as
    /// [`unsent_bytes`](crate::Metrics::unsent_bytes). Default: 5 seconds.
    pub fn linger(mut self, limit: Duration) -> Self {
        self.config.limits.linger = limit;
        self
    }

    /// Calls a function when a task panics, on its shard, before the handle of the task reports it: to
    /// count, or to log what nobody awaits. The panic hook of the process has run by then.
    ///
    /// The function runs within the task that panics. What it panics with itself is dropped. Main
    /// futures and closures of [`spawn_blocking`](crate::spawn_blocking) are no tasks, and are reported to
    /// those who await them alone.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::atomic::{AtomicU32, Ordering};
    ///
    /// static PANICS: AtomicU32 = AtomicU32::new(0);
    ///
    /// let builder = corering::Runtime::builder().on_panic(|panic| {
    ///     assert_eq!(panic.message(), Some("no luck"));
    ///     PANICS.fetch_add(1, Ordering::Relaxed);
    /// });
    /// builder.build()?.block_on(async {
    ///     let task = corering::spawn(async { panic!("no luck") });
    ///     assert!(task.await.unwrap_err().is_panic());
    /// });
    /// assert_eq!(PANICS.load(Ordering::Relaxed), 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn on_panic(mut self, hook: impl Fn(&TaskPanic<'_>) + Send + Sync + 'static) -> Self {
        self.config.on_panic = Some(PanicHook::new(hook));
        self
    }

    /// Builds a runtime of one shard, which belongs to the calling thread. Several are started by
    /// [`run`](Self::run).
    ///
    /// Raises the process's soft limit of descriptors to its hard limit, if it is lower, unless
    /// [`raise_descriptor_limit(false)`](Self::raise_descriptor_limit) was said.
    ///
    /// # Errors
    ///
    /// `CORERING_DRIVER` names no driver; the driver was demanded and is refused (the text says
    /// why, and what to do); a size is out of its range; [`shards`](Self::shards) asked for another
    /// number than one; or descriptors have run out.
    pub fn build(self) -> io::Result<Runtime> {
        let config = self.checked()?;
        config.check_single()?;
        let pool = config.pool();
        match config.driver {
            Driver::Epoll => Runtime::new(Backend::Epoll, &config, pool),
            Driver::Uring => {
                Runtime::new(config.open_ring().map_err(io::Error::from)?, &config, pool)
            }
            Driver::Auto => match config.open_ring() {
                Ok(ring) => Runtime::new(ring, &config, pool),
                Err(refusal) => {
                    fall_back(&refusal);
                    Runtime::new(Backend::Epoll, &config, pool)
                }
            },
        }
    }

    /// The configuration, once it is known to make sense.
    pub(super) fn checked(self) -> io::Result<Config> {
        let mut config = self.config;
        config.driver = config.driver.with_environment()?;
        let Limits { group_buffers, group_buffer_size, .. } = config.limits;
        let group_bytes = u64::from(group_buffers) * u64::from(group_buffer_size);
        if !group_buffers.is_power_of_two()
            || group_buffers > 1 << 15
            || !(1..=GROUP_BYTES_MAX).contains(&group_bytes)
        {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "buffer_group({group_buffers}, {group_buffer_size}): the count must be a power \
                     of two up to 32768, the size at least one byte, and all buffers together at \
                     most {GROUP_BYTES_MAX} bytes"
                ),
            ));
        }
        // A limit that cannot be raised stays as it is; running out of descriptors is handled
        // where it happens.
        if config.raise_descriptor_limit {
            let _ = limits::raise_descriptor_limit();
        }
        Ok(config)
    }
}

impl Config {
    /// Fails unless one shard was asked for, with what `run` says where it would fail, too.
    fn check_single(&self) -> io::Result<()> {
        if self.shards == 1 {
            return Ok(());
        }
        shards::processors(self)?;
        let text = format!(
            "build() makes a runtime of one shard, and {} were asked for: start them with run(..)",
            self.shards
        );
        Err(io::Error::new(io::ErrorKind::InvalidInput, text))
    }

    pub(super) fn pool(&self) -> Arc<Pool<Job>> {
        let (threads_max, keep_alive) = (self.blocking_threads, self.blocking_keep_alive);
        Arc::new(Pool::new(pool::Config { threads_max, keep_alive, ..pool::Config::default() }))
    }

    pub(super) fn open_ring(&self) -> Result<Backend, Refusal> {
        let (ring, report) = setup::open_ring(self.ring_entries)?;
        if report.entries < self.ring_entries {
            log::warn(format_args!(
                "locked memory is short (RLIMIT_MEMLOCK): a ring of {} entries instead of {}",
                report.entries, self.ring_entries
            ));
        }
        let mut ring = Ring::Kernel(KernelRing::new(ring));
        ring.set_reap_batch(self.reap_batch);
        Ok(Backend::Uring { ring, support: report.support })
    }
}

/// The one line that says why a runtime that could choose does not run on io_uring.
pub(super) fn fall_back(refusal: &Refusal) {
    log::warn(format_args!("{refusal}; running on epoll"));
}

#[cfg(test)]
mod tests {
    use io_uring::opcode;

    use super::*;
    use crate::op::test_files::Folder;
    use crate::sys::setup::tests::uring_is_tested;
    use crate::{fs, net};

    #[test]
    fn pool_has_what_the_ring_lacks_or_is_refused() {
        if !uring_is_tested() {
            return;
        }
        let config = Builder::new().checked().expect("the defaults make sense");
        let backend = config.open_ring().expect("io_uring is allowed");
        let Backend::Uring { ring, support } = backend else { unreachable!("a ring was opened") };
        let support = support.without(&[
            opcode::Fsync::CODE,
            opcode::SyncFileRange::CODE,
            opcode::Fallocate::CODE,
            opcode::Fadvise::CODE,
            opcode::OpenAt::CODE,
            opcode::OpenAt2::CODE,
            opcode::Statx::CODE,
            opcode::RenameAt::CODE,
            opcode::UnlinkAt::CODE,
            opcode::MkDirAt::CODE,
            opcode::SymlinkAt::CODE,
            opcode::LinkAt::CODE,
            opcode::Socket::CODE,
            opcode::Ftruncate::CODE,
        ]);
        let backend = Backend::Uring { ring, support };
        let runtime = Runtime::new(backend, &config, config.pool()).expect("nothing is short");
        let folder = Folder::new();
        let done: io::Result<()> = runtime.block_on(async {
            let below = folder.join("below");
            fs::create_dir(&below).await?;
            let file = fs::File::create(below.join("file")).await?;
            file.write_all_at("content", 0).await?;
            file.allocate(0, 100).await?;
            file.set_len(7).await?;
            file.sync_all().await?;
            file.prefetch(0, 0).await?;
            assert_eq!(file.metadata().await?.len(), 7);
            fs::rename(below.join("file"), below.join("renamed")).await?;
            let mut within = fs::OpenOptions::new();
            within.read(true).resolve_beneath(&fs::File::open(&folder).await?);
            let file = within.open("below/../below/renamed").await?;
            assert_eq!(file.read_to_end().await?, b"content");
            fs::hard_link(below.join("renamed"), below.join("link")).await?;
            fs::symlink("renamed", below.join("symlink")).await?;
            fs::remove_file(below.join("link")).await?;
            fs::remove_file(below.join("symlink")).await?;
            fs::remove_file(below.join("renamed")).await?;
            fs::remove_dir(below).await?;
            net::UdpSocket::bind("127.0.0.1:0").await.map(drop)
        });
        done.expect("all of it works");
        let jobs = runtime.metrics().pool_jobs;
        assert!(jobs >= 11, "{jobs} went to the pool");
    }
}
