//! A line to wait in, first come, first served: the only one there is.
//!
//! ```text
//!          stand              call_first             take
//!   (none) -----> waiting ------------------> called -----> (none)
//!                    |    <------------------    |
//!                    |       stand: in front     |
//!                    +-----------> (none) <------+
//!                                  leave
//! ```
//!
//! Who calls, when, and what is given with it is the rule of the line's owner. Each step takes the
//! same time however many wait.
//!
//! Wakers are the user's code and may come back to the owner, so none is cloned, woken or dropped
//! while the owner is borrowed, or locked: [`offer`], [`wake_each`] and [`leave`] borrow it, and see
//! to that.

use std::cell::RefCell;
use std::mem;
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};
use std::task::Waker;

use super::linked_slab::{Key, LinkedSlab, List};

/// The place of one future, `None` while it has none.
pub(crate) type Place = Option<Key>;

/// The places of any number of lines, each of which is a [`List`]. `W` is what those that wait ask
/// for, `G` is what they are given; neither has code of its own that runs when it is dropped.
#[derive(Debug)]
pub(crate) struct Places<W, G> {
    places: LinkedSlab<Standing<W, G>>,
}

/// A line with places of its own.
#[derive(Debug)]
pub(crate) struct Line<W, G> {
    places: Places<W, G>,
    waiting: List,
}

/// What is known of one that has a place.
#[derive(Debug)]
#[must_use = "dropping a waker runs user code: not under the borrow"]
pub(crate) enum Standing<W, G> {
    /// It is in a line.
    Waiting { wants: W, waker: Waker },
    /// It is in no line, and has not taken yet what it was given.
    Called(G),
}

/// A waker that may be kept, and is cloned only if it is.
pub(crate) struct Offer<'a> {
    waker: &'a Waker,
    clone: Option<Waker>,
}

/// The owner of a line: what is borrowed, on a shard, or locked, among threads, for one step.
pub(crate) trait Owner<S> {
    /// Runs one step. It does not come back to the owner.
    fn step<T>(&self, step: impl FnOnce(&mut S) -> T) -> T;
}

impl<S> Owner<S> for RefCell<S> {
    #[inline(always)]
    fn step<T>(&self, step: impl FnOnce(&mut S) -> T) -> T {
        step(&mut self.borrow_mut())
    }
}

impl<S, O: Owner<S>> Owner<S> for Rc<O> {
    #[inline(always)]
    fn step<T>(&self, step: impl FnOnce(&mut S) -> T) -> T {
        (**self).step(step)
    }
}

