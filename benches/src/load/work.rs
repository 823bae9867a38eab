//! What a run gives back.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::verdict::{Fault, Reason, Verdict};
use crate::outcome::Failure;

/// What was done in a stretch of time.
#[derive(Clone, Debug)]
pub struct Work {
    /// Requests whose answers came back, verified.
    pub requests: u64,
    /// From the first byte sent until the last answer was back.
    pub elapsed: Duration,
    /// In nanoseconds, from the intended start of a request to the last byte of its answer.
    pub latency: Histogram<u64>,
    /// CPU time of the client's thread.
    pub client_cpu: Duration,
    /// How long the client's thread could have run and had no CPU. Zero where the kernel does not
    /// say.
    pub client_wait: Duration,
    /// Requests of an open loop that started more than a millisecond late although a connection
    /// was free: the client's fault.
    pub late_starts: u64,
    /// The latest of them.
    pub lateness_max: Duration,
    /// Connections that were opened within the run.
    pub connects: u64,
    /// Whether to believe it.
    pub verdict: Verdict,
}

impl Work {
    /// Nothing done yet.
    pub(super) fn none() -> Self {
        Work {
            requests: 0,
            elapsed: Duration::ZERO,
            latency: histogram(),
            client_cpu: Duration::ZERO,
            client_wait: Duration::ZERO,
            late_starts: 0,
            lateness_max: Duration::ZERO,
            connects: 0,
            verdict: Verdict::Valid,
        }
    }

    /// The share of the time in which the client had something to do.
    pub fn client_busy_share(&self) -> f64 {
        if self.elapsed.is_zero() {
            return 0.0;
        }
        (self.client_cpu + self.client_wait).as_secs_f64() / self.elapsed.as_secs_f64()
    }

    /// The work if it is valid, and why not otherwise.
    pub fn into_valid(self) -> Result<Self, Failure> {
        match &self.verdict {
            Verdict::Valid => Ok(self),
            Verdict::Partial => Err(Failure::Environment("interrupted".to_owned())),
            Verdict::Invalid(fault) => Err(fault.clone().into()),
        }
    }

    /// A client that was never idle measured itself, or what else runs on its CPU.
    pub(super) fn judge_client(&mut self) {
        if self.verdict != Verdict::Valid {
            return;
        }
        if self.late_starts as f64 > LATE_SHARE_MAX * self.requests as f64 {
            self.verdict = Verdict::Invalid(Fault {
                reason: Reason::ClientSaturated,
                detail: format!(
                    "{} of {} requests started more than {LATE:?} after they were due, the latest \
                     by {:?}; give the client a CPU of its own or more threads",
                    self.late_starts, self.requests, self.lateness_max
                ),
            });
        } else if self.client_busy_share() >= BUSY_SHARE_MAX {
            let share = |time: Duration| {
                100.0 * time.as_secs_f64() / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
            };
            self.verdict = Verdict::Invalid(Fault {
                reason: Reason::ClientSaturated,
                detail: format!(
                    "the client ran for {:.0}% of the time and waited for a CPU for {:.0}%; give \
                     it a CPU of its own or more threads, or share the load between machines",
                    share(self.client_cpu),
                    share(self.client_wait),
                ),
            });
        }
    }
}

/// A start is late after this: more than the system's timers are off by.
pub(super) const LATE: Duration = Duration::from_millis(1);

/// With more late starts the 99th percentile of the latency is the client's own.
const LATE_SHARE_MAX: f64 = 0.01;

/// Above this the client is taken for the limit: what it waits for is itself.
const BUSY_SHARE_MAX: f64 = 0.95;

/// Of latencies in nanoseconds, with three digits, up to an hour.
pub(super) fn histogram() -> Histogram<u64> {
    const HOUR_NS: u64 = 3_600_000_000_000;
    Histogram::new_with_bounds(1, HOUR_NS, 3).expect("the bounds are in order")
}
