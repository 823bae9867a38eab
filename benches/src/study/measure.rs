//! Which instrument measures which cell.

#![forbid(unsafe_code)]

use std::env;
use std::path::PathBuf;

use super::analysis::validity::has_both_sides;
use super::budget::Budget;
use super::plan::{CHURN_CONNECTIONS, CellPlan};
use super::runner::{Measure, blank, failed_runs};
use super::schema::{Cell, Mode, Run};
use super::store::Store;
use super::{rate, runtime_cell};
use crate::file::{self, Access, Limit};
use crate::interrupt::Interrupt;
use crate::load::Pace;
use crate::outcome::Failure;
use crate::paired::{self, Candidate, Cpus, Handicap, Order, Shape};
use crate::server::{Read, Workload, peers};

/// The instruments, and what they have in common over a whole study.
#[derive(Debug)]
pub struct Instruments {
    seed: u64,
    handicaps: Vec<Handicap>,
    cpus: Cpus,
    /// Where other runtimes are, if they were asked for.
    peers: Option<PathBuf>,
    /// Whether fio stands beside in file cells.
    with_fio: bool,
    /// The folder of the study: whole distributions are kept in there, and files are read and
    /// written on its disk.
    folder: PathBuf,
}

/// The file of the file cells: large enough that a read meets no neighbour of the last one, small
/// enough to be in the page cache of any machine.
const FILE_BYTES: u64 = 256 << 20;

/// A virtual disk is the work of the host's CPUs. Where they are the guest's, too, a busy disk is
/// steal by itself, and so are the many times that a client sleeps and wakes.
const MIXED_STEAL_SHARE_MAX: f64 = 0.2;

impl Instruments {
    /// For the study in `store`.
    ///
    /// # Errors
    ///
    /// If this process may run on no CPU at all.
    pub fn new(
        store: &Store,
        handicaps: Vec<Handicap>,
        peers: Option<PathBuf>,
    ) -> Result<Self, Failure> {
        Ok(Instruments {
            peers,
            // It is started for each slice, for which those of a quick study are too short.
            with_fio: store.session().mode == Mode::Full && is_there("fio"),
            seed: store.session().seed,
            handicaps,
            cpus: Cpus::choose(None, None)?,
            folder: store.folder().to_owned(),
        })
    }

    /// What the paired instrument is to do for one repetition of `cell`.
    fn paired(&self, cell: &CellPlan, budget: &Budget) -> Result<paired::Plan, Failure> {
        let (workload, shape, server_options) = served(cell)?;
        let candidates = self.servers(cell).into_iter().map(|name| self.candidate(&name));
        let mut plan = paired::Plan::new(candidates.collect::<Result<_, _>>()?, shape)?;
        plan.workload = workload;
        plan.rounds = budget.rounds;
        plan.slice = budget.slice;
        plan.order = Order::Abba;
        plan.seed = self.seed;
        plan.cpus = self.cpus;
        plan.server_options = server_options;
        if matches!(cell, CellPlan::OwnedEcho { .. }) {
            plan.read = Read::Owned;
        }
        plan.peers = self.peers.clone();
        Ok(plan)
    }

    fn candidate(&self, name: &str) -> Result<Candidate, Failure> {
        let mut candidate = Candidate::new(name.parse().map_err(Failure::Usage)?);
        for handicap in self.handicaps.iter().filter(|one| one.concerns(&candidate.name)) {
            candidate.handicap += handicap.time;
        }
        Ok(candidate)
    }

    fn file(&self, cell: &CellPlan, budget: &Budget) -> file::Plan {
        let CellPlan::File { block_bytes, is_direct, depth } = *cell else {
            unreachable!("called for file cells")
        };
        let handicaps_ns = self.handicaps.iter().map(|handicap| {
            let time_ns = u64::try_from(handicap.time.as_nanos()).unwrap_or(u64::MAX);
            (handicap.server.to_string(), time_ns)
        });
        let mut drivers = file::Plan::default().drivers;
        drivers.extend(self.with_fio.then_some(file::Driver::Fio));
        file::Plan {
            drivers,
            with_noise: true,
            directory: self.folder.clone(),
            file_bytes: FILE_BYTES,
            block_bytes: block_bytes as usize,
            depth: depth as usize,
            access: Access::RandomRead,
            is_direct,
            rounds: budget.rounds,
            limit: Limit::from(budget.slice),
            seed: self.seed,
            cpu: Some(self.cpus.server),
            handicaps_ns: handicaps_ns.collect(),
            ..file::Plan::default()
        }
    }
}

