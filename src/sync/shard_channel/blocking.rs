//! Waiting on a thread that has no runtime.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use crate::driver;
use crate::sys::clock;

/// Polls until that is ready, and stops the thread in between. `None` when the limit is over.
///
/// # Panics
/// Inside a runtime, whose shard would stop.
#[track_caller]
pub(super) fn block_on<T>(
    method: &str,
    limit: Option<Duration>,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Option<T> {
    assert!(
        !driver::is_running(),
        "blocking_{method} inside a corering runtime would stop its shard: await {method} there"
    );
    // A limit beyond what the clock can say is none.
    let deadline = limit.and_then(|limit| clock::now().checked_add(limit));
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = poll(&mut cx) {
            return Some(output);
        }
        match deadline.map(|deadline| deadline.saturating_duration_since(clock::now())) {
            None => thread::park(),
            Some(Duration::ZERO) => return None,
            Some(left) => thread::park_timeout(left),
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}
