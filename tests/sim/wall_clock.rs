//! Waits for the wall clock while it is set forward and back, which no test does to the machine's.

use std::future::pending;
use std::time::{Duration, SystemTime};

use corering::sim::Simulation;
use corering::time::{now, sleep, sleep_until_wall, timeout_with, wall};
use corering::{join, metrics};

use crate::simulated::{Numbers, defaults, run, run_in};

const HOUR: Duration = Duration::from_secs(3600);

/// By what a change of the clock may be noticed late.
const NOTICED: Duration = Duration::from_millis(1_001);

/// What a timer may be late.
const LATE: Duration = Duration::from_millis(1);

/// The wall clock's `later` is awaited, and it is set by `set` after `after`. How long that takes.
fn time_until(
    later: Duration,
    after: Duration,
    set: impl Fn(SystemTime) -> SystemTime,
) -> Duration {
    let world = Simulation::new(1);
    let waited = run_in(&world, 1, defaults(), async {
        let (begin, deadline) = (now(), wall() + later);
        let wait = async {
            sleep_until_wall(deadline).await;
            assert!(wall() >= deadline, "the wall clock shows {:?}", wall());
            now() - begin
        };
        let change = async {
            sleep(after).await;
            world.set_wall(set(world.wall()));
        };
        join!(wait, change).0
    });
    waited.output
}

#[test]
fn wall_clock_that_nobody_sets_is_awaited_to_its_moment() {
    let waited = time_until(HOUR, Duration::ZERO, |wall| wall);
    assert!(waited >= HOUR && waited <= HOUR + LATE, "{waited:?}");
}

#[test]
fn wall_clock_set_forward_past_the_deadline_ends_the_wait() {
    let after = Duration::from_millis(10_300);
    let waited = time_until(HOUR, after, |wall| wall + 2 * HOUR);
    assert!(waited >= after && waited <= after + NOTICED, "{waited:?}");
}

#[test]
fn wall_clock_set_forward_brings_the_deadline_nearer() {
    let waited = time_until(2 * HOUR, Duration::from_secs(1), |wall| wall + HOUR);
    assert!(waited >= HOUR && waited <= HOUR + LATE, "{waited:?}");
}

#[test]
fn wall_clock_set_back_makes_the_wait_longer() {
    // Also right before its end.
    for after in [Duration::from_secs(10), HOUR - LATE] {
        let waited = time_until(HOUR, after, |wall| wall - HOUR);
        assert!(waited >= 2 * HOUR && waited <= 2 * HOUR + LATE, "{waited:?}");
    }
}

#[test]
fn wait_ends_soon_after_the_wall_clock_shows_its_deadline() {
    for seed in 0..100 {
        let world = Simulation::new(seed);
        let mut numbers = Numbers::new(seed);
        let mut random = move |below: Duration| {
            Duration::from_millis(numbers.within(0..below.as_millis() as usize) as u64)
        };
        run_in(&world, seed, defaults(), async {
            let deadline = wall() + random(HOUR);
            // When it was shown first, as far as is known.
            let mut shown = None;
            let changes = async {
                for _ in 0..50 {
                    if wall() >= deadline {
                        shown.get_or_insert_with(now);
                        return pending().await;
                    }
                    let to = world.wall() + random(HOUR / 4) - HOUR / 8;
                    world.set_wall(to);
                    if to >= deadline {
                        shown.get_or_insert_with(now);
                        return pending().await;
                    }
                    sleep(random(HOUR / 60)).await;
                }
                pending::<()>().await;
            };
            let ended = timeout_with(None, async |limit| {
                join!(changes, async {
                    sleep_until_wall(deadline).await;
                    limit.reschedule(now());
                })
            });
            assert!(ended.await.is_err());
            assert!(wall() >= deadline);
            if let Some(shown) = shown {
                assert!(now() - shown <= NOTICED, "{:?}", now() - shown);
            }
        });
    }
}

#[test]
fn each_world_begins_at_the_same_time() {
    let shown = |seed| run(seed, defaults(), async { (wall(), metrics().timers) }).output;
    assert_eq!(shown(1), shown(2));
}
