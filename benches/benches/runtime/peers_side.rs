//! Other runtimes on io_uring, each a process of the package `benches/peers`.
//!
//! A process is asked by a line for a number of rounds of one kind of work, and answers with the
//! nanoseconds that they took.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;
use std::{env, fmt};

use corering_bench::server::peers;
use criterion::Criterion;

use crate::shared;
use crate::work::{CROWD, FIRING};

/// Says to the program that this one becomes that `--with-peers` was asked for.
const ASKED: &str = "CORERING_BENCH_WITH_PEERS";

const FLAG: &str = "--with-peers";

/// The peers, if the command line asks for them.
///
/// Criterion reads the command line itself and knows nothing of `--with-peers`: so this program runs
/// again without it.
pub(crate) fn asked_for() -> Result<Vec<Peer>, impl fmt::Display> {
    if env::args().any(|argument| argument == FLAG) {
        let others = env::args_os().skip(1).filter(|argument| argument != FLAG);
        let mut again = Command::new(env::current_exe().map_err(|error| error.to_string())?);
        return Err(again.args(others).env(ASKED, "1").exec().to_string());
    }
    if env::var_os(ASKED).is_none() {
        return Ok(Vec::new());
    }
    let programs = peers::build().map_err(|failure| failure.to_string())?;
    peers::NAMES
        .iter()
        .map(|name| Peer::start(&programs, name).map_err(|error| format!("{name}: {error}")))
        .collect::<Result<_, _>>()
}

pub(crate) struct Peer {
    name: &'static str,
    /// Closed, it ends the process.
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    fn start(programs: &Path, name: &'static str) -> io::Result<Self> {
        let mut command = Command::new(programs.join("executor"));
        command.arg(name).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let piped = "both were asked for";
        let questions = child.stdin.take().expect(piped);
        let answers = BufReader::new(child.stdout.take().expect(piped));
        Ok(Peer { name, questions, answers })
    }

    pub(crate) fn measure(mut self, criterion: &mut Criterion) {
        let rows = [
            ("spawn_1", 1),
            ("spawn_1000", CROWD),
            ("yield_1", 1),
            ("yield_100", 100),
            ("ping_pong", 1),
            ("channel", 1),
            ("timer_insert", FIRING),
            ("timer_cancel", FIRING),
            ("timer_fire", FIRING),
        ];
        for (row, units) in rows {
            // Only glommio has channels; and a task of its own can wait for 32,767 timers at most.
            let is_glommio = self.name == "glommio";
            if is_glommio && row.starts_with("timer") || !is_glommio && row == "channel" {
                continue;
            }
            let name = self.name;
            shared::figure(criterion, row, name, units, |rounds| match self.ask(row, rounds) {
                Ok(taken) => taken,
                Err(error) => panic!("{name} does not answer: {error}"),
            });
        }
    }

    fn ask(&mut self, row: &str, rounds: u64) -> io::Result<Duration> {
        writeln!(self.questions, "{row} {rounds}")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        let nanoseconds = answer.trim().parse();
        nanoseconds.map(Duration::from_nanos).map_err(io::Error::other)
    }
}
