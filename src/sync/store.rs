//! Values between putters and takers, with a line of waiting tasks on each side: what channels and queues
//! are made of.
//!
//! ```text
//!   put   -> [ room that is reserved | values | values that are promised ] ->   take
//!   putters wait while values and reserved room fill the capacity
//!   takers wait while there is no value that is not promised
//! ```
//!
//! A putter that is called has room reserved for it; a taker that is called has a value promised to it,
//! and takes the first there is when it is polled. Either gives back on its drop what it did not use,
//! and the next in line is called.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::mem::{self, ManuallyDrop};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use crate::util::budget::Toll;
use crate::util::line::{Line, Place, leave, offer, wake_each};
use crate::util::waker_cell::WakerCell;

/// What holds the values, and so decides in which order they are taken.
pub trait Values: Default {
    /// A value.
    type Item;

    /// Whether `push` runs code of the user's, which may come back to the store.
    const COMPARES: bool;

    /// How many values there are.
    fn len(&self) -> usize;

    /// Adds a value, which is the `number`th since the store was made.
    fn push(&mut self, value: Self::Item, number: u64);

    /// Takes the value whose turn it is. Runs no code of the user's.
    fn pop(&mut self) -> Option<Self::Item>;
}

/// First in, first out.
impl<T> Values for VecDeque<T> {
    type Item = T;

    const COMPARES: bool = false;

    fn len(&self) -> usize {
        self.len()
    }

    fn push(&mut self, value: T, _: u64) {
        self.push_back(value);
    }

    fn pop(&mut self) -> Option<T> {
        self.pop_front()
    }
}

/// Values with a line of putters and a line of takers.
pub(super) struct Store<V> {
    state: RefCell<State<V>>,
    /// The waiting taker of a store that has only one. It needs neither a place in line nor a promise, which
    /// nearly double the instructions of a message that is waited for.
    only_taker: WakerCell,
}

/// The store takes no value any more.
pub(super) struct Closed;

/// Why no value can be had without waiting.
pub(super) enum Nothing {
    /// One may come.
    Yet,
    /// None will come.
    Ever,
}

/// Why there is no room without waiting.
pub(super) enum NoRoom {
    Full,
    Closed,
}

/// Reserved room for one value. Dropped unused, it is the next putter's.
pub(super) struct Room<'a, V: Values> {
    store: &'a Store<V>,
}

/// Waits for room, and puts the value there if it has one.
struct Putting<'a, V: Values> {
    store: &'a Store<V>,
    value: Option<V::Item>,
    place: Place,
    toll: Toll,
}

/// Waits for a value; `None` if none will come.
pub(super) struct Taking<'a, V: Values> {
    pub(super) store: &'a Store<V>,
    pub(super) is_alone: bool,
    pub(super) place: &'a mut Place,
    pub(super) toll: &'a mut Toll,
}

struct State<V> {
    values: V,
    /// Most values, reserved room included. `usize::MAX`: any number.
    capacity: usize,
    /// Room that putters were given and have not filled yet.
    reserved: usize,
    /// Values that takers were called for and have not taken yet.
    promised: usize,
    /// Values put since the store was made.
    put: u64,
    stage: Stage,
    /// While `values` are out, because adding to them runs code of the user's: how many they were.
    out: Option<usize>,
    putters: Line<(), Call>,
    takers: Line<(), Call>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    /// No value is put any more.
    Closed,
    /// Closed, and its values were taken out.
    Emptied,
}

/// What one that waited is given.
#[derive(Clone, Copy, Debug)]
enum Call {
    /// Room, or a value.
    Served,
    /// The store is closed, and for a taker also empty.
    Closed,
}

impl<V: Values> Store<V> {
    pub(super) fn new(capacity: Option<usize>) -> Self {
        let state = State {
            values: V::default(),
            capacity: capacity.unwrap_or(usize::MAX),
            reserved: 0,
            promised: 0,
            put: 0,
            stage: Stage::Open,
            out: None,
            putters: Line::new(),
            takers: Line::new(),
        };
        Store { state: RefCell::new(state), only_taker: WakerCell::default() }
    }

