//! One cell of the matrix before it is measured, and what it is called. How it is measured stands in
//! `measure.rs`.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fmt;

use super::runtime_cell::RuntimeWork;
use super::schema::Workload;

/// From this size on the receive policies differ, so that each is measured.
const POLICIES_DIFFER_FROM_BYTES: u64 = 16 * 1024;

/// Above so many idle connections to each server, only the two that are compared are measured.
const FEW_SERVERS_ABOVE: u64 = 10_000;

/// Connections that are used once may be open at the same time, at most, where they come at a rate.
pub(super) const CHURN_CONNECTIONS: u64 = 64;

/// One cell of the matrix, before it is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CellPlan {
    /// Bytes that come back.
    Echo {
        /// Open at once.
        connections: u64,
        /// Of one message.
        message_bytes: u64,
        /// Messages under way on each connection.
        depth: u64,
    },
    /// Bytes that come back, received into buffers of the server's own.
    OwnedEcho {
        /// Open at once.
        connections: u64,
        /// Of one message.
        message_bytes: u64,
    },
    /// Echo on a few connections beside many that do nothing.
    Idle {
        /// That do nothing.
        idle_connections: u64,
        /// That echo.
        active_connections: u64,
        /// Of one message.
        message_bytes: u64,
    },
    /// Connect, one request, close. A client that does nothing else has more to do for a connection
    /// than the server, and would measure itself: so one at a time, or at a rate.
    Churn {
        /// Of the one message.
        message_bytes: u64,
        /// The rate, in percent of what the client and the slower side can do together. Without
        /// one, the next connection is opened when the last is closed.
        percent_of_capacity: Option<u64>,
    },
    /// HTTP/1.1 with keep-alive.
    Http {
        /// Open at once.
        connections: u64,
        /// Of the answer's body.
        body_bytes: u64,
    },
    /// Random reads of a file, without a socket.
    File {
        /// Of one read.
        block_bytes: u64,
        /// Past the page cache, or all of it in there.
        is_direct: bool,
        /// Reads under way at once.
        depth: u64,
    },
    /// A file sent to a socket, as the body of an HTTP answer.
    FileToSocket {
        /// Open at once.
        connections: u64,
        /// Of the file.
        file_bytes: u64,
    },
    /// Lines that are answered when they are on the disk.
    Log {
        /// Lines that share one fdatasync at most; as many connections send one each.
        group_lines: u64,
        /// Of one line, its end included.
        line_bytes: u64,
    },
    /// Echo on a server whose shard keeps the disk busy, too.
    Mixed {
        /// That echo.
        connections: u64,
        /// Of one message.
        message_bytes: u64,
        /// Reads under way at once.
        disk_depth: u64,
        /// Messages started per second, whether or not the earlier ones had come back.
        rate_per_second: u64,
    },
    /// The executor alone.
    Runtime(RuntimeWork),
    /// Latency of echo at fixed rates.
    Rate {
        /// That echo.
        connections: u64,
        /// Of one message.
        message_bytes: u64,
        /// The rates, in percent of what the slower side can do.
        percent_of_capacity: Vec<u64>,
    },
}

impl CellPlan {
    /// Which row of the matrix it belongs to.
    pub fn workload(&self) -> Workload {
        match self {
            CellPlan::Echo { .. } => Workload::Echo,
            CellPlan::OwnedEcho { .. } => Workload::OwnedEcho,
            CellPlan::Idle { .. } => Workload::Idle,
            CellPlan::Churn { .. } => Workload::Churn,
            CellPlan::Http { .. } => Workload::Http,
            CellPlan::File { .. } => Workload::File,
            CellPlan::FileToSocket { .. } => Workload::FileToSocket,
            CellPlan::Log { .. } => Workload::Log,
            CellPlan::Mixed { .. } => Workload::Mixed,
            CellPlan::Runtime(_) => Workload::Runtime,
            CellPlan::Rate { .. } => Workload::Rate,
        }
    }

