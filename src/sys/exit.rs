//! The last words of a process: a hook at its end, and standard error without the library.

use std::io;

/// Runs `hook` when the process ends by `exit` or by returning from `main`.
pub(crate) fn at_exit(hook: extern "C" fn()) -> io::Result<()> {
    // SAFETY: a function pointer is valid as long as the process, and an `extern "C" fn` cannot
    // unwind into the C library.
    match unsafe { libc::atexit(hook) } {
        0 => Ok(()),
        _ => Err(io::Error::other("the C library has no place for another exit hook")),
    }
}

/// Ends the process without any of what runs at its end, from whatever thread.
#[cfg(feature = "process-pool")]
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: _exit takes no pointer and does not return.
    unsafe { libc::_exit(code) }
}

/// Writes to standard error without a buffer, a lock or the test harness's capture, none of which
/// can be relied on while the process ends. A failure has nobody left to be told.
pub(crate) fn write_stderr(text: &str) {
    // SAFETY: the pointer and the length describe `text`, which outlives the call.
    unsafe { libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len()) };
}
