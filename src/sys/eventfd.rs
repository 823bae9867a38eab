//! The doorbell of a shard: an eventfd that other threads write and the shard's driver waits for.
//!
//! A driver never reads it: both wait for it edge-triggered, and each write is an edge.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::refusal::needs_call;

/// An owned eventfd, closed when the last holder drops it.
#[derive(Debug)]
pub(crate) struct EventFd {
    fd: OwnedFd,
}

impl EventFd {
    /// Opens an eventfd that neither blocks nor survives `exec`.
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: eventfd takes no pointer.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(needs_call("eventfd2", io::Error::last_os_error()));
        }
        // SAFETY: the descriptor was just opened and nothing else owns it.
        Ok(EventFd { fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// Rings: whoever waits for the descriptor wakes. Never blocks; a counter that is full (after
    /// 2^64 - 2 rings) would mean that the edge has been there all along.
    pub(crate) fn ring(&self) {
        let one = 1_u64.to_ne_bytes();
        // SAFETY: the pointer and the length describe `one`, which outlives the call.
        unsafe { libc::write(self.fd.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    /// Takes the rings that have come, for a thread that waits by `poll(2)`. False: there was none.
    pub(crate) fn take(&self) -> bool {
        let mut count = [0_u8; 8];
        // SAFETY: the pointer and the length describe `count`, which outlives the call.
        let read =
            unsafe { libc::read(self.fd.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
        read == 8
    }
}

// In a model of loom nobody sleeps in the kernel.
#[cfg(all(test, not(loom)))]
impl EventFd {
    /// Waits for a ring, and takes it. False: none came, which a test reports as a lost wake.
    pub(crate) fn wait(&self, at_most: std::time::Duration) -> bool {
        let mut poll = libc::pollfd { fd: self.fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let timeout_ms = i32::try_from(at_most.as_millis()).expect("a test waits for seconds");
        // SAFETY: the pointer and the count describe `poll`, which outlives the call.
        unsafe { libc::poll(&raw mut poll, 1, timeout_ms) };
        self.take()
    }
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
