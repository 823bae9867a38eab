//! The driver of one shard: its parts, and what it takes all of them for: a round, and the end.

use std::cell::Cell;
use std::io;
use std::os::fd::RawFd;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Poll, Waker, ready};
use std::time::{Duration, Instant};

use super::flight::{Backend, Capabilities, Flight, Round};
use super::limits::Limits;
use super::memory::Memory;
use super::metrics::{Counters, Metrics, count};
use super::operation::Call;
use super::pool::{Job, Threads};
use super::ready::{Ready, Watcher};
use super::standing::{Standing, elsewhere, nowhere};
use super::timers::Timers;
use super::{CutBy, SharedFd};
use crate::buf::BufferGroup;
use crate::sys::ring::Wait;
use crate::sys::signal_mask;
use crate::sys::{clock, fork};
use crate::util::budget::Toll;
use crate::util::current::{Current, Entered, Pointer};
use crate::util::linked_slab::Key;
use crate::util::mailbox::Mailbox;
use crate::util::pool::Pool;
use crate::util::sync_types::thread_local;
use crate::util::thread_bound;
use crate::util::unwind::shield;

/// What a driver is made from.
pub(crate) struct Parts {
    pub(crate) backend: Backend,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) pool: Arc<Pool<Job>>,
    pub(crate) limits: Limits,
}

/// The driver of one shard.
pub(crate) struct Driver {
    pub(super) flight: Flight,
    pub(super) ready: Rc<Ready>,
    pub(crate) timers: Timers,
    pub(crate) memory: Memory,
    pub(crate) pool: Threads,
    pub(crate) counters: Counters,
    mailbox: Arc<Mailbox>,
    limits: Limits,
    /// The number of forks with which the driver is usable: that of its process, or none any more.
    usable_in: Cell<u32>,
    /// The doorbell of signals is watched.
    watches_signals: Cell<bool>,
    /// No operation starts any more.
    ended: Cell<bool>,
    /// `None` while a round uses it.
    round: Cell<Option<Box<Round>>>,
    /// The round that [`broken_pipe_ends_process`](Self::broken_pipe_ends_process) was asked in, from 1
    /// on, if the answer was no.
    pipes_asked_in: Cell<u64>,
}

/// Visits to the kernel in which what was cancelled has ended, if only because nothing else is left:
/// one visit brings some twenty completions.
pub(super) const VISITS_MAX: usize = 256;

thread_local! {
    static POINTER: Pointer<Driver> = const { Pointer::empty() };
}
const CURRENT: Current<Driver> = Current::at(&POINTER);

/// The driver of this thread's runtime.
#[inline]
pub(crate) fn current() -> io::Result<Rc<Driver>> {
    CURRENT.get().ok_or_else(nowhere)
}

/// Calls `then` with the driver of this thread's runtime, if there is one.
#[inline(always)]
pub(crate) fn with_current<T>(then: impl FnOnce(&Driver) -> T) -> Option<T> {
    CURRENT.with(then)
}

/// Whether a runtime of this process runs on this thread. One that was entered before a fork is its
/// parent's.
pub(crate) fn is_running() -> bool {
    with_current(|driver| !driver.is_of_parent()) == Some(true)
}

impl Driver {
    pub(crate) fn new(parts: Parts) -> io::Result<Rc<Self>> {
        fork::notice_forks()?;
        let flight = Flight::new(parts.backend, parts.mailbox.clone())?;
        Ok(Rc::new_cyclic(|driver: &Weak<Driver>| {
            let ready = Ready::new(driver.clone(), flight.can.tells_once);
            Driver {
                flight,
                ready,
                timers: Timers::new(),
                memory: Memory::new(),
                pool: Threads::new(parts.pool, parts.mailbox.clone()),
                counters: Counters::default(),
                mailbox: parts.mailbox,
                limits: parts.limits,
                usable_in: Cell::new(fork::fork_generation()),
                watches_signals: Cell::new(false),
                ended: Cell::new(false),
                round: Cell::default(),
                pipes_asked_in: Cell::new(0),
            }
        }))
    }

    /// Makes this the thread's driver.
    pub(crate) fn enter(self: &Rc<Self>) -> Entered<Driver> {
        CURRENT.enter(self.clone())
    }

    /// What the kernel's interface can do.
    pub(crate) fn can(&self) -> &Capabilities {
        &self.flight.can
    }

    /// What is known of descriptors, and the plain call.
    #[inline(always)]
    pub(crate) fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Makes a call at once, if the task has a unit of its budget left for it: see [`now`](Self::now).
    #[inline(always)]
    pub(crate) fn begin_now<C: Call>(
        &self,
        call: &mut C,
        toll: &mut Toll,
        waker: &Waker,
    ) -> Poll<Option<io::Result<u32>>> {
        ready!(toll.pay(waker));
        Poll::Ready(self.now(call))
    }

    /// Makes a call at once. `None` if its descriptor is not ready, known or heard.
    #[inline(always)]
    pub(crate) fn now<C: Call>(&self, call: &mut C) -> Option<io::Result<u32>> {
        match self.check_usable() {
            Ok(()) => self.ready.now(call),
            Err(error) => Some(Err(error)),
        }
    }

