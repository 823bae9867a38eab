//! The seam below which the kernel can be exchanged: push an entry, enter, reap completions.
//!
//! [`KernelRing`] is the real one. With the feature `sim`, a simulated kernel takes its place and
//! reads the very same entries. The ring knows nothing of slots, wakers or buffers.

use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

use io_uring::types::{BufRingEntry, Timespec};
use io_uring::{IoUring, squeue};

use super::call::SysCall;
use super::setup::RingPlace;
#[cfg(feature = "sim")]
use super::sim::SimRing;

/// One completion, as it crosses the seam.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cqe {
    /// What the submission queue entry carried: slot index and generation.
    pub(crate) user_data: u64,
    /// The system call's result: a count or a descriptor, or a negated errno.
    pub(crate) result: i32,
    /// `IORING_CQE_F_*`.
    pub(crate) flags: u32,
}

impl Cqe {
    /// Whether the operation will post another completion.
    #[inline]
    pub(crate) fn more(&self) -> bool {
        io_uring::cqueue::more(self.flags)
    }

    /// The buffer of the group that the kernel picked, also when the operation failed.
    #[inline]
    pub(crate) fn buffer_id(&self) -> Option<u16> {
        io_uring::cqueue::buffer_select(self.flags)
    }

    /// The result as the system call's wrapper would return it.
    #[inline]
    pub(crate) fn outcome(&self) -> io::Result<u32> {
        u32::try_from(self.result).map_err(|_| io::Error::from_raw_os_error(-self.result))
    }
}

/// How long `enter` may wait for a completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Submit and collect what is there.
    No,
    /// Until a completion comes.
    Forever,
    /// Until a completion comes or the time is over.
    For(Duration),
}

/// The submission queue has no free entry.
#[derive(Debug)]
pub(crate) struct Full;

/// A ring of the kernel's, or of a simulated one.
#[cfg_attr(feature = "sim", expect(clippy::large_enum_variant, reason = "one per shard"))]
pub(crate) enum Ring {
    /// `io_uring_setup(2)`.
    Kernel(KernelRing),
    /// The simulated kernel of `sys::sim`.
    #[cfg(feature = "sim")]
    Sim(SimRing),
}

macro_rules! on_ring {
    ($self:expr, $ring:ident => $call:expr) => {
        match $self {
            Ring::Kernel($ring) => $call,
            #[cfg(feature = "sim")]
            Ring::Sim($ring) => $call,
        }
    };
}

impl Ring {
    /// Stages an entry; nothing reaches the kernel before the next [`enter`](Self::enter).
    ///
    /// # Safety
    ///
    /// Everything the entry points at must stay valid, and must not be touched, until the
    /// operation's final completion has been reaped. That holds also if `enter` fails: the kernel
    /// may have consumed the entry.
    #[inline]
    pub(crate) unsafe fn push(&mut self, entry: &squeue::Entry) -> Result<(), Full> {
        // SAFETY: the caller's promise is the one that both rings ask for.
        on_ring!(self, ring => unsafe { ring.push(entry) })
    }

    /// How many entries wait for the next `enter`.
    #[inline]
    pub(crate) fn staged(&mut self) -> u32 {
        on_ring!(self, ring => ring.staged())
    }

    /// Submits what is staged, runs the kernel's deferred work, and waits as told. The end of a
    /// bounded wait is no error; EINTR, EAGAIN, EBUSY and ENOMEM are, and the caller handles them.
    #[inline(always)]
    pub(crate) fn enter(&mut self, wait: Wait) -> io::Result<()> {
        on_ring!(self, ring => ring.enter(wait))
    }

    /// Moves every posted completion into `into`.
    #[inline]
    pub(crate) fn reap(&mut self, into: &mut Vec<Cqe>) {
        on_ring!(self, ring => ring.reap(into));
    }

    /// Whether the kernel asks for a visit: deferred work waits, or completions overflowed.
    #[inline]
    pub(crate) fn wants_enter(&mut self) -> bool {
        on_ring!(self, ring => ring.wants_enter())
    }

    /// Whether the kernel below is a simulated one.
    pub(crate) fn is_simulated(&self) -> bool {
        !matches!(self, Ring::Kernel(_))
    }

    /// How often the completion queue was found overflowed.
    pub(crate) fn overflows(&self) -> u64 {
        on_ring!(self, ring => ring.overflows())
    }

    /// Makes a ring of provided buffers known under the number `group` (5.19).
    ///
    /// # Safety
    ///
    /// `base` must point at page-aligned memory of `entries` entries that lives until the ring is
    /// closed and no operation uses the group any more.
    pub(crate) unsafe fn register_buffer_ring(
        &mut self,
        base: *mut BufRingEntry,
        entries: u16,
        group: u16,
    ) -> io::Result<()> {
        // SAFETY: the caller's promise is the one that both rings ask for.
        on_ring!(self, ring => unsafe { ring.register_buffer_ring(base, entries, group) })
    }

    /// Asks for up to `completions` in one wait, with a minimum wait of 1 µs so that it never
    /// waits for the last of them (6.12; ignored before).
    pub(crate) fn set_reap_batch(&mut self, completions: u32) {
        match self {
            Ring::Kernel(ring) => ring.reap_batch = completions.max(1),
            #[cfg(feature = "sim")]
            Ring::Sim(_) => {}
        }
    }
}

