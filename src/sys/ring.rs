//! The seam below which the kernel can be exchanged: push an entry, enter, reap completions.

use std::time::Duration;

/// One completion, as it crosses the seam.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cqe {
    /// What the submission queue entry carried: slot index and generation.
    pub(crate) user_data: u64,
    /// The system call's result: a count or a descriptor, or a negated errno.
    pub(crate) result: i32,
    /// `IORING_CQE_F_*`.
    pub(crate) flags: u32,
}

/// How long `enter` may wait for a completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Submit and collect what is there.
    No,
    /// Until a completion comes.
    Forever,
    /// Until a completion comes or the time is over.
    For(Duration),
}

/// The submission queue has no free entry.
#[derive(Debug)]
pub(crate) struct Full;