    /// Whether a plain call without a flag against it would end the process by SIGPIPE. Asked once a
    /// round, for many such calls: no is believed until the next.
    pub(crate) fn broken_pipe_ends_process(&self) -> bool {
        let round = self.counters.rounds.get() + 1;
        if self.pipes_asked_in.get() == round {
            return false;
        }
        let ends_process = signal_mask::broken_pipe_ends_process();
        if !ends_process {
            self.pipes_asked_in.set(round);
        }
        ends_process
    }

    /// Whether entries wait for the next visit to the kernel.
    #[inline(always)]
    pub(crate) fn has_staged(&self) -> bool {
        self.flight.has_staged()
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Returns the group whose buffers the kernel fills with what this socket receives. Returns `None`
    /// if the socket has to receive by notification: the kernel cannot fill buffers, or would not
    /// report the end of such a stream.
    pub(crate) fn group_for(&self, fd: &SharedFd) -> Option<Rc<BufferGroup>> {
        let hears_end = fd.cut_by() == CutBy::Mark || self.can().hears_ends;
        if hears_end { self.group() } else { None }
    }

    /// The group that receives by completion are filled from, if there is one.
    pub(crate) fn group(&self) -> Option<Rc<BufferGroup>> {
        let Limits { group_buffers, group_buffer_size, .. } = self.limits;
        self.memory.group(group_buffers, group_buffer_size, &self.flight)
    }

    /// What has been counted, and what is held now.
    pub(crate) fn metrics(&self) -> Metrics {
        let mut metrics = Metrics::default();
        for counters in [&self.counters, &self.flight.counters, &self.ready.counters] {
            counters.add_to(&mut metrics);
        }
        let (in_use, in_flight) = self.flight.counts();
        metrics.slots_in_use = (in_use + self.ready.standing_in_line()) as u64;
        metrics.operations_in_flight = in_flight as u64;
        metrics.registrations = self.ready.len() as u64;
        metrics.timers = self.timers.len() as u64;
        metrics.lent_buffers_out = self.memory.lent().out() as u64;
        metrics.leaked_elsewhere = thread_bound::leaked();
        metrics.group_buffers_out = self.memory.made().map_or(0, |group| group.out() as u64);
        metrics
    }

    /// Lets signals wake this shard.
    ///
    /// # Errors
    /// On epoll for want of memory or watches: nothing would wake the shard then. In a forked child.
    pub(crate) fn watch_signals(&self) -> io::Result<()> {
        self.check_usable()?;
        if !self.watches_signals.get() {
            self.flight.watch_signals()?;
            self.watches_signals.set(true);
        }
        Ok(())
    }

    /// Whether the driver is that of a process that this one was forked off.
    #[inline]
    pub(crate) fn is_of_parent(&self) -> bool {
        self.flight.is_of_parent()
    }

    /// Whether this process is the one that started the runtime, and the runtime has not ended.
    #[inline(always)]
    pub(super) fn is_usable(&self) -> bool {
        // One comparison for both: it is asked for every operation.
        fork::fork_generation() == self.usable_in.get()
    }

    /// An error that says why the runtime cannot be used, if it cannot.
    #[inline(always)]
    pub(crate) fn check_usable(&self) -> io::Result<()> {
        if self.is_usable() { Ok(()) } else { self.not_usable() }
    }

    #[cold]
    fn not_usable(&self) -> io::Result<()> {
        if !self.ended.get() {
            return Err(io::Error::other(
                "this runtime belongs to the parent process; start one of its own after fork",
            ));
        }
        Err(io::Error::other("the runtime of this operation has ended"))
    }

    /// Whether the runtime has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.get()
    }

    /// Whether this thread has entered the driver's runtime, be it usable or not.
    #[inline(always)]
    pub(super) fn is_current(&self) -> bool {
        CURRENT.is(self)
    }

    /// Whether this is the driver of the runtime that runs on this thread.
    #[inline(always)]
    pub(super) fn is_here(&self) -> bool {
        self.is_current() && self.is_usable()
    }

    #[cold]
    pub(super) fn standing(&self) -> Standing {
        if !self.is_usable() {
            Standing::Over
        } else if self.is_current() || with_current(|_| ()).is_none() {
            Standing::Here
        } else {
            Standing::Elsewhere
        }
    }

    /// Fails if this driver can go on only when another runtime does not run any more.
    pub(super) fn check_not_elsewhere(&self) -> io::Result<()> {
        match self.standing() {
            Standing::Elsewhere => Err(elsewhere()),
            Standing::Here | Standing::Over => Ok(()),
        }
    }

    /// Wakes the tasks whose timers have passed.
    pub(crate) fn fire_timers(&self) {
        self.timers.fire();
    }

