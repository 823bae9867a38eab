//! A pool of threads: of each runtime there is one, for calls that would stop a shard, which all its shards
//! share; and programs have their own for closures that compute.
//!
//! A thread is created when a job comes and none is free, up to a bound, and ends when it has been
//! idle for a while. Jobs start in the order they came. The queue is unbounded, so that a shard is
//! never stopped by it; whoever queues jobs bounds their number, and may take one back that has not
//! started. The pool gives no results: a job reports its own. A panic in a job ends the job and nothing else.

use std::fmt;
use std::io;
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::sys::affinity::Cpus;
use crate::sys::signal_mask::{SignalMask, SignalsBlocked};
use crate::sys::{clock, fork};
use crate::util::linked_slab::{Key, LinkedSlab, List};
use crate::util::unwind::{drop_quietly, shield};

/// What a pool runs. A driver queues a plain struct and so allocates nothing for it.
pub(crate) trait Job: Send + 'static {
    /// Does the work, on a thread of the pool.
    fn run(self);

    /// Whether it is code of the user's, which may start processes and threads: they inherit the
    /// signal mask, and the pool's would keep SIGTERM from them.
    fn is_users(&self) -> bool {
        false
    }
}

impl Job for Box<dyn FnOnce() + Send> {
    fn run(self) {
        self();
    }

    fn is_users(&self) -> bool {
        true
    }
}

/// The bounds of a pool.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// How many threads there may be at once. Default 512: such threads wait in the kernel and cost
    /// little more than a stack, and with a low bound closures that wait for each other, as users
    /// write them, would wait forever. Zero counts as one.
    pub(crate) threads_max: usize,
    /// How long a thread stays without work. Default 10 s.
    pub(crate) keep_alive: Duration,
    /// Bytes of stack of a thread. Default: what the standard library gives its threads.
    pub(crate) stack_size: Option<usize>,
    /// What each thread is called. Without NUL. Default: "corering-pool".
    pub(crate) name: String,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            threads_max: 512,
            keep_alive: Duration::from_secs(10),
            stack_size: None,
            name: "corering-pool".to_owned(),
        }
    }
}

/// A pool of threads. Dropped, it takes no further part: jobs that run go on to their end, and jobs
/// that have not started are dropped.
pub(crate) struct Pool<J: Job> {
    shared: Arc<Shared<J>>,
    config: Config,
    /// Those of the thread that made the pool, before it was pinned. A shard that starts a thread of the
    /// pool is pinned, and the thread would inherit that.
    cpus: Arc<Cpus>,
    /// That of the thread that made the pool, for code of the user's.
    mask: SignalMask,
    fork_generation: u32,
}

/// Why a job was not queued, with the job.
pub(crate) struct Refused<J> {
    pub(crate) error: io::Error,
    pub(crate) job: J,
}

impl<J: Job> Pool<J> {
    /// A pool without threads.
    pub(crate) fn new(config: Config) -> Self {
        let state = State { queue: Queue::new(), threads: 0, running: 0, closed: false };
        let shared = Shared { state: Mutex::new(state), work: Condvar::new(), end: Condvar::new() };
        Pool {
            shared: Arc::new(shared),
            config,
            cpus: Arc::new(Cpus::of_this_thread_unpinned()),
            mask: SignalMask::of_this_thread(),
            fork_generation: fork::fork_generation(),
        }
    }

    /// Whether it is that of a process that this one was forked off: it has no threads here, and one of
    /// them may have held the lock at the fork.
    fn is_of_parent(&self) -> bool {
        fork::fork_generation() != self.fork_generation
    }

    /// Queues a job, and gives the key to take it back by. Fails if the pool was shut down, or if it has no
    /// thread and none can be created, or in a forked child.
    pub(crate) fn spawn(&self, job: J) -> Result<Key, Refused<J>> {
        if self.is_of_parent() {
            let error = "this pool belongs to the parent process; build another one after fork";
            return Err(Refused { error: io::Error::other(error), job });
        }
        let mut state = self.shared.lock();
        if state.closed {
            drop(state);
            return Err(Refused { error: io::Error::other("the thread pool was shut down"), job });
        }
        let key = state.queue.push(job);
        // Every thread that runs no job looks at the queue before it sleeps or ends, so such
        // threads are counted and not those that sleep: one that was woken but has not come to
        // take its job yet is not promised to a second job.
        if state.queue.len() <= state.threads - state.running {
            drop(state);
            self.shared.work.notify_one();
            return Ok(key);
        }
        if state.threads >= self.config.threads_max.max(1) {
            return Ok(key);
        }
        // The lock is held meanwhile, so that a failure takes back this job and no other.
        match self.create_thread() {
            Ok(()) => state.threads += 1,
            Err(error) if state.threads == 0 => {
                let job = state.queue.take(key).expect("the job was queued under this lock");
                drop(state);
                return Err(Refused { error, job });
            }
            // One of the threads that exist will come to the job.
            Err(_) => {}
        }
        Ok(key)
    }

    /// Takes a job back that has not started.
    pub(crate) fn take_back(&self, key: Key) -> Option<J> {
        if self.is_of_parent() { None } else { self.shared.lock().queue.take(key) }
    }

    /// How many threads there are, running or idle.
    pub(crate) fn threads(&self) -> usize {
        self.shared.lock().threads
    }

    /// How many jobs wait for a thread.
    pub(crate) fn queued(&self) -> usize {
        self.shared.lock().queue.len()
    }

