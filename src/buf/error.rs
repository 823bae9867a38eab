//! Errors that give the buffer back.

use std::{fmt, io};

/// What an operation with a buffer returns: the buffer comes back either way.
pub type BufResult<T, B> = Result<(T, B), BufError<B>>;

/// An error of an operation, together with the buffer that was handed to it.
///
/// `?` turns it into an [`io::Error`] and drops the buffer; [`into_parts`](Self::into_parts) gives
/// both back.
#[non_exhaustive]
pub struct BufError<B> {
    /// What went wrong.
    pub error: io::Error,
    /// The buffer, as it was handed in; its contents are unspecified if it was to be filled.
    pub buf: B,
}

impl<B> BufError<B> {
    pub(crate) fn new(error: io::Error, buf: B) -> Self {
        BufError { error, buf }
    }

    /// The error and the buffer.
    pub fn into_parts(self) -> (io::Error, B) {
        (self.error, self.buf)
    }

    /// The error's kind.
    pub fn kind(&self) -> io::ErrorKind {
        self.error.kind()
    }

    /// The same error with the buffer changed by `change`, for instance unwrapped from a slice.
    pub fn map_buf<C>(self, change: impl FnOnce(B) -> C) -> BufError<C> {
        BufError { error: self.error, buf: change(self.buf) }
    }
}

impl<B> From<BufError<B>> for io::Error {
    fn from(error: BufError<B>) -> Self {
        error.error
    }
}

impl<B> fmt::Debug for BufError<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufError").field("error", &self.error).finish_non_exhaustive()
    }
}

impl<B> fmt::Display for BufError<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<B> std::error::Error for BufError<B> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}
