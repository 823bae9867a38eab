//! What changed from one study to another, beyond the noise of both.

#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;

use super::analysis::{Floor, Floors};
use super::fingerprint;
use super::ratio::{self, AGAIN, METRICS};
use super::schema::{Fingerprint, Metric, Study, VERSION};
use super::words::{self, number_of};
use crate::outcome::{Failure, Outcome};
use crate::stats::Estimate;

/// Says what changed from one study to another, beyond the noise.
///
/// Each figure is the ratio of the medians, the newer study's above, with its bootstrap interval. A
/// change counts if the interval does not hold 1 and it is larger than the noise floor of both
/// studies. Studies of machines or builds that differ are refused, with status 1.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// The older study: its folder or its study.json.
    old: PathBuf,
    /// The newer one.
    new: PathBuf,
    /// Compare although facts of the fingerprints differ: those that are named, such as
    /// `--force=commit,rustc`, or all.
    #[arg(
        long,
        value_name = "FACTS",
        value_delimiter = ',',
        num_args = 0..,
        require_equals = true,
        default_missing_value = ANY
    )]
    force: Vec<String>,
}

/// The facts that `--force` alone leaves alone.
const ANY: &str = "any";

/// The subcommand `compare`.
pub fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let (old, new) = (read(&arguments.old)?, read(&arguments.new)?);
    let differences = fingerprint::differences(&old.fingerprint, &new.fingerprint);
    for difference in &differences {
        eprintln!("{difference}");
    }
    let refused = unforced(&old.fingerprint, &new.fingerprint, &arguments.force);
    if !refused.is_empty() {
        let facts = refused.join(",");
        eprintln!(
            "The studies are not of the same machine and build, so their figures do not compare. \
             Measure both alike, or give --force={facts} to compare them all the same."
        );
        return Ok(Outcome::Invalid);
    }
    io::stdout().write_all(Comparison::of(&old, &new).text().as_bytes())?;
    Ok(Outcome::Valid)
}

/// The facts that differ and were not named.
fn unforced(old: &Fingerprint, new: &Fingerprint, force: &[String]) -> Vec<String> {
    let is_forced = |name: &str| force.iter().any(|forced| forced == ANY || forced == name);
    let names: BTreeSet<&String> = old.0.keys().chain(new.0.keys()).collect();
    let differ = names.into_iter().filter(|name| old.0.get(*name) != new.0.get(*name));
    differ.filter(|name| !is_forced(name)).cloned().collect()
}

/// The study at `path`, which is its folder or its file.
pub fn read(path: &Path) -> Result<Study, Failure> {
    let file = if path.is_dir() { path.join("study.json") } else { path.to_owned() };
    let shown = file.display();
    let text = fs::read(&file).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Failure::Usage(format!(
            "{shown} is not there: give the folder of a finished study, or its study.json"
        )),
        _ => Failure::environment(&shown, error),
    })?;
    // Only what every version has is read before the version is known.
    #[derive(Deserialize)]
    struct Head {
        version: u32,
    }
    let not_a_study =
        |error| Failure::Usage(format!("{shown} is not a study: {error}; measure it again"));
    let head: Head = serde_json::from_slice(&text).map_err(not_a_study)?;
    if head.version != VERSION {
        return Err(Failure::Usage(format!(
            "{shown} has version {} of the schema, and this program reads version {VERSION}: \
             measure it again, or compare with the program that wrote it",
            head.version
        )));
    }
    serde_json::from_slice(&text).map_err(not_a_study)
}

/// What changed.
#[derive(Debug)]
pub struct Comparison {
    /// The clearest first.
    changes: Vec<Change>,
    /// How many figures both studies have.
    compared: usize,
    /// Cells that only the older and only the newer study has.
    alone: [Vec<String>; 2],
    /// Cells in which every server changed to the same side.
    moved_together: Vec<String>,
}

/// One figure that is no longer what it was.
#[derive(Debug)]
struct Change {
    title: String,
    server: String,
    metric: Metric,
    values: [f64; 2],
    ratio: Estimate,
    floor: Floor,
}

impl Change {
    fn is_better(&self) -> bool {
        words::advantage(self.metric, self.ratio.median) > 1.0
    }