impl Instruments {
    fn repeat_paired(
        &self,
        cell: &CellPlan,
        mut task: paired::Plan,
        budget: &Budget,
        interrupt: &Interrupt,
    ) -> Result<Vec<Run>, Failure> {
        repeat(&self.servers(cell), budget, interrupt, |repetition| {
            task.repetition = repetition;
            paired::measure(&task, interrupt, |_| ())
        })
    }
}

impl Measure for Instruments {
    fn servers(&self, plan: &CellPlan) -> Vec<String> {
        let mut servers = plan.servers();
        let serves_peers = matches!(
            plan,
            CellPlan::Echo { .. }
                | CellPlan::OwnedEcho { .. }
                | CellPlan::Idle { .. }
                | CellPlan::Churn { .. }
        );
        if self.peers.is_some() && serves_peers {
            servers.extend(peers::NAMES.map(str::to_owned));
        }
        if self.with_fio && matches!(plan, CellPlan::File { .. }) {
            servers.push(file::Driver::Fio.name().to_owned());
        }
        servers
    }

    fn measure(
        &mut self,
        plan: &CellPlan,
        budget: &Budget,
        interrupt: &Interrupt,
    ) -> Result<Cell, Failure> {
        let mut cell = blank(plan);
        match plan {
            CellPlan::Runtime(work) => {
                cell.runs = runtime_cell::measure(*work, budget, self.cpus.server, interrupt)?;
            }
            CellPlan::File { .. } => {
                let mut task = self.file(plan, budget);
                cell.runs = repeat(&self.servers(plan), budget, interrupt, |repetition| {
                    task.repetition = repetition;
                    file::measure(&task, interrupt)
                })?;
            }
            CellPlan::Rate { percent_of_capacity, .. } => {
                let task = self.paired(plan, budget)?;
                (cell.runs, cell.curve) =
                    rate::measure(&task, percent_of_capacity, budget, &self.folder, interrupt)?;
            }
            CellPlan::Churn { percent_of_capacity: Some(percent), .. } => {
                let mut task = self.paired(plan, budget)?;
                let rate = rate::capacity(&task, interrupt)? * *percent as f64 / 100.0;
                task.pace = Some(Pace::Poisson(rate));
                cell.parameters.insert("rate_per_second".to_owned(), rate as u64);
                cell.runs = self.repeat_paired(plan, task, budget, interrupt)?;
            }
            CellPlan::Mixed { rate_per_second, .. } => {
                let mut task = self.paired(plan, budget)?;
                task.pace = Some(Pace::Poisson(*rate_per_second as f64));
                task.bounds.steal_share_max = MIXED_STEAL_SHARE_MAX;
                cell.runs = self.repeat_paired(plan, task, budget, interrupt)?;
                // The server's CPU time is also that of the reads, and says nothing of a message.
                let slices = cell.runs.iter_mut().flat_map(|run| &mut run.slices);
                slices.for_each(|slice| slice.server_cpu_ns = 0);
            }
            _ => {
                let task = self.paired(plan, budget)?;
                cell.runs = self.repeat_paired(plan, task, budget, interrupt)?;
            }
        }
        Ok(cell)
    }
}

/// Measures with fresh processes, again and again, until that is enough or it is interrupted. What a
/// busy neighbour has spoiled is kept, but does not count as a repetition, within reason.
fn repeat(
    servers: &[String],
    budget: &Budget,
    interrupt: &Interrupt,
    mut once: impl FnMut(u32) -> Result<Vec<Run>, Failure>,
) -> Result<Vec<Run>, Failure> {
    let mut runs: Vec<Run> = Vec::new();
    let attempts = budget.repetitions + budget.repetitions.div_ceil(2);
    let mut sound = 0;
    for repetition in 0..attempts {
        if interrupt.is_set() || sound == budget.repetitions {
            break;
        }
        match once(repetition) {
            Ok(measured) => {
                sound += u32::from(has_both_sides(&measured));
                runs.extend(measured);
            }
            // What fails the first time will fail each time.
            Err(failure) if runs.is_empty() => return Err(failure),
            Err(failure) => runs.extend(failed_runs(servers, repetition, &failure)),
        }
    }
    Ok(runs)
}

