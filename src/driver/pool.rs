//! Work for the blocking pool, and how its results come back to the shard.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::{io, mem};

use crate::sys::call::SysCall;
use crate::sys::ring::Cqe;
use crate::sys::signal_mask::take_signals_of_writes;
use crate::util::linked_slab::Key;
use crate::util::mailbox::Mailbox;
use crate::util::pool::{self, Pool};

/// What a thread of the pool runs.
pub(crate) enum Job {
    /// The system call of an operation: plain numbers, nothing that belongs to the shard.
    Call(Call),
    /// A closure of the user's.
    Closure(Box<dyn FnOnce() + Send>),
}

/// The pool as a shard sees it: its results come back here.
pub(crate) struct Threads {
    pool: Arc<Pool<Job>>,
    finished: Arc<Finished>,
}

/// A system call of an operation whose future, or slot, keeps everything alive that it points at.
pub(crate) struct Call {
    call: SysCall,
    user_data: u64,
    finished: Arc<Finished>,
    ran: bool,
}

/// Results that wait for their shard.
struct Finished {
    results: Mutex<Vec<Cqe>>,
    /// There may be results.
    waiting: AtomicBool,
    mailbox: Arc<Mailbox>,
}

impl Threads {
    pub(super) fn new(pool: Arc<Pool<Job>>, mailbox: Arc<Mailbox>) -> Self {
        Threads { pool, finished: Finished::new(mailbox) }
    }

    /// Has a thread make a call, whose result comes back under the key of a slot. If none can be had
    /// a result comes all the same, and is to be ignored.
    ///
    /// # Safety
    ///
    /// What the call points at must stay valid until the result has been taken.
    pub(super) unsafe fn call(&self, call: SysCall, slot: Key) -> io::Result<()> {
        let finished = self.finished.clone();
        let call = Call { call, user_data: slot.to_bits(), finished, ran: false };
        self.spawn(Job::Call(call))
    }

    /// Runs a closure on a thread.
    ///
    /// # Errors
    ///
    /// If no thread can be had.
    pub(crate) fn run(&self, closure: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.spawn(Job::Closure(Box::new(closure)))
    }

    fn spawn(&self, job: Job) -> io::Result<()> {
        self.pool.spawn(job).map(drop).map_err(|refused| {
            drop(refused.job);
            refused.error
        })
    }

    /// Whether there may be results to take. To be asked before a wait: the mailbox's word of them
    /// may have been taken as one of something else, by the loop, since they were last looked for.
    #[inline(always)]
    pub(super) fn has_results(&self) -> bool {
        self.finished.waiting.load(Ordering::Acquire)
    }

    /// Moves all results to `into`, which is empty; the two vectors swap, so neither grows for long.
    #[inline(always)]
    pub(super) fn take_results(&self, into: &mut Vec<Cqe>) {
        if self.has_results() {
            self.finished.take(into);
        }
    }
}

impl Call {
    fn finish(&mut self, result: i32) {
        self.ran = true;
        self.finished.push(Cqe { user_data: self.user_data, result, flags: 0 });
    }
}

impl pool::Job for Job {
    fn run(self) {
        match self {
            Job::Call(mut call) => {
                // SAFETY: `Call::new` was promised that the pointers are valid until the result.
                let result = unsafe { call.call.run_old_or_new() };
                if matches!(-result, libc::EPIPE | libc::EFBIG) {
                    // A closure that runs here later has the program's mask, and would get it.
                    take_signals_of_writes();
                }
                call.finish(result);
            }
            Job::Closure(closure) => closure(),
        }
    }

    fn is_users(&self) -> bool {
        matches!(self, Job::Closure(_))
    }
}

impl Drop for Call {
    /// A job that is dropped before it ran has a result too, or its slot would never retire.
    fn drop(&mut self) {
        if !self.ran {
            self.finish(-libc::ECANCELED);
        }
    }
}

impl Finished {
    fn new(mailbox: Arc<Mailbox>) -> Arc<Self> {
        Arc::new(Finished {
            results: Mutex::new(Vec::new()),
            waiting: AtomicBool::new(false),
            mailbox,
        })
    }

    fn push(&self, cqe: Cqe) {
        self.results.lock().unwrap_or_else(PoisonError::into_inner).push(cqe);
        self.waiting.store(true, Ordering::Release);
        self.mailbox.notify();
    }

    fn take(&self, into: &mut Vec<Cqe>) {
        debug_assert!(into.is_empty());
        // Cleared before the results are taken: one that comes in between sets it again.
        self.waiting.store(false, Ordering::Relaxed);
        mem::swap(&mut *self.results.lock().unwrap_or_else(PoisonError::into_inner), into);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::driver::{Backend, Driver, Limits, Parts, ReceivePolicy};
    use crate::util::pool::{Config, Pool};

    #[test]
    fn a_result_is_taken_before_a_wait_though_the_word_of_it_was_taken_for_another() {
        let mailbox = Mailbox::new().expect("a descriptor is free");
        let limits = Limits {
            group_buffers: 1,
            group_buffer_size: 1,
            queued_buffers_max: 1,
            queued_accepts_max: 1,
            receive_policy: ReceivePolicy::Adaptive,
            linger: std::time::Duration::ZERO,
        };
        let pool = Arc::new(Pool::new(Config::default()));
        let parts = Parts { backend: Backend::Epoll, mailbox: mailbox.clone(), pool, limits };
        let driver = Driver::new(parts).expect("epoll is everywhere");
        // The first wait would tell at once that the doorbell can be written.
        driver.turn(false);
        // A result that belongs to no slot is counted, and that is seen below.
        driver.pool.finished.push(Cqe { user_data: 1, result: 0, flags: 0 });
        // As the loop does, which asks whether its main future was woken from elsewhere.
        assert!(mailbox.take_notified());
        driver.turn(true);
        assert_eq!(driver.metrics().unknown_completions, 1);
    }
}
