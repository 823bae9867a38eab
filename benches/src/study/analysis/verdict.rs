//! The verdict: three sentences, each made from the numbers.

use super::{Floors, validity};
use crate::stats::median;
use crate::study::ratio::METRICS;
use crate::study::schema::{Finding, Metric, Study};
use crate::study::words::{self, capitalised, number_of};

/// What io_uring wins, what it loses, and how sure that is.
pub(crate) fn sentences(study: &Study) -> Vec<String> {
    let total = study.wins.len() + study.losses.len() + study.ties.len();
    if total == 0 {
        return nothing_to_say(study);
    }
    vec![wins(study, total), losses(study, total), certainty(study, total)]
}

fn nothing_to_say(study: &Study) -> Vec<String> {
    let thrown_out = match most_frequent_reason(study) {
        Some(reason) => {
            format!("{}, first of all: {reason}.", was_thrown_out(study))
        }
        None => "Nothing was thrown out.".to_owned(),
    };
    vec![
        "Nothing can be said about io_uring and epoll: no cell has valid runs of both.".to_owned(),
        thrown_out,
        format!("{}.", capitalised(&remarks(study).join("; "))),
    ]
}

fn wins(study: &Study, total: usize) -> String {
    if study.wins.is_empty() {
        return format!("io_uring wins none of {} with epoll.", number_of(total, "comparison"));
    }
    format!(
        "io_uring wins {} of {} with epoll: {}.",
        study.wins.len(),
        number_of(total, "comparison"),
        differences(study, &study.wins)
    )
}

fn losses(study: &Study, total: usize) -> String {
    if study.losses.is_empty() {
        return format!("epoll wins none of {}.", number_of(total, "comparison"));
    }
    format!(
        "epoll wins {} of {}: with io_uring {}.",
        study.losses.len(),
        number_of(total, "comparison"),
        differences(study, &study.losses)
    )
}

/// What io_uring has more or less of than epoll: the middle of each metric, then the largest.
fn differences(study: &Study, findings: &[Finding]) -> String {
    let metrics: Vec<String> =
        METRICS.into_iter().filter_map(|metric| difference_in(study, findings, metric)).collect();
    let distance = |finding: &Finding| finding.comparison.ratio.median.ln().abs();
    let largest = findings.iter().max_by(|one, other| distance(one).total_cmp(&distance(other)));
    match largest {
        Some(largest) if findings.len() > 1 => {
            let told = difference(study, &[largest]);
            let metrics = words::list(&metrics);
            format!("in the median, {metrics}; the most is {told} for {}", title(largest))
        }
        Some(only) => format!("{} for {}", difference(study, &[only]), title(only)),
        None => String::new(),
    }
}

fn title(finding: &Finding) -> String {
    format!("\u{201c}{}\u{201d}", finding.title)
}

fn difference_in(study: &Study, findings: &[Finding], metric: Metric) -> Option<String> {
    let of_metric: Vec<&Finding> =
        findings.iter().filter(|finding| finding.comparison.metric == metric).collect();
    let cells = of_metric.len();
    match cells {
        0 => None,
        1 => Some(format!("{} (one cell)", difference(study, &of_metric))),
        _ => Some(format!("{} ({cells} cells)", difference(study, &of_metric))),
    }
}

/// The middle of `findings`, which are about one metric.
fn difference(study: &Study, findings: &[&Finding]) -> String {
    let units: Vec<&str> = findings.iter().filter_map(|finding| unit_of(study, finding)).collect();
    let unit = units.first().copied().filter(|first| units.iter().all(|unit| unit == first));
    let ratios: Vec<f64> = findings.iter().map(|finding| finding.comparison.ratio.median).collect();
    words::difference(findings[0].comparison.metric, median(&ratios), unit)
}

fn unit_of<'a>(study: &'a Study, finding: &Finding) -> Option<&'a str> {
    study.cells.iter().find(|cell| cell.id == finding.cell).map(|cell| cell.unit.as_str())
}

fn certainty(study: &Study, total: usize) -> String {
    let ties = match study.ties.len() {
        0 => "None is a tie".to_owned(),
        all if all == total => format!("All {total} are ties"),
        1 => "One is a tie".to_owned(),
        some => format!("{some} are ties"),
    };
    let floors = Floors::of(&study.noise);
    let floors: Vec<String> = METRICS
        .into_iter()
        .filter_map(|metric| {
            Some(format!("{} for {}", floors.typical(metric)?, words::name(metric)))
        })
        .collect();
    let noise = if floors.is_empty() {
        "no noise was measured".to_owned()
    } else {
        format!("the noise is {}", words::list(&floors))
    };
    let mut parts = vec![format!("{ties}: {noise}")];
    parts.extend(remarks(study));
    format!("{}.", parts.join("; "))
}

/// What a reader has to know before believing any of it.
fn remarks(study: &Study) -> Vec<String> {
    let mut remarks = Vec::new();
    if !study.invalid.is_empty() {
        remarks.push(was_thrown_out(study));
    }
    let invalid = validity::invalid_cells(study).count();
    if invalid > 0 {
        let cells = number_of(study.cells.len(), "cell");
        remarks.push(format!("{invalid} of {cells} have no valid measurement of both"));
    }
    let not_run = study.not_run.len();
    remarks.push(match not_run {
        0 => "no cell was skipped".to_owned(),
        1 => "one cell was not run".to_owned(),
        some => format!("{some} cells were not run"),
    });
    for (server, nanoseconds) in &study.handicaps_ns {
        let delay = words::duration(*nanoseconds as f64);
        remarks.push(format!("{server} was slowed down on purpose by {delay} per request"));
    }
    if study.is_partial {
        remarks.push("the study was interrupted before its end".to_owned());
    }
    remarks
}

fn was_thrown_out(study: &Study) -> String {
    match study.invalid.len() {
        1 => "one series of measurements was thrown out".to_owned(),
        some => format!("{some} series of measurements were thrown out"),
    }
}

fn most_frequent_reason(study: &Study) -> Option<&str> {
    let count = |reason: &str| study.invalid.iter().filter(|one| one.reason == reason).count();
    study.invalid.iter().map(|one| one.reason.as_str()).max_by_key(|reason| count(reason))
}
