//! The matrix: every cell that a study measures, as data. What an axis holds stands in one place,
//! the constants below.

#![forbid(unsafe_code)]

use super::plan::CellPlan;
use super::runtime_cell::RuntimeWork;
use super::schema::Mode;

/// Open connections of the echo cells.
pub const ECHO_CONNECTIONS: [u64; 6] = [1, 8, 64, 256, 1_000, 10_000];
/// Message sizes of the echo cells.
pub const ECHO_MESSAGE_BYTES: [u64; 5] = [16, 128, 1024, 16 * 1024, 64 * 1024];
/// Messages that are under way at once on each connection of the echo cells.
pub const ECHO_DEPTHS: [u64; 4] = [1, 4, 16, 64];
/// Message sizes of the echo by `read(buf)`.
pub const OWNED_ECHO_MESSAGE_BYTES: [u64; 2] = [SMALL_MESSAGE_BYTES, 16 * 1024];
/// Connections that do nothing while others work.
pub const IDLE_CONNECTIONS: [u64; 2] = [10_000, 100_000];
/// The others.
pub const ACTIVE_CONNECTIONS: u64 = 64;
/// How fast connections come that are used once, in percent of the capacity. It is the client's, which
/// is late beyond half.
pub const CHURN_PERCENT: [Option<u64>; 3] = [None, Some(20), Some(50)];
/// Connections of the HTTP cells.
pub const HTTP_CONNECTIONS: [u64; 2] = [64, 512];
/// Bytes of one random read.
pub const FILE_BLOCK_BYTES: u64 = 4096;
/// Reads that are under way at once.
pub const FILE_DEPTHS: [u64; 3] = [1, 32, 128];
/// Sizes of the file that goes to a socket.
pub const SENT_FILE_BYTES: [u64; 6] =
    [1024, 4 * 1024, 16 * 1024, 64 * 1024, 256 * 1024, 1024 * 1024];
/// Lines that share one fdatasync.
pub const LOG_GROUP_LINES: [u64; 4] = [1, 4, 16, 64];
/// Rates, in percent of what the slower side can do.
pub const RATE_PERCENT: [u64; 5] = [20, 50, 70, 80, 90];

/// A message where the size is not the point.
const SMALL_MESSAGE_BYTES: u64 = 128;

/// All cells of a mode, in the order in which they are measured and reported.
pub fn cells(mode: Mode) -> Vec<CellPlan> {
    match mode {
        Mode::Quick => quick(),
        Mode::Full => full(),
    }
}

/// Each workload, in the shape in which a reader is most likely to meet it.
fn quick() -> Vec<CellPlan> {
    let message_bytes = SMALL_MESSAGE_BYTES;
    vec![
        CellPlan::Echo { connections: 64, message_bytes, depth: 1 },
        owned_echo(message_bytes),
        idle(IDLE_CONNECTIONS[0]),
        churn(CHURN_PERCENT[0]),
        CellPlan::Http { connections: 64, body_bytes: 1024 },
        CellPlan::File { block_bytes: FILE_BLOCK_BYTES, is_direct: true, depth: 32 },
        CellPlan::FileToSocket { connections: 64, file_bytes: 64 * 1024 },
        log(16),
        mixed(),
        CellPlan::Runtime(RuntimeWork::Yield),
        rate(),
    ]
}

fn full() -> Vec<CellPlan> {
    let mut cells = Vec::new();
    for connections in ECHO_CONNECTIONS {
        for message_bytes in ECHO_MESSAGE_BYTES {
            for depth in ECHO_DEPTHS {
                cells.push(CellPlan::Echo { connections, message_bytes, depth });
            }
        }
    }
    cells.extend(OWNED_ECHO_MESSAGE_BYTES.map(owned_echo));
    cells.extend(IDLE_CONNECTIONS.map(idle));
    cells.extend(CHURN_PERCENT.map(churn));
    cells.extend(
        HTTP_CONNECTIONS.map(|connections| CellPlan::Http { connections, body_bytes: 1024 }),
    );
    for is_direct in [false, true] {
        cells.extend(FILE_DEPTHS.map(|depth| CellPlan::File {
            block_bytes: FILE_BLOCK_BYTES,
            is_direct,
            depth,
        }));
    }
    cells.extend(
        SENT_FILE_BYTES.map(|file_bytes| CellPlan::FileToSocket { connections: 64, file_bytes }),
    );
    cells.extend(LOG_GROUP_LINES.map(log));
    cells.push(mixed());
    cells.extend(RuntimeWork::ALL.map(CellPlan::Runtime));
    cells.push(rate());
    cells
}

fn owned_echo(message_bytes: u64) -> CellPlan {
    CellPlan::OwnedEcho { connections: ACTIVE_CONNECTIONS, message_bytes }
}

fn idle(idle_connections: u64) -> CellPlan {
    let active_connections = ACTIVE_CONNECTIONS;
    CellPlan::Idle { idle_connections, active_connections, message_bytes: SMALL_MESSAGE_BYTES }
}

