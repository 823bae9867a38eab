//! A comparison as tables for a terminal.

#![forbid(unsafe_code)]

use std::fmt::Write as _;

use super::compare::{compare, noise};
use super::rate::AtRate;
use crate::stats::{Estimate, Verdict, median};
use crate::study::ratio::{self, AGAIN};
use crate::study::schema::{Cell, Metric, Run};
use crate::study::words;

/// What is compared slice by slice, in the order in which it is told.
const COMPARED: [Metric; 3] = [Metric::CpuNsPerUnit, Metric::UnitsPerSecond, Metric::P99Ns];

/// Everything about one cell: each server by itself, the ratios, the noise floor, what is invalid.
pub(super) fn of_cell(cell: &Cell, against: &[String]) -> String {
    let mut text = of_servers(cell);
    for metric in COMPARED {
        text.push_str(&of_ratios(cell, metric, against));
    }
    for run in &cell.runs {
        if let Some(reason) = &run.invalid {
            line(&mut text, &format!("\ninvalid: {}: {reason}", run.server));
        }
    }
    text
}

/// Latency of each server at one rate.
pub(super) fn of_rate(points: &[AtRate]) -> String {
    let titles = ["server", "p50", "p90", "p99", "p99.9", "max", "server CPU", "client CPU"];
    let mut rows = vec![titles.map(str::to_owned).to_vec()];
    for point in points {
        let latency = point.quantiles();
        let mut row = vec![point.server.clone()];
        let quantiles = [latency.p50, latency.p90, latency.p99, latency.p999, latency.max];
        row.extend(quantiles.iter().map(|time| words::duration(*time as f64)));
        let share = |time: std::time::Duration| {
            time.as_secs_f64() / point.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
        };
        row.extend([point.server_cpu, point.client_cpu].map(|time| words::percent(share(time))));
        rows.push(row);
    }
    let mut text = aligned(&rows);
    for point in points {
        if let Some(reason) = &point.invalid {
            line(&mut text, &format!("\ninvalid: {}: {reason}", point.server));
        }
    }
    text
}

fn of_servers(cell: &Cell) -> String {
    let unit = &cell.unit;
    let titles = [
        "server".to_owned(),
        format!("CPU/{unit}"),
        "user".to_owned(),
        "system".to_owned(),
        format!("{unit}s/s"),
        "p50".to_owned(),
        "p99".to_owned(),
        format!("syscalls/{unit}"),
        "by tracepoint".to_owned(),
        format!("switches/{unit}"),
        "memory/connection".to_owned(),
    ];
    let mut rows = vec![titles.to_vec()];
    rows.extend(cell.runs.iter().filter(|run| !run.slices.is_empty()).map(of_server));
    aligned(&rows)
}

fn of_server(run: &Run) -> Vec<String> {
    let each = |value: fn(&crate::study::schema::Slice) -> Option<f64>| {
        let values: Vec<f64> = run.slices.iter().filter_map(value).collect();
        (!values.is_empty()).then(|| median(&values))
    };
    let per_unit = |sum: Option<u64>, count: u64| {
        sum.filter(|_| count > 0).map(|sum| sum as f64 / count as f64)
    };
    let whole = &run.whole;
    let own = |sum| per_unit(sum, whole.count);
    let counter = |name: &str| whole.counters.get(name).copied();
    let traced = per_unit(
        counter(super::measure::TRACED_CALLS),
        counter(super::measure::TRACED_UNITS).unwrap_or(0),
    );
    let or_nothing = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let cpu =
        each(|slice| (slice.count > 0).then(|| slice.server_cpu_ns as f64 / slice.count as f64));
    let speed = each(|slice| {
        (slice.elapsed_ns > 0).then(|| slice.count as f64 * 1e9 / slice.elapsed_ns as f64)
    });
    vec![
        run.server.clone(),
        or_nothing(cpu.map(words::duration)),
        or_nothing(own(whole.user_cpu_ns).map(words::duration)),
        or_nothing(own(whole.system_cpu_ns).map(words::duration)),
        or_nothing(speed.map(words::grouped)),
        or_nothing(each(|slice| Some(slice.latency_ns?.p50 as f64)).map(words::duration)),
        or_nothing(each(|slice| Some(slice.latency_ns?.p99 as f64)).map(words::duration)),
        or_nothing(own(counter("system_calls")).map(words::count)),
        or_nothing(traced.map(words::count)),
        or_nothing(own(whole.context_switches).map(words::count)),
        or_nothing(whole.resident_bytes_per_connection.map(|bytes| words::bytes(bytes as f64))),
    ]
}

/// One metric: a row for each server, a column for each that it is compared with, and the noise.
fn of_ratios(cell: &Cell, metric: Metric, against: &[String]) -> String {
    let comparisons = compare(&cell.runs, against);
    let floor = noise(&cell.id, &cell.runs).into_iter().find(|one| one.metric == metric);
    let mut rows = vec![vec![words::name(metric).to_owned()]];
    rows[0].extend(against.iter().map(|reference| format!("/ {reference}")));
    for server in ratio::servers(&cell.runs).into_iter().filter(|name| !name.ends_with(AGAIN)) {
        let mut row = vec![server.to_owned()];
        row.extend(against.iter().map(|reference| {
            let found = comparisons.iter().find(|one| {
                one.metric == metric && one.server == server && one.against == *reference
            });
            match found {
                Some(one) => judged(metric, &one.ratio),
                None if server == reference => "1".to_owned(),
                None => "-".to_owned(),
            }
        }));
        rows.push(row);
    }
    if let Some(floor) = floor {
        let again = cell.runs.iter().find_map(|run| run.server.strip_suffix(AGAIN));
        let first = again.unwrap_or_default();
        rows.push(vec![format!("A/A: {first}{AGAIN} / {first}"), judged(metric, &floor.ratio)]);
    }
    format!("\n{}", aligned(&rows))
}

fn judged(metric: Metric, ratio: &Estimate) -> String {
    let verdict = match ratio.verdict() {
        Verdict::Tie => "tie",
        _ if words::advantage(metric, ratio.median) > 1.0 => "better",
        _ => "worse",
    };
    format!("{} {verdict}", words::interval(ratio))
}

/// The first column to the left, the others to the right.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        line(&mut text, cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    text
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("a string takes everything");
}
