//! Child processes: start them, talk to them, await their end.
//!
//! | to do this | use |
//! |---|---|
//! | start a program, as [`std::process::Command`] does | [`Command::spawn`] |
//! | have the shell run a line | [`shell`] |
//! | collect what it prints | [`Command::output`] |
//! | give it its input, and collect what it prints meanwhile | [`Child::communicate`] |
//! | bound the output and the time of both | [`Communicate::max_output`], [`Communicate::time_limit`] |
//! | connect one to the next, to a file or to a socket | [`Stdio`], which is `From` all of them |
//! | await its end, and know how it ended | [`Child::wait`]; [`ExitStatus`], with `ExitStatusExt::signal` of the standard library for an end by signal |
//! | look without waiting | [`Child::try_wait`] |
//! | read what it prints, write what it reads | [`Child::stdin`], [`Child::stdout`] and [`Child::stderr`], with [`Stdio::piped`] |
//! | ask it to end, or end it | [`Child::terminate`], [`Child::kill`] |
//! | end it with the code that started it | [`Command::kill_on_drop`] |
//! | signal it and all that it has started | [`Command::process_group`], [`Child::signal_group`] |
//! | keep it from the signals of the terminal | [`Command::new_session`] |
//! | run functions that compute in processes of their own | `Pool`, with the feature `process-pool` |
//!
//! # What a child inherits
//!
//! What the program itself has: its signal mask, its processors and its limit of descriptors, not those of
//! the shard. Of descriptors a child gets the three standard ones, and no other that the runtime has
//! opened.
//!
//! # What is left of a dropped child
//!
//! The process goes on, unless [`Command::kill_on_drop`] was set, and leaves no zombie, wherever it is
//! dropped: the shard reaps it, or, where no runtime runs any more, a thread that is started for that and
//! ends with the last such child.
//!
//! A program that ignores SIGCHLD has the kernel reap its children: how they have ended is not known then,
//! and [`Child::wait`] fails.
//!
//! There are no processes on the simulated kernel: [`Command::spawn`] fails there.

#![forbid(unsafe_code)]

mod child;
mod command;
mod communicate;
mod detached;
mod exchange;
#[cfg(feature = "process-pool")]
mod pool;
mod reap;
mod spawn_error;
mod stdio;

pub use child::Child;
pub use command::Command;
pub use communicate::{Communicate, CommunicateError, CommunicateErrorKind};
#[cfg(feature = "process-pool")]
#[doc(inline)]
pub use pool::{CallError, Functions, Pool, PoolBuilder, functions, worker};
#[cfg(feature = "process-pool")]
#[doc(hidden)]
pub use pool::{Failure, Function, Typed};
pub use spawn_error::{SpawnError, SpawnErrorKind};
pub use stdio::Stdio;

use std::ffi::OsStr;
#[doc(no_inline)]
pub use std::process::{ExitStatus, Output};

/// A command that has the shell, `/bin/sh`, run a line: with its pipes, redirections and variables.
///
/// Keep what comes from outside the program out of the line, where the shell would take it apart: pass it
/// as an argument, which the line has as `$1` and so on, behind one that is `$0`.
///
/// # Examples
///
/// ```
/// use corering::process::shell;
///
/// # corering::block_on(async {
/// assert_eq!(shell("echo a b | wc -w").output().await?.stdout.trim_ascii(), b"2");
///
/// let name = "; echo oops";
/// let output = shell("printf 'hello %s' \"$1\"").arg("sh").arg(name).output().await?;
/// assert_eq!(output.stdout, b"hello ; echo oops");
/// # Ok::<(), std::io::Error>(())
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "create_subprocess_shell")]
pub fn shell(line: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(line);
    command
}
