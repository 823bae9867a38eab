//! The search for the highest rate whose 99th percentile stays under a bound.
//!
//! The rate doubles until the bound breaks, then the gap is halved until it is narrow. A rate that
//! breaks the bound is tried a second time, since on a shared machine one run in a few is slow for
//! reasons of its own.

use super::report::{Knee, Report, Step};
use super::verdict::{Fault, Reason, Verdict};
use crate::outcome::Failure;

/// One try.
#[derive(Debug)]
pub(super) struct Try<T> {
    pub(super) report: Report,
    pub(super) verdict: Verdict,
    /// Whatever comes with it.
    pub(super) extra: T,
}

/// Searches from `first_rate` on, not below `lowest_rate`. `run` tries a rate.
pub(super) fn find<T>(
    p99_max_ns: u64,
    lowest_rate: f64,
    first_rate: f64,
    mut run: impl FnMut(f64) -> Result<Try<T>, Failure>,
) -> Result<Try<T>, Failure> {
    let mut search =
        Search { p99_max_ns, steps: Vec::new(), best: None, last_failed: None, stopped: None };
    let (mut low, mut high) = (0.0, None);
    let mut rate = first_rate.max(lowest_rate);
    loop {
        if search.keeps_bound(rate, &mut run)? {
            low = rate;
        } else {
            high = Some(rate);
        }
        rate = match high {
            None => low * 2.0,
            Some(high) if low == 0.0 => high / 2.0,
            Some(high) => f64::midpoint(low, high),
        };
        let is_narrow = high.is_some_and(|high| high - low < NARROW * high);
        let is_over = is_narrow || rate < lowest_rate || search.steps.len() >= STEPS_MAX;
        if is_over || search.stopped.is_some() {
            return Ok(search.conclude());
        }
    }
}

struct Search<T> {
    p99_max_ns: u64,
    steps: Vec<Step>,
    best: Option<Try<T>>,
    last_failed: Option<Try<T>>,
    /// After this it makes no sense to go on.
    stopped: Option<Try<T>>,
}

impl<T> Search<T> {
    fn keeps_bound(
        &mut self,
        rate: f64,
        run: &mut impl FnMut(f64) -> Result<Try<T>, Failure>,
    ) -> Result<bool, Failure> {
        for _ in 0..TRIES {
            let one = run(rate)?;
            let report = &one.report;
            self.steps.push(Step {
                rate_per_second: rate,
                requests_per_second: report.requests_per_second,
                p99_ns: report.latency_ns.p99,
                verdict: report.verdict.clone(),
            });
            match &one.verdict {
                Verdict::Valid if report.latency_ns.p99 <= self.p99_max_ns => {
                    self.best = Some(one);
                    return Ok(true);
                }
                Verdict::Valid => {}
                // No more than that the rate is too high, or the moment a bad one.
                Verdict::Invalid(fault) if OVERLOADS.contains(&fault.reason) => {}
                Verdict::Invalid(_) | Verdict::Partial => {
                    self.stopped = Some(one);
                    return Ok(false);
                }
            }
            self.last_failed = Some(one);
        }
        Ok(false)
    }

    fn conclude(self) -> Try<T> {
        let rate_per_second = self.best.as_ref().and_then(|best| best.report.rate_per_second);
        // The server may keep the bound at higher rates than this client can ask for.
        let limit = self.last_failed.as_ref().map(|one| one.verdict.clone()).filter(|verdict| {
            matches!(verdict, Verdict::Invalid(fault) if fault.reason == Reason::ClientSaturated)
        });
        let nothing_found = Verdict::Invalid(Fault {
            reason: Reason::NoRate,
            detail: "allow a higher p99, or begin at a lower --rate".to_owned(),
        });
        let is_stopped = self.stopped.is_some();
        let mut one =
            self.stopped.or(self.best).or(self.last_failed).expect("at least one rate was tried");
        if !is_stopped {
            let verdict = limit.or(rate_per_second.is_none().then_some(nothing_found));
            one.verdict = verdict.unwrap_or(one.verdict);
            one.report.judge(&one.verdict);
        }
        one.report.knee =
            Some(Knee { p99_max_ns: self.p99_max_ns, rate_per_second, steps: self.steps });
        one
    }
}

