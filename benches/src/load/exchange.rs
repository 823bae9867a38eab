//! What is sent on a connection, and what has to come back.

use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

use super::http2::{Page, Session};
use super::line::Lines;
use super::plan::{Plan, Protocol};
use super::verdict::Reason;
use super::{body, http};
use crate::outcome::Failure;
use crate::stats::Random;

/// As many bytes are sent, received and compared at once at most.
pub(super) const WINDOW: usize = 64 * 1024;

/// Bytes that repeat without an end: a stream of requests, or one of answers.
///
/// A position within the stream is all that a connection has to remember, and the bytes of any
/// number of requests are one slice.
#[derive(Debug)]
pub(super) struct Stream {
    bytes: Vec<u8>,
    period: usize,
}

impl Stream {
    pub(super) fn new(mut bytes: Vec<u8>) -> Self {
        let period = bytes.len();
        bytes.extend_from_within(..period.min(WINDOW));
        while bytes.len() < period + WINDOW {
            let more = bytes.len().min(period + WINDOW - bytes.len());
            // A whole number of periods is there already, so what follows is the beginning.
            bytes.extend_from_within(..more);
        }
        Stream { bytes, period }
    }

    /// At most `length` bytes from `position` on, and no more than a window.
    pub(super) fn at(&self, position: usize, length: usize) -> &[u8] {
        &self.bytes[position..position + length.min(WINDOW)]
    }

    /// The position `by` bytes further on.
    pub(super) fn after(&self, position: usize, by: usize) -> usize {
        (position + by) % self.period
    }
}

/// Both directions of a protocol.
#[derive(Debug)]
pub(super) struct Exchange {
    /// What is sent.
    pub(super) requests: Stream,
    /// Bytes of one request.
    pub(super) request_size: usize,
    answers: Answers,
    /// Connections begin so many bytes apart in the stream of requests.
    stride: usize,
}

#[derive(Debug)]
enum Answers {
    Same,
    Lines(Lines),
    Http(Arc<OnceLock<Vec<u8>>>),
    Http2(Rc<Page>),
}

/// How far the answers of one connection have come.
#[derive(Debug)]
pub(super) struct Progress {
    /// Where in the stream of answers the next byte belongs.
    pub(super) position: usize,
    /// Bytes of the current answer.
    pub(super) arrived: usize,
    /// What came and cannot be judged yet: the beginning of a head, or of a line.
    pub(super) pending: Vec<u8>,
    /// Of an HTTP answer.
    pub(super) part: http::Part,
}

/// What some bytes brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// So many answers are complete.
    pub(super) answers: usize,
    /// The server closes the connection after the last of them, as it has announced.
    pub(super) is_last: bool,
}

/// Why bytes are not what was due.
pub(super) type Refusal = (Reason, String);

impl Exchange {
    pub(super) fn new(plan: &Plan) -> Result<Self, Failure> {
        let mut random = Random::new(plan.seed);
        Ok(match &plan.protocol {
            Protocol::Echo => Exchange {
                requests: Stream::new((0..ECHO_PERIOD).map(|_| random.next() as u8).collect()),
                request_size: plan.message_size,
                answers: Answers::Same,
                stride: 1021,
            },
            Protocol::Line => {
                let lines = Lines::new(plan, &mut random);
                let request_size = lines.size();
                Exchange {
                    requests: Stream::new(lines.text()),
                    request_size,
                    answers: Answers::Lines(lines),
                    stride: request_size,
                }
            }
            Protocol::Http { path } => {
                let request = http::request(plan, path);
                Exchange {
                    request_size: request.len(),
                    requests: Stream::new(request),
                    answers: Answers::Http(plan.first_body.clone()),
                    stride: 0,
                }
            }
            // A session knows what to send.
            Protocol::Http2 { path } => Exchange {
                requests: Stream::new(vec![0]),
                request_size: 0,
                answers: Answers::Http2(Rc::new(Page::new(plan, path)?)),
                stride: 0,
            },
        })
    }

    /// What takes the place of both streams of bytes on a connection that has them within it.
    pub(super) fn session(&self, stream: &Rc<OwnedFd>) -> Option<Box<Session>> {
        match &self.answers {
            Answers::Http2(page) => Some(Box::new(Session::new(stream, page))),
            _ => None,
        }
    }

    /// Where the stream of the connection with this index begins.
    pub(super) fn first_position(&self, index: usize) -> usize {
        self.requests.after(0, index % self.requests.period * self.stride)
    }

    /// Nothing has come back yet on a connection that began to send at `position`.
    pub(super) fn progress(&self, position: usize) -> Progress {
        Progress { position, arrived: 0, pending: Vec::new(), part: http::Part::Head }
    }

