//! File access, measured on corering's two drivers, on a hand-written ring loop, on tokio's pool
//! and beside fio.
//!
//! Read `plan.rs` for what can be measured, then `measure.rs`: it starts the candidates and gives
//! each its slices. `candidate.rs` is what runs in their processes, and `work.rs` what all of them
//! do; `on_corering.rs`, `raw_uring.rs` and `on_tokio.rs` are how. `fio.rs` says what is equal there.

mod candidate;
mod content;
mod fio;
mod measure;
mod on_corering;
mod on_tokio;
mod plan;
mod raw_uring;
mod report;
mod scratch;
mod work;

pub use content::Verify;
pub use fio::fio_command;
pub use measure::{measure, measure_with_progress};
pub use plan::{Access, DEPTH_MAX, Driver, Limit, Plan};
pub use report::{Ratio, Report, Row};

use std::fs::{self, File};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use crate::interrupt::Interrupt;
use crate::outcome::{Failure, Outcome};

/// Compares file access on several drivers, block by block and verified.
///
/// Each driver is a process of its own, and all are pinned to the same CPU; they take turns in
/// short slices, in random order, on one file (or, where they write, each on a file of its own),
/// which this program makes and which has no name: nothing is left behind. Every block carries its
/// number, its version and a seed. What is written is read back from the disk at the end.
///
/// The latency of a block is from the moment it could be asked for until it was there; with
/// --fsync-every, until its group was on the disk.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// How the file is accessed.
    #[arg(long, value_enum, default_value = "random-read")]
    access: Access,
    /// Who accesses it.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "uring,epoll,raw-uring")]
    driver: Vec<Driver>,
    /// fio with equal settings in the same run; it does not look at what it reads.
    #[arg(long)]
    fio: bool,
    /// Past the page cache (O_DIRECT).
    #[arg(long)]
    direct: bool,
    /// Blocks in flight at once, 1 to 256.
    #[arg(long, default_value_t = 32)]
    depth: usize,
    /// Bytes of a block, such as 4k or 1m.
    #[arg(long, default_value = "4k", value_parser = bytes)]
    block_size: u64,
    /// Bytes of the file, such as 256m.
    #[arg(long, default_value = "256m", value_parser = bytes)]
    file_size: u64,
    /// An fdatasync after so many writes, which the next ones wait for.
    #[arg(long)]
    fsync_every: Option<u64>,
    /// raw-uring and fio submit as soon as so many entries are staged. Default: all at once.
    #[arg(long)]
    batch: Option<usize>,
    /// What is looked at of each block that was read.
    #[arg(long, value_enum, default_value = "header")]
    verify: Verify,
    /// How long each driver is measured, such as 4s or 500ms.
    #[arg(long, default_value = "4s", value_parser = duration)]
    duration: Duration,
    /// So many blocks for each driver, instead of a duration.
    #[arg(long, conflicts_with = "duration")]
    count: Option<u64>,
    /// How long a driver has the machine before the next one. Default: 200, with --fio 500, since
    /// it counts in milliseconds.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    slice_ms: Option<u64>,
    /// Where the file is made. Default: the system's folder for temporary files.
    #[arg(long = "dir")]
    directory: Option<PathBuf>,
    /// The CPU of all drivers.
    #[arg(long, default_value_t = 0)]
    cpu: usize,
    /// Decides the content, the blocks chosen and the order of the slices.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Writes the result as JSON; `-` is standard output, and the table then goes to standard error.
    #[arg(long, value_name = "FILE|-")]
    json: Option<PathBuf>,
    /// Be a candidate, by this assignment.
    #[arg(long, hide = true)]
    candidate: Option<String>,
}

/// Slices of a measurement that ends by count.
const ROUNDS_BY_COUNT: u32 = 10;

/// The subcommand `file`.
pub fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    if let Some(assignment) = &arguments.candidate {
        let assignment = serde_json::from_str(assignment)
            .map_err(|error| Failure::Usage(format!("--candidate: {error}")))?;
        candidate::serve(&assignment)?;
        return Ok(Outcome::Valid);
    }
    let plan = arguments.plan();
    let interrupt = Interrupt::install()?;
    // Told before anything is measured if it cannot be written.
    let mut json = arguments.json.as_deref().map(create).transpose()?;
    let is_terminal = io::stderr().is_terminal();
    let runs = measure_with_progress(&plan, &interrupt, |round| {
        if is_terminal {
            eprint!("\rround {round} of {}", plan.rounds);
        }
    })?;
    if is_terminal {
        eprintln!();
    }
    let against = if arguments.fio { ["fio", "raw-uring"] } else { ["raw-uring", "epoll"] };
    let report = Report::new(&plan, runs, &against, interrupt.is_set());
    let mut text = format!("{}\n{}", heading(&plan), report.table());
    if arguments.fio {
        text += &format!("fio was run as: {}\n", fio_command(&plan));
    }
    let is_stdout_taken = arguments.json.as_deref() == Some(Path::new("-"));
    if is_stdout_taken {
        io::stderr().write_all(text.as_bytes())?;
    } else {
        io::stdout().write_all(text.as_bytes())?;
    }
    if let Some(json) = &mut json {
        serde_json::to_writer_pretty(&mut *json, &report).map_err(io::Error::from)?;
        writeln!(json)?;
        json.flush()?;
    }
    Ok(if report.is_valid() { Outcome::Valid } else { Outcome::Invalid })
}

