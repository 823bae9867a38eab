//! Programs that make it hard: that ignore SIGCHLD, wait for the children of others, run out of
//! descriptors and processes, fork, or are debugged.

use std::fs::File;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::pin::pin;
use std::process;
use std::time::Duration;

use corering::process::{Child, Stdio};
use corering::time::timeout;
use corering::{Runtime, spawn, yield_now};
use futures_util::poll;

use crate::{alone, alone_in_runtime, becomes_zombie, child, endless, id_of, is_over, is_reaped};
use crate::{net::until, shell};

/// Ignores SIGCHLD until it is dropped.
struct Ignored;

impl Ignored {
    fn new() -> Self {
        // SAFETY: the call takes numbers.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
        Ignored
    }
}

impl Drop for Ignored {
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
    }
}

fn is_lost<T: std::fmt::Debug>(waited: io::Result<T>) {
    let error = waited.expect_err("the kernel has reaped it");
    assert!(error.to_string().contains("SIGCHLD"), "{error}");
}

#[test]
fn program_that_ignores_sigchld_gets_error() {
    alone_in_runtime("attacks::program_that_ignores_sigchld_gets_error", async || {
        let _ignored = Ignored::new();
        for code in 0..5 {
            let mut child = shell(&format!("exit {code}")).spawn().await?;
            is_lost(child.wait().await);
            is_lost(child.wait().await);
            is_lost(child.try_wait());
            let error = child.start_kill().expect_err("it is gone");
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert_eq!(child.id(), None);
        }
        // One that is not waited for, and so not known to be gone.
        let mut reads = shell("read line");
        let mut child = reads.stdin(Stdio::piped()).process_group(0).spawn().await?;
        let pid = id_of(&child);
        drop(child.stdin.take());
        until(|| is_reaped(pid)).await;
        for refused in [child.terminate(), child.signal_group(libc::SIGTERM)] {
            assert_eq!(refused.expect_err("it is gone").kind(), io::ErrorKind::InvalidInput);
        }
        // Those that run are signalled, and are over when they are dropped.
        let mut child = endless().spawn().await?;
        child.start_kill()?;
        is_lost(child.wait().await);
        let child = endless().kill_on_drop(true).spawn().await?;
        let pid = id_of(&child);
        drop(child);
        until(|| is_over(pid)).await;
        Ok(())
    });
}

/// A child that ended while the program ignored SIGCHLD, and the number that it had.
async fn reaped_by_kernel() -> io::Result<(Child, u32)> {
    let ignored = Ignored::new();
    let mut child = shell("read line").stdin(Stdio::piped()).spawn().await?;
    let pid = id_of(&child);
    drop(child.stdin.take());
    until(|| !Path::new(&format!("/proc/{pid}")).exists()).await;
    drop(ignored);
    Ok((child, pid))
}

#[test]
fn reused_number_is_not_signalled() {
    alone_in_runtime("attacks::reused_number_is_not_signalled", async || {
        let (mut child, pid) = reaped_by_kernel().await?;
        // Where the kernel lets this user choose the next number, another process gets it.
        let another = (0..100).find_map(|_| {
            std::fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).ok()?;
            let mut another = process::Command::new("sleep").arg("1000000").spawn().ok()?;
            if another.id() == pid {
                return Some(another);
            }
            another.kill().and_then(|()| another.wait()).ok()?;
            None
        });
        let error = child.start_kill().expect_err("it is gone");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        if let Some(mut another) = another {
            assert_eq!(another.try_wait()?, None, "it was signalled, or reaped");
            another.kill()?;
            becomes_zombie(pid);
            is_lost(child.try_wait());
            is_lost(child.wait().await);
            drop(child);
            assert_eq!(another.wait()?.signal(), Some(libc::SIGKILL));
        }
        Ok(())
    });
}

/// As [`reused_number_is_not_signalled`], where a number is all that there is, of a process that is no child.
#[test]
fn reused_number_is_not_signalled_without_pidfd() {
    let test = "attacks::reused_number_is_not_signalled_without_pidfd";
    if !child::is_child() {
        return child::Child::of(test).refuse(&[libc::SYS_pidfd_open], libc::ENOSYS).passes();
    }
    alone_in_runtime(test, async || {
        // They begin before the number is free, or their own might be that one: a child's.
        let script = "read pid; \
             for i in 1 2 3 4 5 6 7 8 9; do \
               echo $((pid - 1)) >/proc/sys/kernel/ns_last_pid || exit; sleep 1000000 & \
               test $! = $pid && echo yes && wait; kill $!; \
             done; echo no; wait";
        let mut others = shell(script);
        let others = others.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut others = others.spawn().await?;
        let (mut child, pid) = reaped_by_kernel().await?;
        others.stdin.as_mut().expect("it is piped").write_all(format!("{pid}\n")).await?;
        let is_reused = others.stdout.as_mut().expect("it is piped").recv().await? == "yes\n";
        println!("the number is another's: {is_reused}");
        assert_eq!(child.start_kill().expect_err("it is gone").kind(), io::ErrorKind::InvalidInput);
        is_lost(child.wait().await);
        assert!(!is_reused || !is_over(pid), "another process was killed");
        others.signal_group(libc::SIGKILL)?;
        others.wait().await.map(drop)
    });
}

