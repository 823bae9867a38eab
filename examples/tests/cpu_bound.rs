//! Does a little work in every way, on both drivers, on all cores and on one.

mod common;

use std::process::Command;
use std::thread;

use common::{Example, run_to_end};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

on_both_drivers! {
    every_way_counts_the_same_and_has_a_bar,
    one_core_has_no_parallelism,
}

fn command(driver: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cpu_bound"));
    command.args(["--driver", driver, "--work", "100000"]).env_remove("CORERING_DRIVER");
    command
}

const WAYS: [&str; 4] = ["one task", "tasks", "threads", "processes"];

fn every_way_counts_the_same_and_has_a_bar(driver: &str) {
    let text = Example::start(command(driver)).text();
    let (ways, bars) = text.split_once("\n9592 primes, each time:\n\n").expect("they agree");
    for name in WAYS {
        assert!(ways.contains(&format!("\n{name}: ")), "{text}");
    }
    let (_, one_task) = ways.split_once("\none task: ").expect("it has been found");
    let mut lines = one_task.lines();
    assert_eq!(lines.next(), Some("neither concurrency nor parallelism"));
    let measured = lines.next().expect("there are its times");
    assert!(measured.contains("ran 0 times"), "{text}");
    assert!(ways.contains("\ntasks: concurrency, no parallelism\n"), "{text}");

    // What follows says that other programs were busy, if they were.
    let (bars, _) = bars.split_once("\n\n").unwrap_or((bars, ""));
    assert_eq!(bars.lines().count(), WAYS.len(), "{text}");
    for (line, name) in bars.lines().zip(WAYS) {
        assert!(line.starts_with(name) && line.ends_with('#') && line.len() <= 80, "{text}");
    }
}

fn one_core_has_no_parallelism(driver: &str) {
    // The processors are those of the thread that starts a process.
    let command = command(driver);
    let pinned = thread::spawn(move || {
        let all = sched_getaffinity(None).expect("a thread knows its processors");
        let first = (0..CpuSet::MAX_CPU).find(|cpu| all.is_set(*cpu)).expect("it has one");
        let mut one = CpuSet::new();
        one.set(first);
        sched_setaffinity(None, &one).expect("a thread may have fewer processors");
        Example::start(command).text()
    });
    let text = pinned.join().expect("the run ends well");
    for name in ["threads", "processes"] {
        let kind = format!("\n{name}: concurrency; no parallelism, since there is one core\n");
        assert!(text.contains(&kind), "{text}");
    }
    assert!(text.contains("16 pieces, on 1 core\n"), "{text}");
}

#[test]
fn work_has_bounds() {
    for work in ["0", "1000000001", "many"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cpu_bound"));
        command.args(["--work", work]);
        assert_eq!(run_to_end(command).0, Some(2), "{work}");
    }
}
