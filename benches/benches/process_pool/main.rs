//! A call of an empty function in a worker of a `process::Pool`, beside a round trip of as many bytes over
//! a socket pair between two processes, written by hand with calls that block: the limit.
//!
//! The three take turns, in another order each round, and a ratio is one of the same round.
//!
//! ```console
//! $ cargo bench -p corering-bench --bench process_pool
//! $ cargo bench -p corering-bench --bench process_pool -- uring 20000    # that alone: for strace -c
//! ```

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use corering::process::{self, Functions, Pool, functions};
use corering::{Driver, Runtime};
use corering_bench::stats::{Estimate, Random, median};

const FUNCTIONS: Functions = functions![nothing];

fn nothing((): ()) {}

/// The bytes of the request and of the answer: a frame without a body.
const BYTES: usize = 8;

const ROUNDS: usize = 301;
const CALLS: u32 = 300;

/// The peer by hand: it answers on its standard input.
const PEER: &str = "--peer";

fn main() -> ExitCode {
    process::worker(FUNCTIONS);
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        [PEER, ..] => answer(),
        [side @ ("hand" | "uring" | "epoll"), calls, ..] => one(side, calls),
        _ => compare(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("process_pool: {error}");
            ExitCode::FAILURE
        }
    }
}

/// One side alone.
fn one(side: &str, calls: &str) -> io::Result<()> {
    let calls = calls.parse().map_err(|_| io::Error::other("say how many calls"))?;
    let spent = Side::new(side)?.run(calls)?;
    println!("{side}: {:.2} us a call", micros(spent, calls));
    Ok(())
}

fn compare() -> io::Result<()> {
    let names = ["hand", "uring", "epoll"];
    let mut sides = names.map(Side::new).into_iter().collect::<io::Result<Vec<Side>>>()?;
    for side in &mut sides {
        side.run(CALLS)?;
    }
    let mut random = Random::new(1);
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        let mut order = [0, 1, 2];
        random.shuffle(&mut order);
        for side in order {
            times[side].push(micros(sides[side].run(CALLS)?, CALLS));
        }
    }
    println!("{ROUNDS} rounds of {CALLS} calls, microseconds a call (median)");
    for (name, times) in names.iter().zip(&times) {
        println!("{name:>6}: {:.2}", median(times));
    }
    for (name, times_of) in names.iter().zip(&times).skip(1) {
        let ratios: Vec<f64> =
            times_of.iter().zip(&times[0]).map(|(own, hand)| own / hand).collect();
        println!("{name:>6} / hand: {}", Estimate::of(&ratios));
    }
    Ok(())
}

fn micros(spent: Duration, calls: u32) -> f64 {
    spent.as_secs_f64() * 1e6 / f64::from(calls)
}

enum Side {
    Hand { stream: UnixStream, peer: Child },
    Pool { runtime: Runtime, pool: Box<Pool> },
}

impl Side {
    fn new(name: &str) -> io::Result<Side> {
        let driver = match name {
            "uring" => Driver::Uring,
            "epoll" => Driver::Epoll,
            _ => return Side::by_hand(),
        };
        let runtime = Runtime::builder().driver(driver).build()?;
        let pool = Pool::builder(FUNCTIONS).workers(1).build()?;
        runtime.block_on(pool.warm_up())?;
        Ok(Side::Pool { runtime, pool: Box::new(pool) })
    }

    fn by_hand() -> io::Result<Side> {
        let (stream, theirs) = UnixStream::pair()?;
        let mut command = Command::new("/proc/self/exe");
        let peer = command.arg(PEER).stdin(Stdio::from(OwnedFd::from(theirs))).spawn()?;
        Ok(Side::Hand { stream, peer })
    }

    fn run(&mut self, calls: u32) -> io::Result<Duration> {
        let start = Instant::now();
        match self {
            Side::Hand { stream, .. } => {
                let mut bytes = [0; BYTES];
                for _ in 0..calls {
                    stream.write_all(&bytes)?;
                    stream.read_exact(&mut bytes)?;
                }
            }
            Side::Pool { runtime, pool } => runtime.block_on(async {
                for _ in 0..calls {
                    pool.call(nothing, ()).await?;
                }
                Ok::<(), io::Error>(())
            })?,
        }
        Ok(start.elapsed())
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        if let Side::Hand { stream, peer } = self {
            let _ = stream.shutdown(std::net::Shutdown::Both);
            let _ = peer.wait();
        }
    }
}

/// The life of the peer by hand.
fn answer() -> io::Result<()> {
    let mut stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut bytes = [0; BYTES];
    while stream.read_exact(&mut bytes).is_ok() {
        stream.write_all(&bytes)?;
    }
    Ok(())
}
