//! Values between putters and takers, with a line of waiting tasks on each side: what channels and queues
//! are made of.
//!
//! ```text
//!   put   -> [ room that is reserved | values | values that are promised ] ->   take
//!   putters wait while values and reserved room fill the capacity
//!   takers wait while there is no value that is not promised
//! ```
//!
//! `state.rs` decides, and is the file to read first; here is what tasks await.
//!
//! A putter that is called has room reserved for it; a taker that is called has a value promised to it,
//! and takes the first there is when it is polled. Either gives back on its drop what it did not use,
//! and the next in line is called.
#![forbid(unsafe_code)]

mod outside;
mod state;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::mem::{self, ManuallyDrop};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crate::util::budget::{self, Toll};
use crate::util::line::{Place, leave, offer, wake_each};
use crate::util::waker_cell::WakerCell;

use outside::again_later;
use state::{Call, Stage, State};

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

/// Waits for room, which the one that awaits it makes a [`Room`] of.
struct Putting<'a, V: Values> {
    store: &'a Store<V>,
    place: Place,
}

/// Waits for a value; `None` if none will come.
pub(super) struct Taking<'a, V: Values> {
    pub(super) store: &'a Store<V>,
    pub(super) is_alone: bool,
    pub(super) place: &'a mut Place,
    pub(super) toll: &'a mut Toll,
}

impl<V: Values> Store<V> {
    pub(super) fn new(capacity: Option<usize>) -> Self {
        Store { state: RefCell::new(State::new(capacity)), only_taker: WakerCell::default() }
    }

    /// Waits for room for one value.
    pub(super) async fn room(&self) -> Result<Room<'_, V>, Closed> {
        budget::pay().await;
        self.wait_for_room().await
    }

    /// Waits for room and puts a value there. Gives it back if the store is closed.
    #[inline]
    pub(super) async fn put(&self, value: V::Item) -> Result<(), V::Item> {
        budget::pay().await;
        let value = match self.put_quickly(value) {
            Ok(()) => return Ok(()),
            Err(value) => value,
        };
        match self.wait_for_room().await {
            Ok(room) => room.put(value),
            Err(Closed) => Err(value),
        }
    }

    async fn wait_for_room(&self) -> Result<Room<'_, V>, Closed> {
        Putting { store: self, place: None }.await?;
        Ok(Room { store: self })
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

    #[inline(never)]
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

impl<V: Values> Future for Putting<'_, V> {
    type Output = Result<(), Closed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Putting { store, place } = &mut *self;
        store.poll_room(place, cx)
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

    #[inline]
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
