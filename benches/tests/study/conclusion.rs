//! The verdict follows from the data, whoever wins.

use corering_bench::study::analysis::conclude;
use corering_bench::study::analysis::validity::{advice, verdict_stands};
use corering_bench::study::schema::{Finding, Metric, Study};

use crate::fixture::{EPOLL_WINS, Strengths, TIES, URING_WINS, mixed, study};

fn concluded(strengths: Strengths<'_>) -> Study {
    let mut study = study(strengths);
    conclude(&mut study);
    study
}

fn metrics(findings: &[Finding]) -> Vec<Metric> {
    let mut metrics: Vec<Metric> = findings.iter().map(|one| one.comparison.metric).collect();
    metrics.sort_unstable();
    metrics.dedup();
    metrics
}

const ALL: [Metric; 5] = [
    Metric::CpuNsPerUnit,
    Metric::UnitsPerSecond,
    Metric::P99Ns,
    Metric::SystemCallsPerUnit,
    Metric::ResidentBytesPerConnection,
];

#[test]
fn where_io_uring_wins_each_metric_is_a_win() {
    let study = concluded(URING_WINS);
    assert_eq!(metrics(&study.wins), ALL);
    assert!(study.losses.is_empty(), "{:?}", study.losses);
    assert!(study.ties.is_empty(), "{:?}", study.ties);
    let [wins, losses, _] = study.verdict.as_slice() else { panic!("{:?}", study.verdict) };
    assert!(
        wins.starts_with("io_uring wins 44 of 44 comparisons with epoll: in the median, 20% less "),
        "{wins}"
    );
    assert!(wins.contains("20% less CPU time per unit of work (9 cells)"), "{wins}");
    assert!(wins.contains("25% more work per second"), "{wins}");
    assert!(wins.contains("20% lower p99 latency"), "{wins}");
    assert_eq!(losses, "epoll wins none of 44 comparisons.");
}

#[test]
fn where_epoll_wins_each_metric_is_a_loss() {
    let study = concluded(EPOLL_WINS);
    assert_eq!(metrics(&study.losses), ALL);
    assert!(study.wins.is_empty(), "{:?}", study.wins);
    let [wins, losses, _] = study.verdict.as_slice() else { panic!("{:?}", study.verdict) };
    assert_eq!(wins, "io_uring wins none of 44 comparisons with epoll.");
    assert!(
        losses
            .starts_with("epoll wins 44 of 44 comparisons: with io_uring in the median, 25% more "),
        "{losses}"
    );
    assert!(losses.contains("25% more CPU time per unit of work"), "{losses}");
    assert!(losses.contains("20% less work per second"), "{losses}");
    assert!(losses.contains("25% higher p99 latency"), "{losses}");
    assert!(losses.contains("25% more system calls"), "{losses}");
    assert!(losses.contains("25% more memory per connection"), "{losses}");
}

#[test]
fn where_neither_wins_all_are_ties() {
    let study = concluded(TIES);
    assert!(study.wins.is_empty(), "{:?}", study.wins);
    assert!(study.losses.is_empty(), "{:?}", study.losses);
    assert_eq!(study.ties.len(), 44);
    let [wins, losses, certainty] = study.verdict.as_slice() else { panic!("{:?}", study.verdict) };
    assert_eq!(wins, "io_uring wins none of 44 comparisons with epoll.");
    assert_eq!(losses, "epoll wins none of 44 comparisons.");
    assert!(certainty.starts_with("All 44 are ties: "), "{certainty}");
}

#[test]
fn a_difference_within_the_noise_is_a_tie() {
    // Two processes of the same server differ by 30%, so that 25% say nothing.
    let study = concluded(&[("uring", 1.25), ("uring again", 1.625), ("epoll", 1.0)]);
    assert!(study.wins.is_empty(), "{:?}", study.wins);
    assert_eq!(study.ties.len(), 44);
    assert!(study.verdict[2].contains("±30% for CPU time"), "{}", study.verdict[2]);
}

#[test]
fn a_win_and_a_loss_stand_in_their_own_sentences() {
    let mut study = study(URING_WINS);
    study.cells.truncate(2);
    for run in &mut study.cells[0].runs {
        if run.server == "epoll" {
            run.slices.iter_mut().for_each(|slice| slice.server_cpu_ns /= 4);
        }
    }
    conclude(&mut study);
    assert_eq!(metrics(&study.losses), [Metric::CpuNsPerUnit]);
    assert_eq!(study.losses[0].cell, "echo/1x64");
    assert!(study.losses[0].sentence.contains("against epoll, 3.2 times the CPU time per request"));
    let [wins, losses, certainty] = study.verdict.as_slice() else { panic!("{:?}", study.verdict) };
    assert!(wins.contains("20% less CPU time per request (one cell)"));
    assert_eq!(
        losses,
        "epoll wins 1 of 10 comparisons: with io_uring 3.2 times the CPU time per request \
         for \u{201c}TCP echo, 1 connection, 64 B\u{201d}."
    );
    assert!(certainty.starts_with("None is a tie: "), "{certainty}");
}

#[test]
fn where_everything_is_invalid_nothing_is_said() {
    let mut study = study(URING_WINS);
    for cell in &mut study.cells {
        let points = cell.curve.iter_mut().map(|point| &mut point.invalid);
        for invalid in cell.runs.iter_mut().map(|run| &mut run.invalid).chain(points) {
            *invalid = Some("client saturated".to_owned());
        }
    }
    conclude(&mut study);
    let found = study.wins.len() + study.losses.len() + study.ties.len() + study.noise.len();
    assert_eq!(found, 0);
    // Eight servers in nine cells, and their curves in one.
    assert_eq!(study.invalid.len(), 8 * 9 + 8);
    assert_eq!(study.invalid[0].reason, "2 of 2 runs: client saturated");
    assert!(study.verdict[0].starts_with("Nothing can be said about io_uring and epoll"));
    assert!(study.verdict[1].contains("client saturated"), "{}", study.verdict[1]);
    assert_eq!(study.verdict.len(), 3);
}

