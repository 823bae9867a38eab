//! Layer 2: what carries operations to the kernel and their completions back: a ring, or epoll with
//! a pool of threads.
//!
//! It knows nothing of tasks (a waker is all it sees) and nothing of what an operation does. It
//! never runs code of the user's, a waker's or a buffer's, while its state is borrowed.
//!
//! Read `operation.rs` first, then `submit.rs` (the one I/O future) and `slots.rs`; `start.rs` is
//! where the two drivers part, `turn.rs` where they meet again.

mod alarm;
mod closing;
mod deadline;
mod jobs;
mod metrics;
mod multi;
mod notify;
mod operand;
mod operation;
mod readiness;
mod shared_fd;
mod slots;
mod standing;
mod start;
mod submit;
mod turn;
mod uring;

pub use deadline::{IoFuture, Timeout};
pub(crate) use deadline::{deadline_after, is_timed_out, timed_out};
pub use metrics::Metrics;

pub(crate) use alarm::Alarm;
pub(crate) use closing::dropped_have_ended;
pub(crate) use jobs::Job;
pub(crate) use metrics::count;
pub(crate) use multi::Multi;
pub(crate) use notify::ReadableWait;
pub(crate) use operand::Operand;
pub(crate) use operation::{Multishot, Operation, Raises, Readiness};
pub(crate) use shared_fd::{CutBy, SharedFd};
pub(crate) use submit::{Submit, Trail, submit, was_cancelled};

use std::cell::{Cell, RefCell, RefMut};
use std::io;
use std::os::fd::AsRawFd;
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use self::jobs::Finished;
use self::metrics::Counters;
use self::readiness::Registrations;
use self::slots::{Effects, Slots};
use self::uring::{DOORBELL, SIGNALS, Uring};
use crate::buf::{BufferGroup, LentBuffers};
use crate::sys::epoll::{self, Epoll};
use crate::sys::ring::{Cqe, Ring};
use crate::sys::support::Support;
use crate::sys::{clock, fork, log, signal};
use crate::util::linked_slab::Key;
use crate::util::mailbox::Mailbox;
use crate::util::pool::Pool;
use crate::util::thread_bound;
use crate::util::timer_wheel::{TimerKey, TimerWheel};

/// What a driver is made from.
pub(crate) struct Parts {
    pub(crate) backend: Backend,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) pool: Arc<Pool<Job>>,
    pub(crate) limits: Limits,
}

/// The kernel's interface that a driver stands on.
#[expect(clippy::large_enum_variant, reason = "made once per shard and moved at once")]
pub(crate) enum Backend {
    /// io_uring, or a simulated one.
    Uring { ring: Ring, support: Support },
    /// epoll(7) and the pool.
    Epoll,
}

/// The sizes that the builder sets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) group_buffers: u16,
    pub(crate) group_buffer_size: u32,
    pub(crate) queued_buffers_max: u32,
    pub(crate) queued_accepts_max: u32,
    pub(crate) receive_policy: ReceivePolicy,
}

/// How streams of the ring driver receive (and, with it, how they send).
///
/// The epoll driver always receives by notification; there the policy is without effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReceivePolicy {
    /// Each stream begins by completion and changes to notification, and back, as its messages
    /// grow and shrink. The default.
    #[default]
    Adaptive,
    /// A multishot receive fills buffers of the shard's group; the sends of a round leave together
    /// with its one `enter`, and one that is alone leaves at once. Best for small messages.
    Completion,
    /// The ring reports readiness, and the task receives and sends by plain system calls. Best for
    /// messages from 8 KiB on.
    Notification,
}

/// The driver of one shard.
pub(crate) struct Driver {
    state: RefCell<State>,
    timers: RefCell<TimerWheel<Waker>>,
    group: RefCell<GroupState>,
    lent: Rc<LentBuffers>,
    pool: Arc<Pool<Job>>,
    finished: Arc<Finished>,
    mailbox: Arc<Mailbox>,
    pub(crate) counters: Counters,
    limits: Limits,
    is_uring: bool,
    support: Option<Support>,
    /// The number of forks with which the driver is usable: that of its process, or none any more.
    usable_in: Cell<u32>,
    /// That of its process.
    fork_generation: u32,
    /// The doorbell of signals is watched.
    watches_signals: Cell<bool>,
    /// Operations for devices that are in flight, those that have ended and await their task, too.
    for_device: Cell<u32>,
    /// No operation starts any more.
    ended: Cell<bool>,
    /// `None` while a round uses it.
    scratch: Cell<Option<Box<Scratch>>>,
}

