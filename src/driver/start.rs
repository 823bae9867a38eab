//! Starting an operation: where the ring and epoll part.

use std::io;
use std::rc::Rc;
use std::task::{Poll, Waker};

use super::jobs::Call;
use super::metrics::count;
use super::operation::{Direction, Operation, Readiness};
use super::slots::{Abandoned, Kind};
use super::standing::cancelled;
use super::uring::{is_would_block, poll_entry};
use super::{Driver, Job, SharedFd, State, System};
use crate::sys::ring::Cqe;
use crate::util::linked_slab::Key;

/// How an operation began.
pub(super) enum Started {
    /// It has ended already.
    Now(io::Result<u32>),
    /// Its slot will tell.
    Later(Key),
}

/// How an attempt went.
enum Attempt {
    Done(i32),
    WouldBlock,
}

fn outcome(result: i32) -> io::Result<u32> {
    Cqe { user_data: 0, result, flags: 0 }.outcome()
}

impl Driver {
    /// Starts an operation. Its memory must stay as [`Operation`] says until its slot is retired:
    /// the caller keeps it, or hands it over by [`abandon`](Self::abandon).
    #[inline]
    pub(super) fn start<T: Operation>(
        self: &Rc<Self>,
        operation: &mut T,
        waker: &Waker,
    ) -> Started {
        if let Err(error) = self.check_usable() {
            return Started::Now(Err(error));
        }
        if !self.is_uring || operation.by_readiness() {
            return self.start_without_ring(operation, waker);
        }
        if operation.tries_first()
            && let Attempt::Done(result) = self.attempt(operation)
        {
            return Started::Now(outcome(result));
        }
        let entry = operation.encode();
        // Cloning a waker runs code of the user's: before the borrow.
        let waker = waker.clone();
        let mut state = self.state.borrow_mut();
        let State { slots, system: Some(System::Uring(uring)), .. } = &mut *state else {
            unreachable!("a ring driver that has not ended has its ring")
        };
        if !uring.supports(entry.get_opcode()) {
            drop(state);
            return self.start_without_ring(operation, &waker);
        }
        if let Some(raises) = operation.raises() {
            uring.expect_signal(raises);
        }
        let key = slots.insert(Kind::Single, Some(waker));
        // SAFETY: `Operation` promises that what the entry points at stays valid until `decode`,
        // which is called after the final completion, wherever the operation is moved until then.
        unsafe { uring.push(entry.user_data(key.to_bits()), &self.counters) };
        if operation.is_for_device() {
            let in_flight = self.for_device.get() + 1;
            self.for_device.set(in_flight);
            uring.staged_for_device(in_flight, &self.counters);
        }
        Started::Later(key)
    }

    fn start_without_ring<T: Operation>(
        self: &Rc<Self>,
        operation: &mut T,
        waker: &Waker,
    ) -> Started {
        let direction = match operation.waits_for() {
            Readiness::Blocking => {
                return match self.cached_count(operation) {
                    Some(count) => Started::Now(Ok(count)),
                    None => self.start_on_pool(operation, waker),
                };
            }
            Readiness::Nothing => {
                return match self.attempt(operation) {
                    Attempt::Done(result) => Started::Now(outcome(result)),
                    Attempt::WouldBlock => Started::Now(outcome(-libc::EAGAIN)),
                };
            }
            Readiness::Readable(_) => Direction::Read,
            Readiness::Writable(_) => Direction::Write,
        };
        if operation.needs_nonblocking()
            && let Readiness::Readable(fd) | Readiness::Writable(fd) = operation.waits_for()
            && let Err(error) = fd.set_nonblocking(true)
        {
            return Started::Now(Err(error));
        }
        if let Attempt::Done(result) = self.attempt_when_ready(operation, direction, false) {
            return Started::Now(outcome(result));
        }
        let (Readiness::Readable(fd) | Readiness::Writable(fd)) = operation.waits_for() else {
            unreachable!("an operation waits for one thing throughout")
        };
        match self.wait_ready(fd, direction, waker) {
            Ok(key) => Started::Later(key),
            Err(error) => Started::Now(Err(error)),
        }
    }

    /// Makes the plain call of an operation.
    fn attempt<T: Operation>(&self, operation: &mut T) -> Attempt {
        // SAFETY: `Operation` promises valid pointers, and the operation is borrowed meanwhile.
        let mut result = unsafe { self.call_now(operation.attempt()) };
        if result < 0 && operation.stream().is_some_and(|stream| stream.gives_up_flag(-result)) {
            // SAFETY: as above.
            result = unsafe { self.call_now(operation.attempt()) };
        }
        if is_would_block(result) || (result == 0 && operation.zero_would_block()) {
            return Attempt::WouldBlock;
        }
        Attempt::Done(result)
    }