    /// Its name within the matrix: letters, digits, `-`, and slashes between the parts.
    pub fn id(&self) -> String {
        match self {
            CellPlan::Echo { connections, message_bytes, depth } => {
                format!("echo/{connections}x{message_bytes}/depth-{depth}")
            }
            CellPlan::OwnedEcho { connections, message_bytes } => {
                format!("owned-echo/{connections}x{message_bytes}")
            }
            CellPlan::Idle { idle_connections, active_connections, .. } => {
                format!("idle/{idle_connections}-beside-{active_connections}")
            }
            CellPlan::Churn { message_bytes, percent_of_capacity: None } => {
                format!("churn/1x{message_bytes}")
            }
            CellPlan::Churn { message_bytes, percent_of_capacity: Some(percent) } => {
                format!("churn/{message_bytes}/at-{percent}-percent")
            }
            CellPlan::Http { connections, body_bytes } => {
                format!("http/{connections}x{body_bytes}")
            }
            CellPlan::File { block_bytes, is_direct, depth } => {
                let way = if *is_direct { "direct" } else { "page-cache" };
                format!("file/{way}/{block_bytes}/depth-{depth}")
            }
            CellPlan::FileToSocket { connections, file_bytes } => {
                format!("file-to-socket/{connections}x{file_bytes}")
            }
            CellPlan::Log { group_lines, .. } => format!("log/group-{group_lines}"),
            CellPlan::Mixed { connections, disk_depth, .. } => {
                format!("mixed/{connections}-beside-depth-{disk_depth}")
            }
            CellPlan::Runtime(work) => format!("runtime/{}", work.name()),
            CellPlan::Rate { connections, message_bytes, .. } => {
                format!("rate/{connections}x{message_bytes}")
            }
        }
    }

    /// For people.
    pub fn title(&self) -> String {
        match self {
            CellPlan::Echo { connections, message_bytes, depth } => format!(
                "TCP echo, {}, {}{}",
                Connections(*connections),
                Bytes(*message_bytes),
                if *depth == 1 {
                    String::new()
                } else {
                    format!(", {depth} messages in flight each")
                },
            ),
            CellPlan::OwnedEcho { connections, message_bytes } => format!(
                "TCP echo by read(buf), {}, {}",
                Connections(*connections),
                Bytes(*message_bytes)
            ),
            CellPlan::Idle { idle_connections, active_connections, message_bytes } => format!(
                "TCP echo, {active_connections} active beside {idle_connections} idle connections, {}",
                Bytes(*message_bytes)
            ),
            CellPlan::Churn { message_bytes, percent_of_capacity } => format!(
                "Accept, one request of {}, close; {}",
                Bytes(*message_bytes),
                percent_of_capacity.map_or_else(
                    || "one at a time".to_owned(),
                    |percent| format!("at {percent}% of the capacity"),
                )
            ),
            CellPlan::Http { connections, body_bytes } => format!(
                "HTTP/1.1 keep-alive, {}, body of {}",
                Connections(*connections),
                Bytes(*body_bytes)
            ),
            CellPlan::File { block_bytes, is_direct, depth } => format!(
                "Random read of {}, {}, queue depth {depth}",
                Bytes(*block_bytes),
                if *is_direct { "O_DIRECT" } else { "page cache hot" },
            ),
            CellPlan::FileToSocket { connections, file_bytes } => {
                format!("File of {} to a socket, {}", Bytes(*file_bytes), Connections(*connections))
            }
            CellPlan::Log { group_lines, line_bytes } => {
                format!("Append {} and fdatasync, groups of {group_lines}", Bytes(*line_bytes))
            }
            CellPlan::Mixed { message_bytes, disk_depth, rate_per_second, .. } => format!(
                "TCP echo of {} at {rate_per_second} per second while the same server reads a disk \
                 at depth {disk_depth}",
                Bytes(*message_bytes)
            ),
            CellPlan::Runtime(work) => work.title().to_owned(),
            CellPlan::Rate { connections, message_bytes, .. } => format!(
                "TCP echo at fixed rates, {}, {}",
                Connections(*connections),
                Bytes(*message_bytes)
            ),
        }
    }

