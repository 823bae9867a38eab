//! What the kernel's io_uring can do, beyond what every kernel can that is accepted at all.
//!
//! Operations are asked for by `IORING_REGISTER_PROBE`, and tried, since a process may be restricted
//! to some of those that the kernel knows. What has no number of its own (multishot) is
//! concluded from an operation that came with the same release, not from the release's name:
//! distributions give new code old names. Of known bugs one is looked up by name, and one is tried.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::{io, ptr};

use io_uring::{IoUring, Probe, opcode, squeue, types};

use super::missed_end;
use super::refusal::Refusal;

/// An operation of the ring that corering uses.
pub(crate) struct KnownOperation {
    pub(crate) code: u8,
    pub(crate) name: &'static str,
    pub(crate) since: &'static str,
    /// What happens on a kernel without it, or that refuses it. `None`: such a ring is of no use.
    pub(crate) fallback: Option<&'static str>,
}

const fn required(code: u8, name: &'static str, since: &'static str) -> KnownOperation {
    KnownOperation { code, name, since, fallback: None }
}

const fn optional(
    code: u8,
    name: &'static str,
    since: &'static str,
    fallback: &'static str,
) -> KnownOperation {
    KnownOperation { code, name, since, fallback: Some(fallback) }
}

/// Every operation that corering submits, oldest first.
pub(crate) const OPERATIONS: [KnownOperation; 29] = [
    required(opcode::Nop::CODE, "nop", "5.1"),
    required(opcode::Readv::CODE, "readv", "5.1"),
    required(opcode::Writev::CODE, "writev", "5.1"),
    optional(opcode::Fsync::CODE, "fsync", "5.1", "fsync runs on the blocking pool"),
    required(opcode::PollAdd::CODE, "poll_add", "5.1"),
    optional(
        opcode::SyncFileRange::CODE,
        "sync_file_range",
        "5.2",
        "sync_file_range runs on the blocking pool",
    ),
    required(opcode::SendMsg::CODE, "sendmsg", "5.3"),
    required(opcode::RecvMsg::CODE, "recvmsg", "5.3"),
    required(opcode::Accept::CODE, "accept", "5.5"),
    required(opcode::AsyncCancel::CODE, "async_cancel", "5.5"),
    required(opcode::Connect::CODE, "connect", "5.5"),
    optional(opcode::Fallocate::CODE, "fallocate", "5.6", "fallocate runs on the blocking pool"),
    optional(opcode::Fadvise::CODE, "fadvise", "5.6", "fadvise runs on the blocking pool"),
    optional(opcode::OpenAt::CODE, "openat", "5.6", "openat runs on the blocking pool"),
    optional(opcode::OpenAt2::CODE, "openat2", "5.6", "openat2 runs on the blocking pool"),
    required(opcode::Close::CODE, "close", "5.6"),
    optional(opcode::Statx::CODE, "statx", "5.6", "statx runs on the blocking pool"),
    required(opcode::Read::CODE, "read", "5.6"),
    required(opcode::Write::CODE, "write", "5.6"),
    required(opcode::Send::CODE, "send", "5.6"),
    required(opcode::Recv::CODE, "recv", "5.6"),
    required(opcode::Shutdown::CODE, "shutdown", "5.11"),
    optional(opcode::RenameAt::CODE, "renameat", "5.11", "renameat runs on the blocking pool"),
    optional(opcode::UnlinkAt::CODE, "unlinkat", "5.11", "unlinkat runs on the blocking pool"),
    optional(opcode::MkDirAt::CODE, "mkdirat", "5.15", "mkdirat runs on the blocking pool"),
    optional(opcode::SymlinkAt::CODE, "symlinkat", "5.15", "symlinkat runs on the blocking pool"),
    optional(opcode::LinkAt::CODE, "linkat", "5.15", "linkat runs on the blocking pool"),
    optional(opcode::Socket::CODE, "socket", "5.19", "sockets are opened by a plain system call"),
    optional(opcode::Ftruncate::CODE, "ftruncate", "6.9", "ftruncate runs on the blocking pool"),
];

