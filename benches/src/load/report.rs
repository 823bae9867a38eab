//! What a person and a program are told about a run.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};
use serde::{Deserialize, Serialize};

use super::plan::Protocol;
use super::schedule::Pace;
use super::target::Target;
use super::team::{Team, TeamWork};
use super::verdict::Verdict;
use super::work::quantiles;
use crate::outcome::Outcome;
use crate::study::schema::Quantiles;

/// A run as it is written with `--json`. Names carry their units.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Of this schema.
    pub version: u32,
    /// `valid`, `partial: interrupted`, or `invalid: ` and why.
    pub verdict: String,
    /// The same in a sentence, with what to do about it.
    pub detail: Option<String>,
    /// True when it was interrupted: the numbers are those of the time until then.
    pub is_partial: bool,
    /// As on the command line.
    pub target: String,
    /// `echo`, `http`, `http2` or `line`.
    pub protocol: String,
    /// `closed` or `open`.
    pub r#loop: String,
    /// Asked for, in an open loop.
    pub rate_per_second: Option<f64>,
    /// `constant` or `poisson`, in an open loop.
    pub arrivals: Option<String>,
    /// At the same time.
    pub connections: u64,
    /// Requests in flight on one connection at most.
    pub depth: u64,
    /// Bytes of an echo or a line; zero where the protocol decides.
    pub message_bytes: u64,
    /// True with a connection for each request.
    pub is_churn: bool,
    /// Clients that worked at the same time.
    pub threads: u64,
    /// How many runs are joined in this one.
    pub runs: u64,
    /// Before the clock started.
    pub warm_up_s: f64,
    /// From the first byte sent until the last answer was back.
    pub elapsed_s: f64,
    /// Whose answers came back, verified.
    pub requests: u64,
    /// Of all clients together.
    pub requests_per_second: f64,
    /// From the intended start of a request to the last byte of its answer.
    pub latency_ns: Quantiles,
    /// The same, on average.
    pub latency_mean_ns: f64,
    /// All CPU time of the clients.
    pub client_cpu_ns_per_request: Option<f64>,
    /// The share of the time in which a client's thread ran.
    pub client_cpu_share: Option<f64>,
    /// The share of the time in which a client's thread could have run and had no CPU.
    pub client_wait_share: Option<f64>,
    /// Requests that started more than a millisecond late although a connection was free.
    pub late_starts: Option<u64>,
    /// The latest of all starts.
    pub lateness_max_ns: Option<u64>,
    /// Connections that were opened within the run.
    pub connects: Option<u64>,
    /// Of the machine's CPU time, by its host.
    pub stolen_share: Option<f64>,
    /// What each answer was compared with.
    pub verified: Option<String>,
    /// What `--find-knee` tried.
    pub knee: Option<Knee>,
    /// All latencies: an HdrHistogram in nanoseconds, V2 with deflate, in base64.
    pub histogram: String,
}

/// The search for the highest rate whose 99th percentile stays under a bound. The run that stands
/// beside it is the one at that rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Knee {
    /// The bound.
    pub p99_max_ns: u64,
    /// The highest rate that kept it.
    pub rate_per_second: Option<f64>,
    /// In the order in which they were tried.
    pub steps: Vec<Step>,
}

/// One rate that was tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Asked for.
    pub rate_per_second: f64,
    /// Reached.
    pub requests_per_second: f64,
    /// Of this try.
    pub p99_ns: u64,
    /// Of this try.
    pub verdict: String,
}

/// The version of [`Report`]. It grows whenever a field changes its meaning or goes away.
pub(super) const VERSION: u32 = 1;

impl Report {
    pub(super) fn new(target: &Target, team: &Team, done: &TeamWork) -> Self {
        let work = &done.work;
        let plan = &team.plan;
        let is_sized = plan.protocol == Protocol::Echo || plan.protocol == Protocol::Line;
        let mut report = Report {
            version: VERSION,
            verdict: String::new(),
            detail: None,
            is_partial: false,
            target: target.to_string(),
            protocol: plan.protocol.name().to_owned(),
            r#loop: if team.pace.is_some() { "open" } else { "closed" }.to_owned(),
            rate_per_second: team.pace.map(Pace::rate_per_second),
            arrivals: team.pace.map(|pace| pace.name().to_owned()),
            connections: plan.connections as u64,
            depth: plan.depth as u64,
            message_bytes: if is_sized { plan.message_size as u64 } else { 0 },
            is_churn: plan.is_churn,
            threads: team.threads as u64,
            runs: 1,
            warm_up_s: team.warm_up.as_secs_f64(),
            elapsed_s: work.elapsed.as_secs_f64(),
            requests: work.requests,
            requests_per_second: work.requests_per_second(),
            latency_ns: quantiles(&work.latency),
            latency_mean_ns: work.latency.mean(),
            client_cpu_ns_per_request: (work.requests > 0)
                .then(|| work.client_cpu.as_nanos() as f64 / work.requests as f64),
            client_cpu_share: Some(work.share(work.client_cpu)),
            client_wait_share: Some(work.share(work.client_wait)),
            late_starts: Some(work.late_starts),
            lateness_max_ns: Some(work.lateness_max.as_nanos() as u64),
            connects: Some(work.connects),
            stolen_share: Some(done.stolen_share),
            verified: Some(done.verified.clone()),
            knee: None,
            histogram: encode(&work.latency),
        };
        report.judge(&work.verdict);
        report
    }

    /// Says what the run is worth.
    pub(super) fn judge(&mut self, verdict: &Verdict) {
        self.verdict = verdict.to_string();
        self.is_partial = *verdict == Verdict::Partial;
        self.detail = match verdict {
            Verdict::Valid => None,
            Verdict::Partial => Some("ended by Ctrl-C or SIGTERM before its time".to_owned()),
            Verdict::Invalid(fault) => Some(fault.detail.clone()),
        };
    }