/// What a round fills and empties, kept for its capacity.
#[derive(Default)]
struct Scratch {
    effects: Effects,
    cqes: Vec<Cqe>,
    events: Vec<epoll::Event>,
}

struct State {
    slots: Slots,
    registrations: Registrations,
    /// `None` after the shutdown.
    system: Option<System>,
}

#[expect(clippy::large_enum_variant, reason = "one per shard, and the ring's is the hot one")]
enum System {
    Uring(Uring),
    Epoll(Epoll),
}

/// The buffer group, made when the first stream asks for it.
enum GroupState {
    NotYet,
    Made(Rc<BufferGroup>),
    /// The kernel has no buffer rings, or no memory for one.
    Refused,
}

/// The number under which the kernel knows the buffer group.
const GROUP: u16 = 0;

// Without a destructor, so that it can be read as long as the thread runs.
thread_local! {
    /// The driver that this thread has entered, or null.
    static CURRENT: Cell<*const Driver> = const { Cell::new(ptr::null()) };
}

/// The driver of this thread's runtime.
#[inline]
pub(crate) fn current() -> io::Result<Rc<Driver>> {
    let current = CURRENT.get();
    if current.is_null() {
        return Err(io::Error::other(
            "there is no corering runtime on this thread; run this inside corering::block_on, \
             Runtime::block_on or a task",
        ));
    }
    // SAFETY: the pointer is an `Rc`'s, and the guard of `enter` holds a count while it stands here.
    unsafe { Rc::increment_strong_count(current) };
    // SAFETY: the count that was just added becomes this `Rc`'s.
    Ok(unsafe { Rc::from_raw(current) })
}

/// Calls `then` with the driver of this thread's runtime, if there is one.
#[inline(always)]
pub(crate) fn with_current<T>(then: impl FnOnce(&Driver) -> T) -> Option<T> {
    // SAFETY: the pointer is an `Rc`'s, and the guard of `enter`, which lives further up this
    // thread's stack, holds a count meanwhile.
    unsafe { CURRENT.get().as_ref() }.map(then)
}

/// Whether a runtime of this process runs on this thread. One that was entered before a fork is its
/// parent's.
pub(crate) fn is_running() -> bool {
    with_current(|driver| !driver.is_of_parent()) == Some(true)
}

/// Makes a driver the thread's current one until dropped. Guards are dropped in the reverse order of
/// their making.
pub(crate) struct Entered {
    driver: Rc<Driver>,
    previous: *const Driver,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let left = CURRENT.replace(self.previous);
        debug_assert!(ptr::eq(left, Rc::as_ptr(&self.driver)), "guards left out of order");
    }
}

impl Driver {
    pub(crate) fn new(parts: Parts) -> io::Result<Rc<Self>> {
        let counters = Counters::default();
        fork::notice_forks()?;
        let (system, support) = match parts.backend {
            Backend::Uring { ring, support } => {
                let mut uring = Uring::new(ring, support);
                uring.watch(parts.mailbox.doorbell(), DOORBELL, &counters);
                (System::Uring(uring), Some(support))
            }
            Backend::Epoll => {
                let epoll = Epoll::new()?;
                epoll.add(parts.mailbox.doorbell().as_raw_fd(), DOORBELL)?;
                (System::Epoll(epoll), None)
            }
        };
        let state = State {
            slots: Slots::new(),
            registrations: Registrations::new(),
            system: Some(system),
        };
        Ok(Rc::new(Driver {
            state: RefCell::new(state),
            timers: RefCell::new(TimerWheel::new(clock::now())),
            group: RefCell::new(GroupState::NotYet),
            lent: LentBuffers::new(),
            pool: parts.pool,
            finished: Finished::new(parts.mailbox.clone()),
            mailbox: parts.mailbox,
            counters,
            limits: parts.limits,
            is_uring: support.is_some(),
            support,
            usable_in: Cell::new(fork::fork_generation()),
            fork_generation: fork::fork_generation(),
            watches_signals: Cell::new(false),
            for_device: Cell::new(0),
            ended: Cell::new(false),
            scratch: Cell::default(),
        }))
    }

    /// Makes this the thread's driver.
    pub(crate) fn enter(self: &Rc<Self>) -> Entered {
        let previous = CURRENT.replace(Rc::as_ptr(self));
        Entered { driver: self.clone(), previous }
    }

    pub(crate) fn is_uring(&self) -> bool {
        self.is_uring
    }