#[test]
fn a_partial_study_says_so() {
    let mut study = study(URING_WINS);
    study.cells.truncate(3);
    study.is_partial = true;
    study.handicaps_ns.insert("epoll".to_owned(), 20_000);
    conclude(&mut study);
    let certainty = &study.verdict[2];
    assert!(certainty.contains("the study was interrupted before its end"), "{certainty}");
    assert!(certainty.contains("epoll was slowed down on purpose by 20"), "{certainty}");
}

#[test]
fn a_study_without_cells_says_that_nothing_can_be_said() {
    let mut study = study(URING_WINS);
    study.cells.clear();
    conclude(&mut study);
    assert_eq!(study.verdict.len(), 3);
    assert!(study.verdict[0].starts_with("Nothing can be said"));
}

#[test]
fn concluding_twice_is_concluding_once() {
    let mut study = study(URING_WINS);
    study.cells[1].runs[0].invalid = Some("steal above 2%".to_owned());
    conclude(&mut study);
    let once = study.clone();
    conclude(&mut study);
    assert_eq!(study, once);
    assert_eq!(study.invalid.len(), 1);
}

/// A study of the cell at fixed rates alone, with curves and no runs.
fn curves(strengths: Strengths<'_>) -> Study {
    let mut study = study(strengths);
    study.cells.retain(|cell| !cell.curve.is_empty());
    study.cells[0].runs.clear();
    conclude(&mut study);
    study
}

#[test]
fn latency_at_fixed_rates_is_compared_rate_by_rate() {
    let wins = curves(URING_WINS);
    assert_eq!((wins.wins.len(), wins.losses.len(), wins.ties.len()), (5, 0, 0));
    assert!(wins.wins.iter().any(|win| win.title.ends_with("64 connections, at 90% of capacity")));
    assert_eq!(metrics(&wins.wins), [Metric::P99Ns]);
    let losses = curves(EPOLL_WINS);
    assert_eq!((losses.wins.len(), losses.losses.len(), losses.ties.len()), (0, 5, 0));
    assert!(losses.losses[0].sentence.contains("p99 latency (ratio "), "{:?}", losses.losses[0]);
    assert_eq!(curves(TIES).ties.len(), 5);
    // A second process that is slower by more than the difference, at any of the rates.
    let noisy = curves(&[("uring", 1.25), ("uring again", 0.5), ("epoll", 1.0)]);
    assert_eq!((noisy.wins.len(), noisy.ties.len()), (0, 5));
}

#[test]
fn reasons_that_differ_in_their_figures_are_told_once() {
    let mut study = study(URING_WINS);
    study.cells.truncate(1);
    for (index, run) in study.cells[0].runs.iter_mut().enumerate() {
        if run.server == "epoll" {
            run.invalid = Some(format!("client saturated: {index} requests started late"));
        }
    }
    conclude(&mut study);
    let reasons: Vec<&str> = study.invalid.iter().map(|one| one.reason.as_str()).collect();
    assert_eq!(reasons, ["2 of 2 runs, the first: client saturated: 4 requests started late"]);
}

#[test]
fn a_cell_in_which_nothing_is_valid_is_counted() {
    let mut study = study(URING_WINS);
    study.cells[0].runs.iter_mut().for_each(|run| run.invalid = Some("steal".to_owned()));
    conclude(&mut study);
    let certainty = &study.verdict[2];
    assert!(certainty.contains("1 of 9 cells have no valid measurement of both"), "{certainty}");
}

/// A study of which the first `count` cells are spoiled, epoll alone in each.
fn spoiled(count: usize) -> Study {
    let mut study = study(URING_WINS);
    for cell in &mut study.cells[..count] {
        cell.curve.clear();
        for run in cell.runs.iter_mut().filter(|run| run.server == "epoll") {
            run.invalid = Some("steal: the hypervisor took 7.0% of the time".to_owned());
        }
    }
    study
}

#[test]
fn verdict_stands_on_half_of_the_cells_and_not_on_fewer() {
    let mut study = spoiled(4);
    assert_eq!(study.cells.len(), 9);
    assert!(verdict_stands(&study));
    assert!(!verdict_stands(&spoiled(5)));
    // What this machine cannot run was asked for, too.
    study.not_run = mixed().not_run;
    assert!(verdict_stands(&study));
    study.not_run.push(study.not_run[0].clone());
    assert!(!verdict_stands(&study));
}

#[test]
fn cells_that_stay_invalid_are_listed_with_what_to_do() {
    assert_eq!(advice(&study(URING_WINS)), Vec::<String>::new());
    let study = spoiled(1);
    let [line] = advice(&study).try_into().expect("it is one line");
    let cell = format!("1 of 9 cells could not be measured: {} (steal); ", study.cells[0].id);
    assert!(line.starts_with(&cell) && line.contains("--resume"), "{line}");
    let [_, too_few] = advice(&spoiled(6)).try_into().expect("the verdict does not stand");
    assert!(too_few.starts_with("the verdict stands on 3 of 9 cells"), "{too_few}");
    let [limit] = advice(&mixed()).try_into().expect("one cell goes beyond a limit");
    assert!(limit.contains("idle/100000 (RLIMIT_NOFILE)"), "{limit}");
}