    /// Waits for room for one value.
    pub(super) async fn room(&self) -> Result<Room<'_, V>, Closed> {
        Putting { store: self, value: None, place: None, toll: Toll::Due }.await?;
        Ok(Room { store: self })
    }

    /// Waits for room and puts a value there. Gives it back if the store is closed.
    pub(super) async fn put(&self, value: V::Item) -> Result<(), V::Item> {
        let mut putting = Putting { store: self, value: Some(value), place: None, toll: Toll::Due };
        let put = (&mut putting).await;
        put.map_err(|Closed| putting.value.take().expect("a value that was not put is kept"))
    }

    /// Puts a value if there is room and no putter waits for it. Else gives it back.
    pub(super) fn try_put(&self, value: V::Item) -> Result<(), (V::Item, NoRoom)> {
        let value = match self.put_quickly(value) {
            Ok(()) => return Ok(()),
            Err(value) => value,
        };
        match self.try_room() {
            Ok(room) => room.put(value).map_err(|value| (value, NoRoom::Closed)),
            Err(why) => Err((value, why)),
        }
    }

    /// Puts a value if there is room and both lines are empty, so that no task of a line has to be woken.
    /// Else gives it back.
    #[inline]
    fn put_quickly(&self, value: V::Item) -> Result<(), V::Item> {
        let mut state = self.state.borrow_mut();
        let is_open = state.stage == Stage::Open;
        if V::COMPARES || !is_open || !state.is_deserted() || !state.has_room() {
            return Err(value);
        }
        let number = state.put;
        state.values.push(value, number);
        state.put += 1;
        drop(state);
        self.only_taker.wake();
        Ok(())
    }

    /// Reserves room if there is some and no putter waits for it.
    pub(super) fn try_room(&self) -> Result<Room<'_, V>, NoRoom> {
        match self.state.borrow_mut().take_room(&mut None) {
            Some(Ok(())) => Ok(Room { store: self }),
            Some(Err(Closed)) => Err(NoRoom::Closed),
            None => Err(NoRoom::Full),
        }
    }

    /// Takes a value if one is not promised to others.
    pub(super) fn try_take(&self, place: &mut Place) -> Result<V::Item, Nothing> {
        let mut state = self.state.borrow_mut();
        let taken = state.take(place);
        let next = if taken.is_some() { state.next_after_take() } else { None };
        drop(state);
        self.wake_from(next, State::next_after_take);
        taken.ok_or(Nothing::Yet)?.ok_or(Nothing::Ever)
    }

    pub(super) fn poll_take(
        &self,
        place: &mut Place,
        cx: &mut Context<'_>,
    ) -> Poll<Option<V::Item>> {
        if self.is_out() {
            return again_later(cx);
        }
        let polled = offer(&self.state, cx.waker(), |state, offer| match state.take(place) {
            Some(taken) => Some(Poll::Ready((taken, state.next_after_take()))),
            None => state.takers.stand(place, (), offer).then_some(Poll::Pending),
        });
        polled.map(|(taken, next)| {
            self.wake_from(next, State::next_after_take);
            taken
        })
    }

    /// Takes a value if one is not promised and both lines are empty, so that no task has to be woken.
    #[inline]
    fn take_quickly(&self, place: &Place) -> Option<V::Item> {
        let state = &mut *self.state.borrow_mut();
        let may_take = place.is_none() && state.is_deserted() && state.len() > state.promised;
        if may_take { state.values.pop() } else { None }
    }

    /// As [`poll_take`](Store::poll_take), for the only taker: it waits without a line or a promise.
    /// [`is_joined`](Store::is_joined) must be called before there is a second taker.
    #[inline]
    pub(super) fn poll_take_alone(
        &self,
        place: &mut Place,
        cx: &mut Context<'_>,
    ) -> Poll<Option<V::Item>> {
        if place.is_none() && self.has_nothing() {
            self.only_taker.register(cx.waker());
            // Registering may have run code that put a value.
            if self.has_nothing() {
                return Poll::Pending;
            }
        }
        self.poll_take(place, cx)
    }

    /// Whether a taker would have to wait.
    #[inline]
    fn has_nothing(&self) -> bool {
        let state = self.state.borrow();
        state.stage == Stage::Open && state.len() <= state.promised
    }

    /// Wakes the only taker, if it waits, to join the line: there is a second taker from now on.
    pub(super) fn is_joined(&self) {
        self.only_taker.wake();
    }

    /// A taker leaves the line; what was promised to it is the next one's.
    #[inline]
    pub(super) fn leave_takers(&self, place: &mut Place) {
        match place {
            None => self.only_taker.clear(),
            Some(_) => self.leave_line_of_takers(place),
        }
    }

    fn leave_line_of_takers(&self, place: &mut Place) {
        if let Some(Call::Served) = leave(&self.state, |state| state.takers.leave(place)) {
            self.state.borrow_mut().promised -= 1;
            wake_each(&self.state, State::serve_taker);
        }
    }

    /// Takes no value from now on. Returns false if it was closed before.
    pub(super) fn close(&self) -> bool {
        let mut state = self.state.borrow_mut();
        if state.stage != Stage::Open {
            return false;
        }
        state.stage = Stage::Closed;
        drop(state);
        wake_each(&self.state, State::serve_putter);
        wake_each(&self.state, State::serve_taker);
        self.only_taker.wake();
        true
    }

    /// Takes all values out of a closed store, and returns them and their number. The caller drops them
    /// when its own state is consistent: dropping them runs user code.
    pub(super) fn empty(&self) -> (V, usize) {
        let mut state = self.state.borrow_mut();
        let count = state.len();
        state.stage = Stage::Emptied;
        state.out = state.out.map(|_| 0);
        let values = mem::take(&mut state.values);
        drop(state);
        wake_each(&self.state, State::serve_taker);
        (values, count)
    }

    pub(super) fn len(&self) -> usize {
        self.state.borrow().len()
    }

    pub(super) fn capacity(&self) -> Option<usize> {
        Some(self.state.borrow().capacity).filter(|&capacity| capacity < usize::MAX)
    }

    pub(super) fn is_full(&self) -> bool {
        !self.state.borrow().has_room()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.borrow().stage != Stage::Open
    }

    /// Values put since the store was made.
    pub(super) fn count_put(&self) -> u64 {
        self.state.borrow().put
    }

    #[inline]
    fn poll_put(
        &self,
        place: &mut Place,
        value: &mut Option<V::Item>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Closed>> {
        if place.is_none()
            && let Some(new) = value.take()
        {
            match self.put_quickly(new) {
                Ok(()) => return Poll::Ready(Ok(())),
                Err(new) => *value = Some(new),
            }
        }
        ready!(self.poll_room(place, cx))?;
        let Some(new) = value.take() else { return Poll::Ready(Ok(())) };
        let put = Room { store: self }.put(new);
        Poll::Ready(put.map_err(|new| {
            *value = Some(new);
            Closed
        }))
    }

    pub(super) fn poll_room(
        &self,
        place: &mut Place,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Closed>> {
        if self.is_out() {
            return again_later(cx);
        }
        offer(&self.state, cx.waker(), |state, offer| match state.take_room(place) {
            Some(room) => Some(Poll::Ready(room)),
            None => state.putters.stand(place, (), offer).then_some(Poll::Pending),
        })
    }

    /// A putter leaves the line; room that was reserved for it is the next one's.
    pub(super) fn leave_putters(&self, place: &mut Place) {
        if let Some(Call::Served) = leave(&self.state, |state| state.putters.leave(place)) {
            self.give_room_back();
        }
    }

    fn give_room_back(&self) {
        self.state.borrow_mut().reserved -= 1;
        wake_each(&self.state, State::serve_putter);
    }

    /// Puts a value where room is reserved. Gives it back, and leaves the room, if the store is closed.
    fn put_into_room(&self, value: V::Item) -> Result<(), V::Item> {
        let mut state = self.state.borrow_mut();
        if state.stage != Stage::Open {
            return Err(value);
        }
        if V::COMPARES {
            drop(state);
            self.put_outside(value);
            return Ok(());
        }
        let number = state.put;
        state.values.push(value, number);
        state.put += 1;
        state.reserved -= 1;
        let next = state.serve_taker();
        drop(state);
        match next {
            Some(_) => self.wake_from(next, State::serve_taker),
            None => self.only_taker.wake(),
        }
        Ok(())
    }

    /// The same with the values taken out, since adding to them runs user code: meanwhile no task can put
    /// or take. If that code panics, the value is gone and the others are as before.
    fn put_outside(&self, value: V::Item) {
        let mut state = self.state.borrow_mut();
        state.out = Some(state.values.len());
        let values = mem::take(&mut state.values);
        let number = state.put;
        drop(state);
        let mut outside = Outside { store: self, values, has_put: false };
        outside.values.push(value, number);
        outside.has_put = true;
    }

    /// Wakes `next`, and whom `call` calls after it.
    #[inline]
    fn wake_from(&self, next: Option<Waker>, call: impl FnMut(&mut State<V>) -> Option<Waker>) {
        if let Some(next) = next {
            next.wake();
            wake_each(&self.state, call);
        }
    }

    #[inline]
    fn is_out(&self) -> bool {
        V::COMPARES && self.state.borrow().is_out()
    }
}

/// For a poll in the middle of a comparison: the values are back when the task is polled next.
fn again_later<T>(cx: &mut Context<'_>) -> Poll<T> {
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// Values that are out of their store, and go back when this is dropped.
struct Outside<'a, V: Values> {
    store: &'a Store<V>,
    values: V,
    has_put: bool,
}

impl<V: Values> Drop for Outside<'_, V> {
    fn drop(&mut self) {
        let mut state = self.store.state.borrow_mut();
        state.out = None;
        state.reserved -= 1;
        // If the store was emptied meanwhile, they are dropped with this.
        if state.stage != Stage::Emptied {
            state.put += u64::from(self.has_put);
            mem::swap(&mut state.values, &mut self.values);
        }
        drop(state);
        wake_each(&self.store.state, State::serve_taker);
        wake_each(&self.store.state, State::serve_putter);
    }
}

