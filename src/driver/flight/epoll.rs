//! epoll: descriptors in, events out. It carries no operation.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use super::super::metrics::{Counters, count};
use super::kernel::Capabilities;
use crate::sys::clock;
use crate::sys::epoll::{self, Event};
use crate::sys::ring::Wait;
use crate::util::linked_slab::Key;

pub(super) struct Epoll {
    epoll: epoll::Epoll,
    /// The runtime is ending: a failed wait does not panic.
    ending: bool,
}

impl Epoll {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Epoll { epoll: epoll::Epoll::new()?, ending: false })
    }

    pub(super) fn can(&self) -> Capabilities {
        Capabilities {
            name: "epoll",
            opens_nonblocking: true,
            carries_operations: false,
            tells_once: false,
            reads_files: false,
            accepts_many: false,
            receives_many: false,
            hears_ends: false,
            is_simulated: false,
        }
    }

    /// Waits for a doorbell, on and on.
    pub(super) fn watch_doorbell(
        &self,
        doorbell: BorrowedFd<'_>,
        user_data: u64,
    ) -> io::Result<()> {
        self.epoll.add(doorbell.as_raw_fd(), user_data)
    }

    /// Registers a descriptor, edge-triggered, for reading and writing, until it is closed.
    pub(super) fn watch(&self, fd: RawFd, registration: Key) -> io::Result<()> {
        self.epoll.add(fd, registration.to_bits())
    }

    /// The close takes a descriptor out of the set, unless its file lives on elsewhere.
    pub(super) fn unwatch(&self, fd: RawFd, shared: bool) {
        if shared {
            self.epoll.remove(fd);
        }
    }

    pub(super) fn ends(&mut self) {
        self.ending = true;
    }

    /// One visit to the kernel: waits as told, and gives the events.
    #[inline(always)]
    pub(super) fn turn(&mut self, wait: Wait, events: &mut Vec<Event>, counters: &Counters) {
        count(&counters.enters);
        if let Err(error) = self.epoll.wait(wait, events) {
            self.wait_failed(&error, counters);
        }
        counters.completions.set(counters.completions.get() + events.len() as u64);
    }

    #[cold]
    fn wait_failed(&self, error: &io::Error, counters: &Counters) {
        match error.raw_os_error() {
            // A signal; the loop computes its wait anew.
            Some(libc::EINTR) => count(&counters.enter_interrupted),
            // The end of a runtime waits for the pool, a while at a time, and needs no events.
            _ if self.ending => clock::pause(Duration::from_millis(1)),
            // Nothing that a program can do right leads here: the descriptor was closed behind our
            // back, or the thread was forbidden the call.
            _ => panic!("the epoll instance of this shard cannot be used any more: {error}"),
        }
    }
}