/// A gap between a rate that keeps the bound and one that breaks it is narrow below this share.
const NARROW: f64 = 0.05;

const STEPS_MAX: usize = 40;

/// A rate breaks the bound when so many tries do.
const TRIES: usize = 2;

const OVERLOADS: [Reason; 3] =
    [Reason::ClientSaturated, Reason::RateNotReached, Reason::TimeStolen];

#[cfg(test)]
mod tests {
    use super::{Fault, Reason, Try, Verdict, find};
    use crate::load::report::{Report, sample};
    use crate::outcome::Failure;

    const MS: u64 = 1_000_000;

    fn at(rate: f64, p99_ns: u64, verdict: Verdict) -> Try<()> {
        let mut report: Report = sample();
        report.rate_per_second = Some(rate);
        report.latency_ns.p99 = p99_ns;
        report.judge(&verdict);
        Try { report, verdict, extra: () }
    }

    fn invalid(reason: Reason) -> Verdict {
        Verdict::Invalid(Fault { reason, detail: String::new() })
    }

    #[test]
    fn the_knee_is_found_from_either_side() {
        let server = |rate: f64| -> Result<Try<()>, Failure> {
            Ok(at(rate, if rate <= 7_000.0 { MS } else { 9 * MS }, Verdict::Valid))
        };
        for first in [10.0, 5_000.0, 100_000.0] {
            let report = find(5 * MS, 1.0, first, server).expect("nothing fails").report;
            let knee = report.knee.expect("it was searched for").rate_per_second;
            let knee = knee.expect("it was found");
            assert!((6_650.0..=7_000.0).contains(&knee), "{knee} from {first}");
            assert_eq!(report.verdict, "valid");
        }
    }

    #[test]
    fn one_slow_run_is_not_the_knee() {
        let mut runs = 0;
        let report = find(5 * MS, 1.0, 1_000.0, |rate| {
            runs += 1;
            let is_slow = rate > 7_000.0 || runs % 3 == 1;
            Ok(at(rate, if is_slow { 9 * MS } else { MS }, Verdict::Valid))
        });
        let knee = report.expect("nothing fails").report.knee.expect("it was searched for");
        assert!(knee.rate_per_second.expect("it was found") >= 6_650.0);
    }

    #[test]
    fn a_client_that_is_the_limit_is_told() {
        let report = find(5 * MS, 1.0, 1_000.0, |rate| {
            let is_over = rate > 7_000.0;
            let verdict = if is_over { invalid(Reason::ClientSaturated) } else { Verdict::Valid };
            Ok(at(rate, MS, verdict))
        });
        assert_eq!(report.expect("nothing fails").report.verdict, "invalid: client saturated");
    }

    #[test]
    fn a_server_that_breaks_ends_the_search() {
        let mut runs = 0;
        let report = find(5 * MS, 1.0, 1_000.0, |rate| {
            runs += 1;
            let is_over = rate > 3_000.0;
            let verdict = if is_over { invalid(Reason::WrongAnswer) } else { Verdict::Valid };
            Ok(at(rate, MS, verdict))
        });
        assert_eq!(report.expect("nothing fails").report.verdict, "invalid: wrong answer");
        assert_eq!(runs, 3);
    }

    #[test]
    fn no_rate_may_keep_the_bound() {
        let report = find(5 * MS, 1.0, 1_000.0, |rate| Ok(at(rate, 9 * MS, Verdict::Valid)));
        let report = report.expect("nothing fails").report;
        assert_eq!(report.verdict, "invalid: no rate keeps the bound");
        assert_eq!(report.knee.expect("it was searched for").rate_per_second, None);
    }
}
