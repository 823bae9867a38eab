//! Time that a host took from this machine's CPUs.

use std::fs;

use super::verdict::{Fault, Reason, Verdict};
use super::work::Work;

/// The machine's CPU time so far, in ticks (proc_stat(5)).
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuTicks {
    all: u64,
    stolen: u64,
}

impl CpuTicks {
    /// Reads the counters; nothing where there are none.
    pub fn now() -> Self {
        let text = fs::read_to_string("/proc/stat").unwrap_or_default();
        Self::parse(&text)
    }

    fn parse(text: &str) -> Self {
        let line = text.lines().next().unwrap_or_default();
        // user nice system idle iowait irq softirq steal; guests are within user and nice.
        let ticks: Vec<u64> = line
            .split_whitespace()
            .skip(1)
            .take(8)
            .filter_map(|field| field.parse().ok())
            .collect();
        CpuTicks { all: ticks.iter().sum(), stolen: ticks.get(7).copied().unwrap_or(0) }
    }

    /// The share of the time since `before` that was stolen. Below a few seconds of CPU time a tick
    /// is too much of it to say anything, and this is zero.
    pub fn stolen_share_since(self, before: CpuTicks) -> f64 {
        let all = self.all.saturating_sub(before.all);
        let stolen = self.stolen.saturating_sub(before.stolen);
        if all < TICKS_MIN { 0.0 } else { stolen as f64 / all as f64 }
    }
}

/// Work done while a host took that much is no measurement.
pub(super) fn judge(work: &mut Work, stolen_share: f64) {
    if work.verdict == Verdict::Valid && stolen_share > STOLEN_SHARE_MAX {
        work.verdict = Verdict::Invalid(Fault {
            reason: Reason::TimeStolen,
            detail: format!(
                "the host took {:.1}% of this machine's CPU time; measure again when it is quiet",
                100.0 * stolen_share
            ),
        });
    }
}

/// Ticks of 10 ms.
const TICKS_MIN: u64 = 100;

/// More than this moves the quantiles that are reported.
const STOLEN_SHARE_MAX: f64 = 0.05;

#[cfg(test)]
mod tests {
    use super::CpuTicks;

    #[test]
    fn stolen_time_is_the_eighth_number() {
        let before = CpuTicks::parse("cpu  10 0 10 80 0 0 0 5 7 0\ncpu0 1 1\n");
        let after = CpuTicks::parse("cpu  110 0 110 880 0 0 0 105 7 0\n");
        let share = after.stolen_share_since(before);
        assert!((share - 100.0 / 1100.0).abs() < 1e-9, "{share}");
    }

    #[test]
    fn a_moment_says_nothing() {
        let before = CpuTicks::parse("cpu  10 0 10 80 0 0 0 5 0 0");
        let after = CpuTicks::parse("cpu  11 0 11 81 0 0 0 15 0 0");
        assert_eq!(after.stolen_share_since(before), 0.0);
    }
}
