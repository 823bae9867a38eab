//! Goes through the matrix, cell by cell, and leaves nothing to be lost.

#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::analysis::{RIVAL, SUBJECT};
use super::budget::{Budget, Costs};
use super::limits::Limits;
use super::plan::CellPlan;
use super::progress::Progress;
use super::schema::{Cell, Excluded, Mode, Run, Study, WholeRun, Workload};
use super::store::{Finished, Store};
use crate::interrupt::Interrupt;
use crate::outcome::Failure;

/// Measures one cell. When it is interrupted it returns what it has; an error is that of this cell
/// alone, and the study goes on.
pub trait Measure {
    /// The servers that it measures in such a cell, the two sides among them.
    fn servers(&self, plan: &CellPlan) -> Vec<String> {
        plan.servers()
    }

    /// Measures `plan` within `budget`.
    fn measure(
        &mut self,
        plan: &CellPlan,
        budget: &Budget,
        interrupt: &Interrupt,
    ) -> Result<Cell, Failure>;
}

/// Measures what is left of `plans`, within `limits` and, in a quick study, within `time`. What was
/// finished in an earlier session is read. Nothing is concluded yet.
pub fn run(
    store: &Store,
    plans: &[CellPlan],
    limits: &Limits,
    time: Option<Duration>,
    measure: &mut impl Measure,
    interrupt: &Interrupt,
) -> Result<Study, Failure> {
    let mut study = empty(store);
    let mut possible = Vec::new();
    for plan in plans {
        let servers = measure.servers(plan);
        match limits.forbid(plan, servers.len()) {
            Some(reason) => study.not_run.push(Excluded { cell: plan.id(), server: None, reason }),
            None => possible.push(Task { plan, finished: store.finished(&plan.id())?, servers }),
        }
    }
    let open = possible.iter().filter(|task| task.finished.is_none()).map(Task::costs);
    let mut clock = Clock::new(open, time);
    let mut progress = Progress::new(possible.len());
    for task in &mut possible {
        let (plan, costs) = (task.plan, task.costs());
        if let Some(kept) = task.finished.take() {
            study.elapsed_s += kept.elapsed_s;
            progress.kept(is_valid(&kept.cell));
            study.cells.push(kept.cell);
            continue;
        }
        if interrupt.is_set() {
            study.is_partial = true;
            break;
        }
        progress.begin(&plan.title(), clock.left());
        let budget = clock.next(&costs);
        let limited = budget.deadline.map(|deadline| interrupt.with_deadline(deadline));
        let start = Instant::now();
        let cell =
            measure.measure(plan, &budget, limited.as_ref().unwrap_or(interrupt)).unwrap_or_else(
                |failure| Cell { runs: failed_runs(&task.servers, 0, &failure), ..blank(plan) },
            );
        let elapsed_s = start.elapsed().as_secs_f64();
        study.elapsed_s += elapsed_s;
        if interrupt.is_set() {
            // It may lack repetitions, so it is told of, but measured again when this is resumed.
            study.is_partial = true;
            study.cells.push(cell);
            break;
        }
        clock.done(&costs);
        let done = Finished { elapsed_s, cell };
        store.keep(&done)?;
        study.cells.push(done.cell);
        progress.done(study.cells.last().is_some_and(is_valid));
    }
    progress.end();
    Ok(study)
}

/// A cell that can be run here.
struct Task<'a> {
    plan: &'a CellPlan,
    servers: Vec<String>,
    /// In an earlier session.
    finished: Option<Finished>,
}

impl Task<'_> {
    fn costs(&self) -> Costs {
        Costs::of(self.plan, self.servers.len())
    }
}

/// The workloads of `plans` that have no valid cell.
pub fn missing(study: &Study, plans: &[CellPlan]) -> BTreeSet<Workload> {
    let mut missing: BTreeSet<_> = plans.iter().map(CellPlan::workload).collect();
    for cell in study.cells.iter().filter(|cell| is_valid(cell)) {
        missing.remove(&cell.workload);
    }
    missing
}