    /// Visits the kernel: submits what is staged, completes what has ended, and wakes. If `idle`,
    /// it waits for the first completion, event, timer or ring of the doorbell.
    ///
    /// # Panics
    ///
    /// In a process that was forked off while the runtime ran: the ring is its parent's.
    // Inlined, with all that leads to the wait: see `SysCall::enter_kernel`.
    #[inline(always)]
    pub(crate) fn turn(&self, idle: bool) {
        if let Err(error) = self.check_usable() {
            panic!("{error}");
        }
        count(&self.counters.rounds);
        self.visit(if idle { self.wait_for_timer() } else { Wait::No });
    }

    fn wait_for_timer(&self) -> Wait {
        let deadline = self.timers.next_deadline();
        match deadline.map(|deadline| deadline.saturating_duration_since(clock::now())) {
            None => Wait::Forever,
            Some(Duration::ZERO) => Wait::No,
            Some(duration) => Wait::For(duration),
        }
    }

    #[inline(always)]
    fn visit(&self, wait: Wait) {
        // A pool thread that finishes after this check notifies the mailbox, and the mailbox keeps that
        // until it is checked, right before the wait.
        let wait = if self.pool.has_results() { Wait::No } else { wait };
        let mut round = self.round.take().unwrap_or_default();
        self.flight.turn(wait, &mut round);
        let group = self.memory.made();
        self.flight.complete(&mut round, group.as_deref());
        self.pool.take_results(&mut round.cqes);
        if !round.cqes.is_empty() {
            self.flight.complete(&mut round, group.as_deref());
        }
        drop(group);
        if !round.events.is_empty() {
            self.ready.on_events(&mut round.events, &mut round.effects.wakers);
        }
        round.effects.run();
        self.round.set(Some(round));
    }

    /// A visit that waits for nothing, in the middle of something else.
    #[cold]
    pub(super) fn look(&self) {
        self.visit(Wait::No);
    }

    /// Submits what is staged, the sends of lent bytes among it, when the loop stops.
    pub(crate) fn submit_staged(&self) {
        if self.is_usable() && self.has_staged() {
            self.look();
        }
    }

    /// Visits the kernel until `is_held` returns false, if the runtime is not running: otherwise what
    /// was just cancelled would stay in the kernel until the runtime runs again.
    pub(super) fn visit_from_outside(&self, is_held: impl Fn(&Driver) -> bool) {
        if self.is_current() {
            return;
        }
        for _ in 0..VISITS_MAX {
            let works = self.is_usable() && self.flight.can.carries_operations;
            if !works || !is_held(self) {
                return;
            }
            self.look();
        }
    }

    /// Waits until what was posted has ended, as long as streams linger.
    pub(crate) fn linger(&self) {
        let deadline = clock::now().checked_add(self.limits.linger);
        while self.flight.any_posted() {
            let now = clock::now();
            if deadline.is_some_and(|deadline| now >= deadline) {
                return;
            }
            self.visit_once_idle(deadline, now);
        }
    }

    /// A visit that waits, when the loop has ended, which would take note of the mailbox.
    fn visit_once_idle(&self, deadline: Option<Instant>, now: Instant) {
        let step = Duration::from_millis(20);
        self.mailbox.take_notified();
        self.visit(Wait::For(deadline.map_or(step, |deadline| step.min(deadline - now))));
    }

    /// Ends the driver: cancels what is in flight and waits for the final completions, at most
    /// until the deadline. Returns how many operations the kernel or the pool still holds; their
    /// memory is leaked, since it may yet be written to.
    pub(crate) fn shut_down(self: &Rc<Self>, patience: Duration) -> usize {
        self.ended.set(true);
        // No process is forked so often.
        self.usable_in.set(u32::MAX);
        if self.is_of_parent() {
            // The ring's memory is shared with the parent: leave everything as it is.
            self.flight.close();
            return 0;
        }
        let deadline = clock::now().checked_add(patience);
        self.flight.ends();
        // Futures that wait for readiness or for a timer are woken: polled again, they fail or move to
        // another runtime.
        let mut wakers = Vec::new();
        self.ready.call_all(&mut wakers);
        self.timers.take_wakers(&mut wakers);
        wake(&mut wakers);
        let left = loop {
            let (_, left) = self.flight.counts();
            let now = clock::now();
            if left == 0 || deadline.is_some_and(|deadline| now >= deadline) {
                break left;
            }
            self.flight.cancel_all();
            for watched in self.ready.watched_once() {
                self.flight.unwatch(-1, watched, false);
            }
            self.visit_once_idle(deadline, now);
        };
        if left > 0 {
            // The kernel may write to these operations' buffers, and to the group's, at any time.
            std::mem::forget(self.clone());
            self.flight.take_wakers(&mut wakers);
            wake(&mut wakers);
        }
        self.flight.close();
        left
    }
}

fn wake(wakers: &mut Vec<Waker>) {
    wakers.drain(..).for_each(|waker| shield(|| waker.wake()));
}

impl Watcher for Driver {
    fn watch(&self, fd: &SharedFd, registration: Key) -> io::Result<()> {
        self.flight.watch(fd, registration)
    }

    fn unwatch(&self, fd: RawFd, registration: Key, shared: bool) {
        self.flight.unwatch(fd, registration, shared);
        self.visit_from_outside(|driver| driver.ready.is_ending());
    }
}