    /// Whether the kernel below is a simulated one: nothing may run on another thread.
    pub(crate) fn is_simulated(&self) -> bool {
        match &self.state.borrow().system {
            Some(System::Uring(uring)) => uring.is_simulated(),
            _ => false,
        }
    }

    /// Whether entries wait for the next visit to the kernel.
    #[inline]
    pub(crate) fn has_staged(&self) -> bool {
        match &mut self.state.borrow_mut().system {
            Some(System::Uring(uring)) => uring.ring().staged() > 0,
            _ => false,
        }
    }

    /// What the kernel's ring can do; `None` on epoll.
    pub(crate) fn support(&self) -> Option<Support> {
        self.support
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn pool(&self) -> &Arc<Pool<Job>> {
        &self.pool
    }

    /// Whether this process is the one that started the runtime, and the runtime has not ended.
    #[inline]
    fn is_usable(&self) -> bool {
        // One comparison for both: it is asked for every operation.
        fork::fork_generation() == self.usable_in.get()
    }

    fn set_ended(&self) {
        self.ended.set(true);
        // No process is forked so often.
        self.usable_in.set(u32::MAX);
    }

    /// An error that says why the runtime cannot be used, if it cannot.
    #[inline]
    fn check_usable(&self) -> io::Result<()> {
        if self.is_usable() { Ok(()) } else { self.not_usable() }
    }

    /// The state, for changing what the kernel works on. In a forked child that is for the parent
    /// to do: the ring's memory and the epoll set are shared with it, so the child lets go of them.
    fn state_of_kernel(&self) -> RefMut<'_, State> {
        let mut state = self.state.borrow_mut();
        if self.is_of_parent() {
            std::mem::forget(state.system.take());
        }
        state
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

    /// The group that receives by completion are filled from; `None` if the kernel has none, then
    /// streams receive by notification.
    pub(crate) fn group(&self) -> Option<Rc<BufferGroup>> {
        match &*self.group.borrow() {
            GroupState::Made(group) => return Some(group.clone()),
            GroupState::Refused => return None,
            GroupState::NotYet => {}
        }
        let made = self.make_group();
        let (state, group) = match made {
            Some(group) => (GroupState::Made(group.clone()), Some(group)),
            None => (GroupState::Refused, None),
        };
        *self.group.borrow_mut() = state;
        group
    }

    /// Whether a group is this driver's, so that its ring fills buffers of it.
    pub(crate) fn owns(&self, group: &Rc<BufferGroup>) -> bool {
        matches!(&*self.group.borrow(), GroupState::Made(own) if Rc::ptr_eq(own, group))
    }

    /// Whether a multishot receive of a socket tells of its end in any case, as TCP does.
    pub(crate) fn hears_end(&self, fd: &SharedFd) -> bool {
        fd.cut_by() == CutBy::Mark || self.support.is_some_and(Support::hears_ends)
    }

    /// Whether streams may receive by completion at all.
    pub(crate) fn group_is_possible(&self) -> bool {
        self.is_uring && !matches!(&*self.group.borrow(), GroupState::Refused)
    }

    fn make_group(&self) -> Option<Rc<BufferGroup>> {
        if !self.support?.multishot_receive() {
            return None;
        }
        let Limits { group_buffers, group_buffer_size, .. } = self.limits;
        let Some(group) = BufferGroup::new(group_buffers, group_buffer_size).map(Rc::new) else {
            log::warn(format_args!(
                "no memory for {group_buffers} buffers of {group_buffer_size} bytes: streams \
                 receive by notification; see Builder::buffer_group"
            ));
            return None;
        };
        let mut state = self.state.borrow_mut();
        let Some(System::Uring(uring)) = &mut state.system else { return None };
        // SAFETY: the memory is page-aligned and holds so many entries. The driver keeps the group
        // until the ring is closed and drained, and leaks it if the ring cannot be drained.
        let registered =
            unsafe { uring.ring().register_buffer_ring(group.entries(), group.count(), GROUP) };
        registered.is_ok().then_some(group)
    }

    /// What has been counted, and what is held now.
    pub(crate) fn metrics(&self) -> Metrics {
        let mut metrics = self.counters.snapshot();
        let state = self.state.borrow();
        metrics.slots_in_use = state.slots.in_use() as u64;
        metrics.operations_in_flight = state.slots.in_flight() as u64;
        metrics.registrations = state.registrations.len() as u64;
        metrics.timers = self.timers.borrow().len() as u64;
        metrics.lent_buffers_out = self.lent.out() as u64;
        metrics.leaked_elsewhere = thread_bound::leaked();
        if let GroupState::Made(group) = &*self.group.borrow() {
            metrics.group_buffers_out = group.out() as u64;
        }
        metrics
    }

    /// Lets signals wake this shard.
    ///
    /// # Errors
    /// On epoll for want of memory or watches. Nothing would wake the shard then.
    pub(crate) fn watch_signals(&self) -> io::Result<()> {
        let Some(doorbell) = signal::doorbell() else { return Ok(()) };
        if self.watches_signals.get() {
            return Ok(());
        }
        match &mut self.state.borrow_mut().system {
            Some(System::Uring(uring)) => uring.watch(doorbell, SIGNALS, &self.counters),
            Some(System::Epoll(epoll)) => epoll.add(doorbell.as_raw_fd(), SIGNALS)?,
            None => return Ok(()),
        }
        self.watches_signals.set(true);
        Ok(())
    }

    /// Arms a timer. The waker is woken once the deadline has passed.
    pub(crate) fn insert_timer(&self, deadline: Instant, waker: Waker) -> TimerKey {
        self.timers.borrow_mut().insert(deadline, waker)
    }

    /// Whether a timer is armed still; if so, it will wake this waker.
    pub(crate) fn update_timer(&self, key: TimerKey, waker: &Waker) -> bool {
        let same = match self.timers.borrow_mut().get_mut(key) {
            None => return false,
            Some(armed) => armed.will_wake(waker),
        };
        if !same {
            let waker = waker.clone();
            let old =
                self.timers.borrow_mut().get_mut(key).map(|armed| std::mem::replace(armed, waker));
            drop(old);
        }
        true
    }

    /// Takes a timer away, fired or not.
    pub(crate) fn remove_timer(&self, key: TimerKey) {
        let waker = self.timers.borrow_mut().remove(key);
        drop(waker);
    }

    /// Forgets the readiness of a descriptor that is about to be closed or handed away. Returns
    /// whether the kernel watches it until its next visit.
    fn deregister(&self, key: Key, fd: i32, shared: bool) -> bool {
        let mut effects = Effects::default();
        let mut state = self.state_of_kernel();
        let State { slots, registrations, system } = &mut *state;
        let poll = registrations.remove(key, slots, &mut effects);
        match system {
            Some(System::Uring(uring)) => {
                if let Some(poll) = poll {
                    if let Some(slot) = slots.get_mut(poll) {
                        slot.cancel_sent = true;
                    }
                    uring.cancel(poll.to_bits(), &self.counters);
                }
            }
            // The close takes the descriptor out of the set, unless its file lives on elsewhere.
            Some(System::Epoll(epoll)) if shared => epoll.remove(fd),
            Some(System::Epoll(_)) | None => {}
        }
        drop(state);
        self.run(&mut effects);
        if let Some(poll) = poll {
            self.visit_from_outside(poll);
        }
        self.is_uring && poll.is_some()
    }

    /// Ends the driver: cancels what is in flight and waits for the final completions, at most
    /// until the deadline. Returns how many operations the kernel or the pool still holds; their
    /// memory is leaked, since it may yet be written to.
    pub(crate) fn shut_down(self: &Rc<Self>, patience: Duration) -> usize {
        if self.is_of_parent() {
            // The ring's memory is shared with the parent: leave everything as it is.
            self.set_ended();
            std::mem::forget(self.state.borrow_mut().system.take());
            return 0;
        }
        let deadline = clock::now().checked_add(patience);
        self.set_ended();
        if let Some(System::Uring(uring)) = &mut self.state.borrow_mut().system {
            uring.ends();
        }
        self.wake_for_the_end();
        loop {
            let state = self.state.borrow();
            let left = state.slots.in_flight();
            let now = clock::now();
            if left == 0 || deadline.is_some_and(|deadline| now >= deadline) {
                break;
            }
            let keys = state.slots.keys();
            drop(state);
            keys.into_iter().for_each(|key| self.cancel(key));
            let step = Duration::from_millis(20);
            self.turn_for(deadline.map_or(step, |deadline| step.min(deadline - now)));
        }
        let left = self.state.borrow().slots.in_flight();
        if left > 0 {
            // The kernel may write to these operations' buffers, and to the group's, at any time.
            std::mem::forget(self.clone());
            self.wake_the_lost();
        }
        let system = self.state.borrow_mut().system.take();
        drop(system);
        left
    }
}
