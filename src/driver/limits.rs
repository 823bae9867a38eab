//! What the builder sets of a driver.

use std::time::Duration;

/// The sizes that the builder sets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) group_buffers: u16,
    pub(crate) group_buffer_size: u32,
    pub(crate) queued_buffers_max: u32,
    pub(crate) queued_accepts_max: u32,
    pub(crate) receive_policy: ReceivePolicy,
    pub(crate) linger: Duration,
}

/// How streams of the ring driver receive (and, with it, how they send).
///
/// The epoll driver always receives by notification; there the policy is without effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReceivePolicy {
    /// Each stream begins by completion and changes to notification, and back, as its messages
    /// grow and shrink. The default.
    #[default]
    Adaptive,
    /// A multishot receive fills buffers of the shard's group; the sends of a round leave together
    /// with its one `enter`, and one that is alone leaves at once. Best for small messages.
    Completion,
    /// The ring reports readiness, and the task receives and sends by plain system calls. Best for
    /// messages from 8 KiB on.
    Notification,
}
