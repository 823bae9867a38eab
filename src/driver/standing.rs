//! What has begun in one runtime and is awaited in another, or after its end: whether anything will
//! ever come of it, and what it ends with if not.
//!
//! Every wait names the driver that it is made with. One look at that name where a future would go
//! on waiting is all that there is to it: while its own runtime runs, a wait costs one comparison.

use std::io;
use std::ptr;
use std::task::Waker;
use std::time::Duration;

use super::slots::{Effects, Kind};
use super::start::LetGo;
use super::{CURRENT, Driver, State, was_cancelled};
use crate::sys::clock;
use crate::sys::fork;
use crate::sys::ring::Wait;
use crate::util::linked_slab::Key;

/// How a driver stands to the runtime that runs on this thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is that runtime's, or none runs: it may go on later.
    Here,
    /// Its runtime has ended, or is that of a parent process.
    Over,
    /// Its runtime lives, and cannot go on while the other one runs.
    Elsewhere,
}

/// A wait that its runtime has left behind.
pub(super) fn cancelled() -> io::Error {
    io::Error::from_raw_os_error(libc::ECANCELED)
}

/// A wait that can only go on in another runtime.
#[cold]
pub(super) fn elsewhere() -> io::Error {
    io::Error::other(
        "this was begun in another corering runtime of this thread, which has not ended and does \
         not run meanwhile: await it in that runtime's block_on, or end that runtime first; a \
         stream moves to another runtime by `detach`",
    )
}

/// So often an operation that was cancelled is looked for, with a pause between: a second in all.
/// The kernel cancels what waits at once; a disk takes its time.
const RECALL_TRIES_MAX: u32 = 1000;
const RECALL_PAUSE: Duration = Duration::from_millis(1);

impl Driver {
    /// Whether this thread has entered the driver's runtime, be it usable or not.
    #[inline(always)]
    pub(super) fn is_current(&self) -> bool {
        ptr::eq(CURRENT.get(), self)
    }

    /// Whether this is the driver of the runtime that runs on this thread.
    #[inline(always)]
    pub(super) fn is_here(&self) -> bool {
        self.is_current() && self.is_usable()
    }

    #[cold]
    pub(super) fn standing(&self) -> Standing {
        let current = CURRENT.get();
        if !self.is_usable() {
            Standing::Over
        } else if current.is_null() || ptr::eq(current, self) {
            Standing::Here
        } else {
            Standing::Elsewhere
        }
    }

    /// Fails if this driver can go on only when another runtime does not run any more.
    pub(super) fn check_not_elsewhere(&self) -> io::Result<()> {
        match self.standing() {
            Standing::Elsewhere => Err(elsewhere()),
            Standing::Here | Standing::Over => Ok(()),
        }
    }

    /// What an operation ends with that is still under way and is not to be awaited any longer: its
    /// time is over (`expired`), or its runtime is not the one that runs. `None`: it is to be
    /// awaited further.
    #[cold]
    pub(super) fn end_of_wait(&self, key: Key, expired: bool) -> Option<io::Result<u32>> {
        let standing = self.standing();
        let error = match standing {
            Standing::Here if !expired => return None,
            Standing::Here | Standing::Over => cancelled(),
            Standing::Elsewhere => {
                self.recall(key);
                elsewhere()
            }
        };
        match self.let_go(key) {
            LetGo::Free(Some(cqe)) => match cqe.outcome() {
                Err(ended) if was_cancelled(&ended) => Some(Err(error)),
                outcome => Some(outcome),
            },
            LetGo::Free(None) => Some(Err(error)),
            // Where something is in flight, its completion tells how its time limit ended it.
            LetGo::Held if standing == Standing::Here => None,
            // The parent's kernel works on the parent's memory; this process has a copy.
            LetGo::Held if self.is_of_parent() => Some(Err(error)),
            LetGo::Held => panic!(
                "the kernel, or a thread of the pool, still has the buffer of an operation that was \
                 begun in another runtime, so its future cannot give it back: {error}"
            ),
        }
    }

    /// Whether nobody will ever hear of an operation's end: the kernel, or a thread of the pool, had
    /// not given it back when its runtime ended.
    pub(super) fn has_lost(&self, key: Key) -> bool {
        self.ended.get() && !self.is_of_parent() && self.is_held(key)
    }

    /// Whether the kernel or the pool works on a slot's operation.
    pub(super) fn is_held(&self, key: Key) -> bool {
        let mut state = self.state.borrow_mut();
        let slot = state.slots.get_mut(key);
        slot.is_some_and(|slot| !slot.done && !matches!(slot.kind, Kind::Waiting { .. }))
    }

    /// Whether the driver is that of a process that this one was forked off.
    #[inline]
    pub(crate) fn is_of_parent(&self) -> bool {
        fork::fork_generation() != self.fork_generation
    }

    /// Asks for the end of an operation and waits for it, though another runtime runs.
    fn recall(&self, key: Key) {
        self.cancel(key);
        for _ in 0..RECALL_TRIES_MAX {
            if !self.is_held(key) {
                return;
            }
            self.visit(Wait::No);
            if self.is_held(key) {
                clock::pause(RECALL_PAUSE);
            }
        }
    }

    /// Wakes all who wait for readiness or for a timer, since nothing will come any more: polled
    /// again, they hear of the runtime's end, or move to another one.
    pub(super) fn wake_for_the_end(&self) {
        let mut effects = Effects::default();
        let mut state = self.state.borrow_mut();
        let State { slots, registrations, .. } = &mut *state;
        registrations.wake_all(slots, &mut effects);
        drop(state);
        self.timers.borrow_mut().take_values(|| Waker::noop().clone(), &mut effects.wakers);
        self.run(&mut effects);
    }

    /// Wakes those whose operation the kernel keeps.
    pub(super) fn wake_the_lost(&self) {
        let mut effects = Effects::default();
        self.state.borrow_mut().slots.take_wakers(&mut effects);
        self.run(&mut effects);
    }
}
