//! The buffers that a shard lends for receiving by notification: the one that was given back last
//! is lent first, since it is the one that is still in the cache.

use std::cell::{Cell, RefCell};
use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use super::RecvBuf;

/// A last-in, first-out stock of large receive buffers.
///
/// A buffer is larger than the usual message, so that a short receive says that the socket is
/// drained. What is received into it stays in it, unless so many are out that holding large
/// buffers for small messages would cost memory: from there on the bytes are copied into memory of
/// their own size, and the large buffer returns at once.
pub(crate) struct LentBuffers {
    /// The one that was given back last.
    hottest: Cell<Option<Box<Block>>>,
    /// The others.
    free: RefCell<Vec<Box<Block>>>,
    out: Cell<usize>,
}

/// The memory of one buffer. From 128 KiB on, a received message falls out of the level-2 cache
/// before it is sent.
///
/// It begins at a page. A large block of malloc begins 16 bytes behind one, and the kernel copies
/// from pages: each load then seems to depend on the store before it (the lower 12 bits of the
/// addresses are all that the processor compares in time), which made an echo of 16 KiB cost half
/// as much again.
#[repr(align(4096))]
pub(crate) struct Block([MaybeUninit<u8>; 128 * 1024]);

impl Deref for Block {
    type Target = [MaybeUninit<u8>];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Block {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

/// As many large buffers may be out, or kept, at a time.
const BUFFERS_MAX: usize = 16;

impl LentBuffers {
    pub(crate) fn new() -> Rc<Self> {
        let free = RefCell::new(Vec::with_capacity(BUFFERS_MAX - 1));
        Rc::new(LentBuffers { hottest: Cell::new(None), free, out: Cell::new(0) })
    }

    /// The hottest buffer, for one attempt to receive.
    #[inline]
    pub(crate) fn take(&self) -> Box<Block> {
        self.hottest.take().unwrap_or_else(|| self.take_another())
    }

    #[cold]
    fn take_another(&self) -> Box<Block> {
        let free = self.free.borrow_mut().pop();
        // Fresh memory is not touched, so of a large buffer only the pages that were ever received
        // into are resident.
        free.unwrap_or_else(new_block)
    }

    /// The buffer of an attempt that received nothing.
    #[inline]
    pub(crate) fn put_back(&self, buffer: Box<Block>) {
        if let Some(colder) = self.hottest.replace(Some(buffer)) {
            self.put_aside(colder);
        }
    }

    #[cold]
    fn put_aside(&self, buffer: Box<Block>) {
        let mut free = self.free.borrow_mut();
        if free.len() < BUFFERS_MAX - 1 {
            free.push(buffer);
        }
    }

    /// Lends a buffer in whose first `len` bytes something was received.
    ///
    /// # Safety
    ///
    /// Those bytes must be initialised.
    #[inline]
    pub(crate) unsafe fn lend(self: &Rc<Self>, buffer: Box<Block>, len: usize) -> RecvBuf {
        if self.out.get() < BUFFERS_MAX {
            self.out.set(self.out.get() + 1);
            return RecvBuf::lent(buffer, len as u32, self.clone());
        }
        // SAFETY: the caller vouches for the bytes.
        unsafe { self.copy_out(buffer, len) }
    }

    /// A copy of the first `len` bytes; the buffer itself is not lent.
    ///
    /// # Safety
    ///
    /// As for [`lend`](Self::lend).
    #[cold]
    unsafe fn copy_out(&self, buffer: Box<Block>, len: usize) -> RecvBuf {
        // SAFETY: the caller vouches for the bytes.
        let bytes = unsafe { buffer[..len].assume_init_ref() };
        let exact = RecvBuf::from_vec(bytes.to_vec());
        self.put_back(buffer);
        exact
    }

    /// Takes a lent buffer back.
    #[inline]
    pub(super) fn returned(&self, buffer: Box<Block>) {
        self.out.set(self.out.get() - 1);
        self.put_back(buffer);
    }

    /// How many buffers users hold.
    pub(crate) fn out(&self) -> usize {
        self.out.get()
    }
}

fn new_block() -> Box<Block> {
    let block = Box::<Block>::new_uninit();
    // SAFETY: an array of bytes that need not be initialised is initialised as it is.
    unsafe { block.assume_init() }
}
