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

/// Lets the standard library work with what is open, whatever has its name by now: it knows paths alone,
/// and `/proc` has one for each descriptor.
pub(super) fn by_path<T>(
    open: BorrowedFd<'_>,
    work: impl FnOnce(PathBuf) -> io::Result<T>,
) -> io::Result<T> {
    let path = PathBuf::from(format!("/proc/self/fd/{}", open.as_raw_fd()));
    work(path.clone()).map_err(|error| match path.symlink_metadata() {
        Ok(_) => error,
        Err(_) => io::Error::new(
            io::ErrorKind::Unsupported,
            "an open file is reached through /proc, which is not mounted here",
        ),
    })
}
