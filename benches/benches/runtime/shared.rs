//! How a figure is taken.

use std::time::Duration;

use corering_bench::os;
use criterion::Criterion;

/// Bytes of one read.
pub(crate) const READ_SIZE: usize = 4096;

/// So many operations are in flight, where one at a time is not what is measured.
pub(crate) const DEPTH: usize = 128;

/// Measures `body`, which does as many rounds as it is told and returns the time they took. A
/// round has `units` units of work, and the figure is the time of one.
pub(crate) fn figure(
    criterion: &mut Criterion,
    name: &str,
    side: &str,
    units: usize,
    mut body: impl FnMut(u64) -> Duration,
) {
    let mut group = criterion.benchmark_group(name);
    group.bench_function(side, |bencher| {
        bencher.iter_custom(|iterations| {
            // An iteration is a unit, but only whole rounds can be done.
            let rounds = iterations.div_ceil(units as u64);
            let taken = body(rounds);
            taken.mul_f64(iterations as f64 / (rounds * units as u64) as f64)
        });
    });
    group.finish();
}

/// Gives the calling thread the CPU with this number, as a shard has one, if it may have that.
pub(crate) fn pin(cpu: usize) {
    if let Err(error) = os::pin_to_cpu(cpu) {
        eprintln!("a thread of the round trip has no CPU of its own: {error}");
    }
}
