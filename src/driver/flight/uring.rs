//! A ring: entries in, completions out.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use io_uring::{opcode, squeue, types};

use super::super::metrics::{Counters, count};
use super::super::operation::Raises;
use super::kernel::{CANCEL, Capabilities};
use crate::buf::BufferGroup;
use crate::sys::clock;
use crate::sys::ring::{Cqe, Full, Ring, Wait};
use crate::sys::signal_mask::{
    broken_pipe_ends_process, large_file_ends_process, without_signals_of_writes,
};
use crate::sys::support::Support;

/// The number under which the kernel knows the buffer group.
const GROUP: u16 = 0;

pub(super) struct Uring {
    ring: Ring,
    /// Entries that found the queue full, in order: operations and cancels alike.
    backlog: VecDeque<squeue::Entry>,
    /// Which operations the kernel has.
    support: Support,
    /// Rounds since the kernel was last visited.
    idle_rounds: u32,
    /// Entries for devices that were staged since the kernel was last entered.
    for_device: u32,
    /// Cancels that were staged since the kernel was last entered.
    staged_cancels: u32,
    /// An operation may raise a signal that would end the process, so `enter` is made without.
    may_raise: bool,
    /// Whether writes to files may was looked at.
    knows_of_files: bool,
    /// Refusals of `enter` in a row, without a completion between them.
    refusals: u32,
    /// The runtime is ending, so a ring that fails is no reason to panic.
    ending: bool,
}

/// Without anything to submit, the kernel is still visited after so many rounds.
const IDLE_ROUNDS_MAX: u32 = 8;

/// Fewer entries for devices than this are not worth a system call of their own.
const DEVICE_BATCH_MIN: u32 = 4;

/// A device that has more than so many times what is staged is not about to run dry.
const DEVICE_DEPTH_PER_BATCH: u32 = 4;

/// A queue that is full, or a kernel that is short of memory, takes more than one.
const UNWATCH_ENTERS_MAX: u32 = 8;

/// After so many refusals in a row the thread gives way for a millisecond, since what the kernel
/// lacks (memory) does not come back by asking.
const REFUSALS_BEFORE_PAUSE: u32 = 16;

impl Uring {
    pub(super) fn new(ring: Ring, support: Support) -> Self {
        Uring {
            ring,
            backlog: VecDeque::new(),
            support,
            idle_rounds: 0,
            for_device: 0,
            staged_cancels: 0,
            may_raise: false,
            knows_of_files: false,
            refusals: 0,
            ending: false,
        }
    }

    #[inline]
    pub(super) fn supports(&self, opcode: u32) -> bool {
        self.support.has(opcode as u8)
    }

    pub(super) fn can(&self) -> Capabilities {
        Capabilities {
            name: "uring",
            opens_nonblocking: false,
            carries_operations: true,
            tells_once: true,
            reads_files: true,
            accepts_many: self.support.multishot_accept(),
            receives_many: self.support.multishot_receive(),
            hears_ends: self.support.hears_ends(),
            is_simulated: self.ring.is_simulated(),
        }
    }

    /// Whether entries wait for the next visit.
    pub(super) fn has_staged(&mut self) -> bool {
        self.ring.staged() > 0
    }

    /// Has the kernel fill buffers of the group from now on.
    pub(super) fn register(&mut self, group: &BufferGroup) -> io::Result<()> {
        // SAFETY: the memory is page-aligned and holds so many entries. The driver keeps the group
        // until the ring is closed and drained, and leaks it if the ring cannot be drained.
        unsafe { self.ring.register_buffer_ring(group.entries(), group.count(), GROUP) }
    }

    /// From here on a ring that cannot be used is no panic: the runtime may end by one already.
    pub(super) fn ends(&mut self) {
        self.ending = true;
    }

    /// Stages an entry. Never fails and never loses one: what the queue has no room for waits.
    ///
    /// # Safety
    ///
    /// As for [`Ring::push`].
    #[inline(always)]
    pub(super) unsafe fn push(&mut self, entry: squeue::Entry, counters: &Counters) {
        count(&counters.submitted);
        if self.backlog.is_empty() {
            // SAFETY: the caller's promise is the one asked for.
            match unsafe { self.ring.push(&entry) } {
                Ok(()) => return,
                // The queue is full: flush it, and try once more.
                Err(Full) => self.enter(Wait::No, counters),
            }
            // SAFETY: as above.
            if unsafe { self.ring.push(&entry) }.is_ok() {
                return;
            }
        }
        count(&counters.backlogged);
        self.backlog.push_back(entry);
    }

    /// The entry that was staged last is for a device, and makes so many in flight.
    #[inline]
    pub(super) fn staged_for_device(&mut self, in_flight: u32, counters: &Counters) {
        self.for_device += 1;
        if self.for_device >= DEVICE_BATCH_MIN.max(in_flight / DEVICE_DEPTH_PER_BATCH) {
            self.enter(Wait::No, counters);
        }
    }

    /// The operation that is about to be staged may raise a signal. Of files that is asked once: the
    /// limit seldom changes, and the question is a call.
    #[inline]
    pub(super) fn expect_signal(&mut self, raises: Raises) {
        if !self.may_raise && (raises == Raises::BrokenPipe || !self.knows_of_files) {
            self.ask_for_signal(raises);
        }
    }

    #[cold]
    fn ask_for_signal(&mut self, raises: Raises) {
        self.may_raise = broken_pipe_ends_process();
        if raises == Raises::LargeFile {
            self.knows_of_files = true;
            self.may_raise |= large_file_ends_process();
        }
    }