/// What one kernel supports. Small and `Copy`: each driver keeps its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Support {
    /// One bit per operation code.
    operations: u128,
    /// Major and minor number of the kernel's name; (0, 0) where it has another form.
    release: (u32, u32),
    /// Whether a multishot receive hears of every end; `None`: the kernel is to be tried.
    hears_ends: Option<bool>,
}

impl Support {
    /// Asks the kernel, and refuses one that lacks what has no fallback. Nothing may be in the ring.
    pub(crate) fn of(ring: &IoUring) -> Result<Self, Refusal> {
        let mut probe = Probe::new();
        ring.submitter()
            .register_probe(&mut probe)
            .map_err(|error| Refusal::from_setup_error(&error))?;
        let known = (0..128)
            .filter(|&code| probe.is_supported(code))
            .fold(0, |set, code| set | (1_u128 << code));
        let refused =
            refused_operations(ring).map_err(|error| Refusal::from_setup_error(&error))?;
        let operations = known & !refused;
        let support =
            Support { operations, release: parse_release(&kernel_release()), hears_ends: None };
        match OPERATIONS.iter().find(|o| o.fallback.is_none() && !support.has(o.code)) {
            Some(missing) if known & (1 << missing.code) != 0 => {
                Err(Refusal::Restricted { operation: missing.name })
            }
            Some(missing) => Err(Refusal::TooOld { missing: missing.name, since: missing.since }),
            None => Ok(support),
        }
    }

    /// Less than the kernel has.
    #[cfg(test)]
    pub(crate) fn without(self, codes: &[u8]) -> Self {
        let operations = codes.iter().fold(self.operations, |set, code| set & !(1 << code));
        Support { operations, ..self }
    }

    /// All that a current kernel has, for a simulated one, but perhaps for that fix.
    #[cfg(feature = "sim")]
    pub(crate) fn simulated(hears_ends: bool) -> Self {
        Support { operations: u128::MAX, release: (6, 18), hears_ends: Some(hears_ends) }
    }

    /// Whether the kernel knows an operation (`io_uring::opcode::X::CODE`).
    #[inline]
    pub(crate) fn has(self, code: u8) -> bool {
        code < 128 && self.operations & (1 << code) != 0
    }

    /// Whether one accept may yield many connections (Linux 5.19, as `socket` is), and rightly so.
    #[inline]
    pub(crate) fn multishot_accept(self) -> bool {
        self.has(opcode::Socket::CODE) && !self.multishot_accept_is_broken()
    }

    /// Where the completion queue overflows, kernels 6.6 to 6.8 report a connection under a number that
    /// is not its descriptor, but the poll mask (liburing#1062). The fix went into stable releases, but
    /// vendors' names do not tell which they contain. 6.2 is known to be right and 6.6.1 to be wrong;
    /// nobody tried those between, so they count as wrong. The one-shot accept costs little.
    pub(crate) fn multishot_accept_is_broken(self) -> bool {
        ((6, 3)..=(6, 8)).contains(&self.release)
    }

    /// Whether one receive may yield many buffers (Linux 6.0, as zero-copy send is).
    #[inline]
    pub(crate) fn multishot_receive(self) -> bool {
        self.has(opcode::SendZc::CODE)
    }

    /// Whether a multishot receive of any socket hears of an end that follows bytes at once. The
    /// first time in a process the kernel is tried, which takes a small ring.
    pub(crate) fn hears_ends(self) -> bool {
        self.hears_ends.unwrap_or_else(missed_end::end_is_heard)
    }
}

