//! The buffer group: memory from which the kernel picks a buffer at the moment data is there.
//!
//! An idle connection holds no buffer. The group is bounded; a connection that finds it empty
//! waits in line (`line.rs`) and watches its socket meanwhile: data that comes before a buffer does
//! is received into other memory. See `io_uring_register_buf_ring(3)`, kernel
//! 5.19.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::cell::{Cell, RefCell};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;

use super::line::Line;

/// The buffers of a shard, and the ring through which the kernel gets them.
pub(crate) struct BufferGroup {
    entries: NonNull<BufRingEntry>,
    buffers: NonNull<u8>,
    count: u16,
    buffer_size: u32,
    /// Our side of the ring: how many buffers were ever handed to the kernel, wrapping.
    tail: Cell<u16>,
    /// Buffers that the kernel does not have: in completions that wait, or with users.
    out: Cell<u16>,
    pub(super) line: RefCell<Line>,
}

/// Page alignment, as the kernel asks for the ring of buffers.
const PAGE: usize = 4096;

impl BufferGroup {
    /// A group of `count` buffers (a power of two, at most 32,768) of `buffer_size` bytes, all of
    /// them in the ring but not yet known to a kernel. `None` if there is not so much memory.
    pub(crate) fn new(count: u16, buffer_size: u32) -> Option<Self> {
        assert!(count.is_power_of_two() && count <= 1 << 15, "a power of two up to 32768");
        assert!(buffer_size > 0, "buffers hold at least one byte");
        let buffers_layout = Self::buffers_layout(count, buffer_size)?;
        let buffers = allocate(buffers_layout)?;
        let Some(entries) = allocate(Self::entries_layout(count)) else {
            // SAFETY: `allocate` returned it for this layout, and no other pointer to it exists.
            unsafe { dealloc(buffers.as_ptr(), buffers_layout) };
            return None;
        };
        let group = BufferGroup {
            entries: entries.cast(),
            buffers,
            count,
            buffer_size,
            tail: Cell::new(0),
            out: Cell::new(count),
            line: RefCell::new(Line::new()),
        };
        for id in 0..count {
            group.hand_over(id);
        }
        Some(group)
    }

    fn entries_layout(count: u16) -> Layout {
        Layout::from_size_align(usize::from(count) * size_of::<BufRingEntry>(), PAGE)
            .expect("at most 32768 entries of 16 bytes")
    }

    /// `None` if the address space has no room for it.
    fn buffers_layout(count: u16, buffer_size: u32) -> Option<Layout> {
        let size = usize::from(count).checked_mul(buffer_size as usize)?;
        Layout::from_size_align(size, PAGE).ok()
    }

    /// Where the ring of entries is, for registering it.
    pub(crate) fn entries(&self) -> *mut BufRingEntry {
        self.entries.as_ptr()
    }

    /// How many buffers there are.
    pub(crate) fn count(&self) -> u16 {
        self.count
    }

    /// Bytes in each.
    pub(crate) fn buffer_size(&self) -> usize {
        self.buffer_size as usize
    }

    /// Buffers that the kernel has.
    pub(super) fn free(&self) -> usize {
        usize::from(self.count.saturating_sub(self.out.get()))
    }

    /// Buffers in completions that wait, or with users.
    pub(crate) fn out(&self) -> usize {
        usize::from(self.out.get())
    }

    pub(super) fn buffer_ptr(&self, id: u16) -> *const u8 {
        debug_assert!(id < self.count);
        // SAFETY: the memory holds `count` buffers, and the kernel names only ids it was given.
        unsafe { self.buffers.as_ptr().add(usize::from(id) * self.buffer_size as usize) }
    }

    /// Notes that a completion carried a buffer away from the kernel.
    #[inline]
    pub(crate) fn taken(&self) {
        self.out.set(self.out.get() + 1);
    }

    /// Takes a buffer back, and calls the first in line.
    #[inline]
    pub(crate) fn give_back(&self, id: u16) {
        self.hand_over(id);
        if !self.line.borrow().is_empty() {
            self.call();
        }
    }

    /// Writes the buffer's entry and makes it visible to the kernel.
    #[inline]
    fn hand_over(&self, id: u16) {
        let tail = self.tail.get();
        let index = usize::from(tail & (self.count - 1));
        // SAFETY: the index is within the ring. The kernel reads this entry only after the store
        // of the tail below; before, the entry is ours alone. The tail itself overlays the
        // reserved bytes of entry 0, which the three setters do not touch.
        let entry = unsafe { &mut *self.entries.as_ptr().add(index) };
        entry.set_addr(self.buffer_ptr(id) as u64);
        entry.set_len(self.buffer_size);
        entry.set_bid(id);
        let tail = tail.wrapping_add(1);
        self.tail.set(tail);
        // SAFETY: the memory of the tail belongs to the ring and lives as long as the group; it is
        // accessed atomically by both sides.
        let shared =
            unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.entries.as_ptr()).cast_mut()) };
        shared.store(tail, Ordering::Release);
        self.out.set(self.out.get() - 1);
    }
}

impl Drop for BufferGroup {
    fn drop(&mut self) {
        let buffers_layout = Self::buffers_layout(self.count, self.buffer_size);
        let buffers_layout = buffers_layout.expect("it was allocated with this layout");
        // SAFETY: both were allocated in `new` with these layouts. The driver keeps the group
        // alive for as long as the kernel may use it (a group that cannot be drained is leaked).
        unsafe {
            dealloc(self.entries.as_ptr().cast(), Self::entries_layout(self.count));
            dealloc(self.buffers.as_ptr(), buffers_layout);
        }
    }
}

fn allocate(layout: Layout) -> Option<NonNull<u8>> {
    // SAFETY: every caller's layout has a size above zero.
    NonNull::new(unsafe { alloc_zeroed(layout) })
}