impl<V: Values> State<V> {
    #[inline]
    fn len(&self) -> usize {
        match self.out {
            Some(count) if V::COMPARES => count,
            _ => self.values.len(),
        }
    }

    #[inline]
    fn is_out(&self) -> bool {
        V::COMPARES && self.out.is_some()
    }

    /// Whether both lines are empty.
    #[inline]
    fn is_deserted(&self) -> bool {
        self.takers.is_empty() && self.putters.is_empty()
    }

    #[inline]
    fn has_room(&self) -> bool {
        self.len() + self.reserved < self.capacity
    }

    /// Room for one that has none, or that was called. `None` if it has to wait.
    #[inline]
    fn take_room(&mut self, place: &mut Place) -> Option<Result<(), Closed>> {
        if place.is_some() {
            return match self.putters.take(place)? {
                Call::Served if self.stage == Stage::Open => Some(Ok(())),
                Call::Served => {
                    self.reserved -= 1;
                    Some(Err(Closed))
                }
                Call::Closed => Some(Err(Closed)),
            };
        }
        if self.stage != Stage::Open {
            return Some(Err(Closed));
        }
        if !self.putters.is_empty() || !self.has_room() || self.is_out() {
            return None;
        }
        self.reserved += 1;
        Some(Ok(()))
    }

