//! Medians of paired ratios and how far to trust them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A small, seeded source of numbers: enough to shuffle and to resample, and the same everywhere.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A sequence that depends on `seed` alone.
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// The next 64 bits (SplitMix64, Steele and others, 2014).
    #[expect(clippy::should_implement_trait, reason = "a sequence without an end is no iterator")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`. The bias of the remainder is below 2^-32 for any use here.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// Puts `items` into any order, each with the same chance.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// The middle of `values`; of an even number, the mean of the two in the middle.
///
/// # Panics
///
/// If there are no values.
pub fn median(values: &[f64]) -> f64 {
    assert!(!values.is_empty(), "nothing has no middle");
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    }
}

/// A median with the interval that holds it in 95 of 100 resamples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Of the values given.
    pub median: f64,
    /// The lower end of the interval.
    pub low: f64,
    /// The upper end of the interval.
    pub high: f64,
}

impl Estimate {
    /// The bootstrap of the median, with a fixed seed: the same values give the same interval.
    pub fn of(values: &[f64]) -> Self {
        const RESAMPLES: usize = 4_000;
        let mut random = Random::new(values.len() as u64);
        let mut resample = vec![0.0; values.len()];
        let mut medians: Vec<f64> = (0..RESAMPLES)
            .map(|_| {
                resample.fill_with(|| values[random.below(values.len())]);
                median(&resample)
            })
            .collect();
        medians.sort_by(f64::total_cmp);
        let at = |share: f64| medians[(share * (RESAMPLES - 1) as f64).round() as usize];
        Estimate { median: median(values), low: at(0.025), high: at(0.975) }
    }

    /// What a ratio with this interval says of the first of its pair.
    pub fn verdict(&self) -> Verdict {
        if self.high < 1.0 {
            Verdict::Less
        } else if self.low > 1.0 {
            Verdict::More
        } else {
            Verdict::Tie
        }
    }
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} [{:.3}, {:.3}]", self.median, self.low, self.high)
    }
}

/// Whether a ratio is told apart from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The whole interval is below 1.
    Less,
    /// The interval holds 1.
    Tie,
    /// The whole interval is above 1.
    More,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Verdict::Less => "less",
            Verdict::Tie => "tie",
            Verdict::More => "more",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Estimate, Random, Verdict, median};

    #[test]
    fn the_median_ignores_an_outlier() {
        assert_eq!(median(&[1.0, 900.0, 3.0]), 3.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 900.0]), 3.0);
    }

    #[test]
    fn shuffling_loses_nothing() {
        let mut items: Vec<usize> = (0..100).collect();
        Random::new(7).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn equal_servers_are_a_tie() {
        let mut random = Random::new(1);
        let ratios: Vec<f64> =
            (0..40).map(|_| 1.0 + (random.below(200) as f64 - 100.0) / 1000.0).collect();
        assert_eq!(Estimate::of(&ratios).verdict(), Verdict::Tie);
    }

    #[test]
    fn a_clear_difference_is_told() {
        let mut random = Random::new(2);
        let mut ratios = |middle: f64| -> Vec<f64> {
            (0..40).map(|_| middle + (random.below(200) as f64 - 100.0) / 1000.0).collect()
        };
        assert_eq!(Estimate::of(&ratios(0.8)).verdict(), Verdict::Less);
        assert_eq!(Estimate::of(&ratios(1.2)).verdict(), Verdict::More);
    }

    #[test]
    fn the_same_values_give_the_same_interval() {
        let values = [1.0, 1.1, 0.9, 1.05, 0.97];
        assert_eq!(Estimate::of(&values), Estimate::of(&values));
    }
}
