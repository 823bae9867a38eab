//! That a study loses nothing, whatever stops it: the runner and the store together, with a
//! measurement that invents its figures.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use super::analysis::validity::{invalid_cells, is_valid};
use super::budget::{Budget, Costs};
use super::limits::Limits;
use super::plan::CellPlan;
use super::runner::{self, Measure, blank};
use super::schema::{Cell, Fingerprint, Mode, Run, Slice, Study, VERSION, WholeRun};
use super::store::{Session, Store};
use super::testing::Folder;
use super::{fingerprint, matrix};
use crate::interrupt::Interrupt;
use crate::outcome::Failure;

const ROOMY: Limits = Limits {
    memory_bytes: u64::MAX,
    descriptors: u64::MAX,
    ports: 28_232,
    source_addresses: 16,
    cpus: 64,
};

/// Invents a run for each server, and notes which cells it was asked for.
#[derive(Default)]
struct Invention {
    measured: Vec<String>,
    budgets: Vec<Budget>,
    /// Sets the interrupt within the measurement with this index.
    interrupted_at: Option<usize>,
    /// Fails the measurement with this index.
    failing_at: Option<usize>,
    /// Measurements with these indices are spoiled by a busy machine.
    spoiled: Range<usize>,
}

impl Measure for Invention {
    fn measure(
        &mut self,
        plan: &CellPlan,
        budget: &Budget,
        interrupt: &Interrupt,
    ) -> Result<Cell, Failure> {
        let index = self.measured.len();
        self.measured.push(plan.id());
        self.budgets.push(*budget);
        if self.interrupted_at == Some(index) {
            interrupt.set();
        }
        if self.failing_at == Some(index) {
            return Err(Failure::Environment("epoll: the server went away".to_owned()));
        }
        let slice = Slice {
            count: 1 + index as u64,
            elapsed_ns: 1_000,
            server_cpu_ns: 700,
            client_cpu_ns: None,
            latency_ns: None,
        };
        let run = |server| Run {
            server,
            repetition: 0,
            invalid: self.spoiled.contains(&index).then(|| "steal: 9% of the time".to_owned()),
            slices: vec![slice.clone()],
            whole: WholeRun::default(),
        };
        Ok(Cell { runs: plan.servers().into_iter().map(run).collect(), ..blank(plan) })
    }
}

fn plans() -> Vec<CellPlan> {
    matrix::cells(Mode::Full)
}

fn session() -> Session {
    Session {
        version: VERSION,
        mode: Mode::Full,
        seed: 7,
        command: "corering-bench study".to_owned(),
        started_at_unix_s: 1,
        handicaps_ns: BTreeMap::new(),
        with_peers: false,
        cells: plans().iter().map(CellPlan::id).collect(),
        fingerprint: fingerprint::take(),
    }
}

fn begin(folder: &Folder) -> Store {
    Store::begin(folder.path(), session()).expect("it is empty")
}

fn resume(folder: &Folder) -> Store {
    Store::resume(folder.path(), &session()).expect("nothing has changed")
}

fn study(store: &Store, invention: &mut Invention) -> Study {
    let interrupt = Interrupt::default();
    runner::run(store, &plans(), &ROOMY, None, invention, &interrupt).expect("it can be written")
}

/// The finished cells of a study by their files' names.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder.join("cells")).expect("it was made");
    entries
        .map(|entry| {
            let entry = entry.expect("it can be listed");
            let bytes = fs::read(entry.path()).expect("it can be read");
            (entry.file_name().to_string_lossy().into_owned(), bytes)
        })
        .collect()
}

#[test]
fn a_study_that_was_stopped_goes_on_with_the_next_cell() {
    let folder = Folder::new("resume");
    let mut first = Invention { interrupted_at: Some(3), ..Invention::default() };
    let partial = study(&begin(&folder), &mut first);
    assert!(partial.is_partial);
    assert_eq!(partial.cells.len(), 4, "what the fourth had so far is told of");
    let before = files(folder.path());
    assert_eq!(before.len(), 3, "but it is not finished");

    let mut second = Invention::default();
    let whole = study(&resume(&folder), &mut second);
    let ids: Vec<String> = plans().iter().map(CellPlan::id).collect();
    assert_eq!(second.measured, ids[3..]);
    assert!(!whole.is_partial);
    assert_eq!(whole.cells.iter().map(|cell| &cell.id).collect::<Vec<_>>(), Vec::from_iter(&ids));
    let after = files(folder.path());
    assert_eq!(after.len(), ids.len());
    for (name, bytes) in &before {
        assert_eq!(after.get(name), Some(bytes), "{name} was written again");
    }
}