    /// A value for one that has no place, or that was called; `Some(None)` if none will come. `None` if it
    /// has to wait.
    fn take(&mut self, place: &mut Place) -> Option<Option<V::Item>> {
        if place.is_some() {
            return match self.takers.take(place)? {
                Call::Served => {
                    self.promised -= 1;
                    // Those of an emptied store are gone.
                    Some(self.values.pop())
                }
                Call::Closed => Some(None),
            };
        }
        if self.takers.is_empty() && self.len() > self.promised {
            // `None` if the values are out.
            return self.values.pop().map(Some);
        }
        (self.stage != Stage::Open && self.len() == 0).then_some(None)
    }

    /// Calls the first putter, for which it reserves room, and gives its waker.
    #[inline]
    fn serve_putter(&mut self) -> Option<Waker> {
        if self.putters.is_empty() {
            return None;
        }
        if self.stage != Stage::Open {
            return self.putters.call_first(Call::Closed);
        }
        if !self.has_room() {
            return None;
        }
        self.reserved += 1;
        self.putters.call_first(Call::Served)
    }

    /// Calls the first taker, to which it promises a value, and gives its waker. A taker of a closed store
    /// gets the end only when the last value is gone: until then one may come back from another taker.
    #[inline]
    fn serve_taker(&mut self) -> Option<Waker> {
        if self.takers.is_empty() {
            return None;
        }
        if self.len() > self.promised {
            self.promised += 1;
            return self.takers.call_first(Call::Served);
        }
        if self.stage != Stage::Open && self.len() == 0 {
            return self.takers.call_first(Call::Closed);
        }
        None
    }

