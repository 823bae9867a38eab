//! Copies a file with many reads and writes in flight.

mod segments;
mod transfer;

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use corering::fs::{File, Metadata, OpenOptions};
use corering::{Driver, Runtime};
use corering_examples::{complain, say};
use futures_util::future::{Either, select};
use indicatif::{ProgressBar, ProgressStyle};

use crate::transfer::{CHUNK_BYTES, Failure};

/// Copies a file with many reads and writes in flight.
///
/// Holes of the source stay holes, and its permission bits are given to a new file. A copy that
/// fails, or is ended by Ctrl-C or SIGTERM, removes DST again, so that nobody takes half a file for
/// the whole. The status is 0 when the copy is there or was ended by a signal, 1 when it failed, and
/// 2 when the command line is wrong.
#[derive(Debug, Parser)]
struct Arguments {
    /// The file to copy. It must be a regular one.
    #[arg(value_name = "SRC")]
    source: PathBuf,

    /// Where the copy goes. A file that stands there is replaced; a device is written to.
    #[arg(value_name = "DST")]
    target: PathBuf,

    /// How many chunks of 256 KiB are in flight at once.
    #[arg(long, value_name = "N", default_value_t = 16)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1024))]
    depth: u16,

    /// Reads both files again after the copy, and compares them.
    #[arg(long)]
    verify: bool,

    /// How the kernel is reached: "uring", "epoll", or "auto", which is uring where the kernel allows it.
    #[arg(long, default_value_t = Driver::Auto)]
    driver: Driver,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = Runtime::builder()
        .driver(arguments.driver)
        .build()
        .map_err(|error| error.to_string())
        .and_then(|runtime| runtime.block_on(run(&arguments)));
    match outcome {
        Ok(message) => {
            say(message);
            ExitCode::SUCCESS
        }
        Err(message) => {
            complain(format_args!("copy: {message}"));
            ExitCode::FAILURE
        }
    }
}

/// Copies, or stops at a signal, and says what came of it.
async fn run(arguments: &Arguments) -> Result<String, String> {
    let stop = pin!(corering::signal::shutdown());
    let source = Opened::source(&arguments.source).await?;
    let target = Opened::target(arguments, &source).await?;
    let outcome = match select(pin!(copy(arguments, &source, &target)), stop).await {
        Either::Left((outcome, _)) => outcome,
        Either::Right((Ok(()), _)) => {
            target.remove();
            return Ok(format!("ended by a signal before {} was complete", target.name()));
        }
        Either::Right((Err(error), _)) => Err(format!("cannot wait for signals: {error}")),
    };
    if outcome.is_err() {
        target.remove();
    }
    outcome
}

/// Copies all of the source, and compares the two if that is wanted.
async fn copy(arguments: &Arguments, source: &Opened, target: &Opened) -> Result<String, String> {
    let explain = |failure| explain(&failure, source, target);
    let started = Instant::now();
    let bytes = source.bytes();
    let depth = usize::from(arguments.depth);
    let parts = source.data().await?;
    let data_bytes: u64 = parts.iter().map(|part| part.end - part.start).sum();
    if target.is_regular() {
        // Emptied first, so that what is not written is a hole whatever stood there.
        for length in [0, bytes] {
            target.file.set_len(length).await.map_err(|error| {
                format!("cannot give {} a length of {length} bytes: {error}", target.name())
            })?;
        }
    }
    // A device has no holes: there, everything is written.
    let whole = || std::iter::once(0..bytes).collect::<Vec<_>>();
    let parts = if target.is_regular() { parts } else { whole() };
    let to_copy = parts.iter().map(|part| part.end - part.start).sum();
    let bar = progress_bar("copying", to_copy);
    let chunks = segments::chunks(parts, CHUNK_BYTES);
    let done = |bytes| bar.inc(bytes);
    transfer::copy(&source.file, &target.file, chunks, depth, done).await.map_err(explain)?;
    bar.finish_and_clear();

    let holes = bytes - data_bytes;
    let name = target.name();
    let mut message = format!("copied {bytes} bytes, {holes} of them in holes, to {name}");
    if arguments.verify && target.is_regular() {
        let bar = progress_bar("comparing", bytes);
        let chunks = segments::chunks(whole(), CHUNK_BYTES);
        let done = |bytes| bar.inc(bytes);
        transfer::compare(&source.file, &target.file, chunks, depth, done)
            .await
            .map_err(explain)?;
        bar.finish_and_clear();
        message += ", and compared them";
    }
    Ok(format!("{message}, in {:.2} s", started.elapsed().as_secs_f64()))
}

/// One of the two files.
struct Opened {
    file: File,
    path: PathBuf,
    /// What it was when it was opened.
    known: Metadata,
}

impl Opened {
    async fn source(path: &Path) -> Result<Self, String> {
        let file = File::open(path).await;
        let file = file.map_err(|error| format!("cannot open {}: {error}", path.display()))?;
        let opened = Self::new(file, path).await?;
        if !opened.is_regular() {
            return Err(format!("{} is not a regular file, so it cannot be copied", opened.name()));
        }
        Ok(opened)
    }

    /// Opens the target without changing it, and refuses one that is the source.
    async fn target(arguments: &Arguments, source: &Self) -> Result<Self, String> {
        let path = &*arguments.target;
        let mut options = OpenOptions::new();
        options.read(arguments.verify).write(true).create(true);
        options.mode(source.known.mode() & 0o777);
        let file = options.open(path).await;
        let file = file.map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        let opened = Self::new(file, path).await?;
        let (from, to) = (&source.known, &opened.known);
        if (from.dev(), from.ino()) == (to.dev(), to.ino()) {
            let (source, target) = (source.name(), opened.name());
            return Err(format!("{source} and {target} are the same file: nothing was done"));
        }
        Ok(opened)
    }

    async fn new(file: File, path: &Path) -> Result<Self, String> {
        let known = file.metadata().await;
        let known = known.map_err(|error| format!("cannot look at {}: {error}", path.display()))?;
        Ok(Self { file, path: path.to_owned(), known })
    }

    fn name(&self) -> std::path::Display<'_> {
        self.path.display()
    }

    fn bytes(&self) -> u64 {
        self.known.len()
    }

    fn is_regular(&self) -> bool {
        self.known.is_file()
    }

    /// Where the file has data.
    async fn data(&self) -> Result<Vec<std::ops::Range<u64>>, String> {
        let found = segments::data(&self.file, self.bytes()).await;
        found.map_err(|error| format!("cannot find the holes of {}: {error}", self.name()))
    }

    /// Removes a target that is not a whole copy. A device stays.
    fn remove(&self) {
        if self.is_regular()
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            complain(format_args!("copy: cannot remove the incomplete {}: {error}", self.name()));
        }
    }
}

/// A bar on a terminal; elsewhere it draws nothing.
fn progress_bar(what: &'static str, bytes: u64) -> ProgressBar {
    let template = "{prefix} [{bar:40}] {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
    let style = ProgressStyle::with_template(template).expect("the template is valid");
    ProgressBar::new(bytes).with_style(style.progress_chars("=> ")).with_prefix(what)
}

fn explain(failure: &Failure, source: &Opened, target: &Opened) -> String {
    let (source, target) = (source.name(), target.name());
    match failure {
        Failure::ReadSource(at, error) => format!("cannot read {source} at byte {at}: {error}"),
        Failure::ReadTarget(at, error) => format!("cannot read {target} at byte {at}: {error}"),
        Failure::WriteTarget(at, error) => format!("cannot write {target} at byte {at}: {error}"),
        Failure::Differ(at) => format!("{source} and {target} differ at byte {at}"),
    }
}
