//! When the requests of an open loop are to start, whatever became of the earlier ones.

use crate::stats::Random;

/// How requests arrive in an open loop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// So many a second, with equal gaps.
    Constant(f64),
    /// So many a second on average, each independent of the others.
    Poisson(f64),
}

impl Pace {
    /// Requests per second.
    pub fn rate_per_second(self) -> f64 {
        match self {
            Pace::Constant(rate) | Pace::Poisson(rate) => rate,
        }
    }

    /// As on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Pace::Constant(_) => "constant",
            Pace::Poisson(_) => "poisson",
        }
    }

    /// The same kind of arrivals at another rate.
    #[must_use]
    pub fn at(self, rate_per_second: f64) -> Self {
        match self {
            Pace::Constant(_) => Pace::Constant(rate_per_second),
            Pace::Poisson(_) => Pace::Poisson(rate_per_second),
        }
    }
}

/// The intended starts, one after the other.
#[derive(Debug)]
pub(super) struct Schedule {
    pace: Pace,
    random: Random,
    start_ns: f64,
    until_ns: u64,
    /// Since the start.
    next_ns: f64,
}

impl Schedule {
    /// From `start_ns` to `until_ns`. Clients that share a constant rate begin at different `phase`s, from 0
    /// to 1, of the gap between two requests.
    pub(super) fn new(pace: Pace, phase: f64, seed: u64, start_ns: u64, until_ns: u64) -> Self {
        let mut schedule = Schedule {
            pace,
            random: Random::new(seed),
            start_ns: start_ns as f64,
            until_ns,
            next_ns: phase * 1e9 / pace.rate_per_second(),
        };
        if let Pace::Poisson(rate) = pace {
            schedule.next_ns = schedule.gap_ns(rate);
        }
        schedule
    }

    /// When the next request is to start; none after the end.
    pub(super) fn due_ns(&self) -> Option<u64> {
        let due_ns = (self.start_ns + self.next_ns) as u64;
        (due_ns < self.until_ns).then_some(due_ns)
    }

    /// Goes on to the request after it.
    pub(super) fn advance(&mut self) {
        self.next_ns += match self.pace {
            Pace::Constant(rate) => 1e9 / rate,
            Pace::Poisson(rate) => self.gap_ns(rate),
        };
    }

    fn gap_ns(&mut self, rate: f64) -> f64 {
        // Above 0 and at most 1, in steps of 2^-53.
        let share = ((self.random.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        -share.ln() * 1e9 / rate
    }
}

#[cfg(test)]
mod tests {
    use super::{Pace, Schedule};

    fn starts(pace: Pace, count: usize) -> Vec<u64> {
        let mut schedule = Schedule::new(pace, 0.0, 7, 0, u64::MAX);
        let next = |_| {
            let due = schedule.due_ns().expect("there is no end");
            schedule.advance();
            due
        };
        (0..count).map(next).collect()
    }

    #[test]
    fn a_constant_pace_has_equal_gaps() {
        assert_eq!(starts(Pace::Constant(1000.0), 4), [0, 1_000_000, 2_000_000, 3_000_000]);
    }

    #[test]
    fn poisson_arrivals_keep_the_rate_and_vary_as_much_as_they_should() {
        let starts = starts(Pace::Poisson(1000.0), 100_001);
        let gaps: Vec<f64> = starts.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let spread = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((mean / 1e6 - 1.0).abs() < 0.02, "mean gap {mean} ns");
        // The standard deviation of an exponential distribution is its mean.
        assert!((spread.sqrt() / mean - 1.0).abs() < 0.02, "deviation {} ns", spread.sqrt());
    }
}