    /// Whom a value that was taken leaves room to, or, if it was the last of a closed store, the takers
    /// behind it.
    fn next_after_take(&mut self) -> Option<Waker> {
        match self.stage {
            Stage::Open => self.serve_putter(),
            Stage::Closed | Stage::Emptied => self.serve_taker(),
        }
    }
}

impl<'a, V: Values> Room<'a, V> {
    /// The room that was kept of `store`.
    pub(super) fn kept(store: &'a Store<V>) -> Self {
        Room { store }
    }

    /// Leaves the room reserved, for [`kept`](Room::kept).
    pub(super) fn keep(self) {
        mem::forget(self);
    }

    pub(super) fn store(&self) -> &'a Store<V> {
        self.store
    }

    /// Puts a value into the room. Gives it back if the store was closed since.
    pub(super) fn put(self, value: V::Item) -> Result<(), V::Item> {
        let room = ManuallyDrop::new(self);
        let put = room.store.put_into_room(value);
        if put.is_err() {
            room.store.give_room_back();
        }
        put
    }
}

impl<V: Values> Drop for Room<'_, V> {
    fn drop(&mut self) {
        self.store.give_room_back();
    }
}

/// Values are moved into it and out of it, and never pinned.
impl<V: Values> Unpin for Putting<'_, V> {}

impl<V: Values> Future for Putting<'_, V> {
    type Output = Result<(), Closed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Putting { store, value, place, toll } = &mut *self;
        toll.poll(cx, |cx| store.poll_put(place, value, cx))
    }
}

impl<V: Values> Drop for Putting<'_, V> {
    #[inline]
    fn drop(&mut self) {
        if self.place.is_some() {
            self.store.leave_putters(&mut self.place);
        }
    }
}

impl<V: Values> Future for Taking<'_, V> {
    type Output = Option<V::Item>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Taking { store, is_alone, place, toll } = &mut *self;
        toll.poll(cx, |cx| match store.take_quickly(place) {
            Some(value) => Poll::Ready(Some(value)),
            None if *is_alone => store.poll_take_alone(place, cx),
            None => store.poll_take(place, cx),
        })
    }
}

impl<V: Values> Drop for Taking<'_, V> {
    #[inline]
    fn drop(&mut self) {
        self.store.leave_takers(self.place);
    }
}

impl<V: Values> Store<V> {
    /// Prints the store as the struct `name`.
    pub(super) fn describe(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut output = f.debug_struct(name);
        output.field("len", &self.len()).field("capacity", &self.capacity());
        output.field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}
