//! A simulated world: what a test makes, installs on its thread, and asks afterwards.

use super::faults::Fault;
use super::state::State;
use crate::sys::clock;
use crate::util::current::{Current, Entered, Pointer};
use crate::util::sync_types::thread_local;
use std::cell::{RefCell, RefMut};
use std::rc::Rc;
#[cfg(test)]
use std::time::Instant;
use std::time::{Duration, SystemTime};

thread_local! {
    static POINTER: Pointer<World> = const { Pointer::empty() };
}

/// The world that is installed on this thread.
const CURRENT: Current<World> = Current::at(&POINTER);

/// One simulated kernel with its sockets, its clock and its luck, all drawn from one seed.
pub(crate) struct World {
    seed: u64,
    state: RefCell<State>,
}

impl World {
    /// Makes a world. Two worlds of one seed that are asked the same do the same.
    pub(crate) fn new(seed: u64) -> Rc<Self> {
        Rc::new(World { seed, state: RefCell::new(State::new(seed)) })
    }

    /// Makes this the world of the thread: calls on descriptors go to it, and the clock is its.
    /// It lasts until the guard is dropped; the world before, if any, is back then.
    pub(crate) fn install(self: &Rc<Self>) -> Installed {
        let before = CURRENT.get();
        if let Some(before) = &before {
            before.state().rules_clock = false;
        }
        self.rule_clock();
        Installed { before, world: self.clone(), _entered: CURRENT.enter(self.clone()) }
    }

    /// The world that is installed on this thread.
    pub(crate) fn current() -> Option<Rc<World>> {
        CURRENT.get()
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    #[cfg(test)]
    /// The present moment of this world.
    pub(crate) fn now(&self) -> Instant {
        let state = self.state();
        state.base + state.now
    }

    /// Virtual time since the world was made.
    pub(crate) fn elapsed(&self) -> Duration {
        self.state().now
    }

    /// What the wall clock shows.
    pub(crate) fn wall(&self) -> SystemTime {
        self.state().wall()
    }

    /// Sets the wall clock, forward or back.
    pub(crate) fn set_wall(&self, to: SystemTime) {
        self.state().set_wall(to);
    }

    /// Makes an operation fail.
    pub(crate) fn fail(&self, fault: Fault) {
        self.state().faults.add(fault);
    }

    /// Of 1,000 enters, how many fail with EINTR, EAGAIN, EBUSY or ENOMEM. At most 900, so that
    /// who tries again gets through.
    pub(crate) fn set_enter_failure_rate(&self, per_mille: u32) {
        self.state().faults.enters_per_mille = per_mille.min(900) as usize;
    }

    /// No accept waits any more.
    pub(crate) fn refuse_to_wait_for_connections(&self) {
        self.state().accepts_wait = false;
    }

    /// No multishot receive looks for the end behind bytes any more.
    pub(crate) fn miss_ends(&self) {
        self.state().hears_ends = false;
    }

    /// Whether one does.
    pub(crate) fn hears_ends(&self) -> bool {
        self.state().hears_ends
    }

    /// What happened so far: the last ten thousand lines.
    pub(crate) fn trace(&self) -> Vec<String> {
        self.state().trace.lines()
    }

    /// A number that stands for all that happened so far.
    pub(crate) fn trace_hash(&self) -> u64 {
        self.state().trace.hash()
    }

    /// Simulated descriptors that are open. A connection nobody accepted has none.
    pub(crate) fn open_descriptors(&self) -> usize {
        self.state().descriptors.len()
    }

    #[cfg(test)]
    /// Sockets that exist, open or not: one that was closed lives until its last bytes are gone.
    pub(crate) fn sockets(&self) -> usize {
        self.state().sockets.len()
    }

    /// Operations that were consumed and whose last completion is not posted.
    pub(crate) fn operations_in_flight(&self) -> usize {
        self.state().operations.len()
    }

    pub(super) fn state(&self) -> RefMut<'_, State> {
        self.state.borrow_mut()
    }

    pub(super) fn try_state(&self) -> Option<RefMut<'_, State>> {
        self.state.try_borrow_mut().ok()
    }

    fn rule_clock(&self) {
        let mut state = self.state();
        state.rules_clock = true;
        state.show_clocks();
    }
}

/// Keeps a world installed on this thread.
#[must_use = "the world is installed until this is dropped"]
pub(crate) struct Installed {
    before: Option<Rc<World>>,
    world: Rc<World>,
    _entered: Entered<World>,
}

impl Drop for Installed {
    fn drop(&mut self) {
        clock::set_virtual(None);
        if let Some(before) = &self.before {
            before.rule_clock();
        }
        if let Some(mut state) = self.world.try_state() {
            state.rules_clock = false;
        }
    }
}
