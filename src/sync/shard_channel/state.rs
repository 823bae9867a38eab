//! What the ends of a channel share, behind one mutex: the values, and who waits.
//!
//! Values and wakers are the user's: they come out, and are dropped or woken with the lock released.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use crate::sync::channel::{SendError, TryRecvError, TrySendError};
use crate::util::line::{Offer, Owner, Place, Places, leave, offer, wake_each};
use crate::util::linked_slab::List;

/// The state of a channel, for its ends on whatever threads.
// A line of the cache that threads hand to each other is what a value costs most. All that is written
// for each value is in one: the mutex's own word, and the first three fields.
#[repr(align(64))]
pub(super) struct Shared<T>(Mutex<State<T>>);

#[repr(C)]
struct State<T> {
    queue: VecDeque<T>,
    /// Room that senders have been given and have not filled.
    reserved: usize,
    receiver: Option<Waker>,
    /// Values that the channel holds at most.
    capacity: usize,
    senders: usize,
    /// The receiver takes nothing that is sent from now on.
    closed: bool,
    places: Places<(), ()>,
    lines: [List; 2],
}

/// What a sender waits for. While any wait for room, there is none: whoever frees it passes it on.
#[derive(Clone, Copy)]
pub(super) enum For {
    Room,
    Close,
}

impl<T> Shared<T> {
    /// A channel of one sender.
    pub(super) fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Shared(Mutex::new(State {
            queue: VecDeque::new(),
            capacity,
            reserved: 0,
            senders: 1,
            closed: false,
            receiver: None,
            places: Places::new(),
            lines: [List::EMPTY; 2],
        })))
    }

    /// Sends a value if there is room for it.
    pub(super) fn send(&self, value: T) -> Result<(), TrySendError<T>> {
        let receiver = self.0.step(|state| {
            if state.closed {
                return Err(TrySendError::Closed(value));
            }
            if !state.has_room() {
                return Err(TrySendError::Full(value));
            }
            state.queue.push_back(value);
            Ok(state.receiver.take())
        })?;
        wake(receiver);
        Ok(())
    }

    /// Sends a value into room that was reserved.
    pub(super) fn fill(&self, value: T) -> Result<(), SendError<T>> {
        let receiver = self.0.step(|state| {
            state.reserved -= 1;
            if state.closed {
                return Err(SendError(value));
            }
            state.queue.push_back(value);
            Ok(state.receiver.take())
        })?;
        wake(receiver);
        Ok(())
    }

    /// Reserves room for a value, or waits for it.
    pub(super) fn poll_room(
        &self,
        place: &mut Place,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError<()>>> {
        offer(&self.0, cx.waker(), |state, offer| {
            let has_room = match place {
                None => state.reserve(),
                Some(_) => state.places.take(place).is_some(),
            };
            if state.closed {
                state.reserved -= usize::from(has_room);
                return Some(Poll::Ready(Err(SendError(()))));
            }
            if has_room {
                return Some(Poll::Ready(Ok(())));
            }
            state.stand(For::Room, place, offer)
        })
    }

    /// Gives room back that was reserved, to the sender that has waited longest.
    pub(super) fn give_back(&self) {
        wake(self.0.step(|state| {
            state.reserved -= 1;
            state.pass_room_on()
        }));
    }

    /// Waits until the receiver takes no more.
    pub(super) fn poll_closed(&self, place: &mut Place, cx: &mut Context<'_>) -> Poll<()> {
        offer(&self.0, cx.waker(), |state, offer| {
            if state.closed {
                return Some(Poll::Ready(()));
            }
            state.stand(For::Close, place, offer)
        })
    }

    /// Waits no more.
    pub(super) fn leave(&self, what: For, place: &mut Place) {
        if place.is_none() {
            return;
        }
        let given = leave(&self.0, |State { places, lines, .. }| {
            places.leave(&mut lines[what as usize], place)
        });
        if given.is_some() && matches!(what, For::Room) {
            self.give_back();
        }
    }

    pub(super) fn try_recv(&self) -> Result<T, TryRecvError> {
        let (value, sender) = self.0.step(State::take)?;
        wake(sender);
        Ok(value)
    }

    pub(super) fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let (polled, sender) = offer(&self.0, cx.waker(), |state, offer| match state.take() {
            Ok((value, sender)) => Some((Poll::Ready(Some(value)), sender)),
            Err(TryRecvError::Closed) => Some((Poll::Ready(None), None)),
            Err(TryRecvError::Empty) => {
                let is_kept = match &mut state.receiver {
                    Some(kept) => offer.replace(kept),
                    none => {
                        *none = offer.take();
                        none.is_some()
                    }
                };
                is_kept.then_some((Poll::Pending, None))
            }
        });
        wake(sender);
        polled
    }

    /// The receiver waits no more.
    pub(super) fn forget_receiver(&self) {
        drop(self.0.step(|state| state.receiver.take()));
    }

    /// Takes nothing any more that is sent from now on.
    pub(super) fn close(&self) {
        self.0.step(|state| state.closed = true);
        wake_each(&self.0, |State { places, lines, reserved, .. }| {
            let [room, close] = lines;
            if let Some(sender) = places.call_first(room, ()) {
                *reserved += 1;
                return Some(sender);
            }
            places.call_first(close, ())
        });
    }

    /// Closes the channel and drops what is left in it, on this thread. The senders that wait are
    /// woken first: the drop of a value may panic.
    pub(super) fn end(&self) {
        self.close();
        let left = self.0.step(|state| (mem::take(&mut state.queue), state.receiver.take()));
        drop(left);
    }

    pub(super) fn add_sender(&self) {
        self.0.step(|state| state.senders += 1);
    }

    pub(super) fn remove_sender(&self) {
        wake(self.0.step(|state| {
            state.senders -= 1;
            if state.senders == 0 { state.receiver.take() } else { None }
        }));
    }

    pub(super) fn len(&self) -> usize {
        self.0.step(|state| state.queue.len())
    }

    pub(super) fn capacity(&self) -> usize {
        self.0.step(|state| state.capacity)
    }

    /// Whether sending fails.
    pub(super) fn refuses(&self) -> bool {
        self.0.step(|state| state.closed)
    }

    /// Whether no more values come than there are.
    pub(super) fn has_ended(&self) -> bool {
        self.0.step(|state| state.has_ended())
    }

    pub(super) fn describe(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (len, capacity, closed) =
            self.0.step(|state| (state.queue.len(), state.capacity, state.has_ended()));
        let capacity = Some(capacity).filter(|capacity| *capacity < usize::MAX);
        let mut output = f.debug_struct(name);
        output.field("len", &len).field("capacity", &capacity).field("closed", &closed);
        output.finish_non_exhaustive()
    }
}

