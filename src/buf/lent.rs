//! The buffers that a shard lends for receiving by notification: the one that was given back last
//! is lent first, since it is the one that is still in the cache.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::RecvBuf;

/// A last-in, first-out stock of large receive buffers.
///
/// A buffer is larger than the usual message, so that a short receive says that the socket is
/// drained. What is received into it stays in it, unless so many are out that holding large
/// buffers for small messages would cost memory: from there on the bytes are copied into a
/// vector of their own size, and the large buffer returns at once.
pub(crate) struct LentBuffers {
    free: RefCell<Vec<Vec<u8>>>,
    out: Cell<usize>,
}

/// Bytes in one buffer: from 128 KiB on, a received message falls out of the level-2 cache before
/// it is sent.
const BUFFER_SIZE: usize = 128 * 1024;

/// As many large buffers may be out, or kept, at a time.
const BUFFERS_MAX: usize = 16;

impl LentBuffers {
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(LentBuffers {
            free: RefCell::new(Vec::with_capacity(BUFFERS_MAX)),
            out: Cell::new(0),
        })
    }

    /// The hottest buffer, empty, for one attempt to receive.
    pub(crate) fn take(&self) -> Vec<u8> {
        let hottest = self.free.borrow_mut().pop();
        hottest.unwrap_or_else(|| Vec::with_capacity(BUFFER_SIZE))
    }

    /// The buffer of an attempt that received nothing.
    pub(crate) fn put_back(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let mut free = self.free.borrow_mut();
        if free.len() < BUFFERS_MAX {
            free.push(buffer);
        }
    }

    /// Lends a buffer in which something was received.
    pub(crate) fn lend(self: &Rc<Self>, buffer: Vec<u8>) -> RecvBuf {
        if self.out.get() < BUFFERS_MAX {
            self.out.set(self.out.get() + 1);
            return RecvBuf::lent(buffer, self.clone());
        }
        let exact = RecvBuf::from_vec(buffer.as_slice().to_vec());
        self.put_back(buffer);
        exact
    }

    /// Takes a lent buffer back.
    pub(super) fn returned(&self, buffer: Vec<u8>) {
        self.out.set(self.out.get() - 1);
        self.put_back(buffer);
    }

    /// How many buffers users hold.
    pub(crate) fn out(&self) -> usize {
        self.out.get()
    }
}
