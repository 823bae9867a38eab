//! Intervals here and tokio's, each on a clock that nobody waits for: they tick at the same moments.

#[path = "../../common/simulated.rs"]
mod simulated;

use std::time::Duration;

use corering::sim::Simulation;
use corering::time::{self as ours, MissedTicks};
use simulated::Numbers;
use tokio::runtime::Builder;
use tokio::time::{self as theirs, MissedTickBehavior};

/// In milliseconds, of which tokio's timers are whole ones.
const PERIOD: u64 = 20;
const TICKS: usize = 200;

/// How long after a tick was due the next is asked for. All is in steps of 4 ms, so that none is late by
/// just the 5 ms that are in time: the clock of the simulation is finer than tokio's.
fn works(seed: u64) -> Vec<u64> {
    let mut numbers = Numbers::new(seed);
    let mut steps = || match numbers.within(0..3) {
        0 => numbers.within(0..5),
        1 => numbers.within(6..10),
        _ => numbers.within(11..30),
    };
    (0..TICKS).map(|_| 4 * steps() as u64).collect()
}

/// How far apart ticks were due, and each was taken, in milliseconds.
type Ticks = Vec<(u64, u64)>;

fn apart(moments: &[(Duration, Duration)]) -> Ticks {
    let rounded = |duration: Duration| (duration.as_micros() as u64 + 500) / 1000;
    moments
        .windows(2)
        .map(|pair| (rounded(pair[1].0 - pair[0].0), rounded(pair[1].1 - pair[0].1)))
        .collect()
}

fn ticks_of_ours(missed_ticks: MissedTicks, works: &[u64]) -> Ticks {
    let run = Simulation::new(1).run(async {
        let begin = ours::now();
        let mut interval = ours::interval(Duration::from_millis(PERIOD));
        interval.set_missed_ticks(missed_ticks);
        let mut moments = Vec::new();
        for work in works {
            let due = interval.tick().await;
            moments.push((due - begin, ours::now() - begin));
            ours::sleep_until(due + Duration::from_millis(*work)).await;
        }
        moments
    });
    apart(&run.output)
}

fn ticks_of_tokio(missed_ticks: MissedTickBehavior, works: &[u64]) -> Ticks {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
    let moments = runtime.expect("it needs nothing").block_on(async {
        let begin = theirs::Instant::now();
        let mut interval = theirs::interval(Duration::from_millis(PERIOD));
        interval.set_missed_tick_behavior(missed_ticks);
        let mut moments = Vec::new();
        for work in works {
            let due = interval.tick().await;
            moments.push((due - begin, begin.elapsed()));
            theirs::sleep_until(due + Duration::from_millis(*work)).await;
        }
        moments
    });
    apart(&moments)
}

#[test]
fn missed_ticks_are_those_of_tokio() {
    let policies = [
        (MissedTicks::Burst, MissedTickBehavior::Burst),
        (MissedTicks::Delay, MissedTickBehavior::Delay),
        (MissedTicks::Skip, MissedTickBehavior::Skip),
    ];
    for (ours, theirs) in policies {
        for seed in 0..20 {
            let works = works(seed);
            let (ours_ticked, theirs_ticked) =
                (ticks_of_ours(ours, &works), ticks_of_tokio(theirs, &works));
            assert_eq!(ours_ticked, theirs_ticked, "{ours:?}, seed {seed}");
        }
    }
}
