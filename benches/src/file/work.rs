//! The work of one candidate, the same for all: which block comes next, what it holds, whether it
//! was right, and how long it took.
//!
//! The loops of the candidates differ only in how a block gets to the disk and back: each asks for
//! an [`Operation`] by [`Work::next`] and hands it back by [`Work::done`].

#![forbid(unsafe_code)]

use std::io;
use std::time::{Duration, Instant};

use corering::buf::AlignedBuf;
use hdrhistogram::Histogram;

use super::content::{Content, Mismatch, Verify};
use super::plan::{Access, Limit, Plan};
use crate::stats::Random;
use crate::study::schema::Quantiles;

/// Buffers begin at a multiple of this, which suits `O_DIRECT` on nearly every disk.
const ALIGNMENT: usize = 4096;

/// One block on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operation {
    block: u64,
    /// Where in the file.
    pub(super) offset: u64,
    version: u32,
    begun: Instant,
}

/// What a lane does next.
#[derive(Debug)]
pub(super) enum Next {
    /// Access a block.
    Start(Operation),
    /// Ask again when the group that is complete has been synced.
    Wait,
    /// Nothing: the slice is over.
    Over,
}

/// What a block that has ended leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum After {
    /// The next one.
    GoOn,
    /// An `fdatasync`, whose end goes to [`Work::synced`].
    Sync,
    /// The end: no lane gets another block.
    Failed,
}

/// What a slice gave.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) count: u64,
    pub(super) elapsed: Duration,
    pub(super) latency: Quantiles,
}

#[derive(Debug)]
pub(super) struct Work {
    access: Access,
    block_bytes: usize,
    blocks: u64,
    verify: Verify,
    fsync_every: Option<u64>,
    handicap: Duration,
    content: Content,
    random: Random,
    /// The next block, where they follow one another.
    cursor: u64,
    /// What each block holds, where they are written.
    versions: Vec<u32>,
    /// Which blocks are being written.
    busy: Vec<bool>,
    last_version: u32,
    slice: Slice,
}

#[derive(Debug)]
struct Slice {
    limit: Limit,
    begun: Instant,
    /// When the last block ended.
    now: Instant,
    started: u64,
    ended: u64,
    latency: Histogram<u64>,
    /// When the blocks of the group began that have ended, but have not been synced.
    unsynced: Vec<Instant>,
    started_of_group: u64,
    failure: Option<String>,
}

impl Work {
    pub(super) fn new(plan: &Plan, name: &str) -> Self {
        let blocks = plan.blocks();
        let written = if plan.access.writes() { blocks as usize } else { 0 };
        let now = Instant::now();
        let name_seed = name.bytes().fold(plan.seed, |seed, byte| seed * 31 + u64::from(byte));
        Work {
            access: plan.access,
            block_bytes: plan.block_bytes,
            blocks,
            verify: plan.verify,
            fsync_every: plan.fsync_every,
            handicap: Duration::from_nanos(plan.handicaps_ns.get(name).copied().unwrap_or(0)),
            content: Content::new(plan.seed, plan.block_bytes),
            random: Random::new(name_seed),
            cursor: 0,
            versions: vec![0; written],
            busy: vec![false; written],
            last_version: 0,
            slice: Slice {
                limit: Limit::Count(0),
                begun: now,
                now,
                started: 0,
                ended: 0,
                latency: histogram(),
                unsynced: Vec::new(),
                started_of_group: 0,
                failure: None,
            },
        }
    }

    /// A buffer for one lane.
    pub(super) fn buffer(&self) -> AlignedBuf {
        let mut buffer = AlignedBuf::new(self.block_bytes, ALIGNMENT);
        buffer.resize(self.block_bytes);
        self.content.fill(&mut buffer, 0);
        buffer
    }

    /// Begins a slice, with nothing in flight.
    pub(super) fn begin(&mut self, limit: Limit) {
        if self.access == Access::Append {
            self.cursor = 0;
            self.versions.fill(0);
        }
        let now = Instant::now();
        let slice = &mut self.slice;
        slice.latency.reset();
        (slice.limit, slice.begun, slice.now) = (limit, now, now);
        (slice.started, slice.ended, slice.started_of_group) = (0, 0, 0);
    }