#[test]
fn a_study_that_is_finished_is_not_measured_again() {
    let folder = Folder::new("finished");
    let first = study(&begin(&folder), &mut Invention::default());
    let mut nothing = Invention::default();
    let second = study(&resume(&folder), &mut nothing);
    assert_eq!(nothing.measured, Vec::<String>::new());
    assert_eq!(second.cells, first.cells);
}

#[test]
fn what_was_being_written_when_the_machine_stopped_is_measured_again() {
    let folder = Folder::new("torn");
    let mut first = Invention { interrupted_at: Some(1), ..Invention::default() };
    study(&begin(&folder), &mut first);
    let (name, bytes) = files(folder.path()).pop_first().expect("one is finished");
    let torn = folder.path().join("cells").join(name.replace(".json", ".unfinished"));
    fs::remove_file(folder.path().join("cells").join(name)).expect("it was listed");
    fs::write(torn, &bytes[..bytes.len() / 2]).expect("it is ours");
    let mut second = Invention::default();
    study(&resume(&folder), &mut second);
    assert_eq!(second.measured.len(), plans().len());
}

#[test]
fn a_cell_that_fails_is_invalid_and_the_study_goes_on() {
    let folder = Folder::new("failing");
    let mut invention = Invention { failing_at: Some(2), ..Invention::default() };
    let study = study(&begin(&folder), &mut invention);
    assert_eq!(study.cells.len(), plans().len());
    let failed = &study.cells[2];
    assert!(!is_valid(failed));
    assert_eq!(failed.runs.len(), plans()[2].servers().len());
    assert!(failed.runs.iter().all(|run| {
        run.invalid.as_deref() == Some("epoll: the server went away") && run.slices.is_empty()
    }));
    assert_eq!(invalid_cells(&study).count(), 1, "the others are valid");
}

/// Measures the cells of a quick study within `time`.
fn quick_study(store: &Store, time: Duration, invention: &mut Invention) -> Study {
    let (quick, interrupt) = (matrix::cells(Mode::Quick), Interrupt::default());
    runner::run(store, &quick, &ROOMY, Some(time), invention, &interrupt)
        .expect("it can be written")
}

#[test]
fn spare_seconds_repeat_what_was_spoiled() {
    let folder = Folder::new("spoiled");
    // A neighbour is busy for half of the time.
    let cells = matrix::cells(Mode::Quick).len();
    let mut invention = Invention { spoiled: 0..cells / 2, ..Invention::default() };
    let store = begin(&folder);
    let study = quick_study(&store, Duration::from_secs(90), &mut invention);
    let (first, repeated) = invention.measured.split_at(cells);
    assert_eq!(repeated, &first[..cells / 2]);
    let ids: Vec<_> = study.cells.iter().map(|cell| cell.id.as_str()).collect();
    assert_eq!(ids, first);
    assert!(study.cells.iter().all(is_valid));
    // The report lists the spoiled runs; no valid run is paired with one.
    for run in &study.cells[0].runs {
        assert_eq!(run.repetition, u32::from(run.invalid.is_none()));
    }
    let kept = store.finished(&study.cells[0].id).expect("it is there").expect("it is whole");
    assert_eq!(kept.cell, study.cells[0]);
}

#[test]
fn cell_that_is_always_spoiled_is_given_up() {
    let folder = Folder::new("given-up");
    let mut invention = Invention { spoiled: 0..usize::MAX, ..Invention::default() };
    let study = quick_study(&begin(&folder), Duration::from_secs(90), &mut invention);
    assert_eq!(invention.measured.len(), 3 * study.cells.len());
    assert_eq!(invalid_cells(&study).count(), study.cells.len());
}

#[test]
fn spoiled_cell_is_measured_again_when_resumed_and_no_other() {
    let folder = Folder::new("spoiled-before");
    let mut first = Invention { spoiled: 2..4, ..Invention::default() };
    let spoiled = study(&begin(&folder), &mut first);
    assert_eq!(first.measured.len(), spoiled.cells.len(), "a full study goes on");
    assert_eq!(invalid_cells(&spoiled).count(), 2);
    let mut second = Invention::default();
    let mended = study(&resume(&folder), &mut second);
    assert_eq!(second.measured, first.measured[2..4]);
    assert!(mended.cells.iter().all(is_valid));
}