impl<T> State<T> {
    fn has_room(&self) -> bool {
        self.queue.len() + self.reserved < self.capacity
    }

    fn reserve(&mut self) -> bool {
        let has_room = self.has_room();
        self.reserved += usize::from(has_room);
        has_room
    }

    /// The next value, and the sender that gets its room.
    fn take(&mut self) -> Result<(T, Option<Waker>), TryRecvError> {
        match self.queue.pop_front() {
            Some(value) => Ok((value, self.pass_room_on())),
            None if self.has_ended() => Err(TryRecvError::Closed),
            None => Err(TryRecvError::Empty),
        }
    }

    #[must_use = "who was given room is to be woken, not under the lock"]
    fn pass_room_on(&mut self) -> Option<Waker> {
        let sender = self.places.call_first(&mut self.lines[For::Room as usize], ())?;
        self.reserved += 1;
        Some(sender)
    }

    fn has_ended(&self) -> bool {
        self.closed || self.senders == 0
    }

    /// `None` if a clone of the waker is needed.
    fn stand<R>(&mut self, what: For, place: &mut Place, offer: &mut Offer<'_>) -> Option<Poll<R>> {
        let line = &mut self.lines[what as usize];
        self.places.stand(line, place, (), offer).then_some(Poll::Pending)
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// A wait of a sender, which ends when this is dropped.
pub(super) struct Waiting<'a, T> {
    pub(super) shared: &'a Shared<T>,
    pub(super) what: For,
    pub(super) place: Place,
}

impl<'a, T> Waiting<'a, T> {
    pub(super) fn new(shared: &'a Shared<T>, what: For) -> Self {
        Waiting { shared, what, place: None }
    }

    pub(super) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError<()>>> {
        self.shared.poll_room(&mut self.place, cx)
    }

    pub(super) fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.shared.poll_closed(&mut self.place, cx)
    }
}

impl<T> Drop for Waiting<'_, T> {
    fn drop(&mut self) {
        self.shared.leave(self.what, &mut self.place);
    }
}
