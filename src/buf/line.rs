//! The line of the streams that found the buffer group empty, first come, first served.
//!
//! The line calls as many streams as there are buffers, and no more. A stream that arms a receive and
//! finds its buffer taken pays for a refusal, a cancelled poll and a new one. A stream in line
//! watches its socket meanwhile, so one that was called and does not come holds up no other.

use std::rc::Rc;
use std::task::Waker;

use super::BufferGroup;
use crate::util::linked_slab::{Key, LinkedSlab, List};

/// The streams that wait, and those that were called and have not received since.
pub(super) struct Line {
    /// A place without a waker was called, and is in no list.
    places: LinkedSlab<Option<Waker>>,
    waiting: List,
    called: usize,
}

impl Line {
    pub(super) const fn new() -> Self {
        Line { places: LinkedSlab::new(), waiting: List::EMPTY, called: 0 }
    }

    /// Returns true if no stream waits in the line.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Calls the first in line if fewer were called than there are buffers.
    fn call(&mut self, buffers: usize) -> Option<Waker> {
        if self.called >= buffers {
            return None;
        }
        let first = self.places.pop_front(&mut self.waiting)?;
        self.called += 1;
        self.places.get_mut(first)?.take()
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
        let waker = waker.clone();
        let mut line = group.line.borrow_mut();
        let Line { places, waiting, .. } = &mut *line;
        let key = places.insert(Some(waker));
        places.push_back(waiting, key);
        drop(line);
        group.call();
        Place { group: group.clone(), key }
    }

    /// Another stream was faster: goes back to the head of the line.
    pub(crate) fn rejoin(&self, waker: &Waker) {
        debug_assert!(self.is_called(), "who waits has nothing to come back from");
        let waker = waker.clone();
        let mut line = self.group.line.borrow_mut();
        let Line { places, waiting, called } = &mut *line;
        *called -= 1;
        *places.get_mut(self.key).expect("a place lasts until it is dropped") = Some(waker);
        places.push_front(waiting, self.key);
        drop(line);
        self.group.call();
    }

    /// Whether there is a buffer for this stream.
    pub(crate) fn is_called(&self) -> bool {
        self.group.line.borrow().places.get(self.key).is_some_and(Option::is_none)
    }

    /// Whether this stream was called. If not, this waker is woken when it is.
    pub(crate) fn poll_called(&self, waker: &Waker) -> bool {
        let known = match self.group.line.borrow().places.get(self.key) {
            Some(Some(known)) => known.will_wake(waker),
            _ => return true,
        };
        if known {
            return false;
        }
        // Cloning a waker runs code of the user's, which may give a buffer back.
        let waker = waker.clone();
        let mut line = self.group.line.borrow_mut();
        let Some(Some(kept)) = line.places.get_mut(self.key) else { return true };
        let old = std::mem::replace(kept, waker);
        drop(line);
        drop(old);
        false
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut line = self.group.line.borrow_mut();
        let Line { places, waiting, called } = &mut *line;
        match places.get(self.key) {
            Some(Some(_)) => places.unlink(waiting, self.key),
            _ => *called -= 1,
        }
        let left = places.remove(self.key);
        drop(line);
        drop(left);
        self.group.call();
    }
}

impl BufferGroup {
    /// Calls as many of those that wait as there are buffers.
    pub(super) fn call(&self) {
        loop {
            let called = self.line.borrow_mut().call(self.free());
            match called {
                Some(waker) => waker.wake(),
                None => return,
            }
        }
    }
}
