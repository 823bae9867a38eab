//! What happened, in order, in words that two runs of one seed share.
//!
//! No address, no descriptor number and no wall clock goes in: sockets, rings and operations are
//! named by the order of their creation. The hash covers every line; the text keeps the last ones.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

/// Lines of text that are kept. A failing run is read from its end.
const LINES_MAX: usize = 10_000;

#[derive(Debug)]
pub(super) struct Trace {
    lines: VecDeque<String>,
    hash: u64,
}

impl Trace {
    pub(super) fn new() -> Self {
        Trace { lines: VecDeque::new(), hash: 0xcbf2_9ce4_8422_2325 }
    }

    pub(super) fn line(&mut self, now: Duration, what: fmt::Arguments<'_>) {
        let line = format!("{}.{:06} {what}", now.as_secs(), now.subsec_micros());
        // FNV-1a: short, and the same on every machine, which std's hasher does not promise.
        for byte in line.bytes().chain([b'\n']) {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.lines.iter().cloned().collect()
    }

    pub(super) fn hash(&self) -> u64 {
        self.hash
    }
}
