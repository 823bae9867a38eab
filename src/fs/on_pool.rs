//! What the kernel has no operation for, or what takes many: the standard library does it, on a thread
//! of the pool.

use std::io;
use std::panic::resume_unwind;

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
