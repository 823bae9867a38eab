//! Child processes: how their end is noticed, signals that reach no other process, and what is done
//! between fork and exec.
//!
//! A pidfd names a process for good. A number is another process's as soon as its child was reaped, which
//! happens behind the program's back where it ignores SIGCHLD; so a number is used only for a child of
//! which the kernel has just said that it is there.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use super::call::SysCall;
use super::limits;

/// Opens a descriptor of a child, which is readable once the child has ended.
///
/// # Errors
/// ESRCH: there is no such process any more. EMFILE and ENFILE; and what a kernel before 5.3 or a filter
/// answers that refuses the call.
pub(crate) fn open_pidfd(pid: u32) -> io::Result<OwnedFd> {
    let call = SysCall::new(libc::SYS_pidfd_open, [pid as usize, 0]);
    // SAFETY: the call takes numbers.
    match unsafe { call.run_for_real() } {
        // SAFETY: the descriptor was just opened and nothing else owns it.
        fd @ 0.. => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        result => Err(io::Error::from_raw_os_error(-result)),
    }
}

/// Waits until a child has ended, and leaves it to be reaped.
///
/// # Errors
/// ECHILD: there is no such child any more. What a filter answers that refuses the call.
pub(crate) fn wait_for_end(pid: u32) -> io::Result<()> {
    loop {
        match wait(libc::P_PID, pid as usize, libc::WEXITED | libc::WNOWAIT) {
            0 => return Ok(()),
            libc::EINTR => {}
            errno => return Err(io::Error::from_raw_os_error(errno)),
        }
    }
}

/// Whether a child was reaped, here or by others. False where the kernel does not say.
pub(crate) fn is_reaped(pid: u32, pidfd: Option<BorrowedFd<'_>>) -> bool {
    let options = libc::WEXITED | libc::WNOWAIT | libc::WNOHANG;
    let looked = match pidfd {
        // Since Linux 5.4; EINVAL before.
        Some(pidfd) => wait(libc::P_PIDFD, pidfd.as_raw_fd() as usize, options),
        None => wait(libc::P_PID, pid as usize, options),
    };
    looked == libc::ECHILD
}

/// `waitid(2)` without its answer. The result is an errno, or 0.
fn wait(kind: libc::idtype_t, child: usize, options: i32) -> i32 {
    let call = SysCall::new(libc::SYS_waitid, [kind as usize, child, 0, options as usize, 0]);
    // SAFETY: both pointers are null, and so nothing is written.
    -(unsafe { call.run_for_real() })
}

/// Sends a signal to a child that was not reaped by this program.
///
/// # Errors
/// ESRCH: it has ended and was reaped all the same. EINVAL for a number that is no signal's, EPERM for a
/// child that has become another user's.
pub(crate) fn send_signal(pid: u32, pidfd: Option<BorrowedFd<'_>>, signal: i32) -> io::Result<()> {
    if let Some(pidfd) = pidfd {
        let arguments = [pidfd.as_raw_fd() as usize, signal as usize, 0, 0];
        let call = SysCall::new(libc::SYS_pidfd_send_signal, arguments);
        // SAFETY: a null pointer asks for the details that kill(2) gives.
        match -(unsafe { call.run_for_real() }) {
            0 => return Ok(()),
            // As kernels before 5.1 and filters answer; or it is what kill(2) answers, too.
            libc::ENOSYS | libc::EPERM | libc::EINVAL => {}
            errno => return Err(io::Error::from_raw_os_error(errno)),
        }
    }
    kill(pid, pid as libc::pid_t, signal)
}

/// Sends a signal to all processes of the group that a child leads, which was not reaped by this program.
///
/// # Errors
/// As [`send_signal`], and `InvalidInput` if the child leads no group.
pub(crate) fn send_signal_to_group(pid: u32, signal: i32) -> io::Result<()> {
    // SAFETY: the call takes a number. It knows a child that has ended until that is reaped.
    let group = unsafe { libc::getpgid(pid as libc::pid_t) };
    if group < 0 {
        return Err(io::Error::last_os_error());
    }
    if group != pid as libc::pid_t {
        let message = format!(
            "process {pid} leads no process group: start it with process_group(0) or new_session()"
        );
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    kill(pid, -group, signal)
}

/// `kill(2)` of a number that is a child's, if it is.
fn kill(child: u32, number: libc::pid_t, signal: i32) -> io::Result<()> {
    if is_reaped(child, None) {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    // SAFETY: the call takes numbers.
    match unsafe { libc::kill(number, signal) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Has a command give its child the limit of descriptors that this process had before it was raised.
pub(crate) fn put_descriptor_limit_back(command: &mut Command) {
    // SAFETY: between fork and exec the closure makes two system calls and nothing else.
    unsafe {
        command.pre_exec(|| {
            limits::put_descriptor_limit_back();
            Ok(())
        })
    };
}

/// Has a command start its child in a session of its own.
pub(crate) fn start_session(command: &mut Command) {
    // SAFETY: between fork and exec the closure makes a system call and nothing else.
    unsafe {
        command.pre_exec(|| match libc::setsid() {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        })
    };
}

/// Has a command give its child one standard output for both, its output and its errors.
pub(crate) fn join_stderr(command: &mut Command) {
    // SAFETY: between fork and exec the closure makes a system call and nothing else.
    unsafe {
        command.pre_exec(|| match libc::dup2(libc::STDOUT_FILENO, libc::STDERR_FILENO) {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        })
    };
}

/// Waits until one of some descriptors is readable, or the time is over. Says which are.
///
/// # Errors
/// Those of `poll(2)`: no memory.
pub(crate) fn wait_for_any(
    fds: &[BorrowedFd<'_>],
    limit: Option<Duration>,
) -> io::Result<Vec<bool>> {
    let poll =
        |fd: &BorrowedFd<'_>| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let mut polls: Vec<libc::pollfd> = fds.iter().map(poll).collect();
    let limit = limit.map(|limit| libc::timespec {
        tv_sec: limit.as_secs() as _,
        tv_nsec: limit.subsec_nanos().into(),
    });
    let time = limit.as_ref().map_or(0, |limit| &raw const *limit as usize);
    let call =
        SysCall::new(libc::SYS_ppoll, [polls.as_mut_ptr() as usize, polls.len(), time, 0, 0]);
    // SAFETY: the pointer and the count describe `polls`, and the time is null or leads to `limit`; both
    // outlive the call.
    match unsafe { call.run_for_real() } {
        0.. => Ok(polls.iter().map(|poll| poll.revents != 0).collect()),
        result => Err(io::Error::from_raw_os_error(-result)),
    }
}