    /// The next block for a lane. What is to be written is put into its buffer.
    #[inline]
    pub(super) fn next(&mut self, buffer: &mut AlignedBuf) -> Next {
        if self.slice.failure.is_some() {
            return Next::Over;
        }
        if self.fsync_every == Some(self.slice.started_of_group) {
            return Next::Wait;
        }
        // A group that was begun is completed.
        if self.slice.started_of_group == 0 && self.is_over() {
            return Next::Over;
        }
        self.slice.started += 1;
        self.slice.started_of_group += u64::from(self.fsync_every.is_some());
        let block = self.choose();
        let mut version = 0;
        if self.access.writes() {
            self.last_version = self.last_version.checked_add(1).unwrap_or(1);
            version = self.last_version;
            self.busy[block as usize] = true;
            self.content.stamp(buffer, block, version.into());
        }
        let offset = block * self.block_bytes as u64;
        Next::Start(Operation { block, offset, version, begun: self.slice.now })
    }

    fn is_over(&self) -> bool {
        if self.access == Access::Append && self.cursor == self.blocks {
            return true;
        }
        match self.slice.limit {
            Limit::Count(count) => self.slice.started >= count,
            Limit::DurationNs(limit) => {
                self.slice.now - self.slice.begun >= Duration::from_nanos(limit)
            }
        }
    }

    fn choose(&mut self) -> u64 {
        let is_busy = |block: u64| self.busy.get(block as usize).is_some_and(|busy| *busy);
        loop {
            let block = if self.access.is_random() {
                self.random.below(self.blocks as usize) as u64
            } else {
                let block = if self.cursor == self.blocks { 0 } else { self.cursor };
                self.cursor = block + 1;
                block
            };
            if !is_busy(block) {
                return block;
            }
        }
    }

    /// Takes back a block that has ended. `buffer` holds what was read.
    #[inline]
    pub(super) fn done(
        &mut self,
        operation: Operation,
        buffer: &AlignedBuf,
        result: io::Result<usize>,
    ) -> After {
        if let Err(failure) = self.judge(operation, buffer, result) {
            self.slice.failure.get_or_insert(failure);
            return After::Failed;
        }
        self.slice.now = Instant::now();
        if !self.handicap.is_zero() {
            while self.slice.now.elapsed() < self.handicap {}
            self.slice.now = Instant::now();
        }
        self.slice.ended += 1;
        let Some(group) = self.fsync_every else {
            self.record(operation.begun);
            return After::GoOn;
        };
        self.slice.unsynced.push(operation.begun);
        if self.slice.unsynced.len() as u64 == group { After::Sync } else { After::GoOn }
    }

    fn judge(
        &mut self,
        operation: Operation,
        buffer: &AlignedBuf,
        result: io::Result<usize>,
    ) -> Result<(), String> {
        let Operation { block, version, offset, .. } = operation;
        let count = result.map_err(|error| self.refused(&error, offset))?;
        if count != self.block_bytes {
            return Err(format!(
                "at byte {offset} of the file {count} bytes were transferred instead of {}",
                self.block_bytes
            ));
        }
        if self.access.writes() {
            self.busy[block as usize] = false;
            self.versions[block as usize] = version;
            return Ok(());
        }
        self.content
            .check(buffer, block, 0, self.verify)
            .map_err(|mismatch: Mismatch| mismatch.to_string())
    }

    #[cold]
    fn refused(&self, error: &io::Error, offset: u64) -> String {
        let advice = match error.kind() {
            io::ErrorKind::StorageFull => ": make room, or choose another --dir or --file-size",
            io::ErrorKind::InvalidInput => {
                ": with --direct, blocks have to be a multiple of what the disk writes at once"
            }
            _ => "",
        };
        format!("{} at byte {offset} of the file: {error}{advice}", self.access.name())
    }

    fn record(&mut self, begun: Instant) {
        let latency = (self.slice.now - begun).as_nanos();
        // Beyond the histogram's end is a minute, which counts as that.
        self.slice.latency.saturating_record(u64::try_from(latency).unwrap_or(u64::MAX));
    }

    /// Takes the end of the `fdatasync` of a group. Lanes that wait may go on.
    pub(super) fn synced(&mut self, result: io::Result<()>) {
        if let Err(error) = result {
            self.slice.failure.get_or_insert(format!("fdatasync: {error}"));
            return;
        }
        self.slice.now = Instant::now();
        self.slice.started_of_group = 0;
        let mut unsynced = std::mem::take(&mut self.slice.unsynced);
        for begun in unsynced.drain(..) {
            self.record(begun);
        }
        self.slice.unsynced = unsynced;
    }

