//! What a run gives back.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::verdict::{Fault, Reason, Verdict};
use crate::outcome::Failure;
use crate::study::schema::Quantiles;

/// What was done in a stretch of time.
#[derive(Clone, Debug)]
pub struct Work {
    /// Requests whose answers came back, verified.
    pub requests: u64,
    /// From the first byte sent until the last answer was back.
    pub elapsed: Duration,
    /// In nanoseconds, from the intended start of a request to the last byte of its answer.
    pub latency: Histogram<u64>,
    /// The same for each interval of the plan, counted from 0, in which answers came. Sparse.
    pub intervals: BTreeMap<u64, Recorded>,
    /// CPU time of the client's thread; of all threads, where several have worked.
    pub client_cpu: Duration,
    /// How long the client's thread could have run and had no CPU. Zero where the kernel does not
    /// say.
    pub client_wait: Duration,
    /// How many threads have worked at the same time.
    pub threads: u32,
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
    pub fn none() -> Self {
        Work {
            requests: 0,
            elapsed: Duration::ZERO,
            latency: histogram(),
            intervals: BTreeMap::new(),
            threads: 1,
            client_cpu: Duration::ZERO,
            client_wait: Duration::ZERO,
            late_starts: 0,
            lateness_max: Duration::ZERO,
            connects: 0,
            verdict: Verdict::Valid,
        }
    }

    /// Requests per second.
    pub fn requests_per_second(&self) -> f64 {
        if self.elapsed.is_zero() { 0.0 } else { self.requests as f64 / self.elapsed.as_secs_f64() }
    }

    /// The share of the time in which a client's thread had something to do, on average.
    pub fn client_busy_share(&self) -> f64 {
        self.share(self.client_cpu + self.client_wait)
    }

    /// Of the threads' time, from 0 to 1.
    pub(super) fn share(&self, time: Duration) -> f64 {
        let all = self.elapsed.as_secs_f64() * f64::from(self.threads);
        if all > 0.0 { time.as_secs_f64() / all } else { 0.0 }
    }

    /// Adds what another client did at the same time. The worse verdict stands.
    pub(super) fn join(&mut self, other: Work) {
        self.requests += other.requests;
        self.elapsed = self.elapsed.max(other.elapsed);
        self.latency.add(&other.latency).expect("all histograms have the same bounds");
        for (interval, recorded) in other.intervals {
            self.intervals.entry(interval).or_default().join(&recorded);
        }
        self.client_cpu += other.client_cpu;
        self.client_wait += other.client_wait;
        self.threads += other.threads;
        self.late_starts += other.late_starts;
        self.lateness_max = self.lateness_max.max(other.lateness_max);
        self.connects += other.connects;
        if other.verdict.rank() > self.verdict.rank() {
            self.verdict = other.verdict;
        }
    }

    /// True if the rate says at least roughly what the server can do.
    pub(super) fn is_rate_of_server(&self) -> bool {
        match &self.verdict {
            Verdict::Valid => true,
            Verdict::Partial => false,
            Verdict::Invalid(fault) => {
                matches!(fault.reason, Reason::ClientSaturated | Reason::TimeStolen)
            }
        }
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
            self.verdict = Verdict::Invalid(Fault {
                reason: Reason::ClientSaturated,
                detail: format!(
                    "the client ran for {:.0}% of the time and waited for a CPU for {:.0}%; give \
                     it a CPU of its own or more threads, or share the load between machines",
                    100.0 * self.share(self.client_cpu),
                    100.0 * self.share(self.client_wait),
                ),
            });
        }
    }
}

/// The latencies of one interval: as many of each as were recorded, in a histogram's steps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded(BTreeMap<u64, u64>);

impl Recorded {
    /// What is in `latency`.
    pub fn of(latency: &Histogram<u64>) -> Self {
        let steps = latency.iter_recorded();
        Recorded(steps.map(|step| (step.value_iterated_to(), step.count_at_value())).collect())
    }

    /// As a histogram.
    pub fn latency(&self) -> Histogram<u64> {
        let mut latency = histogram();
        for (value, count) in &self.0 {
            latency.record_n(*value, *count).expect("it was within the bounds before");
        }
        latency
    }

    fn join(&mut self, other: &Recorded) {
        for (value, count) in &other.0 {
            *self.0.entry(*value).or_default() += count;
        }
    }
}

/// The quantiles that reports name. Nothing recorded has none but zeros.
pub fn quantiles(latency: &Histogram<u64>) -> Quantiles {
    let at = |quantile| latency.value_at_quantile(quantile);
    Quantiles { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: latency.max() }
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
