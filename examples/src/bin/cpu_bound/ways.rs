//! The ways to do the work, each measured beside a ticker.

use std::fmt;
use std::fs;
use std::ops::Range;
use std::time::Duration;

use corering::process::{Functions, Pool, functions};
use corering::task::{JoinSet, ThreadPool};
use corering::time::now;
use corering::{spawn, yield_now};
use futures_util::future::try_join_all;
use rustix::param::clock_ticks_per_second;
use rustix::time::{ClockId, clock_gettime};

use crate::primes;
use crate::ticker::{PERIOD, Ticker, Ticks};

/// Numbers that a task looks at before it lets others run: some ten microseconds. The shard looks at its
/// timers and at the kernel after a hundred turns or so.
const NUMBERS_PER_TURN: u64 = 100;

/// What the processes can do.
pub(crate) const FUNCTIONS: Functions = functions![primes::count];

/// What is to be done.
pub(crate) struct Work {
    pub(crate) pieces: Vec<Range<u64>>,
    pub(crate) cores: usize,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    OneTask,
    Tasks,
    Threads,
    Processes,
}

impl Way {
    pub(crate) const ALL: [Way; 4] = [Way::OneTask, Way::Tasks, Way::Threads, Way::Processes];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Way::OneTask => "one task",
            Way::Tasks => "tasks",
            Way::Threads => "threads",
            Way::Processes => "processes",
        }
    }

    /// Which of the two it is.
    pub(crate) fn kind(self, cores: usize) -> &'static str {
        match self {
            Way::OneTask => "neither concurrency nor parallelism",
            Way::Tasks => "concurrency, no parallelism",
            Way::Threads | Way::Processes if cores == 1 => {
                "concurrency; no parallelism, since there is one core"
            }
            Way::Threads | Way::Processes => "concurrency and parallelism",
        }
    }

    /// Why the time and the ticker are as they are.
    pub(crate) fn lesson(self, cores: usize) -> &'static str {
        match self {
            Way::OneTask => "It never awaits, so no other task of the shard runs before its end.",
            Way::Tasks => {
                "They take turns on one thread, since each yields: no faster, but others run."
            }
            Way::Threads if cores == 1 => {
                "The kernel lets them and the shard take turns on the core: no faster, but others run."
            }
            Way::Threads => "They run at the same moment on all cores, and the shard only waits.",
            Way::Processes => {
                "As with threads; each has its own memory, and may be limited or killed."
            }
        }
    }

    /// Does the work beside a ticker.
    pub(crate) async fn measure(self, work: &Work) -> Result<Measured, String> {
        let ticker = Ticker::start();
        // The ticker is a task: it begins when this one waits.
        yield_now().await;
        let cpu = cpu_time()?;
        let begun = now();
        let primes = match self {
            Way::OneTask => on_one_task(work).await?,
            Way::Tasks => on_tasks(work).await,
            Way::Threads => on_threads(work).await?,
            Way::Processes => on_processes(work).await?,
        };
        let elapsed = now() - begun;
        Ok(Measured { primes, elapsed, cpu: cpu_time()?.saturating_sub(cpu), ticks: ticker.end() })
    }
}

/// What a way has needed.
pub(crate) struct Measured {
    pub(crate) primes: u64,
    pub(crate) elapsed: Duration,
    /// Of all threads, and of child processes.
    cpu: Duration,
    ticks: Ticks,
}

impl Measured {
    /// The share of its time that a way of one thread had a core.
    pub(crate) fn share(&self) -> f64 {
        self.cpu.as_secs_f64() / self.elapsed.as_secs_f64()
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Measured { elapsed, cpu, ticks: Ticks { count, gap, .. }, .. } = self;
        write!(
            f,
            "{:.2} s, {:.2} s of CPU; the ticker (every {} ms) ran {count} times, and once waited for {:.0} ms",
            elapsed.as_secs_f64(),
            cpu.as_secs_f64(),
            PERIOD.as_millis(),
            gap.as_secs_f64() * 1e3
        )
    }
}

async fn on_one_task(work: &Work) -> Result<u64, String> {
    let pieces = work.pieces.clone();
    let task = spawn(async move { pieces.into_iter().map(primes::count).sum() });
    task.await.map_err(|error| error.to_string())
}

async fn on_tasks(work: &Work) -> u64 {
    let mut tasks = JoinSet::new();
    for piece in work.pieces.clone() {
        tasks.spawn(async move {
            let mut sum = 0;
            for first in piece.clone().step_by(NUMBERS_PER_TURN as usize) {
                sum += primes::count(first..piece.end.min(first + NUMBERS_PER_TURN));
                yield_now().await;
            }
            sum
        });
    }
    tasks.join_all().await.into_iter().sum()
}

async fn on_threads(work: &Work) -> Result<u64, String> {
    let pool = ThreadPool::new(work.cores);
    let begin = |piece: &Range<u64>| {
        let piece = piece.clone();
        pool.run(move || primes::count(piece))
    };
    let counts = try_join_all(work.pieces.iter().map(begin)).await;
    Ok(counts.map_err(|error| error.to_string())?.into_iter().sum())
}

async fn on_processes(work: &Work) -> Result<u64, String> {
    let pool = Pool::builder(FUNCTIONS).workers(work.cores).build();
    let pool = pool.map_err(|error| error.to_string())?;
    let calls = work.pieces.iter().map(|piece| pool.call(primes::count, piece.clone()));
    let counts = try_join_all(calls).await;
    // When no process is left, its CPU time is in that of this one's children.
    pool.shutdown().await;
    Ok(counts.map_err(|error| error.to_string())?.into_iter().sum())
}

/// The CPU time of this process with all its threads, and of the children that have ended.
fn cpu_time() -> Result<Duration, String> {
    let own = clock_gettime(ClockId::ProcessCPUTime);
    let own: Duration = own.try_into().map_err(|_| "the clock of CPU time runs backwards")?;
    let stat = fs::read_to_string("/proc/self/stat").map_err(|error| error.to_string())?;
    // proc_pid_stat(5): the name, in parentheses, is the second field; cutime and cstime are 16 and 17.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks: u64 = fields.split_whitespace().skip(13).take(2).flat_map(str::parse::<u64>).sum();
    Ok(own + Duration::from_secs(ticks) / clock_ticks_per_second() as u32)
}
