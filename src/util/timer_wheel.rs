//! A hierarchical timer wheel: what to wake, and when.
//!
//! Time is cut into ticks of 2^16 ns (about 65 µs). Eight levels of 64 slots cover 2^48 ticks, that
//! is 2^64 ns or 584 years from the wheel's origin. A timer sits in the level of the highest 6-bit
//! digit in which its tick differs from the present one, and in the slot of that digit:
//!
//! ```text
//! level 0: 64 slots of 1 tick          level 1: 64 slots of 64 ticks          ... level 7
//! ```
//!
//! When the present reaches a slot of a level above 0, the slot's timers cascade: each moves to the
//! level of the next digit that differs. So a timer moves at most seven times in its life, and the
//! first occupied slot of the first occupied level comes due before any timer fires.
//!
//! Most timers are limits that do not pass: each is removed early, and soon one with a later deadline
//! is armed. So a timer that is removed leaves its place in the slot, without the value, and the next
//! one takes it over. When the slot comes due, that one cascades to where its own deadline belongs;
//! until then a deadline that is only pushed out is written down and nothing else. Places are kept in
//! the levels from 2 on, whose slots begin at multiples of 268 ms, and all of them are given up when
//! one of these slots comes due: they bring `expire` on for nothing once at most.
//!
//! A timer never fires early; it may fire up to one tick late. A deadline further away than the
//! wheel reaches never fires. The wheel never runs user code: it moves values out, and the caller
//! wakes or drops them.

use std::time::{Duration, Instant};

use super::linked_slab::{Key, LinkedSlab, List};

/// Timers of one shard, each carrying a value (in practice a waker).
#[derive(Debug)]
pub(crate) struct TimerWheel<T> {
    origin: Instant,
    /// The tick up to which timers have been expired. Every timer in a slot has a tick that is not
    /// below it and sits in the slot that this tick, or an earlier one, gives it.
    elapsed: u64,
    timers: LinkedSlab<Timer<T>>,
    /// Places that removed timers have left, at most `KEPT_MAX`.
    kept: Vec<Key>,
    /// `LEVELS * SLOTS` lists; those of level 0 come first.
    slots: Box<[List]>,
    /// One bit for each slot that holds a timer.
    occupied: [u64; LEVELS],
}

/// Names one timer. It goes stale when the timer fires or is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerKey(Key);

#[derive(Debug)]
struct Timer<T> {
    deadline: Instant,
    /// The slot it is in, that of the deadline or an earlier one. `None` for a timer that is beyond
    /// the wheel's reach.
    slot: Option<Slot>,
    /// `None` in a place that is kept.
    value: Option<T>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    level: u8,
    index: u8,
}

impl<T> TimerWheel<T> {
    /// An empty wheel that counts its ticks from `now`.
    pub(crate) fn new(now: Instant) -> Self {
        TimerWheel {
            origin: now,
            elapsed: 0,
            timers: LinkedSlab::new(),
            kept: Vec::new(),
            slots: std::iter::repeat_with(|| List::EMPTY).take(LEVELS * SLOTS).collect(),
            occupied: [0; LEVELS],
        }
    }

    /// How many timers are armed.
    pub(crate) fn len(&self) -> usize {
        self.timers.len() - self.kept.len()
    }

    /// Arms a timer. One whose deadline has passed fires with the next `expire`.
    #[inline(always)]
    pub(crate) fn insert(&mut self, deadline: Instant, value: T) -> TimerKey {
        let Some(key) = self.kept.pop() else { return self.insert_anew(deadline, value) };
        let timer = self.timers.get_mut(key).expect("a kept place is in the slab");
        timer.value = Some(value);
        let earlier = std::mem::replace(&mut timer.deadline, deadline);
        let slot = timer.slot.expect("a kept place is in a slot");
        // The slot comes due in time for the deadline it had, and so for every later one.
        if deadline < earlier && deadline < self.moment(self.beginning(slot)) {
            self.unlink(key);
            self.link(key);
        }
        TimerKey(key)
    }