/// Whether both sides of the comparison have a run that counts.
pub fn has_both_sides(runs: &[Run]) -> bool {
    let counts = |run: &Run| run.invalid.is_none() && !run.slices.is_empty();
    [SUBJECT, RIVAL].iter().all(|side| runs.iter().any(|run| run.server == *side && counts(run)))
}

/// Whether both sides of the comparison have something in `cell` that counts: runs, or a point at
/// the same rate.
pub fn is_valid(cell: &Cell) -> bool {
    let rates_of = |side: &str| {
        let valid = cell.curve.iter().filter(|point| point.invalid.is_none());
        let own = valid.filter(|point| point.server == side);
        own.map(|point| point.share_of_capacity.to_bits()).collect::<BTreeSet<_>>()
    };
    has_both_sides(&cell.runs) || !rates_of(SUBJECT).is_disjoint(&rates_of(RIVAL))
}

fn empty(store: &Store) -> Study {
    let session = store.session();
    Study {
        version: session.version,
        mode: session.mode,
        is_partial: false,
        seed: session.seed,
        command: session.command.clone(),
        started_at_unix_s: session.started_at_unix_s,
        elapsed_s: 0.0,
        handicaps_ns: session.handicaps_ns.clone(),
        fingerprint: session.fingerprint.clone(),
        noise: Vec::new(),
        cells: Vec::new(),
        verdict: Vec::new(),
        wins: Vec::new(),
        losses: Vec::new(),
        ties: Vec::new(),
        invalid: Vec::new(),
        not_run: Vec::new(),
    }
}

/// A cell without figures yet.
pub fn blank(plan: &CellPlan) -> Cell {
    Cell {
        id: plan.id(),
        workload: plan.workload(),
        title: plan.title(),
        parameters: plan.parameters(),
        unit: plan.unit().to_owned(),
        runs: Vec::new(),
        comparisons: Vec::new(),
        curve: Vec::new(),
    }
}

/// A repetition that could not be measured, on all servers, for one reason.
pub fn failed_runs(servers: &[String], repetition: u32, failure: &Failure) -> Vec<Run> {
    let run = |server: &String| Run {
        server: server.clone(),
        repetition,
        invalid: Some(failure.to_string()),
        slices: Vec::new(),
        whole: WholeRun::default(),
    };
    servers.iter().map(run).collect()
}

/// What time is left, and how it is divided among the cells that are left.
struct Clock {
    mode: Mode,
    start: Instant,
    time: Duration,
    /// Shares of the cells that are left, in a quick study; seconds expected, in a full one.
    left: f64,
    done: f64,
}

impl Clock {
    fn new(open: impl Iterator<Item = Costs>, time: Option<Duration>) -> Self {
        let mode = if time.is_some() { Mode::Quick } else { Mode::Full };
        let left = open.map(|costs| share(&costs, mode)).sum();
        Clock { mode, start: Instant::now(), time: time.unwrap_or_default(), left, done: 0.0 }
    }

    fn next(&self, costs: &Costs) -> Budget {
        match self.mode {
            Mode::Full => Budget::full(costs),
            Mode::Quick => {
                let left = self.time.saturating_sub(self.start.elapsed());
                Budget::within(left.mul_f64(share(costs, self.mode) / self.left), costs)
            }
        }
    }

    fn done(&mut self, costs: &Costs) {
        let share = share(costs, self.mode);
        self.left -= share;
        self.done += share;
    }

    /// The time until the end, as far as can be told: by what was expected, corrected by what the
    /// cells so far really took.
    fn left(&self) -> Duration {
        match self.mode {
            Mode::Quick => self.time.saturating_sub(self.start.elapsed()),
            Mode::Full => {
                let elapsed = self.start.elapsed().as_secs_f64();
                let pace = if self.done > 0.0 { elapsed / self.done } else { 1.0 };
                Duration::from_secs_f64((self.left * pace).max(0.0))
            }
        }
    }
}

/// How much of the time goes to a cell.
fn share(costs: &Costs, mode: Mode) -> f64 {
    match mode {
        Mode::Quick => costs.least().as_secs_f64(),
        Mode::Full => Budget::full(costs).expected(costs).as_secs_f64(),
    }
}
