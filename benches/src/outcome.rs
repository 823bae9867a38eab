//! How a subcommand ends.

use std::fmt;
use std::io;

/// A subcommand that did its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// What it reports can be relied upon: status 0.
    Valid,
    /// It reports something that is invalid or outside the bound asked for: status 1.
    Invalid,
}

/// A subcommand that could not do its work. The text says what to do about it.
#[derive(Debug)]
pub enum Failure {
    /// What was asked for makes no sense: status 2.
    Usage(String),
    /// The environment refuses, such as a port, descriptors, io_uring or a directory: status 3.
    Environment(String),
}

impl Failure {
    /// An error of the system, with what it was that failed.
    pub fn environment(what: impl fmt::Display, error: impl fmt::Display) -> Self {
        Failure::Environment(format!("{what}: {error}"))
    }

    /// The same failure, with whose it is.
    #[must_use]
    pub fn of(self, whose: impl fmt::Display) -> Self {
        match self {
            Failure::Usage(text) => Failure::Usage(format!("{whose}: {text}")),
            Failure::Environment(text) => Failure::Environment(format!("{whose}: {text}")),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidInput => Failure::Usage(error.to_string()),
            _ => Failure::Environment(error.to_string()),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Usage(text) | Failure::Environment(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Failure {}
