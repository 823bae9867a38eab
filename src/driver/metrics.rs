//! What a shard counts.

use std::cell::Cell;
use std::fmt;

macro_rules! metrics {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What one shard has counted since its start, and what it holds at this moment.
        ///
        /// Read it with [`metrics`](crate::metrics) or `Runtime::metrics` at any time; it costs a
        /// copy.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Metrics {
            $($(#[$doc])* pub $name: u64,)*
        }

        /// The cells behind [`Metrics`].
        #[derive(Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: Cell<u64>,)*
        }

        impl Counters {
            /// Adds what is counted here.
            pub(crate) fn add_to(&self, metrics: &mut Metrics) {
                $(metrics.$name += self.$name.get();)*
            }
        }

        impl fmt::Display for Metrics {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                $(writeln!(f, "{}: {}", stringify!($name), self.$name)?;)*
                Ok(())
            }
        }
    };
}

metrics! {
    /// Rounds of the loop.
    rounds,
    /// Tasks polled.
    polls,
    /// `io_uring_enter` or `epoll_wait` calls.
    enters,
    /// Submission queue entries staged, cancels included.
    submitted,
    /// Completions reaped, or events of epoll.
    completions,
    /// System calls that operations made directly: attempts, and calls without an opcode.
    attempts,
    /// Attempts that would have blocked.
    would_block,
    /// Operations that ran on the blocking pool. What memory could answer is not among them.
    pool_jobs,
    /// Calls of `sendfile(2)`, none of which was to wait for a disk.
    sendfiles,
    /// Cancels sent to the kernel.
    cancels,
    /// Futures dropped while their operation was in flight.
    abandoned,
    /// Entries that waited since the submission queue was full.
    backlogged,
    /// `enter` interrupted by a signal (EINTR).
    enter_interrupted,
    /// `enter` refused for the moment (EAGAIN, EBUSY, ENOMEM); nothing was lost.
    enter_refused,
    /// Visits that found the completion queue overflowed; nothing was lost.
    completion_overflows,
    /// Completions of operations that are no longer known.
    unknown_completions,
    /// Receives that found the buffer group empty.
    buffer_group_empty,
    /// Receives into memory of their own, since no buffer came back to the group.
    heap_receives,
    /// Multishots that were stopped because nobody took what they brought.
    paused_multishots,
    /// Pauses of a listener, since descriptors or memory had run out.
    accept_pauses,
    /// Streams that changed from receiving by completion to receiving by notification.
    changes_to_notification,
    /// Streams that changed back.
    changes_to_completion,
    /// Bytes that streams had taken by `poll_write` and that could not be sent: the peer was gone, or took
    /// none until [`Builder::linger`](crate::Builder::linger) was over.
    unsent_bytes,
    /// Operations at this moment that have begun and whose results nobody has taken: in flight, in the
    /// line of a descriptor, or done.
    slots_in_use,
    /// Operations that the kernel or the pool works on at this moment.
    operations_in_flight,
    /// Buffers of the group that are in completions or with users at this moment.
    group_buffers_out,
    /// Lent buffers that users hold at this moment.
    lent_buffers_out,
    /// Values that all of the process has leaked, since they were dropped on another thread than theirs:
    /// buffers in errors ([`BufError`](crate::BufError)), above all.
    leaked_elsewhere,
    /// Descriptors registered for readiness at this moment.
    registrations,
    /// Timers armed at this moment.
    timers,
}

/// Adds one to a counter.
#[inline]
pub(crate) fn count(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}
