//! Random operations on files, by corering on one tree and by the standard library on its twin: what they
//! answer is compared after each, errors included, and the trees in the end.
//!
//! `EXERCISE_OPERATIONS` is how many each driver makes (`scripts/exercise-files.sh` makes a million), and
//! `EXERCISE_SEED` where the random numbers begin: the message of a difference has the seed to repeat it by.
//!
//! Read `step.rs` first, which has the operations; `ours.rs` (with `beneath.rs`) and `theirs.rs` make them.

#[allow(dead_code)] // Each test file uses a part.
#[path = "../common/net.rs"]
mod net;

mod beneath;
mod ours;
mod outcome;
mod step;
mod theirs;
mod tree;

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

use corering::task::JoinSet;
use corering::test_support;

use net::Random;
use ours::Ours;
use step::Step;
use theirs::Theirs;

/// Operations of one session, which begins with two trees of a few files.
const SESSION: usize = 500;
/// Sessions at the same time, so that operations of some are in flight while others begin.
const TOGETHER: usize = 8;
/// A difference is told with as many of the steps before it.
const TOLD: usize = 40;

#[test]
fn operations_answer_as_those_of_std() {
    exercise("operations_answer_as_those_of_std", 1, operations(2_000));
}

#[test]
fn operations_of_many_tasks_answer_as_those_of_std() {
    exercise("operations_of_many_tasks_answer_as_those_of_std", TOGETHER, operations(6_000));
}

/// How many to make: those of the environment are shared by both tests.
fn operations(usual: usize) -> usize {
    let wanted = std::env::var("EXERCISE_OPERATIONS").ok();
    wanted.map_or(usual, |it| it.parse::<usize>().expect("a number of operations").div_ceil(2))
}

fn exercise(name: &str, together: usize, operations: usize) {
    let seed = std::env::var("EXERCISE_SEED").map_or(1, |it| it.parse().expect("a number"));
    test_support::run(name, None, || async move {
        let driver = test_support::current_driver();
        let counts = Counts::default();
        let sessions = operations.div_ceil(SESSION);
        let mut running = JoinSet::new();
        for session in 0..sessions as u64 {
            if running.len() >= together {
                running.join_next().await.expect("some run").expect("no difference");
            }
            let counts = counts.clone();
            let name = format!("exercise-{}-{name}-{driver}-{session}", std::process::id());
            running.spawn(async move { run_session(&name, seed + session, &counts).await });
        }
        while let Some(ended) = running.join_next().await {
            ended.expect("no difference");
        }
        counts.print(&format!("{name} on {driver}, from seed {seed}"));
    });
}

/// Makes one session.
///
/// # Panics
///
/// At the first difference.
async fn run_session(name: &str, seed: u64, counts: &Counts) {
    let base = Base::new(name);
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let (ours, theirs) = (base.0.join("ours"), base.0.join("theirs"));
    // Every other session takes its paths from a folder that is open.
    let beneath = seed.is_multiple_of(2);
    let mut ours = Ours::new(ours, beneath).await;
    let mut theirs = Theirs::new(theirs);
    let mut told = VecDeque::new();
    for number in 0..SESSION {
        let step = Step::random(&mut random);
        if !theirs.can_bear(&step) {
            continue;
        }
        if told.len() == TOLD {
            told.pop_front();
        }
        told.push_back(format!("{number}: {step:?}"));
        let expected = theirs.make(&step);
        let got = ours.make(&step).await;
        counts.add(step.kind(), expected.is_ok());
        assert!(
            outcome::agree(&got, &expected)
                || (beneath && step.may_have_two_faults(&got, &expected)),
            "step {number} differs; repeat it by EXERCISE_SEED={seed} EXERCISE_OPERATIONS=1\n{}\
             corering: {got:?}\nstd:      {expected:?}",
            steps(&told)
        );
    }
    drop((ours, theirs));
    let (ours, theirs) = (tree::look(&base.0.join("ours")), tree::look(&base.0.join("theirs")));
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert!(
            ours.is_like(theirs),
            "the trees differ; repeat it by EXERCISE_SEED={seed} EXERCISE_OPERATIONS=1\n{}\
             corering: {ours:?}\nstd:      {theirs:?}",
            steps(&told)
        );
    }
    assert_eq!(ours.len(), theirs.len(), "the trees differ: EXERCISE_SEED={seed}");
}

fn steps(told: &VecDeque<String>) -> String {
    told.iter().map(|step| format!("  {step}\n")).collect()
}

/// How often each kind of operation was made, and has failed.
#[derive(Clone, Default)]
struct Counts(std::rc::Rc<RefCell<BTreeMap<&'static str, [u64; 2]>>>);

impl Counts {
    fn add(&self, kind: &'static str, is_ok: bool) {
        self.0.borrow_mut().entry(kind).or_default()[usize::from(!is_ok)] += 1;
    }

    fn print(&self, title: &str) {
        let counts = self.0.borrow();
        let all: u64 = counts.values().flatten().sum();
        println!("{title}: {all} operations, no difference");
        for (kind, [done, failed]) in counts.iter() {
            println!("  {kind:<20} {done:>8} done {failed:>8} failed as in std");
        }
    }
}

/// The folder of a session, removed in the end.
struct Base(PathBuf);

impl Base {
    fn new(name: &str) -> Self {
        let base = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        for side in ["ours", "theirs"] {
            let side = base.join(side);
            for folder in step::FOLDERS {
                std::fs::create_dir_all(side.join(folder)).expect("a folder can be made");
            }
            for file in step::FILES {
                std::fs::write(side.join(file), file.repeat(1_000)).expect("a file can be made");
            }
        }
        Base(base)
    }
}

impl Drop for Base {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
