//! The line of the streams that found the buffer group empty, first come, first served.
//!
//! The line calls as many streams as there are buffers, and no more. A stream that arms a receive and
//! finds its buffer taken pays for a refusal, a cancelled poll and a new one. A stream in line
//! watches its socket meanwhile, so one that was called and does not come holds up no other.

use std::rc::Rc;
use std::task::Waker;

use super::BufferGroup;
use crate::util::line::{self, leave, offer, wake_each};
use crate::util::linked_slab::Key;

/// The streams that wait, and how many were called and have not received since.
pub(super) struct Line {
    streams: line::Line<(), ()>,
    called: usize,
}

impl Line {
    pub(super) const fn new() -> Self {
        Line { streams: line::Line::new(), called: 0 }
    }

    /// Returns true if no stream waits in the line.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Calls the first in line if fewer were called than there are buffers.
    fn call(&mut self, buffers: usize) -> Option<Waker> {
        if self.called >= buffers {
            return None;
        }
        let waker = self.streams.call_first(())?;
        self.called += 1;
        Some(waker)
    }
}

/// A stream's place in the line, and, once called, its claim to a buffer. Dropped when the stream
/// has received, or wants nothing any more.
pub(crate) struct Place {
    group: Rc<BufferGroup>,
    key: Key,
}

impl Place {
    /// Joins the line. It may be called at once.
    pub(crate) fn join(group: &Rc<BufferGroup>, waker: &Waker) -> Self {
        let mut place = None;
        offer(&group.line, waker, |line, offer| {
            line.streams.stand(&mut place, (), offer).then_some(())
        });
        group.call();
        Place { group: group.clone(), key: place.expect("it stands in line") }
    }

    /// Another stream was faster: goes back to the head of the line.
    pub(crate) fn rejoin(&self, waker: &Waker) {
        debug_assert!(self.is_called(), "who waits has nothing to come back from");
        offer(&self.group.line, waker, |line, offer| {
            line.streams.stand(&mut Some(self.key), (), offer).then(|| line.called -= 1)
        });
        self.group.call();
    }

    /// Whether there is a buffer for this stream.
    pub(crate) fn is_called(&self) -> bool {
        self.group.line.borrow().streams.is_called(Some(self.key))
    }

    /// Whether this stream was called. If not, this waker is woken when it is.
    pub(crate) fn poll_called(&self, waker: &Waker) -> bool {
        offer(&self.group.line, waker, |line, offer| {
            let called = line.streams.is_called(Some(self.key));
            let stands = called || line.streams.stand(&mut Some(self.key), (), offer);
            stands.then_some(called)
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let called = leave(&self.group.line, |line| line.streams.leave(&mut Some(self.key)));
        self.group.line.borrow_mut().called -= usize::from(called.is_some());
        self.group.call();
    }
}

impl BufferGroup {
    /// Calls as many of those that wait as there are buffers.
    // Not inlined: every buffer that is given back would pay for its frame.
    #[inline(never)]
    pub(super) fn call(&self) {
        wake_each(&self.line, |line| line.call(self.free()));
    }
}
