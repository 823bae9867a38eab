//! Why io_uring cannot be used here, said so that a person can act on it.

use std::{error, fmt, fs, io};

use super::limits;

/// Why io_uring cannot be used in this process.
///
/// `Display` is one sentence without a full stop that names the cause; [`advice`](Self::advice) is a
/// second one that says what to do. As an [`io::Error`] it carries both.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The sysctl `kernel.io_uring_disabled` (Linux 6.6) forbids it.
    Disabled {
        /// 1: only for those with `CAP_SYS_ADMIN` or in `kernel.io_uring_group`. 2: for everyone.
        value: u8,
    },
    /// `EPERM` although the sysctl allows it: a seccomp filter, as containers have them, or a security
    /// module.
    Seccomp,
    /// `ENOSYS`: the kernel was built without io_uring, is older than Linux 5.1, or a sandbox hides it.
    NotBuiltIn,
    /// `ENOMEM` for a user whose locked memory is limited.
    LockedMemory {
        /// `RLIMIT_MEMLOCK` in bytes.
        limit: u64,
    },
    /// `EMFILE` or `ENFILE`: no descriptor is left for the ring.
    DescriptorLimit {
        /// The error number.
        errno: i32,
    },
    /// The kernel has io_uring, but lacks something that corering cannot do without.
    TooOld {
        /// What is missing.
        missing: &'static str,
        /// The first kernel that has it.
        since: &'static str,
    },
    /// The process is restricted to some operations of io_uring (`IORING_REGISTER_RESTRICTIONS`), and
    /// corering cannot do without this one.
    Restricted {
        /// The operation, in small letters.
        operation: &'static str,
    },
    /// Any other error.
    Other {
        /// The error number, 0 where there is none.
        errno: i32,
    },
}

impl Refusal {
    /// Finds out what an error of `io_uring_setup`, or of the first calls on a new ring, means here.
    pub(crate) fn from_setup_error(error: &io::Error) -> Self {
        match error.raw_os_error().unwrap_or(0) {
            libc::EPERM => Self::from_permission(disabled_sysctl(), || {
                limits::has_capability(limits::CAP_SYS_ADMIN)
            }),
            libc::ENOSYS => Refusal::NotBuiltIn,
            errno @ (libc::EMFILE | libc::ENFILE) => Refusal::DescriptorLimit { errno },
            libc::ENOMEM => match limits::locked_memory_limit() {
                Some(limit) if !limits::has_capability(limits::CAP_IPC_LOCK) => {
                    Refusal::LockedMemory { limit }
                }
                // Nothing limits this user: the machine itself, or the cgroup, is out of memory.
                _ => Refusal::Other { errno: libc::ENOMEM },
            },
            errno => Refusal::Other { errno },
        }
    }

    /// `EPERM` is the sysctl's answer and that of a filter alike; the sysctl can be read.
    fn from_permission(sysctl: Option<u8>, is_admin: impl FnOnce() -> bool) -> Self {
        match sysctl {
            Some(1) if is_admin() => Refusal::Seccomp,
            Some(value @ 1..) => Refusal::Disabled { value },
            Some(0) | None => Refusal::Seccomp,
        }
    }

    /// What to do about it, in one sentence without a full stop.
    pub fn advice(&self) -> String {
        match self {
            Refusal::Disabled { value: 1 } => {
                "run as a member of the group in kernel.io_uring_group, or \
                 set kernel.io_uring_disabled=0 with sysctl, or choose the epoll driver"
                    .into()
            }
            Refusal::Disabled { .. } => {
                "set kernel.io_uring_disabled=0 with sysctl, or choose the epoll driver".into()
            }
            Refusal::Seccomp => {
                "allow io_uring_setup, io_uring_enter and io_uring_register in the \
                 container's seccomp profile, or choose the epoll driver"
                    .into()
            }
            Refusal::NotBuiltIn => {
                "use Linux 5.13 or later with CONFIG_IO_URING, outside of a sandbox \
                 that hides it, or choose the epoll driver"
                    .into()
            }
            Refusal::LockedMemory { .. } => {
                "raise the limit (ulimit -l, LimitMEMLOCK=), use fewer ring \
                 entries or fewer shards, or choose the epoll driver"
                    .into()
            }
            Refusal::DescriptorLimit { errno } if *errno == libc::ENFILE => {
                "raise fs.file-max with sysctl, or close files".into()
            }
            Refusal::DescriptorLimit { .. } => {
                "raise the limit of open files (ulimit -n, LimitNOFILE=), or close some".into()
            }
            // Not the release that brought what is missing: others may have brought more.
            Refusal::TooOld { .. } => "use Linux 5.13 or later, or choose the epoll driver".into(),
            Refusal::Restricted { .. } => {
                "lift the restriction where this process or its parent was given it, or choose the \
                 epoll driver"
                    .into()
            }
            Refusal::Other { errno } if *errno == libc::ENOMEM => {
                "free memory, use fewer ring entries, or choose the epoll driver".into()
            }
            Refusal::Other { .. } => "choose the epoll driver".into(),
        }
    }

