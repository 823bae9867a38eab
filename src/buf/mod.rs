//! Layer 1: owned buffers, and the buffers that the runtime lends.
//!
//! An operation takes a buffer by value and gives it back with the result, since the kernel may
//! write to it at any time in between. A type is a buffer only if its bytes stay where they are
//! when the value itself moves: `Vec<u8>` is one, `[u8; N]` is not.
//!
//! | buffer | to send or write ([`IoBuf`]) | to receive or read into ([`IoBufMut`]) |
//! |---|---|---|
//! | `Vec<u8>`, `Box<[u8]>`, [`AlignedBuf`], `bytes::BytesMut` | yes | yes |
//! | `String`, `Box<str>`, [`RecvBuf`], `bytes::Bytes` | yes | no |
//! | shared: `Arc` or `Rc` of `[u8]`, `str` or `Vec<u8>` | yes | no |
//! | static: `&'static [u8]`, `&'static [u8; N]`, `&'static str` | yes | no |
//! | a part of a buffer: [`Slice`] | as the whole | as the whole |
//!
//! What is no buffer, and what to write instead:
//!
//! | instead of | write |
//! |---|---|
//! | `write_all(&buf)`, `read(&mut buf)` | `write_all(buf)`, `read(buf)`: it comes back with the result |
//! | `write_all(&buf[..n])`, `read(&mut buf[n..])` | `write_all(buf.slice(..n))`, `read(buf.slice(n..))`, and `into_inner()` on what comes back |
//! | `write_all([1, 2, 3])`, `write_all(array)` | `write_all(&[1, 2, 3])` if it is constant, else `write_all(array.to_vec())` |
//! | `read([0; 4096])`, `read(Vec::new())` | `read(Vec::with_capacity(4096))` |
//! | `read(String::new())` | a `Vec<u8>`, and `String::from_utf8` of what came |
//! | `read(&mut buf)` of tokio's or `futures`' traits | a wrapper of [`compat`](crate::compat): `Tokio::new(stream)`, or `stream.compat()` |
//! | one buffer written to many streams | an `Arc<[u8]>` or `Rc<[u8]>`, cloned for each |
//!
//! ```
//! # use corering::net::TcpStream;
//! use corering::buf::IoBuf;
//!
//! # async fn answer(mut stream: TcpStream) -> std::io::Result<()> {
//! let mut buf = Vec::with_capacity(4096);
//! loop {
//!     let (count, part) = stream.read(buf.slice(..512)).await?;
//!     if count == 0 {
//!         return Ok(());
//!     }
//!     buf = stream.write_all(part.into_inner()).await?;
//! }
//! # }
//! ```
//!
//! Read this file first, then `slice.rs`; `group.rs` and `recv_buf.rs` are the runtime's side.

mod aligned;
mod error;
mod foreign;
mod group;
mod lent;
mod line;
mod recv_buf;
mod slice;

pub use aligned::AlignedBuf;
pub use error::{BufError, BufResult};
pub use recv_buf::RecvBuf;
pub use slice::Slice;

pub(crate) use error::{early_end, little_room, no_room};
pub(crate) use group::BufferGroup;
pub(crate) use lent::LentBuffers;
pub(crate) use line::Place;

use std::ops::{Range, RangeBounds};

/// Memory that an operation may read from while it is in flight.
///
/// An array by value is none, since it moves with the future that holds it:
///
/// ```compile_fail,E0277
/// fn send(_: impl corering::buf::IoBuf) {}
/// send([0_u8; 4]);
/// ```
///
/// # Safety
///
/// From the moment the value is handed to an operation until it comes back:
/// - `bytes_ptr` points at `bytes_len` initialised bytes, and both calls answer the same each time;
/// - those bytes stay at that address when the value is moved, and are written by nobody else;
/// - leaking the value leaks the memory: it is not freed or used again while the value lives on.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a buffer that can be sent or written",
    label = "pass the buffer by value, for instance a `Vec<u8>`",
    note = "the operation owns the buffer while the kernel uses it, and gives it back with its result",
    note = "instead of `&buf` write `buf`, instead of `&buf[..n]` write `buf.slice(..n)` (with \
            `corering::buf::IoBuf`), instead of `array` write `array.to_vec()`",
    note = "code that was written for tokio's or `futures`' traits passes `&buf` to a wrapper of the stream: \
            `corering::compat::Tokio`, or `stream.compat()`",
    note = "the documentation of `corering::buf` lists what is a buffer"
)]
pub unsafe trait IoBuf: Unpin + 'static {
    /// Where the bytes begin.
    fn bytes_ptr(&self) -> *const u8;

    /// How many bytes are initialised, and so can be sent or written.
    fn bytes_len(&self) -> usize;

    /// The part of the buffer in `range`, still owning all of it. An upper end beyond the
    /// initialised bytes (up to the capacity) is for receiving: `buf.slice(len..)` appends.
    ///
    /// # Panics
    ///
    /// If the range begins after its end.
    fn slice(self, range: impl RangeBounds<usize>) -> Slice<Self>
    where
        Self: Sized,
    {
        Slice::new(self, range)
    }
}

