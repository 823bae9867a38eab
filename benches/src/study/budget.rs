//! How long a cell is measured.

#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use super::plan::CellPlan;

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

/// What a cell costs beside its slices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Costs {
    /// The rows of its table: each server, and the first one again.
    pub servers: u32,
    /// What it takes, roughly, to start a server, to connect to it and to end it.
    pub start: Duration,
    /// Rates at which each server is measured; one where the rate is not the point.
    pub rates: u32,
    /// Where requests start by the clock, a slice has too few of them unless it is longer.
    pub is_paced: bool,
}

/// That of a full study: ten repetitions with fresh processes are the least that is believed.
const FULL: Budget =
    Budget { repetitions: 10, rounds: 10, slice: Duration::from_millis(100), deadline: None };

/// A slice of a quick study. Shorter ones would consist of their beginnings and ends.
const QUICK_SLICE: Duration = Duration::from_millis(40);

const QUICK_REPETITIONS: u32 = 2;

/// With fewer rounds there is no interval to speak of.
const QUICK_ROUNDS_MIN: u32 = 3;

/// By the clock, shorter slices have too few requests for a 99th percentile.
const PACED_SLICE: Duration = Duration::from_millis(150);

/// A server that is started takes so long until it has work, and once more to end.
const START: Duration = Duration::from_millis(120);

/// To connect, and one exchange.
const START_PER_CONNECTION: Duration = Duration::from_micros(60);

impl Costs {
    /// Of `plan` on so many servers, roughly.
    pub fn of(plan: &CellPlan, servers: usize) -> Self {
        let connections = match *plan {
            CellPlan::Idle { idle_connections, .. } => idle_connections,
            CellPlan::Echo { connections, .. } | CellPlan::OwnedEcho { connections, .. } => {
                connections
            }
            _ => 0,
        };
        let connections = u32::try_from(connections).unwrap_or(u32::MAX);
        Costs {
            servers: u32::try_from(servers + 1).unwrap_or(u32::MAX),
            start: START + START_PER_CONNECTION * connections,
            rates: match plan {
                CellPlan::Rate { percent_of_capacity, .. } => {
                    u32::try_from(percent_of_capacity.len()).unwrap_or(u32::MAX)
                }
                _ => 1,
            },
            is_paced: matches!(
                plan,
                CellPlan::Rate { .. }
                    | CellPlan::Mixed { .. }
                    | CellPlan::Churn { percent_of_capacity: Some(_), .. }
            ),
        }
    }

    /// The least that a quick study can do with such a cell, by which its time is divided.
    pub fn least(&self) -> Duration {
        self.quick(QUICK_ROUNDS_MIN, None).expected(self)
    }

    fn quick(&self, rounds: u32, deadline: Option<Instant>) -> Budget {
        // Each rate starts all servers again, and many connections take long.
        let is_slow = self.rates > 1 || self.start > 2 * START;
        let repetitions = if is_slow { 1 } else { QUICK_REPETITIONS };
        let slice = if self.is_paced { PACED_SLICE } else { QUICK_SLICE };
        Budget { repetitions, rounds, slice, deadline }
    }
}

impl Budget {
    /// That of a full study.
    pub fn full(costs: &Costs) -> Self {
        Budget { slice: if costs.is_paced { PACED_SLICE } else { FULL.slice }, ..FULL }
    }

    /// For a cell that has to do with `time`, and with twice that at the worst. The least that makes
    /// an interval is measured in any case.
    pub fn within(time: Duration, costs: &Costs) -> Self {
        let at_worst = time.max(costs.least()) * 2;
        let least = costs.quick(1, Some(Instant::now() + at_worst));
        let more = time.saturating_sub(least.expected(costs));
        let round = least.slice * costs.servers * least.repetitions * costs.rates;
        let rounds = more.as_nanos() / round.as_nanos();
        let rounds = 1 + u32::try_from(rounds).unwrap_or(u32::MAX - 1);
        // A rate gives a figure by itself, so that there are some in any case.
        let rounds_min = if costs.rates > 1 { 1 } else { QUICK_ROUNDS_MIN };
        Budget { rounds: rounds.max(rounds_min), ..least }
    }

    /// What a cell takes, roughly.
    pub fn expected(&self, costs: &Costs) -> Duration {
        // One slice warms up.
        let once = costs.start + self.slice * self.rounds.saturating_add(1);
        once * costs.servers * self.repetitions * costs.rates
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

    use super::super::matrix;
    use super::super::schema::Mode;
    use super::{Budget, Costs, order};

    #[test]
    fn a_full_study_has_ten_repetitions_at_least() {
        for plan in matrix::cells(Mode::Full) {
            let costs = Costs::of(&plan, plan.servers().len());
            assert!(Budget::full(&costs).repetitions >= 10);
        }
    }

    #[test]
    fn a_quick_cell_is_planned_within_its_time() {
        for plan in matrix::cells(Mode::Quick) {
            let costs = Costs::of(&plan, plan.servers().len());
            let time = costs.least() * 2;
            let budget = Budget::within(time, &costs);
            assert!(budget.expected(&costs) <= time, "{}: {budget:?}", plan.id());
            assert!(budget.expected(&costs) > time / 2, "{}: {budget:?}", plan.id());
        }
    }

    #[test]
    fn the_least_of_all_quick_cells_leaves_room_for_more() {
        let least: Duration = matrix::cells(Mode::Quick)
            .iter()
            .map(|plan| Costs::of(plan, plan.servers().len()).least())
            .sum();
        assert!(least < Duration::from_secs(60), "{least:?}");
    }

    #[test]
    fn a_cell_without_time_is_still_measured() {
        for plan in matrix::cells(Mode::Quick) {
            let budget = Budget::within(Duration::ZERO, &Costs::of(&plan, plan.servers().len()));
            assert!(budget.rounds > 0 && budget.repetitions > 0);
        }
    }

    #[test]
    fn rounds_go_there_and_back_again() {
        assert_eq!(order(0, 3), [0, 1, 2]);
        assert_eq!(order(1, 3), [2, 1, 0]);
        assert_eq!(order(2, 3), [0, 1, 2]);
    }
}
