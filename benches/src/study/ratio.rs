//! The ratios of servers that were measured side by side.
//!
//! What is compared is always a pair: the same slice of the same repetition, so that what slowed
//! the machine down slowed both. Only what belongs to a whole process, such as its memory, is
//! compared run by run.

use super::schema::{Comparison, Metric, Run, Slice};
use crate::stats::Estimate;

/// Everything that is compared, in the order in which it is told.
pub const METRICS: [Metric; 5] = [
    Metric::CpuNsPerUnit,
    Metric::UnitsPerSecond,
    Metric::P99Ns,
    Metric::SystemCallsPerUnit,
    Metric::ResidentBytesPerConnection,
];

/// What the name of the second process of a server ends in.
pub const AGAIN: &str = " again";

/// Every server of `runs` except `against`, compared with `against` in every metric that both have
/// valid runs for.
pub fn compare(runs: &[Run], against: &str) -> Vec<Comparison> {
    let others = servers(runs).into_iter().filter(|server| *server != against);
    others.flat_map(|server| compare_two(runs, server, against)).collect()
}

/// The names in `runs`, each once, in the order in which they first appear.
pub fn servers(runs: &[Run]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for run in runs {
        if !names.contains(&run.server.as_str()) {
            names.push(&run.server);
        }
    }
    names
}

/// One server compared with another.
pub fn compare_two(runs: &[Run], server: &str, against: &str) -> Vec<Comparison> {
    METRICS
        .into_iter()
        .filter_map(|metric| {
            let ratios = paired_ratios(runs, server, against, metric);
            if ratios.is_empty() {
                return None;
            }
            let ratio = Estimate::of(&ratios);
            Some(Comparison {
                server: server.to_owned(),
                against: against.to_owned(),
                metric,
                ratio,
                verdict: ratio.verdict(),
            })
        })
        .collect()
}

/// What the valid runs of `server` measured: one value per slice, or per run for what belongs to a
/// whole process.
pub fn values(runs: &[Run], server: &str, metric: Metric) -> Vec<f64> {
    let valid = runs.iter().filter(|run| run.server == server && run.invalid.is_none());
    valid.flat_map(|run| values_of_run(run, metric)).flatten().collect()
}

fn paired_ratios(runs: &[Run], server: &str, against: &str, metric: Metric) -> Vec<f64> {
    let mut ratios = Vec::new();
    for own in runs.iter().filter(|run| run.server == server && run.invalid.is_none()) {
        let partner = runs.iter().find(|run| {
            run.server == against && run.repetition == own.repetition && run.invalid.is_none()
        });
        let Some(other) = partner else { continue };
        let pairs = values_of_run(own, metric).into_iter().zip(values_of_run(other, metric));
        ratios.extend(pairs.filter_map(|(own, other)| {
            let ratio = own? / other?;
            (ratio.is_finite() && ratio >= 0.0).then_some(ratio)
        }));
    }
    ratios
}

/// The place of a slice that has no value stays empty, so that the others keep their partners.
fn values_of_run(run: &Run, metric: Metric) -> Vec<Option<f64>> {
    match metric {
        Metric::SystemCallsPerUnit => {
            let count = run.whole.count;
            vec![
                run.whole
                    .system_calls
                    .filter(|_| count > 0)
                    .map(|calls| calls as f64 / count as f64),
            ]
        }
        Metric::ResidentBytesPerConnection => {
            vec![run.whole.resident_bytes_per_connection.map(|bytes| bytes as f64)]
        }
        Metric::CpuNsPerUnit | Metric::UnitsPerSecond | Metric::P99Ns => {
            run.slices.iter().map(|slice| value_of_slice(slice, metric)).collect()
        }
    }
}

fn value_of_slice(slice: &Slice, metric: Metric) -> Option<f64> {
    let count = slice.count as f64;
    match metric {
        Metric::CpuNsPerUnit if slice.count > 0 => Some(slice.server_cpu_ns as f64 / count),
        Metric::UnitsPerSecond if slice.elapsed_ns > 0 => {
            Some(count * 1e9 / slice.elapsed_ns as f64)
        }
        Metric::P99Ns => slice.latency_ns.map(|latency| latency.p99 as f64),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{compare, values};
    use crate::study::schema::{Metric, Run, Slice, WholeRun};

    fn run(server: &str, repetition: u32, cpu_ns: &[u64]) -> Run {
        let slice = |cpu_ns: &u64| Slice {
            count: if *cpu_ns == 0 { 0 } else { 10 },
            elapsed_ns: 1_000,
            server_cpu_ns: *cpu_ns,
            client_cpu_ns: None,
            latency_ns: None,
        };
        Run {
            server: server.to_owned(),
            repetition,
            invalid: None,
            slices: cpu_ns.iter().map(slice).collect(),
            whole: WholeRun::default(),
        }
    }

    #[test]
    fn slices_are_compared_with_those_of_their_repetition() {
        // The machine was ten times slower in the second repetition.
        let runs = [
            run("uring", 0, &[50, 50]),
            run("epoll", 1, &[1000, 1000]),
            run("epoll", 0, &[100, 100]),
            run("uring", 1, &[500, 500]),
        ];
        let comparisons = compare(&runs, "epoll");
        let cpu = comparisons.iter().find(|one| one.metric == Metric::CpuNsPerUnit);
        let ratio = cpu.expect("both have slices").ratio;
        assert_eq!((ratio.low, ratio.median, ratio.high), (0.5, 0.5, 0.5));
    }

    #[test]
    fn a_slice_without_work_takes_its_partner_along() {
        let runs = [run("uring", 0, &[0, 50, 50]), run("epoll", 0, &[25, 100, 100])];
        let comparisons = compare(&runs, "epoll");
        let cpu = comparisons.iter().find(|one| one.metric == Metric::CpuNsPerUnit);
        assert_eq!(cpu.expect("two pairs are left").ratio.high, 0.5);
    }

    #[test]
    fn an_invalid_run_counts_for_nothing() {
        let mut runs = [run("uring", 0, &[50]), run("epoll", 0, &[100])];
        runs[1].invalid = Some("client saturated".to_owned());
        assert!(compare(&runs, "epoll").is_empty());
        assert!(values(&runs, "epoll", Metric::CpuNsPerUnit).is_empty());
        assert_eq!(values(&runs, "uring", Metric::CpuNsPerUnit), [5.0]);
    }
}
