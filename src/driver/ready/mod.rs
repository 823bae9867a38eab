//! What is known of descriptors: one registration for each that ever had to wait, and the futures
//! that stand in its lines.
//!
//! It knows the kernel only as a [`Watcher`], which tells it of readiness. `registration.rs` has what
//! is known of one descriptor, `wait.rs` the ways to wait for it, and `now.rs` the plain call, which
//! teaches as much as an event does.

mod now;
mod registration;
mod wait;

pub(super) use wait::Known;

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::RawFd;
use std::rc::{Rc, Weak};
use std::task::Waker;

use self::registration::Registration;
use self::wait::Places;
use super::metrics::{Counters, count};
use super::{CutBy, SharedFd};
use crate::sys::epoll::Event;
use crate::util::linked_slab::{Key, LinkedSlab};
use crate::util::unwind::shield;

/// What a driver knows of the readiness of descriptors.
pub(crate) struct Ready {
    state: RefCell<State>,
    watcher: Weak<dyn Watcher>,
    /// The kernel tells once for each wait, of reading alone, and also of what is there already. Else it
    /// tells of changes, in both directions, for as long as a descriptor is open.
    tells_once: bool,
    /// Watches of registrations that have ended, of which the kernel has still to say so.
    ending: Cell<usize>,
    pub(super) counters: Counters,
}

struct State {
    registrations: LinkedSlab<Registration>,
    places: Places,
}

/// Who tells of readiness: the kernel, by whatever interface runs.
pub(super) trait Watcher {
    /// Has the kernel tell of a descriptor under the key of its registration.
    fn watch(&self, fd: &SharedFd, registration: Key) -> io::Result<()>;

    /// Ends it. `shared`: the open file may live on when this descriptor is closed.
    fn unwatch(&self, fd: RawFd, registration: Key, shared: bool);
}

/// The registration of one descriptor, kept by its [`SharedFd`].
pub(super) struct Registered {
    ready: Rc<Ready>,
    key: Key,
}

impl Registered {
    /// The key, if the registration is with `ready`.
    #[inline(always)]
    pub(super) fn with(&self, ready: &Ready) -> Option<Key> {
        std::ptr::eq(&raw const *self.ready, ready).then_some(self.key)
    }

    /// Forgets what is known. Futures that wait for the descriptor try again, and hear what the
    /// system says. Returns whether the kernel holds the file until its next visit.
    pub(super) fn end(self, fd: RawFd, shared: bool) -> bool {
        let Registered { ready, key } = self;
        let mut wakers = Vec::new();
        let mut state = ready.state.borrow_mut();
        let State { registrations, places } = &mut *state;
        let watched = registrations.remove(key).is_some_and(|mut known| {
            known.call_all(places, &mut wakers);
            known.watched
        });
        drop(state);
        // Of a driver that is gone there is nothing to be ended.
        let watcher = if watched { ready.watcher.upgrade() } else { None };
        let held = watcher.is_some() && ready.tells_once;
        if let Some(watcher) = watcher {
            ready.ending.set(ready.ending.get() + usize::from(held));
            watcher.unwatch(fd, key, shared);
        }
        wakers.into_iter().for_each(|waker| shield(|| waker.wake()));
        held
    }
}

impl Ready {
    pub(super) fn new(watcher: Weak<dyn Watcher>, tells_once: bool) -> Rc<Self> {
        let state = State { registrations: LinkedSlab::new(), places: Places::new() };
        Rc::new(Ready {
            state: RefCell::new(state),
            watcher,
            tells_once,
            ending: Cell::new(0),
            counters: Counters::default(),
        })
    }

    /// Descriptors that are registered.
    pub(super) fn len(&self) -> usize {
        self.state.borrow().registrations.len()
    }

    /// Futures that stand in a line, or were called and have not come.
    pub(super) fn standing_in_line(&self) -> usize {
        self.state.borrow().places.len()
    }

    /// What may end a receive before it has brought all, as far as nobody looks again before the
    /// next wait.
    #[inline(always)]
    pub(crate) fn cut_by(&self, fd: &SharedFd) -> CutBy {
        if self.tells_once { CutBy::Mark } else { fd.cut_by() }
    }

    /// Has the kernel tell of a descriptor, if it does not yet.
    pub(super) fn watch(self: &Rc<Self>, fd: &SharedFd) -> io::Result<Key> {
        let known = fd.registration(self);
        let mut state = self.state.borrow_mut();
        let key = known.unwrap_or_else(|| state.registrations.insert(Registration::new()));
        let registration = state.registrations.get_mut(key).expect("it is registered");
        if std::mem::replace(&mut registration.watched, true) {
            return Ok(key);
        }
        drop(state);
        let watcher = self.watcher.upgrade().expect("a driver that is used is there");
        match watcher.watch(fd, key) {
            Ok(()) if known.is_none() => {
                fd.set_registered(Registered { ready: self.clone(), key });
            }
            Ok(()) => {}
            Err(error) => {
                self.state.borrow_mut().registrations.remove(key);
                return Err(error);
            }
        }
        Ok(key)
    }

    /// The kernel has told of readiness.
    #[inline(always)]
    pub(super) fn on_events(&self, events: &mut Vec<Event>, wakers: &mut Vec<Waker>) {
        let mut state = self.state.borrow_mut();
        let State { registrations, places } = &mut *state;
        for event in events.drain(..) {
            // An event of an earlier generation is an event of nobody.
            match registrations.get_mut(Key::from_bits(event.data)) {
                Some(known) => {
                    known.watched = !self.tells_once;
                    known.on_events(event.events, places, wakers);
                }
                None => self.on_event_of_nobody(event),
            }
        }
    }

    #[cold]
    fn on_event_of_nobody(&self, event: Event) {
        if self.tells_once {
            self.ending.set(self.ending.get() - 1);
        } else if event.data < Key::BITS_END {
            // It is no doorbell.
            count(&self.counters.unknown_completions);
        }
    }

    /// Whether the kernel holds files of which nothing is to be known any more.
    pub(super) fn is_ending(&self) -> bool {
        self.ending.get() > 0
    }

    /// The registrations of which the kernel is to tell once.
    pub(super) fn watched_once(&self) -> Vec<Key> {
        if !self.tells_once {
            return Vec::new();
        }
        let mut state = self.state.borrow_mut();
        let keys: Vec<_> = state.registrations.keys().collect();
        keys.into_iter()
            .filter(|key| state.registrations.get_mut(*key).is_some_and(|known| known.watched))
            .collect()
    }

    /// Calls all who wait, since no event will come any more.
    pub(super) fn call_all(&self, wakers: &mut Vec<Waker>) {
        let mut state = self.state.borrow_mut();
        let State { registrations, places } = &mut *state;
        registrations.values_mut().for_each(|known| known.call_all(places, wakers));
    }
}
