//! The kernel's side of a ring of provided buffers: it takes from the head what user space put at
//! the tail, in the memory that both share.

use super::state::{RingId, State};
use io_uring::types::BufRingEntry;
use std::sync::atomic::{AtomicU16, Ordering};

pub(super) struct BufferGroup {
    base: *mut BufRingEntry,
    entries: u16,
    /// How many were taken, modulo 2^16. User space never sees it.
    head: u16,
}

/// The buffer at the head of a group, not taken yet.
#[derive(Clone, Copy)]
pub(super) struct Offered {
    pub(super) address: u64,
    pub(super) len: u32,
    pub(super) id: u16,
}

impl BufferGroup {
    /// # Safety
    ///
    /// `base` points at `entries` entries, page aligned, that stay until the group is removed.
    pub(super) unsafe fn new(base: *mut BufRingEntry, entries: u16) -> Result<Self, i32> {
        if base.is_null() || !entries.is_power_of_two() || entries > 1 << 15 {
            return Err(libc::EINVAL);
        }
        if !base.addr().is_multiple_of(4096) {
            return Err(libc::EINVAL);
        }
        Ok(BufferGroup { base, entries, head: 0 })
    }

    fn tail(&self) -> u16 {
        // SAFETY: `new`'s caller vouches for the ring; its first entry is there.
        let tail = unsafe { BufRingEntry::tail(self.base) };
        // SAFETY: the tail is an aligned u16 in that memory, and both sides access it atomically.
        unsafe { AtomicU16::from_ptr(tail.cast_mut()) }.load(Ordering::Acquire)
    }

    fn entry(&self, position: u16) -> Offered {
        let index = usize::from(position & (self.entries - 1));
        // SAFETY: the index is below the number of entries that `new`'s caller vouches for.
        let entry = unsafe { self.base.add(index) };
        // SAFETY: an entry between head and tail was written by user space, and is not changed
        // until the head has passed it. The reference ends before anything else runs.
        let entry = unsafe { &*entry };
        Offered { address: entry.addr(), len: entry.len(), id: entry.bid() }
    }

    /// The next buffer, which stays where it is until `take`.
    ///
    /// # Panics
    ///
    /// If more buffers are offered than the ring has places, or one is offered twice: somebody
    /// would write into memory that somebody else reads, and no later check would find out who.
    fn offered(&self) -> Option<Offered> {
        let tail = self.tail();
        let count = tail.wrapping_sub(self.head);
        assert!(count <= self.entries, "{count} buffers in a ring of {} places", self.entries);
        if count == 0 {
            return None;
        }
        let first = self.entry(self.head);
        for ahead in 1..count {
            let other = self.entry(self.head.wrapping_add(ahead));
            assert!(other.id != first.id, "buffer {} was given to the ring twice", first.id);
        }
        Some(first)
    }
}

impl State {
    pub(super) fn offered_buffer(&self, ring: RingId, group: u16) -> Result<Offered, i32> {
        let group = self.rings.get(&ring).and_then(|ring| ring.groups.get(&group));
        group.and_then(BufferGroup::offered).ok_or(libc::ENOBUFS)
    }

    /// Takes the buffer that `offered_buffer` showed.
    pub(super) fn take_buffer(&mut self, ring: RingId, group: u16) {
        let group = self.rings.get_mut(&ring).and_then(|ring| ring.groups.get_mut(&group));
        let group = group.expect("a buffer of this group was offered just now");
        group.head = group.head.wrapping_add(1);
    }
}
