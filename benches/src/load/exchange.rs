//! What is sent on a connection, and what has to come back.

use std::io;

use super::plan::{Plan, Protocol};
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
    fn new(mut bytes: Vec<u8>) -> Self {
        let period = bytes.len();
        let copied = (0..WINDOW).map(|index| bytes[index % period]).collect::<Vec<_>>();
        bytes.extend(copied);
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
}

/// How far the answers of one connection have come.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    /// Where in the stream the next byte belongs.
    position: usize,
    /// Bytes of the current answer.
    pub(super) arrived: usize,
}

impl Exchange {
    pub(super) fn new(plan: &Plan) -> Self {
        let mut random = Random::new(plan.seed);
        match plan.protocol {
            Protocol::Echo => Exchange {
                requests: Stream::new((0..ECHO_PERIOD).map(|_| random.next() as u8).collect()),
                request_size: plan.message_size,
            },
        }
    }

    /// Where the stream of the connection with this index begins.
    pub(super) fn first_position(&self, index: usize) -> usize {
        self.requests.after(0, index % ECHO_PERIOD * 1021)
    }

    /// Nothing has come back yet on a connection that began to send at `position`.
    pub(super) fn progress(&self, position: usize) -> Progress {
        Progress { position, arrived: 0 }
    }

    /// Verifies `bytes` and says how many answers they complete, of `in_flight` that are due.
    pub(super) fn take(
        &self,
        progress: &mut Progress,
        bytes: &[u8],
        in_flight: usize,
    ) -> Result<usize, &'static str> {
        if self.requests.at(progress.position, bytes.len()) != bytes {
            return Err(if in_flight == 0 {
                "sent bytes that nobody asked for"
            } else {
                "got back other bytes than it sent"
            });
        }
        progress.position = self.requests.after(progress.position, bytes.len());
        progress.arrived += bytes.len();
        let answers = progress.arrived / self.request_size;
        progress.arrived %= self.request_size;
        if answers > in_flight || answers == in_flight && progress.arrived > 0 {
            return Err("sent more bytes than were asked for");
        }
        Ok(answers)
    }
}

/// A prime, so that a message and its successors differ whatever their size: an answer that belongs
/// to another connection or another round is not mistaken for the right one. Small, so that the
/// messages stay in the first cache.
const ECHO_PERIOD: usize = 4093;

/// True when a socket has nothing more to give or to take for now.
pub(super) fn would_block(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}