    fn insert_anew(&mut self, deadline: Instant, value: T) -> TimerKey {
        let key = self.timers.insert(Timer { deadline, slot: None, value: Some(value) });
        self.link(key);
        TimerKey(key)
    }

    /// Disarms a timer and gives its value back, or `None` if it has fired or was removed.
    #[inline]
    pub(crate) fn remove(&mut self, TimerKey(key): TimerKey) -> Option<T> {
        let timer = self.timers.get_mut(key)?;
        let value = timer.value.take();
        let is_far = timer.slot.is_some_and(|slot| slot.level >= KEPT_LEVEL_MIN);
        if is_far
            && self.kept.len() < KEPT_MAX
            && let Some(key) = self.timers.rename(key)
        {
            self.kept.push(key);
        } else {
            self.take_out(key);
        }
        value
    }

    /// The value of an armed timer, or `None` if it has fired or was removed.
    pub(crate) fn get_mut(&mut self, key: TimerKey) -> Option<&mut T> {
        self.timers.get_mut(key.0)?.value.as_mut()
    }

    /// Takes the values of all timers and leaves others in their places.
    pub(crate) fn take_values(&mut self, mut other: impl FnMut() -> T, out: &mut Vec<T>) {
        let values = self.timers.values_mut().filter_map(|timer| timer.value.as_mut());
        out.extend(values.map(|value| std::mem::replace(value, other())));
    }

    /// When `expire` should be called next: the moment the earliest timer may fire, or earlier when
    /// its slot has to cascade first, or a place is kept in an earlier one. Never later. `None` if
    /// nothing will ever fire.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        if self.len() == 0 {
            return None;
        }
        let (_, tick) = self.first_occupied()?;
        Some(self.moment(tick))
    }

    /// Moves the values of all timers whose time has come to the end of `out`, in the order of
    /// their ticks, and those of one tick in the order of their insertion, unless some have taken
    /// over places.
    pub(crate) fn expire(&mut self, now: Instant, out: &mut Vec<T>) {
        // Rounded down, since a tick counts only when it has begun.
        let present = self.nanoseconds(now).map_or(TICKS - 1, |nanos| nanos >> TICK_BITS);
        while let Some((slot, tick)) = self.first_occupied() {
            if tick > present {
                break;
            }
            self.elapsed = self.elapsed.max(tick);
            if slot.level >= KEPT_LEVEL_MIN {
                self.give_up_kept();
            }
            self.occupied[usize::from(slot.level)] &= !(1 << slot.index);
            let mut list = std::mem::replace(&mut self.slots[slot.position()], List::EMPTY);
            while let Some(key) = self.timers.pop_front(&mut list) {
                if slot.level == 0 {
                    out.extend(self.timers.remove(key).and_then(|timer| timer.value));
                } else {
                    self.link(key);
                }
            }
        }
        // No occupied slot begins before the tick after `present`, so every timer stays in the
        // level that the new tick gives it.
        self.elapsed = self.elapsed.max(present);
    }

    /// Puts a timer, which must be in no slot, into the one of its deadline.
    fn link(&mut self, key: Key) {
        let deadline = self.timers.get(key).expect("a timer is linked while armed").deadline;
        // Rounded up, so that the tick begins at the deadline or later: never early.
        let slot = self.nanoseconds(deadline).map(|nanoseconds| {
            let tick = nanoseconds.div_ceil(1 << TICK_BITS).max(self.elapsed);
            Slot::of(tick, self.elapsed)
        });
        self.timers.get_mut(key).expect("a timer is linked while armed").slot = slot;
        // A timer beyond the reach stays out of the slots: it can only be removed.
        if let Some(slot) = slot {
            self.timers.push_back(&mut self.slots[slot.position()], key);
            self.occupied[usize::from(slot.level)] |= 1 << slot.index;
        }
    }

    /// Takes a timer out of its slot, if it is in one.
    fn unlink(&mut self, key: Key) {
        let Some(slot) = self.timers.get(key).and_then(|timer| timer.slot) else { return };
        let list = &mut self.slots[slot.position()];
        self.timers.unlink(list, key);
        if list.is_empty() {
            self.occupied[usize::from(slot.level)] &= !(1 << slot.index);
        }
    }

    /// Ends a timer without a value, or the place of one.
    fn take_out(&mut self, key: Key) {
        self.unlink(key);
        self.timers.remove(key);
    }

    fn give_up_kept(&mut self) {
        while let Some(key) = self.kept.pop() {
            self.take_out(key);
        }
    }

    /// The slot that comes due first, and the tick at which it begins.
    fn first_occupied(&self) -> Option<(Slot, u64)> {
        // Timers of one level agree with `elapsed` in all higher digits and are at or above it in
        // their own, so no slot before the present one is occupied: the first set bit is next.
        let level = self.occupied.iter().position(|&slots| slots != 0)?;
        let index = self.occupied[level].trailing_zeros();
        let slot = Slot { level: level as u8, index: index as u8 };
        Some((slot, self.beginning(slot)))
    }

    /// The tick at which an occupied slot begins.
    fn beginning(&self, slot: Slot) -> u64 {
        let shift = u32::from(slot.level) * DIGIT_BITS;
        let higher_digits = self.elapsed >> (shift + DIGIT_BITS) << (shift + DIGIT_BITS);
        higher_digits | u64::from(slot.index) << shift
    }

    /// The moment at which a tick begins.
    fn moment(&self, tick: u64) -> Instant {
        let since_origin = Duration::from_nanos(tick << TICK_BITS);
        self.origin.checked_add(since_origin).expect("the clock is centuries from its end")
    }

    /// Nanoseconds since the origin (0 for a moment before it), or `None` if the wheel does not
    /// reach that far.
    fn nanoseconds(&self, moment: Instant) -> Option<u64> {
        let since_origin = moment.saturating_duration_since(self.origin).as_nanos();
        u64::try_from(since_origin).ok().filter(|&nanos| nanos <= REACH_NANOSECONDS)
    }
}

