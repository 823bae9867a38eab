//! Whether a run may be believed, and why not.

use std::fmt;

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

impl Verdict {
    /// True if it makes no sense to go on with other clients.
    pub(super) fn is_fault_of_server(&self) -> bool {
        self.rank() == 3
    }

    /// The higher of two stands for both: what the server did wrong above what the client did, and
    /// both above an interruption, which one thread's trouble is for the others.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Verdict::Valid => 0,
            Verdict::Partial => 1,
            Verdict::Invalid(Fault { reason: Reason::ClientSaturated, .. }) => 2,
            Verdict::Invalid(_) => 3,
        }
    }
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
    /// An answer, or the rest of one, did not come within the patience of the plan.
    StoppedAnswering,
    /// A connection was reset.
    Reset,
    /// The server ended a stream of HTTP/2 instead of answering it.
    StreamReset,
    /// A connection was closed before an answer had begun.
    Closed,
    /// A connection was closed in the middle of an answer.
    ShortAnswer,
    /// Other bytes came than were due.
    WrongAnswer,
    /// An HTTP status other than those of success.
    ErrorStatus,
    /// A connection was refused in the middle of the run.
    Refused,
    /// The server did not take requests as fast as they were due.
    RateNotReached,
    /// Not even the lowest rate that was tried kept the bound asked for.
    NoRate,
    /// The host gave the machine's CPUs to others.
    TimeStolen,
    /// The client had no time left: it measured itself.
    ClientSaturated,
}

impl Reason {
    /// Its name, as in `invalid: wrong answer`.
    pub fn name(self) -> &'static str {
        match self {
            Reason::StoppedAnswering => "server stopped answering",
            Reason::Reset => "connection reset",
            Reason::StreamReset => "stream reset",
            Reason::Closed => "connection closed",
            Reason::ShortAnswer => "short answer",
            Reason::WrongAnswer => "wrong answer",
            Reason::ErrorStatus => "error status",
            Reason::Refused => "connection refused",
            Reason::RateNotReached => "rate not reached",
            Reason::NoRate => "no rate keeps the bound",
            Reason::TimeStolen => "time stolen",
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

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Failure::Environment(format!("{}: {}", fault.reason.name(), fault.detail))
    }
}