extern "C" fn reap_all(_: libc::c_int) {
    // SAFETY: a null pointer asks for no status.
    while unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) } > 0 {}
}

#[test]
fn handler_that_reaps_all_children_costs_status_alone() {
    alone_in_runtime("attacks::handler_that_reaps_all_children_costs_status_alone", async || {
        let handler = reap_all as extern "C" fn(libc::c_int);
        // SAFETY: the handler makes a system call that is async-signal-safe, and nothing else.
        unsafe { libc::signal(libc::SIGCHLD, handler as libc::sighandler_t) };
        for _ in 0..20 {
            let mut child = shell("exit 4").spawn().await?;
            match child.wait().await {
                Ok(status) => assert_eq!(status.code(), Some(4)),
                lost => is_lost(lost),
            }
            child.start_kill().expect_err("it is gone");
            drop(shell("exit 4").spawn().await?);
        }
        // SAFETY: the call takes numbers.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
        Ok(())
    });
}

#[test]
fn sigchld_handler_of_others_is_left_alone() {
    alone_in_runtime("attacks::sigchld_handler_of_others_is_left_alone", async || {
        let handler = reap_all as extern "C" fn(libc::c_int) as libc::sighandler_t;
        // SAFETY: as above; it is put back before a child ends.
        unsafe { libc::signal(libc::SIGCHLD, handler) };
        let mut child = endless().spawn().await?;
        {
            let mut wait = pin!(child.wait());
            assert!(poll!(&mut wait).is_pending());
        }
        // SAFETY: the call takes numbers.
        let found = unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
        assert_eq!(found, handler);
        child.kill().await
    });
}

#[test]
fn program_without_descriptors_starts_and_awaits_processes() {
    let test = "attacks::program_without_descriptors_starts_and_awaits_processes";
    alone(test, |driver| {
        let builder = Runtime::builder().driver(driver).raise_descriptor_limit(false);
        builder.build()?.block_on(async {
            // What a thread of the pool needs, if anything, it has from now on.
            shell("exit 0").spawn().await?.wait().await?;
            let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            // SAFETY: the pointer leads to an rlimit that outlives the call.
            unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
            let before = limit;
            limit.rlim_cur = 64;
            // SAFETY: as above.
            unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
            let mut files = Vec::new();
            while let Ok(file) = File::open("/dev/null") {
                files.push(file);
            }
            // By `posix_spawn`, which needs no descriptor; its pidfd is not to be had.
            for code in 0..3 {
                let mut child = process::Command::new("/bin/sh");
                child.args(["-c", &format!("exit {code}")]);
                let mut child = corering::process::Command::from(child).spawn().await?;
                {
                    let mut wait = pin!(child.wait());
                    let _ = poll!(&mut wait);
                    yield_now().await;
                }
                assert_eq!(child.wait().await?.code(), Some(code));
            }
            let mut sleep = corering::process::Command::new("sleep");
            sleep.arg("1000000").kill_on_drop(true);
            let mut child = sleep.spawn().await?;
            timeout(Duration::from_millis(5), child.wait()).await.expect_err("it goes on");
            child.kill().await?;
            drop(sleep.spawn().await?);
            // Pipes need some.
            sleep.stdout(Stdio::piped());
            let error = sleep.spawn().await.expect_err("none is left");
            assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
            drop(files);
            until(|| is_reaped(0)).await;
            let mut child = sleep.spawn().await?;
            // SAFETY: as above.
            unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &before) };
            child.kill().await
        })
    });
}

#[test]
fn process_limit_is_error_of_spawn() {
    let test = "attacks::process_limit_is_error_of_spawn";
    if !child::is_child() {
        return child::Child::of(test).without_capabilities().passes();
    }
    for driver in corering::test_support::drivers() {
        let runtime = Runtime::builder().driver(driver).build().expect("the driver is there");
        let started = runtime.block_on(async {
            // A thread of the pool is there before the limit is.
            corering::spawn_blocking(|| ()).await.expect("it does not panic");
            set_process_limit(4);
            let mut children = Vec::new();
            let error = loop {
                match endless().kill_on_drop(true).spawn().await {
                    Ok(child) => children.push(child),
                    Err(error) => break error,
                }
                assert!(children.len() < 10, "there is no limit");
            };
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{error}");
            let started = children.len();
            for child in &mut children {
                child.kill().await?;
            }
            // There is room again.
            set_process_limit(u64::MAX);
            let mut child = endless().spawn().await?;
            child.kill().await?;
            io::Result::Ok(started)
        });
        let started = started.expect("all else works");
        println!("{started} processes were started");
    }
}

