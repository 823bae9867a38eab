//! What the slices say: ratios with intervals, and the noise floor beside them.

#![forbid(unsafe_code)]

use crate::study::ratio::{self, AGAIN};
use crate::study::schema::{Comparison, Metric, Noise, Run};

/// Every server of `runs` compared with each of `against`, in every metric that both have valid
/// runs for. The second process of a server is noise, and no server of its own.
pub fn compare<S: AsRef<str>>(runs: &[Run], against: &[S]) -> Vec<Comparison> {
    let references = against.iter().map(AsRef::as_ref);
    let comparisons = references.flat_map(|reference| ratio::compare(runs, reference));
    let is_told = |one: &Comparison| !one.server.ends_with(AGAIN) && has_interval(runs, one.metric);
    comparisons.filter(is_told).collect()
}

/// What belongs to a whole process is one value in each repetition: a single one has no interval,
/// and cannot be told from a tie.
fn has_interval(runs: &[Run], metric: Metric) -> bool {
    match metric {
        Metric::CpuNsPerUnit | Metric::UnitsPerSecond | Metric::P99Ns => true,
        Metric::SystemCallsPerUnit | Metric::ResidentBytesPerConnection => {
            runs.iter().any(|run| run.repetition != runs[0].repetition)
        }
    }
}

/// What two processes of the same server differ by, in every metric. What cannot be told apart
/// from this cannot be told apart.
pub fn noise(cell: &str, runs: &[Run]) -> Vec<Noise> {
    let servers = ratio::servers(runs);
    let pairs = servers.iter().filter_map(|again| Some((*again, again.strip_suffix(AGAIN)?)));
    pairs
        .flat_map(|(again, first)| ratio::compare_two(runs, again, first))
        .filter(|one| has_interval(runs, one.metric))
        .map(|one| Noise { cell: cell.to_owned(), metric: one.metric, ratio: one.ratio })
        .collect()
}
