//! Latency at a fixed rate: slices of an open loop, given to one server at a time, and one
//! histogram for each server over all its slices.

#![forbid(unsafe_code)]

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::measure::Turns;
use super::plan::Plan;
use super::session::Session;
use super::weather::{self, Segments, Ticks};
use crate::interrupt::Interrupt;
use crate::load::{self, Pace, Recorded, Work};
use crate::outcome::Failure;
use crate::study::schema::Quantiles;

/// One server at one rate.
#[derive(Clone, Debug)]
pub struct AtRate {
    /// As in [`Run::server`](crate::study::schema::Run::server).
    pub server: String,
    /// Requests started per second, whether or not the earlier ones had been answered.
    pub rate_per_second: f64,
    /// Requests that were answered.
    pub requests: u64,
    /// All slices together.
    pub elapsed: Duration,
    /// In nanoseconds from the intended start.
    pub latency: Histogram<u64>,
    /// The same slice by slice: when it began, since the first round, and how long it was.
    pub slices: Vec<(Duration, Duration, Recorded)>,
    /// CPU time of the server's process in its slices.
    pub server_cpu: Duration,
    /// CPU time of the client in these slices.
    pub client_cpu: Duration,
    /// Requests that the client started late although a connection was free.
    pub late_starts: u64,
    /// Why it counts for nothing, if it does not.
    pub invalid: Option<String>,
}

/// With more late starts the 99th percentile is the client's own.
const LATE_SHARE_MAX: f64 = 0.01;

/// Lets each candidate of the plan serve the same rate, one at a time, in slices.
///
/// The noise floor is measured as in [`measure`](super::measure()), and system calls are not.
/// When `interrupt` is set, what was measured until then comes back.
///
/// # Errors
///
/// As [`measure`](super::measure()).
pub fn at_rate(
    plan: &Plan,
    pace: Pace,
    interrupt: &Interrupt,
    mut progress: impl FnMut(u32),
) -> Result<Vec<AtRate>, Failure> {
    let mut session = Session::start(plan, interrupt)?;
    let mut points: Vec<AtRate> =
        session.contestants.iter().map(|one| AtRate::new(&one.name, pace)).collect();
    let mut segments = vec![Segments::default(); points.len()];
    let mut turns = Turns::new(plan, points.len());
    let (origin, began) = (Instant::now(), Ticks::now(plan.cpus)?);
    for round in 0..=plan.rounds {
        for index in turns.next() {
            let started = origin.elapsed();
            let turn = session.contestants[index].take_turn(Some(pace), plan.slice, interrupt)?;
            let Some(turn) = turn.filter(|_| round > 0) else { continue };
            let (point, work) = (&mut points[index], &turn.work);
            point.slices.push((started, work.elapsed, Recorded::of(&work.latency)));
            point.requests += work.requests;
            point.elapsed += work.elapsed;
            point.latency.add(&work.latency).expect("all have the same bounds");
            point.server_cpu += turn.server_cpu;
            point.client_cpu += work.client_cpu;
            point.late_starts += work.late_starts;
            segments[index] = segments[index] + turn.segments;
        }
        if interrupt.is_set() {
            break;
        }
        progress(round);
    }
    let stolen_share = Ticks::now(plan.cpus)?.stolen_share_since(began);
    for ((point, contestant), segments) in points.iter_mut().zip(session.contestants).zip(segments)
    {
        point.invalid =
            contestant.fault.clone().or_else(|| point.judge(plan, segments, stolen_share));
        contestant.end().map_err(|error| Failure::environment(&point.server, error))?;
    }
    Ok(points)
}

impl AtRate {
    fn new(server: &str, pace: Pace) -> Self {
        AtRate {
            server: server.to_owned(),
            rate_per_second: pace.rate_per_second(),
            requests: 0,
            elapsed: Duration::ZERO,
            latency: Work::none().latency,
            slices: Vec::new(),
            server_cpu: Duration::ZERO,
            client_cpu: Duration::ZERO,
            late_starts: 0,
            invalid: None,
        }
    }

    /// As they stand in `study.json`.
    pub fn quantiles(&self) -> Quantiles {
        load::quantiles(&self.latency)
    }

    /// Writes the whole distribution into `folder`, in the two forms that other tools read, and
    /// says how the files are called: `stem.hgrm` and, slice by slice, `stem.hlog`.
    ///
    /// # Errors
    ///
    /// If the files cannot be written.
    pub fn write(&self, folder: &Path, stem: &str) -> Result<Vec<String>, Failure> {
        let slices: Vec<_> = self
            .slices
            .iter()
            .map(|(start, length, recorded)| (*start, *length, recorded.latency()))
            .collect();
        let put = |ending: &str, bytes: io::Result<Vec<u8>>| {
            let name = format!("{stem}.{ending}");
            let path = folder.join(&name);
            bytes.and_then(|bytes| fs::write(&path, bytes)).map(|()| name).map_err(|error| {
                Failure::environment(format!("cannot write {}", path.display()), error)
            })
        };
        let distribution = load::quantile_distribution(&self.latency);
        Ok(vec![put("hgrm", Ok(distribution.into()))?, put("hlog", load::interval_log(&slices))?])
    }

    fn judge(&self, plan: &Plan, segments: Segments, stolen_share: f64) -> Option<String> {
        if self.requests == 0 {
            return Some("interrupted before its first slice was over".to_owned());
        }
        judge_starts(self.late_starts, self.requests)
            .or_else(|| weather::judge(&plan.bounds, segments, stolen_share))
    }
}

/// Why a client that was late does not count, if it was late too often.
pub(super) fn judge_starts(late: u64, requests: u64) -> Option<String> {
    (late as f64 > LATE_SHARE_MAX * requests as f64).then(|| {
        format!(
            "client saturated: {late} of {requests} requests started late; ask for a lower rate"
        )
    })
}
