//! What a report says, in the order in which a person reads it.

use std::time::{Duration, UNIX_EPOCH};

use super::document::{Block, Document, Figure, Section, Table};
use crate::stats::median;
use crate::study::analysis::{FLOOR_MIN, Floors, RIVAL, SUBJECT};
use crate::study::ratio::{self, METRICS};
use crate::study::schema::{Cell, Excluded, Finding, Metric, Mode, Run, Study};
use crate::study::words::{self, number_of};

/// The whole report of `study`.
pub(crate) fn document(study: &Study) -> Document {
    Document {
        title: "io_uring and epoll on this machine".to_owned(),
        subtitle: subtitle(study),
        sections: vec![
            section("verdict", "The verdict", vec![Block::Lead(study.verdict.clone())]),
            section("wins", "What io_uring wins", wins(study)),
            section("losses", "What io_uring loses", losses(study)),
            section("ties", "Ties", ties(study)),
            section("cost", "Cost beside speed", cost(study)),
            section("latency", "Latency at fixed rates", latency(study)),
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
    let started = UNIX_EPOCH + Duration::from_secs(study.started_at_unix_s);
    let mode = match study.mode {
        Mode::Quick => "Quick study",
        Mode::Full => "Full study",
    };
    let partial = if study.is_partial { ", interrupted" } else { "" };
    let commit = study.fingerprint.0.get("commit");
    let commit = commit.map(|commit| format!(", commit {commit}")).unwrap_or_default();
    format!(
        "{mode}{partial} of {}, {} long, {}{commit}",
        humantime::format_rfc3339_seconds(started),
        elapsed(study),
        number_of(study.cells.len(), "cell"),
    )
}

fn elapsed(study: &Study) -> String {
    let seconds = study.elapsed_s.clamp(0.0, 1e9).round();
    humantime::format_duration(Duration::from_secs_f64(seconds)).to_string()
}

fn wins(study: &Study) -> Vec<Block> {
    if study.wins.is_empty() {
        return paragraph("Nothing that is larger than the noise.");
    }
    vec![figure_of_findings(study, &study.wins, "Where io_uring is better than epoll")]
}

fn losses(study: &Study) -> Vec<Block> {
    if study.losses.is_empty() {
        return paragraph("Nothing that is larger than the noise.");
    }
    vec![figure_of_findings(study, &study.losses, "Where epoll is better than io_uring")]
}

fn ties(study: &Study) -> Vec<Block> {
    if study.ties.is_empty() {
        return paragraph("None.");
    }
    let text = "The interval of the ratio holds 1, or the difference is no larger than that of two \
                processes of the same server.";
    let table = table_of_findings(study, &study.ties, "Where neither is better");
    vec![Block::Paragraph(text.to_owned()), Block::Table(table)]
}

fn paragraph(text: &str) -> Vec<Block> {
    vec![Block::Paragraph(text.to_owned())]
}

fn figure_of_findings(study: &Study, findings: &[Finding], caption: &str) -> Block {
    let table = table_of_findings(study, findings, caption);
    Block::Figure(Figure { caption: caption.to_owned(), table, ..Figure::default() })
}

fn table_of_findings(study: &Study, findings: &[Finding], caption: &str) -> Table {
    let floors = Floors::of(&study.noise);
    let titles = ["cell", "metric", "#io_uring", "#epoll", "#ratio", "#95% interval", "#noise"];
    let mut table = Table::new(caption, &titles);
    for finding in findings {
        let (metric, ratio) = (finding.comparison.metric, finding.comparison.ratio);
        let cell = study.cells.iter().find(|cell| cell.id == finding.cell);
        let of = |server| cell.map_or_else(String::new, |cell| typical(cell, server, metric));
        table.rows.push(vec![
            finding.title.clone(),
            words::name(metric).to_owned(),
            of(SUBJECT),
            of(RIVAL),
            format!("{:.3}", ratio.median),
            format!("{:.3} to {:.3}", ratio.low, ratio.high),
            floors.at(&finding.cell, metric).to_string(),
        ]);
    }
    table
}

/// The median of what `server` measured, with its unit, or nothing.
fn typical(cell: &Cell, server: &str, metric: Metric) -> String {
    let values = ratio::values(&cell.runs, server, metric);
    if values.is_empty() { String::new() } else { words::value(metric, median(&values)) }
}

fn cost(study: &Study) -> Vec<Block> {
    let mut blocks = paragraph(
        "Medians of all valid slices. CPU time is the server's, its kernel threads included.",
    );
    for cell in study.cells.iter().filter(|cell| cell.runs.iter().any(|run| run.invalid.is_none()))
    {
        blocks.push(Block::Table(table_of_servers(cell)));
    }
    if blocks.len() == 1 {
        return paragraph("No run is valid.");
    }
    blocks
}

fn table_of_servers(cell: &Cell) -> Table {
    let per = format!("#CPU per {}", cell.unit);
    let speed = format!("#{}s per second", cell.unit);
    let calls = format!("#system calls per {}", cell.unit);
    let switches = format!("#context switches per {}", cell.unit);
    let titles =
        ["server", &speed, &per, "#user", "#system", &calls, &switches, "#memory per connection"];
    let mut table = Table::new(cell.title.clone(), &titles);
    for server in ratio::servers(&cell.runs) {
        if !cell.runs.iter().any(|run| run.server == server && run.invalid.is_none()) {
            continue;
        }
        let of = |metric| typical(cell, server, metric);
        let share = |read: fn(&Run) -> Option<u64>| whole(cell, server, read);
        table.rows.push(vec![
            server.to_owned(),
            of(Metric::UnitsPerSecond),
            of(Metric::CpuNsPerUnit),
            share(|run| run.whole.user_cpu_ns).map(words::duration).unwrap_or_default(),
            share(|run| run.whole.system_cpu_ns).map(words::duration).unwrap_or_default(),
            of(Metric::SystemCallsPerUnit),
            share(|run| run.whole.context_switches).map(words::count).unwrap_or_default(),
            of(Metric::ResidentBytesPerConnection),
        ]);
    }
    table
}

/// The median over the valid runs of something that is counted over the whole run, per unit.
fn whole(cell: &Cell, server: &str, read: fn(&Run) -> Option<u64>) -> Option<f64> {
    let valid = cell.runs.iter().filter(|run| run.server == server && run.invalid.is_none());
    let per_unit =
        |run: &Run| (run.whole.count > 0).then_some(read(run)? as f64 / run.whole.count as f64);
    let values: Vec<f64> = valid.filter_map(per_unit).collect();
    (!values.is_empty()).then(|| median(&values))
}

fn latency(study: &Study) -> Vec<Block> {
    let mut blocks = paragraph(
        "Requests start at a fixed rate, whether or not the earlier ones were answered, and \
         latency counts from the intended start.",
    );
    for cell in study.cells.iter().filter(|cell| cell.curve.iter().any(|p| p.invalid.is_none())) {
        let titles = ["server", "#rate", "#of capacity", "#p50", "#p90", "#p99", "#p99.9", "#max"];
        let mut table = Table::new(cell.title.clone(), &titles);
        for point in cell.curve.iter().filter(|point| point.invalid.is_none()) {
            let latency = point.latency_ns;
            let mut row = vec![
                point.server.clone(),
                format!("{}/s", words::grouped(point.rate_per_second)),
                format!("{:.0}%", point.share_of_capacity * 100.0),
            ];
            let quantiles = [latency.p50, latency.p90, latency.p99, latency.p999, latency.max];
            row.extend(quantiles.map(|quantile| words::duration(quantile as f64)));
            table.rows.push(row);
        }
        let caption = cell.title.clone();
        blocks.push(Block::Figure(Figure { caption, table, ..Figure::default() }));
    }
    if blocks.len() == 1 {
        return paragraph("No latency at a fixed rate was measured.");
    }
    blocks
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
                format!("{:.3} to {:.3}", noise.ratio.low, noise.ratio.high),
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