    /// What one unit of its work is called.
    pub fn unit(&self) -> &'static str {
        match self {
            CellPlan::Churn { .. } => "connection",
            CellPlan::File { .. } => "read",
            CellPlan::Log { .. } => "line",
            CellPlan::Runtime(work) => work.unit(),
            _ => "request",
        }
    }

    /// The numbers that make it this cell, by names that carry their units.
    pub fn parameters(&self) -> BTreeMap<String, u64> {
        let named: Vec<(&str, u64)> = match *self {
            CellPlan::Echo { connections, message_bytes, depth } => {
                vec![
                    ("connections", connections),
                    ("message_bytes", message_bytes),
                    ("depth", depth),
                ]
            }
            CellPlan::Idle { idle_connections, active_connections, message_bytes } => vec![
                ("idle_connections", idle_connections),
                ("connections", active_connections),
                ("message_bytes", message_bytes),
            ],
            CellPlan::Churn { message_bytes, percent_of_capacity } => {
                let percent = percent_of_capacity.map(|percent| ("percent_of_capacity", percent));
                [("message_bytes", message_bytes)].into_iter().chain(percent).collect()
            }
            CellPlan::OwnedEcho { connections, message_bytes }
            | CellPlan::Rate { connections, message_bytes, .. } => {
                vec![("connections", connections), ("message_bytes", message_bytes)]
            }
            CellPlan::Http { connections, body_bytes } => {
                vec![("connections", connections), ("body_bytes", body_bytes)]
            }
            CellPlan::File { block_bytes, is_direct, depth } => {
                vec![("block_bytes", block_bytes), ("direct", is_direct.into()), ("depth", depth)]
            }
            CellPlan::FileToSocket { connections, file_bytes } => {
                vec![("connections", connections), ("file_bytes", file_bytes)]
            }
            CellPlan::Log { group_lines, line_bytes } => {
                vec![("group_lines", group_lines), ("line_bytes", line_bytes)]
            }
            CellPlan::Mixed { connections, message_bytes, disk_depth, rate_per_second } => vec![
                ("connections", connections),
                ("message_bytes", message_bytes),
                ("disk_depth", disk_depth),
                ("rate_per_second", rate_per_second),
            ],
            CellPlan::Runtime(_) => Vec::new(),
        };
        named.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// The servers that are measured, as [`Run::server`](super::schema::Run::server) names them.
    pub fn servers(&self) -> Vec<String> {
        let names: &[&str] = match self {
            CellPlan::Echo { message_bytes, .. }
                if *message_bytes >= POLICIES_DIFFER_FROM_BYTES =>
            {
                &[
                    "uring",
                    "uring/completion",
                    "uring/notification",
                    "epoll",
                    "raw-uring",
                    "raw-epoll",
                    "tokio",
                ]
            }
            // The hand-written loops have no such choice; what tokio reads into is always its own.
            CellPlan::OwnedEcho { .. } => &["uring", "uring/notification", "epoll", "tokio"],
            // Those that are compared. All servers at once would take most of the memory.
            CellPlan::Idle { idle_connections, .. } if *idle_connections > FEW_SERVERS_ABOVE => {
                &["uring", "epoll"]
            }
            CellPlan::Echo { .. }
            | CellPlan::Idle { .. }
            | CellPlan::Churn { .. }
            | CellPlan::Http { .. }
            | CellPlan::FileToSocket { .. }
            | CellPlan::Log { .. } => &["uring", "epoll", "raw-uring", "raw-epoll", "tokio"],
            CellPlan::File { .. } => &["uring", "epoll", "raw-uring"],
            CellPlan::Mixed { .. } | CellPlan::Rate { .. } => &["uring", "epoll", "tokio"],
            CellPlan::Runtime(work) => work.servers(),
        };
        names.iter().map(|name| (*name).to_owned()).collect()
    }
}

/// A number of connections in words.
struct Connections(u64);

impl fmt::Display for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} connection{}", self.0, if self.0 == 1 { "" } else { "s" })
    }
}

/// A size in the largest unit that divides it.
pub(super) struct Bytes(pub(super) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Bytes(bytes) = *self;
        if bytes >= 1 << 20 && bytes % (1 << 20) == 0 {
            write!(f, "{} MiB", bytes >> 20)
        } else if bytes >= 1 << 10 && bytes % (1 << 10) == 0 {
            write!(f, "{} KiB", bytes >> 10)
        } else {
            write!(f, "{bytes} B")
        }
    }
}