    fn kind(&self) -> io::ErrorKind {
        match self {
            Refusal::Disabled { .. } | Refusal::Seccomp | Refusal::Restricted { .. } => {
                io::ErrorKind::PermissionDenied
            }
            Refusal::NotBuiltIn | Refusal::TooOld { .. } => io::ErrorKind::Unsupported,
            Refusal::LockedMemory { .. } => io::ErrorKind::OutOfMemory,
            Refusal::DescriptorLimit { errno } | Refusal::Other { errno } => {
                io::Error::from_raw_os_error(*errno).kind()
            }
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Disabled { value } => {
                write!(f, "io_uring is blocked by kernel.io_uring_disabled={value}")
            }
            Refusal::Seccomp => f.write_str("io_uring is blocked by seccomp (EPERM)"),
            Refusal::NotBuiltIn => f.write_str("the kernel offers no io_uring (ENOSYS)"),
            Refusal::LockedMemory { limit } => {
                write!(f, "no ring fits into the locked memory allowed (ENOMEM): ")?;
                write!(f, "RLIMIT_MEMLOCK is {} KiB", limit / 1024)
            }
            Refusal::DescriptorLimit { errno } => {
                let name = if *errno == libc::ENFILE { "ENFILE" } else { "EMFILE" };
                write!(f, "no descriptor is left for a ring ({name})")
            }
            Refusal::TooOld { missing, since } => {
                write!(f, "the kernel's io_uring has no {missing} (Linux {since})")
            }
            Refusal::Restricted { operation } => {
                write!(
                    f,
                    "io_uring is restricted, this process may not submit {operation} (EACCES)"
                )
            }
            Refusal::Other { errno } => {
                write!(f, "no ring could be opened: {}", io::Error::from_raw_os_error(*errno))
            }
        }
    }
}

impl error::Error for Refusal {}

impl From<Refusal> for io::Error {
    fn from(refusal: Refusal) -> Self {
        io::Error::new(refusal.kind(), RefusalWithAdvice(refusal))
    }
}

/// What a program sees that asked for io_uring and prints the error: cause and advice.
#[derive(Debug)]
struct RefusalWithAdvice(Refusal);

impl fmt::Display for RefusalWithAdvice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.0, self.0.advice())
    }
}

impl error::Error for RefusalWithAdvice {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        Some(&self.0)
    }
}

/// The error of a system call that corering cannot do without, with what to do where the call itself
/// is refused. All other errors stay as they are.
pub(crate) fn needs_call(name: &str, error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(libc::ENOSYS | libc::EPERM | libc::EACCES | libc::EINVAL) => io::Error::new(
            error.kind(),
            format!(
                "corering needs the system call {name}, which is refused here: {error}; allow it in \
                 the seccomp profile of the container or sandbox"
            ),
        ),
        _ => error,
    }
}

/// The value of `kernel.io_uring_disabled`; `None` before Linux 6.6 or without `/proc`.
fn disabled_sysctl() -> Option<u8> {
    fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permission_error_is_told_apart_by_the_sysctl() {
        let user = || false;
        assert_eq!(Refusal::from_permission(Some(0), user), Refusal::Seccomp);
        assert_eq!(Refusal::from_permission(None, user), Refusal::Seccomp);
        assert_eq!(Refusal::from_permission(Some(1), user), Refusal::Disabled { value: 1 });
        assert_eq!(Refusal::from_permission(Some(2), user), Refusal::Disabled { value: 2 });
        assert_eq!(Refusal::from_permission(Some(1), || true), Refusal::Seccomp);
        assert_eq!(Refusal::from_permission(Some(2), || true), Refusal::Disabled { value: 2 });
    }

    #[test]
    fn an_io_error_carries_the_cause_and_the_advice() {
        let refusal = Refusal::Disabled { value: 2 };
        let error = io::Error::from(refusal.clone());
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(
            error.to_string(),
            "io_uring is blocked by kernel.io_uring_disabled=2; set kernel.io_uring_disabled=0 with \
             sysctl, or choose the epoll driver"
        );
        let source = error.get_ref().and_then(error::Error::source);
        assert_eq!(source.and_then(|source| source.downcast_ref()), Some(&refusal));
    }

    #[test]
    fn each_error_number_has_its_reason() {
        let reason = |errno| Refusal::from_setup_error(&io::Error::from_raw_os_error(errno));
        assert_eq!(reason(libc::ENOSYS), Refusal::NotBuiltIn);
        assert_eq!(reason(libc::EMFILE), Refusal::DescriptorLimit { errno: libc::EMFILE });
        assert_eq!(reason(libc::EACCES), Refusal::Other { errno: libc::EACCES });
    }

    #[test]
    fn the_limit_of_locked_memory_is_named() {
        let refusal = Refusal::LockedMemory { limit: 65_536 };
        assert!(refusal.to_string().contains("RLIMIT_MEMLOCK is 64 KiB"), "{refusal}");
    }
}
