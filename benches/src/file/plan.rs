//! What is measured: the access to a file, who accesses it, and for how long.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::content::{SECTOR_BYTES, Verify};
use crate::outcome::Failure;

/// How the file is accessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Blocks anywhere, any of them any number of times
    RandomRead,
    /// One block after the other, from the beginning again after the last
    SequentialRead,
    /// Blocks anywhere of a file that has its size already
    RandomWrite,
    /// One block after the other of a file that has its size already
    SequentialWrite,
    /// A log: the file is empty at first and grows by each block
    Append,
}

impl Access {
    /// The name that the command line takes and reports print.
    pub fn name(self) -> String {
        self.to_possible_value().expect("no variant is hidden").get_name().to_owned()
    }

    /// Whether it changes the file.
    pub fn writes(self) -> bool {
        !matches!(self, Access::RandomRead | Access::SequentialRead)
    }

    /// Whether blocks follow one another.
    pub fn is_random(self) -> bool {
        matches!(self, Access::RandomRead | Access::RandomWrite)
    }
}

/// Who accesses the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Driver {
    /// corering on io_uring
    Uring,
    /// corering on epoll: its pool of threads
    Epoll,
    /// A hand-written loop on io_uring
    RawUring,
    /// The threads of tokio's blocking pool
    Tokio,
    /// fio with ioengine=io_uring
    #[value(skip)]
    Fio,
}

impl Driver {
    /// The name that the command line takes and reports print.
    pub fn name(self) -> &'static str {
        match self {
            Driver::Uring => "uring",
            Driver::Epoll => "epoll",
            Driver::RawUring => "raw-uring",
            Driver::Tokio => "tokio",
            Driver::Fio => "fio",
        }
    }
}

/// When a slice ends. What is in flight then is waited for, and counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// After this time.
    DurationNs(u64),
    /// After so many blocks, rounded up to whole groups.
    Count(u64),
}

impl From<Duration> for Limit {
    fn from(duration: Duration) -> Self {
        Limit::DurationNs(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
    }
}

/// What to measure. `Plan::default()` is the beginning of any: 4 KiB random reads at depth 32.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Each a process of its own, all alive at once.
    pub drivers: Vec<Driver>,
    /// Starts a second process of the first driver, `again`, whose distance is the noise.
    pub with_noise: bool,
    /// Where the file is made. It has no name there, so nothing is left behind.
    pub directory: PathBuf,
    /// Of the file; where candidates write, each has a file of its own.
    pub file_bytes: u64,
    /// Of a block, a multiple of 512.
    pub block_bytes: usize,
    /// Blocks in flight at once, 1 to 256.
    pub depth: usize,
    /// How the file is accessed.
    pub access: Access,
    /// Past the page cache (`O_DIRECT`); without it, reads come from the page cache.
    pub is_direct: bool,
    /// After so many writes an `fdatasync`, for which the next ones wait. The latency of a write
    /// then ends with that of its group.
    pub fsync_every: Option<u64>,
    /// So many entries are submitted at once by `raw-uring` and fio, earlier than they would be
    /// otherwise: when there is nothing more to reap.
    pub batch: Option<usize>,
    /// What is looked at of each block that was read.
    pub verify: Verify,
    /// Slices that each candidate gets, after one for warming up.
    pub rounds: u32,
    /// The end of one slice.
    pub limit: Limit,
    /// Decides the content, the blocks chosen and the order of the slices.
    pub seed: u64,
    /// Where all candidates run. Threads of the kernel that work for a ring run anywhere.
    pub cpu: Option<usize>,
    /// What the runs are numbered with.
    pub repetition: u32,
    /// Candidates, by name, that are slowed down on purpose by so many nanoseconds per block.
    pub handicaps_ns: BTreeMap<String, u64>,
}

