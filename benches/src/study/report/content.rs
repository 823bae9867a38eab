//! What a report says, in the order in which a person reads it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::document::{Block, Document, Section, Table};
use super::{cost, results};
use crate::study::analysis::FLOOR_MIN;
use crate::study::ratio::METRICS;
use crate::study::schema::{Excluded, Mode, Study};
use crate::study::words::{self, number_of};

/// The whole report of `study`.
pub(crate) fn document(study: &Study) -> Document {
    Document {
        title: "io_uring and epoll on this machine".to_owned(),
        subtitle: subtitle(study),
        sections: vec![
            section("verdict", "The verdict", vec![Block::Lead(study.verdict.clone())]),
            section("wins", "What io_uring wins", results::wins(study)),
            section("losses", "What io_uring loses", results::losses(study)),
            section("ties", "Ties", results::ties(study)),
            section("cost", "Cost beside speed", cost::cost(study)),
            section("latency", "Latency at fixed rates", cost::latency(study)),
            section("method", "How it was measured, and what was thrown out", method(study)),
            section("machine", "The machine", machine(study)),
            section("repeat", "To repeat it", repeat(study)),
        ],
    }
}

fn section(id: &'static str, title: &str, blocks: Vec<Block>) -> Section {
    Section { id, title: title.to_owned(), blocks }
}

fn subtitle(study: &Study) -> String {
    // Up to the year 9999, which is all that the format can say.
    let seconds = study.started_at_unix_s.min(253_402_300_799);
    let started = UNIX_EPOCH + Duration::from_secs(seconds);
    let mode = match study.mode {
        Mode::Quick => "Quick study",
        Mode::Full => "Full study",
    };
    let partial = if study.is_partial { ", interrupted" } else { "" };
    let commit = study.fingerprint.0.get("commit");
    let commit = commit.map(|commit| format!(", commit {commit}")).unwrap_or_default();
    format!(
        "{mode}{partial} of {}, {} long, {}{commit}",
        date(started),
        elapsed(study),
        number_of(study.cells.len(), "cell"),
    )
}

/// To the minute, in UTC: `2026-01-31 12:30 UTC`.
fn date(time: SystemTime) -> String {
    let text = humantime::format_rfc3339_seconds(time).to_string();
    text.get(..16).map_or(text.clone(), |minutes| minutes.replace('T', " ") + " UTC")
}

fn elapsed(study: &Study) -> String {
    let seconds = study.elapsed_s.clamp(0.0, 1e9).round();
    humantime::format_duration(Duration::from_secs_f64(seconds)).to_string()
}

fn method(study: &Study) -> Vec<Block> {
    let floor = words::percent(FLOOR_MIN);
    let mut blocks = vec![Block::List(vec![
        "Each server is a process of its own, and all of a cell are alive at once; one client \
             gives short slices of time to one server at a time, and checks every byte."
            .to_owned(),
        "A figure is the median of the ratios of slices that belong together; its interval \
             holds 95 of 100 bootstrap resamples."
            .to_owned(),
        format!(
            "A difference counts if its interval does not hold 1 and it is larger than the \
                 noise: how far the interval of two processes of the same server reaches from 1, \
                 at least {floor}."
        ),
        "Runs in which the client was saturated or late, the machine was taken away, bytes \
             were lost or completions overflowed are thrown out, and stand below."
            .to_owned(),
    ])];
    if !study.handicaps_ns.is_empty() {
        let slowed = study.handicaps_ns.iter().map(|(server, nanoseconds)| {
            format!("{server} by {}", words::duration(*nanoseconds as f64))
        });
        let slowed = words::list(&slowed.collect::<Vec<_>>());
        blocks.push(Block::Paragraph(format!("Slowed down on purpose: {slowed} per request.")));
    }
    blocks.extend(noise(study));
    blocks.push(Block::Heading("Thrown out".to_owned()));
    blocks.push(excluded(&study.invalid, "Measured, and counted for nothing", "Nothing."));
    blocks.push(Block::Heading("Not run".to_owned()));
    blocks.push(excluded(&study.not_run, "Not measured", "Every cell was run."));
    blocks
}

/// A section of one paragraph.
pub(crate) fn paragraph(text: &str) -> Vec<Block> {
    vec![Block::Paragraph(text.to_owned())]
}

fn noise(study: &Study) -> Vec<Block> {
    let mut table = Table::new(
        "Two processes of the same server",
        &["cell", "metric", "#ratio", "#95% interval"],
    );
    for metric in METRICS {
        for noise in study.noise.iter().filter(|noise| noise.metric == metric) {
            table.rows.push(vec![
                noise.cell.clone(),
                words::name(metric).to_owned(),
                format!("{:.3}", noise.ratio.median),
                words::ends(&noise.ratio),
            ]);
        }
    }
    let heading = Block::Heading("Noise".to_owned());
    if table.rows.is_empty() {
        let text = "No server ran twice side by side, so the noise is not known.";
        return vec![heading, Block::Paragraph(text.to_owned())];
    }
    vec![heading, Block::Table(table)]
}

fn excluded(all: &[Excluded], caption: &str, none: &str) -> Block {
    if all.is_empty() {
        return Block::Paragraph(none.to_owned());
    }
    let mut table = Table::new(caption, &["cell", "server", "why"]);
    for one in all {
        let server = one.server.clone().unwrap_or_else(|| "all".to_owned());
        table.rows.push(vec![one.cell.clone(), server, one.reason.clone()]);
    }
    Block::Table(table)
}

fn machine(study: &Study) -> Vec<Block> {
    let mut table = Table::new("", &["fact", "value"]);
    for (name, value) in &study.fingerprint.0 {
        table.rows.push(vec![name.replace('_', " "), value.clone()]);
    }
    if table.rows.is_empty() {
        return paragraph("Nothing is known of it.");
    }
    vec![Block::Table(table)]
}

fn repeat(study: &Study) -> Vec<Block> {
    vec![Block::Command(study.command.clone())]
}