/// The operations that the kernel may know and does not let this process submit
/// (`IORING_REGISTER_RESTRICTIONS`, of a ring or, since 7.0, of a task and its children): a bit for
/// each code.
///
/// Nearly every operation is tried in the name of a personality that nobody registered. The kernel looks at
/// that (EINVAL) before it looks at what the operation is to do, and after it has looked at
/// restrictions (EACCES), so nothing happens.
fn refused_operations(ring: &IoUring) -> io::Result<u128> {
    let mut refused = 0;
    let mut unanswered = 0;
    for operation in &OPERATIONS {
        let entry = trial(operation.code);
        // SAFETY: nobody else uses the queues of this ring; and the entry points at nothing, or at
        // what is static.
        while unsafe { ring.submission_shared().push(&entry) }.is_err() {
            refused |= take_answers(ring, &mut unanswered)?;
        }
        unanswered += 1;
    }
    while unanswered > 0 {
        refused |= take_answers(ring, &mut unanswered)?;
    }
    Ok(refused)
}

/// Submits and waits for an answer at least. Kernels before 5.18 stop at the first that fails.
fn take_answers(ring: &IoUring, unanswered: &mut u32) -> io::Result<u128> {
    match ring.submitter().submit_and_wait(1) {
        Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
        _ => {}
    }
    let mut refused = 0;
    // SAFETY: nobody else uses the queues of this ring.
    for answer in unsafe { ring.completion_shared() } {
        *unanswered -= 1;
        let code = answer.user_data() as u8;
        if is_refusal(code, answer.result()) {
            refused |= 1 << code;
        }
    }
    Ok(refused)
}

/// What the answer to a trial says.
fn is_refusal(code: u8, result: i32) -> bool {
    match code {
        opcode::OpenAt2::CODE => result != -libc::EBADF,
        _ => result == -libc::EACCES,
    }
}

/// An operation that comes to nothing. `openat2`, of which a filter may ask what it is to do, is tried
/// in earnest, below a folder that does not exist.
fn trial(code: u8) -> squeue::Entry {
    const NOBODY: u16 = u16::MAX;
    static HOW: types::OpenHow = types::OpenHow::new();
    if code == opcode::OpenAt2::CODE {
        let entry = opcode::OpenAt2::new(types::Fd(-1), c".".as_ptr(), &raw const HOW).build();
        return entry.user_data(code.into());
    }
    let mut entry = opcode::Nop::new().build().personality(NOBODY).user_data(code.into());
    if code == opcode::Recv::CODE {
        // A flag may be refused as well, and this is the one that is used.
        entry = entry.flags(squeue::Flags::BUFFER_SELECT);
    }
    // SAFETY: the first byte of an entry, as the kernel reads it, is the operation's code.
    unsafe { ptr::from_mut(&mut entry).cast::<u8>().write(code) };
    entry
}

/// The kernel's name, as `uname -r` prints it.
pub(crate) fn kernel_release() -> String {
    let mut name = MaybeUninit::<libc::utsname>::zeroed();
    // SAFETY: the pointer leads to a utsname that outlives the call.
    let failed = unsafe { libc::uname(name.as_mut_ptr()) } != 0;
    if failed {
        return "of unknown release".into();
    }
    // SAFETY: it was zeroed, which is a value of these arrays of characters, then filled by uname.
    let name = unsafe { name.assume_init() };
    // SAFETY: uname terminates each field with a NUL within the array.
    let release = unsafe { CStr::from_ptr(name.release.as_ptr()) };
    release.to_string_lossy().into_owned()
}

fn parse_release(release: &str) -> (u32, u32) {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor),
        _ => (0, 0),
    }
}

#[cfg(test)]
mod tests {
    use io_uring::register::Restriction;

    use super::*;
    use crate::sys::setup::tests::uring_is_tested;

    fn support(release: &str, codes: &[u8]) -> Support {
        let operations = codes.iter().fold(0, |set, &code| set | (1_u128 << code));
        Support { operations, release: parse_release(release), hears_ends: None }
    }

    #[test]
    fn releases_of_vendors_are_understood() {
        assert_eq!(parse_release("6.18.44-fc-v769"), (6, 18));
        assert_eq!(parse_release("6.8.0-45-generic"), (6, 8));
        assert_eq!(parse_release("5.14.0-427.el9.x86_64"), (5, 14));
        assert_eq!(parse_release("6.6"), (6, 6));
        assert_eq!(parse_release("of unknown release"), (0, 0));
    }

