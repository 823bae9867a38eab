//! What is in flight: operations that the kernel, or a thread of the pool, works on, and nothing else.
//!
//! An operation is handed over by [`start`](Flight::start) or [`start_on_pool`](Flight::start_on_pool)
//! and stands in a slot until it has ended: `slots.rs` draws its life. Its future looks by
//! [`poll`](Flight::poll); one that is dropped leaves the operation to the slot by
//! [`abandon`](Flight::abandon). `kernel.rs` is the seam below, `turn.rs` the round.

mod epoll;
mod kernel;
mod slots;
mod turn;
mod uring;

pub(crate) use kernel::{Backend, Capabilities};
pub(super) use slots::{Abandoned, Kind};
pub(super) use turn::Round;

use std::cell::{RefCell, RefMut};
use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::task::{Poll, Waker};

use io_uring::squeue;

use self::kernel::{DOORBELL, Kernel, SIGNALS};
use self::slots::Slots;
use super::SharedFd;
use super::metrics::{Counters, count};
use super::operation::Raises;
use crate::buf::BufferGroup;
use crate::sys::ring::Cqe;
use crate::sys::{fork, signal};
use crate::util::linked_slab::Key;
use crate::util::mailbox::Mailbox;

/// The operations in flight of a driver, and the interface of the kernel that carries them.
pub(crate) struct Flight {
    state: RefCell<State>,
    /// What the kernel's interface can do.
    pub(super) can: Capabilities,
    mailbox: Arc<Mailbox>,
    /// The number of forks of the process that opened it.
    fork_generation: u32,
    pub(super) counters: Counters,
}

struct State {
    slots: Slots,
    /// Watches that the kernel has to tell of.
    watches: usize,
    /// `None` after the shutdown.
    kernel: Option<Kernel>,
}

/// What [`Flight::let_go`] found.
pub(super) enum LetGo {
    /// The operation is the future's alone; here is the completion that nobody had taken.
    Free(Option<Cqe>),
    /// The kernel or the pool has it.
    Held,
}

/// What a multishot has brought.
pub(super) enum Next {
    Item {
        cqe: Cqe,
        /// It had been stopped for back-pressure, and enough has been taken: arm it again.
        rearm: bool,
    },
    Pending,
    Ended,
}

impl Flight {
    pub(super) fn new(backend: Backend, mailbox: Arc<Mailbox>) -> io::Result<Self> {
        let mut kernel = Kernel::new(backend)?;
        let counters = Counters::default();
        kernel.watch_doorbell(mailbox.doorbell(), DOORBELL, &counters)?;
        Ok(Flight {
            can: kernel.can(),
            state: RefCell::new(State { slots: Slots::new(), watches: 0, kernel: Some(kernel) }),
            mailbox,
            fork_generation: fork::fork_generation(),
            counters,
        })
    }

    /// Whether it is that of a process that this one was forked off.
    #[inline]
    pub(super) fn is_of_parent(&self) -> bool {
        fork::fork_generation() != self.fork_generation
    }

