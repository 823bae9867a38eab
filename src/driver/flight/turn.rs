//! The round: one visit to the kernel, and what it brought goes to its slots.

use std::rc::Rc;

use super::super::metrics::count;
use super::kernel::{DOORBELL, Kernel, LEAST_OF_OWN, SIGNALS, WATCH};
use super::slots::{Completed, Effects};
use super::{Flight, State};
use crate::buf::{BufferGroup, RecvBuf};
use crate::sys::epoll::Event;
use crate::sys::ring::{Cqe, Wait};
use crate::sys::signal;
use crate::util::linked_slab::Key;

/// What a round fills and empties, kept for its capacity.
#[derive(Default)]
pub(in super::super) struct Round {
    pub(in super::super) cqes: Vec<Cqe>,
    /// Events of registrations.
    pub(in super::super) events: Vec<Event>,
    pub(in super::super) effects: Effects,
}

impl Flight {
    /// Visits the kernel, and waits as told unless the mailbox has news.
    #[inline(always)]
    pub(in super::super) fn turn(&self, wait: Wait, round: &mut Round) {
        let parked = wait != Wait::No && self.mailbox.prepare_park();
        let wait = if parked { wait } else { Wait::No };
        if let Some(kernel) = &mut self.state.borrow_mut().kernel {
            kernel.turn(wait, &mut round.cqes, &mut round.events, &self.counters);
        }
        if parked {
            self.mailbox.unpark();
        }
    }

    /// Gives completions to their slots, those of buffers of the group, too. What they call for is
    /// collected, since it runs code of the user's.
    #[inline(always)]
    pub(in super::super) fn complete(&self, round: &mut Round, group: Option<&Rc<BufferGroup>>) {
        let Round { cqes, events, effects } = round;
        let mut state = self.state.borrow_mut();
        let State { slots, watches, kernel } = &mut *state;
        for cqe in cqes.drain(..) {
            count(&self.counters.completions);
            if cqe.buffer_id().is_some()
                && let Some(group) = group
            {
                group.taken();
            }
            if cqe.user_data >= WATCH {
                if cqe.user_data >= LEAST_OF_OWN {
                    self.complete_own(kernel, cqe);
                } else {
                    *watches -= 1;
                    let told = u32::try_from(cqe.result).unwrap_or(libc::EPOLLERR as u32);
                    events.push(Event { data: cqe.user_data & !WATCH, events: told });
                }
                continue;
            }
            match slots.complete(cqe, effects) {
                Completed::Known => {}
                Completed::Cancelled => give_back(cqe, group, effects),
                Completed::Pause => {
                    let slot = slots.get_mut(Key::from_bits(cqe.user_data));
                    let queue = kernel.as_mut().and_then(Kernel::queue);
                    if let (Some(slot), Some(queue)) = (slot, queue) {
                        count(&self.counters.paused_multishots);
                        slot.cancel_sent = true;
                        queue.cancel(cqe.user_data, &self.counters);
                    }
                }
                Completed::Unknown => {
                    count(&self.counters.unknown_completions);
                    give_back(cqe, group, effects);
                }
            }
        }
    }

    /// A completion of the driver's own. Whether a cancel found its target is told by the target's
    /// own completion.
    #[cold]
    fn complete_own(&self, kernel: &mut Option<Kernel>, cqe: Cqe) {
        let doorbell = match cqe.user_data {
            DOORBELL => Some(self.mailbox.doorbell()),
            SIGNALS => signal::doorbell().ok(),
            _ => None,
        };
        // The watch of the doorbell has ended, for instance since completions overflowed.
        if !cqe.more()
            && let (Some(doorbell), Some(kernel)) = (doorbell, kernel)
        {
            // Only epoll refuses, which has no completions.
            let _ = kernel.watch_doorbell(doorbell, cqe.user_data, &self.counters);
        }
    }
}

/// The buffer of a completion that nobody takes goes back to the group.
fn give_back(cqe: Cqe, group: Option<&Rc<BufferGroup>>, effects: &mut Effects) {
    if let (Some(id), Some(group)) = (cqe.buffer_id(), group) {
        effects.unwanted.push(RecvBuf::from_group(group.clone(), id, 0));
    }
}
