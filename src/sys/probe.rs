//! What this kernel lets corering do, for people to read.

use std::alloc::{self, Layout};
use std::fmt;

use io_uring::IoUring;

use super::refusal::Refusal;
use super::setup::{self, RingPlace, SetupFlag, SetupReport};
use super::support::{self, OPERATIONS};

/// Finds out what the kernel lets this process do, by opening a small ring on this thread and closing
/// it again.
///
/// The answer holds for a thread with the same rights. It does not depend on the environment variable
/// `CORERING_DRIVER`, and needs no runtime. Where locked memory is short it blocks for up to 200 ms.
///
/// # Examples
/// ```
/// let capabilities = corering::probe();
/// println!("{capabilities}");
/// if let Some(refusal) = capabilities.refusal() {
///     println!("To use io_uring: {}.", refusal.advice());
/// }
/// ```
pub fn probe() -> Capabilities {
    let opened = setup::open_ring(ENTRIES);
    Capabilities {
        kernel: support::kernel_release(),
        uring: opened.map(|(ring, report)| Granted::of(&ring, &report)),
    }
}

/// The size of the ring that is opened for the probe.
const ENTRIES: u32 = 8;

/// What the kernel lets corering do. `Display` tells it in plain sentences, one a line.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct Capabilities {
    kernel: String,
    uring: Result<Granted, Refusal>,
}

#[derive(Clone, Debug, Default)]
struct Granted {
    setup_flags: Vec<&'static str>,
    features: Vec<&'static str>,
    operations: Vec<&'static str>,
    multishot: Vec<&'static str>,
    buffer_rings: bool,
    fallbacks: Vec<String>,
}

impl Capabilities {
    /// The kernel's release, as `uname -r` prints it.
    pub fn kernel(&self) -> &str {
        &self.kernel
    }

    /// Whether a ring can be opened and has all that corering cannot do without.
    pub fn is_uring_available(&self) -> bool {
        self.uring.is_ok()
    }

    /// Why io_uring cannot be used; `None` where it can.
    pub fn refusal(&self) -> Option<&Refusal> {
        self.uring.as_ref().err()
    }

    /// The flags of `io_uring_setup` that were granted, without their prefix `IORING_SETUP_`.
    pub fn setup_flags(&self) -> &[&'static str] {
        self.granted(|granted| &granted.setup_flags)
    }

    /// The features that corering knows and the kernel has, without their prefix `IORING_FEAT_`.
    pub fn features(&self) -> &[&'static str] {
        self.granted(|granted| &granted.features)
    }

    /// The operations that corering submits and the kernel knows, in small letters.
    pub fn operations(&self) -> &[&'static str] {
        self.granted(|granted| &granted.operations)
    }

    /// The operations that corering lets the kernel repeat by itself: `accept`, `recv`, `poll`.
    pub fn multishot(&self) -> &[&'static str] {
        self.granted(|granted| &granted.multishot)
    }

    /// Whether the kernel picks receive buffers from a shared ring of them (Linux 5.19).
    pub fn has_buffer_rings(&self) -> bool {
        self.uring.as_ref().is_ok_and(|granted| granted.buffer_rings)
    }

    /// What corering does differently here because the kernel lacks something: a sentence each.
    pub fn fallbacks(&self) -> &[String] {
        self.granted(|granted| &granted.fallbacks)
    }

    fn granted<T>(&self, list: impl FnOnce(&Granted) -> &[T]) -> &[T] {
        self.uring.as_ref().map_or(&[], list)
    }
}

impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "The kernel is Linux {}.", self.kernel)?;
        let granted = match &self.uring {
            Ok(granted) => granted,
            Err(refusal) => {
                writeln!(f, "The ring cannot be used: {refusal}.")?;
                writeln!(f, "To use it, {}.", refusal.advice())?;
                return f.write_str(
                    "Fallback: corering runs on epoll, and files go to a pool of blocking threads.",
                );
            }
        };
        writeln!(f, "The ring works: one was opened and closed again.")?;
        writeln!(f, "Setup flags granted: {}.", listed(&granted.setup_flags))?;
        writeln!(f, "Features: {}.", listed(&granted.features))?;
        writeln!(f, "Operations: {}.", listed(&granted.operations))?;
        writeln!(f, "Multishot: {}.", listed(&granted.multishot))?;
        let buffer_rings = if granted.buffer_rings { "work" } else { "are not there" };
        writeln!(f, "Buffer rings {buffer_rings}.")?;
        if granted.fallbacks.is_empty() {
            return f.write_str("Fallbacks: none are needed.");
        }
        f.write_str("Fallbacks:")?;
        granted.fallbacks.iter().try_for_each(|fallback| write!(f, "\n- {fallback}."))
    }
}

impl Granted {
    fn of(ring: &IoUring, report: &SetupReport) -> Self {
        let mut granted = Granted {
            setup_flags: report.flags.iter().map(|flag| flag.name()).collect(),
            features: features(ring, report),
            buffer_rings: buffer_rings_work(ring),
            ..Granted::default()
        };
        granted.setup_flags.push("CQSIZE");
        granted.setup_flags.push("CLAMP");
        for operation in &OPERATIONS {
            if report.support.has(operation.code) {
                granted.operations.push(operation.name);
            } else if let Some(fallback) = operation.fallback {
                granted.fallbacks.push(format!(
                    "{fallback}: the kernel lacks or refuses IORING_OP_{} ({})",
                    operation.name.to_uppercase(),
                    operation.since
                ));
            }
        }
        granted.multishot(report);
        granted.waiting(report);
        granted
    }

