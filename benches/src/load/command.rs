//! The subcommand `load`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use hdrhistogram::Histogram;

use super::files::Files;
use super::knee::{self, Try};
use super::plan::{Plan, Protocol};
use super::progress::Progress;
use super::report::Report;
use super::schedule::Pace;
use super::target::Target;
use super::team::{Team, TeamWork};
use super::work::Work;
use crate::interrupt::Interrupt;
use crate::os;
use crate::outcome::{Failure, Outcome};

/// Loads a server and measures how it answers, every byte verified.
///
/// Without --rate each connection keeps --depth requests in flight (closed loop). With it, requests
/// start when they are due and latency counts from then, so that a server that stops cannot hide it
/// (open loop).
///
/// Exit status: 0 the verdict is `valid`; 1 the verdict is `invalid: ...`, such as `client
/// saturated`, `server stopped answering` or `wrong answer`, or `partial: interrupted` (Ctrl-C:
/// what was measured until then is written all the same); 2 bad usage; 3 nothing could be measured
/// or written, such as when nobody listens or descriptors run out.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// http://HOST:PORT/PATH, echo://HOST:PORT or line://HOST:PORT; HOST:PORT alone echoes. unix:PATH
    /// stands for HOST:PORT, as in http://unix:/tmp/socket or http://unix:/tmp/socket:/PATH.
    target: Target,
    /// Connections, shared between the threads.
    #[arg(long, short, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
    /// Requests in flight on one connection at most.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    depth: u32,
    /// Threads, each with a share of the connections.
    #[arg(long, short, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    threads: u32,
    /// How long to measure, such as 10s or 200ms.
    #[arg(long, short, default_value = "10s", value_parser = humantime::parse_duration)]
    duration: Duration,
    /// How long to load the server before the clock starts.
    #[arg(long, default_value = "1s", value_parser = humantime::parse_duration)]
    warm_up: Duration,
    /// Requests per second of an open loop.
    #[arg(long, short)]
    rate: Option<f64>,
    /// How the requests of an open loop arrive.
    #[arg(long, value_enum, default_value = "constant")]
    arrivals: Arrivals,
    /// Speak HTTP/2 to an http:// target, in clear text and without asking whether it does; --depth is
    /// the streams at once.
    #[arg(long)]
    http2: bool,
    /// Bytes of a message, or of a line with its end.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    size: u32,
    /// The line to send, instead of lines of --size bytes.
    #[arg(long)]
    line: Option<String>,
    /// Open a connection for each request, and close it after the answer.
    #[arg(long)]
    churn: bool,
    /// A server that takes longer for an answer is taken for dead.
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// Come from this many addresses of 127.0.0.0/8, each of which has 28,000 ports of its own.
    #[arg(long, default_value_t = 0)]
    sources: u32,
    /// CPUs to run on, one thread each in turn.
    #[arg(long, value_delimiter = ',')]
    cpus: Vec<usize>,
    /// Decides the contents of messages, and Poisson arrivals.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Look for the highest rate whose p99 stays under --p99-max; --duration is that of one try,
    /// and --rate is tried first.
    #[arg(long, requires = "p99_max")]
    find_knee: bool,
    /// The bound for --find-knee, such as 5ms.
    #[arg(long, requires = "find_knee", value_parser = humantime::parse_duration)]
    p99_max: Option<Duration>,
    #[command(flatten)]
    files: Files,
    /// Write a histogram for each second, as HdrHistogram's log tools read them.
    #[arg(long, value_name = "FILE")]
    hlog: Option<PathBuf>,
}

/// How requests arrive in an open loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Arrivals {
    /// With equal gaps.
    Constant,
    /// Each independent of the others.
    Poisson,
}

/// The subcommand `load`.
///
/// # Errors
///
/// If the arguments make no sense, or if nothing could be measured or written.
pub fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let team = arguments.team()?;
    check_descriptors(&team)?;
    let files = arguments.files.check(arguments.hlog.as_deref())?;
    let interrupt = Interrupt::install()?;
    let result = match arguments.p99_max {
        Some(bound) => arguments.find_knee(&team, bound, &interrupt),
        None => arguments.measure(&team, &interrupt).map(|done| arguments.tried(&team, done)),
    };
    let done = result.inspect_err(|_| files.discard())?;
    let intervals = intervals(&done.extra);
    files.write(&done.report, &done.extra.latency, &intervals)?;
    Ok(done.report.outcome())
}

