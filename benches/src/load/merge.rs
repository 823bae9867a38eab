//! The subcommand `merge`: runs of several machines as one.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

use super::files::Files;
use super::report::{Report, VERSION, decode, encode};
use super::verdict::Verdict;
use super::work::{histogram, quantiles};
use crate::outcome::{Failure, Outcome};

/// Joins runs that were made at the same time, such as by several machines, into one.
///
/// Rates add up, histograms are added, and the worst verdict stands for all.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// What `load` has written with --json or --hlog.
    #[arg(required = true)]
    runs: Vec<PathBuf>,
    #[command(flatten)]
    files: Files,
}

/// The subcommand `merge`.
///
/// # Errors
///
/// If a file cannot be read or is no run, or if the runs are of different kinds.
pub fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let runs = arguments.runs.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
    let files = arguments.files.check(None)?;
    let result = join(runs).inspect_err(|_| files.discard());
    let (report, latency) = result?;
    files.write(&report, &latency, &[])?;
    Ok(report.outcome())
}

fn read(path: &Path) -> Result<(Report, Histogram<u64>), Failure> {
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::environment(format!("cannot read {}", path.display()), error))?;
    let no_run = |why: String| Failure::Usage(format!("{} is no run: {why}", path.display()));
    if text.trim_start().starts_with('{') {
        let report: Report =
            serde_json::from_str(&text).map_err(|error| no_run(error.to_string()))?;
        if report.version != VERSION {
            let why = format!("its version is {}, this program's {VERSION}", report.version);
            return Err(no_run(why));
        }
        let latency = decode(&report.histogram).map_err(no_run)?;
        return Ok((report, latency));
    }
    read_log(&text, path).map_err(no_run)
}

/// A log says nothing but when how many answers took how long.
fn read_log(text: &str, path: &Path) -> Result<(Report, Histogram<u64>), String> {
    let mut latency = histogram();
    let (mut start, mut end) = (f64::INFINITY, 0.0_f64);
    for entry in IntervalLogIterator::new(text.as_bytes()) {
        let Ok(entry) = entry else { return Err("it is neither JSON nor a histogram log".into()) };
        let LogEntry::Interval(interval) = entry else { continue };
        let one: Histogram<u64> = decode(interval.encoded_histogram())?;
        latency.add(&one).map_err(|error| format!("it has latencies above an hour: {error:?}"))?;
        let begin = interval.start_timestamp().as_secs_f64();
        start = start.min(begin);
        end = end.max(begin + interval.duration().as_secs_f64());
    }
    if latency.is_empty() {
        return Err("there is no histogram in it".to_owned());
    }
    let elapsed_s = end - start;
    let report = Report {
        version: VERSION,
        verdict: Verdict::Valid.to_string(),
        detail: None,
        is_partial: false,
        target: path.display().to_string(),
        protocol: String::new(),
        r#loop: String::new(),
        rate_per_second: None,
        arrivals: None,
        connections: 0,
        depth: 0,
        message_bytes: 0,
        is_churn: false,
        threads: 0,
        runs: 1,
        warm_up_s: 0.0,
        elapsed_s,
        requests: latency.len(),
        requests_per_second: latency.len() as f64 / elapsed_s,
        latency_ns: quantiles(&latency),
        latency_mean_ns: latency.mean(),
        client_cpu_ns_per_request: None,
        client_cpu_share: None,
        client_wait_share: None,
        late_starts: None,
        lateness_max_ns: None,
        connects: None,
        stolen_share: None,
        verified: None,
        knee: None,
        histogram: String::new(),
    };
    Ok((report, latency))
}

fn join(runs: Vec<(Report, Histogram<u64>)>) -> Result<(Report, Histogram<u64>), Failure> {
    let mut runs = runs.into_iter();
    let (mut all, mut latency) = runs.next().expect("the command line asks for one at least");
    for (run, more) in runs {
        if kind(&run) != kind(&all) {
            return Err(Failure::Usage(format!(
                "{} and {} are runs of different kinds: `{}` and `{}`",
                all.target,
                run.target,
                kind(&all),
                kind(&run)
            )));
        }
        latency.add(&more).map_err(|error| Failure::Usage(format!("{}: {error:?}", run.target)))?;
        add(&mut all, run);
    }
    all.latency_ns = quantiles(&latency);
    all.latency_mean_ns = latency.mean();
    all.histogram = encode(&latency);
    Ok((all, latency))
}

/// What runs have to have in common.
fn kind(run: &Report) -> String {
    let arrivals = run.arrivals.clone().unwrap_or_default();
    let churn = if run.is_churn { "churn" } else { "" };
    let words = [&run.protocol, &run.r#loop, &arrivals, churn];
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    if words.is_empty() {
        return "histograms".to_owned();
    }
    format!("{}, depth {}, {} bytes", words.join(", "), run.depth, run.message_bytes)
}

/// Adds what was done at the same time.
fn add(all: &mut Report, run: Report) {
    let weighted = |own: Option<f64>, other: Option<f64>, weight: f64, other_weight: f64| {
        let sum = weight + other_weight;
        Some(if sum == 0.0 { 0.0 } else { (own? * weight + other? * other_weight) / sum })
    };
    let requests = (all.requests as f64, run.requests as f64);
    let threads = (all.threads as f64, run.threads as f64);
    all.client_cpu_ns_per_request = weighted(
        all.client_cpu_ns_per_request,
        run.client_cpu_ns_per_request,
        requests.0,
        requests.1,
    );
    all.client_cpu_share =
        weighted(all.client_cpu_share, run.client_cpu_share, threads.0, threads.1);
    all.client_wait_share =
        weighted(all.client_wait_share, run.client_wait_share, threads.0, threads.1);
    let sum = |own: Option<u64>, other: Option<u64>| Some(own? + other?);
    all.late_starts = sum(all.late_starts, run.late_starts);
    all.connects = sum(all.connects, run.connects);
    all.lateness_max_ns = all.lateness_max_ns.max(run.lateness_max_ns);
    all.stolen_share = all.stolen_share.zip(run.stolen_share).map(|(own, other)| own.max(other));
    all.rate_per_second =
        all.rate_per_second.zip(run.rate_per_second).map(|(own, other)| own + other);
    if all.target != run.target {
        all.target = format!("{} {}", all.target, run.target);
    }
    if all.verified != run.verified {
        all.verified =
            all.verified.take().zip(run.verified).map(|(own, other)| {
                if own.contains(&other) { own } else { format!("{own}; {other}") }
            });
    }
    if severity(&run.verdict) > severity(&all.verdict) {
        all.verdict = run.verdict;
        all.detail = run.detail;
    }
    all.is_partial |= run.is_partial;
    all.connections += run.connections;
    all.threads += run.threads;
    all.runs += run.runs;
    all.warm_up_s = all.warm_up_s.max(run.warm_up_s);
    all.elapsed_s = all.elapsed_s.max(run.elapsed_s);
    all.requests += run.requests;
    all.requests_per_second += run.requests_per_second;
    all.knee = None;
}

/// The more severe verdict of two stands for both.
fn severity(verdict: &str) -> u8 {
    if verdict == Verdict::Valid.to_string() {
        0
    } else if verdict == Verdict::Partial.to_string() {
        1
    } else {
        2
    }
}
