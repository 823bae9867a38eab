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
    /// The bootstrap of the median.
    ///
    /// # Panics
    ///
    /// If there are no values.
    pub fn of(values: &[f64]) -> Self {
        let bootstrap = Bootstrap::of(values);
        Estimate {
            median: median(values),
            low: bootstrap.middle_at(0.025).0,
            high: bootstrap.middle_at(0.975).1,
        }
    }

    /// The ratio of the medians of two series that were not measured in pairs, with the bootstrap
    /// of both. The seed is fixed: the same values give the same interval.
    ///
    /// # Panics
    ///
    /// If one of them has no values.
    pub fn of_ratio(above: &[f64], below: &[f64]) -> Self {
        const DRAWS: usize = 4_000;
        let mut random = Random::new(above.len() as u64);
        let both = [Bootstrap::of(above), Bootstrap::of(below)];
        let mut draw = |one: usize| {
            let (lower, upper) = both[one].middle_at(random.below(1 << 53) as f64 / 2f64.powi(53));
            f64::midpoint(lower, upper)
        };
        let mut ratios: Vec<f64> = (0..DRAWS).map(|_| draw(0) / draw(1)).collect();
        ratios.sort_by(f64::total_cmp);
        let at = |share: f64| ratios[(share * (DRAWS - 1) as f64).round() as usize];
        Estimate { median: median(above) / median(below), low: at(0.025), high: at(0.975) }
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

/// The medians of all resamples of some values: not a few thousand of them, but their exact
/// distribution. The m-th of n values drawn from n is at most the k-th of the original ones when
/// at least m draws are among the first k, which is a binomial tail.
struct Bootstrap {
    sorted: Vec<f64>,
    /// For the lower and the upper of the two in the middle: for each value, the chance that it is
    /// not exceeded. The two are the same where the number of values is odd.
    chances: [Vec<f64>; 2],
}

impl Bootstrap {
    fn of(values: &[f64]) -> Self {
        assert!(!values.is_empty(), "nothing has no middle");
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let count = sorted.len();
        let chances = [count.div_ceil(2), count / 2 + 1].map(|rank| chances(count, rank));
        Bootstrap { sorted, chances }
    }

    /// The lower and the upper middle that a share of the resamples does not exceed.
    fn middle_at(&self, share: f64) -> (f64, f64) {
        let [lower, upper] = self.chances.each_ref().map(|chances| {
            let index = chances.partition_point(|chance| *chance < share);
            self.sorted[index.min(self.sorted.len() - 1)]
        });
        (lower, upper)
    }
}

/// For each of `count` values, the chance that the `rank`-th of `count` draws is no larger.
fn chances(count: usize, rank: usize) -> Vec<f64> {
    // The logarithms of the factorials.
    let mut factorials = vec![0.0; count + 1];
    for index in 1..=count {
        factorials[index] = factorials[index - 1] + (index as f64).ln();
    }
    let binomial = |draws: usize| factorials[count] - factorials[draws] - factorials[count - draws];
    let tail = |below: usize| -> f64 {
        if below == count {
            return 1.0;
        }
        let share = below as f64 / count as f64;
        let (inside, outside) = (share.ln(), (-share).ln_1p());
        (rank..=count)
            .map(|draws| {
                let logarithm = binomial(draws) + draws as f64 * inside;
                (logarithm + (count - draws) as f64 * outside).exp()
            })
            .sum()
    };
    // Further than this from the middle, the chance is 0 or 1 to fifteen digits.
    let window = 5.0 * (count as f64).sqrt() + 5.0;
    let middle = count as f64 / 2.0;
    (1..=count)
        .map(|below| match below as f64 - middle {
            distance if distance < -window => 0.0,
            distance if distance > window => 1.0,
            _ => tail(below),
        })
        .collect()
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
    fn the_interval_is_that_of_many_resamples() {
        for count in [1, 2, 5, 40, 101] {
            let mut random = Random::new(count as u64);
            let values: Vec<f64> = (0..count).map(|_| random.below(1_000_000) as f64).collect();
            let mut medians: Vec<f64> = (0..2_000)
                .map(|_| {
                    let draw = |_| values[random.below(count)];
                    median(&(0..count).map(draw).collect::<Vec<_>>())
                })
                .collect();
            medians.sort_by(f64::total_cmp);
            let estimate = Estimate::of(&values);
            // Resampling has noise of its own, and takes the mean of the two in the middle: the
            // shares outside are a fortieth each, give or take.
            let outside = |is_outside: &dyn Fn(f64) -> bool| {
                medians.iter().filter(|one| is_outside(**one)).count()
            };
            assert!(outside(&|one| one < estimate.low) <= 70, "{count}: {estimate}");
            assert!(outside(&|one| one > estimate.high) <= 70, "{count}: {estimate}");
            assert!(medians[99] >= estimate.low && medians[1_900] <= estimate.high, "{count}");
        }
    }

    #[test]
    fn a_ratio_of_medians_has_the_noise_of_both() {
        let mut random = Random::new(4);
        let mut around = |middle: f64, width: usize| -> Vec<f64> {
            (0..40).map(|_| middle + random.below(width) as f64 - width as f64 / 2.0).collect()
        };
        let (quiet, noisy, more) = (around(1e4, 10), around(1e4, 2_000), around(1.2e4, 2_000));
        let of_quiet = Estimate::of_ratio(&quiet, &quiet);
        let of_noisy = Estimate::of_ratio(&quiet, &noisy);
        assert!(of_noisy.high - of_noisy.low > 10.0 * (of_quiet.high - of_quiet.low));
        assert_eq!(of_noisy.verdict(), Verdict::Tie);
        assert_eq!(Estimate::of_ratio(&more, &noisy).verdict(), Verdict::More);
        assert_eq!(Estimate::of_ratio(&noisy, &more).verdict(), Verdict::Less);
        assert_eq!(Estimate::of_ratio(&[3.0], &[2.0]).low, 1.5);
    }

    #[test]
    fn the_interval_of_many_values_is_narrow() {
        let mut random = Random::new(3);
        let values: Vec<f64> = (0..5_000).map(|_| random.below(1_000) as f64).collect();
        let estimate = Estimate::of(&values);
        assert!(estimate.low > 460.0 && estimate.high < 540.0, "{estimate}");
        assert!(estimate.low < estimate.median && estimate.median < estimate.high);
    }
}