fn set_process_limit(most: u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer leads to an rlimit that outlives the call.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NPROC, &mut limit) }, 0);
    limit.rlim_cur = most.min(limit.rlim_max);
    // SAFETY: as above.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NPROC, &limit) }, 0);
}

#[test]
fn forked_process_leaves_children_of_parent_alone() {
    let test = "attacks::forked_process_leaves_children_of_parent_alone";
    alone_in_runtime(test, async || {
        let child = endless().kill_on_drop(true).spawn().await?;
        let pid = id_of(&child);
        let mut kept = Some(child);
        let mut awaited = endless().kill_on_drop(true).spawn().await?;
        let waits = spawn(async move { awaited.wait().await });
        yield_now().await;
        // SAFETY: no other thread of this process holds a lock: those of the pool are idle.
        let forked = unsafe { libc::fork() };
        if forked == 0 {
            let mut child = kept.take().expect("it is there");
            let told = child.try_wait().expect_err("it is another's").to_string();
            drop(child);
            let good = told.contains("forked off");
            // SAFETY: _exit takes no pointer and runs no destructor.
            unsafe { libc::_exit(if good { 0 } else { 1 }) };
        }
        let mut status = 0;
        // SAFETY: the pointer leads to an integer that outlives the call.
        assert_eq!(unsafe { libc::waitpid(forked, &mut status, 0) }, forked);
        assert_eq!(status, 0, "the forked process took the child for its own");
        assert!(!is_over(pid), "the forked process has killed it");
        assert!(!waits.is_finished());
        waits.abort();
        let mut child = kept.take().expect("it is there");
        assert_eq!(child.try_wait()?, None);
        child.kill().await
    });
}

#[test]
fn child_under_debugger_is_awaited_without_turning() {
    let test = "attacks::child_under_debugger_is_awaited_without_turning";
    alone_in_runtime(test, async || {
        let mut debugged = process::Command::new("sleep");
        // SAFETY: between fork and exec the closure makes a system call, which fails where it is not
        // needed.
        unsafe {
            debugged.arg("1000000").pre_exec(|| {
                libc::prctl(libc::PR_SET_PTRACER, libc::PR_SET_PTRACER_ANY, 0, 0, 0);
                Ok(())
            })
        };
        let mut child = corering::process::Command::from(debugged).spawn().await?;
        let pid = id_of(&child);
        let (mut begun, says_begun) = io::pipe()?;
        let (waits_for_end, ends) = io::pipe()?;
        let fds = [
            std::os::fd::AsRawFd::as_raw_fd(&says_begun),
            std::os::fd::AsRawFd::as_raw_fd(&waits_for_end),
            std::os::fd::AsRawFd::as_raw_fd(&ends),
        ];
        // SAFETY: between fork and its end the debugger makes system calls only.
        let debugger = unsafe { libc::fork() };
        if debugger == 0 {
            // SAFETY: as above; the pointers lead to a byte that outlives the calls.
            unsafe {
                let mut byte: u8;
                libc::close(fds[2]);
                let seized = libc::ptrace(libc::PTRACE_SEIZE, pid as libc::pid_t, 0, 0) == 0;
                byte = if seized { b'y' } else { b'n' };
                libc::write(fds[0], (&raw const byte).cast(), 1);
                libc::read(fds[1], (&raw mut byte).cast(), 1);
                libc::_exit(0);
            }
        }
        let mut byte = [0];
        io::Read::read_exact(&mut begun, &mut byte)?;
        assert_eq!(byte, *b"y", "a child can be debugged by another child");
        child.start_kill()?;
        until(|| is_over(pid)).await;
        let before = corering::metrics().rounds;
        timeout(Duration::from_millis(30), child.wait()).await.expect_err("the debugger is first");
        let rounds = corering::metrics().rounds - before;
        assert!(rounds < 20, "{rounds} rounds for one wait");
        // The debugger ends.
        drop(ends);
        let status = child.wait().await?;
        assert_eq!(status.signal(), Some(libc::SIGKILL));
        becomes_zombie(debugger as u32);
        // SAFETY: a null pointer asks for no status.
        unsafe { libc::waitpid(debugger, std::ptr::null_mut(), 0) };
        Ok(())
    });
}
