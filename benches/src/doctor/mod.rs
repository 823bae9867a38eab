//! What on this machine would spoil a measurement, and what to do about it.
//!
//! `facts.rs` reads what the system says, `load.rs` looks for a while at who uses the CPUs, and
//! `diagnosis.rs` judges. Only the first two touch the machine; none of them changes it.

#![forbid(unsafe_code)]

mod diagnosis;
mod facts;
mod load;

use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use clap::Args;

use crate::outcome::{Failure, Outcome};
use diagnosis::{Diagnosis, Severity};
use facts::Facts;

/// Says what on this machine would spoil a measurement, and what to do about it.
///
/// Exit status: 0 when nothing serious was found; 1 when a measurement would not be worth taking
/// before something is changed. What is only good to know changes nothing about the status.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// How long to look for busy neighbours and stolen time, in milliseconds.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 2_000,
        value_parser = clap::value_parser!(u64).range(100..))]
    interval_ms: u64,
}

/// The subcommand `doctor`.
pub fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let root = Path::new("/");
    let facts = Facts::of_this_machine(root)?;
    let load = load::watch(root, Duration::from_millis(arguments.interval_ms))?;
    let diagnoses = diagnosis::all(&facts, &load);
    io::stdout().write_all(text(&diagnoses).as_bytes())?;
    let is_serious = diagnoses.iter().any(|one| one.severity == Severity::Serious);
    Ok(if is_serious { Outcome::Invalid } else { Outcome::Valid })
}

/// The serious first, each with what to do.
fn text(diagnoses: &[Diagnosis]) -> String {
    let mut text = String::new();
    for severity in [Severity::Serious, Severity::GoodToKnow, Severity::Fine] {
        for one in diagnoses.iter().filter(|one| one.severity == severity) {
            let name = severity.name();
            text.push_str(&format!("{name:<12}  {}: {}\n", one.topic, one.finding));
            if let Some(advice) = &one.advice {
                text.push_str(&format!("{:<12}  -> {advice}\n", ""));
            }
        }
    }
    let count = |severity| diagnoses.iter().filter(|one| one.severity == severity).count();
    let (serious, known) = (count(Severity::Serious), count(Severity::GoodToKnow));
    text.push_str(&match serious {
        0 => format!("\nNothing serious, {known} to know: this machine can be measured on.\n"),
        some => format!("\n{some} serious, {known} to know: change the serious ones first.\n"),
    });
    text
}

#[cfg(test)]
mod tests {
    use super::diagnosis::{Diagnosis, Severity};
    use super::text;

    #[test]
    fn the_serious_stand_first() {
        let one = |severity, topic| Diagnosis {
            severity,
            topic,
            finding: "found".to_owned(),
            advice: (severity != Severity::Fine).then(|| "do this".to_owned()),
        };
        let told = text(&[
            one(Severity::Fine, "CPUs"),
            one(Severity::GoodToKnow, "turbo"),
            one(Severity::Serious, "io_uring"),
        ]);
        assert_eq!(
            told,
            "serious       io_uring: found\n              -> do this\n\
             to know       turbo: found\n              -> do this\n\
             fine          CPUs: found\n\n\
             1 serious, 1 to know: change the serious ones first.\n"
        );
    }
}
