//! `study.json`: what a study measured and what it says.
//!
//! Every number carries its unit in its name. Nothing in here is written by hand: sentences are
//! made from the numbers by the program that writes the file. A reader that meets another
//! [`VERSION`] than its own refuses the file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::stats::{Estimate, Verdict};

/// The version of this schema. It grows whenever a field changes its meaning or goes away.
pub const VERSION: u32 = 1;

/// A whole study.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Study {
    /// [`VERSION`] of the program that wrote it.
    pub version: u32,
    /// Quick or full.
    pub mode: Mode,
    /// True when it was interrupted: cells are missing that are named nowhere.
    pub is_partial: bool,
    /// Decided the order of everything that was shuffled.
    pub seed: u64,
    /// The command that repeats it.
    pub command: String,
    /// Seconds since 1970, UTC.
    pub started_at_unix_s: u64,
    /// How long it took, all sessions of a resumed study together.
    pub elapsed_s: f64,
    /// Servers that were slowed down on purpose, by so many nanoseconds per request.
    #[serde(default)]
    pub handicaps_ns: BTreeMap<String, u64>,
    /// The machine. Studies of different machines are not compared.
    pub fingerprint: Fingerprint,
    /// Per metric, what two processes of the same server differ by.
    pub noise: Vec<Noise>,
    /// Everything that was measured, in the order of the matrix.
    pub cells: Vec<Cell>,
    /// What it all says, in three sentences.
    pub verdict: Vec<String>,
    /// Where io_uring is better than epoll, the clearest first.
    pub wins: Vec<Finding>,
    /// Where io_uring is worse than epoll, the clearest first.
    pub losses: Vec<Finding>,
    /// Where the interval of the ratio holds 1.
    pub ties: Vec<Finding>,
    /// What was measured and thrown out, with the reason.
    pub invalid: Vec<Excluded>,
    /// What was not measured, with the limit that forbade it.
    pub not_run: Vec<Excluded>,
}

/// How much of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Each workload once, within two minutes.
    Quick,
    /// The whole matrix, within hours.
    Full,
}

/// What decides whether two studies may be compared: an ordered list of named facts, such as
/// `kernel`, `kernel_command_line`, `cpu`, `mitigations`, `governor`, `memlock_bytes`,
/// `io_uring_disabled`, `ring_flags`, `rustc`, `profile`, `commit`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(pub BTreeMap<String, String>);

/// The noise floor of one metric: the ratio of a server to a second process of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Noise {
    /// The cell where it was measured.
    pub cell: String,
    /// Of what.
    pub metric: Metric,
    /// Of the second process to the first.
    pub ratio: Estimate,
}

/// The workloads of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    /// TCP echo.
    Echo,
    /// TCP echo by `read(buf)`, into buffers of the server's own.
    OwnedEcho,
    /// Many connections of which few are active.
    Idle,
    /// Accept, one request, close.
    Churn,
    /// HTTP/1.1 with keep-alive.
    Http,
    /// Random reads of a file.
    File,
    /// A file sent to a socket.
    FileToSocket,
    /// Appends and fdatasync.
    Log,
    /// Echo while the disk is saturated.
    Mixed,
    /// The executor alone.
    Runtime,
    /// Latency at fixed rates.
    Rate,
}

/// One cell of the matrix: one workload with one set of parameters, measured on several servers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Unique within the matrix, such as `echo/64x64/depth-1`.
    pub id: String,
    /// Of what kind.
    pub workload: Workload,
    /// For people: `TCP echo, 64 connections, 64 B`.
    pub title: String,
    /// By name, with units in the names: `connections`, `message_bytes`, `depth`.
    pub parameters: BTreeMap<String, u64>,
    /// What one unit of work is called: `request`, `read`, `connection`, `task`.
    pub unit: String,
    /// Every run, also the invalid ones.
    pub runs: Vec<Run>,
    /// Ratios of valid runs.
    pub comparisons: Vec<Comparison>,
    /// Latency at fixed rates, where the cell measures it.
    pub curve: Vec<RatePoint>,
}

