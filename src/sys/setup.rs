//! Opening a ring: flags the kernel does not know are given up one by one, and a lack of locked memory
//! is waited out, then met with fewer entries.
//!
//! The floor is Linux 5.13: a wait with a timeout (EXT_ARG, 5.11), completions that are never dropped
//! (NODROP), sockets that need no thread to wait (FAST_POLL), and a poll that reports more than once,
//! which the doorbell of a shard stands on. No feature bit says the last; RSRC_TAGS is of the same
//! release. With them come the operations that `support.rs` requires. All that is newer has a fallback.
//!
//! SQPOLL is never asked for: it burns a core and keeps the credentials of the thread that opened the
//! ring (CVE-2024-22017).

use std::marker::PhantomData;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;
use std::{io, ptr, thread};

use io_uring::{EnterFlags, IoUring};

use super::refusal::Refusal;
use super::support::Support;

/// A flag of `io_uring_setup` that was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SetupFlag {
    /// One thread submits (6.0).
    SingleIssuer,
    /// Completions are finished when the thread enters, not whenever (6.1). Needs `SingleIssuer`.
    DeferTaskrun,
    /// The same without an interrupt to the running thread (5.19), in place of `DeferTaskrun`.
    CoopTaskrun,
    /// A bit in shared memory says that an enter would finish completions (5.19). Needs one of the two
    /// flags before.
    TaskrunFlag,
    /// An entry that fails does not keep those after it from being submitted (5.18).
    SubmitAll,
    /// No array of indices between queue and entries (6.6).
    NoSqArray,
}

use SetupFlag::*;

impl SetupFlag {
    /// The name in the kernel's header, without its prefix.
    pub(crate) fn name(self) -> &'static str {
        match self {
            SingleIssuer => "SINGLE_ISSUER",
            DeferTaskrun => "DEFER_TASKRUN",
            CoopTaskrun => "COOP_TASKRUN",
            TaskrunFlag => "TASKRUN_FLAG",
            SubmitAll => "SUBMIT_ALL",
            NoSqArray => "NO_SQARRAY",
        }
    }

    fn ask(self, builder: &mut io_uring::Builder) {
        match self {
            SingleIssuer => builder.setup_single_issuer(),
            DeferTaskrun => builder.setup_defer_taskrun(),
            CoopTaskrun => builder.setup_coop_taskrun(),
            TaskrunFlag => builder.setup_taskrun_flag(),
            SubmitAll => builder.setup_submit_all(),
            NoSqArray => builder.setup_no_sqarray(),
        };
    }
}

/// What is asked for, best first. Each step drops what the next older kernel lacks, together with what
/// depends on it. EINVAL is all a kernel says of a flag it does not know, so the steps are tried.
const LADDER: [&[SetupFlag]; 6] = [
    &[SingleIssuer, DeferTaskrun, TaskrunFlag, SubmitAll, NoSqArray],
    &[SingleIssuer, DeferTaskrun, TaskrunFlag, SubmitAll],
    &[SingleIssuer, CoopTaskrun, TaskrunFlag, SubmitAll],
    &[CoopTaskrun, TaskrunFlag, SubmitAll],
    &[SubmitAll],
    &[],
];

/// How long a lack of memory is waited out. The kernel gives a closed ring's memory back late, so a
/// program that opens and closes rings in a loop meets it without being at fault.
const PATIENCE: Duration = Duration::from_millis(200);
const PATIENCE_STEP: Duration = Duration::from_millis(5);

/// Below this a ring is not halved further.
const ENTRIES_MIN: u32 = 64;

/// What a ring was opened with.
#[derive(Clone, Debug)]
pub(crate) struct SetupReport {
    /// The flags granted.
    pub(crate) flags: &'static [SetupFlag],
    /// Places in the submission queue: what was asked for, rounded up to a power of two, or less where
    /// memory was short.
    pub(crate) entries: u32,
    /// `IORING_ENTER_NO_IOWAIT` may be used (6.15): a thread that waits for completions does not show
    /// as waiting for a disk.
    pub(crate) no_iowait: bool,
    /// An enter takes a minimum time to wait for more than one completion (6.12).
    pub(crate) min_timeout: bool,
    /// A receive or send may cover several buffers (6.10). Off by default: several kernels reorder.
    pub(crate) bundles: bool,
    /// Operations and multishot.
    pub(crate) support: Support,
}

impl SetupReport {
    /// Whether a flag was granted.
    pub(crate) fn has(&self, flag: SetupFlag) -> bool {
        self.flags.contains(&flag)
    }
}

