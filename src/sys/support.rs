//! What the kernel's io_uring can do, beyond what every kernel can that is accepted at all.
//!
//! Operations are asked for by `IORING_REGISTER_PROBE`. What has no number of its own (multishot) is
//! concluded from an operation that came with the same release, not from the release's name:
//! distributions give new code old names. Only a known bug is looked up by name.

use std::ffi::CStr;
use std::mem::MaybeUninit;

use io_uring::{IoUring, Probe, opcode};

use super::refusal::Refusal;

/// An operation of the ring that corering uses.
pub(crate) struct KnownOperation {
    pub(crate) code: u8,
    pub(crate) name: &'static str,
    pub(crate) since: &'static str,
    /// What happens on a kernel without it. `None`: such a kernel is too old.
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
pub(crate) const OPERATIONS: [KnownOperation; 25] = [
    required(opcode::Nop::CODE, "nop", "5.1"),
    required(opcode::Readv::CODE, "readv", "5.1"),
    required(opcode::Writev::CODE, "writev", "5.1"),
    required(opcode::Fsync::CODE, "fsync", "5.1"),
    required(opcode::PollAdd::CODE, "poll_add", "5.1"),
    required(opcode::SendMsg::CODE, "sendmsg", "5.3"),
    required(opcode::RecvMsg::CODE, "recvmsg", "5.3"),
    required(opcode::Accept::CODE, "accept", "5.5"),
    required(opcode::AsyncCancel::CODE, "async_cancel", "5.5"),
    required(opcode::Connect::CODE, "connect", "5.5"),
    required(opcode::Fallocate::CODE, "fallocate", "5.6"),
    required(opcode::OpenAt::CODE, "openat", "5.6"),
    required(opcode::OpenAt2::CODE, "openat2", "5.6"),
    required(opcode::Close::CODE, "close", "5.6"),
    required(opcode::Statx::CODE, "statx", "5.6"),
    required(opcode::Read::CODE, "read", "5.6"),
    required(opcode::Write::CODE, "write", "5.6"),
    required(opcode::Send::CODE, "send", "5.6"),
    required(opcode::Recv::CODE, "recv", "5.6"),
    required(opcode::Shutdown::CODE, "shutdown", "5.11"),
    required(opcode::RenameAt::CODE, "renameat", "5.11"),
    required(opcode::UnlinkAt::CODE, "unlinkat", "5.11"),
    optional(opcode::MkDirAt::CODE, "mkdirat", "5.15", "mkdirat runs on the blocking pool"),
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
}

impl Support {
    /// Asks the kernel, and refuses one that lacks what has no fallback.
    pub(crate) fn of(ring: &IoUring) -> Result<Self, Refusal> {
        let mut probe = Probe::new();
        ring.submitter()
            .register_probe(&mut probe)
            .map_err(|error| Refusal::from_setup_error(&error))?;
        let operations = (0..128)
            .filter(|&code| probe.is_supported(code))
            .fold(0, |set, code| set | (1_u128 << code));
        let support = Support { operations, release: parse_release(&kernel_release()) };
        match OPERATIONS.iter().find(|o| o.fallback.is_none() && !support.has(o.code)) {
            Some(missing) => Err(Refusal::TooOld { missing: missing.name, since: missing.since }),
            None => Ok(support),
        }
    }

    /// All that a current kernel has, for a simulated one.
    #[cfg(feature = "sim")]
    pub(crate) fn simulated() -> Self {
        Support { operations: u128::MAX, release: (6, 18) }
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
    use super::*;

    fn support(release: &str, codes: &[u8]) -> Support {
        let operations = codes.iter().fold(0, |set, &code| set | (1_u128 << code));
        Support { operations, release: parse_release(release) }
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

    #[test]
    fn the_kernel_of_this_machine_has_a_release() {
        assert_ne!(parse_release(&kernel_release()), (0, 0));
    }
}
