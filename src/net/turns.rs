//! A line for what comes again and again and is taken by one at a time, first come, first served.
//!
//! The first in line is called when there may be something, and looks; those behind it sleep. One
//! that was called need not come: its future may have been forgotten ([`std::mem::forget`]), or be
//! busy elsewhere. It holds nobody up: whoever is polled meanwhile looks in its place, and the next
//! in line is called after a moment's patience. Every step takes the same time, however long the
//! line is.

use std::cell::RefCell;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use crate::driver::{Alarm, deadline_after};
use crate::util::linked_slab::{Key, LinkedSlab, List};
use crate::util::thread_bound::ThreadBound;

/// The line, with the waker by which it is told that there may be something.
pub(super) struct Turns(Arc<Shared>);

/// The place of one future, `None` while it has none.
pub(super) type Place = Option<Key>;

/// How long one that was called has to come before the next is called, too.
const PATIENCE: Duration = Duration::from_millis(1);

struct Shared(ThreadBound<Line>);

struct Line {
    state: RefCell<State>,
    /// Runs while one that was called has not come, and others wait behind it.
    patience: RefCell<Option<Alarm>>,
}

struct State {
    /// A place without a waker was called, and is in no list.
    places: LinkedSlab<Option<Waker>>,
    waiting: List,
    /// Nobody has looked since there may be something.
    news: bool,
}

impl Turns {
    pub(super) fn new() -> Self {
        let state = State { places: LinkedSlab::new(), waiting: List::EMPTY, news: true };
        let line = Line { state: RefCell::new(state), patience: RefCell::new(None) };
        Turns(Arc::new(Shared(ThreadBound::new(line))))
    }

    /// Looks, if it is this future's turn, with the waker of the line; else, and if there is
    /// nothing, waits in line.
    pub(super) fn poll<T>(
        &self,
        place: &mut Place,
        cx: &mut Context<'_>,
        look: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let Some(line) = self.0.line() else { unreachable!("its futures stay on this thread") };
        line.stand(place, cx.waker());
        if !line.may_look(*place) {
            return Poll::Pending;
        }
        let polled = look(&mut Context::from_waker(&Waker::from(self.0.clone())));
        if polled.is_ready() {
            line.leave(place);
            // There may be more.
            self.0.call_next();
        }
        polled
    }

    /// Leaves the line. If this future was called, the next one is.
    pub(super) fn leave(&self, place: &mut Place) {
        if let Some(line) = self.0.line()
            && line.leave(place)
        {
            self.0.call_next();
        }
    }
}

impl Drop for Turns {
    fn drop(&mut self) {
        // The alarm keeps the line, and the line the alarm.
        if let Some(line) = self.0.line() {
            line.end_patience();
        }
    }
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.call_next();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.call_next();
    }
}

impl Shared {
    /// `None` on another thread, on which nothing is awaited.
    fn line(&self) -> Option<&Line> {
        self.0.get()
    }

    /// There may be something: calls the first in line.
    fn call_next(self: &Arc<Self>) {
        let Some(line) = self.line() else { return };
        line.end_patience();
        let mut state = line.state.borrow_mut();
        let State { places, waiting, news } = &mut *state;
        *news = true;
        let first = places.pop_front(waiting);
        let waker = first.and_then(|first| places.get_mut(first)?.take());
        let others_wait = !waiting.is_empty();
        drop(state);
        if others_wait && let Some(end) = deadline_after(PATIENCE) {
            let mut alarm = Alarm::default();
            // Outside a runtime there is nobody to call.
            if alarm.poll(end, &Waker::from(self.clone())).is_pending() {
                line.patience.replace(Some(alarm));
            }
        }
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Line {
    /// Takes a place, or goes back to the one that it was called from, with this waker.
    fn stand(&self, place: &mut Place, waker: &Waker) {
        let known = place.and_then(|key| {
            let state = self.state.borrow();
            state.places.get(key)?.as_ref().map(|known| known.will_wake(waker))
        });
        if known == Some(true) {
            return;
        }
        // Cloning a waker runs code of the user's: before the borrow.
        let waker = waker.clone();
        let mut state = self.state.borrow_mut();
        let State { places, waiting, .. } = &mut *state;
        let old = match *place {
            None => {
                let key = places.insert(Some(waker));
                places.push_back(waiting, key);
                *place = Some(key);
                None
            }
            Some(key) => {
                let kept = places.get_mut(key).expect("a future has its place until it leaves");
                let old = kept.replace(waker);
                if old.is_none() {
                    places.push_front(waiting, key);
                }
                old
            }
        };
        drop(state);
        drop(old);
    }

    /// Whether the holder of a place may look; it is then taken as having looked.
    fn may_look(&self, place: Place) -> bool {
        let mut state = self.state.borrow_mut();
        let is_first = state.places.front(&state.waiting) == place;
        if !state.news && !is_first {
            return false;
        }
        state.news = false;
        drop(state);
        self.end_patience();
        true
    }

    /// Whether the one that leaves was called and had not come.
    fn leave(&self, place: &mut Place) -> bool {
        let Some(key) = place.take() else { return false };
        let mut state = self.state.borrow_mut();
        let State { places, waiting, .. } = &mut *state;
        let waits = places.get(key).is_some_and(Option::is_some);
        if waits {
            places.unlink(waiting, key);
        }
        let left = places.remove(key);
        drop(state);
        drop(left);
        !waits
    }

    fn end_patience(&self) {
        let alarm = self.patience.take();
        drop(alarm);
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::Pin;

    use super::*;
    use crate::util::linked_slab::visits;
    use crate::util::test_waker::Poller;

    /// Waits at a line where nothing comes.
    struct Waits<'a>(&'a Turns, &'a mut Place);

    impl Future for Waits<'_> {
        type Output = ();

        fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
            let Waits(turns, place) = &mut *self;
            turns.poll(place, cx, |_| Poll::Pending)
        }
    }

    #[test]
    fn ten_thousand_wait_and_each_step_looks_at_few() {
        let turns = Turns::new();
        let mut places = vec![None; 10_000];
        let before = visits::counted();
        for poller in [Poller::new(), Poller::new()] {
            for place in &mut places {
                assert!(poller.poll(&mut Waits(&turns, place)).is_pending());
            }
        }
        for place in places.iter_mut().rev() {
            turns.leave(place);
        }
        let visits = visits::counted() - before;
        assert!(visits > 30_000, "nothing was counted");
        assert!(visits < 300_000, "30,000 steps looked at {visits} places");
    }
}
