//! The executor alone: what a task, a yield, a timer, a trip to the kernel and a message to another
//! shard cost, in a child process per runtime.
//!
//! A child is this program again, with the hidden subcommand `runtime-cell`. It works for as long as
//! each line of its standard input says, and answers each with what it has done; `parent.rs` holds
//! the other ends. So the slices of several runtimes alternate as those of servers do.

#![forbid(unsafe_code)]

mod corering_side;
mod parent;
mod raw_side;
mod timers;
mod tokio_side;
mod work;

use std::io::{self, Write};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use corering::Driver;

use crate::os;
use crate::outcome::{Failure, Outcome};

pub use parent::measure;
pub use work::RuntimeWork;

/// Works for the study, in slices that its standard input asks for.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// What to do again and again.
    #[arg(long, value_enum)]
    work: RuntimeWork,
    /// On which runtime.
    #[arg(long, value_enum)]
    side: Side,
    /// The CPU to run on; the round trip between shards has one CPU for each.
    #[arg(long)]
    cpu: Option<usize>,
}

/// A runtime that can be measured, or the loop that has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Side {
    Uring,
    Epoll,
    Tokio,
    RawUring,
}

/// The subcommand `runtime-cell`.
pub fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    os::die_with_parent()?;
    if let Some(cpu) = arguments.cpu
        && arguments.work != RuntimeWork::PingPong
    {
        os::pin_to_cpu(cpu)?;
    }
    let orders = Orders(());
    match (arguments.side, arguments.work) {
        (Side::Uring, work) => corering_side::run(Driver::Uring, work, orders)?,
        (Side::Epoll, work) => corering_side::run(Driver::Epoll, work, orders)?,
        (Side::Tokio, work) => tokio_side::run(work, orders)?,
        (Side::RawUring, RuntimeWork::NoOp) => raw_side::run(orders)?,
        (Side::RawUring, work) => {
            let name = work.name();
            return Err(Failure::Usage(format!("the raw loop has no `{name}`, only `no-op`")));
        }
    }
    Ok(Outcome::Valid)
}

/// What a child prints when it is told to go on.
const READY: &str = "ready";

/// The child's end of the conversation.
#[derive(Debug)]
struct Orders(());

/// What was done in a slice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Done {
    count: u64,
    elapsed: Duration,
}

impl Orders {
    /// Says that everything is set up.
    fn ready(&self) -> io::Result<()> {
        say(READY)
    }

    /// How long to work next; none when the parent has heard enough.
    fn next(&mut self) -> io::Result<Option<Duration>> {
        let mut line = String::new();
        if io::stdin().read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let line = line.trim_end();
        let nanoseconds = line.parse().map_err(|_| {
            io::Error::new(io::ErrorKind::InvalidInput, format!("`{line}` is no time in ns"))
        })?;
        Ok(Some(Duration::from_nanos(nanoseconds)))
    }

    fn answer(&self, done: Done) -> io::Result<()> {
        say(&format!("{} {}", done.count, done.elapsed.as_nanos()))
    }

    /// Does everything that is asked for.
    fn follow(mut self, mut work: impl FnMut(Duration) -> io::Result<Done>) -> io::Result<()> {
        self.ready()?;
        while let Some(duration) = self.next()? {
            let done = work(duration)?;
            self.answer(done)?;
        }
        Ok(())
    }
}

fn say(line: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{line}")?;
    output.flush()
}

/// Does `batch` again and again until `duration` is over. A batch says how many units it had.
async fn repeat(
    duration: Duration,
    mut batch: impl AsyncFnMut() -> io::Result<u64>,
) -> io::Result<Done> {
    let start = Instant::now();
    let mut count = 0;
    loop {
        count += batch().await?;
        let elapsed = start.elapsed();
        if elapsed >= duration {
            return Ok(Done { count, elapsed });
        }
    }
}

/// The error of a task, as one of I/O.
fn failed(error: impl std::fmt::Display) -> io::Error {
    io::Error::other(error.to_string())
}
