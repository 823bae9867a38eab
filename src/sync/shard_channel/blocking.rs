//! Waiting on a thread that has no runtime.
#![forbid(unsafe_code)]

use std::task::{Context, Poll};
use std::time::Duration;

use crate::driver;
use crate::util::park;

/// Polls until that is ready, and stops the thread in between. `None` when the limit is over.
///
/// # Panics
/// Inside a runtime, whose shard would stop.
#[track_caller]
pub(super) fn block_on<T>(
    method: &str,
    limit: Option<Duration>,
    poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Option<T> {
    assert!(
        !driver::is_running(),
        "blocking_{method} inside a corering runtime would stop its shard: await {method} there"
    );
    park::block_on(limit, poll)
}