/// One fresh process of one server, measured in slices of time that alternate with the others'.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// `uring`, `epoll`, `raw-uring`, `raw-epoll`, `tokio`; a receive policy follows after a slash
    /// (`uring/notification`); the second process of a server ends in ` again`.
    pub server: String,
    /// Counted from 0.
    pub repetition: u32,
    /// Why it counts for nothing, if it does not.
    pub invalid: Option<String>,
    /// In the order in which they were measured; slice k of all servers of a repetition are pairs.
    pub slices: Vec<Slice>,
    /// Of the process from its start to its end, warm-up included.
    pub whole: WholeRun,
}

/// A short stretch of work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// Work done, in the cell's unit.
    pub count: u64,
    /// How long it took.
    pub elapsed_ns: u64,
    /// CPU time of the server's process, all its threads.
    pub server_cpu_ns: u64,
    /// CPU time of the client's process; none where the work needs no client.
    pub client_cpu_ns: Option<u64>,
    /// From the intended start of a request to the last byte of its answer.
    pub latency_ns: Option<Quantiles>,
}

/// Latencies, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quantiles {
    /// Half were faster.
    pub p50: u64,
    /// Nine of ten were faster.
    pub p90: u64,
    /// 99 of 100 were faster.
    pub p99: u64,
    /// 999 of 1,000 were faster.
    pub p999: u64,
    /// The slowest.
    pub max: u64,
}

/// What is known of a server's process as a whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WholeRun {
    /// Work done, warm-up included.
    pub count: u64,
    /// CPU time outside the kernel. Sampled by tick on some kernels.
    pub user_cpu_ns: Option<u64>,
    /// CPU time in the kernel. Sampled by tick on some kernels.
    pub system_cpu_ns: Option<u64>,
    /// System calls, where they could be counted.
    pub system_calls: Option<u64>,
    /// Voluntary and involuntary.
    pub context_switches: Option<u64>,
    /// Resident memory with all connections open, less that with none, per connection.
    pub resident_bytes_per_connection: Option<u64>,
    /// The server's own counters, by name.
    pub counters: BTreeMap<String, u64>,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// CPU time of the server for one unit of work. Less is better.
    CpuNsPerUnit,
    /// Work per second. More is better.
    UnitsPerSecond,
    /// The 99th percentile of latency. Less is better.
    P99Ns,
    /// System calls for one unit of work. Less is better.
    SystemCallsPerUnit,
    /// Resident memory of one connection. Less is better.
    ResidentBytesPerConnection,
}

impl Metric {
    /// True when a ratio above 1 is to the credit of its first server.
    pub fn more_is_better(self) -> bool {
        self == Metric::UnitsPerSecond
    }
}

/// The ratio of two servers in one cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The server above the line.
    pub server: String,
    /// The server below the line.
    pub against: String,
    /// Of what.
    pub metric: Metric,
    /// The median of the paired ratios, with its 95% interval.
    pub ratio: Estimate,
    /// Whether the interval holds 1.
    pub verdict: Verdict,
}

/// One server at one rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RatePoint {
    /// As in [`Run::server`].
    pub server: String,
    /// Requests started per second, whether or not the earlier ones had been answered.
    pub rate_per_second: f64,
    /// The rate as a share of the capacity of the slower side.
    pub share_of_capacity: f64,
    /// From the intended start.
    pub latency_ns: Quantiles,
    /// Files with the whole distribution, relative to the study's directory.
    pub histograms: Vec<String>,
    /// Why it counts for nothing, if it does not.
    pub invalid: Option<String>,
}

/// A win, a loss or a tie of io_uring against epoll.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The id of the cell.
    pub cell: String,
    /// The title of the cell.
    pub title: String,
    /// What was compared.
    pub comparison: Comparison,
    /// The same in words.
    pub sentence: String,
}

/// Something that stands in no table of results.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Excluded {
    /// The id of the cell.
    pub cell: String,
    /// One server, or all of the cell.
    pub server: Option<String>,
    /// Why, with the limit's name where it is one.
    pub reason: String,
}