impl Default for Plan {
    fn default() -> Self {
        Plan {
            drivers: vec![Driver::Uring, Driver::Epoll, Driver::RawUring],
            with_noise: false,
            directory: std::env::temp_dir(),
            file_bytes: 256 << 20,
            block_bytes: 4096,
            depth: 32,
            access: Access::RandomRead,
            is_direct: false,
            fsync_every: None,
            batch: None,
            verify: Verify::default(),
            rounds: 20,
            limit: Duration::from_millis(200).into(),
            seed: 1,
            cpu: None,
            repetition: 0,
            handicaps_ns: BTreeMap::new(),
        }
    }
}

/// The most that may be in flight.
pub const DEPTH_MAX: usize = 256;

/// A larger block is no access any more but a copy.
const BLOCK_BYTES_MAX: usize = 16 << 20;

impl Plan {
    /// A log: every group of `group` blocks is appended at once and made durable by one
    /// `fdatasync`.
    pub fn log(group: u64) -> Self {
        Plan {
            access: Access::Append,
            depth: usize::try_from(group).unwrap_or(DEPTH_MAX).min(DEPTH_MAX),
            fsync_every: Some(group),
            ..Plan::default()
        }
    }

    /// Whole blocks of the file; of a log, whole groups of blocks.
    pub fn blocks(&self) -> u64 {
        let blocks = self.file_bytes / self.block_bytes as u64;
        match (self.access, self.fsync_every) {
            (Access::Append, Some(group)) => blocks / group * group,
            _ => blocks,
        }
    }

    /// Whether the plan makes sense; if not, what would.
    pub fn check(&self) -> Result<(), Failure> {
        let usage = |text: String| Err(Failure::Usage(text));
        if self.drivers.is_empty() || self.rounds == 0 {
            return usage("nothing is to be measured: name a driver and at least one round".into());
        }
        if !(1..=DEPTH_MAX).contains(&self.depth) {
            return usage(format!("a depth of {} is not within 1 to {DEPTH_MAX}", self.depth));
        }
        let is_whole = self.block_bytes.is_multiple_of(SECTOR_BYTES);
        if self.block_bytes == 0 || self.block_bytes > BLOCK_BYTES_MAX || !is_whole {
            return usage(format!(
                "blocks of {} bytes: they have to be a multiple of {SECTOR_BYTES}, up to 16 MiB",
                self.block_bytes
            ));
        }
        if self.fsync_every == Some(0) || self.batch == Some(0) {
            return usage("a group or a batch holds at least one block".into());
        }
        if self.fsync_every.is_some() && !self.access.writes() {
            return usage(format!(
                "{} writes nothing that fdatasync could wait for",
                self.access.name()
            ));
        }
        // Two writes to one block at the same time would leave it unknown what it holds.
        let group = self.fsync_every.unwrap_or(1);
        let blocks_min = if self.access.writes() { 2 * self.depth as u64 } else { 1 }.max(group);
        if self.blocks() < blocks_min {
            let bytes_min = blocks_min * self.block_bytes as u64;
            return usage(format!(
                "a file of {} bytes is too small for this: make it {bytes_min} bytes at least \
                 (--file-size)",
                self.file_bytes
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Access, Plan};

    #[test]
    fn the_default_makes_sense() {
        Plan::default().check().expect("anyone begins with it");
        for group in [1, 4, 16, 64] {
            Plan::log(group).check().expect("the study has it");
        }
    }

    #[test]
    fn a_log_ends_with_a_whole_group() {
        let plan = Plan { file_bytes: 100 * 4096, ..Plan::log(64) };
        assert_eq!(plan.blocks(), 64);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let refused = |plan: Plan| assert!(plan.check().is_err(), "{plan:?}");
        refused(Plan { depth: 0, ..Plan::default() });
        refused(Plan { depth: 257, ..Plan::default() });
        refused(Plan { block_bytes: 0, ..Plan::default() });
        refused(Plan { block_bytes: 1000, ..Plan::default() });
        refused(Plan { file_bytes: 4095, ..Plan::default() });
        refused(Plan { fsync_every: Some(4), ..Plan::default() });
        refused(Plan { drivers: Vec::new(), ..Plan::default() });
        let writes = Plan { access: Access::RandomWrite, ..Plan::default() };
        refused(Plan { file_bytes: 4096 * 63, ..writes });
    }
}
