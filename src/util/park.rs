//! Waiting on a thread that has no runtime.

#![forbid(unsafe_code)]

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use crate::sys::clock;

/// Polls until that is ready, and stops the thread in between. `None` when the limit is over. What is
/// polled may wait for other threads, and for nothing else.
pub(crate) fn block_on<T>(
    limit: Option<Duration>,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Option<T> {
    // A limit beyond what the clock can say is none.
    let deadline = limit.and_then(|limit| clock::now().checked_add(limit));
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = poll(&mut cx) {
            return Some(output);
        }
        // After a wake that came first these return immediately, and one of somebody else costs a poll.
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
