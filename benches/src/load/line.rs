//! The line protocol: one line asks, one line answers.
//!
//! What a line is answered by is learnt from the first answer: either each line comes back, or all
//! of them are answered by the same line, such as `ok`.

use super::exchange::{Progress, Refusal, Stream, take_repeated};
use super::plan::Plan;
use super::verdict::Reason;
use crate::stats::Random;

/// The lines that are sent, and what is known of their answers.
#[derive(Debug)]
pub(super) struct Lines {
    text: Vec<u8>,
    size: usize,
    answers: Option<Answers>,
}

#[derive(Debug)]
enum Answers {
    Same,
    Constant { stream: Stream, line: Vec<u8> },
}

impl Lines {
    /// The plan's own line, or different lines of the plan's size.
    pub(super) fn new(plan: &Plan, random: &mut Random) -> Self {
        let text = match &plan.line {
            Some(line) => format!("{line}\n").into_bytes(),
            None => {
                let mut letters = || ALPHABET[random.below(ALPHABET.len())];
                let mut text: Vec<u8> =
                    (0..DIFFERENT_LINES * plan.message_size).map(|_| letters()).collect();
                for line in text.chunks_mut(plan.message_size) {
                    line[line.len() - 1] = b'\n';
                }
                text
            }
        };
        let size = plan.line.as_ref().map_or(plan.message_size, |line| line.len() + 1);
        Lines { text, size, answers: None }
    }

    /// All lines, one after the other.
    pub(super) fn text(&self) -> Vec<u8> {
        self.text.clone()
    }

    /// Bytes of one line with its end.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    pub(super) fn take(
        &mut self,
        requests: &Stream,
        progress: &mut Progress,
        bytes: &[u8],
        due: usize,
    ) -> Result<usize, Refusal> {
        if self.answers.is_some() && progress.pending.is_empty() {
            return self.compare(requests, progress, bytes, due);
        }
        let mut pending = std::mem::take(&mut progress.pending);
        pending.extend_from_slice(bytes);
        if self.answers.is_none() {
            let Some(end) = pending.iter().position(|byte| *byte == b'\n') else {
                if pending.len() > ANSWER_MAX {
                    let what = format!("sent {} bytes without the end of a line", pending.len());
                    return Err((Reason::WrongAnswer, what));
                }
                progress.arrived = pending.len();
                progress.pending = pending;
                return Ok(0);
            };
            self.learn(requests, progress.position, &pending[..=end]);
        }
        // What was pending counts from here on as just arrived.
        progress.arrived = 0;
        let mut answers = 0;
        for part in pending.chunks(super::exchange::WINDOW) {
            answers += self.compare(requests, progress, part, due - answers)?;
        }
        Ok(answers)
    }

    fn learn(&mut self, requests: &Stream, position: usize, line: &[u8]) {
        self.answers = Some(if requests.at(position, self.size) == line {
            Answers::Same
        } else {
            Answers::Constant { stream: Stream::new(line.to_vec()), line: line.to_vec() }
        });
    }

    fn compare(
        &self,
        requests: &Stream,
        progress: &mut Progress,
        bytes: &[u8],
        due: usize,
    ) -> Result<usize, Refusal> {
        match self.answers.as_ref().expect("learnt before anything is compared") {
            Answers::Same => take_repeated(requests, self.size, progress, bytes, due),
            Answers::Constant { stream, line } => {
                // A connection that has met no answer yet stands at a position among the requests.
                if progress.arrived == 0 {
                    progress.position = 0;
                }
                take_repeated(stream, line.len(), progress, bytes, due).map_err(|(reason, _)| {
                    let line = String::from_utf8_lossy(line);
                    (reason, format!("got another answer than the first one, {line:?}, or more"))
                })
            }
        }
    }

    /// What each answer was compared with.
    pub(super) fn verified(&self) -> String {
        match &self.answers {
            None => "there was no answer".to_owned(),
            Some(Answers::Same) => "each line came back".to_owned(),
            Some(Answers::Constant { line, .. }) => {
                let line = String::from_utf8_lossy(line);
                format!("each line was answered as the first one, by {:?}", line.trim_end())
            }
        }
    }
}

/// So many lines differ, so that an answer that belongs to another is seen.
const DIFFERENT_LINES: usize = 31;

/// A first answer longer than this is no line.
const ANSWER_MAX: usize = 1 << 20;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

#[cfg(test)]
mod tests {
    use crate::address::Address;
    use crate::load::exchange::Exchange;
    use crate::load::plan::{Plan, Protocol};

    fn exchange() -> Exchange {
        let plan = Plan::new(Address::any_port(), Protocol::Line);
        Exchange::new(&Plan { message_size: 8, ..plan }).expect("lines are always possible")
    }

    #[test]
    fn lines_that_come_back_are_compared_with_what_was_sent() {
        let mut exchange = exchange();
        let sent = exchange.requests.at(0, 16).to_vec();
        let mut progress = exchange.progress(0);
        assert_eq!(exchange.take(&mut progress, &sent[..3], 2).expect("a part").answers, 0);
        assert_eq!(exchange.take(&mut progress, &sent[3..], 2).expect("two lines").answers, 2);
        assert_eq!(exchange.verified(), "each line came back");
        assert!(exchange.take(&mut progress, &sent[..8], 1).is_err(), "the third line is due");
    }

    #[test]
    fn a_constant_answer_is_learnt_and_held_to() {
        let mut exchange = exchange();
        let mut first = exchange.progress(0);
        let mut second = exchange.progress(8);
        assert_eq!(exchange.take(&mut second, b"o", 1).expect("a part").answers, 0);
        assert_eq!(exchange.take(&mut first, b"ok\nok\no", 3).expect("two lines").answers, 2);
        assert_eq!(exchange.take(&mut second, b"k\n", 1).expect("one line").answers, 1);
        assert_eq!(exchange.take(&mut first, b"k\n", 1).expect("one line").answers, 1);
        assert!(exchange.take(&mut first, b"no\n", 1).is_err());
        assert!(exchange.verified().contains("\"ok\""), "{}", exchange.verified());
    }
}