    fn push_backlog(&mut self) {
        while let Some(entry) = self.backlog.front() {
            // SAFETY: whoever staged the entry promised its validity until its completion.
            if unsafe { self.ring.push(entry) }.is_err() {
                return;
            }
            self.backlog.pop_front();
        }
    }

    /// Asks the kernel to end an operation. Its own final completion tells when it has.
    pub(super) fn cancel(&mut self, user_data: u64, counters: &Counters) {
        count(&counters.cancels);
        self.staged_cancels += 1;
        let entry = opcode::AsyncCancel::new(user_data).build().user_data(CANCEL);
        // SAFETY: a cancel points at nothing.
        unsafe { self.push(entry, counters) }
    }

    /// Ends the watch of a descriptor that is about to be closed. Submitted later, its poll would be of
    /// whatever has the number by then.
    pub(super) fn unwatch(&mut self, user_data: u64, counters: &Counters) {
        for _ in 0..UNWATCH_ENTERS_MAX {
            // Staged cancels are no polls: descriptors that are closed together cost one call.
            if self.backlog.is_empty() && self.ring.staged() <= self.staged_cancels {
                break;
            }
            self.push_backlog();
            self.enter(Wait::No, counters);
        }
        self.cancel(user_data, counters);
    }

    /// Waits for a doorbell, on and on.
    pub(super) fn watch(&mut self, doorbell: BorrowedFd<'_>, user_data: u64, counters: &Counters) {
        let events = (libc::EPOLLIN | libc::EPOLLET) as u32;
        let entry = opcode::PollAdd::new(types::Fd(doorbell.as_raw_fd()), events).multi(true);
        // SAFETY: a poll points at nothing.
        unsafe { self.push(entry.build().user_data(user_data), counters) }
    }

    /// One visit to the kernel: submits, waits as told, and reaps into `cqes`. No system call if
    /// there is nothing to submit and nothing to wait for, but the kernel is visited every few
    /// rounds.
    #[inline(always)]
    pub(super) fn turn(&mut self, wait: Wait, cqes: &mut Vec<Cqe>, counters: &Counters) {
        self.push_backlog();
        self.ring.reap(cqes);
        // Completions that are there already are looked at before any wait.
        let wait = if cqes.is_empty() && self.backlog.is_empty() { wait } else { Wait::No };
        self.idle_rounds += 1;
        // Asked first, since it also counts.
        let wanted = self.ring.wants_enter()
            || wait != Wait::No
            || self.ring.staged() > 0
            || self.idle_rounds > IDLE_ROUNDS_MAX;
        if wanted {
            self.enter_here(wait, counters);
            self.ring.reap(cqes);
            self.push_backlog();
        }
        if !cqes.is_empty() {
            self.refusals = 0;
        }
        counters.completion_overflows.set(self.ring.overflows());
    }

    #[inline(never)]
    fn enter(&mut self, wait: Wait, counters: &Counters) {
        self.enter_here(wait, counters);
    }

    // Inlined: see `SysCall::enter_kernel`.
    #[inline(always)]
    fn enter_here(&mut self, wait: Wait, counters: &Counters) {
        self.idle_rounds = 0;
        self.for_device = 0;
        count(&counters.enters);
        let entered = match self.may_raise {
            false => self.ring.enter(wait),
            true => self.enter_quietly(wait),
        };
        self.staged_cancels = 0;
        if let Err(error) = entered {
            self.refused(&error, counters);
        }
    }

    /// Once such an operation was staged, for good: it may outlive its future, and programs that leave
    /// these signals as they are by default are few.
    #[cold]
    fn enter_quietly(&mut self, wait: Wait) -> io::Result<()> {
        without_signals_of_writes(|| self.ring.enter(wait))
    }

    #[cold]
    fn refused(&mut self, error: &io::Error, counters: &Counters) {
        match error.raw_os_error() {
            // A signal; the loop computes its wait anew.
            Some(libc::EINTR) => count(&counters.enter_interrupted),
            // The completion queue is full, or memory is short for the moment. What the kernel
            // has consumed is known only by its completions, so every operation stays.
            Some(libc::EAGAIN | libc::EBUSY | libc::ENOMEM) => {
                count(&counters.enter_refused);
                self.refusals = self.refusals.saturating_add(1);
                if self.refusals > REFUSALS_BEFORE_PAUSE {
                    clock::pause(Duration::from_millis(1));
                }
            }
            _ if self.ending => clock::pause(Duration::from_millis(1)),
            // Nothing that a program can do right leads here: the ring's descriptor was closed
            // behind our back, or the simulated world is in a deadlock.
            _ => panic!("the ring of this shard cannot be used any more: {error}"),
        }
    }
}

/// Tells once when a stream that receives by notification is readable, also if it is so already.
///
/// A multishot poll would cost less where each message is waited for, but it reports edges only:
/// bytes behind an urgent mark, or behind descriptors, which the last receive has left, would be
/// waited for until more come. That there is a mark it does not tell: its events are those of the
/// wake-up, for which sockets name `EPOLLPRI` always.
pub(super) fn poll_entry(fd: types::Fd, user_data: u64) -> squeue::Entry {
    let events = (libc::EPOLLIN | libc::EPOLLRDHUP) as u32;
    opcode::PollAdd::new(fd, events).build().user_data(user_data)
}
