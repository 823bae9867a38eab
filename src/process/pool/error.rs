//! Why a call has no answer.

use std::error::Error;
use std::fmt;
use std::io;
use std::process::ExitStatus;

/// A call of a [`Pool`](super::Pool) has no answer. Other calls have theirs.
#[derive(Debug)]
#[non_exhaustive]
pub enum CallError {
    /// The function panicked, with this message. Its worker lives on.
    Panicked(String),
    /// The worker ended while it ran the function: it crashed, it exited, it had no memory left, or it
    /// was killed. Another one takes its place.
    Died(ExitStatus),
    /// The function took longer than [`PoolBuilder::time_limit`](super::PoolBuilder::time_limit). Its
    /// worker was killed.
    TimedOut,
    /// The process that was started as a worker did not answer as one. The sentence says what to do.
    NotAWorker(String),
    /// The function of this name is not in the table that the pool was made with.
    UnknownFunction(&'static str),
    /// The request cannot be serialized, or the worker cannot deserialize it.
    Request(String),
    /// The answer cannot be serialized, or the caller cannot deserialize it.
    Answer(String),
    /// The request or the answer is larger than
    /// [`PoolBuilder::message_limit`](super::PoolBuilder::message_limit), which is this number of bytes.
    TooLarge(usize),
    /// The pool was shut down.
    ShutDown,
    /// No worker could be started, or the connection to it failed.
    Io(io::Error),
}

impl CallError {
    fn kind(&self) -> io::ErrorKind {
        match self {
            CallError::Panicked(_) | CallError::NotAWorker(_) => io::ErrorKind::Other,
            CallError::Died(_) => io::ErrorKind::BrokenPipe,
            CallError::TimedOut => io::ErrorKind::TimedOut,
            CallError::UnknownFunction(_) => io::ErrorKind::InvalidInput,
            CallError::Request(_) | CallError::Answer(_) => io::ErrorKind::InvalidData,
            CallError::TooLarge(_) => io::ErrorKind::FileTooLarge,
            CallError::ShutDown => io::ErrorKind::NotConnected,
            CallError::Io(error) => error.kind(),
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::Panicked(message) => write!(f, "the function panicked: {message}"),
            CallError::Died(status) => {
                write!(f, "the worker ended while it ran the function: {status}")
            }
            CallError::TimedOut => f.write_str("the function took too long, and was killed"),
            CallError::NotAWorker(sentence) => f.write_str(sentence),
            CallError::UnknownFunction(name) => write!(
                f,
                "the table of the pool does not have `{name}`: name it in `functions![..]`"
            ),
            CallError::Request(reason) => write!(f, "the request cannot be sent: {reason}"),
            CallError::Answer(reason) => write!(f, "the answer cannot be sent: {reason}"),
            CallError::TooLarge(max) => write!(
                f,
                "the request or the answer is larger than the pool's limit of {max} bytes"
            ),
            CallError::ShutDown => f.write_str("the pool was shut down"),
            CallError::Io(error) => write!(f, "no worker can be reached: {error}"),
        }
    }
}

impl Error for CallError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            CallError::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for CallError {
    fn from(error: io::Error) -> Self {
        CallError::Io(error)
    }
}

impl From<CallError> for io::Error {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Io(error) => error,
            error => io::Error::new(error.kind(), error),
        }
    }
}
