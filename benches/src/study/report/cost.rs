//! What speed costs, and latency at rates that were not chosen by the server.

use super::charts::{bars, curves};
use super::content::paragraph;
use super::document::{Block, Figure, Table};
use super::results::typical;
use crate::stats::median;
use crate::study::ratio::{self, METRICS};
use crate::study::schema::{Cell, Metric, Run, Study, Workload};
use crate::study::words::{self, capitalised};

/// More cells than this are a list, not a picture.
const DRAWN_MAX: usize = 6;

/// CPU time, system calls and memory beside speed, workload by workload.
pub(crate) fn cost(study: &Study) -> Vec<Block> {
    let mut blocks = paragraph(
        "Medians of all valid slices, of all servers; each bar is a share of the longest in its \
         cell. CPU time is that of the server's process, its threads within the kernel included. \
         Less is better, except of work per second.",
    );
    let of_workload = |workload| {
        study.cells.iter().filter(move |cell| cell.workload == workload && has_valid_run(cell))
    };
    let mut workloads: Vec<Workload> = study.cells.iter().map(|cell| cell.workload).collect();
    workloads.dedup();
    for workload in workloads {
        let cells: Vec<&Cell> = of_workload(workload).collect();
        if !cells.is_empty() {
            blocks.push(Block::Heading(name(workload).to_owned()));
            blocks.push(figure_of_cost(&cells));
        }
    }
    if blocks.len() == 1 {
        return paragraph("No run is valid.");
    }
    blocks
}

/// Each kind of cost as a chart, and one table of everything that is known.
fn figure_of_cost(cells: &[&Cell]) -> Block {
    // Evenly from all of them, so that both ends of each axis are drawn.
    let stride = cells.len().div_ceil(DRAWN_MAX);
    let drawn: Vec<&Cell> = cells.iter().step_by(stride).copied().collect();
    let unit = &cells[0].unit;
    let charts =
        METRICS.into_iter().filter(|metric| *metric != Metric::P99Ns).filter_map(|metric| {
            let title = match metric {
                Metric::CpuNsPerUnit => format!("CPU time per {unit}"),
                Metric::UnitsPerSecond => format!("{unit}s per second"),
                Metric::SystemCallsPerUnit => format!("system calls per {unit}"),
                _ => "memory per connection".to_owned(),
            };
            bars(&drawn, metric, &capitalised(&title))
        });
    let mut table = table_of_servers(unit);
    cells.iter().for_each(|cell| add_servers(&mut table, cell));
    let caption = if stride > 1 {
        format!("{} of {} cells are drawn; the table has all of them.", drawn.len(), cells.len())
    } else {
        String::new()
    };
    Block::Figure(Figure { caption, legend: Vec::new(), charts: charts.collect(), table })
}

fn table_of_servers(unit: &str) -> Table {
    let speed = format!("#{unit}s per second");
    let cpu = format!("#CPU per {unit}");
    let calls = format!("#system calls per {unit}");
    let switches = format!("#context switches per {unit}");
    let memory = "#memory per connection";
    let titles =
        ["cell", "server", &speed, &cpu, "#user", "#system", &calls, &switches, memory, "#p99"];
    Table::new("", &titles)
}

fn add_servers(table: &mut Table, cell: &Cell) {
    for server in ratio::servers(&cell.runs) {
        if !cell.runs.iter().any(|run| run.server == server && run.invalid.is_none()) {
            continue;
        }
        let of = |metric| typical(cell, server, metric);
        let share = |read: fn(&Run) -> Option<u64>| whole(cell, server, read);
        table.rows.push(vec![
            cell.title.clone(),
            server.to_owned(),
            of(Metric::UnitsPerSecond),
            of(Metric::CpuNsPerUnit),
            share(|run| run.whole.user_cpu_ns).map(words::duration).unwrap_or_default(),
            share(|run| run.whole.system_cpu_ns).map(words::duration).unwrap_or_default(),
            of(Metric::SystemCallsPerUnit),
            share(|run| run.whole.context_switches).map(words::count).unwrap_or_default(),
            of(Metric::ResidentBytesPerConnection),
            of(Metric::P99Ns),
        ]);
    }
}

/// The median over the valid runs of something that is counted over the whole run, per unit.
fn whole(cell: &Cell, server: &str, read: fn(&Run) -> Option<u64>) -> Option<f64> {
    let valid = cell.runs.iter().filter(|run| run.server == server && run.invalid.is_none());
    let per_unit =
        |run: &Run| (run.whole.count > 0).then_some(read(run)? as f64 / run.whole.count as f64);
    let values: Vec<f64> = valid.filter_map(per_unit).collect();
    (!values.is_empty()).then(|| median(&values))
}

/// Latency at fixed rates.
pub(crate) fn latency(study: &Study) -> Vec<Block> {
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
        let (charts, legend) = curves(cell);
        blocks.push(Block::Heading(cell.title.clone()));
        blocks.push(Block::Figure(Figure { caption: String::new(), legend, charts, table }));
    }
    if blocks.len() == 1 {
        return paragraph("No latency at a fixed rate was measured.");
    }
    blocks
}

fn has_valid_run(cell: &Cell) -> bool {
    cell.runs.iter().any(|run| run.invalid.is_none() && !run.slices.is_empty())
}

fn name(workload: Workload) -> &'static str {
    match workload {
        Workload::Echo => "TCP echo",
        Workload::OwnedEcho => "TCP echo by read(buf)",
        Workload::Idle => "Many idle connections",
        Workload::Churn => "Accept, one request, close",
        Workload::Http => "HTTP/1.1",
        Workload::File => "Random reads of a file",
        Workload::FileToSocket => "A file to a socket",
        Workload::Log => "Append and fdatasync",
        Workload::Mixed => "Sockets while the disk is busy",
        Workload::Runtime => "The executor alone",
        Workload::Rate => "Echo at fixed rates",
    }
}
