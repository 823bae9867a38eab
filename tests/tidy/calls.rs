//! Every system call that the library makes is either refused by `tests/refused_calls.rs`, or older than
//! the oldest kernel that anybody runs (3.10), so that neither a kernel nor a filter lacks it.

use std::collections::BTreeSet;

use crate::source::{Source, sources};

/// What stands in the sources, and how it is looked after.
enum Care {
    /// The table of refused calls has it, under this name.
    Refused(&'static str),
    /// The kernel has it since then, and whoever refuses it cannot run programs with sockets and files.
    Since(&'static str),
    /// Not a system call, or one that only tests make.
    None(&'static str),
}

use Care::{None, Refused, Since};

/// As the sources name them: `SYS_*`, constants of `sys/call.rs` included, and functions of `libc`.
const CALLS: &[(&str, Care)] = &[
    ("SYS_CACHESTAT", Refused("SYS_CACHESTAT")),
    (
        "SYS_RENAMEAT",
        Since("2.6.16; on the newest architectures it is renameat2, which is refused"),
    ),
    ("SYS_accept4", Refused("SYS_accept4")),
    ("SYS_close", Since("1.0")),
    ("SYS_connect", Since("1.0")),
    ("SYS_copy_file_range", Refused("SYS_copy_file_range")),
    ("SYS_epoll_pwait", Refused("SYS_epoll_pwait")),
    ("SYS_epoll_pwait2", Refused("SYS_epoll_pwait2")),
    ("SYS_fadvise64", Refused("SYS_fadvise64")),
    ("SYS_fallocate", Refused("SYS_fallocate")),
    ("SYS_fchmod", Since("1.0")),
    ("SYS_fdatasync", Since("2.0")),
    ("SYS_fsync", Since("1.0")),
    ("SYS_ftruncate", Since("1.0")),
    ("SYS_getppid", Since("1.0, by a test")),
    ("SYS_io_uring_enter", Refused("SYS_io_uring_enter")),
    ("SYS_io_uring_register", Refused("SYS_io_uring_register")),
    ("SYS_linkat", Since("2.6.16")),
    ("SYS_mkdirat", Since("2.6.16")),
    ("SYS_openat", Since("2.6.16")),
    ("SYS_openat2", Refused("SYS_openat2")),
    ("SYS_pidfd_open", Refused("SYS_pidfd_open")),
    ("SYS_pidfd_send_signal", Refused("SYS_pidfd_send_signal")),
    ("SYS_ppoll", Since("2.6.16")),
    ("SYS_pread64", Since("2.2")),
    ("SYS_preadv", Since("2.6.30")),
    ("SYS_preadv2", Refused("SYS_preadv2")),
    ("SYS_prlimit64", Refused("SYS_prlimit64")),
    ("SYS_pwrite64", Since("2.2")),
    ("SYS_pwritev", Since("2.6.30")),
    ("SYS_pwritev2", Refused("SYS_pwritev2")),
    ("SYS_read", Since("1.0")),
    ("SYS_readlinkat", Since("2.6.16")),
    ("SYS_readv", Since("2.0")),
    ("SYS_recvfrom", Since("1.0")),
    ("SYS_recvmsg", Since("2.0")),
    ("SYS_renameat", Since("2.6.16")),
    ("SYS_renameat2", Refused("SYS_renameat2")),
    ("SYS_sendfile", Refused("SYS_sendfile")),
    ("SYS_sendmsg", Since("2.0")),
    ("SYS_sendto", Since("1.0")),
    ("SYS_shutdown", Since("1.0")),
    ("SYS_symlinkat", Since("2.6.16")),
    ("SYS_socket", Since("1.0")),
    ("SYS_statx", Refused("SYS_statx")),
    ("SYS_sync_file_range", Refused("SYS_sync_file_range")),
    ("SYS_unlinkat", Since("2.6.16")),
    ("SYS_utimensat", Refused("SYS_utimensat")),
    ("SYS_waitid", Refused("SYS_waitid")),
    ("SYS_write", Since("1.0")),
    ("SYS_writev", Since("2.0")),
    ("_exit", Since("1.0, as exit_group")),
    ("atexit", None("a list of the C library")),
    ("close", Since("1.0")),
    ("dup2", Since("1.0, as dup3 on newer architectures")),
    ("epoll_create1", Refused("SYS_epoll_create1")),
    ("epoll_ctl", Since("2.6")),
    ("eventfd", Refused("SYS_eventfd2")),
    ("faccessat", Since("2.6.16; the C library does without faccessat2")),
    ("fcntl", Since("1.0")),
    ("flock", Refused("SYS_flock")),
    ("fstat", Since("1.0")),
    ("fstatat", Since("2.6.16")),
    ("fstatfs", Since("2.0")),
    ("getpgid", Since("1.0")),
    ("getpid", Since("1.0")),
    ("getrlimit", Refused("SYS_prlimit64")),
    ("inotify_add_watch", Since("2.6.13")),
    ("inotify_init1", Since("2.6.27")),
    ("inotify_rm_watch", Since("2.6.13")),
    ("ioctl", Refused("SYS_ioctl")),
    ("isatty", Since("1.0, as ioctl")),
    ("kill", Since("1.0")),
    ("linkat", Since("2.6.16")),
    ("lseek", Since("1.0")),
    ("major", None("arithmetic")),
    ("makedev", None("arithmetic")),
    ("minor", None("arithmetic")),
    ("open", Since("1.0, as openat")),
    ("openat", Since("2.6.16")),
    ("poll", None("by a helper of tests")),
    ("pread", Since("2.2")),
    ("preadv", Since("2.6.30")),
    ("preadv2", Refused("SYS_preadv2")),
    ("pthread_atfork", None("a list of the C library")),
    ("pthread_sigmask", Since("2.2")),
    ("pwritev2", Refused("SYS_pwritev2")),
    ("raise", Since("2.6, as tgkill")),
    ("read", Since("1.0")),
    (
        "renameat",
        Since(
            "2.6.16; on the newest architectures the C library makes renameat2, which is refused",
        ),
    ),
    ("sched_getaffinity", Refused("SYS_sched_getaffinity")),
    ("sched_setaffinity", Refused("SYS_sched_setaffinity")),
    ("setsid", Since("1.0")),
    ("sigaction", Since("2.2")),
    ("sigaddset", None("arithmetic")),
    ("sigdelset", None("arithmetic")),
    ("sigemptyset", None("arithmetic")),
    ("sigfillset", None("arithmetic")),
    ("sigismember", None("arithmetic")),
    ("signal", Since("1.0, as rt_sigaction")),
    ("sigpending", Since("2.2")),
    ("sigtimedwait", Since("2.2")),
    ("syscall", None("the number beside it is in this list")),
    ("sysconf", None("what the process was told at its start")),
    ("uname", Since("1.0")),
    ("unlinkat", Since("2.6.16")),
    ("write", Since("1.0")),
];

#[test]
fn every_system_call_is_refused_by_a_test_or_old() {
    let files = sources();
    let made: BTreeSet<&str> = files
        .iter()
        // The simulated kernel looks at numbers and makes none of the calls.
        .filter(|source| !source.path.starts_with("src/sys/sim/"))
        .flat_map(Source::system_calls)
        .collect();
    assert!(made.len() > 40, "the sources are not where this test looks for them");
    let known: BTreeSet<&str> = CALLS.iter().map(|(name, _)| *name).collect();
    let unknown: Vec<_> = made.difference(&known).collect();
    assert!(
        unknown.is_empty(),
        "refuse these in tests/refused_calls.rs, and list them: {unknown:?}"
    );
    let gone: Vec<_> = known.difference(&made).collect();
    assert!(gone.is_empty(), "nobody makes these any more: {gone:?}");
}

#[test]
fn what_is_listed_as_refused_is_in_the_table() {
    let table = include_str!("../refused_calls.rs");
    let refused: BTreeSet<&str> = crate::source::words(table).collect();
    for (name, care) in CALLS {
        match care {
            Refused(call) => assert!(refused.contains(call), "{name}: {call} is not refused"),
            Since(reason) | None(reason) => assert!(!reason.is_empty(), "{name}: say why"),
        }
    }
}
