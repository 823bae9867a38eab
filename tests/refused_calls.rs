//! Old kernels and seccomp filters: one program that uses everything runs while one system call after
//! the other is refused with each of the error numbers that kernels, containers and sandboxes answer
//! with.
//!
//! The program verifies what it gets, and that it waits without turning: rounds are counted, not time.

#[path = "common/child.rs"]
mod child;
#[path = "common/everything.rs"]
mod everything;

use std::io;
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use child::{Child, text};
use corering::net::TcpListener;
use corering::{Driver, Runtime};
use everything::{Lacks, use_everything};

/// What a kernel without the call, a filter of today and a filter of another day answer.
const ERRNOS: [(&str, i32); 3] =
    [("ENOSYS", libc::ENOSYS), ("EPERM", libc::EPERM), ("EINVAL", libc::EINVAL)];

/// Names the error number in the child.
const ERRNO: &str = "CORERING_TEST_ERRNO";

/// What a refusal is to change.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    /// Nothing: there is another way.
    AllWorks,
    /// The ring cannot be had, and says why; all works on epoll.
    NoRing,
    /// This driver (or each) cannot be had, and says which call is refused.
    CannotStart(&'static [Driver]),
    /// What the call alone does fails on epoll, with the error number; all else works.
    Fails(Lacks),
    /// So it does on a ring, which has no operation for it.
    FailsEverywhere(Lacks),
}

macro_rules! refused {
    ($($test:ident: [$($call:expr),+] => $then:expr,)+) => {
        $(#[test]
        fn $test() {
            if child::is_child() {
                return run_refused($then);
            }
            for (name, errno) in ERRNOS {
                let child = Child::of(stringify!($test)).refuse(&[$($call),+], errno);
                let output = child.env(ERRNO, &errno.to_string()).output();
                let (out, err) = (text(&output.stdout), text(&output.stderr));
                let ran = output.status.success() && out.contains("1 passed");
                assert!(ran, "refused with {name}: {}\n{out}\n{err}", output.status);
            }
        })+
    };
}

/// The number is the same on all architectures.
const SYS_CACHESTAT: libc::c_long = 451;

const EACH: &[Driver] = &[Driver::Uring, Driver::Epoll];

refused! {
    without_openat2: [libc::SYS_openat2] => Then::AllWorks,
    without_statx: [libc::SYS_statx] => Then::AllWorks,
    without_renameat2: [libc::SYS_renameat2] => Then::AllWorks,
    without_preadv2: [libc::SYS_preadv2] => Then::AllWorks,
    without_pwritev2: [libc::SYS_pwritev2] => Then::AllWorks,
    without_cachestat: [SYS_CACHESTAT] => Then::AllWorks,
    without_epoll_pwait2: [libc::SYS_epoll_pwait2] => Then::AllWorks,
    without_epoll_pwait: [libc::SYS_epoll_pwait] => Then::CannotStart(&[Driver::Epoll]),
    without_epoll_create1: [libc::SYS_epoll_create1] => Then::CannotStart(&[Driver::Epoll]),
    without_eventfd2: [libc::SYS_eventfd2] => Then::CannotStart(EACH),
    without_io_uring_setup: [libc::SYS_io_uring_setup] => Then::NoRing,
    without_io_uring_enter: [libc::SYS_io_uring_enter] => Then::NoRing,
    without_io_uring_register: [libc::SYS_io_uring_register] => Then::NoRing,
    without_affinity: [libc::SYS_sched_getaffinity, libc::SYS_sched_setaffinity] => Then::AllWorks,
    without_setaffinity: [libc::SYS_sched_setaffinity] => Then::AllWorks,
    without_prlimit64: [libc::SYS_prlimit64] => Then::AllWorks,
    without_sendfile: [libc::SYS_sendfile] => Then::AllWorks,
    without_copy_file_range: [libc::SYS_copy_file_range] => Then::AllWorks,
    without_ioctl: [libc::SYS_ioctl] => Then::AllWorks,
    without_pidfd_open: [libc::SYS_pidfd_open] => Then::AllWorks,
    without_pidfd_send_signal: [libc::SYS_pidfd_send_signal] => Then::AllWorks,
    without_waitid: [libc::SYS_waitid] => Then::AllWorks,
    without_pidfd_open_and_waitid: [libc::SYS_pidfd_open, libc::SYS_waitid] => Then::AllWorks,
    without_fallocate: [libc::SYS_fallocate] => Then::Fails(Lacks::Room),
    without_fadvise64: [libc::SYS_fadvise64] => Then::Fails(Lacks::Prefetch),
    without_sync_file_range: [libc::SYS_sync_file_range] => Then::Fails(Lacks::SyncedRange),
    without_utimensat: [libc::SYS_utimensat] => Then::FailsEverywhere(Lacks::Times),
    without_flock: [libc::SYS_flock] => Then::FailsEverywhere(Lacks::Locks),
    without_accept4: [libc::SYS_accept4] => Then::Fails(Lacks::Connections),
    without_all_that_is_newer_than_3_10: [
        libc::SYS_openat2, libc::SYS_statx, libc::SYS_renameat2, libc::SYS_preadv2,
        libc::SYS_pwritev2, SYS_CACHESTAT, libc::SYS_epoll_pwait2, libc::SYS_pidfd_open,
        libc::SYS_pidfd_send_signal, libc::SYS_copy_file_range,
        libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register
    ] => Then::NoRing,
}