/// A ring of the running kernel, opened on the thread that uses it.
pub(crate) struct KernelRing {
    /// Before the ring, so that it is given up first.
    place: Option<RingPlace>,
    ring: IoUring,
    /// `IORING_ENTER_NO_IOWAIT` where the kernel has it (6.15): an idle server is not "iowait".
    enter_flags: u32,
    /// Whether `enter` takes a minimum wait (6.12).
    min_wait: bool,
    reap_batch: u32,
    overflows: u64,
}

const ENTER_GETEVENTS: u32 = 1 << 0;
const ENTER_EXT_ARG: u32 = 1 << 3;
const ENTER_REGISTERED_RING: u32 = 1 << 4;
const ENTER_NO_IOWAIT: u32 = 1 << 7;

/// `struct io_uring_getevents_arg`.
#[repr(C)]
#[derive(Default)]
struct GetEvents {
    signal_mask: u64,
    signal_mask_size: u32,
    wait_min_us: u32,
    timespec: u64,
}

impl KernelRing {
    /// Wraps a ring that `sys::setup` opened.
    pub(crate) fn new(ring: IoUring) -> Self {
        let no_iowait = ring.params().is_feature_no_iowait();
        let min_wait = ring.params().is_feature_min_timeout();
        // By default only the limit of processes bounds the kernel's threads for what may wait long.
        // Before 5.15 there is no such bound, and nothing that corering submits needs many.
        let _ = ring.submitter().register_iowq_max_workers(&mut [0, WORKERS_MAX]);
        // Without a place for the descriptor (a thread has 16) the plain one does as well.
        let place = RingPlace::register(&ring);
        let registered = if place.is_some() { ENTER_REGISTERED_RING } else { 0 };
        let no_iowait = if no_iowait { ENTER_NO_IOWAIT } else { 0 };
        KernelRing {
            place,
            ring,
            enter_flags: ENTER_GETEVENTS | registered | no_iowait,
            min_wait,
            reap_batch: 1,
            overflows: 0,
        }
    }

    #[inline]
    unsafe fn push(&mut self, entry: &squeue::Entry) -> Result<(), Full> {
        // SAFETY: the caller of `Ring::push` vouches for what the entry points at.
        unsafe { self.ring.submission().push(entry) }.map_err(|_| Full)
    }

    #[inline]
    fn staged(&mut self) -> u32 {
        self.ring.submission().len() as u32
    }

    // Inlined: see `SysCall::enter_kernel`.
    #[inline(always)]
    fn enter(&mut self, wait: Wait) -> io::Result<()> {
        let mut flags = self.enter_flags;
        let mut argument = GetEvents::default();
        let mut complete_min = u32::from(wait != Wait::No);
        if wait != Wait::No && self.reap_batch > 1 && self.min_wait {
            complete_min = self.reap_batch;
            argument.wait_min_us = 1;
            flags |= ENTER_EXT_ARG;
        }
        let timespec;
        if let Wait::For(duration) = wait {
            let duration = duration.min(WAIT_MAX);
            timespec = Timespec::from(duration);
            argument.timespec = &raw const timespec as u64;
            flags |= ENTER_EXT_ARG;
        }
        let (pointer, size) = match flags & ENTER_EXT_ARG {
            0 => (0, 0),
            _ => (&raw const argument as usize, size_of::<GetEvents>()),
        };
        let fd = match &self.place {
            Some(place) => place.index() as usize,
            None => self.ring.as_raw_fd() as usize,
        };
        let staged = self.staged() as usize;
        let arguments = [fd, staged, complete_min as usize, flags as usize, pointer, size];
        let call = SysCall::new(libc::SYS_io_uring_enter, arguments);
        // SAFETY: the argument and the timespec it points at outlive the call.
        match unsafe { call.run_for_real() } {
            0.. => Ok(()),
            result if result == -libc::ETIME => Ok(()),
            result => Err(io::Error::from_raw_os_error(-result)),
        }
    }

    #[inline]
    fn reap(&mut self, into: &mut Vec<Cqe>) {
        into.extend(self.ring.completion().map(|cqe| Cqe {
            user_data: cqe.user_data(),
            result: cqe.result(),
            flags: cqe.flags(),
        }));
    }

    #[inline]
    fn wants_enter(&mut self) -> bool {
        let queue = self.ring.submission();
        let overflow = queue.cq_overflow();
        let wanted = overflow || queue.taskrun();
        drop(queue);
        self.overflows += u64::from(overflow);
        wanted
    }

    fn overflows(&self) -> u64 {
        self.overflows
    }

    unsafe fn register_buffer_ring(
        &mut self,
        base: *mut BufRingEntry,
        entries: u16,
        group: u16,
    ) -> io::Result<()> {
        // SAFETY: the caller of `Ring::register_buffer_ring` vouches for the memory.
        unsafe {
            self.ring.submitter().register_buf_ring_with_flags(base as u64, entries, group, 0)
        }
    }
}

/// Threads of the kernel, of one ring, for operations that may wait for long. Those that wait for a
/// disk keep the kernel's own bound.
const WORKERS_MAX: u32 = 64;

/// Longer waits end early and are taken up again; the kernel refuses seconds beyond an `i64`.
const WAIT_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::setup;

    #[test]
    fn the_kernels_worker_threads_are_bounded() {
        if !setup::tests::uring_is_tested() {
            return;
        }
        let (ring, _) = setup::open_ring(8).expect("this machine allows io_uring");
        let ring = KernelRing::new(ring);
        // Zeroes change nothing, and the old bounds come back in their place.
        let mut bounds = [0, 0];
        ring.ring.submitter().register_iowq_max_workers(&mut bounds).expect("5.15 or later");
        assert_eq!(bounds[1], WORKERS_MAX);
    }
}
