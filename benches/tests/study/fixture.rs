//! Invented studies: as large as a real one, with an outcome that the caller chooses.

use std::collections::BTreeMap;

use corering_bench::stats::Random;
use corering_bench::study::schema::{
    Cell, Excluded, Fingerprint, Mode, Quantiles, RatePoint, Run, Slice, Study, VERSION, WholeRun,
    Workload,
};

/// How much better a server is than one that needs 5 µs of CPU time for a request: 1 is no better,
/// 2 twice as good in every metric.
pub(crate) type Strengths<'a> = &'a [(&'a str, f64)];

/// io_uring is clearly better.
pub(crate) const URING_WINS: Strengths<'static> = &[
    ("uring", 1.25),
    ("uring again", 1.25),
    ("uring/completion", 1.2),
    ("uring/notification", 1.1),
    ("epoll", 1.0),
    ("raw-uring", 1.6),
    ("raw-epoll", 1.15),
    ("tokio", 0.9),
];

/// epoll is clearly better.
pub(crate) const EPOLL_WINS: Strengths<'static> =
    &[("uring", 0.8), ("uring again", 0.8), ("epoll", 1.0), ("raw-epoll", 1.1), ("tokio", 0.9)];

/// Neither is better.
pub(crate) const TIES: Strengths<'static> =
    &[("uring", 1.0), ("uring again", 1.0), ("epoll", 1.0), ("tokio", 0.9)];

/// A study of one cell per workload that was not concluded yet.
pub(crate) fn study(strengths: Strengths<'_>) -> Study {
    let facts = [
        ("kernel", "6.12.0-invented"),
        ("kernel_command_line", "quiet mitigations=auto"),
        ("cpu", "An Invented Processor 9000 @ 3.00 GHz, 2 cores"),
        ("governor", "performance"),
        ("memlock_bytes", "8388608"),
        ("ring_flags", "SINGLE_ISSUER DEFER_TASKRUN COOP_TASKRUN NO_SQARRAY SUBMIT_ALL CLAMP"),
        ("commit", "0123456789abcdef"),
    ];
    Study {
        version: VERSION,
        mode: Mode::Quick,
        is_partial: false,
        seed: 7,
        command: "cargo run --release -p corering-bench -- study --quick --seed 7 --out DIR"
            .to_owned(),
        started_at_unix_s: 1_767_225_600,
        elapsed_s: 118.4,
        handicaps_ns: BTreeMap::new(),
        fingerprint: Fingerprint(
            facts.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        ),
        noise: Vec::new(),
        cells: cells(strengths),
        verdict: Vec::new(),
        wins: Vec::new(),
        losses: Vec::new(),
        ties: Vec::new(),
        invalid: Vec::new(),
        not_run: Vec::new(),
    }
}

fn cells(strengths: Strengths<'_>) -> Vec<Cell> {
    let mut random = Random::new(7);
    let shapes: [(&str, Workload, &str, &str, f64); 9] = [
        ("echo/1x64", Workload::Echo, "TCP echo, 1 connection, 64 B", "request", 12e3),
        ("echo/64x64", Workload::Echo, "TCP echo, 64 connections, 64 B", "request", 5e3),
        ("echo/64x16384", Workload::Echo, "TCP echo, 64 connections, 16 KiB", "request", 9e3),
        ("idle/10000", Workload::Idle, "10,000 idle connections, 64 active", "request", 6e3),
        ("churn/64", Workload::Churn, "Accept, one request, close", "connection", 30e3),
        ("http/64", Workload::Http, "HTTP/1.1 keep-alive, 64 connections", "request", 7e3),
        ("file/4096x32", Workload::File, "Random read, 4 KiB, page cache, depth 32", "read", 2e3),
        ("log/16", Workload::Log, "Append and fdatasync, groups of 16", "line", 55e3),
        ("rate/64x64", Workload::Rate, "TCP echo at fixed rates, 64 connections", "request", 5e3),
    ];
    shapes
        .into_iter()
        .map(|(id, workload, title, unit, cpu_ns)| Cell {
            id: id.to_owned(),
            workload,
            title: title.to_owned(),
            parameters: BTreeMap::from([("connections".to_owned(), 64)]),
            unit: unit.to_owned(),
            runs: runs(strengths, cpu_ns, &mut random),
            comparisons: Vec::new(),
            curve: if workload == Workload::Rate { curve(strengths, cpu_ns) } else { Vec::new() },
        })
        .collect()
}

fn runs(strengths: Strengths<'_>, cpu_ns: f64, random: &mut Random) -> Vec<Run> {
    let mut all = Vec::new();
    for repetition in 0..2 {
        for (server, strength) in strengths {
            let slices: Vec<Slice> = (0..20).map(|_| slice(cpu_ns / strength, random)).collect();
            let count: u64 = slices.iter().map(|slice| slice.count).sum();
            let cpu_ns: u64 = slices.iter().map(|slice| slice.server_cpu_ns).sum();
            all.push(Run {
                server: (*server).to_owned(),
                repetition,
                invalid: None,
                whole: WholeRun {
                    count,
                    user_cpu_ns: Some(cpu_ns / 5),
                    system_cpu_ns: Some(cpu_ns / 5 * 4),
                    system_calls: Some((count as f64 / strength) as u64),
                    context_switches: Some(count / 100),
                    resident_bytes_per_connection: Some((5000.0 / strength) as u64),
                    counters: BTreeMap::new(),
                },
                slices,
            });
        }
    }
    all
}

/// 100 ms in which one CPU is busy, give or take a hundredth.
fn slice(cpu_ns_per_unit: f64, random: &mut Random) -> Slice {
    let noise = 1.0 + (random.below(200) as f64 - 100.0) / 10_000.0;
    let cpu_ns_per_unit = cpu_ns_per_unit * noise;
    let count = (1e8 / cpu_ns_per_unit) as u64;
    Slice {
        count,
        elapsed_ns: 100_000_000,
        server_cpu_ns: (count as f64 * cpu_ns_per_unit) as u64,
        client_cpu_ns: Some(count * 3_000),
        latency_ns: Some(quantiles(cpu_ns_per_unit * 64.0)),
    }
}

fn quantiles(p50: f64) -> Quantiles {
    let at = |factor: f64| (p50 * factor) as u64;
    Quantiles { p50: at(1.0), p90: at(1.4), p99: at(2.2), p999: at(5.0), max: at(20.0) }
}

fn curve(strengths: Strengths<'_>, cpu_ns: f64) -> Vec<RatePoint> {
    let mut points = Vec::new();
    for (server, strength) in strengths {
        for share in [0.2, 0.5, 0.7, 0.8, 0.9] {
            // The queue of a server of which a share is used grows with 1 / (1 - share).
            let waiting = 1.0 / (1.0 - share / strength.max(0.91));
            points.push(RatePoint {
                server: (*server).to_owned(),
                rate_per_second: share * 1e9 / cpu_ns,
                share_of_capacity: share,
                latency_ns: quantiles(cpu_ns / strength * 10.0 * waiting),
                histograms: vec!["histograms/rate.hgrm".to_owned()],
                invalid: None,
            });
        }
    }
    points
}

/// A study that has something in each of its lists: wins, losses, ties, what was thrown out and
/// what was not run.
pub(crate) fn mixed() -> Study {
    let mut study = study(URING_WINS);
    let epoll_wins = cells(EPOLL_WINS);
    let ties = cells(TIES);
    for index in [0, 4] {
        study.cells[index] = epoll_wins[index].clone();
    }
    study.cells[6] = ties[6].clone();
    // Latency is told by the curves alone, as in a real study.
    study.cells[8].runs.clear();
    study.cells[5].runs[4].invalid = Some("client saturated: 99% of its CPU".to_owned());
    study.cells[3].runs.iter_mut().for_each(|run| {
        // Forty times better: an axis has to hold this beside a fifth.
        if run.server.starts_with("uring") {
            run.whole.system_calls = Some(run.whole.count / 40);
        }
    });
    study.not_run.push(Excluded {
        cell: "idle/100000".to_owned(),
        server: None,
        reason: "RLIMIT_NOFILE: 100,064 descriptors are needed, and 20,000 are allowed; raise it \
                 with `ulimit -n 200000`"
            .to_owned(),
    });
    study
}