    #[test]
    fn multishot_accept_is_not_used_where_it_returns_wrong_descriptors() {
        let codes = [opcode::Socket::CODE];
        for broken in ["6.6.1", "6.7.4-arch1", "6.8.0-45-generic"] {
            assert!(!support(broken, &codes).multishot_accept(), "{broken}");
        }
        for right in ["5.19.0", "6.2.0", "6.9.0", "6.18.44", "5.14.0-427.el9"] {
            assert!(support(right, &codes).multishot_accept(), "{right}");
        }
    }

    #[test]
    fn multishot_follows_the_operations_of_its_release_and_not_the_name() {
        let linux_5_19 = support("6.18.0", &[opcode::Socket::CODE]);
        assert!(linux_5_19.multishot_accept() && !linux_5_19.multishot_receive());
        let older = support("6.18.0", &[opcode::Recv::CODE]);
        assert!(!older.multishot_accept() && !older.multishot_receive());
    }

    /// A ring that may submit all operations but these.
    fn restricted_ring(without: &[u8]) -> IoUring {
        const REGISTER_PROBE: u8 = 8;
        let ring = IoUring::builder().setup_r_disabled().build(8).expect("io_uring is allowed");
        let operations = (0..40).filter(|code| !without.contains(code)).map(Restriction::sqe_op);
        let probe = Restriction::register_op(REGISTER_PROBE);
        let selects = Restriction::sqe_flags_allowed(squeue::Flags::BUFFER_SELECT.bits());
        let mut allowed: Vec<_> = operations.chain([probe, selects]).collect();
        ring.submitter().register_restrictions(&mut allowed).expect("5.10 or later");
        ring.submitter().register_enable_rings().expect("it was disabled");
        ring
    }

    #[test]
    fn operation_that_is_refused_and_has_no_substitute_is_named() {
        if !uring_is_tested() {
            return;
        }
        for (code, operation) in [(opcode::Recv::CODE, "recv"), (opcode::PollAdd::CODE, "poll_add")]
        {
            let refusal = Support::of(&restricted_ring(&[code])).expect_err("it is refused");
            assert_eq!(refusal, Refusal::Restricted { operation });
        }
    }

    #[test]
    fn operation_that_is_refused_and_has_a_substitute_is_not_used() {
        if !uring_is_tested() {
            return;
        }
        let refused = [opcode::OpenAt2::CODE, opcode::Statx::CODE];
        let mut ring = restricted_ring(&refused);
        let support = Support::of(&ring).expect("files may go to the pool");
        for operation in &OPERATIONS {
            let expected = !refused.contains(&operation.code) && operation.code < 40;
            assert_eq!(support.has(operation.code), expected, "{}", operation.name);
        }
        assert_eq!(ring.completion().count(), 0, "no answer is left behind");
    }

    #[test]
    fn openat2_is_used_only_where_the_ring_looks_for_the_folder() {
        for (errno, refused) in [
            (libc::EBADF, false),
            (libc::EPERM, true),
            (libc::EINVAL, true),
            (libc::EACCES, true),
            (libc::ENOSYS, true),
        ] {
            assert_eq!(is_refusal(opcode::OpenAt2::CODE, -errno), refused);
        }
    }

    #[test]
    fn all_that_the_kernel_knows_is_used_where_nothing_is_refused() {
        if !uring_is_tested() {
            return;
        }
        // Of fewer entries than there are operations, and of more.
        for entries in [1, 8, 64] {
            let ring = IoUring::new(entries).expect("io_uring is allowed");
            assert_eq!(refused_operations(&ring).expect("it can be entered"), 0);
        }
    }

    #[test]
    fn the_kernel_of_this_machine_has_a_release() {
        assert_ne!(parse_release(&kernel_release()), (0, 0));
    }
}
