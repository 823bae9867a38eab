//! Runs a command for each line of standard input, some at a time, as `xargs -P` does.

use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus};
use std::rc::Rc;
use std::thread::available_parallelism;
use std::time::Duration;

use clap::Parser;
use clap::builder::RangedU64ValueParser;
use corering::io::{PipeReader, Stdout, copy, read_until, stdin, stdout};
use corering::process::{Child, Command, Stdio};
use corering::signal::{ctrl_c, terminate};
use corering::sync::{Mutex, OwnedPermit, Semaphore, oneshot};
use corering::task::{CancelToken, JoinSet};
use corering::time::timeout;
use corering::{Driver, Runtime, select_biased};
use corering_examples::complain;

/// Runs a command for each line of standard input, and does not read further ahead than it runs.
///
/// A `{}` in the command's arguments is the line; without one the line is the last argument. What a
/// command prints is not mixed with what others print. Commands that run are ended by Ctrl-C and SIGTERM.
///
/// The status is that of xargs: 123 if a command failed, 124 if one exited with 255, 125 if one was killed
/// by a signal, 126 if it cannot be run, 127 if it is not found; after the last four no further line is
/// read. Else it is 0, or 1 for other errors.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many commands run at once; as many as there are processors if this is not given.
    #[arg(short = 'P', long, value_name = "N")]
    #[arg(value_parser = RangedU64ValueParser::<usize>::new().range(1..=4096))]
    jobs: Option<usize>,
    /// Prints what commands print in the order of the lines, not in that in which they end.
    #[arg(short, long)]
    keep_order: bool,
    /// How the kernel is reached: "uring", "epoll", or "auto", which is uring where the kernel
    /// allows it.
    #[arg(long, default_value_t = Driver::Auto)]
    driver: Driver,
    /// The command and its arguments.
    #[arg(required = true, trailing_var_arg = true)]
    command: Vec<OsString>,
}

/// Bytes of a line: the kernel passes on no longer argument.
const LINE_MAX: usize = 128 * 1024;

/// Bytes of a command's output that are kept until it may print. One that prints more waits for its turn.
const KEPT_MAX: usize = 64 * 1024;

/// Commands that have ended and wait for their turn to print, beside those that run.
const ENDED_MAX: usize = 64;

/// How long a command may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match Runtime::builder().driver(arguments.driver).build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(format_args!("parallel: {error}"));
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(run(arguments)).into()
}

/// Runs all, and returns the status to exit with.
async fn run(Arguments { jobs, keep_order, command, .. }: Arguments) -> u8 {
    let jobs = jobs.or_else(|| available_parallelism().ok().map(Into::into)).unwrap_or(1);
    let all = CancelToken::new();
    let batch = Rc::new(Batch {
        command,
        stdout: Rc::new(Mutex::new(stdout())),
        reading: all.child(),
        all,
        status: Cell::new(0),
    });
    let signals = corering::spawn(batch.clone().watch_signals());
    if let Err(error) = batch.clone().read_lines(jobs, keep_order).await {
        batch.fail(1, format_args!("standard input: {error}"));
    }
    signals.abort();
    batch.status.get()
}

/// What all commands have in common.
struct Batch {
    command: Vec<OsString>,
    /// Held by the one that prints.
    stdout: Rc<Mutex<Stdout>>,
    /// Cancelled when no further line is to be read.
    reading: CancelToken,
    /// Cancelled when commands that run are to be ended, too.
    all: CancelToken,
    status: Cell<u8>,
}

/// A command's place among the others.
struct Place {
    /// Given back when the command has ended.
    slot: Option<OwnedPermit>,
    /// Ends when those before have printed.
    turn: Option<oneshot::Receiver<()>>,
    /// Dropped when this one has printed.
    _next: Option<oneshot::Sender<()>>,
}

impl Place {
    async fn wait_for_turn(&mut self) {
        if let Some(turn) = self.turn.take() {
            // An error says that the one before has printed.
            let _ = turn.await;
        }
    }
}

impl Batch {
    async fn watch_signals(self: Rc<Self>) {
        let number = select_biased! {
            _ = ctrl_c() => 2,
            _ = terminate() => 15,
        };
        self.status.set(128 + number);
        self.all.cancel();
    }

    async fn read_lines(self: Rc<Self>, jobs: usize, keep_order: bool) -> io::Result<()> {
        let slots = Rc::new(Semaphore::new(jobs));
        let mut tasks = JoinSet::new();
        let mut turn = None;
        let mut read = Ok(());
        let mut input = stdin();
        loop {
            // First a slot, so that what cannot run yet stays where it is.
            let slot = async {
                while tasks.len() >= jobs + ENDED_MAX {
                    tasks.join_next().await;
                }
                slots.clone().acquire_owned().await.expect("nothing closes it")
            };
            let Ok(slot) = self.reading.run(slot).await else { break };
            while tasks.try_join_next().is_some() {}
            let line = self.reading.run(read_until(&mut input, b'\n', LINE_MAX)).await;
            let mut line = match line {
                Ok(Ok(line)) if !line.is_empty() => line,
                Ok(Err(error)) => {
                    read = Err(error);
                    break;
                }
                _ => break,
            };
            line.pop_if(|last| *last == b'\n');
            let place = match keep_order {
                true => {
                    let (next, after) = oneshot::channel();
                    Place { slot: Some(slot), turn: turn.replace(after), _next: Some(next) }
                }
                false => Place { slot: Some(slot), turn: None, _next: None },
            };
            tasks.spawn(self.clone().run_line(line, place));
        }
        while tasks.join_next().await.is_some() {}
        read
    }