    /// How many jobs run.
    pub(crate) fn running(&self) -> usize {
        self.shared.lock().running
    }

    /// Refuses further jobs, drops those that have not started, and waits until those that run have
    /// ended or the deadline, if there is one, has passed. Gives the number of jobs that still run.
    pub(crate) fn shutdown(&self, deadline: Option<Instant>) -> usize {
        self.shared.close();
        self.wait(deadline)
    }

    /// Refuses further jobs, waits until those that it has, the queued ones too, have ended or the
    /// deadline has passed, and drops those that have not started by then. Gives the number of jobs that
    /// still run.
    pub(crate) fn finish(&self, deadline: Option<Instant>) -> usize {
        self.refuse();
        let running = self.wait(deadline);
        self.shared.close();
        running
    }

    /// Refuses further jobs. Threads end when the queue is empty.
    pub(crate) fn refuse(&self) {
        self.shared.lock().closed = true;
        self.shared.work.notify_all();
    }

    fn wait(&self, deadline: Option<Instant>) -> usize {
        let mut state = self.shared.lock();
        while state.threads > 0 {
            let Some(deadline) = deadline else {
                state = self.shared.end.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = deadline.saturating_duration_since(clock::now());
            if left.is_zero() {
                break;
            }
            let waited = self.shared.end.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.running
    }

    fn create_thread(&self) -> io::Result<()> {
        let mut builder = thread::Builder::new().name(self.config.name.clone());
        if let Some(bytes) = self.config.stack_size {
            builder = builder.stack_size(bytes);
        }
        let (shared, keep_alive) = (Arc::clone(&self.shared), self.config.keep_alive);
        // The thread inherits the mask: a signal that the program waits for never ends here.
        let _blocked = SignalsBlocked::on_this_thread();
        let (cpus, mask) = (self.cpus.clone(), self.mask);
        let work = move || {
            cpus.give_to_this_thread();
            shared.work(keep_alive, mask);
        };
        // Neither the number nor the kind: whoever waits for a file would take them for the file's.
        builder.spawn(work).map(drop).map_err(|error| {
            io::Error::other(format!(
                "the thread pool has no thread and can start none: {error} (ulimit -u, pids.max of \
                 the cgroup, or clone3 refused by a seccomp profile)"
            ))
        })
    }
}

impl<J: Job> Drop for Pool<J> {
    fn drop(&mut self) {
        if !self.is_of_parent() {
            self.shared.close();
        }
    }
}

impl<J: Job> fmt::Debug for Pool<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (threads, queued) = (self.threads(), self.queued());
        let mut output = f.debug_struct("Pool");
        output.field("threads", &threads).field("queued", &queued).finish_non_exhaustive()
    }
}

impl<J> fmt::Debug for Refused<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refused").field("error", &self.error).finish_non_exhaustive()
    }
}

struct Shared<J> {
    state: Mutex<State<J>>,
    /// Signalled when a job was queued, and when the pool closes.
    work: Condvar,
    /// Signalled when a thread ends.
    end: Condvar,
}

struct State<J> {
    /// Jobs that have not started. Not empty only while there are threads.
    queue: Queue<J>,
    threads: usize,
    /// Threads that run a job; all others look at the queue before they sleep or end.
    running: usize,
    closed: bool,
}

/// Jobs, first in first out. Each can be taken from its place.
struct Queue<J> {
    jobs: LinkedSlab<J>,
    order: List,
}

impl<J> Queue<J> {
    const fn new() -> Self {
        Queue { jobs: LinkedSlab::new(), order: List::EMPTY }
    }

    fn push(&mut self, job: J) -> Key {
        let key = self.jobs.insert(job);
        self.jobs.push_back(&mut self.order, key);
        key
    }

    fn pop(&mut self) -> Option<J> {
        let key = self.jobs.pop_front(&mut self.order)?;
        self.jobs.remove(key)
    }

    /// The job of a key, unless it has left the queue.
    fn take(&mut self, key: Key) -> Option<J> {
        self.jobs.get(key)?;
        self.jobs.unlink(&mut self.order, key);
        self.jobs.remove(key)
    }

    fn len(&self) -> usize {
        self.jobs.len()
    }
}

impl<J: Job> Shared<J> {
    /// The life of one thread.
    fn work(&self, keep_alive: Duration, users_mask: SignalMask) {
        let mut state = self.lock();
        loop {
            while let Some(job) = state.queue.pop() {
                state.running += 1;
                drop(state);
                if job.is_users() {
                    let pools_mask = SignalMask::of_this_thread();
                    users_mask.give_to_this_thread();
                    shield(|| job.run());
                    pools_mask.give_to_this_thread();
                } else {
                    shield(|| job.run());
                }
                state = self.lock();
                state.running -= 1;
            }
            if state.closed {
                break;
            }
            let waited = self.work.wait_timeout(state, keep_alive);
            let (locked, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = locked;
            if timeout.timed_out() && state.queue.len() == 0 {
                break;
            }
        }
        state.threads -= 1;
        drop(state);
        self.end.notify_all();
    }

    fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let mut unstarted = mem::replace(&mut state.queue, Queue::new());
        drop(state);
        self.work.notify_all();
        while let Some(job) = unstarted.pop() {
            drop_quietly(job);
        }
    }

    /// No user code runs under the lock, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, State<J>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