impl Slot {
    /// Where a timer of `tick` belongs while `elapsed` is the present tick.
    fn of(tick: u64, elapsed: u64) -> Slot {
        // The lowest digit is set so that equal ticks give level 0.
        let differing = (tick ^ elapsed) | (SLOTS as u64 - 1);
        let level = differing.ilog2() / DIGIT_BITS;
        let index = (tick >> (level * DIGIT_BITS)) & (SLOTS as u64 - 1);
        Slot { level: level as u8, index: index as u8 }
    }

    fn position(self) -> usize {
        usize::from(self.level) * SLOTS + usize::from(self.index)
    }
}

/// A tick is 2^16 ns: finer than any wake of the kernel arrives, coarse enough that a second is
/// three levels and not five.
const TICK_BITS: u32 = 16;

/// Six bits to a digit, so that the occupied slots of a level are one `u64`.
const DIGIT_BITS: u32 = 6;
const SLOTS: usize = 1 << DIGIT_BITS;
const LEVELS: usize = 8;

/// Places are kept from this level on. A place in a nearer slot would come due before enough timers
/// have taken it over to pay for a shard that wakes for nothing.
const KEPT_LEVEL_MIN: u8 = 2;

/// Places that are kept at a time: as many as a round of the shard has polls, since all the tasks of
/// a round may drop a timer before the next round arms one for each.
const KEPT_MAX: usize = 128;

/// Eight levels of six bits and a tick of sixteen make the 64 bits of a nanosecond count.
const TICKS: u64 = 1 << (LEVELS as u32 * DIGIT_BITS);
const REACH_NANOSECONDS: u64 = (TICKS - 1) << TICK_BITS;

#[cfg(test)]
mod tests;
