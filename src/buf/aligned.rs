//! A buffer at an aligned address, as O_DIRECT asks for.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use super::{IoBuf, IoBufMut};

/// A buffer of fixed capacity whose address is a multiple of its alignment.
///
/// Files opened with `O_DIRECT` want address, length and offset aligned; `statx(2)` tells to what
/// (`STATX_DIOALIGN`), and 4096 suits nearly every disk.
pub struct AlignedBuf {
    ptr: NonNull<u8>,
    layout: Layout,
    len: usize,
}

impl AlignedBuf {
    /// A buffer of length 0 with room for `capacity` bytes, at an address that is a multiple of
    /// `alignment` bytes. The memory is zeroed.
    ///
    /// # Panics
    ///
    /// If `alignment` is not a power of two, or `capacity` is 0 or close to `isize::MAX`.
    pub fn new(capacity: usize, alignment: usize) -> Self {
        assert!(capacity > 0, "an aligned buffer needs room for at least one byte");
        let layout = Layout::from_size_align(capacity, alignment)
            .expect("the alignment is a power of two and the capacity below isize::MAX");
        // SAFETY: the layout's size is not zero, as asserted.
        let ptr = unsafe { alloc_zeroed(layout) };
        let Some(ptr) = NonNull::new(ptr) else { handle_alloc_error(layout) };
        AlignedBuf { ptr, layout, len: 0 }
    }

    /// A buffer that holds a copy of `bytes`, with room for `bytes.len()` rounded up to a multiple
    /// of `alignment`.
    ///
    /// # Panics
    ///
    /// As [`new`](Self::new), and if `bytes` is empty.
    pub fn copied_from(bytes: &[u8], alignment: usize) -> Self {
        let mut buf = AlignedBuf::new(bytes.len().next_multiple_of(alignment), alignment);
        super::fill(&mut buf, 0..usize::MAX, bytes);
        buf
    }

    /// The alignment in bytes.
    pub fn alignment(&self) -> usize {
        self.layout.align()
    }

    /// Sets the length; bytes that were never written are zero.
    ///
    /// # Panics
    ///
    /// If `len` is greater than the capacity.
    pub fn resize(&mut self, len: usize) {
        assert!(len <= self.layout.size(), "length {len} is over the buffer's capacity");
        self.len = len;
    }
}

impl Drop for AlignedBuf {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with the same layout, and freed only here.
        unsafe { dealloc(self.ptr.as_ptr(), self.layout) }
    }
}

// SAFETY: the buffer owns its memory as a vector does.
unsafe impl Send for AlignedBuf {}
// SAFETY: shared access only reads.
unsafe impl Sync for AlignedBuf {}

// SAFETY: the bytes are on the heap, all initialised (zeroed in `new`).
unsafe impl IoBuf for AlignedBuf {
    fn bytes_ptr(&self) -> *const u8 {
        self.ptr.as_ptr()
    }

    fn bytes_len(&self) -> usize {
        self.len
    }
}

// SAFETY: as above; the capacity is the size of the allocation.
unsafe impl IoBufMut for AlignedBuf {
    fn bytes_mut_ptr(&mut self) -> *mut u8 {
        self.ptr.as_ptr()
    }

    fn capacity(&self) -> usize {
        self.layout.size()
    }

    unsafe fn set_len(&mut self, len: usize) {
        self.len = len;
    }
}

impl Deref for AlignedBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        super::as_slice(self)
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: the first `len` bytes are initialised and borrowed mutably with `self`.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.as_ptr(), self.len) }
    }
}

impl fmt::Debug for AlignedBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlignedBuf")
            .field("len", &self.len)
            .field("capacity", &self.layout.size())
            .field("alignment", &self.layout.align())
            .finish()
    }
}