/// Whether a program is in PATH.
fn is_there(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// What a cell is for the paired instrument.
fn served(cell: &CellPlan) -> Result<(Workload, Shape, Vec<String>), Failure> {
    let shape = |connections: u64, message_bytes: u64, depth: u64, idle_connections: u64| Shape {
        connections: connections as usize,
        message_bytes: message_bytes as usize,
        depth: depth as usize,
        idle_connections: idle_connections as usize,
    };
    let none = Vec::new();
    Ok(match *cell {
        CellPlan::Echo { connections, message_bytes, depth } => {
            (Workload::Echo, shape(connections, message_bytes, depth, 0), none)
        }
        CellPlan::OwnedEcho { connections, message_bytes }
        | CellPlan::Rate { connections, message_bytes, .. } => {
            (Workload::Echo, shape(connections, message_bytes, 1, 0), none)
        }
        CellPlan::Idle { idle_connections, active_connections, message_bytes } => {
            (Workload::Idle, shape(active_connections, message_bytes, 1, idle_connections), none)
        }
        CellPlan::Churn { message_bytes, percent_of_capacity } => {
            let connections = if percent_of_capacity.is_some() { CHURN_CONNECTIONS } else { 1 };
            (Workload::Churn, shape(connections, message_bytes, 1, 0), none)
        }
        CellPlan::Http { connections, body_bytes } => {
            (Workload::Http, shape(connections, body_bytes, 1, 0), none)
        }
        CellPlan::FileToSocket { connections, file_bytes } => {
            (Workload::File, shape(connections, file_bytes, 1, 0), none)
        }
        // As many connections as a group has lines, so that groups can fill.
        CellPlan::Log { group_lines, line_bytes } => {
            let group = vec![format!("--group={group_lines}")];
            (Workload::Log, shape(group_lines, line_bytes, 1, 0), group)
        }
        CellPlan::Mixed { connections, message_bytes, disk_depth, .. } => {
            let disk = vec![format!("--disk-depth={disk_depth}")];
            (Workload::Mixed, shape(connections, message_bytes, 1, 0), disk)
        }
        CellPlan::File { .. } | CellPlan::Runtime(_) => {
            return Err(Failure::Usage(format!("{} is served by nobody", cell.id())));
        }
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::schema::WholeRun;
    use super::*;

    const BUDGET: Budget =
        Budget { repetitions: 4, rounds: 1, slice: Duration::from_millis(1), deadline: None };

    fn runs(repetition: u32, invalid: Option<&str>) -> Vec<Run> {
        let slice = super::super::schema::Slice {
            count: 1,
            elapsed_ns: 1,
            server_cpu_ns: 1,
            client_cpu_ns: None,
            latency_ns: None,
        };
        let run = |server: &str| Run {
            server: server.to_owned(),
            repetition,
            invalid: invalid.map(str::to_owned),
            slices: vec![slice.clone()],
            whole: WholeRun::default(),
        };
        vec![run("uring"), run("epoll")]
    }

    fn repetitions(once: impl FnMut(u32) -> Result<Vec<Run>, Failure>) -> usize {
        let servers = ["uring".to_owned(), "epoll".to_owned()];
        let runs = repeat(&servers, &BUDGET, &Interrupt::default(), once).expect("it goes on");
        runs.len() / 2
    }

    #[test]
    fn what_was_spoiled_is_repeated_and_kept() {
        assert_eq!(repetitions(|number| Ok(runs(number, None))), 4);
        let spoiled = |number| Ok(runs(number, (number == 1).then_some("steal")));
        assert_eq!(repetitions(spoiled), 5);
    }

    #[test]
    fn a_machine_that_spoils_everything_is_given_up() {
        assert_eq!(repetitions(|number| Ok(runs(number, Some("steal")))), 6);
    }

    #[test]
    fn a_repetition_that_fails_is_told_and_the_first_one_ends_the_cell() {
        let failure = || Failure::Environment("no port".to_owned());
        let failing = |number| if number == 2 { Err(failure()) } else { Ok(runs(number, None)) };
        assert_eq!(repetitions(failing), 5);
        let interrupt = Interrupt::default();
        repeat(&[], &BUDGET, &interrupt, |_| Err(failure())).expect_err("nothing was measured");
    }
}
