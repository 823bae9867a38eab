//! Goes through the matrix, cell by cell, and leaves nothing to be lost.

#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use super::analysis::validity::{self, is_valid};
use super::budget::{Budget, Costs};
use super::limits::Limits;
use super::plan::CellPlan;
use super::progress::Progress;
use super::schema::{Cell, Excluded, Mode, Run, Study, WholeRun};
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

/// Measures what is left of `plans`, within `limits` and, in a quick study, within `time`; spare time
/// there repeats what was spoiled. What was finished in an earlier session and is valid is read. Nothing
/// is concluded yet.
pub fn run(
    store: &Store,
    plans: &[CellPlan],
    limits: &Limits,
    time: Option<Duration>,
    measure: &mut impl Measure,
    interrupt: &Interrupt,
) -> Result<Study, Failure> {
    let mut study = empty(store);
    let mut tasks = Vec::new();
    for plan in plans {
        let servers = measure.servers(plan);
        match limits.forbid(plan, servers.len()) {
            Some(reason) => study.not_run.push(Excluded { cell: plan.id(), server: None, reason }),
            None => tasks.push(Task { plan, measured: store.finished(&plan.id())?, servers }),
        }
    }
    let mut clock = Clock::new(open_costs(&tasks), time);
    let mut progress = Progress::new(tasks.len());
    progress.kept(tasks.iter().filter(|task| !task.is_open()).count());
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            clock.repeat(open_costs(&tasks));
        }
        for task in tasks.iter_mut().filter(|task| task.is_open()) {
            let costs = task.costs();
            let Some(budget) = clock.next(&costs) else { continue };
            study.is_partial = interrupt.is_set();
            if study.is_partial {
                break;
            }
            match attempt {
                0 => progress.begin(&task.plan.title(), clock.left()),
                _ => progress.again(&task.plan.title(), clock.left()),
            }
            task.measure(&budget, measure, interrupt);
            clock.done(&costs);
            // It may lack repetitions, so it is told of, but measured again when this is resumed.
            study.is_partial = interrupt.is_set();
            if study.is_partial {
                break;
            }
            task.measured.iter().try_for_each(|measured| store.keep(measured))?;
            if attempt == 0 {
                progress.done();
            }
        }
        if study.is_partial {
            break;
        }
    }
    let measured: Vec<Finished> = tasks.into_iter().filter_map(|task| task.measured).collect();
    study.elapsed_s = measured.iter().map(|one| one.elapsed_s).sum();
    study.cells = measured.into_iter().map(|one| one.cell).collect();
    progress.end(validity::invalid_cells(&study).count());
    Ok(study)
}

/// How often a cell is measured at most in one session. What fails each time is not the weather's work.
const ATTEMPTS: u32 = 3;

/// A cell that can be run here.
struct Task<'a> {
    plan: &'a CellPlan,
    servers: Vec<String>,
    /// What there is of it, of this session or an earlier one.
    measured: Option<Finished>,
}

impl Task<'_> {
    fn costs(&self) -> Costs {
        Costs::of(self.plan, self.servers.len())
    }

    /// Whether it is to be measured, or measured again.
    fn is_open(&self) -> bool {
        self.measured.as_ref().is_none_or(|measured| !is_valid(&measured.cell))
    }

    fn measure(&mut self, budget: &Budget, measure: &mut impl Measure, interrupt: &Interrupt) {
        let limited = budget.deadline.map(|deadline| interrupt.with_deadline(deadline));
        let start = Instant::now();
        let cell = measure
            .measure(self.plan, budget, limited.as_ref().unwrap_or(interrupt))
            .unwrap_or_else(|failure| Cell {
                runs: failed_runs(&self.servers, 0, &failure),
                ..blank(self.plan)
            });
        let elapsed_s = start.elapsed().as_secs_f64();
        self.measured = Some(match self.measured.take() {
            None => Finished { elapsed_s, cell },
            Some(earlier) => Finished {
                elapsed_s: earlier.elapsed_s + elapsed_s,
                cell: behind(earlier.cell.runs, cell),
            },
        });
    }
}

/// Puts the runs of an earlier attempt before those of `cell`, so that the report lists them. Their
/// repetition numbers differ, so no run of one attempt is paired with a run of the other.
fn behind(mut earlier: Vec<Run>, mut cell: Cell) -> Cell {
    let first = earlier.iter().map(|run| run.repetition + 1).max().unwrap_or(0);
    cell.runs.iter_mut().for_each(|run| run.repetition += first);
    earlier.append(&mut cell.runs);
    Cell { runs: earlier, ..cell }
}