    /// How a subcommand ends that reports this.
    pub fn outcome(&self) -> Outcome {
        if self.verdict == Verdict::Valid.to_string() { Outcome::Valid } else { Outcome::Invalid }
    }

    /// For a terminal.
    pub fn table(&self) -> String {
        let mut table = String::new();
        let mut row = |name: &str, text: &str| {
            writeln!(table, "  {name:<12}{text}").expect("a string takes everything");
        };
        row("load", &self.load());
        row("requests", &format!("{} in {:.2} s", grouped(self.requests as f64), self.elapsed_s));
        row("per second", &grouped(self.requests_per_second));
        let Quantiles { p50, p90, p99, p999, max } = self.latency_ns;
        let shown = [("p50", p50), ("p90", p90), ("p99", p99), ("p99.9", p999), ("max", max)];
        let shown = shown.map(|(name, value)| format!("{name} {}", duration(value as f64)));
        row("latency", &shown.join("   "));
        if let Some(text) = self.client() {
            row("client", &text);
        }
        if let Some(knee) = &self.knee {
            for step in &knee.steps {
                let Step { rate_per_second, p99_ns, verdict, .. } = step;
                let rate = grouped(*rate_per_second);
                row("tried", &format!("{rate}/s: p99 {}, {verdict}", duration(*p99_ns as f64)));
            }
            let bound = duration(knee.p99_max_ns as f64);
            row(
                "knee",
                &match knee.rate_per_second {
                    Some(rate) => format!("{}/s keeps p99 at {bound} or less", grouped(rate)),
                    None => format!("no rate that was tried keeps p99 at {bound} or less"),
                },
            );
        }
        if let Some(verified) = &self.verified {
            row("verified", verified);
        }
        let detail = self.detail.as_ref().map(|detail| format!(" ({detail})"));
        row("verdict", &format!("{}{}", self.verdict, detail.unwrap_or_default()));
        format!("{}\n{table}", self.target)
    }

    fn load(&self) -> String {
        let what = match (self.rate_per_second, &self.arrivals) {
            (Some(rate), Some(arrivals)) => {
                format!("open loop, {} requests/s, {arrivals} arrivals", grouped(rate))
            }
            _ => "closed loop".to_owned(),
        };
        let size = match self.message_bytes {
            0 => String::new(),
            bytes => format!(" of {bytes} bytes"),
        };
        let runs = if self.runs > 1 { format!(" in {} runs", self.runs) } else { String::new() };
        let churn = if self.is_churn { ", one request on each" } else { "" };
        format!(
            "{}{size}, {what}, {}{churn}, depth {}, {}{runs}, after {:.1} s of warm-up",
            self.protocol,
            many(self.connections, "connection"),
            self.depth,
            many(self.threads, "thread"),
            self.warm_up_s
        )
    }

    fn client(&self) -> Option<String> {
        let mut text = format!(
            "{} CPU per request, ran {:.0}% of the time",
            duration(self.client_cpu_ns_per_request?),
            100.0 * self.client_cpu_share?
        );
        let mut add = |part: String| text.push_str(&part);
        add(format!(", waited for a CPU {:.0}%", 100.0 * self.client_wait_share?));
        if self.r#loop == "open" {
            let (late, worst) = (self.late_starts?, self.lateness_max_ns?);
            add(format!(", {late} late starts (worst {})", duration(worst as f64)));
        }
        if self.connects? > 0 {
            add(format!(", {} connections opened", grouped(self.connects? as f64)));
        }
        if self.stolen_share? > 0.0 {
            add(format!(", {:.1}% stolen by the host", 100.0 * self.stolen_share?));
        }
        Some(text)
    }
}

/// A histogram as text.
pub(super) fn encode(latency: &Histogram<u64>) -> String {
    let mut bytes = Vec::new();
    V2DeflateSerializer::new()
        .serialize(latency, &mut bytes)
        .expect("a histogram fits its own serial form, and memory takes everything");
    STANDARD.encode(bytes)
}

/// The histogram in a text of [`encode`], or of any other HdrHistogram.
pub(super) fn decode(text: &str) -> Result<Histogram<u64>, String> {
    let bytes = STANDARD.decode(text).map_err(|error| format!("the histogram: {error}"))?;
    Deserializer::new()
        .deserialize(&mut bytes.as_slice())
        .map_err(|error| format!("the histogram: {error}"))
}

/// Digits in groups of three.
pub(super) fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Nanoseconds in a unit that people read.
pub(super) fn duration(nanoseconds: f64) -> String {
    match nanoseconds {
        1e9.. => format!("{:.2} s", nanoseconds / 1e9),
        1e6.. => format!("{:.2} ms", nanoseconds / 1e6),
        1e3.. => format!("{:.1} µs", nanoseconds / 1e3),
        _ => format!("{nanoseconds:.0} ns"),
    }
}

fn many(count: u64, what: &str) -> String {
    format!("{} {what}{}", grouped(count as f64), if count == 1 { "" } else { "s" })
}

/// A run of which nothing matters.
#[cfg(test)]
pub(super) fn sample() -> Report {
    use crate::address::Address;
    use crate::load::plan::Plan;
    use crate::load::work::Work;

    let team = Team {
        plan: Plan::new(Address::any_port(), Protocol::Echo),
        threads: 1,
        cpus: Vec::new(),
        pace: None,
        warm_up: std::time::Duration::ZERO,
        duration: std::time::Duration::ZERO,
    };
    let done = TeamWork { work: Work::none(), verified: String::new(), stolen_share: 0.0 };
    Report::new(&"127.0.0.1:1".parse().expect("a target"), &team, &done)
}