/// In the child: what is refused is refused on every driver that tests run on.
fn run_refused(then: Then) {
    let errno: i32 = std::env::var(ERRNO).expect("the parent says it").parse().expect("a number");
    for driver in corering::test_support::drivers() {
        eprintln!("on {driver}");
        let built = Runtime::builder().driver(driver).build();
        match then {
            Then::NoRing if driver == Driver::Uring => {
                let error = built.expect_err("the ring is refused");
                assert!(error.to_string().contains("ring"), "{error}");
                continue;
            }
            Then::CannotStart(drivers) if drivers.contains(&driver) => {
                assert_names_a_call(&built.expect_err("it cannot do without the call"));
                continue;
            }
            _ => {}
        }
        let lacks = match then {
            Then::Fails(lacks) if driver == Driver::Epoll => Some((lacks, errno)),
            Then::FailsEverywhere(lacks) => Some((lacks, errno)),
            _ => None,
        };
        let runtime = built.expect("there is another way");
        use_everything(&runtime, lacks);
        drop(runtime);
        everything::use_shards(driver);
    }
    if then == Then::NoRing {
        let runtime = Runtime::builder().build().expect("epoll is left");
        assert_eq!(runtime.driver(), Driver::Epoll);
    }
}

/// Nothing that is refused later can be waited with: better an end than a loop that never waits.
#[test]
fn wait_that_is_refused_later_is_a_panic_and_ends_nothing_else() {
    if !child::is_child() {
        return Child::of("wait_that_is_refused_later_is_a_panic_and_ends_nothing_else").passes();
    }
    let runtimes: Vec<Runtime> = corering::test_support::drivers()
        .into_iter()
        .map(|driver| {
            let builder = Runtime::builder().driver(driver);
            let short = Duration::from_millis(20);
            builder.shutdown_timeout(short).build().expect("nothing is refused yet")
        })
        .collect();
    for runtime in &runtimes {
        // Something is in flight that the end of the runtime has to wait for.
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a port");
            drop(corering::spawn(async move { listener.accept().await.map(drop) }));
            corering::yield_now().await;
        });
    }
    let calls = [libc::SYS_epoll_pwait, libc::SYS_epoll_pwait2, libc::SYS_io_uring_enter];
    child::refuse_here(&calls, libc::EPERM).expect("a filter can be installed");
    for runtime in runtimes {
        let wait = || runtime.block_on(corering::time::sleep(Duration::from_millis(1)));
        let panic = catch_unwind(AssertUnwindSafe(wait)).expect_err("there is no way to wait");
        let told = panic.downcast_ref::<String>().expect("it is told in words");
        assert!(told.contains("cannot be used any more"), "{told}");
        assert!(told.contains("not permitted"), "{told}");
        // A second panic, in a drop while the first unwinds, would abort.
        drop(runtime);
    }
}

#[test]
fn signal_that_cannot_wake_the_shard_is_an_error() {
    if !child::is_child() {
        return Child::of("signal_that_cannot_wake_the_shard_is_an_error").passes();
    }
    let runtime = Runtime::builder().driver(Driver::Epoll).build().expect("epoll is everywhere");
    child::refuse_here(&[libc::SYS_epoll_ctl], libc::ENOSPC).expect("a filter can be installed");
    let told = runtime.block_on(corering::signal::terminate());
    let error = told.expect_err("no more can be watched");
    assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
}

/// The C library starts threads by clone3 and knows no other way once that is refused with EPERM.
#[test]
fn file_without_a_thread_is_no_error_of_the_file() {
    if !child::is_child() {
        return Child::of("file_without_a_thread_is_no_error_of_the_file").passes();
    }
    let runtime = Runtime::builder().driver(Driver::Epoll).build().expect("epoll is everywhere");
    let calls = [libc::SYS_clone3, libc::SYS_clone];
    child::refuse_here(&calls, libc::EPERM).expect("a filter can be installed");
    let null = std::fs::File::open("/dev/null").expect("it is everywhere");
    let number = null.as_raw_fd();
    let closing = async { corering::fs::File::from(null).close().await };
    runtime.block_on(closing).expect_err("no thread");
    // SAFETY: the call takes a number.
    assert_eq!(unsafe { libc::fcntl(number, libc::F_GETFD) }, -1, "it is closed all the same");
    let error = runtime.block_on(corering::fs::read("/dev/null")).expect_err("no thread");
    assert_eq!((error.kind(), error.raw_os_error()), (io::ErrorKind::Other, None));
    assert!(error.to_string().contains("clone3"), "{error}");
}

/// A person has to know which call to allow, and where.
#[track_caller]
fn assert_names_a_call(error: &io::Error) {
    let told = error.to_string();
    assert!(["eventfd2", "epoll_"].iter().any(|call| told.contains(call)), "{told}");
    assert!(told.contains("seccomp"), "{told}");
}

/// Kernels from 5.3 to 5.18 answer so for files that say they have no bytes, as those of /proc do.
#[test]
fn copy_of_which_the_kernel_copies_nothing_is_whole() {
    if !child::is_child() {
        let child = Child::of("copy_of_which_the_kernel_copies_nothing_is_whole");
        return child.refuse(&[libc::SYS_copy_file_range], 0).passes();
    }
    for driver in corering::test_support::drivers() {
        let runtime = Runtime::builder().driver(driver).build().expect("the driver was named");
        use_everything(&runtime, None);
    }
}