    /// The state, for changing what the kernel works on. In a forked child that is for the parent
    /// to do: the ring's memory and the epoll set are shared with it, so the child lets go of them.
    fn state_of_kernel(&self) -> RefMut<'_, State> {
        let mut state = self.state.borrow_mut();
        if self.is_of_parent() {
            std::mem::forget(state.kernel.take());
        }
        state
    }

    /// Hands an entry to the kernel. `None` if it has no such operation.
    ///
    /// # Safety
    ///
    /// What the entry points at must stay valid until the slot of the key is retired.
    #[inline(always)]
    pub(super) unsafe fn start(
        &self,
        entry: squeue::Entry,
        kind: Kind,
        raises: Option<Raises>,
        waker: &Waker,
    ) -> Option<Key> {
        // Cloning a waker runs code of the user's: before the borrow.
        let waker = waker.clone();
        let mut state = self.state.borrow_mut();
        let State { slots, kernel: Some(kernel), .. } = &mut *state else { return None };
        let queue = kernel.queue().filter(|queue| queue.supports(entry.get_opcode()))?;
        if let Some(raises) = raises {
            queue.expect_signal(raises);
        }
        let key = slots.insert(kind, Some(waker));
        // SAFETY: the caller's promise is the one asked for.
        unsafe { queue.push(entry.user_data(key.to_bits()), &self.counters) };
        if kind == Kind::Direct {
            queue.staged_for_device(slots.for_device(), &self.counters);
        }
        Some(key)
    }

    /// Hands an entry to the kernel whose operation nobody waits for. The operation comes back if there
    /// is no such entry.
    ///
    /// # Safety
    ///
    /// As for [`start`](Self::start); the slot keeps the operation.
    #[inline]
    pub(super) unsafe fn post<T: Abandoned + 'static>(
        &self,
        entry: squeue::Entry,
        operation: Box<T>,
    ) -> Result<Key, Box<T>> {
        let mut state = self.state.borrow_mut();
        let State { slots, kernel, .. } = &mut *state;
        let queue = kernel.as_mut().and_then(Kernel::queue);
        let Some(queue) = queue.filter(|queue| queue.supports(entry.get_opcode())) else {
            return Err(operation);
        };
        let key = slots.insert_abandoned(operation);
        // SAFETY: the caller's promise is the one asked for.
        unsafe { queue.push(entry.user_data(key.to_bits()), &self.counters) };
        Ok(key)
    }

    /// Takes a slot for a call that a thread of the pool makes.
    pub(super) fn start_on_pool(&self, waker: &Waker) -> Key {
        let waker = waker.clone();
        count(&self.counters.pool_jobs);
        self.state.borrow_mut().slots.insert(Kind::Pool, Some(waker))
    }

    /// Frees a slot, whatever its state: nobody works on its operation.
    pub(super) fn remove(&self, key: Key) {
        let slot = self.state.borrow_mut().slots.remove(key);
        drop(slot);
    }

    /// Looks whether an operation has ended; if so, its slot is retired.
    #[inline(always)]
    pub(super) fn poll(&self, key: Key, waker: &Waker) -> Poll<Cqe> {
        let mut state = self.state.borrow_mut();
        if let Some(cqe) = state.slots.take(key) {
            return Poll::Ready(cqe);
        }
        let slot = state.slots.get_mut(key).expect("a future in flight has a slot");
        if !slot.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            drop(state);
            self.set_waker(key, waker);
        }
        Poll::Pending
    }

    #[inline(always)]
    fn set_waker(&self, key: Key, waker: &Waker) {
        let waker = waker.clone();
        let old = self.state.borrow_mut().slots.set_waker(key, waker);
        drop(old);
    }

    /// Whether the kernel or the pool works on a slot's operation, so that it must stay where the
    /// kernel knows it; if not, the slot is retired, with the completion it may have had.
    pub(super) fn let_go(&self, key: Key) -> LetGo {
        let mut state = self.state.borrow_mut();
        match state.slots.get_mut(key) {
            Some(slot) if !slot.done => LetGo::Held,
            Some(_) => LetGo::Free(state.slots.take(key)),
            None => LetGo::Free(None),
        }
    }

    /// Looks whether an operation has ended whose future was forgotten; if so, its slot is retired.
    pub(super) fn poll_forgotten(&self, key: Key, waker: &Waker) -> Poll<Option<Cqe>> {
        if let LetGo::Free(ended) = self.let_go(key) {
            return Poll::Ready(ended);
        }
        if self.state.borrow().kernel.is_none() {
            return Poll::Ready(None);
        }
        self.set_waker(key, waker);
        Poll::Pending
    }

    /// Takes over an operation whose future was dropped in flight, and asks the kernel to end it.
    pub(super) fn abandon(&self, key: Key, operation: Box<dyn Abandoned>) {
        count(&self.counters.abandoned);
        let mut state = self.state_of_kernel();
        if state.kernel.is_none() {
            // The runtime ended while the kernel still held this operation, or it is held for the
            // parent of this process: never free it.
            std::mem::forget(operation);
            return;
        }
        let old = state.slots.abandon(key, operation);
        drop(state);
        drop(old);
        self.cancel(key);
    }

    /// Asks for an early end. The final completion comes all the same, and tells who won.
    pub(super) fn cancel(&self, key: Key) {
        let mut state = self.state_of_kernel();
        let State { slots, kernel, .. } = &mut *state;
        let queue = kernel.as_mut().and_then(Kernel::queue);
        let (Some(slot), Some(queue)) = (slots.get_mut(key), queue) else { return };
        // Paused or not, it is not to be armed again under this key.
        slot.paused = false;
        if slot.done || slot.cancel_sent || slot.kind == Kind::Pool {
            return;
        }
        slot.cancel_sent = true;
        queue.cancel(key.to_bits(), &self.counters);
    }

    /// Takes the next completion of a multishot, in order. With `few` or fewer left it is time to go
    /// on if it had been stopped.
    #[inline(always)]
    pub(super) fn next(&self, key: Key, few: u32, waker: &Waker) -> Next {
        let mut state = self.state.borrow_mut();
        if let Some((cqe, slot)) = state.slots.take_queued(key) {
            let rearm = slot.done && slot.paused && slot.queue_len <= few;
            return Next::Item { cqe, rearm };
        }
        // A ring that is closed brings nothing more, whatever the kernel had not given back by then.
        let over = state.kernel.is_none() || self.is_of_parent();
        let slot = state.slots.get_mut(key).expect("an armed handle has a slot");
        if slot.done || over {
            let slot = state.slots.remove(key);
            drop(state);
            drop(slot);
            return Next::Ended;
        }
        if !slot.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            drop(state);
            self.set_waker(key, waker);
        }
        Next::Pending
    }

    /// Arms a multishot that was stopped for back-pressure, under the key it has.
    ///
    /// # Safety
    ///
    /// As for [`start`](Self::start).
    pub(super) unsafe fn rearm(&self, key: Key, entry: squeue::Entry) {
        let mut state = self.state_of_kernel();
        let State { slots, kernel, .. } = &mut *state;
        let Some(queue) = kernel.as_mut().and_then(Kernel::queue) else { return };
        slots.rearmed(key);
        // SAFETY: the caller's promise; the earlier flight under this key has had its final
        // completion.
        unsafe { queue.push(entry.user_data(key.to_bits()), &self.counters) };
    }

    /// What nobody had taken of a multishot, and whether the kernel still has the operation. If not,
    /// the slot is retired.
    pub(super) fn let_go_multi(&self, key: Key) -> (Vec<Cqe>, bool) {
        let mut state = self.state.borrow_mut();
        let queued = std::iter::from_fn(|| Some(state.slots.take_queued(key)?.0)).collect();
        let held = state.slots.get_mut(key).is_some_and(|slot| !slot.done);
        let slot = if held { None } else { state.slots.remove(key) };
        drop(state);
        drop(slot);
        (queued, held)
    }

    /// Has the kernel tell of the readiness of a descriptor.
    #[inline(always)]
    pub(super) fn watch(&self, fd: &SharedFd, registration: Key) -> io::Result<()> {
        let mut state = self.state.borrow_mut();
        let State { kernel: Some(kernel), watches, .. } = &mut *state else { return Ok(()) };
        if kernel.watch(fd, registration, &self.counters)? {
            *watches += 1;
        }
        Ok(())
    }

    /// Has it tell no longer: see [`Kernel::unwatch`].
    pub(super) fn unwatch(&self, fd: RawFd, registration: Key, shared: bool) {
        if let Some(kernel) = &mut self.state_of_kernel().kernel {
            kernel.unwatch(fd, registration, shared, &self.counters);
        }
    }

    /// Lets signals end the kernel's waits.
    pub(super) fn watch_signals(&self) -> io::Result<()> {
        let doorbell = signal::doorbell()?;
        match &mut self.state.borrow_mut().kernel {
            Some(kernel) => kernel.watch_doorbell(doorbell, SIGNALS, &self.counters),
            None => Ok(()),
        }
    }

    /// Has the kernel fill buffers of the group from now on, if it can.
    pub(super) fn register(&self, group: &BufferGroup) -> bool {
        let mut state = self.state_of_kernel();
        let queue = state.kernel.as_mut().and_then(Kernel::queue);
        queue.is_some_and(|queue| queue.register(group).is_ok())
    }

    /// Whether entries wait for the next visit to the kernel.
    #[inline(always)]
    pub(super) fn has_staged(&self) -> bool {
        let mut state = self.state.borrow_mut();
        state.kernel.as_mut().and_then(Kernel::queue).is_some_and(|queue| queue.has_staged())
    }

    /// Whether the kernel or the pool works on a slot's operation.
    pub(super) fn is_held(&self, key: Key) -> bool {
        let mut state = self.state.borrow_mut();
        state.slots.get_mut(key).is_some_and(|slot| !slot.done)
    }

    /// Whether something is in flight that was posted and not cancelled.
    pub(super) fn any_posted(&self) -> bool {
        self.state.borrow_mut().slots.any_posted()
    }

    /// The operations of the kernel's whose futures are gone.
    pub(super) fn abandoned(&self) -> Vec<Key> {
        self.state.borrow_mut().slots.abandoned()
    }

    /// Slots and watches in use, and those that the kernel or the pool works on.
    pub(super) fn counts(&self) -> (usize, usize) {
        let state = self.state.borrow();
        (state.slots.in_use() + state.watches, state.slots.in_flight() + state.watches)
    }

    /// The runtime ends: cancels all that is in flight.
    pub(super) fn cancel_all(&self) {
        let keys = self.state.borrow().slots.keys();
        keys.into_iter().for_each(|key| self.cancel(key));
    }

    /// The runtime ends: an interface that cannot be used any more is no panic.
    pub(super) fn ends(&self) {
        if let Some(kernel) = &mut self.state.borrow_mut().kernel {
            kernel.ends();
        }
    }

    /// Closes the ring or the epoll instance, in a forked child without touching the parent's.
    pub(super) fn close(&self) {
        let kernel = self.state_of_kernel().kernel.take();
        drop(kernel);
    }

    /// Takes the wakers of all that is in flight.
    pub(super) fn take_wakers(&self, wakers: &mut Vec<Waker>) {
        self.state.borrow_mut().slots.take_wakers(wakers);
    }
}
