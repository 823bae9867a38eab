//! A part of an owned buffer.

use std::ops::{Bound, Deref, RangeBounds};

use super::{IoBuf, IoBufMut};

/// An owned buffer of which an operation sees only a part. Made by [`IoBuf::slice`].
#[derive(Clone, Debug)]
pub struct Slice<B> {
    buf: B,
    begin: usize,
    end: usize,
}

impl<B: IoBuf> Slice<B> {
    pub(super) fn new(buf: B, range: impl RangeBounds<usize>) -> Self {
        let begin = match range.start_bound() {
            Bound::Included(&begin) => begin,
            Bound::Excluded(&before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&last) => last.saturating_add(1),
            Bound::Excluded(&end) => end,
            Bound::Unbounded => usize::MAX,
        };
        assert!(begin <= end, "a slice from {begin} to {end} begins after its end");
        Slice { buf, begin, end }
    }

    /// The whole buffer again.
    pub fn into_inner(self) -> B {
        self.buf
    }

    /// The whole buffer, borrowed.
    pub fn whole(&self) -> &B {
        &self.buf
    }

    fn initialised(&self) -> usize {
        self.buf.bytes_len().min(self.end).saturating_sub(self.begin)
    }
}

impl<B: IoBuf> Deref for Slice<B> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        super::as_slice(self)
    }
}

// SAFETY: a part of a buffer's bytes stays where the buffer's bytes stay. Where the part begins
// beyond the initialised bytes, the pointer is clamped to them and the length is zero.
unsafe impl<B: IoBuf> IoBuf for Slice<B> {
    fn bytes_ptr(&self) -> *const u8 {
        let begin = self.begin.min(self.buf.bytes_len());
        // SAFETY: `begin` is within the initialised bytes.
        unsafe { self.buf.bytes_ptr().add(begin) }
    }

    fn bytes_len(&self) -> usize {
        self.initialised()
    }
}

// SAFETY: as above, with the capacity in the place of the length.
unsafe impl<B: IoBufMut> IoBufMut for Slice<B> {
    fn bytes_mut_ptr(&mut self) -> *mut u8 {
        let begin = self.begin.min(self.buf.capacity());
        // SAFETY: `begin` is within the buffer's memory.
        unsafe { self.buf.bytes_mut_ptr().add(begin) }
    }

    /// Zero where the slice begins beyond the initialised bytes: filling it would leave a gap of
    /// bytes that nobody wrote.
    fn capacity(&self) -> usize {
        if self.begin > self.buf.bytes_len() {
            return 0;
        }
        self.buf.capacity().min(self.end).saturating_sub(self.begin)
    }

    unsafe fn set_len(&mut self, len: usize) {
        if len == 0 && self.begin > self.buf.bytes_len() {
            return;
        }
        let whole = self.begin + len;
        if whole > self.buf.bytes_len() || self.end == usize::MAX {
            // SAFETY: the bytes before `begin` are initialised, since `begin` is within the
            // buffer's length, and the caller vouches for the `len` after them.
            unsafe { self.buf.set_len(whole) }
        }
    }
}
