//! `deny-uring COMMAND [ARGUMENT..]`: runs a command as on a machine where a container's seccomp
//! filter refuses io_uring with EPERM.
//!
//! The filter holds for the command and all its children, and cannot be taken back.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::{env, io};

/// `io_uring_setup`, `io_uring_enter` and `io_uring_register` have these numbers on every
/// architecture.
const IO_URING_CALLS: std::ops::RangeInclusive<u32> = 425..=427;

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let Some(program) = arguments.next() else {
        eprintln!("usage: deny-uring COMMAND [ARGUMENT..]");
        return ExitCode::from(2);
    };
    if let Err(error) = deny_io_uring() {
        eprintln!("deny-uring: the kernel did not take the seccomp filter: {error}");
        return ExitCode::from(3);
    }
    let arguments: Vec<OsString> = arguments.collect();
    let error = Command::new(&program).args(arguments).exec();
    eprintln!("deny-uring: cannot run {}: {error}", program.display());
    ExitCode::from(127)
}

/// From here on the calls of io_uring fail with EPERM in this process.
fn deny_io_uring() -> io::Result<()> {
    let refuse = libc::SECCOMP_RET_ERRNO | libc::EPERM.cast_unsigned();
    let (first, last) = (*IO_URING_CALLS.start(), *IO_URING_CALLS.end());
    // The number of the call is the first field of `seccomp_data`.
    let mut filter = [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
        jump(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, first, 0, 2),
        jump(libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K, last, 1, 0),
        statement(libc::BPF_RET | libc::BPF_K, refuse),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };

    // Without this only root may set a filter.
    // SAFETY: the call takes four numbers and no pointer.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `program` describes `filter`; both outlive the call, which copies them.
    if unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) }
        != 0
    {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn statement(code: u32, operand: u32) -> libc::sock_filter {
    jump(code, operand, 0, 0)
}

/// Skips `if_true` or `if_false` statements.
fn jump(code: u32, operand: u32, if_true: u8, if_false: u8) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: if_true, jf: if_false, k: operand }
}
