//! The operations in flight: one slot each, from its submission to its retirement.
//!
//! ```text
//!            submit                completion (final)            poll of the future
//!   (none) ---------> in flight --------------------> done ------------------------> retired
//!                      |  ^  |                                                          ^
//!           completion |  |  | the future is dropped                                    |
//!           with MORE  +--+  +-------------> abandoned --------------------------------+
//!                                            completion (final): decoded and dropped
//! ```
//!
//! Only the final completion of the operation itself retires a slot of the kernel's: a cancel
//! asks for it and no more. The key carries a generation, so that a completion that comes late
//! never meets another operation.

use std::mem;
use std::task::Waker;

use crate::buf::RecvBuf;
use crate::sys::ring::Cqe;
use crate::util::linked_slab::{Key, LinkedSlab, List};
use crate::util::unwind::shield;

/// An operation whose future is gone, boxed until its final completion.
pub(crate) trait Abandoned {
    /// Decodes every completion that had not been taken and drops what they brought.
    fn complete(self: Box<Self>, completions: &[Cqe]);
}

/// Who works on the operation of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The kernel, with one completion.
    Single,
    /// The same, and a device begins with it at once.
    Direct,
    /// The kernel, with many.
    Multi {
        /// So many waiting completions are followed by a cancel.
        queued_max: u32,
    },
    /// A thread of the pool.
    Pool,
}

pub(crate) struct Slot {
    pub(crate) kind: Kind,
    /// The final completion has come.
    pub(crate) done: bool,
    pub(crate) cancel_sent: bool,
    /// The driver cancelled it for back-pressure; the handle arms it again.
    pub(crate) paused: bool,
    pub(crate) waker: Option<Waker>,
    /// The result of a single one that is done, or of the first completion of a multishot that
    /// nobody has taken yet, with its flags.
    result: i32,
    flags: u32,
    /// The completions after the first, in `Slots::queued`.
    queue: List,
    /// How many there are, the first included.
    pub(crate) queue_len: u32,
    abandoned: Option<Box<dyn Abandoned>>,
}

impl Slot {
    /// The completion of a single operation, whose flags say nothing that anyone asks for, or the
    /// first of a multishot.
    #[inline(always)]
    fn completion(&self, key: Key) -> Cqe {
        Cqe { user_data: key.to_bits(), result: self.result, flags: self.flags }
    }

    // Neither is inlined: most completions are taken before the next one comes.
    /// Another completion comes before the first was taken.
    #[inline(never)]
    fn enqueue(&mut self, cqe: Cqe, queued: &mut LinkedSlab<Cqe>) {
        let key = queued.insert(cqe);
        queued.push_back(&mut self.queue, key);
    }

    /// The first has been taken, and the next takes its place.
    #[inline(never)]
    fn step_forward(&mut self, queued: &mut LinkedSlab<Cqe>) {
        let second = queued.pop_front(&mut self.queue).and_then(|second| queued.remove(second));
        let second = second.expect("a queued completion is there");
        (self.result, self.flags) = (second.result, second.flags);
    }
}

/// What is to be done after the borrow of the slots has ended, since it runs the user's code.
#[derive(Default)]
pub(crate) struct Effects {
    /// Tasks to wake.
    pub(crate) wakers: Vec<Waker>,
    /// Abandoned operations of one completion that have ended.
    pub(crate) ended: Vec<(Box<dyn Abandoned>, Cqe)>,
    /// Abandoned multishots that have ended.
    pub(crate) ended_multi: Vec<(Box<dyn Abandoned>, Vec<Cqe>)>,
    /// Buffers that nobody takes. Back in their group they wake who waits for one.
    pub(crate) unwanted: Vec<RecvBuf>,
}

impl Effects {
    /// Runs what a round has brought about. Code of the user's runs here, with nothing borrowed.
    pub(crate) fn run(&mut self) {
        for waker in self.wakers.drain(..) {
            shield(|| waker.wake());
        }
        for buffer in self.unwanted.drain(..) {
            shield(|| drop(buffer));
        }
        for (operation, completion) in self.ended.drain(..) {
            shield(|| operation.complete(&[completion]));
        }
        for (operation, completions) in self.ended_multi.drain(..) {
            shield(|| operation.complete(&completions));
        }
    }
}

