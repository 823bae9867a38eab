//! What has begun in one runtime and is awaited in another, or after its end: whether anything will
//! ever come of it, and what it ends with if not.
//!
//! Every wait names the driver that it is made with. One look at that name where a future would go
//! on waiting is all that there is to it: while its own runtime runs, a wait costs one comparison.

use std::io;

/// How a driver stands to the runtime that runs on this thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is that runtime's, or none runs: it may go on later.
    Here,
    /// Its runtime has ended, or is that of a parent process.
    Over,
    /// Its runtime lives, and cannot go on while the other one runs.
    Elsewhere,
}

/// A wait that its runtime has left behind.
pub(super) fn cancelled() -> io::Error {
    io::Error::from_raw_os_error(libc::ECANCELED)
}

/// A wait that can only go on in another runtime.
#[cold]
pub(super) fn elsewhere() -> io::Error {
    io::Error::other(
        "this was begun in another corering runtime of this thread, which has not ended and does \
         not run meanwhile: await it in that runtime's block_on, or end that runtime first; a \
         stream moves to another runtime by `detach`",
    )
}

/// A thread without a runtime.
#[cold]
pub(super) fn nowhere() -> io::Error {
    io::Error::other(
        "there is no corering runtime on this thread; run this inside corering::block_on, \
         Runtime::block_on or a task",
    )
}

/// What an operation that was cancelled for its time limit fails with.
pub(crate) fn timed_out() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the operation did not end within its time limit")
}