impl Arguments {
    fn team(&self) -> Result<Team, Failure> {
        if self.threads > self.connections {
            let text = "a thread without a connection has nothing to do: ask for fewer --threads";
            return Err(Failure::Usage(text.to_owned()));
        }
        if self.duration.is_zero() {
            return Err(Failure::Usage(
                "nothing is measured in no time: --duration 10s".to_owned(),
            ));
        }
        let plan = Plan {
            connections: self.connections as usize,
            depth: self.depth as usize,
            message_size: self.line.as_ref().map_or(self.size as usize, |line| line.len() + 1),
            is_churn: self.churn,
            seed: self.seed,
            patience: self.timeout,
            source_addresses: self.sources,
            line: self.line.clone(),
            host: Some(self.target.host()),
            interval: if self.hlog.is_some() { INTERVAL } else { Duration::ZERO },
            ..Plan::new(self.target.resolve()?, self.protocol()?)
        };
        plan.check()?;
        if self.rate.is_some_and(|rate| !(rate > 0.0 && rate.is_finite())) {
            return Err(Failure::Usage("--rate is a number of requests per second".to_owned()));
        }
        Ok(Team {
            plan,
            threads: self.threads as usize,
            cpus: self.cpus.clone(),
            pace: self.rate.map(|rate| self.pace(rate)),
            warm_up: self.warm_up,
            duration: self.duration,
        })
    }

    fn protocol(&self) -> Result<Protocol, Failure> {
        match (self.http2, self.target.protocol.clone()) {
            (false, protocol) => Ok(protocol),
            (true, Protocol::Http { path }) => Ok(Protocol::Http2 { path }),
            (true, other) => Err(Failure::Usage(format!(
                "--http2 is for http:// targets, and {} is for {}: leave it out",
                self.target,
                other.name()
            ))),
        }
    }

    fn pace(&self, rate: f64) -> Pace {
        match self.arrivals {
            Arrivals::Constant => Pace::Constant(rate),
            Arrivals::Poisson => Pace::Poisson(rate),
        }
    }

    fn measure(&self, team: &Team, interrupt: &Interrupt) -> Result<TeamWork, Failure> {
        let mut progress = Progress::new(team.duration);
        team.run(interrupt, |taken, answered| progress.show(taken, answered))
    }

    fn tried(&self, team: &Team, done: TeamWork) -> Try<Work> {
        Try {
            report: Report::new(&self.target, team, &done),
            verdict: done.work.verdict.clone(),
            extra: done.work,
        }
    }

    fn find_knee(
        &self,
        team: &Team,
        bound: Duration,
        interrupt: &Interrupt,
    ) -> Result<Try<Work>, Failure> {
        let run = |rate: f64| {
            let team = Team { pace: Some(self.pace(rate)), ..team.clone() };
            let one = self.tried(&team, self.measure(&team, interrupt)?);
            let p99 = Duration::from_nanos(one.report.latency_ns.p99);
            eprintln!("{rate:.0} requests/s: p99 {p99:.1?}, {}", one.verdict);
            Ok(one)
        };
        let first_rate = match self.rate {
            Some(rate) => rate,
            // Half of what the server can do is below any knee worth the name.
            None => {
                let team = Team { pace: None, ..team.clone() };
                let done = self.measure(&team, interrupt)?;
                if !done.work.is_rate_of_server() {
                    return Ok(self.tried(&team, done));
                }
                (done.work.requests_per_second() / 2.0).max(1.0)
            }
        };
        let bound_ns = u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX);
        // With fewer requests in a try, its 99th percentile is its slowest request.
        let lowest_rate = 100.0 / self.duration.as_secs_f64();
        knee::find(bound_ns, lowest_rate, first_rate, run)
    }
}

/// Refuses what the limit of descriptors forbids, before anything is opened.
fn check_descriptors(team: &Team) -> Result<(), Failure> {
    let limit = os::raise_descriptor_limit()?;
    let needed = (team.plan.connections + team.threads) as u64 + DESCRIPTORS_BESIDE;
    if needed > limit {
        return Err(Failure::Environment(format!(
            "{} connections need {needed} descriptors, and this process may have {limit} \
             (RLIMIT_NOFILE): raise the hard limit with `ulimit -Hn {needed}` as root, or share \
             the connections between machines and `merge` the runs",
            team.plan.connections
        )));
    }
    Ok(())
}

/// The intervals with when they began and how long they lasted; the last one may be shorter.
fn intervals(work: &Work) -> Vec<(Duration, Duration, Histogram<u64>)> {
    let times = |index: u64| Duration::from_nanos(INTERVAL.as_nanos() as u64 * index);
    work.intervals
        .iter()
        .map(|(index, recorded)| {
            let start = times(*index);
            let length = times(index + 1).min(work.elapsed).saturating_sub(start);
            (start, length, recorded.latency())
        })
        .collect()
}

/// Of the log of histograms.
const INTERVAL: Duration = Duration::from_secs(1);

/// The standard streams, the watch for signals, and what a library opens for a moment.
const DESCRIPTORS_BESIDE: u64 = 16;
