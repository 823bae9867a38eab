//! Waiting for a descriptor: in a line, as an operation does, or as the one stream that receives,
//! whose waker stands in the registration itself.

use std::io;
use std::rc::Rc;
use std::task::Waker;

use super::super::SharedFd;
use super::super::operation::Direction;
use super::{Ready, State};
use crate::util::line::{self, Place};
use crate::util::linked_slab::{Key, List};

/// The places of those that stand in the lines of registrations. One that was called is worth another
/// attempt.
pub(super) type Places = line::Places<(Key, Direction), ()>;

/// What is known to the stream that receives.
pub(crate) enum Known {
    /// There is something to receive, or may be. `until_refused`: only EAGAIN says that nothing is
    /// left.
    Readable { until_refused: bool },
    /// Nothing. This waker is woken when there is.
    Waits,
    /// The same, once the kernel has been asked to tell of the descriptor: the caller does that.
    WaitsUnwatched,
    /// The descriptor is not registered here.
    Unregistered,
}

/// Calls all who stand in a line.
#[inline]
pub(super) fn call_line(line: &mut List, places: &mut Places, wakers: &mut Vec<Waker>) {
    while !line.is_empty() {
        wakers.extend(places.call_first(line, ()));
    }
}

impl Ready {
    /// Joins the line of those that wait for a descriptor in one direction.
    pub(crate) fn join(
        self: &Rc<Self>,
        fd: &SharedFd,
        direction: Direction,
        waker: &Waker,
    ) -> io::Result<Place> {
        let registration = self.watch(fd)?;
        let mut place = None;
        line::offer(&self.state, waker, |state, offer| {
            let State { registrations, places } = state;
            let line = registrations.get_mut(registration)?.line(direction);
            places.stand(line, &mut place, (registration, direction), offer).then_some(())
        });
        Ok(place)
    }

    /// Whether one that stands in line was called; then it has its place no more. If not, this waker
    /// is woken when it is.
    pub(crate) fn take_call(&self, place: &mut Place, waker: &Waker) -> bool {
        line::offer(&self.state, waker, |state, offer| {
            let State { registrations, places } = state;
            let Some(wants) = places.wants(*place) else {
                places.take(place);
                return Some(true);
            };
            let line = registrations.get_mut(wants.0)?.line(wants.1);
            places.stand(line, place, wants, offer).then_some(false)
        })
    }

    /// Leaves the line, called or not.
    pub(crate) fn leave(&self, place: &mut Place) {
        line::leave(&self.state, |state| {
            let State { registrations, places } = state;
            match places.wants(*place) {
                Some((registration, direction)) => {
                    let known = registrations.get_mut(registration).expect("its line is there");
                    places.leave(known.line(direction), place)
                }
                None => places.take(place).map(line::Standing::Called),
            }
        });
    }

    /// The stream that receives was polled again while it waited. `None`: another waker stands there,
    /// so it is to begin to [`wait`](Self::wait) once more.
    #[inline(always)]
    pub(crate) fn waited(&self, registration: Key, waker: &Waker) -> Option<Known> {
        let mut state = self.state.borrow_mut();
        let Some(known) = state.registrations.get_mut(registration) else {
            return Some(Known::Readable { until_refused: true });
        };
        match &known.receiver {
            None => Some(Known::Readable { until_refused: known.take_readable() }),
            Some(waiting) => waiting.will_wake(waker).then_some(Known::Waits),
        }
    }

    /// Leaves the waker of the stream that receives, unless there is something already.
    #[inline(always)]
    pub(crate) fn wait(&self, registration: Key, waker: &Waker) -> Known {
        // Cloning a waker runs code of the user's: before the borrow.
        let waker = waker.clone();
        let mut state = self.state.borrow_mut();
        let Some(known) = state.registrations.get_mut(registration) else {
            drop(state);
            return Known::Unregistered;
        };
        if known.is_ready(Direction::Read) {
            let until_refused = known.take_readable();
            drop(state);
            return Known::Readable { until_refused };
        }
        let old = known.receiver.replace(waker);
        let watched = std::mem::replace(&mut known.watched, true);
        drop(state);
        drop(old);
        if watched { Known::Waits } else { Known::WaitsUnwatched }
    }

    /// A receive of the one stream was refused with EAGAIN.
    #[cold]
    pub(crate) fn nothing_to_receive(&self, registration: Key) {
        self.refused(registration, Direction::Read);
    }

    /// Takes the waker of the stream that receives back.
    pub(crate) fn end_wait(&self, registration: Key) {
        let mut state = self.state.borrow_mut();
        let known = state.registrations.get_mut(registration);
        let waker = known.and_then(|known| known.receiver.take());
        drop(state);
        drop(waker);
    }
}
