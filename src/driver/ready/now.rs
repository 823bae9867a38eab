//! The plain call, made at once, and what its answer teaches of the descriptor.

use std::io;

use super::super::metrics::count;
use super::super::operation::{Call, Direction, Held, Waits};
use super::Ready;
use crate::sys::call::SysCall;
use crate::sys::ring::Cqe;
use crate::util::linked_slab::Key;

impl Ready {
    /// Makes a call at once. `None` if its descriptor is not ready, known or heard.
    #[inline(always)]
    pub(in super::super) fn now<C: Call>(&self, call: &mut C) -> Option<io::Result<u32>> {
        if let Some((fd, direction)) = call.waits().descriptor()
            && (direction == Direction::Read || !self.tells_once)
            && let Some(key) = fd.registration(self)
            && !self.may_be_ready(key, direction)
        {
            return None;
        }
        self.now_called(call)
    }

    /// Makes a call at once whose descriptor has become ready, whatever else is known of it.
    #[inline(always)]
    pub(in super::super) fn now_called<C: Call>(&self, call: &mut C) -> Option<io::Result<u32>> {
        let answer = self.attempt(call);
        if answer.is_none() {
            self.learn_refusal(&call.waits());
        }
        answer
    }

    /// Makes a call and takes no note of its answer. `None` if it was refused.
    #[inline(always)]
    pub(crate) fn attempt<C: Call>(&self, call: &mut C) -> Option<io::Result<u32>> {
        if let Err(error) = hold(&call.waits()) {
            return Some(Err(error));
        }
        // SAFETY: `Call` promises valid pointers, and the call is borrowed meanwhile.
        let result = unsafe { self.make(call.call()) };
        let polls = matches!(call.waits(), Waits::Polled { .. });
        if result < 0 || (polls && result == 0) {
            return self.not_done(call, result);
        }
        Some(Ok(result as u32))
    }

    /// What an answer means that is no count.
    #[cold]
    fn not_done<C: Call>(&self, call: &mut C, result: i32) -> Option<io::Result<u32>> {
        let mut result = result;
        let waits = call.waits();
        if waits.held() == Held::AsStream
            && waits.descriptor().is_some_and(|(fd, _)| fd.gives_up_flag(-result))
        {
            // SAFETY: as above.
            result = unsafe { self.make(call.call()) };
        }
        if call.waits().refused(result) {
            count(&self.counters.would_block);
            return None;
        }
        Some(Cqe { user_data: 0, result, flags: 0 }.outcome())
    }

    /// Makes the call, again if a signal interrupts it.
    ///
    /// # Safety
    ///
    /// As for [`SysCall::run`].
    #[inline(always)]
    unsafe fn make(&self, call: SysCall) -> i32 {
        loop {
            count(&self.counters.attempts);
            // SAFETY: the caller vouches for the arguments.
            let result = unsafe { call.run() };
            if result != -libc::EINTR {
                return result;
            }
        }
    }

    /// Whether a call may hear something else than EAGAIN.
    #[inline(always)]
    fn may_be_ready(&self, registration: Key, direction: Direction) -> bool {
        let mut state = self.state.borrow_mut();
        let known = state.registrations.get_mut(registration);
        known.is_none_or(|known| known.is_ready(direction))
    }

    #[cold]
    fn learn_refusal(&self, waits: &Waits<'_>) {
        if let Some((fd, direction)) = waits.descriptor()
            && let Some(key) = fd.registration(self)
        {
            self.refused(key, direction);
        }
    }

    /// A call was refused with EAGAIN.
    #[cold]
    pub(super) fn refused(&self, registration: Key, direction: Direction) {
        if let Some(known) = self.state.borrow_mut().registrations.get_mut(registration) {
            known.refused(direction);
        }
    }
}

/// Sets the mode of the file, where nothing else keeps the call from waiting.
#[inline(always)]
fn hold(waits: &Waits<'_>) -> io::Result<()> {
    match (waits.held(), waits.descriptor()) {
        (Held::ByMode, Some((fd, _))) => fd.set_nonblocking(true),
        (Held::AsStream, Some((fd, _))) if !fd.calls_by_flag() => fd.set_nonblocking(true),
        _ => Ok(()),
    }
}
