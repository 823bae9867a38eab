//! The latency at fixed rates as comparisons: one for each rate.
//!
//! A point of a curve is one distribution over all its slices, so its ratio has no interval. What
//! it is held against is the largest difference that the cell shows, at any of its rates, between
//! two processes of the same server.

use super::{RIVAL, SUBJECT};
use crate::stats::Estimate;
use crate::study::ratio::AGAIN;
use crate::study::schema::{Cell, Comparison, Metric, Noise, RatePoint};
use crate::study::words;

/// What io_uring's p99 is to epoll's, under the title of each rate. Nothing where the runs of the
/// cell tell of latency themselves.
pub(super) fn comparisons(cell: &Cell) -> Vec<(String, Comparison)> {
    if cell.comparisons.iter().any(|comparison| comparison.metric == Metric::P99Ns) {
        return Vec::new();
    }
    let own = cell.curve.iter().filter(|point| point.server == SUBJECT);
    own.filter_map(|point| {
        let ratio = ratio(point, partner(cell, point, RIVAL)?)?;
        let comparison = Comparison {
            server: SUBJECT.to_owned(),
            against: RIVAL.to_owned(),
            metric: Metric::P99Ns,
            ratio,
            verdict: ratio.verdict(),
        };
        Some((title_at(cell, point), comparison))
    })
    .collect()
}

/// What two processes of the same server differ by at each rate.
pub(super) fn noise(cell: &Cell) -> Vec<Noise> {
    let again = cell.curve.iter();
    let pairs = again.filter_map(|point| {
        let first = partner(cell, point, point.server.strip_suffix(AGAIN)?)?;
        let ratio = ratio(point, first)?;
        Some(Noise { cell: cell.id.clone(), metric: Metric::P99Ns, ratio })
    });
    pairs.collect()
}

/// The title of a finding at the rate of `point`.
pub fn title_at(cell: &Cell, point: &RatePoint) -> String {
    format!("{}, at {} of capacity", cell.title, words::percent_rounded(point.share_of_capacity))
}

/// The point of `server` that the finding called `title` is about.
pub fn point_of<'a>(cell: &'a Cell, title: &str, server: &str) -> Option<&'a RatePoint> {
    let mut points = cell.curve.iter().filter(|point| point.server == server);
    points.find(|point| title_at(cell, point) == title)
}

/// The valid point of `server` at the rate of `point`.
fn partner<'a>(cell: &'a Cell, point: &RatePoint, server: &str) -> Option<&'a RatePoint> {
    cell.curve.iter().find(|other| {
        other.server == server
            && other.rate_per_second == point.rate_per_second
            && other.invalid.is_none()
    })
}

fn ratio(point: &RatePoint, other: &RatePoint) -> Option<Estimate> {
    let ratio = point.latency_ns.p99 as f64 / other.latency_ns.p99 as f64;
    let is_valid = point.invalid.is_none() && ratio.is_finite() && ratio > 0.0;
    is_valid.then_some(Estimate { median: ratio, low: ratio, high: ratio })
}