/// What a completion calls for beyond [`Effects`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Completed {
    /// Nothing.
    Known,
    /// A multishot that was cancelled has ended. Its buffer, if it has one, goes back.
    Cancelled,
    /// The handle does not keep up: cancel the multishot.
    Pause,
    /// Not of any slot that is in use. Its buffer, if it has one, goes back.
    Unknown,
}

/// All slots of a driver.
pub(crate) struct Slots {
    slots: LinkedSlab<Slot>,
    queued: LinkedSlab<Cqe>,
    /// Slots whose memory the kernel or a thread of the pool may still use.
    in_flight: usize,
    /// Slots of kind `Direct`, those that have ended and await their task, too.
    for_device: u32,
}

impl Slots {
    pub(crate) fn new() -> Self {
        Slots { slots: LinkedSlab::new(), queued: LinkedSlab::new(), in_flight: 0, for_device: 0 }
    }

    /// How many slots are in use.
    pub(crate) fn in_use(&self) -> usize {
        self.slots.len()
    }

    /// How many of them the kernel or the pool works on.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Takes the wakers of all slots, for waking them.
    pub(crate) fn take_wakers(&mut self, wakers: &mut Vec<Waker>) {
        wakers.extend(self.slots.values_mut().filter_map(|slot| slot.waker.take()));
    }

    /// The operations of the kernel's whose futures are gone. Posted ones have had none.
    pub(crate) fn abandoned(&mut self) -> Vec<Key> {
        let keys = self.keys();
        keys.into_iter()
            .filter(|key| {
                let slot = self.slots.get_mut(*key).expect("its key was just listed");
                slot.abandoned.is_some() && slot.cancel_sent
            })
            .collect()
    }

    /// Whether there is one that was posted and is not to end early.
    pub(crate) fn any_posted(&mut self) -> bool {
        self.slots
            .values_mut()
            .any(|slot| slot.abandoned.is_some() && !slot.cancel_sent && slot.kind != Kind::Pool)
    }

    /// Operations for a device that are in flight, or have ended and await their task.
    pub(crate) fn for_device(&self) -> u32 {
        self.for_device
    }

    /// The keys of all slots in use.
    pub(crate) fn keys(&self) -> Vec<Key> {
        self.slots.keys().collect()
    }

    #[inline(always)]
    pub(crate) fn insert(&mut self, kind: Kind, waker: Option<Waker>) -> Key {
        self.insert_slot(kind, waker, None)
    }

    fn insert_slot(
        &mut self,
        kind: Kind,
        waker: Option<Waker>,
        abandoned: Option<Box<dyn Abandoned>>,
    ) -> Key {
        self.in_flight += 1;
        self.for_device += u32::from(kind == Kind::Direct);
        self.slots.insert(Slot {
            kind,
            done: false,
            cancel_sent: false,
            paused: false,
            waker,
            result: 0,
            flags: 0,
            queue: List::EMPTY,
            queue_len: 0,
            abandoned,
        })
    }

