//! A line of futures that wait, first come, first served: what semaphore and notify have in common.
//!
//! A service (the state behind a `RefCell`) owns the line and decides whom it can serve. The
//! functions here poll, leave and serve in such a way that no waker is cloned, woken or dropped
//! while the service is borrowed: wakers are user code and may come back to the same service.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::task::{Context, Poll, Waker};

use crate::util::linked_slab::{Key, LinkedSlab, List};

/// State that futures wait at.
pub(super) trait Service {
    /// What a waiter asks for.
    type Wants: Copy;
    /// What it gets.
    type Given;

    fn line(&mut self) -> &mut Line<Self::Wants, Self::Given>;

    /// What one that comes now gets without waiting.
    fn serve_newcomer(&mut self, wants: Self::Wants) -> Option<Self::Given>;

    /// Serves the first in line if that is possible now, and gives its waker.
    fn serve_first(&mut self) -> Option<Waker>;
}

/// Waiters that stand in line, and waiters that were served but have not been polled since.
#[derive(Debug)]
pub(super) struct Line<W, G> {
    waiters: LinkedSlab<Waiter<W, G>>,
    waiting: List,
}

#[derive(Debug)]
enum Waiter<W, G> {
    Waiting { wants: W, waker: Waker },
    Served(G),
}

/// The place of one future, `None` while it has none.
pub(super) type Place = Option<Key>;

/// Takes what the future has been given, or puts it in line.
pub(super) fn poll<S: Service>(
    service: &RefCell<S>,
    place: &mut Place,
    wants: S::Wants,
    cx: &mut Context<'_>,
) -> Poll<S::Given> {
    let mut state = service.borrow_mut();
    if let Some(given) = take(&mut *state, place, wants) {
        return Poll::Ready(given);
    }
    if place.is_some_and(|key| state.line().wakes(key, cx.waker())) {
        return Poll::Pending;
    }
    drop(state);
    let waker = cx.waker().clone();
    // The clone may have come back here, so the question is asked again.
    let mut state = service.borrow_mut();
    let (polled, unused) = match (take(&mut *state, place, wants), *place) {
        (Some(given), _) => (Poll::Ready(given), Some(waker)),
        (None, Some(key)) => (Poll::Pending, state.line().exchange_waker(key, waker)),
        (None, None) => {
            *place = Some(state.line().join(wants, waker));
            (Poll::Pending, None)
        }
    };
    drop(state);
    drop(unused);
    polled
}

/// Leaves the line. Gives what the future had been given and has not taken, for the next in line.
pub(super) fn leave<S: Service>(service: &RefCell<S>, place: &mut Place) -> Option<S::Given> {
    let key = place.take()?;
    let waiter = service.borrow_mut().line().leave(key);
    match waiter {
        Waiter::Served(given) => Some(given),
        Waiter::Waiting { .. } => None,
    }
}

/// Serves all that can be served now.
pub(super) fn serve<S: Service>(service: &RefCell<S>) {
    loop {
        let served = service.borrow_mut().serve_first();
        match served {
            Some(waker) => waker.wake(),
            None => return,
        }
    }
}

fn take<S: Service>(state: &mut S, place: &mut Place, wants: S::Wants) -> Option<S::Given> {
    let Some(key) = *place else { return state.serve_newcomer(wants) };
    let given = state.line().take_served(key)?;
    *place = None;
    Some(given)
}

impl<W, G> Line<W, G> {
    pub(super) const fn new() -> Self {
        Line { waiters: LinkedSlab::new(), waiting: List::EMPTY }
    }

    /// Whether nobody stands in line.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// What the first in line asks for.
    pub(super) fn first(&self) -> Option<&W> {
        match self.waiters.get(self.waiters.front(&self.waiting)?) {
            Some(Waiter::Waiting { wants, .. }) => Some(wants),
            _ => unreachable!("a served waiter stands in line no more"),
        }
    }

    /// Takes the first out of the line, keeps `given` for it, and gives its waker.
    pub(super) fn serve_first(&mut self, given: G) -> Option<Waker> {
        let key = self.waiters.pop_front(&mut self.waiting)?;
        let waiter = self.waiters.get_mut(key).expect("a waiter stays until it leaves");
        match std::mem::replace(waiter, Waiter::Served(given)) {
            Waiter::Waiting { waker, .. } => Some(waker),
            Waiter::Served(_) => unreachable!("a served waiter stands in line no more"),
        }
    }

    fn join(&mut self, wants: W, waker: Waker) -> Key {
        let key = self.waiters.insert(Waiter::Waiting { wants, waker });
        self.waiters.push_back(&mut self.waiting, key);
        key
    }

    fn take_served(&mut self, key: Key) -> Option<G> {
        match self.waiters.get(key)? {
            Waiter::Waiting { .. } => None,
            Waiter::Served(_) => match self.waiters.remove(key)? {
                Waiter::Served(given) => Some(given),
                Waiter::Waiting { .. } => unreachable!("the waiter was seen as served"),
            },
        }
    }

    fn leave(&mut self, key: Key) -> Waiter<W, G> {
        if let Some(Waiter::Waiting { .. }) = self.waiters.get(key) {
            self.waiters.unlink(&mut self.waiting, key);
        }
        self.waiters.remove(key).expect("a future has its place until it leaves")
    }

    fn wakes(&self, key: Key, waker: &Waker) -> bool {
        matches!(self.waiters.get(key), Some(Waiter::Waiting { waker: kept, .. }) if kept.will_wake(waker))
    }

    /// Gives the waker that was not kept, for the caller to drop.
    fn exchange_waker(&mut self, key: Key, waker: Waker) -> Option<Waker> {
        match self.waiters.get_mut(key) {
            Some(Waiter::Waiting { waker: kept, .. }) => Some(std::mem::replace(kept, waker)),
            _ => Some(waker),
        }
    }
}