    /// Runs the command for a line.
    async fn run_line(self: Rc<Self>, line: Vec<u8>, mut place: Place) {
        let mut child = match self.command_for(&line).spawn().await {
            Ok(child) => child,
            Err(error) => {
                self.cannot_run(&error);
                return place.wait_for_turn().await;
            }
        };
        match self.all.run(self.print(&mut child, place)).await {
            Ok(Ok(Some(status))) => self.note(status),
            Ok(Ok(None)) | Err(_) => end(child).await,
            Ok(Err(error)) if error.kind() == ErrorKind::BrokenPipe => {
                // As a shell says it of a program that SIGPIPE has ended.
                self.status.set(128 + 13);
                self.all.cancel();
                end(child).await;
            }
            Ok(Err(error)) => {
                self.fail(1, format_args!("cannot pass on what a command prints: {error}"));
                self.all.cancel();
                end(child).await;
            }
        }
    }

    fn command_for(&self, line: &[u8]) -> Command {
        let mut command = Command::new(&self.command[0]);
        let mut is_there = false;
        for argument in &self.command[1..] {
            let (argument, found) = with_line(argument, line);
            is_there |= found;
            command.arg(argument);
        }
        if !is_there {
            command.arg(OsStr::from_bytes(line));
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        command
    }

    /// Passes on what a command prints, when it is its turn, and waits for its end. `None`: all are to end,
    /// and those before have given up.
    async fn print(&self, child: &mut Child, mut place: Place) -> io::Result<Option<ExitStatus>> {
        let mut output = child.stdout.take().expect("it is piped");
        let (kept, has_ended) = keep(&mut output).await?;
        let mut status = None;
        if has_ended {
            status = Some(child.wait().await?);
            place.slot = None;
        }
        place.wait_for_turn().await;
        let mut stdout = self.stdout.lock().await;
        if self.all.is_cancelled() {
            return Ok(None);
        }
        stdout.write_all(kept).await?;
        if !has_ended {
            copy(&mut output, &mut *stdout).await?;
        }
        drop(stdout);
        let status = match status {
            Some(status) => status,
            None => child.wait().await?,
        };
        Ok(Some(status))
    }

    /// Takes note of how a command has ended.
    fn note(&self, status: ExitStatus) {
        let name = self.command[0].display();
        match status.code() {
            Some(0) => {}
            Some(255) => self.stop(124, format_args!("{name}: exited with status 255")),
            Some(_) if self.status.get() == 0 => self.status.set(123),
            Some(_) => {}
            None => {
                let number = status.signal().unwrap_or_default();
                self.stop(125, format_args!("{name}: killed by signal {number}"));
            }
        }
    }

    fn cannot_run(&self, error: &io::Error) {
        let status = if error.kind() == ErrorKind::NotFound { 127 } else { 126 };
        self.stop(status, format_args!("{}: {error}", self.command[0].display()));
    }

    /// Fails, and runs no further line.
    fn stop(&self, status: u8, message: std::fmt::Arguments<'_>) {
        self.fail(status, message);
        self.reading.cancel();
    }

    /// Says what has failed. The first failure decides on the status, unless it is that of a command.
    fn fail(&self, status: u8, message: std::fmt::Arguments<'_>) {
        complain(format_args!("parallel: {message}"));
        if matches!(self.status.get(), 0 | 123) {
            self.status.set(status);
        }
    }
}

/// Reads up to `KEPT_MAX` bytes, and says whether they are all.
async fn keep(output: &mut PipeReader) -> io::Result<(Vec<u8>, bool)> {
    let mut kept = Vec::new();
    while kept.len() < KEPT_MAX {
        let bytes = output.recv().await?;
        if bytes.is_empty() {
            return Ok((kept, true));
        }
        kept.extend_from_slice(&bytes);
    }
    Ok((kept, false))
}

/// Ends a command that runs.
async fn end(mut child: Child) {
    let ended = child.terminate();
    if ended.is_err() || timeout(GRACE, child.wait()).await.is_err() {
        // An error says that it has ended meanwhile.
        let _ = child.kill().await;
    }
}

/// An argument with the line in place of each `{}`, and whether there was one.
fn with_line(argument: &OsStr, line: &[u8]) -> (OsString, bool) {
    let (mut rest, mut whole, mut found) = (argument.as_bytes(), Vec::new(), false);
    while let Some(at) = rest.windows(2).position(|two| two == b"{}") {
        whole.extend_from_slice(&rest[..at]);
        whole.extend_from_slice(line);
        rest = &rest[at + 2..];
        found = true;
    }
    whole.extend_from_slice(rest);
    (OsString::from_vec(whole), found)
}
