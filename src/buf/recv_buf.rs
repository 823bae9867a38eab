//! What a receive returns: bytes in memory that the runtime lends.

use std::ops::Deref;
use std::rc::Rc;
use std::{fmt, mem};

use super::lent::Block;
use super::{BufferGroup, IoBuf, LentBuffers};
use crate::util::shard_bound::{CopyToSendAcrossThreads, ShardBound};

/// Received bytes, in memory lent by the shard. It goes back when the value is dropped.
///
/// Derefs to `[u8]`, compares with bytes and text, and can be sent as it is. An empty one means that
/// the peer has ended its side of the connection. Holding many keeps memory from other connections;
/// copy what is to be kept: `Vec::from(received)`, or `Bytes::from(received)`.
///
/// ```
/// # use corering::net::TcpStream;
/// # async fn greet(mut stream: TcpStream) -> std::io::Result<Vec<u8>> {
/// let mut received = stream.recv().await?;
/// if received == "hello" {
///     stream.write_all("hello yourself").await?;
/// }
/// received.advance(received.len().min(2));
/// let kept: Vec<u8> = received.into();
/// # Ok(kept)
/// # }
/// ```
pub struct RecvBuf {
    memory: ShardBound<Memory, dyn CopyToSendAcrossThreads>,
    /// Bytes already taken from the front.
    begin: u32,
    end: u32,
}

/// Whole words, the number of the buffer too: so it moves in few instructions, and none of them reads
/// at once what was written in parts, for which a processor has to wait.
enum Memory {
    /// A buffer of the group that the kernel picks from.
    Group { group: Rc<BufferGroup>, id: usize },
    /// A buffer lent for one receive by notification.
    Lent { buffer: Box<Block>, home: Rc<LentBuffers> },
    /// Memory of its own.
    Own(Box<[u8]>),
}

impl RecvBuf {
    /// The first `len` bytes of buffer `id`, which the kernel has just filled.
    pub(crate) fn from_group(group: Rc<BufferGroup>, id: u16, len: u32) -> Self {
        debug_assert!(len as usize <= group.buffer_size());
        let memory = Memory::Group { group, id: usize::from(id) };
        RecvBuf { memory: ShardBound::new(memory), begin: 0, end: len }
    }

    /// The first `len` bytes of a lent buffer, which a receive has just filled.
    #[inline]
    pub(super) fn lent(buffer: Box<Block>, len: u32, home: Rc<LentBuffers>) -> Self {
        debug_assert!(len as usize <= buffer.len());
        let memory = Memory::Lent { buffer, home };
        RecvBuf { memory: ShardBound::new(memory), begin: 0, end: len }
    }

    /// Bytes in memory of their own, for instance what a dropped `read` had received.
    pub(crate) fn from_vec(bytes: Vec<u8>) -> Self {
        let end = u32::try_from(bytes.len()).expect("one receive is shorter than 4 GiB");
        let memory = Memory::Own(bytes.into_boxed_slice());
        RecvBuf { memory: ShardBound::new(memory), begin: 0, end }
    }

    /// No bytes: the end of the stream.
    pub(crate) fn empty() -> Self {
        RecvBuf::from_vec(Vec::new())
    }

    /// Drops the first `count` bytes.
    ///
    /// # Panics
    ///
    /// If there are fewer.
    pub fn advance(&mut self, count: usize) {
        assert!(count <= self.len(), "advance by {count} in a buffer of {}", self.len());
        self.begin += count as u32;
    }

    /// These bytes, and others behind them.
    pub(crate) fn followed_by(self, behind: &[u8]) -> Self {
        match behind {
            [] => self,
            _ => RecvBuf::from_vec([&*self, behind].concat()),
        }
    }

    /// Moves the bytes to memory of their own size, so that what was lent is free for others.
    pub(crate) fn give_memory_back(&mut self) {
        if !matches!(*self.memory, Memory::Own(_)) {
            *self = RecvBuf::from_vec(self.to_vec());
        }
    }

    #[inline]
    fn start(&self) -> *const u8 {
        match &*self.memory {
            Memory::Group { group, id } => group.buffer_ptr(*id as u16),
            Memory::Lent { buffer, .. } => buffer.as_ptr().cast(),
            Memory::Own(bytes) => bytes.as_ptr(),
        }
    }
}

impl Deref for RecvBuf {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        super::as_slice(self)
    }
}

// SAFETY: the memory is the group's, a block's or a vector's, on the heap; this value is its only user until
// it is dropped, and `begin <= end <= initialised bytes` holds throughout.
unsafe impl IoBuf for RecvBuf {
    #[inline]
    fn bytes_ptr(&self) -> *const u8 {
        // SAFETY: `begin` is within the memory.
        unsafe { self.start().add(self.begin as usize) }
    }

    #[inline]
    fn bytes_len(&self) -> usize {
        (self.end - self.begin) as usize
    }
}

impl Drop for RecvBuf {
    #[inline]
    fn drop(&mut self) {
        match mem::replace(&mut *self.memory, Memory::Own(Box::default())) {
            Memory::Group { group, id } => group.give_back(id as u16),
            Memory::Lent { buffer, home } => home.returned(buffer),
            Memory::Own(_) => {}
        }
    }
}

impl fmt::Debug for RecvBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecvBuf").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl AsRef<[u8]> for RecvBuf {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// Byte by byte, with whatever has bytes: `[u8]`, `[u8; N]`, `Vec<u8>`, `str`, another `RecvBuf`,
/// and references to them.
impl<T: AsRef<[u8]> + ?Sized> PartialEq<T> for RecvBuf {
    fn eq(&self, other: &T) -> bool {
        **self == *other.as_ref()
    }
}

impl Eq for RecvBuf {}

/// A copy, so that the lent memory is free for the next receive. Bytes that are in memory of their
/// own already, and of which none were taken, are moved.
impl From<RecvBuf> for Vec<u8> {
    fn from(mut received: RecvBuf) -> Self {
        match &mut *received.memory {
            Memory::Own(bytes) if received.begin == 0 => mem::take(bytes).into_vec(),
            _ => received.to_vec(),
        }
    }
}

/// Bytes in memory of their own, for a [`Lend`](crate::io::Lend) that is not the library's.
///
/// # Panics
///
/// If there are 4 GiB or more.
impl From<Vec<u8>> for RecvBuf {
    fn from(bytes: Vec<u8>) -> Self {
        RecvBuf::from_vec(bytes)
    }
}

/// A copy, as for `Vec<u8>`: `Bytes` may go to any thread, and the lent memory belongs to its shard.
#[cfg(feature = "bytes")]
impl From<RecvBuf> for bytes::Bytes {
    fn from(received: RecvBuf) -> Self {
        Vec::from(received).into()
    }
}
