//! Errors that give the buffer back.

use std::{fmt, io};

use crate::util::thread_bound::ThreadBound;

/// What an operation with a buffer returns: the buffer comes back either way.
pub type BufResult<T, B> = Result<(T, B), BufError<B>>;

/// An error of an operation, together with the buffer that was handed to it.
///
/// `?` turns it into an [`io::Error`] and drops the buffer, or into a `Box<dyn Error + Send + Sync>`
/// or the like and keeps it; [`into_parts`](Self::into_parts) gives both back.
///
/// # Threads
///
/// The error may go to any thread, whatever its buffer is. The buffer stays with the thread that got
/// the error: elsewhere [`buf`](Self::buf) and [`into_parts`](Self::into_parts) panic, and dropping
/// the error there leaks the buffer, which
/// [`Metrics::leaked_elsewhere`](crate::Metrics::leaked_elsewhere) counts. What leaves its thread again
/// and again is better turned into an `io::Error` first.
#[non_exhaustive]
pub struct BufError<B> {
    /// What went wrong.
    pub error: io::Error,
    /// Boxed, so that it does not enlarge the results of operations that succeed.
    kept: Box<Kept<B>>,
}

struct Kept<B> {
    buf: ThreadBound<B>,
    transferred: usize,
}

impl<B> BufError<B> {
    // Out of the way of what goes well.
    #[cold]
    pub(crate) fn new(error: io::Error, buf: B) -> Self {
        BufError { error, kept: Box::new(Kept { buf: ThreadBound::new(buf), transferred: 0 }) }
    }

    /// Sets what [`transferred`](Self::transferred) returns.
    pub(crate) fn after(mut self, transferred: usize) -> Self {
        self.kept.transferred = transferred;
        self
    }

    /// How many bytes from the buffer's beginning on had been filled or sent before the operation
    /// failed: more than 0 only for operations of several steps, such as `read_exact` and `write_all`.
    pub fn transferred(&self) -> usize {
        self.kept.transferred
    }

    /// The buffer, as it was handed in; its contents are unspecified if it was to be filled.
    ///
    /// # Panics
    ///
    /// On another thread than the one that got the error.
    pub fn buf(&self) -> &B {
        self.kept.buf.get().expect(ELSEWHERE)
    }

    /// The error and the buffer.
    ///
    /// # Panics
    ///
    /// On another thread than the one that got the error.
    pub fn into_parts(self) -> (io::Error, B) {
        (self.error, self.kept.buf.into_inner().expect(ELSEWHERE))
    }

    /// The error's kind.
    pub fn kind(&self) -> io::ErrorKind {
        self.error.kind()
    }

    /// The same error with the buffer changed by `change`, for instance unwrapped from a slice.
    ///
    /// # Panics
    ///
    /// On another thread than the one that got the error.
    pub fn map_buf<C>(self, change: impl FnOnce(B) -> C) -> BufError<C> {
        let transferred = self.transferred();
        let (error, buf) = self.into_parts();
        BufError::new(error, change(buf)).after(transferred)
    }
}

const ELSEWHERE: &str = "the buffer of this error belongs to the thread that got the error, and this \
    is another; take it out there, or use the field `error` alone";

/// Of a buffer without room. Filled with nothing it would look like the end of what is read.
pub(crate) fn no_room() -> io::Error {
    let text = "the buffer has no room; give it some, for instance by Vec::with_capacity";
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

/// Of a buffer with too little room for what it is to be filled with.
pub(crate) fn little_room(room: usize, wanted: usize) -> io::Error {
    let text = format!("the buffer has room for {room} bytes, and {wanted} are to be read into it");
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

/// Of a stream that ends before a buffer has what it is to be filled with.
pub(crate) fn early_end(done: usize, wanted: usize) -> io::Error {
    let text = format!("the stream ended after {done} of {wanted} bytes");
    io::Error::new(io::ErrorKind::UnexpectedEof, text)
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
