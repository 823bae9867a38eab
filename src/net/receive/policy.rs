//! When a stream receives by completion, and when by notification.
//!
//! By completion, one pass of the ring receives up to dozens of messages before the first is
//! answered. That is the cheapest way while they all fit the level-2 cache, and the dearest when
//! they do not: from 8 KiB a message on it cost 1.2 to 1.4 times the CPU of epoll, while by
//! notification the ring was even with it. Changing over costs a cancel, so a stream changes back
//! only after a run of small messages.

use crate::driver::ReceivePolicy;

/// How a stream receives at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// A multishot receive fills buffers of the group.
    Completion,
    /// Told that the socket is readable, the task receives by a plain call.
    Notification,
}

/// What one stream has seen of its messages.
#[derive(Debug)]
pub(super) struct Policy {
    policy: ReceivePolicy,
    /// Small receives in a row.
    small: u8,
}

/// A receive of so many bytes is large.
const LARGE_BYTES: usize = 8 * 1024;
/// A receive of fewer bytes is small. Between the two nothing changes.
const SMALL_BYTES: usize = 2 * 1024;
/// So many small receives in a row change a stream back.
const SMALL_IN_A_ROW: u8 = 64;

impl Policy {
    pub(super) fn new(policy: ReceivePolicy) -> Self {
        Policy { policy, small: 0 }
    }

    /// Whether a stream may ever receive by completion.
    pub(super) fn may_complete(&self) -> bool {
        self.policy != ReceivePolicy::Notification
    }

    /// Whether a buffer of the caller's with so much room is received into directly, where nothing is
    /// armed yet: the caller expects a large message, which would have to be copied.
    pub(super) fn is_for_large(&self, room: usize) -> bool {
        match self.policy {
            ReceivePolicy::Notification => true,
            ReceivePolicy::Adaptive => room >= LARGE_BYTES,
            ReceivePolicy::Completion => false,
        }
    }

    /// Takes note of a receive; tells the way to change to. `filled`: there was no room for more.
    pub(super) fn after(&mut self, way: Way, bytes: usize, filled: bool) -> Option<Way> {
        if self.policy != ReceivePolicy::Adaptive || bytes == 0 {
            return None;
        }
        match way {
            Way::Completion => {
                self.small = 0;
                (bytes >= LARGE_BYTES || filled).then_some(Way::Notification)
            }
            Way::Notification if bytes >= SMALL_BYTES => {
                self.small = 0;
                None
            }
            Way::Notification => {
                // The change may be refused, and the run then goes on.
                self.small = self.small.saturating_add(1);
                (self.small >= SMALL_IN_A_ROW).then_some(Way::Completion)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_message_changes_to_notification() {
        let mut policy = Policy::new(ReceivePolicy::Adaptive);
        assert_eq!(policy.after(Way::Completion, 100, false), None);
        assert_eq!(policy.after(Way::Completion, 8192, false), Some(Way::Notification));
    }

    #[test]
    fn large_buffer_of_the_caller_is_received_into_directly() {
        let policy = Policy::new(ReceivePolicy::Adaptive);
        assert!(!policy.is_for_large(8191) && policy.is_for_large(8192));
    }

    #[test]
    fn full_buffer_changes_to_notification() {
        let mut policy = Policy::new(ReceivePolicy::Adaptive);
        assert_eq!(policy.after(Way::Completion, 4096, true), Some(Way::Notification));
    }

    #[test]
    fn only_a_long_run_of_small_messages_changes_back() {
        let mut policy = Policy::new(ReceivePolicy::Adaptive);
        for _ in 1..SMALL_IN_A_ROW {
            assert_eq!(policy.after(Way::Notification, 64, false), None);
        }
        assert_eq!(policy.after(Way::Notification, 4096, false), None);
        for _ in 1..SMALL_IN_A_ROW {
            assert_eq!(policy.after(Way::Notification, 64, false), None);
        }
        assert_eq!(policy.after(Way::Notification, 64, false), Some(Way::Completion));
    }

    #[test]
    fn run_of_small_messages_goes_on_where_nothing_changes() {
        let mut policy = Policy::new(ReceivePolicy::Adaptive);
        let ways = (0..1000).filter_map(|_| policy.after(Way::Notification, 64, false));
        assert_eq!(ways.count(), 1000 - usize::from(SMALL_IN_A_ROW) + 1);
    }

    #[test]
    fn fixed_policies_never_change() {
        for fixed in [ReceivePolicy::Completion, ReceivePolicy::Notification] {
            let mut policy = Policy::new(fixed);
            let way = if policy.may_complete() { Way::Completion } else { Way::Notification };
            assert!((0..1000).all(|_| policy.after(way, 65536, true).is_none()));
            assert!((0..1000).all(|_| policy.after(way, 1, false).is_none()));
        }
    }
}