    /// Verifies `bytes` and says what they complete, of `due` answers.
    pub(super) fn take(
        &mut self,
        progress: &mut Progress,
        bytes: &[u8],
        due: usize,
    ) -> Result<Taken, Refusal> {
        match &mut self.answers {
            Answers::Same => {
                let size = self.request_size;
                let answers = take_repeated(&self.requests, size, progress, bytes, due)?;
                Ok(Taken { answers, is_last: false })
            }
            Answers::Lines(lines) => {
                let answers = lines.take(&self.requests, progress, bytes, due)?;
                Ok(Taken { answers, is_last: false })
            }
            Answers::Http(body) => http::take(body, progress, bytes, due),
            Answers::Http2(_) => unreachable!("a session receives for itself"),
        }
    }

    /// What the end of a connection brings, where it is no fault: the rest of a body that has no
    /// length, or nothing when nothing is due from a server that keeps connections for a while.
    pub(super) fn end(&mut self, progress: &mut Progress, due: usize) -> Option<Taken> {
        match &self.answers {
            Answers::Http(body) => http::end(body, progress, due),
            Answers::Same | Answers::Lines(_) | Answers::Http2(_) => None,
        }
    }

    /// What each answer was compared with.
    pub(super) fn verified(&self) -> String {
        match &self.answers {
            Answers::Same => "each message came back".to_owned(),
            Answers::Lines(lines) => lines.verified(),
            Answers::Http(body) => body::verified(body),
            Answers::Http2(page) => body::verified(page.first_body()),
        }
    }
}

/// Verifies bytes of answers of `size` bytes each, whose stream is known.
pub(super) fn take_repeated(
    stream: &Stream,
    size: usize,
    progress: &mut Progress,
    bytes: &[u8],
    due: usize,
) -> Result<usize, Refusal> {
    let wrong = |what: &str| Err((Reason::WrongAnswer, what.to_owned()));
    if due == 0 {
        return wrong("sent bytes that nobody asked for");
    }
    if stream.at(progress.position, bytes.len()) != bytes {
        return wrong("got back other bytes than it sent");
    }
    progress.position = stream.after(progress.position, bytes.len());
    progress.arrived += bytes.len();
    let answers = progress.arrived / size;
    progress.arrived %= size;
    if answers > due || answers == due && progress.arrived > 0 {
        return wrong("sent more bytes than were asked for");
    }
    Ok(answers)
}

/// A prime, so that a message and its successors differ whatever their size: an answer that belongs
/// to another connection or another round is not mistaken for the right one. Small, so that the
/// messages stay in the first cache.
const ECHO_PERIOD: usize = 4093;

#[cfg(test)]
mod tests {
    use super::{Exchange, Stream, WINDOW, http};
    use crate::address::Address;
    use crate::load::plan::{Plan, Protocol};

    #[test]
    fn a_stream_repeats_its_bytes_without_a_seam() {
        for period in [1, 2, 3, 1000, WINDOW - 1, WINDOW, WINDOW + 7] {
            let bytes: Vec<u8> = (0..period).map(|index| (index % 251) as u8).collect();
            let stream = Stream::new(bytes.clone());
            for position in [0, period / 2, period - 1] {
                let expected = (0..WINDOW).map(|index| bytes[(position + index) % period]);
                assert!(stream.at(position, usize::MAX).iter().copied().eq(expected), "{period}");
            }
        }
    }

    fn echo(message_size: usize) -> Exchange {
        let plan = Plan::new(Address::any_port(), Protocol::Echo);
        Exchange::new(&Plan { message_size, ..plan }).expect("an echo is always possible")
    }

    #[test]
    fn an_echo_is_counted_however_it_is_cut() {
        let mut exchange = echo(10);
        let sent = exchange.requests.at(0, 30).to_vec();
        for cut in 0..=30 {
            let mut progress = exchange.progress(0);
            let first = exchange.take(&mut progress, &sent[..cut], 3).expect("the right bytes");
            let rest = exchange.take(&mut progress, &sent[cut..], 3 - first.answers);
            // The end of the last answer may have been in the first part.
            let rest = if cut == 30 { 0 } else { rest.expect("the right bytes").answers };
            assert_eq!(first.answers + rest, 3);
        }
    }

    #[test]
    fn an_echo_of_another_message_or_of_too_much_is_refused() {
        let mut exchange = echo(10);
        let sent = exchange.requests.at(0, 30).to_vec();
        for (bytes, due) in [(&sent[10..20], 1), (&sent[..11], 1), (&sent[..1], 0)] {
            let mut progress = exchange.progress(0);
            assert!(exchange.take(&mut progress, bytes, due).is_err());
        }
        assert_eq!(exchange.progress(0).part, http::Part::Head);
    }
}
