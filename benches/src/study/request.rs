//! What a study is asked for on the command line.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{ArgGroup, Args};

use super::plan::CellPlan;
use super::schema::{Mode, VERSION};
use super::store::Session;
use super::{fingerprint, matrix};
use crate::outcome::Failure;
use crate::paired::Handicap;

/// Compares io_uring with epoll on this machine, and writes a report.
///
/// The report says what io_uring wins and what it loses. DIR holds report.html, report.md,
/// study.json and every finished cell. Exit status 0: the report is written, and at least half of its
/// cells are valid, so that the verdict stands; 1: it is written, but fewer are, or the study was
/// interrupted. A cell that a busy machine has spoiled is measured again, and named if that did not
/// help.
#[derive(Args, Clone, Debug)]
#[command(group(ArgGroup::new("mode").required(true)))]
pub struct Arguments {
    /// Each workload once, in about a minute and a half. What was spoiled meanwhile is measured again, in
    /// two minutes altogether.
    #[arg(long, group = "mode")]
    quick: bool,
    /// The whole matrix, in hours. Can be stopped at any moment, and resumed.
    #[arg(long, group = "mode")]
    full: bool,
    /// Where to write. Must be empty or not there, unless a study is resumed.
    #[arg(long, value_name = "DIR")]
    pub(super) out: PathBuf,
    /// Go on with the study in DIR: valid cells are kept as they are, all others measured.
    #[arg(long)]
    pub(super) resume: bool,
    /// Decides the order of what is shuffled, and the contents of messages.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Slow a server down on purpose, to see whether the study notices: epoll=20us.
    #[arg(long, value_name = "SERVER=TIME", value_delimiter = ',')]
    handicap: Vec<Handicap>,
    /// Build other runtimes, monoio, compio and glommio, and measure them in the cells they serve.
    #[arg(long)]
    pub(super) with_peers: bool,
    /// Only the cells whose id begins so, such as `echo/64x` or `runtime`.
    #[arg(long, value_name = "PREFIX", value_delimiter = ',')]
    cells: Vec<String>,
    /// How long a quick study may take, and a quarter of it more for what was spoiled; its parts grow
    /// and shrink with it.
    #[arg(long, value_name = "SECONDS", default_value_t = 90, conflicts_with = "full",
          value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
}

/// The command line, understood.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) session: Session,
    pub(super) plans: Vec<CellPlan>,
    /// In a quick study, how long it may take.
    pub(super) time: Option<Duration>,
    pub(super) handicaps: Vec<Handicap>,
}

pub(super) fn understand(arguments: &Arguments) -> Result<Request, Failure> {
    let mode = if arguments.full { Mode::Full } else { Mode::Quick };
    let plans = chosen(matrix::cells(mode), &arguments.cells)?;
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    let session = Session {
        version: VERSION,
        mode,
        seed: arguments.seed,
        command: command(arguments),
        started_at_unix_s: since_1970.map_or(0, |time| time.as_secs()),
        handicaps_ns: in_nanoseconds(&arguments.handicap),
        with_peers: arguments.with_peers,
        cells: plans.iter().map(CellPlan::id).collect(),
        fingerprint: fingerprint::take(),
    };
    let time = (mode == Mode::Quick).then(|| Duration::from_secs(arguments.seconds));
    Ok(Request { session, plans, time, handicaps: arguments.handicap.clone() })
}

fn chosen(plans: Vec<CellPlan>, prefixes: &[String]) -> Result<Vec<CellPlan>, Failure> {
    if prefixes.is_empty() {
        return Ok(plans);
    }
    let ids: Vec<String> = plans.iter().map(CellPlan::id).collect();
    if let Some(prefix) =
        prefixes.iter().find(|prefix| !ids.iter().any(|id| id.starts_with(*prefix)))
    {
        let ids = ids.join(" ");
        return Err(Failure::Usage(format!(
            "no cell's id begins with `{prefix}`; there are {ids}"
        )));
    }
    let is_chosen = |plan: &CellPlan| prefixes.iter().any(|prefix| plan.id().starts_with(prefix));
    Ok(plans.into_iter().filter(is_chosen).collect())
}

/// What repeats the study from a clone.
fn command(arguments: &Arguments) -> String {
    let mode = if arguments.full { "--full".to_owned() } else { "--quick".to_owned() };
    let mut words = vec![format!("cargo run --release -p corering-bench -- study {mode}")];
    words.push(format!("--seed {}", arguments.seed));
    for (server, time_ns) in in_nanoseconds(&arguments.handicap) {
        words.push(format!("--handicap {server}={time_ns}ns"));
    }
    if arguments.with_peers {
        words.push("--with-peers".to_owned());
    }
    if !arguments.cells.is_empty() {
        words.push(format!("--cells {}", arguments.cells.join(",")));
    }
    if !arguments.full && arguments.seconds != 90 {
        words.push(format!("--seconds {}", arguments.seconds));
    }
    words.push("--out DIR".to_owned());
    words.join(" ")
}

/// In nanoseconds, by the names of the servers.
fn in_nanoseconds(handicaps: &[Handicap]) -> BTreeMap<String, u64> {
    let named = handicaps.iter().map(|handicap| {
        let time_ns = u64::try_from(handicap.time.as_nanos()).unwrap_or(u64::MAX);
        (handicap.server.to_string(), time_ns)
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use super::super::matrix;
    use super::super::schema::Mode;
    use super::chosen;

    #[test]
    fn cells_are_chosen_by_the_beginning_of_their_ids() {
        let of = |prefixes: &[&str]| {
            let prefixes: Vec<_> = prefixes.iter().map(|prefix| (*prefix).to_owned()).collect();
            chosen(matrix::cells(Mode::Full), &prefixes)
        };
        assert_eq!(of(&["echo/64x16/"]).expect("there are some").len(), 4);
        assert_eq!(of(&["runtime/yield", "rate"]).expect("there are some").len(), 2);
        let message = of(&["echo", "nothing"]).expect_err("no cell is called so").to_string();
        assert!(message.contains("`nothing`"), "{message}");
    }
}