fn churn(percent_of_capacity: Option<u64>) -> CellPlan {
    CellPlan::Churn { message_bytes: SMALL_MESSAGE_BYTES, percent_of_capacity }
}

fn log(group_lines: u64) -> CellPlan {
    CellPlan::Log { group_lines, line_bytes: SMALL_MESSAGE_BYTES }
}

fn mixed() -> CellPlan {
    CellPlan::Mixed {
        connections: ACTIVE_CONNECTIONS,
        message_bytes: SMALL_MESSAGE_BYTES,
        disk_depth: 32,
        rate_per_second: 2_000,
    }
}

fn rate() -> CellPlan {
    CellPlan::Rate {
        connections: ACTIVE_CONNECTIONS,
        message_bytes: SMALL_MESSAGE_BYTES,
        percent_of_capacity: RATE_PERCENT.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::plan::CellPlan;
    use super::super::schema::{Mode, Workload};
    use super::{RuntimeWork, cells, full};

    const WORKLOADS: [Workload; 11] = [
        Workload::Echo,
        Workload::OwnedEcho,
        Workload::Idle,
        Workload::Churn,
        Workload::Http,
        Workload::File,
        Workload::FileToSocket,
        Workload::Log,
        Workload::Mixed,
        Workload::Runtime,
        Workload::Rate,
    ];

    #[test]
    fn each_mode_covers_every_workload() {
        for mode in [Mode::Quick, Mode::Full] {
            let covered: BTreeSet<_> = cells(mode).iter().map(CellPlan::workload).collect();
            assert_eq!(covered, BTreeSet::from(WORKLOADS), "{mode:?}");
        }
    }

    #[test]
    fn what_is_quick_is_part_of_the_whole() {
        let full = full();
        for cell in cells(Mode::Quick) {
            assert!(full.contains(&cell), "{}", cell.id());
        }
    }

    #[test]
    fn every_cell_has_an_id_and_a_title_of_its_own() {
        let full = full();
        let ids: BTreeSet<_> = full.iter().map(CellPlan::id).collect();
        let titles: BTreeSet<_> = full.iter().map(CellPlan::title).collect();
        assert_eq!((ids.len(), titles.len()), (full.len(), full.len()));
    }

    /// All values of `parameter` in the full study's cells of `workload`.
    fn values(workload: Workload, parameter: &str) -> Vec<u64> {
        let cells = full().into_iter().filter(|cell| cell.workload() == workload);
        let values: BTreeSet<_> =
            cells.filter_map(|cell| cell.parameters().get(parameter).copied()).collect();
        values.into_iter().collect()
    }

    // The numbers stand here again as the project's statement of method has them, so that an axis
    // cannot lose a value unnoticed.
    #[test]
    fn a_full_study_has_every_value_of_every_axis() {
        let echo = |parameter| values(Workload::Echo, parameter);
        assert_eq!(echo("connections"), [1, 8, 64, 256, 1_000, 10_000]);
        assert_eq!(echo("message_bytes"), [16, 128, 1_024, 16_384, 65_536]);
        assert_eq!(echo("depth"), [1, 4, 16, 64]);
        assert_eq!(values(Workload::OwnedEcho, "message_bytes"), [128, 16_384]);
        assert_eq!(values(Workload::Idle, "idle_connections"), [10_000, 100_000]);
        assert_eq!(values(Workload::Idle, "connections"), [64]);
        assert_eq!(values(Workload::Http, "connections"), [64, 512]);
        assert_eq!(values(Workload::File, "block_bytes"), [4_096]);
        assert_eq!(values(Workload::File, "direct"), [0, 1]);
        assert_eq!(values(Workload::File, "depth"), [1, 32, 128]);
        let sent = values(Workload::FileToSocket, "file_bytes");
        assert_eq!((sent.first(), sent.last()), (Some(&1_024), Some(&1_048_576)));
        let groups = values(Workload::Log, "group_lines");
        assert_eq!((groups.first(), groups.last()), (Some(&1), Some(&64)));
        for work in RuntimeWork::ALL {
            assert!(full().contains(&CellPlan::Runtime(work)), "{work:?}");
        }
        assert!(full().iter().any(|cell| matches!(
            cell,
            CellPlan::Rate { percent_of_capacity, .. } if *percent_of_capacity == [20, 50, 70, 80, 90]
        )));
    }

    #[test]
    fn an_echo_cell_for_each_combination() {
        let echo = full().into_iter().filter(|cell| cell.workload() == Workload::Echo);
        assert_eq!(echo.count(), 6 * 5 * 4);
    }

    #[test]
    fn large_messages_stand_with_each_receive_policy() {
        for cell in full() {
            let CellPlan::Echo { message_bytes, .. } = cell else { continue };
            let servers = cell.servers();
            let has = |name: &str| servers.iter().any(|server| server == name);
            let has_policies = has("uring/completion") && has("uring/notification");
            assert_eq!(has_policies, message_bytes >= 16_384, "{}", cell.id());
            assert!(has("uring") && has("epoll"));
        }
    }
}
