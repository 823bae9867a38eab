//! The echo server on a thousand simulated kernels: every way to receive, to send, to give up in
//! the middle and to end, in orders that a seed decides, without a thread and without a sleep.

#[path = "common/echo.rs"]
mod workload;

#[path = "common/simulated.rs"]
mod simulated;

use corering::Metrics;
use corering::sim::Simulation;

use simulated::{Numbers, run, run_in};
use workload::{configuration, serve_clients};

/// A thousand seeds, in parts that test threads can share.
const SEEDS_PER_TEST: u64 = 250;

macro_rules! echo_on_seeds {
    ($($name:ident: $part:literal,)*) => {
        $(#[test]
        fn $name() {
            for seed in $part * SEEDS_PER_TEST..($part + 1) * SEEDS_PER_TEST {
                echo(seed);
            }
        })*
    };
}

echo_on_seeds! {
    echo_returns_every_byte_in_order_on_seeds_0_to_249: 0,
    echo_returns_every_byte_in_order_on_seeds_250_to_499: 1,
    echo_returns_every_byte_in_order_on_seeds_500_to_749: 2,
    echo_returns_every_byte_in_order_on_seeds_750_to_999: 3,
}

#[test]
fn same_seed_gives_same_trace_and_another_seed_another() {
    let hash = |seed| {
        let sim = Simulation::new(seed);
        let mut numbers = Numbers::new(seed);
        run_in(&sim, seed, configuration(&mut numbers), serve_clients(numbers));
        (sim.trace_hash(), sim.elapsed())
    };
    let mut hashes = Vec::new();
    for seed in 0..20 {
        let (first, second) = (hash(seed), hash(seed));
        assert_eq!(first, second, "seed {seed} gave two different runs");
        hashes.push(first.0);
    }
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 20, "two seeds gave the same run");
}

#[test]
fn all_ways_of_receiving_are_exercised() {
    let mut counts = [0; 7];
    for seed in 0..200 {
        let metrics = echo(seed);
        let of_this_run = [
            metrics.changes_to_notification,
            metrics.changes_to_completion,
            metrics.heap_receives,
            metrics.buffer_group_empty,
            metrics.paused_multishots,
            metrics.completion_overflows,
            metrics.abandoned,
        ];
        counts.iter_mut().zip(of_this_run).for_each(|(sum, count)| *sum += count);
    }
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
}

fn echo(seed: u64) -> Metrics {
    let mut numbers = Numbers::new(seed);
    run(seed, configuration(&mut numbers), serve_clients(numbers)).metrics
}