impl Arguments {
    fn plan(&self) -> Plan {
        let slice_ms = self.slice_ms.unwrap_or(if self.fio { 500 } else { 200 });
        let slice = Duration::from_millis(slice_ms);
        let by_time = (self.duration.as_nanos().div_ceil(slice.as_nanos())).max(1);
        let (rounds, limit) = match self.count {
            None => (u32::try_from(by_time).unwrap_or(u32::MAX), slice.into()),
            Some(count) => (ROUNDS_BY_COUNT, Limit::Count(count.div_ceil(ROUNDS_BY_COUNT.into()))),
        };
        let defaults = Plan::default();
        Plan {
            drivers: self.driver.iter().copied().chain(whether(self.fio, Driver::Fio)).collect(),
            directory: self.directory.clone().unwrap_or(defaults.directory),
            file_bytes: self.file_size,
            block_bytes: usize::try_from(self.block_size).unwrap_or(usize::MAX),
            depth: self.depth,
            access: self.access,
            is_direct: self.direct,
            fsync_every: self.fsync_every,
            batch: self.batch,
            verify: self.verify,
            rounds,
            limit,
            seed: self.seed,
            cpu: Some(self.cpu),
            ..defaults
        }
    }
}

fn heading(plan: &Plan) -> String {
    let way = if plan.is_direct { "O_DIRECT" } else { "page cache" };
    let sync = plan.fsync_every.map_or(String::new(), |every| format!(", fdatasync every {every}"));
    let verify = match (plan.access.writes(), plan.verify) {
        (true, _) => "every byte read back at the end",
        (false, Verify::None) => "content not verified",
        (false, Verify::Header) => "each block's header verified",
        (false, Verify::Full) => "every byte verified",
    };
    format!(
        "{}, {way}, {} B x {}{sync}; {} rounds; {verify}",
        plan.access.name(),
        plan.block_bytes,
        plan.depth,
        plan.rounds
    )
}

fn create(path: &Path) -> Result<Box<dyn Write>, Failure> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdout()));
    }
    match fs::File::create(path) {
        Ok(file) => Ok(Box::new(io::BufWriter::new(file))),
        Err(error) => Err(Failure::environment(path.display(), error)),
    }
}

/// The flags that the file of a plan is opened with, beside reading and writing.
fn open_flags(plan: &Plan) -> i32 {
    if plan.is_direct { libc::O_DIRECT } else { 0 }
}

/// Opens the file of a plan as its candidates do.
fn open(plan: &Plan, path: &Path) -> io::Result<File> {
    let writes = plan.access.writes();
    File::options().read(true).write(writes).custom_flags(open_flags(plan)).open(path)
}

fn whether<T>(condition: bool, value: T) -> Option<T> {
    condition.then_some(value)
}

/// Parses `4096`, `4k`, `256m` or `1g`; the letters are powers of 1,024.
fn bytes(text: &str) -> Result<u64, String> {
    let lower = text.to_ascii_lowercase();
    let (digits, shift) = match lower.as_bytes().last() {
        Some(b'k') => (&lower[..lower.len() - 1], 10),
        Some(b'm') => (&lower[..lower.len() - 1], 20),
        Some(b'g') => (&lower[..lower.len() - 1], 30),
        Some(b't') => (&lower[..lower.len() - 1], 40),
        _ => (&lower[..], 0),
    };
    let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
    number.ok_or_else(|| format!("`{text}` is no size, such as 4096, 4k, 256m or 1g"))
}

/// Parses `10s` or `500ms`.
fn duration(text: &str) -> Result<Duration, String> {
    let parsed = if let Some(digits) = text.strip_suffix("ms") {
        digits.parse().ok().map(Duration::from_millis)
    } else {
        text.strip_suffix('s').and_then(|digits| digits.parse().ok()).map(Duration::from_secs)
    };
    parsed
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| format!("`{text}` is no duration, such as 10s or 500ms"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{bytes, duration};

    #[test]
    fn sizes_have_a_letter_or_none() {
        assert_eq!(bytes("512"), Ok(512));
        assert_eq!(bytes("4k"), Ok(4096));
        assert_eq!(bytes("256M"), Ok(256 << 20));
        for wrong in ["", "k", "-1", "4kb", "99999999999t"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        for wrong in ["", "10", "0s", "ms", "1h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
