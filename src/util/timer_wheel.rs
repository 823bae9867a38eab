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
//! first occupied slot of the first occupied level always holds the earliest timer.
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
    /// below it and sits in the level that this tick gives it.
    elapsed: u64,
    timers: LinkedSlab<Timer<T>>,
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
    /// The first tick at which the timer may fire.
    tick: u64,
    /// The slot it is in, `None` for one that is beyond the wheel's reach.
    slot: Option<Slot>,
    value: T,
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
            slots: std::iter::repeat_with(|| List::EMPTY).take(LEVELS * SLOTS).collect(),
            occupied: [0; LEVELS],
        }
    }

    /// How many timers are armed.
    pub(crate) fn len(&self) -> usize {
        self.timers.len()
    }

    /// Arms a timer. One whose deadline has passed fires with the next `expire`.
    pub(crate) fn insert(&mut self, deadline: Instant, value: T) -> TimerKey {
        // Rounded up, so that the tick begins at the deadline or later: never early.
        let tick = match self.nanoseconds(deadline) {
            Some(nanoseconds) => nanoseconds.div_ceil(1 << TICK_BITS).max(self.elapsed),
            None => TICKS,
        };
        let key = self.timers.insert(Timer { tick, slot: None, value });
        // A timer beyond the reach stays out of the slots: it can only be removed.
        if tick < TICKS {
            self.link(key, tick);
        }
        TimerKey(key)
    }

    /// Disarms a timer and gives its value back, or `None` if it has fired or was removed.
    pub(crate) fn remove(&mut self, key: TimerKey) -> Option<T> {
        if let Some(slot) = self.timers.get(key.0)?.slot {
            let list = &mut self.slots[slot.position()];
            self.timers.unlink(list, key.0);
            if list.is_empty() {
                self.occupied[usize::from(slot.level)] &= !(1 << slot.index);
            }
        }
        self.timers.remove(key.0).map(|timer| timer.value)
    }

    /// The value of an armed timer, or `None` if it has fired or was removed.
    pub(crate) fn get_mut(&mut self, key: TimerKey) -> Option<&mut T> {
        self.timers.get_mut(key.0).map(|timer| &mut timer.value)
    }

    /// Takes the values of all timers and leaves others in their places.
    pub(crate) fn take_values(&mut self, mut other: impl FnMut() -> T, out: &mut Vec<T>) {
        out.extend(
            self.timers.values_mut().map(|timer| std::mem::replace(&mut timer.value, other())),
        );
    }

    /// When `expire` should be called next: the moment the earliest timer may fire, or earlier when
    /// its slot has to cascade first. Never later. `None` if nothing will ever fire.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let (_, tick) = self.first_occupied()?;
        let since_origin = Duration::from_nanos(tick << TICK_BITS);
        Some(self.origin.checked_add(since_origin).expect("the clock is centuries from its end"))
    }

    /// Moves the values of all timers whose time has come to the end of `out`, in the order of
    /// their ticks, and those of one tick in the order of their insertion.
    pub(crate) fn expire(&mut self, now: Instant, out: &mut Vec<T>) {
        // Rounded down, since a tick counts only when it has begun.
        let present = self.nanoseconds(now).map_or(TICKS - 1, |nanos| nanos >> TICK_BITS);
        while let Some((slot, tick)) = self.first_occupied() {
            if tick > present {
                break;
            }
            self.elapsed = self.elapsed.max(tick);
            self.occupied[usize::from(slot.level)] &= !(1 << slot.index);
            let mut list = std::mem::replace(&mut self.slots[slot.position()], List::EMPTY);
            while let Some(key) = self.timers.pop_front(&mut list) {
                if slot.level == 0 {
                    out.extend(self.timers.remove(key).map(|timer| timer.value));
                } else {
                    let timer = self.timers.get(key).expect("a linked timer is armed");
                    self.link(key, timer.tick);
                }
            }
        }
        // No occupied slot begins before the tick after `present`, so every timer stays in the
        // level that the new tick gives it.
        self.elapsed = self.elapsed.max(present);
    }

    fn link(&mut self, key: Key, tick: u64) {
        debug_assert!(tick >= self.elapsed && tick < TICKS, "the tick is within the wheel's reach");
        let slot = Slot::of(tick, self.elapsed);
        self.timers.get_mut(key).expect("a timer is linked while armed").slot = Some(slot);
        self.timers.push_back(&mut self.slots[slot.position()], key);
        self.occupied[usize::from(slot.level)] |= 1 << slot.index;
    }

    /// The slot that comes due first, and the tick at which it begins.
    fn first_occupied(&self) -> Option<(Slot, u64)> {
        // Timers of one level agree with `elapsed` in all higher digits and are at or above it in
        // their own, so no slot before the present one is occupied: the first set bit is next.
        let level = self.occupied.iter().position(|&slots| slots != 0)?;
        let index = self.occupied[level].trailing_zeros();
        let shift = level as u32 * DIGIT_BITS;
        let higher_digits = self.elapsed >> (shift + DIGIT_BITS) << (shift + DIGIT_BITS);
        let tick = higher_digits | u64::from(index) << shift;
        Some((Slot { level: level as u8, index: index as u8 }, tick))
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

/// Eight levels of six bits and a tick of sixteen make the 64 bits of a nanosecond count.
const TICKS: u64 = 1 << (LEVELS as u32 * DIGIT_BITS);
const REACH_NANOSECONDS: u64 = (TICKS - 1) << TICK_BITS;

#[cfg(test)]
mod tests;
