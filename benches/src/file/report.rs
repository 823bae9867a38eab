//! What a measurement found: a table for people, and JSON.

#![forbid(unsafe_code)]

use std::fmt::Write as _;

use serde::Serialize;

use super::plan::Plan;
use crate::stats::{Estimate, median};
use crate::study::schema::{Run, Slice};

/// A measurement, as `--json` writes it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What was measured.
    pub plan: Plan,
    /// Interrupted before its end.
    pub is_partial: bool,
    /// One per candidate, in the order of the plan.
    pub rows: Vec<Row>,
    /// What the rows are made of.
    pub runs: Vec<Run>,
}

/// One candidate: medians over its slices.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// As in [`Run::server`].
    pub server: String,
    /// `valid`, or `invalid: ` and the reason.
    pub verdict: String,
    /// Blocks per second.
    pub operations_per_second: Option<f64>,
    /// Bytes per second.
    pub bytes_per_second: Option<f64>,
    /// CPU time of the process, its pool and the kernel's workers for it included.
    pub cpu_ns_per_operation: Option<f64>,
    /// Of the whole run, where they could be counted.
    pub system_calls_per_operation: Option<f64>,
    /// From the moment a block could be asked for until it was there.
    pub latency_ns: Option<crate::study::schema::Quantiles>,
    /// Of the throughput to that of each candidate compared with, slice by slice.
    pub throughput_ratios: Vec<Ratio>,
    /// Of the CPU time per block likewise.
    pub cpu_ratios: Vec<Ratio>,
}

/// A ratio of two candidates.
#[derive(Clone, Debug, Serialize)]
pub struct Ratio {
    /// The one below the line.
    pub against: String,
    /// The median of the ratios of slices measured in the same round.
    pub ratio: Estimate,
}

impl Report {
    /// Of `runs`, each compared with those of the names in `against`.
    pub fn new(plan: &Plan, runs: Vec<Run>, against: &[&str], is_partial: bool) -> Self {
        let references: Vec<&Run> = against
            .iter()
            .filter_map(|name| runs.iter().find(|run| run.server == *name))
            .filter(|run| run.invalid.is_none() && !run.slices.is_empty())
            .collect();
        let rows = runs.iter().map(|run| row(plan, run, &references)).collect();
        Report { plan: plan.clone(), is_partial, rows, runs }
    }

    /// Whether every candidate was measured, and rightly.
    pub fn is_valid(&self) -> bool {
        !self.rows.is_empty() && self.rows.iter().all(|row| row.verdict == VALID)
    }

    /// The report as a table for a terminal.
    pub fn table(&self) -> String {
        let mut table = format!(
            "{:<14}{:>11}{:>10}{:>11}{:>10}{:>10}{:>10}{:>10}",
            "driver", "op/s", "MiB/s", "CPU ns/op", "calls/op", "p50 µs", "p99 µs", "p99.9 µs"
        );
        let first = self.rows.iter().find(|row| row.verdict == VALID);
        for ratio in first.iter().flat_map(|row| &row.throughput_ratios) {
            let title = (format!("op/s / {}", ratio.against), format!("CPU / {}", ratio.against));
            write!(table, "  {:<24}{:<24}", title.0, title.1).expect("a string takes everything");
        }
        table.push('\n');
        for row in &self.rows {
            write_row(&mut table, row);
            table.push('\n');
        }
        if self.is_partial {
            table.push_str("partial: interrupted before its end\n");
        }
        table
    }
}

const VALID: &str = "valid";

fn row(plan: &Plan, run: &Run, references: &[&Run]) -> Row {
    let has_slices = run.invalid.is_none() && !run.slices.is_empty();
    let slices = if has_slices { &run.slices[..] } else { &[] };
    let verdict = match &run.invalid {
        Some(reason) => format!("invalid: {reason}"),
        None if slices.is_empty() => "invalid: interrupted before the first slice".to_owned(),
        None => VALID.to_owned(),
    };
    let middle = |value: fn(&Slice) -> f64| {
        has_slices.then(|| median(&slices.iter().map(value).collect::<Vec<_>>()))
    };
    let ratios = |value: fn(&Slice) -> f64| {
        let with = |reference: &&Run| {
            let pairs = slices.iter().zip(&reference.slices);
            let ratios: Vec<_> = pairs.map(|(own, other)| value(own) / value(other)).collect();
            let ratio = Estimate::of(&ratios);
            Ratio { against: reference.server.clone(), ratio }
        };
        if has_slices { references.iter().map(with).collect() } else { Vec::new() }
    };
    let whole = &run.whole;
    Row {
        server: run.server.clone(),
        verdict,
        operations_per_second: middle(per_second),
        bytes_per_second: middle(per_second).map(|rate| rate * plan.block_bytes as f64),
        cpu_ns_per_operation: middle(cpu_ns),
        system_calls_per_operation: whole
            .system_calls
            .filter(|_| whole.count > 0)
            .map(|calls| calls as f64 / whole.count as f64),
        latency_ns: has_slices.then(|| quantiles(slices)).flatten(),
        throughput_ratios: ratios(per_second),
        cpu_ratios: ratios(cpu_ns),
    }
}

fn per_second(slice: &Slice) -> f64 {
    slice.count as f64 * 1e9 / slice.elapsed_ns as f64
}

fn cpu_ns(slice: &Slice) -> f64 {
    slice.server_cpu_ns as f64 / slice.count as f64
}

/// The medians of each quantile.
fn quantiles(slices: &[Slice]) -> Option<crate::study::schema::Quantiles> {
    let all: Vec<_> = slices.iter().map(|slice| slice.latency_ns).collect::<Option<_>>()?;
    let middle = |value: fn(&crate::study::schema::Quantiles) -> u64| {
        median(&all.iter().map(|latency| value(latency) as f64).collect::<Vec<_>>()) as u64
    };
    Some(crate::study::schema::Quantiles {
        p50: middle(|latency| latency.p50),
        p90: middle(|latency| latency.p90),
        p99: middle(|latency| latency.p99),
        p999: middle(|latency| latency.p999),
        max: all.iter().map(|latency| latency.max).max().unwrap_or(0),
    })
}

fn write_row(table: &mut String, row: &Row) {
    let expect = "a string takes everything";
    write!(table, "{:<14}", row.server).expect(expect);
    if row.verdict != VALID {
        write!(table, "{}", row.verdict).expect(expect);
        return;
    }
    let number = |value: Option<f64>, digits: usize| {
        value.map_or("-".to_owned(), |value| format!("{value:.digits$}"))
    };
    let mebibytes = row.bytes_per_second.map(|rate| rate / (1 << 20) as f64);
    write!(
        table,
        "{:>11}{:>10}{:>11}{:>10}",
        number(row.operations_per_second, 0),
        number(mebibytes, 1),
        number(row.cpu_ns_per_operation, 0),
        number(row.system_calls_per_operation, 3),
    )
    .expect(expect);
    for value in row.latency_ns.iter().flat_map(|latency| [latency.p50, latency.p99, latency.p999])
    {
        write!(table, "{:>10.1}", value as f64 / 1e3).expect(expect);
    }
    for (throughput, cpu) in row.throughput_ratios.iter().zip(&row.cpu_ratios) {
        let text = (throughput.ratio.to_string(), cpu.ratio.to_string());
        write!(table, "  {:<24}{:<24}", text.0, text.1).expect(expect);
    }
}
