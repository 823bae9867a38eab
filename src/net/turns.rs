//! A line for what comes again and again and is taken by one at a time, first come, first served.
//!
//! The first in line is called when there may be something, and looks; those behind it sleep. One
//! that was called need not come: its future may have been forgotten ([`std::mem::forget`]), or be
//! busy elsewhere. It holds nobody up: whoever is polled meanwhile looks in its place, and the next
//! in line is called after a moment's patience. Every step takes the same time, however long the
//! line is.

use std::cell::RefCell;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use crate::driver::{Alarm, deadline_after};
use crate::util::line::{Line, Place, leave, offer};
use crate::util::thread_bound::ThreadBound;

/// The line, with the waker by which it is told that there may be something.
pub(super) struct Turns(Arc<Shared>);

/// How long one that was called has to come before the next is called, too.
const PATIENCE: Duration = Duration::from_millis(1);

/// Reached on its own thread only: nothing is awaited on another.
struct Shared(ThreadBound<Caller>);

struct Caller {
    state: RefCell<State>,
    /// Runs while one that was called has not come, and others wait behind it.
    patience: RefCell<Option<Alarm>>,
}

struct State {
    line: Line<(), ()>,
    /// Nobody has looked since there may be something.
    news: bool,
}

impl Turns {
    pub(super) fn new() -> Self {
        let state = RefCell::new(State { line: Line::new(), news: true });
        Turns(Arc::new(Shared(ThreadBound::new(Caller { state, patience: RefCell::new(None) }))))
    }

    /// Looks, if it is this future's turn, with the waker of the line; else, and if there is
    /// nothing, waits in line.
    pub(super) fn poll<T>(
        &self,
        place: &mut Place,
        cx: &mut Context<'_>,
        look: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let Some(caller) = self.0.0.get() else { unreachable!("its futures stay on this thread") };
        let may_look = offer(&caller.state, cx.waker(), |state, offer| {
            let stands = state.line.stand(place, (), offer);
            stands.then(|| mem::take(&mut state.news) || state.line.is_first(*place))
        });
        if !may_look {
            return Poll::Pending;
        }
        caller.end_patience();
        let polled = look(&mut Context::from_waker(&Waker::from(self.0.clone())));
        if polled.is_ready() {
            caller.leave(place);
            // There may be more.
            self.0.call_next();
        }
        polled
    }

    /// Leaves the line. If this future was called, the next one is.
    pub(super) fn leave(&self, place: &mut Place) {
        if let Some(caller) = self.0.0.get()
            && caller.leave(place)
        {
            self.0.call_next();
        }
    }
}

impl Drop for Turns {
    fn drop(&mut self) {
        // The alarm keeps the line, and the line the alarm.
        if let Some(caller) = self.0.0.get() {
            caller.end_patience();
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
    /// There may be something: calls the first in line.
    fn call_next(self: &Arc<Self>) {
        let Some(caller) = self.0.get() else { return };
        caller.end_patience();
        let mut state = caller.state.borrow_mut();
        state.news = true;
        let first = state.line.call_first(());
        let others_wait = !state.line.is_empty();
        drop(state);
        if others_wait && let Some(end) = deadline_after(PATIENCE) {
            let mut alarm = Alarm::default();
            // Outside a runtime there is nobody to call.
            if alarm.poll(end, &Waker::from(self.clone())).is_pending() {
                caller.patience.replace(Some(alarm));
            }
        }
        if let Some(waker) = first {
            waker.wake();
        }
    }
}

impl Caller {
    /// Whether the one that leaves was called and had not come.
    fn leave(&self, place: &mut Place) -> bool {
        leave(&self.state, |state| state.line.leave(place)).is_some()
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