    /// Makes the call and notes what it tells of the descriptor's readiness. `woken`: it is worth a
    /// call whatever is known.
    fn attempt_when_ready<T: Operation>(
        self: &Rc<Self>,
        operation: &mut T,
        direction: Direction,
        woken: bool,
    ) -> Attempt {
        let registration = match operation.waits_for() {
            Readiness::Readable(fd) | Readiness::Writable(fd) => fd.registration(self),
            Readiness::Nothing | Readiness::Blocking => None,
        };
        if !woken && self.is_unready(registration, direction) {
            return Attempt::WouldBlock;
        }
        let attempt = self.attempt(operation);
        let result = match attempt {
            Attempt::Done(result) => result,
            Attempt::WouldBlock => -libc::EAGAIN,
        };
        let drained = result > 0 && operation.has_drained(result as usize);
        self.learn(registration, direction, result, drained);
        attempt
    }

    /// Queues a future behind those that wait for the same direction of a descriptor.
    pub(super) fn wait_ready(
        self: &Rc<Self>,
        fd: &SharedFd,
        direction: Direction,
        waker: &Waker,
    ) -> io::Result<Key> {
        let registration = self.watch(fd)?;
        let waker = waker.clone();
        let mut state = self.state.borrow_mut();
        let State { slots, registrations, .. } = &mut *state;
        let known =
            registrations.get_mut(registration).expect("a registration lasts as its descriptor");
        let slot = slots.insert(Kind::Waiting { registration, direction }, Some(waker));
        slots.join(known.line(direction), slot);
        Ok(slot)
    }

    /// Lets the kernel tell of a descriptor's readiness, if it does not yet.
    pub(super) fn watch(self: &Rc<Self>, fd: &SharedFd) -> io::Result<Key> {
        let registration = match fd.registration(self) {
            Some(key) => key,
            None => self.register(fd)?,
        };
        let mut state = self.state.borrow_mut();
        let State { slots, registrations, system } = &mut *state;
        if let Some(System::Uring(uring)) = system
            && let Some(known) = registrations.get_mut(registration)
            && known.poll.is_none()
        {
            let poll = slots.insert(Kind::Poll { registration }, None);
            known.poll = Some(poll);
            // SAFETY: a poll points at nothing.
            unsafe { uring.push(poll_entry(fd.target(), poll.to_bits()), &self.counters) };
        }
        Ok(registration)
    }

    /// Makes a descriptor known, with epoll once and for all directions.
    fn register(self: &Rc<Self>, fd: &SharedFd) -> io::Result<Key> {
        let mut state = self.state.borrow_mut();
        let State { slots, registrations, system } = &mut *state;
        let key = registrations.insert();
        if let Some(System::Epoll(epoll)) = system
            && let Err(error) = epoll.add(fd.raw(), key.to_bits())
        {
            registrations.remove(key, slots, &mut Default::default());
            return Err(error);
        }
        drop(state);
        fd.set_registration(self, key);
        Ok(key)
    }

    /// What memory can answer of an operation for the pool.
    fn cached_count<T: Operation>(&self, operation: &mut T) -> Option<u32> {
        count(&self.counters.attempts);
        operation.cached_count()
    }

    fn start_on_pool<T: Operation>(self: &Rc<Self>, operation: &mut T, waker: &Waker) -> Started {
        let waker = waker.clone();
        let key = self.state.borrow_mut().slots.insert(Kind::Pool, Some(waker));
        count(&self.counters.pool_jobs);
        // SAFETY: `Operation` promises that the pointers stay valid until `decode`, which is called
        // after the result has been taken.
        let call = unsafe { Call::new(operation.attempt(), key.to_bits(), self.finished.clone()) };
        if let Err(refused) = self.pool.spawn(Job::Call(call)) {
            let error = refused.error;
            // The job that came back posts a result of its own; nobody waits for it any more.
            let slot = self.state.borrow_mut().slots.remove(key);
            drop(slot);
            drop(refused.job);
            return Started::Now(Err(error));
        }
        Started::Later(key)
    }

    /// An operation for a device has ended, or its future is gone.
    #[inline]
    pub(super) fn landed_from_device(&self) {
        self.for_device.set(self.for_device.get() - 1);
    }

