//! The types of std, and of the crate `bytes`, that are buffers.

use std::rc::Rc;
use std::sync::Arc;

use super::{IoBuf, IoBufMut};

/// Implements `IoBuf` by `as_ptr` and `len`. Each use says in a SAFETY comment why its type keeps
/// the trait's promises.
macro_rules! unsafe_io_buf {
    ($buffer:ty $(, const $length:ident)?) => {
        // SAFETY: said at the use of the macro.
        unsafe impl$(<const $length: usize>)? IoBuf for $buffer {
            fn bytes_ptr(&self) -> *const u8 {
                self.as_ptr()
            }

            fn bytes_len(&self) -> usize {
                self.len()
            }
        }
    };
}

// SAFETY: what these own is on the heap and does not move with the value.
unsafe_io_buf!(Vec<u8>);
unsafe_io_buf!(Box<[u8]>);
unsafe_io_buf!(Box<str>);
unsafe_io_buf!(String);

// SAFETY: static memory never moves and is never written.
unsafe_io_buf!(&'static [u8]);
unsafe_io_buf!(&'static [u8; N], const N);
unsafe_io_buf!(&'static str);

// SAFETY: the bytes are on the heap. Other references can only read them while this one counts:
// `get_mut` and `try_unwrap` fail, and `make_mut` copies. A leaked reference counts for ever.
unsafe_io_buf!(Arc<[u8]>);
unsafe_io_buf!(Arc<str>);
unsafe_io_buf!(Arc<Vec<u8>>);
unsafe_io_buf!(Rc<[u8]>);
unsafe_io_buf!(Rc<str>);
unsafe_io_buf!(Rc<Vec<u8>>);

// SAFETY: the bytes are shared, immutable, on the heap or static, and kept alive by the handle.
#[cfg(feature = "bytes")]
unsafe_io_buf!(bytes::Bytes);

// SAFETY: the handle is the only one to its part of the heap memory.
#[cfg(feature = "bytes")]
unsafe_io_buf!(bytes::BytesMut);

// SAFETY: a vector's bytes are on the heap; the capacity is what the vector has allocated.
unsafe impl IoBufMut for Vec<u8> {
    fn bytes_mut_ptr(&mut self) -> *mut u8 {
        self.as_mut_ptr()
    }

    fn capacity(&self) -> usize {
        Vec::capacity(self)
    }

    unsafe fn set_len(&mut self, len: usize) {
        // SAFETY: the caller's promise is the same.
        unsafe { Vec::set_len(self, len) }
    }
}

// SAFETY: the bytes are on the heap. All are initialised, so the length never changes: the count
// that the operation returns says how many are new.
unsafe impl IoBufMut for Box<[u8]> {
    fn bytes_mut_ptr(&mut self) -> *mut u8 {
        self.as_mut_ptr()
    }

    fn capacity(&self) -> usize {
        self.len()
    }

    unsafe fn set_len(&mut self, _len: usize) {}
}

#[cfg(feature = "bytes")]
// SAFETY: the memory is this handle's alone; so is the capacity.
unsafe impl IoBufMut for bytes::BytesMut {
    fn bytes_mut_ptr(&mut self) -> *mut u8 {
        self.as_mut_ptr()
    }

    fn capacity(&self) -> usize {
        bytes::BytesMut::capacity(self)
    }

    unsafe fn set_len(&mut self, len: usize) {
        // SAFETY: the caller's promise is the same.
        unsafe { bytes::BytesMut::set_len(self, len) }
    }
}
