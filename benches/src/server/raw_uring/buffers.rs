//! A ring of provided buffers: the kernel takes one at the moment data is there.

use std::alloc::{self, Layout};
use std::io;
use std::ptr::NonNull;
use std::slice;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::IoUring;
use io_uring::types::BufRingEntry;

/// The group that receives name.
pub(super) const GROUP: u16 = 0;

const PAGE: usize = 4096;

/// Buffers of one size. They live as long as the process: the loop that uses them never ends.
#[derive(Debug)]
pub(super) struct Buffers {
    entries: NonNull<BufRingEntry>,
    memory: NonNull<u8>,
    size: usize,
    mask: u16,
    tail: u16,
    /// Buffers that the kernel has filled and not got back.
    out: u16,
}

impl Buffers {
    /// Gives `count` (a power of two) buffers of `size` bytes to `ring`.
    pub(super) fn register(ring: &IoUring, count: u16, size: usize) -> io::Result<Self> {
        assert!(count.is_power_of_two(), "the kernel counts buffers with a mask");
        let mut buffers = Buffers {
            entries: pages(usize::from(count) * size_of::<BufRingEntry>()).cast(),
            memory: pages(usize::from(count) * size),
            size,
            mask: count - 1,
            tail: 0,
            out: count,
        };
        // SAFETY: the entries are whole pages of their own, and are never freed.
        unsafe {
            ring.submitter().register_buf_ring_with_flags(
                buffers.entries.as_ptr() as u64,
                count,
                GROUP,
                0,
            )?;
        }
        for index in 0..count {
            buffers.give(index);
        }
        Ok(buffers)
    }

    /// Gives a buffer back to the kernel.
    pub(super) fn give(&mut self, index: u16) {
        self.out -= 1;
        let start = self.start(index) as u64;
        // SAFETY: the masked index is within the entries, and the kernel reads an entry only
        // after the tail has passed it.
        let entry = unsafe { self.entries.add(usize::from(self.tail & self.mask)).as_mut() };
        entry.set_addr(start);
        entry.set_len(self.size as u32);
        entry.set_bid(index);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: `entries` is the address of the first entry.
        let tail = unsafe { BufRingEntry::tail(self.entries.as_ptr()) };
        // SAFETY: the tail is an aligned field of memory that is never freed, and is shared with
        // nobody but the kernel, which reads it atomically.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        // What was written to the entry is seen before the tail.
        tail.store(self.tail, Ordering::Release);
    }

    /// A completion has named a buffer.
    pub(super) fn taken(&mut self) {
        self.out += 1;
    }

    /// Whether a buffer is yet to come back.
    pub(super) fn are_out(&self) -> bool {
        self.out > 0
    }

    /// Bytes of one buffer.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// The first bytes of a buffer that the kernel has filled.
    pub(super) fn bytes(&self, index: u16, count: usize) -> &[u8] {
        assert!(count <= self.size, "the kernel fills no more than a buffer");
        // SAFETY: so many bytes belong to the buffer, which was filled, at first with zeros, and
        // is not the kernel's until it is given back.
        unsafe { slice::from_raw_parts(self.start(index), count) }
    }

    /// Where a buffer begins.
    fn start(&self, index: u16) -> *const u8 {
        assert!(index <= self.mask, "the kernel names only buffers that it was given");
        // SAFETY: the index is below the count, so the result is within the memory.
        unsafe { self.memory.add(usize::from(index) * self.size).as_ptr() }
    }
}

/// Whole pages of zeros, never freed.
fn pages(bytes: usize) -> NonNull<u8> {
    let layout = Layout::from_size_align(bytes.next_multiple_of(PAGE), PAGE)
        .expect("a few megabytes at most");
    // SAFETY: the size is a multiple of a page above zero.
    let start = unsafe { alloc::alloc_zeroed(layout) };
    NonNull::new(start).unwrap_or_else(|| alloc::handle_alloc_error(layout))
}
