//! The seam: the one place that knows which interface of the kernel runs.
//!
//! An interface keeps these promises to [`Flight`](super::Flight), which asks nothing else of it:
//!
//! - Whether it carries operations is whether it has a [`queue`](Kernel::queue). An entry that was
//!   pushed there is never lost, neither to a full queue nor to a call that failed, and is answered by
//!   completions under its `user_data`, of which exactly one is the last. Until then what it points at
//!   is the kernel's. A cancel asks for an early end; the last completion comes all the same.
//! - [`watch`](Kernel::watch) makes it report when a descriptor is ready, by events or by one
//!   completion ([`Capabilities::tells_once`]). A report that comes after
//!   [`unwatch`](Kernel::unwatch) carries a key that is no longer anyone's.
//! - [`turn`](Kernel::turn) is the one visit to the kernel: it submits, waits as told, and gives what
//!   has come. It runs no code of the user's. A doorbell ends its wait.
//! - What it cannot do is found out when it is made, and said by [`can`](Kernel::can). Nothing above
//!   asks which one runs: it asks for what can be done.

use std::io;
use std::os::fd::{BorrowedFd, RawFd};

use super::super::SharedFd;
use super::super::metrics::Counters;
use super::epoll::Epoll;
use super::uring::{Uring, poll_entry};
use crate::sys::epoll::Event;
use crate::sys::ring::{Cqe, Ring, Wait};
use crate::sys::support::Support;
use crate::util::linked_slab::Key;

/// What an interface is made from.
#[expect(clippy::large_enum_variant, reason = "made once per shard and moved at once")]
pub(crate) enum Backend {
    /// io_uring, or a simulated one.
    Uring { ring: Ring, support: Support },
    /// epoll(7) and the pool.
    Epoll,
}

/// The interface of the kernel that a driver stands on.
#[expect(clippy::large_enum_variant, reason = "one per shard, and the ring's is the hot one")]
pub(super) enum Kernel {
    Uring(Uring),
    Epoll(Epoll),
}

/// What an interface can do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capabilities {
    /// Its name, for messages.
    pub(crate) name: &'static str,
    /// Sockets are to be opened with `O_NONBLOCK`, since plain calls must not wait.
    pub(crate) opens_nonblocking: bool,
    /// Operations are taken as entries, and completed. If not, their plain calls are made.
    pub(crate) carries_operations: bool,
    /// It tells of readiness once for each wait, and of what is there already: see `Ready`.
    pub(in super::super) tells_once: bool,
    /// Files are read and written without a thread that waits for the disk.
    pub(crate) reads_files: bool,
    /// One accept brings many connections.
    pub(crate) accepts_many: bool,
    /// One receive fills many buffers of a group.
    pub(crate) receives_many: bool,
    /// Such a receive tells of the end of any stream, and not of TCP's alone.
    pub(crate) hears_ends: bool,
    /// Nothing may run on another thread.
    pub(crate) is_simulated: bool,
}

/// Added to the key of a registration, it makes the `user_data` of its watch. No key's number is as
/// large: a slab of so many values fits no memory.
pub(super) const WATCH: u64 = 1 << 63;

/// `user_data` of the driver's own.
pub(super) const DOORBELL: u64 = u64::MAX;
pub(super) const CANCEL: u64 = u64::MAX - 1;
pub(super) const SIGNALS: u64 = u64::MAX - 2;
/// The least of them.
pub(super) const LEAST_OF_OWN: u64 = SIGNALS;

const _: () = assert!(LEAST_OF_OWN >= Key::BITS_END);

impl Kernel {
    pub(super) fn new(backend: Backend) -> io::Result<Self> {
        Ok(match backend {
            Backend::Uring { ring, support } => Kernel::Uring(Uring::new(ring, support)),
            Backend::Epoll => Kernel::Epoll(Epoll::new()?),
        })
    }

    pub(super) fn can(&self) -> Capabilities {
        match self {
            Kernel::Uring(uring) => uring.can(),
            Kernel::Epoll(epoll) => epoll.can(),
        }
    }

    /// The queue of entries, if operations are carried.
    #[inline(always)]
    pub(super) fn queue(&mut self) -> Option<&mut Uring> {
        match self {
            Kernel::Uring(uring) => Some(uring),
            Kernel::Epoll(_) => None,
        }
    }

    /// Tells of a descriptor's readiness. Returns whether it does so by a completion, which comes once.
    #[inline(always)]
    pub(super) fn watch(
        &mut self,
        fd: &SharedFd,
        registration: Key,
        counters: &Counters,
    ) -> io::Result<bool> {
        match self {
            Kernel::Uring(uring) => {
                let entry = poll_entry(fd.target(), WATCH | registration.to_bits());
                // SAFETY: a poll points at nothing.
                unsafe { uring.push(entry, counters) };
                Ok(true)
            }
            Kernel::Epoll(epoll) => epoll.watch(fd.raw(), registration).map(|()| false),
        }
    }

    /// Tells no longer, but that this is so if it would have told by a completion. `shared`: the open
    /// file may live on.
    pub(super) fn unwatch(
        &mut self,
        fd: RawFd,
        registration: Key,
        shared: bool,
        counters: &Counters,
    ) {
        match self {
            Kernel::Uring(uring) => uring.unwatch(WATCH | registration.to_bits(), counters),
            Kernel::Epoll(epoll) => epoll.unwatch(fd, shared),
        }
    }

    /// Ends its waits when a doorbell rings, on and on.
    pub(super) fn watch_doorbell(
        &mut self,
        doorbell: BorrowedFd<'_>,
        user_data: u64,
        counters: &Counters,
    ) -> io::Result<()> {
        match self {
            Kernel::Uring(uring) => uring.watch(doorbell, user_data, counters),
            Kernel::Epoll(epoll) => epoll.watch_doorbell(doorbell, user_data)?,
        }
        Ok(())
    }

    /// From here on an interface that cannot be used is no panic: the runtime may end by one already.
    pub(super) fn ends(&mut self) {
        match self {
            Kernel::Uring(uring) => uring.ends(),
            Kernel::Epoll(epoll) => epoll.ends(),
        }
    }

    /// The one visit to the kernel.
    #[inline(always)]
    pub(super) fn turn(
        &mut self,
        wait: Wait,
        cqes: &mut Vec<Cqe>,
        events: &mut Vec<Event>,
        counters: &Counters,
    ) {
        match self {
            Kernel::Uring(uring) => uring.turn(wait, cqes, counters),
            Kernel::Epoll(epoll) => epoll.turn(wait, events, counters),
        }
    }
}
