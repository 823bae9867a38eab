//! What a study says: the noise, and where io_uring wins, loses or ties with epoll.
//!
//! Nothing here knows what it would like to find. A difference counts when its interval does not
//! hold 1 and when it is larger than what two processes of one and the same server differ by. Read
//! `floor.rs` for the second, and `verdict.rs` for the sentences.

mod at_rates;
mod floor;
pub mod validity;
mod verdict;

use super::ratio::{self, AGAIN};
use super::schema::{Cell, Comparison, Excluded, Finding, Metric, Noise, Run, Study, Workload};
use super::words;

pub use at_rates::{point_of, title_at};
pub use floor::{FLOOR_MIN, Floor, Floors};

/// The server that the study is about.
pub const SUBJECT: &str = "uring";

/// The server that it is compared with.
pub const RIVAL: &str = "epoll";

/// What the subject is compared with beside its rival, for the tables.
const REFERENCES: [&str; 4] = [RIVAL, "tokio", "raw-uring", "raw-epoll"];

/// Fills in everything that follows from the runs: comparisons where there are none yet, the noise,
/// what was thrown out, wins, losses, ties, and the verdict. Doing it again changes nothing.
pub fn conclude(study: &mut Study) {
    for cell in &mut study.cells {
        if cell.comparisons.is_empty() {
            cell.comparisons = compare_all(&cell.runs);
        }
    }
    study.noise = study.cells.iter().flat_map(noise_of).collect();
    study.noise.extend(study.cells.iter().flat_map(at_rates::noise));
    for excluded in study.cells.iter().flat_map(excluded_of).collect::<Vec<_>>() {
        if !study.invalid.contains(&excluded) {
            study.invalid.push(excluded);
        }
    }
    sort_findings(study);
    study.verdict = verdict::sentences(study);
}

/// Every server with the rival, and the subject with the other references.
fn compare_all(runs: &[Run]) -> Vec<Comparison> {
    let servers = ratio::servers(runs);
    let mut comparisons = Vec::new();
    for reference in REFERENCES.into_iter().filter(|name| servers.contains(name)) {
        let others = servers.iter().filter(|name| **name != reference && !name.ends_with(AGAIN));
        for server in others.filter(|name| reference == RIVAL || **name == SUBJECT) {
            comparisons.extend(ratio::compare_two(runs, server, reference));
        }
    }
    comparisons
}

fn noise_of(cell: &Cell) -> Vec<Noise> {
    let servers = ratio::servers(&cell.runs);
    let pairs = servers.iter().filter_map(|again| Some((*again, again.strip_suffix(AGAIN)?)));
    pairs
        .flat_map(|(again, first)| ratio::compare_two(&cell.runs, again, first))
        .map(|comparison| Noise {
            cell: cell.id.clone(),
            metric: comparison.metric,
            ratio: comparison.ratio,
        })
        .collect()
}

/// The invalid runs and points of a cell, those of one server and for one kind of reason together.
fn excluded_of(cell: &Cell) -> Vec<Excluded> {
    let runs = cell.runs.iter().map(|run| (run.server.as_str(), run.invalid.as_deref(), "run"));
    let points =
        cell.curve.iter().map(|point| (point.server.as_str(), point.invalid.as_deref(), "rate"));
    let all: Vec<_> = runs.chain(points).collect();
    let mut seen = Vec::new();
    let mut excluded = Vec::new();
    for (server, invalid, what) in &all {
        let Some(reason) = invalid else { continue };
        let group = (*server, kind(reason), *what);
        if seen.contains(&group) {
            continue;
        }
        seen.push(group);
        let of_server = || all.iter().filter(|one| one.0 == *server && one.2 == *what);
        let total = of_server().count();
        let same: Vec<&str> =
            of_server().filter_map(|one| one.1).filter(|one| kind(one) == kind(reason)).collect();
        let share = format!("{} of {}", same.len(), words::number_of(total, what));
        let first = if same.iter().all(|one| one == reason) { "" } else { ", the first" };
        excluded.push(Excluded {
            cell: cell.id.clone(),
            server: Some((*server).to_owned()),
            reason: if total == 1 {
                (*reason).to_owned()
            } else {
                format!("{share}{first}: {reason}")
            },
        });
    }
    excluded
}

/// What stands before the figures of a reason: `client saturated: 453 of 970 started late`.
fn kind(reason: &str) -> &str {
    reason.split(": ").next().unwrap_or(reason)
}

fn sort_findings(study: &mut Study) {
    let floors = Floors::of(&study.noise);
    let (mut wins, mut losses, mut ties) = (Vec::new(), Vec::new(), Vec::new());
    for cell in &study.cells {
        let asked = cell.comparisons.iter().filter(|one| is_asked(cell, one));
        let asked = asked.map(|comparison| (cell.title.clone(), comparison.clone()));
        for (title, comparison) in asked.chain(at_rates::comparisons(cell)) {
            let floor = floors.at(&cell.id, comparison.metric);
            let is_told_apart = floor.is_exceeded_by(&comparison.ratio);
            let sentence = sentence(&title, &cell.unit, &comparison, is_told_apart, floor);
            let finding = Finding { cell: cell.id.clone(), title, comparison, sentence };
            if !is_told_apart {
                ties.push(finding);
            } else if is_win(&finding) {
                wins.push(finding);
            } else {
                losses.push(finding);
            }
        }
    }
    for findings in [&mut wins, &mut losses] {
        findings.sort_by(|one, other| clearness(other).total_cmp(&clearness(one)));
    }
    (study.wins, study.losses, study.ties) = (wins, losses, ties);
}

/// Whether a comparison is of the subject with its rival and means something in this cell: where
/// the rate is given, throughput is no achievement.
fn is_asked(cell: &Cell, comparison: &Comparison) -> bool {
    let is_at_rate =
        cell.workload == Workload::Rate || cell.parameters.contains_key("rate_per_second");
    comparison.server == SUBJECT
        && comparison.against == RIVAL
        && !(is_at_rate && comparison.metric == Metric::UnitsPerSecond)
}

/// How far the nearer end of the interval is from 1.
fn clearness(finding: &Finding) -> f64 {
    let ratio = finding.comparison.ratio;
    ratio.low.ln().abs().min(ratio.high.ln().abs())
}

/// Whether a difference is to the subject's credit.
fn is_win(finding: &Finding) -> bool {
    let Comparison { metric, ratio, .. } = &finding.comparison;
    words::advantage(*metric, ratio.median) > 1.0
}

fn sentence(
    title: &str,
    unit: &str,
    comparison: &Comparison,
    is_told_apart: bool,
    floor: Floor,
) -> String {
    let Comparison { metric, ratio, .. } = comparison;
    let figures = format!("ratio {}, noise {floor}", words::interval(ratio));
    if is_told_apart {
        let difference = words::difference(*metric, ratio.median, Some(unit));
        format!("{title}: against epoll, {difference} ({figures}).")
    } else {
        format!("{title}: no difference in {} ({figures}).", words::name(*metric))
    }
}