fn open_costs<'a>(tasks: &'a [Task<'_>]) -> impl Iterator<Item = Costs> + 'a {
    tasks.iter().filter(|task| task.is_open()).map(Task::costs)
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
    /// From the start until a quick study is planned to end.
    time: Duration,
    /// From the start until a quick study has ended, whatever the machine does.
    end: Duration,
    is_repeating: bool,
    /// Shares of the cells that are left, in a quick study; seconds expected, in a full one.
    left: f64,
    done: f64,
}

impl Clock {
    fn new(open: impl Iterator<Item = Costs>, time: Option<Duration>) -> Self {
        let mode = if time.is_some() { Mode::Quick } else { Mode::Full };
        let left = open.map(|costs| share(&costs, mode)).sum();
        let time = time.unwrap_or_default();
        let end = match mode {
            Mode::Quick => time.max(Duration::from_secs_f64(left)).mul_f64(1.0 + SPARE),
            Mode::Full => Duration::MAX,
        };
        let start = Instant::now();
        Clock { mode, start, time, end, is_repeating: false, left, done: 0.0 }
    }

    /// From now on, what is left until the end is divided among `open`, which was measured in vain.
    fn repeat(&mut self, open: impl Iterator<Item = Costs>) {
        self.is_repeating = true;
        self.time = self.end;
        self.left = open.map(|costs| share(&costs, self.mode)).sum();
    }

    /// The budget of the next cell. `None` if it is a repetition and no spare time is left for it. A
    /// full study, which takes hours, repeats only when it is resumed.
    fn next(&self, costs: &Costs) -> Option<Budget> {
        if self.mode == Mode::Full {
            return (!self.is_repeating).then(|| Budget::full(costs));
        }
        let left = self.time.saturating_sub(self.start.elapsed());
        if self.is_repeating && left < costs.least() {
            return None;
        }
        let budget = Budget::within(left.mul_f64(share(costs, self.mode) / self.left), costs);
        let end = self.start + self.end;
        Some(Budget { deadline: budget.deadline.map(|deadline| deadline.min(end)), ..budget })
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

/// How much longer a quick study may take than it was planned, to repeat what was spoiled. A minute and a
/// half becomes two minutes less the seconds that starting and ending take on a busy machine.
const SPARE: f64 = 0.25;

/// How much of the time goes to a cell.
fn share(costs: &Costs, mode: Mode) -> f64 {
    match mode {
        Mode::Quick => costs.least().as_secs_f64(),
        Mode::Full => Budget::full(costs).expected(costs).as_secs_f64(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::matrix;
    use super::*;

    fn costs() -> Vec<Costs> {
        let plans = matrix::cells(Mode::Quick);
        plans.iter().map(|plan| Costs::of(plan, plan.servers().len())).collect()
    }

    #[test]
    fn quick_study_ends_in_two_minutes_at_the_latest() {
        let costs = costs();
        let planned = Duration::from_secs(90);
        let mut clock = Clock::new(costs.iter().copied(), Some(planned));
        let end = clock.start + Duration::from_secs(120);
        let mut deadlines = Vec::new();
        for one in &costs {
            deadlines.push(clock.next(one).expect("each is measured once").deadline);
            // As if it had taken so long that nothing of the plan is left.
            clock.time = Duration::ZERO;
            clock.done(one);
        }
        clock.repeat(costs.iter().copied());
        deadlines.extend(costs.iter().map(|one| clock.next(one).expect("there is time").deadline));
        assert!(deadlines.into_iter().all(|deadline| deadline.is_some_and(|one| one <= end)));
    }

    #[test]
    fn nothing_is_repeated_without_spare_time() {
        let costs = costs();
        let mut clock = Clock::new(costs.iter().copied(), Some(Duration::from_secs(90)));
        clock.end = costs[0].least() / 2;
        clock.repeat(costs.iter().copied());
        assert_eq!(clock.next(&costs[0]), None);

        let mut full = Clock::new(costs.iter().copied(), None);
        assert!(full.next(&costs[0]).is_some());
        full.repeat(costs.iter().copied());
        assert_eq!(full.next(&costs[0]), None, "a full study repeats when it is resumed");
    }
}
