//! Whether a run may be believed, and why not.

use std::fmt;
use std::io;

use crate::outcome::Failure;

/// What a run is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its numbers say what they seem to say.
    Valid,
    /// It was interrupted; its numbers are those of the time until then.
    Partial,
    /// Its numbers are not those of the server under the load that was asked for.
    Invalid(Fault),
}

/// What went wrong, in a word and in a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Of which kind.
    pub reason: Reason,
    /// What exactly, and what to do about it.
    pub detail: String,
}

/// The kinds of faults, in the words that stand in reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// An answer did not come within the patience of the plan.
    StoppedAnswering,
    /// A connection was reset.
    Reset,
    /// A connection was closed before an answer had begun.
    Closed,
    /// A connection was closed, or fell silent, in the middle of an answer.
    ShortAnswer,
    /// Other bytes came than were due.
    WrongAnswer,
    /// An HTTP status other than those of success.
    ErrorStatus,
    /// A connection was refused in the middle of the run.
    Refused,
    /// The server did not take requests as fast as they were due.
    RateNotReached,
    /// The client had no time left: it measured itself.
    ClientSaturated,
}

impl Reason {
    /// Its name, as in `invalid: wrong answer`.
    pub fn name(self) -> &'static str {
        match self {
            Reason::StoppedAnswering => "server stopped answering",
            Reason::Reset => "connection reset",
            Reason::Closed => "connection closed",
            Reason::ShortAnswer => "short answer",
            Reason::WrongAnswer => "wrong answer",
            Reason::ErrorStatus => "error status",
            Reason::Refused => "connection refused",
            Reason::RateNotReached => "rate not reached",
            Reason::ClientSaturated => "client saturated",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Valid => f.write_str("valid"),
            Verdict::Partial => f.write_str("partial: interrupted"),
            Verdict::Invalid(fault) => write!(f, "invalid: {}", fault.reason.name()),
        }
    }
}

/// What ends a run early: the server, or this very machine.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The run has a verdict, and what was measured until then.
    Server(Fault),
    /// There is nothing to report.
    Own(Failure),
}

impl Trouble {
    /// What the server did wrong on the connection with this index.
    pub(super) fn server(reason: Reason, index: usize, what: impl fmt::Display) -> Self {
        Trouble::Server(Fault { reason, detail: format!("connection {index} {what}") })
    }

    /// An error of the socket with this index.
    pub(super) fn socket(index: usize, error: &io::Error) -> Self {
        let reason = match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Reason::Reset,
            io::ErrorKind::ConnectionRefused => Reason::Refused,
            io::ErrorKind::TimedOut => Reason::StoppedAnswering,
            _ => return Trouble::Own(Failure::environment(format!("connection {index}"), error)),
        };
        Trouble::server(reason, index, format_args!("failed: {error}"))
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Trouble::Own(failure)
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Server(fault) => Failure::from(fault),
            Trouble::Own(failure) => failure,
        }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Failure::Environment(format!("{}: {}", fault.reason.name(), fault.detail))
    }
}
