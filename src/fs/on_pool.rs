//! What the kernel has no operation for, or what takes many: the standard library does it, on a thread
//! of the pool.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::panic::resume_unwind;
use std::path::PathBuf;

use crate::driver;
use crate::runtime::spawn_blocking;
use crate::util::budget;

/// Runs a closure on a thread of the pool. Dropped, it lets the closure go on.
pub(super) async fn on_pool<T: Send + 'static>(
    closure: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    budget::pay().await;
    driver::current()?;
    spawn_blocking(closure).await.unwrap_or_else(|error| match error.is_panic() {
        true => resume_unwind(error.into_panic()),
        false => Err(io::Error::other("no thread of the pool has run it: the runtime has ended")),
    })
}

/// A path by which the standard library reaches what is open, whatever has its name by now.
pub(super) fn link_to(open: BorrowedFd<'_>) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", open.as_raw_fd()))
}
