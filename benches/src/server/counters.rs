//! What a server counts, and the CPU time that it wastes on purpose.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::os;

/// What a server has counted until its end, all shards together.
///
/// `requests`: what it answered. `system_calls`: where it knows, which tokio does not; calls of
/// threads that work for it are included. The other names are those of [`corering::Metrics`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Counters(pub BTreeMap<String, u64>);

impl Counters {
    /// What stands before the JSON in the last line of a server's output.
    pub const LINE: &str = "counters ";

    /// The counters of a line that a server printed, if it is that line.
    pub fn of_line(line: &str) -> Option<Self> {
        serde_json::from_str(line.trim_end().strip_prefix(Self::LINE)?).ok()
    }

    /// The line that a server prints.
    pub(super) fn line(&self) -> String {
        let json = serde_json::to_string(self).expect("a map of names to numbers is JSON");
        format!("{}{json}", Self::LINE)
    }

    /// Adds what another shard has counted.
    pub(super) fn merge(&mut self, other: &Counters) {
        for (name, count) in &other.0 {
            *self.0.entry(name.clone()).or_default() += count;
        }
    }

    pub(super) fn set(&mut self, name: &str, count: u64) {
        self.0.insert(name.to_owned(), count);
    }
}

/// What one shard has done, noted by the handler of any server.
///
/// Only the thread of the shard writes, so a plain addition suffices; atomics are what tokio's
/// tasks demand, which must be able to move.
#[derive(Debug)]
pub(super) struct Work {
    requests: AtomicU64,
    system_calls: AtomicU64,
    /// Bytes of an echo's message that has not come to its end.
    begun_bytes: AtomicUsize,
    message_bytes: usize,
    /// CPU time to waste on each request.
    handicap: Option<Duration>,
}

impl Work {
    pub(super) fn new(message_bytes: usize, handicap: Option<Duration>) -> Self {
        Work {
            requests: AtomicU64::new(0),
            system_calls: AtomicU64::new(0),
            begun_bytes: AtomicUsize::new(0),
            message_bytes: message_bytes.max(1),
            handicap,
        }
    }

    /// So many requests are about to be answered.
    #[inline]
    pub(super) fn requests(&self, count: usize) {
        add(&self.requests, count as u64);
        if let Some(handicap) = self.handicap {
            burn(handicap * u32::try_from(count).unwrap_or(u32::MAX));
        }
    }

    /// So many bytes are about to be sent back. A message is a request however it is cut into
    /// pieces; those of different connections are told apart only in their sum.
    #[inline]
    pub(super) fn echoes(&self, bytes: usize) {
        let bytes = self.begun_bytes.load(Ordering::Relaxed) + bytes;
        self.begun_bytes.store(bytes % self.message_bytes, Ordering::Relaxed);
        self.requests(bytes / self.message_bytes);
    }

    /// So many system calls were made.
    #[inline]
    pub(super) fn system_calls(&self, count: u64) {
        add(&self.system_calls, count);
    }

    /// The counters of a server that counts its own system calls.
    pub(super) fn with_system_calls(&self) -> Counters {
        let mut counters = self.counters();
        counters.set("system_calls", self.system_calls.load(Ordering::Relaxed));
        counters
    }

    /// The counters of a server that does not.
    pub(super) fn counters(&self) -> Counters {
        let mut counters = Counters::default();
        counters.set("requests", self.requests.load(Ordering::Relaxed));
        counters
    }
}

fn add(counter: &AtomicU64, count: u64) {
    counter.store(counter.load(Ordering::Relaxed) + count, Ordering::Relaxed);
}

/// Wastes CPU time of this thread: what it spends while another one runs does not count.
fn burn(time: Duration) {
    let end = os::thread_cpu_time() + time;
    loop {
        let left = end.saturating_sub(os::thread_cpu_time());
        if left.is_zero() {
            return;
        }
        let pause = Instant::now() + left;
        while Instant::now() < pause {
            std::hint::spin_loop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_read_back_from_the_line_and_add_up() {
        let mut counters = Counters::default();
        counters.set("requests", 2);
        counters.merge(&counters.clone());
        assert_eq!(Counters::of_line(&counters.line()), Some(counters.clone()));
        assert_eq!(counters.0["requests"], 4);
        assert_eq!(Counters::of_line("listening on 127.0.0.1:1"), None);
    }

    #[test]
    fn pieces_of_a_message_are_one_request() {
        let work = Work::new(100, None);
        [30, 70, 250, 49].into_iter().for_each(|bytes| work.echoes(bytes));
        assert_eq!(work.counters().0["requests"], 3);
        work.echoes(1);
        assert_eq!(work.counters().0["requests"], 4);
    }

    #[test]
    fn a_handicap_is_cpu_time_for_each_request() {
        let work = Work::new(1, Some(Duration::from_micros(200)));
        let before = os::thread_cpu_time();
        work.requests(5);
        let after = os::thread_cpu_time();
        assert!(after - before >= Duration::from_millis(1));
    }
}
