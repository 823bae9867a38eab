//! The work: counting primes by trial division, which needs a processor and nothing else.

use std::ops::Range;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How many primes are in a range.
pub(crate) fn count(numbers: Range<u64>) -> u64 {
    numbers.filter(|&number| is_prime(number)).count() as u64
}

fn is_prime(number: u64) -> bool {
    match number {
        0 | 1 => false,
        2 | 3 => true,
        _ if number.is_multiple_of(2) => false,
        _ => (3..=number.isqrt()).step_by(2).all(|divisor| !number.is_multiple_of(divisor)),
    }
}

/// The numbers below `below` in `count` pieces of the same length, but for the last.
pub(crate) fn pieces(below: u64, count: u64) -> Vec<Range<u64>> {
    let length = below.div_ceil(count).max(1);
    (0..count).map(|piece| (piece * length).min(below)..((piece + 1) * length).min(below)).collect()
}

/// Below which number to count, so that one core needs about `time`.
pub(crate) fn calibrate(time: Duration) -> u64 {
    let mut below = 50_000;
    loop {
        let begun = thread_time();
        std::hint::black_box(count(0..below));
        let needed = thread_time() - begun;
        if needed >= time / 20 {
            // The divisors to try grow with the square root of a prime.
            let factor = time.as_secs_f64() / needed.as_secs_f64();
            return (below as f64 * factor.powf(2.0 / 3.0)) as u64;
        }
        below *= 2;
    }
}

/// The CPU time of this thread: what other programs take does not count.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.try_into().expect("no clock of CPU time is before its beginning")
}

#[cfg(test)]
mod tests {
    use super::{count, pieces};

    #[test]
    fn pieces_have_all_primes() {
        assert_eq!(count(0..100), 25);
        for (below, parts) in [(0, 4), (1, 4), (20_000, 1), (20_000, 16), (20_001, 7), (5, 9)] {
            let all = pieces(below, parts);
            assert_eq!(all.len() as u64, parts);
            assert_eq!(all.into_iter().map(count).sum::<u64>(), count(0..below));
        }
    }
}