/// Opens a ring for the calling thread, which must be the one that uses it. `entries` is the size of
/// the submission queue; the completion queue has four times as many.
///
/// Blocks for up to 200 ms where locked memory is short, and then takes fewer entries.
pub(crate) fn open_ring(entries: u32) -> Result<(IoUring, SetupReport), Refusal> {
    let refuse = |error: io::Error| Refusal::from_setup_error(&error);
    let (ring, flags) =
        patiently(entries.max(1), open_with_fewer_flags, thread::sleep).map_err(refuse)?;
    // A filter may let the setup pass and deny this one. Nothing is submitted and nothing waited for.
    // SAFETY: no argument is passed, and no entry is in the queue.
    unsafe { ring.submitter().enter::<libc::sigset_t>(0, 0, EnterFlags::GETEVENTS.bits(), None) }
        .map_err(refuse)?;
    let params = ring.params();
    require(params.is_feature_nodrop(), "lossless completion queue (NODROP)", "5.5")?;
    require(params.is_feature_fast_poll(), "waiting without a thread (FAST_POLL)", "5.7")?;
    require(params.is_feature_ext_arg(), "wait with a timeout (EXT_ARG)", "5.11")?;
    require(params.is_feature_resource_tagging(), "multishot poll (RSRC_TAGS)", "5.13")?;
    let report = SetupReport {
        flags,
        entries: params.sq_entries(),
        no_iowait: params.is_feature_no_iowait(),
        min_timeout: params.is_feature_min_timeout(),
        bundles: params.is_feature_recvsend_bundle(),
        support: Support::of(&ring)?,
    };
    Ok((ring, report))
}

fn require(present: bool, missing: &'static str, since: &'static str) -> Result<(), Refusal> {
    if present { Ok(()) } else { Err(Refusal::TooOld { missing, since }) }
}

