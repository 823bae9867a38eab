//! Groups of tasks that end at random points, in the worlds of many seeds.

use crate::group_storm::storm;
use crate::pairs::pair;
use crate::simulated::{defaults, run};

#[test]
fn groups_in_storm_leave_nothing_on_a_thousand_seeds() {
    for seed in 0..1_000 {
        run(seed, defaults(), storm(seed, 10, async || Ok(pair().await)));
    }
}
