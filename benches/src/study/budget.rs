//! How long a cell is measured.

#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

/// The time that one cell gets, and how it is divided.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// How often each server is started afresh.
    pub repetitions: u32,
    /// Slices that each server gets per repetition.
    pub rounds: u32,
    /// The length of one slice.
    pub slice: Duration,
    /// When the cell has to end, finished or not.
    pub deadline: Option<Instant>,
}

/// A repetition of a full study: so often, STUDY.md asks for ten at least.
const FULL: Budget =
    Budget { repetitions: 10, rounds: 10, slice: Duration::from_millis(100), deadline: None };

/// A slice of a quick study. Shorter ones would consist of their beginnings and ends.
const QUICK_SLICE: Duration = Duration::from_millis(40);

const QUICK_REPETITIONS: u32 = 2;

/// With fewer rounds there is no interval to speak of.
const QUICK_ROUNDS_MIN: u32 = 3;

/// What a server takes, roughly, to start, to be connected to and to end.
const START: Duration = Duration::from_millis(150);

impl Budget {
    /// That of a full study.
    pub fn full() -> Self {
        FULL
    }

    /// For a cell with so many servers that has to do with `time`, and with twice that at the worst.
    pub fn within(time: Duration, servers: usize) -> Self {
        let servers = u32::try_from(servers).unwrap_or(u32::MAX).max(1);
        let start = (START + QUICK_SLICE) * servers * QUICK_REPETITIONS;
        let per_round = QUICK_SLICE * servers * QUICK_REPETITIONS;
        let rounds = time.saturating_sub(start).as_nanos() / per_round.as_nanos();
        Budget {
            repetitions: QUICK_REPETITIONS,
            rounds: u32::try_from(rounds).unwrap_or(u32::MAX).max(QUICK_ROUNDS_MIN),
            slice: QUICK_SLICE,
            deadline: Some(Instant::now() + time * 2),
        }
    }

    /// What a cell with so many servers takes, roughly.
    pub fn expected(&self, servers: usize) -> Duration {
        let servers = u32::try_from(servers).unwrap_or(u32::MAX);
        // One slice warms up.
        (START + self.slice * (self.rounds + 1)) * servers * self.repetitions
    }
}

/// The order of `servers` in a round: there and back again, so that what drifts in time weighs on
/// all of them alike (ABBA).
pub fn order(round: u32, servers: usize) -> Vec<usize> {
    if round.is_multiple_of(2) { (0..servers).collect() } else { (0..servers).rev().collect() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Budget, order};

    #[test]
    fn a_full_study_has_ten_repetitions_at_least() {
        assert!(Budget::full().repetitions >= 10);
    }

    #[test]
    fn a_quick_cell_is_planned_within_its_time() {
        for servers in 1..=8 {
            let time = Duration::from_secs(9);
            let budget = Budget::within(time, servers);
            assert!(budget.expected(servers) <= time, "{servers}: {budget:?}");
            assert!(budget.expected(servers) > time * 3 / 4, "{servers}: {budget:?}");
        }
    }

    #[test]
    fn a_cell_without_time_is_still_measured() {
        let budget = Budget::within(Duration::ZERO, 6);
        assert!(budget.rounds > 0 && budget.repetitions > 0);
    }

    #[test]
    fn rounds_go_there_and_back_again() {
        assert_eq!(order(0, 3), [0, 1, 2]);
        assert_eq!(order(1, 3), [2, 1, 0]);
        assert_eq!(order(2, 3), [0, 1, 2]);
    }
}
