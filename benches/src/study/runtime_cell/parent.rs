//! The study's end of the conversation with the children.

use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use super::{Done, READY, RuntimeWork};
use crate::interrupt::Interrupt;
use crate::os::CpuClock;
use crate::outcome::Failure;
use crate::study::budget::{Budget, order};
use crate::study::schema::{Run, Slice, WholeRun};

/// Measures `work` on all who can do it, the first of them twice. When it is interrupted, it returns
/// what it has.
pub fn measure(
    work: RuntimeWork,
    budget: &Budget,
    cpu: usize,
    interrupt: &Interrupt,
) -> Result<Vec<Run>, Failure> {
    let mut runs = Vec::new();
    for repetition in 0..budget.repetitions {
        if interrupt.is_set() {
            break;
        }
        let mut sides = sides(work)
            .into_iter()
            .map(|(name, side)| Measured::start(work, name, side, cpu, repetition))
            .collect::<Result<Vec<_>, _>>()?;
        // The first round warms caches and branch predictors, and is not counted.
        for round in 0..=budget.rounds {
            for index in order(round, sides.len()) {
                if sides[index].run.invalid.is_none() {
                    sides[index].work_for(budget.slice, round > 0);
                }
            }
            if interrupt.is_set() {
                break;
            }
        }
        runs.extend(sides.into_iter().map(Measured::end));
    }
    Ok(runs)
}

/// What stands in the table, and which child does it: the first twice, for the noise.
fn sides(work: RuntimeWork) -> Vec<(String, &'static str)> {
    let servers = work.servers();
    let mut named: Vec<_> = servers.iter().map(|side| ((*side).to_owned(), *side)).collect();
    named.insert(1, (format!("{} again", servers[0]), servers[0]));
    named
}

/// A child and what it has done so far.
struct Measured {
    worker: Worker,
    run: Run,
}

impl Measured {
    fn start(
        work: RuntimeWork,
        server: String,
        side: &str,
        cpu: usize,
        repetition: u32,
    ) -> Result<Self, Failure> {
        let worker =
            Worker::start(work, side, cpu).map_err(|error| Failure::environment(side, error))?;
        let whole = WholeRun::default();
        let run = Run { server, repetition, invalid: None, slices: Vec::new(), whole };
        Ok(Measured { worker, run })
    }

    fn work_for(&mut self, duration: Duration, is_counted: bool) {
        match self.worker.work_for(duration) {
            Ok(slice) => {
                self.run.whole.count += slice.count;
                if is_counted {
                    self.run.slices.push(slice);
                }
            }
            Err(error) => self.run.invalid = Some(format!("it went away in the middle: {error}")),
        }
    }

    fn end(mut self) -> Run {
        if self.run.slices.is_empty() && self.run.invalid.is_none() {
            self.run.invalid = Some("interrupted before its first slice was over".to_owned());
        }
        self.run
    }
}

/// A child, ended when this is dropped.
struct Worker {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    clock: CpuClock,
}

impl Worker {
    fn start(work: RuntimeWork, side: &str, cpu: usize) -> io::Result<Self> {
        let mut child = Command::new(env::current_exe()?)
            .arg("runtime-cell")
            .arg(format!("--work={}", work.name()))
            .arg(format!("--side={side}"))
            .arg(format!("--cpu={cpu}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C is for the study, which then ends its children.
            .process_group(0)
            .spawn()?;
        let orders = child.stdin.take().expect("the input was asked for as a pipe");
        let output = child.stdout.take().expect("the output was asked for as a pipe");
        let clock = CpuClock::of(child.id())?;
        let mut worker = Worker { child, orders, answers: BufReader::new(output), clock };
        let line = worker.line()?;
        if line == READY { Ok(worker) } else { Err(unexpected(&line)) }
    }

    fn work_for(&mut self, duration: Duration) -> io::Result<Slice> {
        let before = self.clock.now()?;
        writeln!(self.orders, "{}", duration.as_nanos())?;
        let line = self.line()?;
        let used = self.clock.now()?.saturating_sub(before);
        let done = parse(&line).ok_or_else(|| unexpected(&line))?;
        Ok(Slice {
            count: done.count,
            elapsed_ns: nanoseconds(done.elapsed),
            server_cpu_ns: nanoseconds(used),
            client_cpu_ns: None,
            latency_ns: None,
        })
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // One that ended before has nothing left to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn parse(line: &str) -> Option<Done> {
    let (count, elapsed) = line.split_once(' ')?;
    let elapsed = Duration::from_nanos(elapsed.parse().ok()?);
    Some(Done { count: count.parse().ok()?, elapsed })
}

fn unexpected(line: &str) -> io::Error {
    if line.is_empty() {
        io::Error::new(io::ErrorKind::UnexpectedEof, "the process has ended")
    } else {
        io::Error::new(io::ErrorKind::InvalidData, format!("it answered `{line}`"))
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
