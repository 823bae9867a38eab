//! Which cells count, and whether there are enough of them to believe the verdict.

use std::collections::BTreeSet;

use super::{RIVAL, SUBJECT, kind};
use crate::study::schema::{Cell, Excluded, Run, Study};
use crate::study::words::number_of;

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

/// The cells that were measured in vain.
pub fn invalid_cells(study: &Study) -> impl Iterator<Item = &Cell> {
    study.cells.iter().filter(|cell| !is_valid(cell))
}

/// Whether the verdict can be believed: at least half of all cells that were asked for are valid.
pub fn verdict_stands(study: &Study) -> bool {
    valid(study) * 2 >= asked(study)
}

/// What is wrong with a study that went to its end, and what to do about it: a line for each.
pub fn advice(study: &Study) -> Vec<String> {
    let mut lines = Vec::new();
    let invalid: Vec<String> = invalid_cells(study)
        .map(|cell| format!("{} ({})", cell.id, first_reason(cell).unwrap_or("no figures")))
        .collect();
    if !invalid.is_empty() {
        lines.push(format!(
            "{} of {} could not be measured: {}; the same command with --resume measures them again, \
             best while the machine is less busy",
            invalid.len(),
            number_of(asked(study), "cell"),
            invalid.join(", ")
        ));
    }
    if !study.not_run.is_empty() {
        let name = |one: &Excluded| format!("{} ({})", one.cell, kind(&one.reason));
        let names: Vec<String> = study.not_run.iter().map(name).collect();
        lines.push(format!(
            "{} of {} go beyond a limit of this machine: {}; the report says what to raise",
            names.len(),
            number_of(asked(study), "cell"),
            names.join(", ")
        ));
    }
    if !verdict_stands(study) {
        lines.push(format!(
            "the verdict stands on {} of {}, fewer than half; do not rely on it",
            valid(study),
            number_of(asked(study), "cell")
        ));
    }
    lines
}

fn valid(study: &Study) -> usize {
    study.cells.len() - invalid_cells(study).count()
}

/// How many cells were asked for. An interrupted study has come to fewer.
fn asked(study: &Study) -> usize {
    study.cells.len() + study.not_run.len()
}

/// What spoiled a cell first, without its figures.
fn first_reason(cell: &Cell) -> Option<&str> {
    let runs = cell.runs.iter().filter_map(|run| run.invalid.as_deref());
    let points = cell.curve.iter().filter_map(|point| point.invalid.as_deref());
    runs.chain(points).next().map(kind)
}
