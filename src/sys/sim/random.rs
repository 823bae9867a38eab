//! The one place that a simulated world takes chance from.
//!
//! A counter stepped by an odd constant and mixed (the construction known as SplitMix64): every
//! seed gives a full-period sequence, and the whole state is one word.

use std::time::Duration;

/// A seeded sequence of numbers. The same seed gives the same sequence on every machine.
#[derive(Debug)]
pub(super) struct Random {
    state: u64,
}

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Random { state: seed }
    }

    /// The next 64 bits.
    pub(super) fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number of `0..bound`. The bias of one part in 2^64 / bound does not matter here.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        assert!(bound > 0, "a choice among nothing");
        ((u128::from(self.bits()) * bound as u128) >> 64) as usize
    }

    /// A number of `low..=high`.
    pub(super) fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    /// True `times` out of `of`.
    pub(super) fn chance(&mut self, times: usize, of: usize) -> bool {
        self.below(of) < times
    }

    /// A power of two of `2^low..=2^high`.
    pub(super) fn power(&mut self, low: u32, high: u32) -> usize {
        1 << self.between(low as usize, high as usize)
    }

    /// How long something takes that a network or another processor does: mostly microseconds,
    /// sometimes long enough that timers fire in between.
    pub(super) fn delay(&mut self) -> Duration {
        let micros = match self.below(8) {
            0..=3 => self.between(1, 50),
            4..=6 => self.between(50, 1_000),
            _ => self.between(1_000, 40_000),
        };
        Duration::from_micros(micros as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_gives_same_numbers() {
        let (mut one, mut other) = (Random::new(7), Random::new(7));
        for _ in 0..100 {
            assert_eq!(one.bits(), other.bits());
        }
        assert_ne!(Random::new(7).bits(), Random::new(8).bits());
    }

    #[test]
    fn numbers_stay_in_their_range_and_reach_its_ends() {
        let mut random = Random::new(1);
        let mut seen = [false; 5];
        for _ in 0..1_000 {
            seen[random.between(3, 7) - 3] = true;
        }
        assert_eq!(seen, [true; 5]);
    }
}