    fn line(&self) -> String {
        let [old, new] = self.values.map(|value| words::value(self.metric, value));
        format!(
            "  {}, {}: {} {old} -> {new}, {} ({}, noise {})",
            self.title,
            self.server,
            words::name(self.metric),
            words::change(self.ratio.median),
            words::interval(&self.ratio),
            self.floor
        )
    }
}

impl Comparison {
    /// Compares what both studies have.
    pub fn of(old: &Study, new: &Study) -> Self {
        let floors = [Floors::of(&old.noise), Floors::of(&new.noise)];
        let mut comparison = Comparison {
            changes: Vec::new(),
            compared: 0,
            alone: [alone(old, new), alone(new, old)],
            moved_together: Vec::new(),
        };
        for was in &old.cells {
            let Some(is) = new.cells.iter().find(|cell| cell.id == was.id) else { continue };
            let servers = ratio::servers(&was.runs);
            let servers: Vec<&str> =
                servers.into_iter().filter(|server| !server.ends_with(AGAIN)).collect();
            for metric in METRICS {
                let [old, new] = floors.each_ref().map(|floors| floors.at(&was.id, metric));
                let (compared, before) = (comparison.compared, comparison.changes.len());
                for server in &servers {
                    let values = [was, is].map(|cell| ratio::values(&cell.runs, server, metric));
                    comparison.add(&is.title, server, metric, values, old.max(new));
                }
                let changed = &comparison.changes[before..];
                let better = changed.iter().filter(|change| change.is_better()).count();
                let all = comparison.compared - compared;
                if all > 2 && changed.len() == all && (better == 0 || better == all) {
                    let name = words::name(metric);
                    comparison.moved_together.push(format!("{}: {name}", is.title));
                }
            }
        }
        let clearness = |change: &Change| change.ratio.median.ln().abs();
        comparison.changes.sort_by(|one, other| clearness(other).total_cmp(&clearness(one)));
        comparison
    }

    fn add(
        &mut self,
        title: &str,
        server: &str,
        metric: Metric,
        [old, new]: [Vec<f64>; 2],
        floor: Floor,
    ) {
        if old.is_empty() || new.is_empty() || crate::stats::median(&old) <= 0.0 {
            return;
        }
        self.compared += 1;
        let ratio = Estimate::of_ratio(&new, &old);
        if floor.is_exceeded_by(&ratio) {
            self.changes.push(Change {
                title: title.to_owned(),
                server: server.to_owned(),
                metric,
                values: [&old, &new].map(|values| crate::stats::median(values)),
                ratio,
                floor,
            });
        }
    }

    /// For a terminal.
    pub fn text(&self) -> String {
        let mut text = format!(
            "{} of {} changed beyond the noise.\n",
            self.changes.len(),
            number_of(self.compared, "figure")
        );
        for (title, is_better) in [("Better:", true), ("Worse:", false)] {
            let changes = self.changes.iter().filter(|change| change.is_better() == is_better);
            push_list(&mut text, title, changes.map(Change::line));
        }
        let indented = |lines: &[String]| lines.iter().map(|line| format!("  {line}")).collect();
        let together: Vec<String> = indented(&self.moved_together);
        let reason = "Every server changed to the same side, so rather the machine than a program:";
        push_list(&mut text, reason, together.into_iter());
        let [old, new]: [Vec<String>; 2] = self.alone.each_ref().map(|cells| indented(cells));
        push_list(&mut text, "Only in the older study:", old.into_iter());
        push_list(&mut text, "Only in the newer study:", new.into_iter());
        text
    }
}

fn push_list(text: &mut String, title: &str, lines: impl Iterator<Item = String>) {
    let lines: Vec<String> = lines.collect();
    if !lines.is_empty() {
        text.push_str(&format!("\n{title}\n{}\n", lines.join("\n")));
    }
}

/// The ids of the cells that `other` has not.
fn alone(study: &Study, other: &Study) -> Vec<String> {
    let ids = study.cells.iter().map(|cell| &cell.id);
    ids.filter(|id| other.cells.iter().all(|cell| cell.id != **id)).cloned().collect()
}