/// Memory that an operation may write to while it is in flight.
///
/// # Safety
///
/// As for [`IoBuf`], and: `bytes_mut_ptr` points at `capacity` bytes, of which the first
/// `bytes_len` are the ones of `bytes_ptr`; nobody else reads or writes them meanwhile.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a buffer that can be received or read into",
    label = "pass the buffer by value, for instance `Vec::with_capacity(4096)`",
    note = "the operation owns the buffer while the kernel uses it, and gives it back with its result",
    note = "instead of `&mut buf` write `buf`, instead of `&mut buf[n..]` write `buf.slice(n..)` (with \
            `corering::buf::IoBuf`), instead of an array or a `String` take a `Vec<u8>`",
    note = "code that was written for tokio's or `futures`' traits passes `&mut buf` to a wrapper of the stream: \
            `corering::compat::Tokio`, or `stream.compat()`",
    note = "the documentation of `corering::buf` lists what is a buffer"
)]
pub unsafe trait IoBufMut: IoBuf {
    /// Where the bytes begin.
    fn bytes_mut_ptr(&mut self) -> *mut u8;

    /// How many bytes there is room for, from the beginning.
    fn capacity(&self) -> usize;

    /// Declares the first `len` bytes initialised, and the buffer that long.
    ///
    /// # Safety
    ///
    /// The first `len` bytes must be initialised, and `len` at most the capacity.
    unsafe fn set_len(&mut self, len: usize);
}

/// The initialised bytes of a buffer that no operation has.
pub(crate) fn as_slice<B: IoBuf>(buf: &B) -> &[u8] {
    // SAFETY: `IoBuf` promises so many initialised bytes there, and the borrow keeps the owner
    // from changing them.
    unsafe { std::slice::from_raw_parts(buf.bytes_ptr(), buf.bytes_len()) }
}

/// Where a part of a buffer's memory begins, and how many bytes it has room for.
#[inline]
pub(crate) fn room<B: IoBufMut>(buf: &mut B, part: Range<usize>) -> (*mut u8, usize) {
    let end = part.end.min(buf.capacity());
    let begin = part.start.min(end);
    // SAFETY: `IoBufMut` promises so much memory.
    (unsafe { buf.bytes_mut_ptr().add(begin) }, end - begin)
}

/// Copies as much of `bytes` as there is room for to a part of `buf`, whose first bytes are
/// initialised; it then ends with them. Returns the count.
pub(crate) fn fill<B: IoBufMut>(buf: &mut B, part: Range<usize>, bytes: &[u8]) -> usize {
    let done = part.start;
    let (begin, room) = room(buf, part);
    let count = bytes.len().min(room);
    // SAFETY: there is room for `count` bytes, apart from `bytes`, which is borrowed.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), begin, count) };
    // SAFETY: the `count` bytes behind those that are initialised were just written.
    unsafe { buf.set_len(done + count) };
    count
}

/// Makes a buffer that is longer end after its first `len` bytes.
pub(crate) fn truncate<B: IoBufMut>(buf: &mut B, len: usize) {
    if len < buf.bytes_len() {
        // SAFETY: these are fewer bytes than are initialised, and so within the capacity.
        unsafe { buf.set_len(len) };
    }
}

#[cfg(test)]
mod tests;