    /// What the slice gave, now that nothing is in flight.
    pub(super) fn end(&mut self) -> Result<Progress, String> {
        if let Some(failure) = &self.slice.failure {
            return Err(failure.clone());
        }
        let latency = &self.slice.latency;
        let at = |quantile| latency.value_at_quantile(quantile);
        Ok(Progress {
            count: self.slice.ended,
            elapsed: self.slice.now - self.slice.begun,
            latency: Quantiles {
                p50: at(0.5),
                p90: at(0.9),
                p99: at(0.99),
                p999: at(0.999),
                max: latency.max(),
            },
        })
    }

    /// Reads back all that the file should hold by now, by `read`, which fills the buffer from an
    /// offset. Gives the number of blocks.
    pub(super) fn read_back(
        &self,
        mut read: impl FnMut(&mut [u8], u64) -> io::Result<()>,
    ) -> Result<u64, String> {
        let blocks = if self.access == Access::Append { self.cursor } else { self.blocks };
        let mut buffer = self.buffer();
        for (block, version) in (0..blocks).zip(&self.versions) {
            let offset = block * self.block_bytes as u64;
            read(&mut buffer, offset).map_err(|error| format!("read back: {error}"))?;
            self.content
                .check(&buffer, block, (*version).into(), Verify::Full)
                .map_err(|mismatch| format!("read back after writing: {mismatch}"))?;
        }
        Ok(blocks)
    }
}

/// From 1 ns to a minute, each to three digits.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("the bounds are in order")
}

#[cfg(test)]
mod tests {
    use super::{After, Next, Work};
    use crate::file::plan::{Access, Limit, Plan};

    fn work(plan: Plan) -> Work {
        plan.check().expect("it makes sense");
        Work::new(&plan, "uring")
    }

    #[test]
    fn a_slice_by_count_has_so_many_blocks() {
        let mut work = work(Plan { file_bytes: 4096 * 8, ..Plan::default() });
        let mut buffer = work.buffer();
        work.begin(Limit::Count(100));
        while let Next::Start(operation) = work.next(&mut buffer) {
            work.content.fill(&mut buffer, operation.block);
            assert_eq!(work.done(operation, &buffer, Ok(4096)), After::GoOn);
        }
        assert_eq!(work.end().expect("all was right").count, 100);
    }

    #[test]
    fn a_block_with_the_content_of_another_is_a_failure() {
        let mut work = work(Plan::default());
        let mut buffer = work.buffer();
        work.begin(Limit::Count(1));
        let Next::Start(operation) = work.next(&mut buffer) else { panic!("it is the first") };
        work.content.fill(&mut buffer, operation.block + 1);
        assert_eq!(work.done(operation, &buffer, Ok(4096)), After::Failed);
        assert!(work.end().is_err());
    }

    #[test]
    fn a_short_read_is_a_failure() {
        let mut work = work(Plan::default());
        let mut buffer = work.buffer();
        work.begin(Limit::Count(1));
        let Next::Start(operation) = work.next(&mut buffer) else { panic!("it is the first") };
        assert_eq!(work.done(operation, &buffer, Ok(4095)), After::Failed);
    }

    #[test]
    fn a_group_waits_for_its_sync_and_is_always_completed() {
        let mut work = work(Plan::log(4));
        let mut buffer = work.buffer();
        work.begin(Limit::Count(5));
        for _ in 0..2 {
            let operations: Vec<_> = (0..4)
                .map(|_| match work.next(&mut buffer) {
                    Next::Start(operation) => operation,
                    other => panic!("the group is not complete: {other:?}"),
                })
                .collect();
            assert!(matches!(work.next(&mut buffer), Next::Wait));
            let after: Vec<_> = operations
                .into_iter()
                .map(|operation| work.done(operation, &buffer, Ok(4096)))
                .collect();
            assert_eq!(after, [After::GoOn, After::GoOn, After::GoOn, After::Sync]);
            assert!(matches!(work.next(&mut buffer), Next::Wait));
            work.synced(Ok(()));
        }
        assert!(matches!(work.next(&mut buffer), Next::Over));
        assert_eq!(work.end().expect("all was right").count, 8);
    }

    #[test]
    fn no_block_is_written_twice_at_once() {
        let depth = 64;
        let file_bytes = 4096 * 128;
        let mut work =
            work(Plan { access: Access::RandomWrite, file_bytes, depth, ..Plan::default() });
        let mut buffer = work.buffer();
        work.begin(Limit::Count(1000));
        let mut blocks: Vec<u64> = (0..depth)
            .map(|_| match work.next(&mut buffer) {
                Next::Start(operation) => operation.block,
                other => panic!("it is not over: {other:?}"),
            })
            .collect();
        blocks.sort_unstable();
        blocks.dedup();
        assert_eq!(blocks.len(), depth);
    }
}