fn open_with_fewer_flags(entries: u32) -> io::Result<(IoUring, &'static [SetupFlag])> {
    let mut last = io::Error::from_raw_os_error(libc::EINVAL);
    for flags in LADDER {
        let mut builder = IoUring::builder();
        builder.setup_clamp().setup_cqsize(entries.saturating_mul(4));
        flags.iter().for_each(|flag| flag.ask(&mut builder));
        match builder.build(entries) {
            Ok(ring) => return Ok((ring, flags)),
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

/// Calls `open` until it does not lack memory: first again and again, then with half the entries.
fn patiently<T>(
    asked: u32,
    mut open: impl FnMut(u32) -> io::Result<T>,
    mut pause: impl FnMut(Duration),
) -> io::Result<T> {
    let mut entries = asked;
    let mut waited = Duration::ZERO;
    loop {
        match open(entries) {
            Err(error) if error.raw_os_error() == Some(libc::ENOMEM) => {
                if waited < PATIENCE {
                    pause(PATIENCE_STEP);
                    waited += PATIENCE_STEP;
                } else if entries > ENTRIES_MIN {
                    entries = (entries / 2).max(ENTRIES_MIN);
                } else {
                    return Err(error);
                }
            }
            other => return other,
        }
    }
}

/// A ring's place in the table of its thread, so that `enter` need not look up a descriptor.
///
/// A thread has 16 places, and a place keeps the ring open. So this must be dropped before the ring it
/// was made for, and on the same thread: declare it before the ring in a struct.
#[derive(Debug)]
pub(crate) struct RingPlace {
    ring: RawFd,
    index: u32,
    /// The table belongs to the thread.
    not_send: PhantomData<*const ()>,
}

impl RingPlace {
    /// Takes a place for the ring; `None` where there is none (EBUSY) or the kernel has no such table
    /// (before 5.18). The plain descriptor does as well.
    pub(crate) fn register(ring: &IoUring) -> Option<Self> {
        let ring = ring.as_raw_fd();
        let mut update = PlaceUpdate { offset: u32::MAX, reserved: 0, data: ring as u64 };
        // SAFETY: the pointer leads to one update, which outlives the call; the kernel writes the place
        // it chose into `offset`.
        let taken = unsafe {
            register(ring, IORING_REGISTER_RING_FDS, ptr::from_mut(&mut update).cast(), 1)
        };
        taken.is_ok_and(|count| count == 1).then_some(RingPlace {
            ring,
            index: update.offset,
            not_send: PhantomData,
        })
    }

    /// What `io_uring_enter` takes in place of the descriptor, with `IORING_ENTER_REGISTERED_RING`.
    pub(crate) fn index(&self) -> u32 {
        self.index
    }

    /// Whether `io_uring_register` takes the place as well (6.3).
    pub(crate) fn also_registers(&self) -> bool {
        let mut probe = [0_u64; 2];
        let opcode = IORING_REGISTER_PROBE | IORING_REGISTER_USE_REGISTERED_RING;
        // SAFETY: the pointer leads to the 16 zeroed bytes of a probe's head, with room for 0 operations.
        unsafe { register(self.index as RawFd, opcode, probe.as_mut_ptr().cast(), 0) }.is_ok()
    }
}

impl Drop for RingPlace {
    fn drop(&mut self) {
        let mut update = PlaceUpdate { offset: self.index, reserved: 0, data: 0 };
        // A failure means that the thread's table is gone, and the place with it.
        // SAFETY: the pointer leads to one update, which outlives the call.
        let _ = unsafe {
            register(self.ring, IORING_UNREGISTER_RING_FDS, ptr::from_mut(&mut update).cast(), 1)
        };
    }
}

/// `struct io_uring_rsrc_update` of the kernel's header.
#[repr(C)]
struct PlaceUpdate {
    offset: u32,
    reserved: u32,
    data: u64,
}

const IORING_REGISTER_PROBE: u32 = 8;
const IORING_REGISTER_RING_FDS: u32 = 20;
const IORING_UNREGISTER_RING_FDS: u32 = 21;
const IORING_REGISTER_USE_REGISTERED_RING: u32 = 1 << 31;

/// `io_uring_register`, for what the `io-uring` crate keeps to itself.
///
/// # Safety
/// `argument` and `count` must be what the operation code expects.
unsafe fn register(
    ring: RawFd,
    opcode: u32,
    argument: *mut libc::c_void,
    count: u32,
) -> io::Result<i64> {
    // SAFETY: the caller vouches for the argument; the kernel checks the rest.
    let result =
        unsafe { libc::syscall(libc::SYS_io_uring_register, ring, opcode, argument, count) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn no_memory() -> io::Error {
        io::Error::from_raw_os_error(libc::ENOMEM)
    }

    #[test]
    fn each_step_gives_up_flags_together_with_what_depends_on_them() {
        for flags in LADDER {
            let has = |flag| flags.contains(&flag);
            assert!(!has(DeferTaskrun) || has(SingleIssuer), "{flags:?}");
            assert!(!has(TaskrunFlag) || has(DeferTaskrun) || has(CoopTaskrun), "{flags:?}");
            assert!(!(has(DeferTaskrun) && has(CoopTaskrun)), "{flags:?}");
        }
    }

    #[test]
    fn memory_that_comes_back_late_is_waited_for() {
        let mut attempts = 0;
        let mut waited = Duration::ZERO;
        let opened = patiently(
            256,
            |entries| {
                attempts += 1;
                if attempts < 10 { Err(no_memory()) } else { Ok(entries) }
            },
            |pause| waited += pause,
        );
        assert_eq!(opened.expect("the tenth attempt succeeds"), 256);
        assert_eq!(waited, PATIENCE_STEP * 9);
    }

    #[test]
    fn entries_are_halved_down_to_64_and_never_raised() {
        let sizes_tried = |asked| {
            let mut sizes = Vec::new();
            let opened = patiently(
                asked,
                |entries| {
                    sizes.push(entries);
                    Err::<(), _>(no_memory())
                },
                |_| {},
            );
            assert_eq!(opened.unwrap_err().raw_os_error(), Some(libc::ENOMEM));
            sizes.dedup();
            sizes
        };
        assert_eq!(sizes_tried(512), [512, 256, 128, 64]);
        assert_eq!(sizes_tried(100), [100, 64]);
        assert_eq!(sizes_tried(64), [64]);
        assert_eq!(sizes_tried(4), [4]);
    }

    #[test]
    fn other_errors_are_not_retried() {
        let mut attempts = 0;
        let opened = patiently(
            256,
            |_| {
                attempts += 1;
                Err::<(), _>(io::Error::from_raw_os_error(libc::EPERM))
            },
            |_| panic!("an EPERM does not go away by waiting"),
        );
        assert_eq!(opened.unwrap_err().raw_os_error(), Some(libc::EPERM));
        assert_eq!(attempts, 1);
    }

    /// False where the suite was told to run without io_uring, as under a filter that denies it.
    pub(crate) fn uring_is_tested() -> bool {
        std::env::var("CORERING_TEST_DRIVERS").map_or(true, |drivers| drivers.contains("uring"))
    }

    #[test]
    fn a_ring_opens_with_four_times_the_completions() {
        if !uring_is_tested() {
            return;
        }
        let (ring, report) = open_ring(8).expect("this machine allows io_uring");
        assert_eq!(report.entries, 8);
        assert_eq!(ring.params().cq_entries(), 32);
    }

    #[test]
    fn the_largest_request_is_clamped() {
        if !uring_is_tested() {
            return;
        }
        let (_ring, report) = open_ring(u32::MAX).expect("this machine allows io_uring");
        assert!(report.entries >= ENTRIES_MIN);
    }

    #[test]
    fn a_dropped_place_can_be_taken_again() {
        if !uring_is_tested() {
            return;
        }
        // A thread has 16 places. Forty rings one after the other need one, if it is given back.
        for _ in 0..40 {
            let (ring, _) = open_ring(4).expect("this machine allows io_uring");
            let place = RingPlace::register(&ring);
            assert!(place.is_some(), "a ring before kept its place");
            drop(place);
        }
    }

    #[test]
    fn the_seventeenth_ring_of_a_thread_does_without_a_place() {
        if !uring_is_tested() {
            return;
        }
        let rings: Vec<_> = (0..17).map(|_| open_ring(4).expect("io_uring is allowed").0).collect();
        let places: Vec<_> = rings.iter().map(RingPlace::register).collect();
        assert_eq!(places.iter().flatten().count(), 16);
        assert!(places[16].is_none());
        drop(places);
    }
}