    /// One that nobody waits for from the beginning.
    pub(crate) fn insert_abandoned(&mut self, operation: Box<dyn Abandoned>) -> Key {
        self.insert_slot(Kind::Single, None, Some(operation))
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut Slot> {
        self.slots.get_mut(key)
    }

    /// A completion has come. Fills the slot it belongs to.
    #[inline]
    pub(crate) fn complete(&mut self, cqe: Cqe, effects: &mut Effects) -> Completed {
        let key = Key::from_bits(cqe.user_data);
        let Some(slot) = self.slots.get_mut(key) else { return Completed::Unknown };
        debug_assert!(!slot.done, "nothing comes after the final completion");
        let last = !cqe.more();
        if last {
            slot.done = true;
            self.in_flight -= 1;
        }
        let mut cancelled = false;
        match slot.kind {
            Kind::Single | Kind::Direct | Kind::Pool => slot.result = cqe.result,
            Kind::Multi { queued_max } => {
                // The end of a cancelled multishot is not an item, even if it carries a buffer.
                cancelled = slot.cancel_sent && cqe.result == -libc::ECANCELED;
                if last && !cancelled {
                    // It ended by itself, and how it ended may be for the handle to deal with (an
                    // empty buffer group, the end of the stream): not to be armed before that.
                    slot.paused = false;
                }
                if !cancelled {
                    if slot.queue_len == 0 {
                        (slot.result, slot.flags) = (cqe.result, cqe.flags);
                    } else {
                        slot.enqueue(cqe, &mut self.queued);
                    }
                    slot.queue_len += 1;
                }
                if slot.abandoned.is_none()
                    && !last
                    && !slot.cancel_sent
                    && slot.queue_len >= queued_max
                {
                    slot.paused = true;
                    effects.wakers.extend(slot.waker.take());
                    return Completed::Pause;
                }
            }
        }
        match slot.abandoned.is_some() {
            false => effects.wakers.extend(slot.waker.take()),
            true if last => self.end_abandoned(key, effects),
            true => {}
        }
        if cancelled { Completed::Cancelled } else { Completed::Known }
    }

    #[inline(never)]
    fn end_abandoned(&mut self, key: Key, effects: &mut Effects) {
        let mut slot = self.retire(key).expect("the caller has just looked it up");
        let abandoned = slot.abandoned.take().expect("the caller has looked");
        if !matches!(slot.kind, Kind::Multi { .. }) {
            return effects.ended.push((abandoned, slot.completion(key)));
        }
        let first = (slot.queue_len > 0).then(|| slot.completion(key));
        let mut completions: Vec<Cqe> = first.into_iter().collect();
        while let Some(queued) = self.queued.pop_front(&mut slot.queue) {
            completions.extend(self.queued.remove(queued));
        }
        effects.ended_multi.push((abandoned, completions));
    }

    /// Takes the completion of a single operation, which retires the slot. `None` while it is in
    /// flight.
    #[inline(always)]
    pub(crate) fn take(&mut self, key: Key) -> Option<Cqe> {
        let slot = self.slots.get_mut(key)?;
        if !slot.done {
            return None;
        }
        let cqe = slot.completion(key);
        self.for_device -= u32::from(slot.kind == Kind::Direct);
        // It has neither a waker nor an operation any more.
        self.slots.remove(key);
        Some(cqe)
    }

    /// Takes the first waiting completion of a multishot.
    #[inline]
    pub(crate) fn take_queued(&mut self, key: Key) -> Option<(Cqe, &mut Slot)> {
        let slot = self.slots.get_mut(key)?;
        slot.queue_len = slot.queue_len.checked_sub(1)?;
        let first = slot.completion(key);
        if !slot.queue.is_empty() {
            slot.step_forward(&mut self.queued);
        }
        Some((first, slot))
    }

    /// A multishot that had ended is in flight once more, under the same key.
    pub(crate) fn rearmed(&mut self, key: Key) {
        let slot = self.slots.get_mut(key).expect("an armed handle has a slot");
        debug_assert!(slot.done);
        slot.done = false;
        slot.cancel_sent = false;
        slot.paused = false;
        self.in_flight += 1;
    }

    /// Sets the waker of a slot that is in flight; the old one is to be dropped by the caller.
    #[must_use = "dropping a waker runs user code: not under the borrow"]
    pub(crate) fn set_waker(&mut self, key: Key, waker: Waker) -> Option<Waker> {
        self.slots.get_mut(key)?.waker.replace(waker)
    }

    /// Frees a slot, whatever its state.
    #[must_use = "dropping the waker runs user code: not under the borrow"]
    pub(crate) fn remove(&mut self, key: Key) -> Option<Slot> {
        let slot = self.retire(key)?;
        debug_assert!(slot.queue_len == 0, "completions are taken before the slot goes");
        self.in_flight -= usize::from(!slot.done);
        Some(slot)
    }

    #[inline]
    fn retire(&mut self, key: Key) -> Option<Slot> {
        let slot = self.slots.remove(key)?;
        self.for_device -= u32::from(slot.kind == Kind::Direct);
        Some(slot)
    }

    /// The future is gone; the slot owns the operation until its final completion.
    #[must_use = "dropping the waker runs user code: not under the borrow"]
    pub(crate) fn abandon(&mut self, key: Key, operation: Box<dyn Abandoned>) -> Option<Waker> {
        let slot = self.slots.get_mut(key).expect("an abandoned operation has a slot");
        debug_assert!(!slot.done && slot.abandoned.is_none());
        slot.abandoned = Some(operation);
        if slot.kind == Kind::Direct {
            // What nobody waits for any more is not what a device is to be kept busy with.
            slot.kind = Kind::Single;
            self.for_device -= 1;
        }
        mem::take(&mut slot.waker)
    }
}

#[cfg(test)]
mod tests;
