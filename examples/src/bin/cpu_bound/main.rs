//! The same work on one task, on several tasks, on threads and on processes: what is concurrency, and
//! what is parallelism.

mod picture;
mod primes;
mod ticker;
mod ways;

use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::thread::available_parallelism;
use std::time::Duration;

use clap::Parser;
use corering::{Driver, Runtime, process};

use crate::ways::{Way, Work};

/// Counts primes on one task, on several tasks of one shard, on threads and on processes, and shows how
/// long each takes and what happens to another task meanwhile.
///
/// Concurrency is that several things are under way; parallelism is that several run at the same moment.
/// Work that waits needs only the first, work that computes gains only by the second. Several cores are
/// needed to see it; on one core the program says what differs.
#[derive(Debug, Parser)]
struct Arguments {
    /// Counts the primes below N. Without it, as many as one core counts in about 1.5 s.
    #[arg(long, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    work: Option<u64>,

    /// How the kernel is reached: "uring", "epoll", or "auto", which is uring where the kernel allows it.
    #[arg(long, default_value_t = Driver::Auto)]
    driver: Driver,
}

/// What one core is to do for.
const TIME: Duration = Duration::from_millis(1_500);

/// Pieces of the work for each core, so that none is idle for long at the end.
const PIECES_PER_CORE: u64 = 8;

/// A task that has a core for a smaller share of its time is not alone.
const QUIET_SHARE: f64 = 0.85;

fn main() -> ExitCode {
    // A process of the pool is this program, too, and ends here when its work is done.
    process::worker(ways::FUNCTIONS);
    let arguments = Arguments::parse();
    let outcome = Runtime::builder()
        .driver(arguments.driver)
        .build()
        .map_err(|error| error.to_string())
        .and_then(|runtime| runtime.block_on(run(arguments.work)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("cpu_bound: {message}");
            ExitCode::FAILURE
        }
    }
}

async fn run(below: Option<u64>) -> Result<(), String> {
    let cores = available_parallelism().map_or(1, NonZeroUsize::get);
    let below = below.unwrap_or_else(|| primes::calibrate(TIME));
    let pieces = (cores as u64 * PIECES_PER_CORE).max(16);
    let work = Work { pieces: primes::pieces(below, pieces), cores };
    println!("the primes below {below}, in {pieces} pieces, on {}", number(cores, "core"));
    let mut times = Vec::new();
    let (mut first, mut share) = (None, 1.0);
    for way in Way::ALL {
        let measured =
            way.measure(&work).await.map_err(|error| format!("{}: {error}", way.name()))?;
        let expected = *first.get_or_insert(measured.primes);
        if measured.primes != expected {
            let (name, primes) = (way.name(), measured.primes);
            return Err(format!("{name}: {primes} primes, where there are {expected}"));
        }
        println!("\n{}: {}", way.name(), way.kind(cores));
        println!("  {measured}");
        println!("  {}", way.lesson(cores));
        if matches!(way, Way::OneTask) {
            share = measured.share();
        }
        times.push((way.name(), measured.elapsed.as_secs_f64()));
    }
    println!("\n{} primes, each time:\n", first.unwrap_or_default());
    print!("{}", picture::bars(&times, picture::width()));
    if share < QUIET_SHARE {
        let percent = share * 100.0;
        println!(
            "\nOther programs use the cores: one task had one for {percent:.0}% of its time, and"
        );
        println!("several find less than that. On a quiet machine the bars differ more.");
    }
    Ok(())
}

fn number(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
