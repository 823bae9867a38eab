//! A disk that a server keeps busy beside its connections: the workload `mixed`.
//!
//! The shard that answers messages also reads blocks of a file past the page cache, as many at once
//! as it is told, which is what a server does that stores what it serves. It reads for as long as
//! messages keep coming, and rests soon after the last: of several servers on one machine only the
//! one that has a client is to use the disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::site;
use crate::stats::Random;

/// Of one read, and what it is aligned to.
pub(super) const BLOCK_BYTES: usize = 4096;

/// Reads go anywhere in a file of this size.
const FILE_BYTES: usize = 64 << 20;

/// So long after the last message the disk is left alone.
const REST_AFTER: Duration = Duration::from_millis(20);

/// When the last message came, and what has been read.
///
/// Only the thread of the shard writes; atomics are what tokio's tasks demand.
#[derive(Debug)]
pub(super) struct Activity {
    began: Instant,
    last_message_ns: AtomicU64,
    reads: AtomicU64,
}

impl Activity {
    pub(super) fn new() -> Self {
        Activity { began: Instant::now(), last_message_ns: 0.into(), reads: 0.into() }
    }

    /// A message came. True if the disk was at rest.
    pub(super) fn message(&self) -> bool {
        let now_ns = self.now_ns();
        let before = self.last_message_ns.swap(now_ns, Ordering::Relaxed);
        before == 0 || is_rest(now_ns - before)
    }

    /// Whether it is time to leave the disk alone.
    pub(super) fn is_at_rest(&self) -> bool {
        let last = self.last_message_ns.load(Ordering::Relaxed);
        last == 0 || is_rest(self.now_ns().saturating_sub(last))
    }

    pub(super) fn read_is_done(&self) {
        self.reads.fetch_add(1, Ordering::Relaxed);
    }

    /// Reads done so far.
    pub(super) fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    fn now_ns(&self) -> u64 {
        // One more than nothing, which says that no message has come.
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1)
    }
}

fn is_rest(silence_ns: u64) -> bool {
    Duration::from_nanos(silence_ns) > REST_AFTER
}

/// Where blocks are read.
pub(super) fn offsets(reader: usize) -> impl FnMut() -> u64 {
    let mut random = Random::new(reader as u64);
    move || (random.below(FILE_BYTES / BLOCK_BYTES) * BLOCK_BYTES) as u64
}

/// A file without a name, on the disk as a whole, opened past the page cache.
pub(super) fn file(folder: Option<&Path>) -> io::Result<File> {
    let temporary = std::env::temp_dir();
    let folder = folder.unwrap_or(&temporary);
    let in_folder = |error: io::Error| {
        let folder = folder.display();
        let text =
            format!("no file for mixed in {folder}: {error}; choose another --dir, on a disk");
        io::Error::new(error.kind(), text)
    };
    make(folder).map_err(in_folder)
}

fn make(folder: &Path) -> io::Result<File> {
    let path = folder.join(format!("corering-bench-mixed-{}", std::process::id()));
    let mut whole = OpenOptions::new().write(true).create_new(true).open(&path)?;
    let made = (|| {
        let piece = site::body(1 << 20);
        for _ in 0..FILE_BYTES / piece.len() {
            whole.write_all(&piece)?;
        }
        whole.sync_all()?;
        let again = format!("/proc/self/fd/{}", whole.as_raw_fd());
        OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(again)
    })();
    fs::remove_file(&path)?;
    made
}

#[cfg(test)]
mod tests {
    use super::{Activity, BLOCK_BYTES, FILE_BYTES, is_rest, offsets};

    #[test]
    fn the_disk_rests_until_the_first_message() {
        let activity = Activity::new();
        assert!(activity.is_at_rest());
        assert!(activity.message(), "it is to be woken");
        assert!(!is_rest(0) && is_rest(u64::MAX));
    }

    #[test]
    fn reads_go_to_whole_blocks_within_the_file() {
        let mut next = offsets(3);
        for _ in 0..1_000 {
            let offset = next() as usize;
            assert!(offset.is_multiple_of(BLOCK_BYTES) && offset + BLOCK_BYTES <= FILE_BYTES);
        }
    }
}
