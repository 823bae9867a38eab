//! The noise floor: how large a difference has to be before it is believed.

use std::fmt;

use crate::stats::{Estimate, Verdict};
use crate::study::schema::{Metric, Noise};
use crate::study::words;

/// No difference below this share is told, however quiet the machine: it would be of no use.
pub const FLOOR_MIN: f64 = 0.01;

/// The floors of a whole study.
#[derive(Debug)]
pub struct Floors<'a>(&'a [Noise]);

/// The floor of one metric in one cell, as a distance of logarithms.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Floor(f64);

impl<'a> Floors<'a> {
    /// The floors that follow from the pairs of equal servers.
    pub fn of(noise: &'a [Noise]) -> Self {
        Floors(noise)
    }

    /// How far the interval of the cell's own pair of equal servers reaches from 1. A cell without
    /// such a pair takes the largest of the other cells.
    pub fn at(&self, cell: &str, metric: Metric) -> Floor {
        let own = self.of_metric(metric).filter(|noise| noise.cell == cell);
        let own = own.map(|noise| reach(&noise.ratio)).max_by(f64::total_cmp);
        let largest =
            || self.of_metric(metric).map(|noise| reach(&noise.ratio)).max_by(f64::total_cmp);
        Floor(own.or_else(largest).unwrap_or(0.0).max(FLOOR_MIN.ln_1p()))
    }

    /// The middle of the floors of all cells that have a pair of equal servers.
    pub fn typical(&self, metric: Metric) -> Option<Floor> {
        let mut floors: Vec<f64> = self
            .of_metric(metric)
            .map(|noise| reach(&noise.ratio).max(FLOOR_MIN.ln_1p()))
            .collect();
        floors.sort_by(f64::total_cmp);
        floors.get(floors.len() / 2).copied().map(Floor)
    }

    fn of_metric(&self, metric: Metric) -> impl Iterator<Item = &'a Noise> {
        self.0.iter().filter(move |noise| noise.metric == metric)
    }
}

impl Floor {
    /// Whether `ratio` is told apart from 1, and by more than this.
    pub fn is_exceeded_by(self, ratio: &Estimate) -> bool {
        ratio.verdict() != Verdict::Tie && ratio.median.ln().abs() > self.0
    }

    /// The larger of two floors.
    #[must_use]
    pub fn max(self, other: Floor) -> Floor {
        Floor(self.0.max(other.0))
    }

    /// The ratio above 1 at which the floor ends.
    pub fn ratio(self) -> f64 {
        self.0.exp()
    }
}

impl fmt::Display for Floor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "±{}", words::percent(self.0.exp_m1()))
    }
}

fn reach(ratio: &Estimate) -> f64 {
    ratio.low.ln().abs().max(ratio.high.ln().abs())
}
