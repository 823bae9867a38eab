//! Child processes: start them, talk to them, await their end.
//!
//! | to do this | use |
//! |---|---|
//! | start a program, as [`std::process::Command`] does | [`Command::spawn`] |
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
mod detached;
mod reap;

#[doc(no_inline)]
pub use std::process::{ExitStatus, Stdio};

pub use child::Child;
pub use command::Command;

#[cfg(feature = "process-pool")]
mod pool;
#[cfg(feature = "process-pool")]
#[doc(inline)]
pub use pool::{CallError, Functions, Pool, PoolBuilder, functions, worker};
#[cfg(feature = "process-pool")]
#[doc(hidden)]
pub use pool::{Failure, Function, Typed};
