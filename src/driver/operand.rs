//! Blocks for what the kernel reads or writes beside a buffer: an address, a header, a path.
//!
//! An operation is moved while it is in flight, so these stand on the heap; they come from a free
//! list of the thread, so that in steady state none is allocated.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::RefCell;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// A `T` at an address of its own.
pub(crate) struct Operand<T> {
    block: NonNull<u8>,
    owns: PhantomData<T>,
}

/// Room for the largest operand, a `statx` of 256 bytes beside its path.
const BLOCK: Layout = match Layout::from_size_align(320, 16) {
    Ok(layout) => layout,
    Err(_) => panic!("the alignment is a power of two"),
};

/// So many free blocks are kept.
const FREE_MAX: usize = 256;

struct FreeBlocks(Vec<NonNull<u8>>);

thread_local! {
    static FREE: RefCell<FreeBlocks> = const { RefCell::new(FreeBlocks(Vec::new())) };
}

impl<T> Operand<T> {
    pub(crate) fn new(value: T) -> Self {
        const { assert!(size_of::<T>() <= BLOCK.size() && align_of::<T>() <= BLOCK.align()) };
        let free = FREE.try_with(|free| free.borrow_mut().0.pop()).ok().flatten();
        let block = free.unwrap_or_else(|| {
            // SAFETY: the layout's size is not zero.
            let block = unsafe { alloc(BLOCK) };
            NonNull::new(block).unwrap_or_else(|| handle_alloc_error(BLOCK))
        });
        // SAFETY: the block is ours, large enough and aligned, as asserted above.
        unsafe { block.cast::<T>().write(value) };
        Operand { block, owns: PhantomData }
    }

    /// Where the value is, for the kernel.
    pub(crate) fn as_mut_ptr(&mut self) -> *mut T {
        self.block.as_ptr().cast()
    }
}

impl<T> Deref for Operand<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: `new` wrote a value there, and it is borrowed with `self`.
        unsafe { self.block.cast().as_ref() }
    }
}

impl<T> DerefMut for Operand<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, exclusively.
        unsafe { self.block.cast().as_mut() }
    }
}

impl<T> Drop for Operand<T> {
    fn drop(&mut self) {
        // SAFETY: the value was written in `new` and is dropped only here.
        unsafe { self.block.cast::<T>().drop_in_place() };
        let kept = FREE.try_with(|free| {
            let free = &mut free.borrow_mut().0;
            let keep = free.len() < FREE_MAX;
            if keep {
                free.push(self.block);
            }
            keep
        });
        if !kept.unwrap_or(false) {
            // SAFETY: allocated with this layout; nobody else has the block.
            unsafe { dealloc(self.block.as_ptr(), BLOCK) };
        }
    }
}

impl Drop for FreeBlocks {
    fn drop(&mut self) {
        for block in self.0.drain(..) {
            // SAFETY: allocated with this layout; a block in the list is nobody's.
            unsafe { dealloc(block.as_ptr(), BLOCK) };
        }
    }
}
