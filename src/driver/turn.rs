//! One round of the driver: wait or look, complete, and then wake.

use std::time::Duration;
use std::{io, mem};

use super::metrics::count;
use super::slots::{Completed, Effects};
use super::uring::{DOORBELL, LEAST_OF_NO_SLOT, SIGNALS};
use super::{Driver, GroupState, Scratch, State, System};
use crate::buf::RecvBuf;
use crate::sys::ring::{Cqe, Wait};
use crate::sys::{clock, signal};
use crate::util::linked_slab::Key;
use crate::util::unwind::shield;

impl Driver {
    /// Wakes the tasks whose timers have passed.
    pub(crate) fn fire_timers(&self) {
        if self.timers.borrow().len() == 0 {
            return;
        }
        let now = clock::now();
        let mut scratch = self.scratch.take().unwrap_or_default();
        self.timers.borrow_mut().expire(now, &mut scratch.effects.wakers);
        self.run(&mut scratch.effects);
        self.scratch.set(Some(scratch));
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

    /// A round of the shutdown: waits for at most so long.
    pub(super) fn turn_for(&self, wait: Duration) {
        // The loop, which would take note of it, has ended.
        self.mailbox.take_notified();
        self.visit(Wait::For(wait));
    }

    fn wait_for_timer(&self) -> Wait {
        let deadline = self.timers.borrow().next_deadline();
        match deadline.map(|deadline| deadline.saturating_duration_since(clock::now())) {
            None => Wait::Forever,
            Some(Duration::ZERO) => Wait::No,
            Some(duration) => Wait::For(duration),
        }
    }

    #[inline(always)]
    pub(super) fn visit(&self, wait: Wait) {
        // A result that comes after this look is told of in the mailbox, and stays so until it has
        // been looked at before the wait.
        let wait = if self.finished.is_waiting() { Wait::No } else { wait };
        let parked = wait != Wait::No && self.mailbox.prepare_park();
        let wait = if parked { wait } else { Wait::No };
        let mut scratch = self.scratch.take().unwrap_or_default();
        let Scratch { effects, cqes, events } = &mut *scratch;
        {
            let mut state = self.state.borrow_mut();
            let State { slots, registrations, system } = &mut *state;
            match system {
                Some(System::Uring(uring)) => uring.turn(wait, cqes, &self.counters),
                Some(System::Epoll(epoll)) => {
                    count(&self.counters.enters);
                    if let Err(error) = epoll.wait(wait, events) {
                        self.wait_failed(&error);
                    }
                    for event in events.drain(..) {
                        count(&self.counters.completions);
                        // An event of an earlier generation is an event of nobody.
                        let key = Key::from_bits(event.data);
                        if !matches!(event.data, DOORBELL | SIGNALS)
                            && !registrations.on_events(key, event.events, slots, effects)
                        {
                            count(&self.counters.unknown_completions);
                        }
                    }
                }
                None => {}
            }
        }
        if parked {
            self.mailbox.unpark();
        }
        let mut state = self.state.borrow_mut();
        for cqe in cqes.drain(..) {
            self.complete(&mut state, cqe, effects);
        }
        self.finished.take(cqes);
        for cqe in cqes.drain(..) {
            self.complete(&mut state, cqe, effects);
        }
        drop(state);
        self.run(effects);
        self.scratch.set(Some(scratch));
    }

    #[cold]
    fn wait_failed(&self, error: &io::Error) {
        match error.raw_os_error() {
            // A signal; the loop computes its wait anew.
            Some(libc::EINTR) => count(&self.counters.enter_interrupted),
            // The end of a runtime waits for the pool, a while at a time, and needs no events.
            _ if self.ended.get() => clock::pause(Duration::from_millis(1)),
            // Nothing that a program can do right leads here: the descriptor was closed behind our
            // back, or the thread was forbidden the call.
            _ => panic!("the epoll instance of this shard cannot be used any more: {error}"),
        }
    }

    /// Gives one completion to its slot.
    #[inline]
    fn complete(&self, state: &mut State, cqe: Cqe, effects: &mut Effects) {
        count(&self.counters.completions);
        if cqe.buffer_id().is_some()
            && let GroupState::Made(group) = &*self.group.borrow()
        {
            group.taken();
        }
        if cqe.user_data >= LEAST_OF_NO_SLOT {
            return self.complete_own(state, cqe);
        }
        match state.slots.complete(cqe, effects) {
            Completed::Known => {}
            Completed::Cancelled => self.return_buffer(cqe, effects),
            Completed::Pause => {
                let key = Key::from_bits(cqe.user_data);
                if let (Some(slot), Some(System::Uring(uring))) =
                    (state.slots.get_mut(key), &mut state.system)
                {
                    count(&self.counters.paused_multishots);
                    slot.cancel_sent = true;
                    uring.cancel(cqe.user_data, &self.counters);
                }
            }
            Completed::Unknown => {
                count(&self.counters.unknown_completions);
                self.return_buffer(cqe, effects);
            }
            Completed::Readiness { registration } => {
                self.on_poll(state, registration, cqe, effects);
            }
        }
    }

    /// A completion of the driver's own. Whether a cancel found its target is told by the target's
    /// own completion.
    #[cold]
    fn complete_own(&self, state: &mut State, cqe: Cqe) {
        let doorbell = match cqe.user_data {
            DOORBELL => Some(self.mailbox.doorbell()),
            SIGNALS => signal::doorbell(),
            _ => None,
        };
        // The poll of the doorbell has ended, for instance since completions overflowed.
        if !cqe.more()
            && !self.ended.get()
            && let (Some(doorbell), Some(System::Uring(uring))) = (doorbell, &mut state.system)
        {
            uring.watch(doorbell, cqe.user_data, &self.counters);
        }
    }

    /// The poll of a registration reported readiness, or was cancelled.
    fn on_poll(&self, state: &mut State, registration: Key, cqe: Cqe, effects: &mut Effects) {
        let State { slots, registrations, .. } = state;
        let events = u32::try_from(cqe.result).unwrap_or(libc::EPOLLERR as u32);
        registrations.on_events(registration, events, slots, effects);
        if !cqe.more() {
            // It is armed again by whoever waits next.
            if let Some(known) = registrations.get_mut(registration) {
                known.poll = None;
            }
            // A poll has no waker.
            drop(slots.remove(Key::from_bits(cqe.user_data)));
        }
    }

    /// The buffer of a completion that nobody takes goes back to the group.
    fn return_buffer(&self, cqe: Cqe, effects: &mut Effects) {
        if let (Some(id), GroupState::Made(group)) = (cqe.buffer_id(), &*self.group.borrow()) {
            effects.unwanted.push(RecvBuf::from_group(group.clone(), id, 0));
        }
    }

    /// Runs what a round has brought about. Code of the user's runs here, with nothing borrowed.
    pub(super) fn run(&self, effects: &mut Effects) {
        for waker in effects.wakers.drain(..) {
            shield(|| waker.wake());
        }
        for buffer in effects.unwanted.drain(..) {
            shield(|| drop(buffer));
        }
        if effects.ended.is_empty() {
            return;
        }
        let completions = mem::take(&mut effects.completions);
        let mut rest = &completions[..];
        for (operation, count) in effects.ended.drain(..) {
            let (own, others) = rest.split_at(count);
            rest = others;
            shield(|| operation.complete(own));
        }
    }
}
