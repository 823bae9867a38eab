//! What is known of the readiness of descriptors: one registration for each that ever had to wait.
//!
//! epoll fills it on its driver, edge-triggered: "ready" holds until a call was refused, or a receive
//! came back short and nothing can have cut it. On a ring a poll does, for streams that receive by
//! notification. It is armed by whoever begins to wait, and looks before it waits, so there any short
//! receive will do.
//!
//! Of sends a count says nothing. One that took a part may have been cut by the kernel's limits for
//! a call, and waits for an edge that never comes if it is taken for refused; to be refused costs
//! one call each time that a socket is full.

use std::task::Waker;

use super::operation::Direction;
use super::slots::{Effects, Slots};
use crate::util::linked_slab::{Key, LinkedSlab, List};

pub(super) struct Registration {
    readable: bool,
    writable: bool,
    /// A short receive says nothing, only EAGAIN does: the peer hung up, or there is an error, so no
    /// further edge will come; or an urgent mark was reported, which may end a receive early.
    readable_until_refused: bool,
    /// The slot of the poll that watches the descriptor, on a ring.
    pub(super) poll: Option<Key>,
    /// The waker of the stream that waits to receive: there is one at most for a descriptor.
    pub(super) receiver: Option<Waker>,
    readers: List,
    writers: List,
}

pub(super) struct Registrations {
    entries: LinkedSlab<Registration>,
}

impl Registrations {
    pub(super) fn new() -> Self {
        Registrations { entries: LinkedSlab::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// A descriptor that is not known to be ready.
    pub(super) fn insert(&mut self) -> Key {
        self.entries.insert(Registration {
            readable: false,
            writable: false,
            readable_until_refused: false,
            poll: None,
            receiver: None,
            readers: List::EMPTY,
            writers: List::EMPTY,
        })
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Registration> {
        self.entries.get_mut(key)
    }

    /// Forgets a descriptor. Futures that wait for it try again, and hear what the system says.
    pub(super) fn remove(
        &mut self,
        key: Key,
        slots: &mut Slots,
        effects: &mut Effects,
    ) -> Option<Key> {
        let mut registration = self.entries.remove(key)?;
        effects.wakers.extend(registration.receiver.take());
        wake_line(&mut registration.readers, slots, effects);
        wake_line(&mut registration.writers, slots, effects);
        registration.poll
    }

    /// Wakes all who wait, since no event will come any more.
    pub(super) fn wake_all(&mut self, slots: &mut Slots, effects: &mut Effects) {
        for registration in self.entries.values_mut() {
            effects.wakers.extend(registration.receiver.take());
            wake_line(&mut registration.readers, slots, effects);
            wake_line(&mut registration.writers, slots, effects);
        }
    }

    /// The events that epoll or a poll reported.
    pub(super) fn on_events(
        &mut self,
        key: Key,
        events: u32,
        slots: &mut Slots,
        effects: &mut Effects,
    ) -> bool {
        let Some(registration) = self.entries.get_mut(key) else { return false };
        if events & (HANG_UP | MARK) != 0 {
            registration.readable_until_refused = true;
        }
        if events & (libc::EPOLLIN as u32 | HANG_UP) != 0 {
            registration.readable = true;
            if let Some(receiver) = registration.receiver.take() {
                effects.wakers.push(receiver);
            }
            wake_line(&mut registration.readers, slots, effects);
        }
        if events & (libc::EPOLLOUT | libc::EPOLLERR | libc::EPOLLHUP) as u32 != 0 {
            registration.writable = true;
            wake_line(&mut registration.writers, slots, effects);
        }
        true
    }
}

const HANG_UP: u32 = (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) as u32;
const MARK: u32 = libc::EPOLLPRI as u32;

impl Registration {
    pub(super) fn is_ready(&self, direction: Direction) -> bool {
        match direction {
            Direction::Read => self.readable,
            Direction::Write => self.writable,
        }
    }

    /// A receive came back short: the descriptor is drained, unless only EAGAIN says so. A mark that
    /// came after the last event is still to be reported, with what follows it.
    pub(super) fn drained(&mut self) {
        self.readable = self.readable_until_refused;
    }

    /// A call was refused with EAGAIN.
    pub(super) fn refused(&mut self, direction: Direction) {
        match direction {
            Direction::Read => {
                self.readable = false;
                self.readable_until_refused = false;
            }
            Direction::Write => self.writable = false,
        }
    }

    pub(super) fn line(&mut self, direction: Direction) -> &mut List {
        match direction {
            Direction::Read => &mut self.readers,
            Direction::Write => &mut self.writers,
        }
    }
}

#[inline]
fn wake_line(line: &mut List, slots: &mut Slots, effects: &mut Effects) {
    if line.is_empty() {
        return;
    }
    while let Some(slot) = slots.next_in(line) {
        slot.done = true;
        effects.wakers.extend(slot.waker.take());
    }
}