    /// Looks whether an operation has ended; if so, its slot is retired.
    #[inline]
    pub(super) fn poll<T: Operation>(
        self: &Rc<Self>,
        key: Key,
        operation: &mut T,
        waker: &Waker,
    ) -> Poll<io::Result<u32>> {
        let mut state = self.state.borrow_mut();
        let slot = state.slots.get_mut(key).expect("a future in flight has a slot");
        let kind = slot.kind;
        if slot.done {
            let Kind::Waiting { direction, .. } = kind else {
                let cqe = state.slots.take(key).expect("a done slot has its completion");
                return Poll::Ready(cqe.outcome());
            };
            // Woken: worth another try. The slot is linked nowhere now.
            drop(state);
            if !self.is_usable() {
                drop(self.take_slot(key));
                return Poll::Ready(Err(cancelled()));
            }
            let attempt = self.attempt_when_ready(operation, direction, true);
            if let Attempt::Done(result) = attempt {
                drop(self.take_slot(key));
                return Poll::Ready(outcome(result));
            }
            if let Err(error) = self.wait_again(key, operation, direction, waker.clone()) {
                drop(self.take_slot(key));
                return Poll::Ready(Err(error));
            }
            return Poll::Pending;
        }
        if slot.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            return Poll::Pending;
        }
        drop(state);
        let waker = waker.clone();
        let old = self.state.borrow_mut().slots.set_waker(key, waker);
        drop(old);
        Poll::Pending
    }

    /// Back into the line of the operation's descriptor: of its registration of now, since another
    /// runtime may have had it meanwhile.
    fn wait_again<T: Operation>(
        self: &Rc<Self>,
        key: Key,
        operation: &T,
        direction: Direction,
        waker: Waker,
    ) -> io::Result<()> {
        let (Readiness::Readable(fd) | Readiness::Writable(fd)) = operation.waits_for() else {
            unreachable!("an operation waits for one thing throughout")
        };
        let registration = self.watch(fd)?;
        let mut state = self.state.borrow_mut();
        let State { slots, registrations, .. } = &mut *state;
        let known =
            registrations.get_mut(registration).expect("a registration lasts as its descriptor");
        let slot = slots.get_mut(key).expect("the caller has looked it up");
        slot.done = false;
        slot.kind = Kind::Waiting { registration, direction };
        slots.join(known.line(direction), key);
        let old = slots.set_waker(key, waker);
        drop(state);
        drop(old);
        Ok(())
    }

    /// Whether a slot is only a place in the line of a descriptor.
    pub(super) fn is_waiting(&self, key: Key) -> bool {
        let mut state = self.state.borrow_mut();
        state.slots.get_mut(key).is_some_and(|slot| matches!(slot.kind, Kind::Waiting { .. }))
    }

    fn take_slot(&self, key: Key) -> Option<super::slots::Slot> {
        self.state.borrow_mut().slots.remove(key)
    }

    /// Whether the kernel or the pool works on a slot's operation, so that it must stay where the
    /// kernel knows it; if not, the slot is retired, with the completion it may have had.
    pub(super) fn let_go(&self, key: Key) -> LetGo {
        let mut state = self.state.borrow_mut();
        let State { slots, registrations, .. } = &mut *state;
        let Some(slot) = slots.get_mut(key) else { return LetGo::Free(None) };
        let done = slot.done;
        match slot.kind {
            Kind::Waiting { registration, direction } => {
                if !done && let Some(known) = registrations.get_mut(registration) {
                    slots.leave(known.line(direction), key);
                }
                let slot = slots.remove(key);
                drop(state);
                drop(slot);
                LetGo::Free(None)
            }
            _ if done => {
                let cqe = slots.take(key);
                LetGo::Free(cqe)
            }
            _ => LetGo::Held,
        }
    }

    /// Looks whether an operation has ended whose future was forgotten; if so, its slot is retired.
    pub(super) fn poll_forgotten(&self, key: Key, waker: &Waker) -> Poll<Option<io::Result<u32>>> {
        if let LetGo::Free(ended) = self.let_go(key) {
            return Poll::Ready(ended.map(|cqe| cqe.outcome()));
        }
        let waker = waker.clone();
        let mut state = self.state.borrow_mut();
        if state.system.is_none() {
            return Poll::Ready(None);
        }
        let old = state.slots.set_waker(key, waker);
        drop(state);
        drop(old);
        Poll::Pending
    }

    /// Takes over an operation whose future was dropped in flight, and asks the kernel to end it.
    pub(super) fn abandon(&self, key: Key, operation: Box<dyn Abandoned>) {
        count(&self.counters.abandoned);
        let mut state = self.state_of_kernel();
        if state.system.is_none() {
            // The runtime ended while the kernel still held this operation, or it is held for the
            // parent of this process: never free it.
            std::mem::forget(operation);
            return;
        }
        let old = state.slots.abandon(key, operation);
        drop(state);
        drop(old);
        self.cancel(key);
        self.visit_from_outside(key);
    }

    /// Asks for an early end. The final completion comes all the same, and tells who won.
    pub(super) fn cancel(&self, key: Key) {
        let mut state = self.state_of_kernel();
        let State { slots, system: Some(System::Uring(uring)), .. } = &mut *state else { return };
        let Some(slot) = slots.get_mut(key) else { return };
        // Paused or not, it is not to be armed again under this key.
        slot.paused = false;
        if slot.done || slot.cancel_sent || matches!(slot.kind, Kind::Pool | Kind::Waiting { .. }) {
            return;
        }
        slot.cancel_sent = true;
        uring.cancel(key.to_bits(), &self.counters);
    }
}

/// What [`Driver::let_go`] found.
pub(super) enum LetGo {
    /// The operation is the future's alone; here is the completion that nobody had taken.
    Free(Option<Cqe>),
    /// The kernel or the pool has it.
    Held,
}