    fn multishot(&mut self, report: &SetupReport) {
        let support = report.support;
        if support.multishot_accept() {
            self.multishot.push("accept");
        } else if support.multishot_accept_is_broken() {
            self.fall_back(
                "one-shot accept: on this kernel multishot accept may return a wrong descriptor",
            );
        } else {
            self.fall_back("one-shot accept: the kernel has no multishot accept (5.19)");
        }
        if !self.buffer_rings {
            self.fall_back("one-shot receive: the kernel has no buffer rings (5.19)");
        } else if support.multishot_receive() {
            self.multishot.push("recv");
            if !support.hears_ends() {
                self.fall_back(
                    "receive by notification on Unix sockets: on this kernel a multishot receive \
                     may miss an end that follows bytes at once (liburing#1549)",
                );
            }
        } else {
            self.fall_back("one-shot receive: the kernel has no multishot receive (6.0)");
        }
        // No kernel without it is accepted.
        self.multishot.push("poll");
    }

    /// What of the setup costs time or shows wrong figures where it is missing.
    fn waiting(&mut self, report: &SetupReport) {
        if !report.has(SetupFlag::DeferTaskrun) {
            self.fall_back(
                "completions may interrupt the running task: the kernel has no DEFER_TASKRUN (6.1)",
            );
        }
        if !report.no_iowait {
            self.fall_back(
                "an idle shard shows as waiting for a disk: the kernel has no NO_IOWAIT (6.15)",
            );
        }
        if !report.min_timeout {
            self.fall_back(
                "reap_batch has no effect: the kernel has no minimum wait time, MIN_TIMEOUT (6.12)",
            );
        }
    }

    fn fall_back(&mut self, sentence: &str) {
        self.fallbacks.push(sentence.into());
    }
}

fn features(ring: &IoUring, report: &SetupReport) -> Vec<&'static str> {
    let place = RingPlace::register(ring);
    let known = [
        (true, "NODROP"),
        (true, "FAST_POLL"),
        (true, "EXT_ARG"),
        (place.is_some_and(|place| place.also_registers()), "REG_REG_RING"),
        (report.bundles, "RECVSEND_BUNDLE"),
        (report.min_timeout, "MIN_TIMEOUT"),
        (report.no_iowait, "NO_IOWAIT"),
    ];
    known.into_iter().filter_map(|(present, name)| present.then_some(name)).collect()
}

/// Registers a ring of one buffer and takes it away again.
fn buffer_rings_work(ring: &IoUring) -> bool {
    const GROUP: u16 = 0;
    // SAFETY: sysconf takes no pointer.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
    let Ok(layout) = Layout::from_size_align(page, page) else { return false };
    // SAFETY: the size is not zero.
    let memory = unsafe { alloc::alloc_zeroed(layout) };
    if memory.is_null() {
        return false;
    }
    let submitter = ring.submitter();
    // SAFETY: the memory is aligned to a page, larger than the one entry, and freed only after it was
    // unregistered; no operation uses the group.
    let registered =
        unsafe { submitter.register_buf_ring_with_flags(memory as u64, 1, GROUP, 0) }.is_ok();
    if registered && submitter.unregister_buf_ring(GROUP).is_err() {
        // The kernel holds the page: it is leaked rather than freed.
        return true;
    }
    // SAFETY: allocated above with this layout, and the kernel does not hold it any more.
    unsafe { alloc::dealloc(memory, layout) };
    registered
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::setup::tests::uring_is_tested;

    #[test]
    fn this_machine_has_a_ring_with_all_operations_it_needs() {
        if !uring_is_tested() {
            return;
        }
        let capabilities = probe();
        assert!(capabilities.is_uring_available(), "{capabilities}");
        for name in ["recv", "accept", "statx"] {
            assert!(capabilities.operations().contains(&name), "{capabilities}");
        }
    }

    #[test]
    fn a_refusal_is_told_with_advice_and_fallback() {
        let capabilities = Capabilities { kernel: "6.1.0".into(), uring: Err(Refusal::Seccomp) };
        let told = capabilities.to_string();
        assert!(told.contains("io_uring is blocked by seccomp (EPERM)."), "{told}");
        assert!(told.contains("seccomp profile"), "{told}");
        assert!(told.contains("corering runs on epoll"), "{told}");
        assert!(capabilities.operations().is_empty());
    }

    #[test]
    fn every_missing_thing_has_a_sentence() {
        let mut granted = Granted::default();
        granted.fall_back("ftruncate runs on the blocking pool");
        granted.fall_back("one-shot accept");
        let told = Capabilities { kernel: "6.7.0".into(), uring: Ok(granted) }.to_string();
        assert!(
            told.ends_with(
                "Fallbacks:\n- ftruncate runs on the blocking pool.\n- one-shot accept."
            ),
            "{told}"
        );
    }

    #[test]
    fn probing_again_and_again_uses_nothing_up() {
        if !uring_is_tested() {
            return;
        }
        // More often than a thread has places for rings.
        for _ in 0..20 {
            assert!(probe().is_uring_available());
        }
    }
}
