//! What io_uring wins, what it loses, and where there is no difference.

use super::charts::{DRAWN_MAX, Panel, factor};
use super::content::paragraph;
use super::document::{Block, Figure, Table};
use crate::stats::median;
use crate::study::analysis::{Floors, RIVAL, SUBJECT, point_of};
use crate::study::ratio::{self, METRICS};
use crate::study::schema::{Cell, Finding, Metric, Study};
use crate::study::words;

const NOTHING: &str = "Nothing that is larger than the noise.";

/// Where io_uring is better.
pub(crate) fn wins(study: &Study) -> Vec<Block> {
    told(study, &study.wins, ("io_uring", "epoll"))
}

/// Where epoll is better.
pub(crate) fn losses(study: &Study) -> Vec<Block> {
    told(study, &study.losses, ("epoll", "io_uring"))
}

/// Where neither is.
pub(crate) fn ties(study: &Study) -> Vec<Block> {
    if study.ties.is_empty() {
        return paragraph("None.");
    }
    let text = "The interval of the ratio holds 1, or the difference is no larger than that of two \
                processes of the same server.";
    let table = table_of_findings(study, &study.ties, "Where neither is better");
    vec![Block::Paragraph(text.to_owned()), Block::Table(table)]
}

fn told(study: &Study, findings: &[Finding], (winner, loser): (&str, &str)) -> Vec<Block> {
    if findings.is_empty() {
        return paragraph(NOTHING);
    }
    let floors = Floors::of(&study.noise);
    let panels: Vec<Panel<'_>> = METRICS
        .into_iter()
        .map(|metric| Panel {
            metric,
            findings: of_metric(findings, metric).collect(),
            winner,
            loser,
            factor_max: factor_max(study, metric),
        })
        .filter(|panel| !panel.findings.is_empty())
        .collect();
    let is_cut = panels.iter().any(|panel| panel.findings.len() > DRAWN_MAX);
    let drawn = if is_cut {
        format!(" Drawn are the {DRAWN_MAX} clearest of each kind; the table has all of them.")
    } else {
        String::new()
    };
    let caption = format!(
        "How many times better {winner} is than {loser}. The mark is the median of the paired \
         ratios, the line its 95% interval; within the grey band, two processes of the same server \
         differ as much. Each kind has the same axis among the wins and among the losses.{drawn}"
    );
    let title = format!("Where {winner} is better than {loser}");
    vec![Block::Figure(Figure {
        caption,
        legend: Vec::new(),
        charts: panels.iter().map(|panel| panel.draw(&floors)).collect(),
        table: table_of_findings(study, findings, &title),
    })]
}

fn of_metric(findings: &[Finding], metric: Metric) -> impl Iterator<Item = &Finding> {
    findings.iter().filter(move |finding| finding.comparison.metric == metric)
}

/// The end of the axis: what lies the furthest from 1 among wins and losses.
fn factor_max(study: &Study, metric: Metric) -> f64 {
    let findings = of_metric(&study.wins, metric).chain(of_metric(&study.losses, metric));
    let ends = findings.flat_map(|finding| {
        let ratio = finding.comparison.ratio;
        [factor(ratio.low), factor(ratio.high)]
    });
    ends.fold(1.0, f64::max)
}

fn table_of_findings(study: &Study, findings: &[Finding], caption: &str) -> Table {
    let floors = Floors::of(&study.noise);
    let titles = ["cell", "metric", "#io_uring", "#epoll", "#ratio", "#95% interval", "#noise"];
    let mut table = Table::new(caption, &titles);
    for finding in findings {
        let (metric, ratio) = (finding.comparison.metric, finding.comparison.ratio);
        let cell = study.cells.iter().find(|cell| cell.id == finding.cell);
        let of = |server| match cell {
            Some(cell) => match point_of(cell, &finding.title, server) {
                Some(point) => words::value(metric, point.latency_ns.p99 as f64),
                None => typical(cell, server, metric),
            },
            None => String::new(),
        };
        table.rows.push(vec![
            finding.title.clone(),
            words::name(metric).to_owned(),
            of(SUBJECT),
            of(RIVAL),
            format!("{:.3}", ratio.median),
            words::ends(&ratio),
            floors.at(&finding.cell, metric).to_string(),
        ]);
    }
    table
}

/// The median of what `server` measured, with its unit, or nothing.
pub(crate) fn typical(cell: &Cell, server: &str, metric: Metric) -> String {
    let values = ratio::values(&cell.runs, server, metric);
    if values.is_empty() { String::new() } else { words::value(metric, median(&values)) }
}