#[test]
fn interrupt_while_a_cell_is_repeated_loses_no_cell() {
    let folder = Folder::new("interrupted-again");
    let cells = matrix::cells(Mode::Quick).len();
    let mut invention =
        Invention { spoiled: 0..2, interrupted_at: Some(cells), ..Invention::default() };
    let study = quick_study(&begin(&folder), Duration::from_secs(90), &mut invention);
    assert!(study.is_partial);
    assert_eq!((study.cells.len(), files(folder.path()).len()), (cells, cells));
}

#[test]
fn what_goes_beyond_a_limit_is_listed_with_its_name_and_not_measured() {
    let folder = Folder::new("limits");
    let limits = Limits { descriptors: 5_000, ..ROOMY };
    let mut invention = Invention::default();
    let interrupt = Interrupt::default();
    let study = runner::run(&begin(&folder), &plans(), &limits, None, &mut invention, &interrupt)
        .expect("it can be written");
    let not_run: Vec<&str> = study.not_run.iter().map(|one| one.cell.as_str()).collect();
    assert!(not_run.contains(&"idle/100000-beside-64"), "{not_run:?}");
    for excluded in &study.not_run {
        assert!(excluded.reason.starts_with("RLIMIT_NOFILE: "), "{}", excluded.reason);
        assert!(!invention.measured.contains(&excluded.cell));
    }
    assert_eq!(study.not_run.len() + invention.measured.len(), plans().len());
}

#[test]
fn a_quick_study_divides_its_time_and_a_full_one_its_repetitions() {
    let folder = Folder::new("budgets");
    let quick = matrix::cells(Mode::Quick);
    let mut invention = Invention::default();
    let (interrupt, time) = (Interrupt::default(), Duration::from_secs(90));
    runner::run(&begin(&folder), &quick, &ROOMY, Some(time), &mut invention, &interrupt)
        .expect("it can be written");
    // The invention takes no time, so that each cell is planned with more than the one before.
    let first = &invention.budgets[0];
    assert!(
        first.expected(&Costs::of(&quick[0], quick[0].servers().len())) < time / 4,
        "{first:?}"
    );
    assert!(invention.budgets.iter().all(|budget| budget.deadline.is_some()));

    let folder = Folder::new("repetitions");
    let mut invention = Invention::default();
    study(&begin(&folder), &mut invention);
    assert!(invention.budgets.iter().all(|budget| budget.repetitions >= 10));
}

#[test]
fn a_resumed_study_is_the_one_that_was_begun() {
    let folder = Folder::new("other");
    drop(begin(&folder));
    let refused = |change: fn(&mut Session)| {
        let mut other = session();
        change(&mut other);
        match Store::resume(folder.path(), &other) {
            Err(Failure::Usage(text)) => text,
            other => panic!("it was not refused: {other:?}"),
        }
    };
    assert!(refused(|session| session.seed = 8).contains("the seed was 7, is 8"));
    assert!(refused(|session| session.mode = Mode::Quick).contains("the mode was Full, is Quick"));
    let kernel = refused(|session| session.fingerprint = Fingerprint::default());
    assert!(kernel.contains("kernel was"), "{kernel}");
    let handicap = |session: &mut Session| {
        session.handicaps_ns.insert("epoll".to_owned(), 20_000);
    };
    assert!(refused(handicap).contains("the handicap was"));
    resume(&folder);
}

#[test]
fn a_folder_that_is_in_use_is_refused() {
    let folder = Folder::new("in-use");
    let running = begin(&folder);
    let refused = |result: Result<Store, Failure>| result.expect_err("it is in use").to_string();
    let another = refused(Store::resume(folder.path(), &session()));
    assert!(another.contains("another study is running"), "{another}");
    drop(running);
    let again = refused(Store::begin(folder.path(), session()));
    assert!(again.contains("--resume"), "{again}");
    let other = Folder::new("not-empty");
    fs::write(other.path().join("letter"), "dear").expect("it is ours");
    let full = refused(Store::begin(other.path(), session()));
    assert!(full.contains("is not empty"), "{full}");
    let nothing = Folder::new("nothing");
    let nothing = refused(Store::resume(nothing.path(), &session()));
    assert!(nothing.contains("leave out --resume"), "{nothing}");
}
