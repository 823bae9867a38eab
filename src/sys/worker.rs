//! What the workers of a process pool need of the system: two descriptors that a child inherits, and a
//! limit of its memory.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Arc;

use super::exit::exit_now;
use super::limits;
use super::signal_mask::SignalsBlocked;

/// The first argument of a process that was started as a worker. Two descriptors follow. It is an
/// argument and no environment variable, which the worker's own children would inherit.
const ARGUMENT: &str = "--corering-worker";

/// The stack of the thread that waits for the parent's end: it makes one call.
const LIFELINE_STACK: usize = 64 << 10;

/// This program again, to be started as a worker that inherits a connection and a lifeline. The command
/// keeps both open, also while a start goes on that was given up.
pub(crate) fn command(connection: OwnedFd, lifeline: Arc<OwnedFd>) -> Command {
    // By this name it is the program that runs, also where its file was replaced or removed.
    let mut command = Command::new("/proc/self/exe");
    if let Some(name) = std::env::args_os().next() {
        command.arg0(name);
    }
    let numbers = [connection.as_raw_fd(), lifeline.as_raw_fd()].map(|fd| fd.to_string());
    command.arg(ARGUMENT).args(numbers).stdin(Stdio::null());
    let inherit = move || {
        set_flags(connection.as_raw_fd(), 0)?;
        set_flags(lifeline.as_raw_fd(), 0)
    };
    // SAFETY: between fork and exec the closure makes two system calls, and neither allocates nor locks.
    unsafe { command.pre_exec(inherit) };
    command
}

/// The arguments behind the one that says that this process was started as a worker. `None`: it was not.
pub(crate) fn arguments() -> Option<impl Iterator<Item = OsString>> {
    let mut arguments = std::env::args_os().skip(1);
    (arguments.next()? == ARGUMENT).then_some(arguments)
}

/// A descriptor that the parent has left open for this process, by its number as text. From then on it
/// is closed in the children of this process.
///
/// # Errors
/// The text is not the number of an open descriptor beyond the standard ones.
pub(crate) fn inherited(number: Option<OsString>) -> io::Result<OwnedFd> {
    let number = number.and_then(|text| text.to_str()?.parse().ok());
    let fd: RawFd = number.filter(|fd| *fd > 2).ok_or(io::ErrorKind::InvalidInput)?;
    set_flags(fd, libc::FD_CLOEXEC)?;
    // SAFETY: the descriptor is open, since its flags could be set; the parent left it to whoever was
    // started with its number, and each number is asked for once.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Ends this process, whatever its other threads do, as soon as the last write end of a pipe is closed.
///
/// # Errors
/// No thread could be started.
pub(crate) fn end_with_parent(lifeline: OwnedFd) -> io::Result<()> {
    let _blocked = SignalsBlocked::on_this_thread();
    let thread = std::thread::Builder::new().name("lifeline".into()).stack_size(LIFELINE_STACK);
    thread.spawn(move || {
        let mut lifeline = File::from(lifeline);
        // Nothing is ever written.
        while matches!(lifeline.read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::Interrupted)
        {
        }
        exit_now(0)
    })?;
    Ok(())
}

/// Limits the address space of this process.
///
/// # Errors
/// The limit is above the hard one.
pub(crate) fn limit_memory(bytes: u64) -> io::Result<()> {
    limits::limit_address_space(bytes)
}

/// Leaves an interrupt from the terminal, which all processes of the foreground get, to the parent.
pub(crate) fn ignore_interrupts() {
    // SAFETY: to ignore a signal installs no handler.
    unsafe { libc::signal(libc::SIGINT, libc::SIG_IGN) };
}

fn set_flags(fd: RawFd, flags: libc::c_int) -> io::Result<()> {
    // SAFETY: this command of fcntl takes numbers only.
    match unsafe { libc::fcntl(fd, libc::F_SETFD, flags) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