impl<S> Owner<S> for Mutex<S> {
    #[inline(always)]
    fn step<T>(&self, step: impl FnOnce(&mut S) -> T) -> T {
        // A step runs none of the user's code, so none panics halfway.
        step(&mut self.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Runs `step` with an offer of `waker`. A step that needs a clone and finds none in the offer
/// returns `None`, and runs once more: cloning may have brought about what it waits for.
#[inline]
pub(crate) fn offer<S, T>(
    state: &impl Owner<S>,
    waker: &Waker,
    mut step: impl FnMut(&mut S, &mut Offer<'_>) -> Option<T>,
) -> T {
    // What is left in it is dropped after the borrow.
    let mut offer = Offer { waker, clone: None };
    let answer = state.step(|state| step(state, &mut offer));
    if let Some(answer) = answer {
        return answer;
    }
    offer.clone = Some(waker.clone());
    let answer = state.step(|state| step(state, &mut offer));
    answer.expect("a step that was given a clone has all that it needs")
}

/// Wakes whom `call` calls, one after the other, until it calls nobody.
pub(crate) fn wake_each<S>(state: &impl Owner<S>, mut call: impl FnMut(&mut S) -> Option<Waker>) {
    loop {
        let called = state.step(&mut call);
        match called {
            Some(waker) => waker.wake(),
            None => return,
        }
    }
}

/// Runs `step`, by which a future leaves its line. Gives what the future had been given and has not
/// taken, for the next in line.
pub(crate) fn leave<S, W, G>(
    state: &impl Owner<S>,
    step: impl FnOnce(&mut S) -> Option<Standing<W, G>>,
) -> Option<G> {
    let left = state.step(step);
    match left? {
        Standing::Called(given) => Some(given),
        Standing::Waiting { .. } => None,
    }
}

impl Offer<'_> {
    /// Makes `kept` wake what the offered waker wakes. Returns false if a clone is needed for that.
    pub(crate) fn replace(&mut self, kept: &mut Waker) -> bool {
        if kept.will_wake(self.waker) {
            return true;
        }
        self.clone.as_mut().map(|clone| mem::swap(kept, clone)).is_some()
    }

    /// Takes the clone. Returns `None` if there is none yet.
    pub(crate) fn take(&mut self) -> Option<Waker> {
        self.clone.take()
    }
}

impl<W: Copy, G: Copy> Places<W, G> {
    pub(crate) const fn new() -> Self {
        Places { places: LinkedSlab::new() }
    }

    /// Waits in `line` with the offered waker: joins at the back; goes back to the front, and gives
    /// up what it was given, if it was called; else stays where it is. Returns false if a clone is
    /// needed for that; then nothing has changed.
    // The first step of an offer ends here and is inlined; what links a place is not.
    #[inline]
    pub(crate) fn stand(
        &mut self,
        line: &mut List,
        place: &mut Place,
        wants: W,
        offer: &mut Offer<'_>,
    ) -> bool {
        if let Some(key) = *place
            && let Some(Standing::Waiting { waker, .. }) = self.places.get_mut(key)
        {
            return offer.replace(waker);
        }
        let Some(waker) = offer.take() else { return false };
        *place = Some(self.link(line, *place, Standing::Waiting { wants, waker }));
        true
    }

    fn link(&mut self, line: &mut List, place: Place, waiting: Standing<W, G>) -> Key {
        let Some(key) = place else {
            let key = self.places.insert(waiting);
            self.places.push_back(line, key);
            return key;
        };
        *self.places.get_mut(key).expect(KEPT) = waiting;
        self.places.push_front(line, key);
        key
    }

    /// Moves all that wait in `from` to the back of `line`.
    pub(crate) fn append(&mut self, line: &mut List, from: &mut List) {
        self.places.append(line, from);
    }

    /// Places that are taken.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// What the one at this place asks for. `None` if it does not wait.
    pub(crate) fn wants(&self, place: Place) -> Option<W> {
        match self.places.get(place?)? {
            Standing::Waiting { wants, .. } => Some(*wants),
            Standing::Called(_) => None,
        }
    }

    /// What the first in `line` asks for.
    pub(crate) fn first(&self, line: &List) -> Option<W> {
        self.wants(self.places.front(line))
    }

    /// Takes the first out of `line`, keeps `given` for it, and gives its waker.
    #[must_use = "who was called is to be woken, not under the borrow"]
    pub(crate) fn call_first(&mut self, line: &mut List, given: G) -> Option<Waker> {
        let key = self.places.pop_front(line)?;
        let standing = self.places.get_mut(key).expect(KEPT);
        match mem::replace(standing, Standing::Called(given)) {
            Standing::Waiting { waker, .. } => Some(waker),
            Standing::Called(_) => unreachable!("who was called stands in no line"),
        }
    }

    /// Returns true if the one at this place was called, and has not taken what it was given.
    pub(crate) fn is_called(&self, place: Place) -> bool {
        place.is_some_and(|key| matches!(self.places.get(key), Some(Standing::Called(_))))
    }

    /// Takes what was given, and with it the place away.
    pub(crate) fn take(&mut self, place: &mut Place) -> Option<G> {
        let key = (*place)?;
        let Some(&Standing::Called(given)) = self.places.get(key) else { return None };
        self.places.remove(key);
        *place = None;
        Some(given)
    }

    /// Takes the place away, for [`leave`].
    pub(crate) fn leave(&mut self, line: &mut List, place: &mut Place) -> Option<Standing<W, G>> {
        let key = place.take()?;
        if let Some(Standing::Waiting { .. }) = self.places.get(key) {
            self.places.unlink(line, key);
        }
        self.places.remove(key)
    }
}

const KEPT: &str = "a place is kept until its future takes or leaves it";

impl<W: Copy, G: Copy> Line<W, G> {
    pub(crate) const fn new() -> Self {
        Line { places: Places::new(), waiting: List::EMPTY }
    }

    /// Returns true if nobody waits.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// See [`Places::stand`].
    #[inline]
    pub(crate) fn stand(&mut self, place: &mut Place, wants: W, offer: &mut Offer<'_>) -> bool {
        self.places.stand(&mut self.waiting, place, wants, offer)
    }

    /// Returns true if nobody waits before the one at this place.
    pub(crate) fn is_first(&self, place: Place) -> bool {
        place.is_some() && self.places.places.front(&self.waiting) == place
    }

    /// What the first in line asks for.
    pub(crate) fn first(&self) -> Option<W> {
        self.places.first(&self.waiting)
    }

    /// Takes the first out of the line, keeps `given` for it, and gives its waker.
    #[must_use = "who was called is to be woken, not under the borrow"]
    pub(crate) fn call_first(&mut self, given: G) -> Option<Waker> {
        self.places.call_first(&mut self.waiting, given)
    }

    /// Returns true if the one at this place was called, and has not taken what it was given.
    pub(crate) fn is_called(&self, place: Place) -> bool {
        self.places.is_called(place)
    }

    /// Takes what was given, and with it the place away.
    pub(crate) fn take(&mut self, place: &mut Place) -> Option<G> {
        self.places.take(place)
    }

    /// Takes the place away, for [`leave`].
    pub(crate) fn leave(&mut self, place: &mut Place) -> Option<Standing<W, G>> {
        self.places.leave(&mut self.waiting, place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::linked_slab::visits;
    use crate::util::test_waker::{Poller, hook_waker};

    type Numbers = Line<u32, u32>;

    fn stand(line: &RefCell<Numbers>, place: &mut Place, wants: u32, waker: &Waker) {
        offer(line, waker, |line, offer| line.stand(place, wants, offer).then_some(()));
    }

    /// Calls the first, and gives it what it asks for.
    fn call(line: &mut Numbers) -> Option<Waker> {
        line.call_first(line.first()?)
    }

    #[test]
    fn those_that_wait_are_called_in_the_order_they_came() {
        let line = RefCell::new(Numbers::new());
        let pollers = [Poller::new(), Poller::new(), Poller::new()];
        let mut places = [None; 3];
        for ((wants, place), poller) in (10..).zip(&mut places).zip(&pollers) {
            stand(&line, place, wants, poller.waker());
        }
        let wakes = || pollers.each_ref().map(Poller::wakes);
        for called in [[1, 0, 0], [0, 1, 0], [0, 0, 1]] {
            let waker = call(&mut line.borrow_mut()).expect("one waits");
            waker.wake();
            assert_eq!(wakes(), called);
        }
        assert!(line.borrow().is_empty());
        let given = places.each_mut().map(|place| line.borrow_mut().take(place));
        assert_eq!(given, [Some(10), Some(11), Some(12)]);
        assert_eq!(places, [None; 3]);
    }

    #[test]
    fn one_that_was_called_and_waits_again_is_the_first() {
        let line = RefCell::new(Numbers::new());
        let poller = Poller::new();
        let mut places = [None; 3];
        for (wants, place) in (0..).zip(&mut places) {
            stand(&line, place, wants, poller.waker());
        }
        assert!(line.borrow_mut().call_first(7).is_some());
        assert_eq!(line.borrow().first(), Some(1));
        stand(&line, &mut places[0], 5, poller.waker());
        assert_eq!(line.borrow_mut().take(&mut places[0]), None);
        assert_eq!(line.borrow().first(), Some(5));
        // One that has only waited stays where it is.
        stand(&line, &mut places[2], 2, poller.waker());
        assert_eq!(line.borrow().first(), Some(5));
    }

    #[test]
    fn one_that_leaves_tells_what_it_was_given() {
        let line = RefCell::new(Numbers::new());
        let poller = Poller::new();
        let mut places = [None; 3];
        for place in &mut places {
            stand(&line, place, 0, poller.waker());
        }
        assert!(line.borrow_mut().call_first(7).is_some());
        let [called, waiting, other] = &mut places;
        for (place, given) in [(called, Some(7)), (waiting, None)] {
            assert_eq!(leave(&line, |line| line.leave(place)), given);
            assert_eq!(*place, None);
        }
        assert_eq!(poller.kept(), 1);
        assert!(line.borrow_mut().call_first(8).is_some());
        assert_eq!(line.borrow_mut().take(other), Some(8));
    }

    #[test]
    fn last_waker_offered_is_the_one_that_is_woken() {
        let line = RefCell::new(Numbers::new());
        let (first, last) = (Poller::new(), Poller::new());
        let mut place = None;
        for poller in [&first, &first, &last, &last] {
            stand(&line, &mut place, 0, poller.waker());
        }
        assert_eq!((first.kept(), last.kept()), (0, 1));
        wake_each(&line, call);
        assert_eq!((first.wakes(), last.wakes()), (0, 1));
    }

    #[test]
    fn many_lines_share_their_places() {
        let mut places = Places::<(), u8>::new();
        let mut lines = [List::EMPTY, List::EMPTY];
        let mut stood = [None; 4];
        let poller = Poller::new();
        for (number, place) in stood.iter_mut().enumerate() {
            let mut offer = Offer { waker: poller.waker(), clone: None };
            assert!(!places.stand(&mut lines[number % 2], place, (), &mut offer));
            offer.clone = Some(poller.waker().clone());
            assert!(places.stand(&mut lines[number % 2], place, (), &mut offer));
        }
        let mut wakers = Vec::new();
        while let Some(waker) = places.call_first(&mut lines[1], 1) {
            wakers.push(waker);
        }
        assert_eq!(wakers.len(), 2);
        let given = stood.each_mut().map(|place| places.take(place));
        assert_eq!(given, [None, Some(1), None, Some(1)]);
        assert_eq!(places.first(&lines[0]), Some(()));
    }

    #[test]
    fn wakers_may_come_back_to_the_line() {
        let line = Rc::new(RefCell::new(Numbers::new()));
        let visits = Rc::new(std::cell::Cell::new(0));
        // Comes back whenever it is cloned, woken or dropped.
        let waker = || {
            let (line, visits) = (Rc::clone(&line), Rc::clone(&visits));
            hook_waker(move || {
                line.borrow_mut().first();
                visits.set(visits.get() + 1);
            })
        };
        let (mut place, mut other) = (None, None);
        for _ in 0..2 {
            stand(&line, &mut place, 0, &waker());
            stand(&line, &mut other, 0, &waker());
        }
        wake_each(&line, |line| line.call_first(1));
        stand(&line, &mut place, 0, &waker());
        for place in [&mut place, &mut other] {
            leave(&line, |line| line.leave(place));
        }
        assert!(visits.get() > 10, "the wakers came back {} times", visits.get());
    }

    #[test]
    fn clone_that_brings_about_what_is_waited_for_is_not_missed() {
        let line = Rc::new(RefCell::new(Numbers::new()));
        let mut place = None;
        stand(&line, &mut place, 0, Poller::new().waker());
        let calls = {
            let line = Rc::clone(&line);
            hook_waker(move || wake_each(&line, |line| line.call_first(3)))
        };
        let given = offer(&line, &calls, |line, offer| match line.take(&mut place) {
            Some(given) => Some(Some(given)),
            None => line.stand(&mut place, 0, offer).then_some(None),
        });
        assert_eq!((given, place), (Some(3), None));
    }

    #[test]
    fn ten_thousand_wait_and_each_step_looks_at_few_places() {
        let line = RefCell::new(Numbers::new());
        let mut places = vec![None; 10_000];
        let before = visits::counted();
        for poller in [Poller::new(), Poller::new()] {
            for place in &mut places {
                stand(&line, place, 0, poller.waker());
            }
        }
        for place in &mut places[..5_000] {
            assert!(line.borrow_mut().call_first(0).is_some());
            assert_eq!(line.borrow_mut().take(place), Some(0));
        }
        for place in places[5_000..].iter_mut().rev() {
            assert_eq!(leave(&line, |line| line.leave(place)), None);
        }
        let visits = visits::counted() - before;
        assert!(visits > 30_000, "nothing was counted");
        assert!(visits < 150_000, "35,000 steps looked at {visits} places");
    }

    #[test]
    fn head_of_a_line_has_eight_bytes() {
        assert_eq!(size_of::<List>(), 8);
    }
}
