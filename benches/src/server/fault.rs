//! What the workload `faulty` does wrong: its command line, and where in an answer it happens.

use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::outcome::Failure;

/// What a server does wrong. All but `slow` answer N requests of each connection properly first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Half of each answer comes at once, the other half after --pause
    Slow,
    /// The connection stays open and falls silent in the middle of an answer; with --stall and
    /// --every, nothing is wrong but that the whole server stops now and then
    Stall,
    /// The connection is reset in the middle of an answer
    Reset,
    /// The connection is closed in order in the middle of an answer
    Short,
    /// One bit of one answer is wrong; the connection goes on
    Wrong,
    /// The connection is closed in order where the next answer should begin
    CloseAfter,
}

/// For the workload faulty.
#[derive(Args, Clone, Debug, Default)]
pub struct FaultOptions {
    /// What faulty does wrong, after how many right answers of each connection (10 unless given;
    /// close-after wants it said), such as `--mode close-after 3`.
    ///
    /// slow: half of each answer comes at once, the other half after --pause. stall: the connection
    /// stays open and falls silent in the middle of an answer; with --stall and --every, nothing is
    /// wrong but that the whole server stops now and then. reset: the connection is reset in the
    /// middle of an answer. short: it is closed there. wrong: one bit of one answer is wrong.
    /// close-after: the connection is closed where the next answer should begin.
    ///
    /// A connection whose first bytes are `GET ` is served HTTP, any other an echo, whose answers
    /// are messages of --size bytes.
    #[arg(long, num_args = 1..=2, value_names = ["MODE", "N"], verbatim_doc_comment)]
    pub mode: Vec<String>,
    /// How long the second half of a slow answer takes [default: 100ms].
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub pause: Option<Duration>,
    /// How long the whole server stops.
    #[arg(long, value_name = "DURATION", requires = "every",
          value_parser = humantime::parse_duration)]
    pub stall: Option<Duration>,
    /// How often it stops, from one beginning to the next.
    #[arg(long, value_name = "DURATION", requires = "stall",
          value_parser = humantime::parse_duration)]
    pub every: Option<Duration>,
}

/// What is done wrong, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) mode: Mode,
    /// Answers of each connection that are right.
    after: u64,
    /// Of slow.
    pub(super) pause: Duration,
    /// The server stops for so long, so often.
    pub(super) stop: Option<(Duration, Duration)>,
}

const AFTER: u64 = 10;
const PAUSE: Duration = Duration::from_millis(100);

impl FaultOptions {
    pub(super) fn is_empty(&self) -> bool {
        self.mode.is_empty() && self.pause.is_none() && self.stall.is_none()
    }

    /// The fault that the command line describes.
    pub(super) fn fault(&self) -> Result<Fault, Failure> {
        self.parse().map_err(Failure::Usage)
    }

    fn parse(&self) -> Result<Fault, String> {
        let names = "slow, stall, reset, short, wrong or close-after N";
        let name = self.mode.first().ok_or(format!("faulty needs a --mode: {names}"))?;
        let mode = Mode::from_str(name, false)
            .map_err(|_| format!("`{name}` is not a mode of faulty: choose {names}"))?;
        let after = match self.mode.get(1) {
            Some(count) => count.parse().map_err(|_| {
                format!("`{count}` is not a number of answers, as in `--mode {name} 10`")
            })?,
            None if mode == Mode::CloseAfter => {
                return Err("close-after how many answers? As in `--mode close-after 10`".into());
            }
            None => AFTER,
        };
        let stop = self.stall.zip(self.every);
        if stop.is_some() && mode != Mode::Stall {
            return Err(format!("--stall and --every are for --mode stall, not for {name}"));
        }
        if stop.is_some_and(|(stall, every)| stall >= every) {
            return Err("--stall must be shorter than --every: nothing would be served".into());
        }
        if self.pause.is_some() && mode != Mode::Slow {
            return Err(format!("--pause is for --mode slow, not for {name}"));
        }
        Ok(Fault { mode, after, pause: self.pause.unwrap_or(PAUSE), stop })
    }
}

impl Fault {
    /// The byte of a connection's answers that the fault stands before, or in. Answers have
    /// `answer_bytes` each; the first `head_bytes` of them are never the place.
    pub(super) fn place(&self, answer_bytes: usize, head_bytes: usize) -> u64 {
        let middle = head_bytes + (answer_bytes - head_bytes) / 2;
        let within = match self.mode {
            Mode::Slow => return u64::MAX,
            Mode::Stall if self.stop.is_some() => return u64::MAX,
            Mode::CloseAfter => 0,
            Mode::Stall | Mode::Reset | Mode::Short | Mode::Wrong => middle,
        };
        self.after.saturating_mul(answer_bytes as u64).saturating_add(within as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(mode: &[&str]) -> Result<Fault, String> {
        let mode = mode.iter().map(|word| (*word).to_owned()).collect();
        FaultOptions { mode, ..FaultOptions::default() }.parse()
    }

    #[test]
    fn the_place_of_a_fault_is_in_the_answer_after_the_right_ones() {
        let place = |mode: &[&str]| fault(mode).expect("a mode").place(100, 40);
        assert_eq!(place(&["close-after", "3"]), 300);
        assert_eq!(place(&["short", "0"]), 70);
        assert_eq!(place(&["wrong"]), 1070);
        assert_eq!(place(&["slow"]), u64::MAX);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_an_example() {
        for mode in [&[][..], &["nonsense"], &["close-after"], &["short", "x"]] {
            let text = fault(mode).expect_err("no fault");
            assert!(text.contains("close-after") || text.contains("--mode"), "{text}");
        }
        let (stall, every) = (Some(Duration::from_secs(1)), Some(Duration::from_secs(1)));
        let mode = vec!["stall".to_owned()];
        let always = FaultOptions { mode, stall, every, pause: None };
        assert!(always.parse().is_err());
    }
}
