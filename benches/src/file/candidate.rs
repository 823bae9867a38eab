//! A candidate: a process that works on the file in slices, whenever it is told to.
//!
//! Orders come as lines of JSON on standard input, and each is answered by one on standard output.
//! Between two orders the process sleeps. It reads its own clocks, right before and after the work.

#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::on_corering::OnCorering;
use super::on_tokio::OnTokio;
use super::plan::{Access, Driver, Limit, Plan};
use super::raw_uring::OnRing;
use super::work::Work;
use crate::os::{self, CpuClock, Usage};
use crate::study::schema::{Slice, WholeRun};

/// What a candidate is started with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Assignment {
    pub(super) name: String,
    pub(super) driver: Driver,
    pub(super) path: PathBuf,
    pub(super) plan: Plan,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Order {
    Slice(Limit),
    /// Read back what was written, report, and end.
    Finish,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    /// Everything is set up.
    Ready,
    Slice(Slice),
    Finished(WholeRun),
    /// It cannot go on.
    Failed(String),
}

/// One way to get blocks to the disk and back.
pub(super) trait Runner {
    /// Runs one slice to its end, with nothing left in flight.
    fn run(&mut self) -> io::Result<()>;

    /// What it has counted so far.
    fn counted(&self) -> Counted;
}

/// Counts of a candidate as a whole.
#[derive(Clone, Debug, Default)]
pub(super) struct Counted {
    pub(super) system_calls: Option<u64>,
    pub(super) counters: BTreeMap<String, u64>,
}

/// Serves orders until there are no more.
pub(super) fn serve(assignment: &Assignment) -> io::Result<()> {
    os::die_with_parent()?;
    let mut candidate = match Candidate::new(assignment) {
        Ok(candidate) => candidate,
        Err(error) => return say(&Answer::Failed(error.to_string())),
    };
    say(&Answer::Ready)?;
    for line in io::stdin().lock().lines() {
        let answer = match serde_json::from_str(&line?)? {
            Order::Slice(limit) => candidate.slice(limit).map(Answer::Slice),
            Order::Finish => candidate.finish().map(Answer::Finished),
        };
        say(&answer.unwrap_or_else(Answer::Failed))?;
    }
    Ok(())
}

fn say(answer: &Answer) -> io::Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{}", serde_json::to_string(answer)?)?;
    output.flush()
}

struct Candidate {
    work: Rc<RefCell<Work>>,
    runner: Box<dyn Runner>,
    access: Access,
    /// For what is done beside the measurement; not `O_DIRECT`.
    file: File,
    clock: CpuClock,
    count: u64,
    checked_blocks: u64,
}

impl Candidate {
    fn new(assignment: &Assignment) -> io::Result<Self> {
        let Assignment { name, driver, path, plan } = assignment;
        if let Some(cpu) = plan.cpu {
            os::pin_to_cpu(cpu)?;
        }
        let work = Rc::new(RefCell::new(Work::new(plan, name)));
        let runner: Box<dyn Runner> = match driver {
            Driver::Uring => Box::new(OnCorering::new(corering::Driver::Uring, plan, path, &work)?),
            Driver::Epoll => Box::new(OnCorering::new(corering::Driver::Epoll, plan, path, &work)?),
            Driver::RawUring => Box::new(OnRing::new(plan, path, &work)?),
            Driver::Tokio => Box::new(OnTokio::new(plan, path, &work)?),
            Driver::Fio => return Err(io::Error::other("fio is a program of its own")),
        };
        let file = File::options().read(true).write(plan.access.writes()).open(path)?;
        let clock = CpuClock::of(std::process::id())?;
        let access = plan.access;
        Ok(Candidate { work, runner, access, file, clock, count: 0, checked_blocks: 0 })
    }

    fn slice(&mut self, limit: Limit) -> Result<Slice, String> {
        if self.access == Access::Append {
            self.file.set_len(0).and_then(|()| self.file.sync_all()).map_err(text)?;
        }
        let before = self.clock.now().map_err(text)?;
        self.work.borrow_mut().begin(limit);
        self.runner.run().map_err(text)?;
        let used = self.clock.now().map_err(text)? - before;
        let progress = self.work.borrow_mut().end()?;
        self.count += progress.count;
        if self.access == Access::Append {
            self.read_back()?;
        }
        Ok(Slice {
            count: progress.count,
            elapsed_ns: progress.elapsed.as_nanos() as u64,
            server_cpu_ns: used.as_nanos() as u64,
            client_cpu_ns: None,
            latency_ns: Some(progress.latency),
        })
    }

    fn finish(&mut self) -> Result<WholeRun, String> {
        let usage = Usage::of_this_process().map_err(text)?;
        if self.access.writes() {
            // What is read back comes from the disk.
            self.file.sync_all().and_then(|()| os::drop_cache(&self.file)).map_err(text)?;
            self.read_back()?;
        }
        let Counted { system_calls, mut counters } = self.runner.counted();
        counters.insert("checked_blocks".to_owned(), self.checked_blocks);
        Ok(WholeRun {
            count: self.count,
            user_cpu_ns: Some(usage.user.as_nanos() as u64),
            system_cpu_ns: Some(usage.system.as_nanos() as u64),
            system_calls,
            context_switches: Some(usage.context_switches),
            resident_bytes_per_connection: None,
            counters,
        })
    }

    fn read_back(&mut self) -> Result<(), String> {
        let read = |buffer: &mut [u8], offset| self.file.read_exact_at(buffer, offset);
        self.checked_blocks += self.work.borrow().read_back(read)?;
        Ok(())
    }
}

fn text(error: io::Error) -> String {
    error.to_string()
}
