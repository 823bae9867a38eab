//! Measures the candidates of a plan side by side: all alive at once, each in a process of its own
//! on the same CPU, and one at a time at work, for a short slice, in random order.

#![forbid(unsafe_code)]

use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::candidate::{Answer, Assignment, Order};
use super::fio::{self, Fio};
use super::plan::{Driver, Limit, Plan};
use super::scratch::{Scratch, check_room};
use crate::interrupt::Interrupt;
use crate::outcome::Failure;
use crate::stats::Random;
use crate::study::schema::{Run, Slice, WholeRun};

/// Measures, and gives one run per candidate, in the order of the plan. A candidate that failed, for
/// instance since it read a block with wrong content, has a run that says so. If interrupted, the
/// runs hold the rounds that were complete by then.
pub fn measure(plan: &Plan, interrupt: &Interrupt) -> Result<Vec<Run>, Failure> {
    measure_with_progress(plan, interrupt, |_| {})
}

/// The same. `progress` hears after each round how many are done.
pub fn measure_with_progress(
    plan: &Plan,
    interrupt: &Interrupt,
    mut progress: impl FnMut(u32),
) -> Result<Vec<Run>, Failure> {
    plan.check()?;
    if plan.drivers.contains(&Driver::Fio) {
        fio::check(plan)?;
    }
    let Some(mut candidates) = start_all(plan, interrupt)? else { return Ok(Vec::new()) };
    let mut random = Random::new(plan.seed);
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    // The first round warms up, and is not counted.
    'rounds: for round in 0..=plan.rounds {
        random.shuffle(&mut order);
        for index in &order {
            if interrupt.is_set() {
                break 'rounds;
            }
            candidates[*index].slice(plan.limit, round > 0);
        }
        progress(round);
    }
    // Slices of the same number are pairs: those of a round that was not completed have none.
    let complete = candidates.iter().filter(|candidate| candidate.run.invalid.is_none());
    let complete = complete.map(|candidate| candidate.run.slices.len()).min().unwrap_or(0);
    Ok(candidates
        .into_iter()
        .map(|candidate| {
            let mut run = candidate.finish();
            run.slices.truncate(complete);
            run
        })
        .collect())
}

fn start_all(plan: &Plan, interrupt: &Interrupt) -> Result<Option<Vec<Candidate>>, Failure> {
    let mut named: Vec<_> =
        plan.drivers.iter().map(|driver| (driver.name().to_owned(), *driver)).collect();
    if plan.with_noise {
        named.insert(1, (format!("{} again", plan.drivers[0].name()), plan.drivers[0]));
    }
    // Who writes changes versions that it alone knows.
    let files = if plan.access.writes() { named.len() } else { 1 };
    check_room(plan, files as u64)?;
    let mut candidates = Vec::new();
    let mut shared: Option<std::rc::Rc<Scratch>> = None;
    for (name, driver) in named {
        let scratch = match &shared {
            Some(scratch) if !plan.access.writes() => scratch.clone(),
            _ => match Scratch::make(plan, interrupt)? {
                Some(scratch) => scratch.into(),
                None => return Ok(None),
            },
        };
        shared = Some(scratch.clone());
        candidates.push(Candidate::start(plan, name, driver, scratch)?);
    }
    Ok(Some(candidates))
}

/// What works on the file.
enum Means {
    Process(Process),
    Fio(Fio),
}

/// One that is measured, and what its slices gave.
struct Candidate {
    means: Means,
    run: Run,
    /// Keeps the file.
    _scratch: std::rc::Rc<Scratch>,
}

impl Candidate {
    fn start(
        plan: &Plan,
        name: String,
        driver: Driver,
        scratch: std::rc::Rc<Scratch>,
    ) -> Result<Self, Failure> {
        let path = scratch.path();
        let means = match driver {
            Driver::Fio => Fio::new(plan, path).map(Means::Fio),
            _ => Process::start(plan, &name, driver, path).map(Means::Process),
        };
        let means = means.map_err(|error| Failure::Environment(format!("{name}: {error}")))?;
        let run = Run {
            server: name,
            repetition: plan.repetition,
            invalid: None,
            slices: Vec::new(),
            whole: WholeRun::default(),
        };
        Ok(Candidate { means, run, _scratch: scratch })
    }

    /// One slice, unless it has failed before.
    fn slice(&mut self, limit: Limit, counts: bool) {
        if self.run.invalid.is_some() {
            return;
        }
        let slice = match &mut self.means {
            Means::Process(process) => process.slice(limit),
            Means::Fio(fio) => fio.slice(limit),
        };
        match slice {
            Ok(slice) if slice.count == 0 => {
                self.run.invalid = Some("no block was transferred in a slice".to_owned());
            }
            Ok(slice) if counts => self.run.slices.push(slice),
            Ok(_) => {}
            Err(error) => self.run.invalid = Some(error.to_string()),
        }
    }

    /// Ends it. What it wrote and cannot be read back makes the run invalid.
    fn finish(mut self) -> Run {
        if self.run.invalid.is_some() {
            return self.run;
        }
        let process = match &mut self.means {
            Means::Process(process) => process,
            Means::Fio(fio) => {
                self.run.whole.count = fio.count;
                return self.run;
            }
        };
        match process.ask(&Order::Finish) {
            Ok(Answer::Finished(whole)) => self.run.whole = whole,
            Ok(answer) => self.run.invalid = Some(unexpected(answer).to_string()),
            Err(error) => self.run.invalid = Some(error.to_string()),
        }
        self.run
    }
}

/// A process that takes orders, ended when this is dropped.
struct Process {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Process {
    fn start(plan: &Plan, name: &str, driver: Driver, path: PathBuf) -> io::Result<Self> {
        let assignment = Assignment { name: name.to_owned(), driver, path, plan: plan.clone() };
        let mut child = Command::new(env::current_exe()?)
            .args(["file", "--candidate", &serde_json::to_string(&assignment)?])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C is for this process, which then ends the candidates in order.
            .process_group(0)
            .spawn()?;
        let orders = child.stdin.take().expect("the input was asked for as a pipe");
        let output = child.stdout.take().expect("the output was asked for as a pipe");
        let mut process = Process { child, orders, answers: BufReader::new(output) };
        match process.answer()? {
            Answer::Ready => Ok(process),
            answer => Err(unexpected(answer)),
        }
    }

    fn slice(&mut self, limit: Limit) -> io::Result<Slice> {
        match self.ask(&Order::Slice(limit))? {
            Answer::Slice(slice) => Ok(slice),
            answer => Err(unexpected(answer)),
        }
    }

    fn ask(&mut self, order: &Order) -> io::Result<Answer> {
        writeln!(self.orders, "{}", serde_json::to_string(order)?)?;
        self.answer()
    }

    fn answer(&mut self) -> io::Result<Answer> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the process has ended"));
        }
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that ended before has nothing left to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn unexpected(answer: Answer) -> io::Error {
    match answer {
        Answer::Failed(reason) => io::Error::other(reason),
        other => io::Error::other(format!("it answered {other:?}, which was not asked for")),
    }
}
