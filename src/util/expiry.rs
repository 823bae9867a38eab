//! The word that the time of an operation is over, for whatever it is made of.
//!
//! `time::within` says so by how it polls, so that no future in between has to hand it on: a leaf
//! that would wait asks for an early end and awaits that, or ends at once where there is nothing to
//! end; one that has not begun does not begin.
//!
//! What is polled is known by its waker, which stands where it stands while one poll lasts: code of
//! the user's that is called meanwhile, a buffer's or a waker's, may poll something else.

use std::cell::Cell;
use std::ptr;
use std::task::{Context, Waker};

// Without a destructor, so that it can be used as long as the thread runs.
thread_local! {
    /// The waker of what is polled though its time is over. Compared, and not looked at.
    static EXPIRED: Cell<*const Waker> = const { Cell::new(ptr::null()) };
}

/// Polls something whose time is over.
pub(crate) fn poll_expired<T>(cx: &mut Context<'_>, poll: impl FnOnce(&mut Context<'_>) -> T) -> T {
    struct Restore(*const Waker);
    impl Drop for Restore {
        fn drop(&mut self) {
            EXPIRED.set(self.0);
        }
    }
    let _restore = Restore(EXPIRED.replace(cx.waker()));
    poll(cx)
}

/// Whether the time of what is polled with this waker is over.
#[inline(always)]
pub(crate) fn has_expired(waker: &Waker) -> bool {
    ptr::eq(EXPIRED.get(), waker)
}
