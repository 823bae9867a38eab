//! Latency at fixed rates: an open loop, measured from the intended start of each request, at
//! shares of what the slower of the two sides can do. Never at saturation, where latency is the
//! length of a queue.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::analysis::{RIVAL, SUBJECT};
use super::budget::Budget;
use super::schema::{Quantiles, RatePoint, Run, Slice, WholeRun};
use super::store::HISTOGRAMS;
use crate::interrupt::Interrupt;
use crate::load::Pace;
use crate::outcome::Failure;
use crate::paired::{self, AtRate, Candidate, Plan};
use crate::stats::median;

/// Rounds that find out what the two sides can do.
const CAPACITY_ROUNDS: u32 = 3;

/// Measures all servers of `plan` at each share of the capacity, and gives a run for each server
/// and repetition, whose slices are the shares in their order, and the curve. Whole distributions
/// are written into `folder`.
pub(super) fn measure(
    plan: &Plan,
    percents: &[u64],
    budget: &Budget,
    folder: &Path,
    interrupt: &Interrupt,
) -> Result<(Vec<Run>, Vec<RatePoint>), Failure> {
    let capacity = capacity(plan, interrupt)?;
    let mut runs: Vec<Run> = Vec::new();
    let mut curve: BTreeMap<(u64, usize), AtRate> = BTreeMap::new();
    for repetition in 0..budget.repetitions {
        for &percent in percents {
            if interrupt.is_set() {
                break;
            }
            let pace = Pace::Poisson(capacity * percent as f64 / 100.0);
            let plan = Plan { repetition, ..plan.clone() };
            let points = paired::at_rate(&plan, pace, interrupt, |_| ())?;
            for (place, point) in points.into_iter().enumerate() {
                add(&mut runs, run(&point, repetition));
                join(&mut curve, (percent, place), point);
            }
        }
    }
    let curve = curve.into_iter().map(|((percent, _), point)| publish(percent, &point, folder));
    Ok((runs, curve.collect::<Result<_, _>>()?))
}

/// What a server did at one rate, as a slice that can be paired.
fn run(point: &AtRate, repetition: u32) -> Run {
    let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let slice = Slice {
        count: point.requests,
        elapsed_ns: nanoseconds(point.elapsed),
        server_cpu_ns: nanoseconds(point.server_cpu),
        client_cpu_ns: Some(nanoseconds(point.client_cpu)),
        latency_ns: (point.requests > 0).then(|| point.quantiles()),
    };
    Run {
        server: point.server.clone(),
        repetition,
        invalid: point.invalid.clone(),
        slices: vec![slice],
        whole: WholeRun { count: point.requests, ..WholeRun::default() },
    }
}

/// Requests per second that the slower side answers in a closed loop, or that the client can ask.
pub(super) fn capacity(plan: &Plan, interrupt: &Interrupt) -> Result<f64, Failure> {
    let sides =
        |candidate: &&Candidate| [SUBJECT, RIVAL].contains(&candidate.name.to_string().as_str());
    let plan = Plan {
        candidates: plan.candidates.iter().filter(sides).cloned().collect(),
        rounds: CAPACITY_ROUNDS,
        with_noise: false,
        with_trace: false,
        ..plan.clone()
    };
    let runs = paired::measure(&plan, interrupt, |_| ())?;
    let per_second = |run: &Run| {
        let rate = |slice: &Slice| slice.count as f64 * 1e9 / slice.elapsed_ns as f64;
        let rates: Vec<f64> = run.slices.iter().map(rate).collect();
        let why = || run.invalid.clone().unwrap_or_else(|| "interrupted".to_owned());
        if rates.is_empty() {
            return Err(Failure::Environment(format!("{}: {}", run.server, why())));
        }
        Ok(median(&rates))
    };
    let rates = runs.iter().map(per_second).collect::<Result<Vec<_>, _>>()?;
    Ok(rates.into_iter().fold(f64::INFINITY, f64::min))
}

/// Puts the slice of `run` behind those of the same server and repetition.
fn add(runs: &mut Vec<Run>, run: Run) {
    let same = runs
        .iter_mut()
        .find(|other| other.server == run.server && other.repetition == run.repetition);
    let Some(other) = same else { return runs.push(run) };
    other.slices.extend(run.slices);
    other.whole.count += run.whole.count;
    other.invalid = other.invalid.take().or(run.invalid);
}

fn join(curve: &mut BTreeMap<(u64, usize), AtRate>, key: (u64, usize), point: AtRate) {
    let Some(joined) = curve.get_mut(&key) else {
        curve.insert(key, point);
        return;
    };
    // A repetition that is invalid spoils the distribution; without it, the others still hold.
    match (&joined.invalid, &point.invalid) {
        (_, Some(_)) => {}
        (Some(_), None) => *joined = point,
        (None, None) => {
            joined.requests += point.requests;
            joined.latency.add(&point.latency).expect("all have the same bounds");
            joined.slices.extend(point.slices);
        }
    }
}

/// The point as it stands in `study.json`, its distribution in files beside.
fn publish(percent: u64, point: &AtRate, folder: &Path) -> Result<RatePoint, Failure> {
    let stem = format!("rate-{}-{percent}-percent", point.server.replace(['/', ' '], "-"));
    let mut histograms = Vec::new();
    if point.requests > 0 {
        let names = point.write(&folder.join(HISTOGRAMS), &stem)?;
        histograms.extend(names.into_iter().map(|name| format!("{HISTOGRAMS}/{name}")));
    }
    Ok(RatePoint {
        server: point.server.clone(),
        rate_per_second: point.rate_per_second,
        share_of_capacity: percent as f64 / 100.0,
        latency_ns: if point.requests > 0 { point.quantiles() } else { Quantiles::default() },
        histograms,
        invalid: point.invalid.clone(),
    })
}
