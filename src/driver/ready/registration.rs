//! What is known of one descriptor.
//!
//! epoll tells of edges: "ready" holds until a call was refused, or a receive came back short and
//! nothing can have cut it. On a ring a poll tells, for streams that receive by notification. It is
//! armed by whoever begins to wait, and looks before it waits, so there any short receive will do.
//!
//! Of sends a count says nothing. One that took a part may have been cut by the kernel's limits for
//! a call, and waits for an edge that never comes if it is taken for refused; to be refused costs
//! one call each time that a socket is full.

use std::task::Waker;

use super::super::operation::Direction;
use super::wait::{Places, call_line};
use crate::util::linked_slab::List;

pub(super) struct Registration {
    readable: bool,
    writable: bool,
    /// A short receive says nothing, only EAGAIN does: the peer hung up, or there is an error, so no
    /// further edge will come; or an urgent mark was reported, which may end a receive early.
    readable_until_refused: bool,
    /// The kernel tells of the descriptor.
    pub(super) watched: bool,
    /// The waker of the stream that waits to receive: there is one at most for a descriptor.
    pub(super) receiver: Option<Waker>,
    readers: List,
    writers: List,
}

const HANG_UP: u32 = (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) as u32;
const MARK: u32 = libc::EPOLLPRI as u32;

impl Registration {
    /// A descriptor that is not known to be ready.
    pub(super) fn new() -> Self {
        Registration {
            readable: false,
            writable: false,
            readable_until_refused: false,
            watched: false,
            receiver: None,
            readers: List::EMPTY,
            writers: List::EMPTY,
        }
    }

    /// The kernel has reported these events.
    #[inline]
    pub(super) fn on_events(&mut self, events: u32, places: &mut Places, wakers: &mut Vec<Waker>) {
        if events & (HANG_UP | MARK) != 0 {
            self.readable_until_refused = true;
        }
        if events & (libc::EPOLLIN as u32 | HANG_UP) != 0 {
            self.readable = true;
            if let Some(receiver) = self.receiver.take() {
                wakers.push(receiver);
            }
            call_line(&mut self.readers, places, wakers);
        }
        if events & (libc::EPOLLOUT | libc::EPOLLERR | libc::EPOLLHUP) as u32 != 0 {
            self.writable = true;
            call_line(&mut self.writers, places, wakers);
        }
    }

    /// Calls all who wait: they try again.
    pub(super) fn call_all(&mut self, places: &mut Places, wakers: &mut Vec<Waker>) {
        wakers.extend(self.receiver.take());
        call_line(&mut self.readers, places, wakers);
        call_line(&mut self.writers, places, wakers);
    }

    #[inline(always)]
    pub(super) fn is_ready(&self, direction: Direction) -> bool {
        match direction {
            Direction::Read => self.readable,
            Direction::Write => self.writable,
        }
    }

    /// Takes the word that the descriptor is readable: the receive that follows says what is left. The
    /// answer is whether only EAGAIN can say so.
    #[inline(always)]
    pub(super) fn take_readable(&mut self) -> bool {
        self.readable = false;
        self.readable_until_refused
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
