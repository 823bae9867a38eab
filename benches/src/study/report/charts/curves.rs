//! Latency over the rate at which requests start.

use super::scale::Scale;
use super::{Anchor, Canvas, GRID, MUTED, Role, WIDTH};
use crate::stats::median;
use crate::study::ratio::AGAIN;
use crate::study::report::document::Chart;
use crate::study::schema::{Cell, Quantiles, RatePoint};
use crate::study::words;

const LEFT: i32 = 62;
const RIGHT: i32 = WIDTH - 16;
const TOP: i32 = 12;
const BOTTOM: i32 = 236;
const HEIGHT: i32 = 284;

/// A quantile of the latency, and how to read it.
type Quantile = (&'static str, fn(&Quantiles) -> u64);

const DRAWN: [Quantile; 3] = [
    ("p50", |latency| latency.p50),
    ("p99", |latency| latency.p99),
    ("p99.9", |latency| latency.p999),
];

/// One chart for each quantile, all with the same axes, and the servers that are drawn.
pub(crate) fn curves(cell: &Cell) -> (Vec<Chart>, Vec<String>) {
    let is_drawn = |point: &&RatePoint| point.invalid.is_none() && !point.server.ends_with(AGAIN);
    let points: Vec<&RatePoint> = cell.curve.iter().filter(is_drawn).collect();
    let mut servers: Vec<String> = Vec::new();
    for point in &points {
        if !servers.contains(&point.server) {
            servers.push(point.server.clone());
        }
    }
    let all =
        || points.iter().flat_map(|point| DRAWN.map(|(_, read)| read(&point.latency_ns) as f64));
    let low = all().fold(f64::INFINITY, f64::min).max(1.0);
    let high = all().fold(low, f64::max);
    let y = Scale::logarithmic(low / 1.1, high * 1.1, (BOTTOM, TOP));
    let shares = shares(&points);
    let ends = (shares.first().copied().unwrap_or(0.0), shares.last().copied().unwrap_or(1.0));
    let x = Scale::linear(ends.0, ends.1, (LEFT + 12, RIGHT - 12));
    let charts = DRAWN.map(|(name, read)| {
        let label = format!("{}: {name} of the latency at fixed rates", cell.title);
        let svg = Canvas::draw(HEIGHT, &label, |canvas| {
            draw_axes(canvas, &x, &y, &shares);
            for server in &servers {
                let of_server = points.iter().filter(|point| point.server == *server);
                let at = median_by_share(of_server.copied(), &shares, read);
                let line: Vec<_> =
                    at.iter().map(|(share, value)| (x.place(*share), y.place(*value))).collect();
                let role = Role::of_server(server);
                canvas.line(line.clone(), role, 2);
                line.into_iter().for_each(|point| canvas.mark(point, role));
            }
        });
        Chart { title: format!("{name} latency"), svg }
    });
    (charts.into(), servers)
}

fn draw_axes(canvas: &Canvas<'_>, x: &Scale, y: &Scale, shares: &[f64]) {
    for tick in y.ticks() {
        let place = y.place(tick);
        canvas.line(vec![(LEFT, place), (RIGHT, place)], GRID, 1);
        canvas.text((LEFT - 6, place), &words::duration(tick), MUTED, Anchor::Right);
    }
    // Rates that nearly coincide share a label.
    let mut last = i32::MIN / 2;
    for share in shares {
        let place = x.place(*share);
        canvas.line(vec![(place, BOTTOM), (place, BOTTOM + 4)], MUTED, 1);
        if place - last >= 40 {
            let text = format!("{:.0}%", share * 100.0);
            canvas.text((place, BOTTOM + 16), &text, MUTED, Anchor::Middle);
            last = place;
        }
    }
    canvas.line(vec![(LEFT, BOTTOM), (RIGHT, BOTTOM)], MUTED, 1);
    let text = "rate, as a share of the slower side's capacity";
    canvas.text((RIGHT, BOTTOM + 38), text, MUTED, Anchor::Right);
}

/// The rates of all points, each once, from the lowest to the highest.
fn shares(points: &[&RatePoint]) -> Vec<f64> {
    let mut shares: Vec<f64> = points.iter().map(|point| point.share_of_capacity).collect();
    shares.sort_by(f64::total_cmp);
    shares.dedup();
    shares
}

fn median_by_share<'a>(
    points: impl Iterator<Item = &'a RatePoint> + Clone,
    shares: &[f64],
    read: fn(&Quantiles) -> u64,
) -> Vec<(f64, f64)> {
    let at_share = |share: &f64| {
        let same = points.clone().filter(|point| point.share_of_capacity == *share);
        let values: Vec<f64> = same.map(|point| read(&point.latency_ns) as f64).collect();
        (!values.is_empty()).then(|| (*share, median(&values)))
    };
    shares.iter().filter_map(at_share).collect()
}
