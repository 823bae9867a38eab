//! The storm on both drivers. It runs in a process of its own, since it counts the descriptors.

use corering::net::UnixStream;
use corering::{Runtime, test_support};

use crate::child::{self, Child};
use crate::net::nothing_is_in_flight;
use crate::storm::storm;

const GROUPS: usize = 10_000;

#[test]
fn ten_thousand_groups_in_storm_leave_nothing() {
    if !child::is_child() {
        return Child::of("storms::ten_thousand_groups_in_storm_leave_nothing").passes();
    }
    for driver in test_support::drivers() {
        let runtime = Runtime::builder().driver(driver).build().expect("it was asked for");
        let (before, after) = runtime.block_on(async {
            storm(1, 10, async || UnixStream::pair()).await;
            nothing_is_in_flight().await;
            let before = open_descriptors();
            storm(2, GROUPS, async || UnixStream::pair()).await;
            nothing_is_in_flight().await;
            (before, open_descriptors())
        });
        assert_eq!(before, after, "{driver}: descriptors");
        let metrics = runtime.metrics();
        assert_eq!((metrics.slots_in_use, metrics.timers), (0, 0), "{driver}: slots, timers");
        assert_eq!(metrics.group_buffers_out + metrics.lent_buffers_out, 0, "{driver}: buffers");
        assert_eq!(metrics.registrations, 0, "{driver}: registrations");
        let report = runtime.shut_down();
        assert_eq!(report.cancelled_tasks, 0, "{driver}: tasks");
        assert_eq!(report.leaked_operations, 0, "{driver}: operations");
    }
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("/proc is mounted").count()
}
