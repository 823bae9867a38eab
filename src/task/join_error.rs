//! Why a task has no output.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::io;

use super::id::Id;

/// A task ended without an output: it was cancelled, or it panicked.
#[non_exhaustive]
pub struct JoinError {
    task: Option<Id>,
    cause: Cause,
}

enum Cause {
    Cancelled,
    Panicked(Payload),
}

impl JoinError {
    pub(crate) fn cancelled(task: impl Into<Option<Id>>) -> Self {
        JoinError { task: task.into(), cause: Cause::Cancelled }
    }

    pub(crate) fn panicked(task: impl Into<Option<Id>>, payload: Box<dyn Any + Send>) -> Self {
        JoinError { task: task.into(), cause: Cause::Panicked(Payload(payload)) }
    }

    /// The number of the task. `None`: it was a closure of
    /// [`spawn_blocking`](super::spawn_blocking) or of a [`ThreadPool`](super::ThreadPool), or a main future.
    pub fn id(&self) -> Option<Id> {
        self.task
    }

    /// Whether the task was aborted, or was still running when its runtime ended.
    pub fn is_cancelled(&self) -> bool {
        matches!(self.cause, Cause::Cancelled)
    }

    /// Whether the task panicked.
    pub fn is_panic(&self) -> bool {
        matches!(self.cause, Cause::Panicked(_))
    }

    /// What the task panicked with, for [`std::panic::resume_unwind`].
    ///
    /// # Panics
    /// The task did not panic; see [`is_panic`](Self::is_panic).
    #[track_caller]
    pub fn into_panic(self) -> Box<dyn Any + Send> {
        match self.cause {
            Cause::Panicked(payload) => payload.0,
            Cause::Cancelled => panic!("the task was cancelled, it did not panic"),
        }
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Cancelled => f.write_str("the task was cancelled"),
            Cause::Panicked(payload) => match payload.message() {
                Some(message) => write!(f, "the task panicked: {message}"),
                None => f.write_str("the task panicked"),
            },
        }
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Cancelled => f.write_str("JoinError::Cancelled"),
            Cause::Panicked(payload) => {
                f.debug_tuple("JoinError::Panicked").field(&payload.message()).finish()
            }
        }
    }
}

impl Error for JoinError {}

impl From<JoinError> for io::Error {
    fn from(error: JoinError) -> Self {
        io::Error::other(error)
    }
}

/// A panic's payload. It is `Send` but need not be `Sync`; an error has to be both to travel as
/// `Box<dyn Error + Send + Sync>`.
struct Payload(Box<dyn Any + Send>);

// SAFETY: a shared reference gives access to the payload only where it is a string, which is
// `Sync`; asking for its type does not touch its value.
unsafe impl Sync for Payload {}

impl Payload {
    fn message(&self) -> Option<&str> {
        message(&*self.0)
    }
}

/// The text of a panic's payload.
pub(crate) fn message(payload: &(dyn Any + Send)) -> Option<&str> {
    if let Some(message) = payload.downcast_ref::<&'static str>() {
        return Some(message);
    }
    payload.downcast_ref::<String>().map(String::as_str)
}
