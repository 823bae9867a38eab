//! `preadv(2)`: read from a place in a file into several buffers, one after the other.
//!
//! `IORING_OP_READV`, kernel 5.1. Without a ring what the page cache has is copied at once, and the
//! rest is read on the blocking pool. A stream is read by `readv(2)`, and without a ring when it is
//! readable.

use std::io;

use io_uring::{opcode, squeue};
use libc::iovec;

use super::iovecs::{self, NEAR, NOTHING};
use super::position::{Position, disk, without_waiting};
use crate::buf::{BufError, BufResult, IoBufMut};
use crate::driver::{Call, Direction, Operand, Operation, SharedFd, Waits};
use crate::sys::cached;
use crate::sys::call::SysCall;

pub(crate) struct Readv<B> {
    fd: SharedFd,
    bufs: Vec<B>,
    position: Position,
    through_cache: bool,
    near: Operand<[iovec; NEAR]>,
    far: Vec<iovec>,
}

impl<B: IoBufMut> Readv<B> {
    pub(crate) fn new(fd: SharedFd, bufs: Vec<B>, position: Position) -> Self {
        let (near, far) = (Operand::new([NOTHING; NEAR]), Vec::new());
        Readv { fd, bufs, position, through_cache: false, near, far }
    }

    /// Whether the page cache may have what is read, as it has not for `O_DIRECT`.
    pub(crate) fn through_cache(mut self, through_cache: bool) -> Self {
        self.through_cache = through_cache;
        self
    }

    fn room(&self) -> usize {
        self.bufs.iter().fold(0, |room, buf| room.saturating_add(buf.capacity()))
    }

    fn list(&mut self) -> (*mut iovec, usize) {
        let parts =
            self.bufs.iter_mut().map(|buf| (buf.bytes_mut_ptr().cast_const(), buf.capacity()));
        iovecs::list(parts, 0, &mut self.near, &mut self.far)
    }
}

// SAFETY: the list is in an operand block or a vector, and points at the buffers' memory, which
// `IoBufMut` keeps in place.
unsafe impl<B: IoBufMut> Call for Readv<B> {
    fn waits(&self) -> Waits<'_> {
        let disk = disk(&self.fd, Direction::Read, self.through_cache, || self.room());
        self.position.to_read(&self.fd, disk)
    }

    fn call(&mut self) -> SysCall {
        let (list, count) = self.list();
        let (fd, list) = (self.fd.argument(), list as usize);
        match self.position {
            // The offset's upper half has an argument of its own, which 64-bit kernels ignore.
            Position::At(offset) => {
                SysCall::new(libc::SYS_preadv, [fd, list, count, offset as usize, 0])
            }
            Position::Stream if self.fd.calls_by_flag() => {
                without_waiting(libc::SYS_preadv2, &self.fd, list as *mut _, count)
            }
            Position::Stream | Position::Own => {
                SysCall::new(libc::SYS_readv, [self.fd.stream_argument(), list, count])
            }
        }
    }
}

// SAFETY: as above.
unsafe impl<B: IoBufMut> Operation for Readv<B> {
    type Output = BufResult<usize, Vec<B>>;

    fn encode(&mut self) -> Option<squeue::Entry> {
        let (list, count) = self.list();
        Some(
            opcode::Readv::new(self.fd.target(), list, count as u32)
                .offset(self.position.for_ring())
                .build(),
        )
    }

    fn ask_memory(&mut self) -> Option<i32> {
        let Position::At(offset) = self.position else { return None };
        let (list, count) = self.list();
        // SAFETY: the list is of the buffers' memory, which is borrowed meanwhile.
        let read = unsafe { cached::read(self.fd.raw(), list, count, offset) };
        self.fd.heard_of_memory(Direction::Read, read)
    }

    fn decode(mut self, outcome: io::Result<u32>) -> Self::Output {
        let count = match outcome {
            Ok(count) => count as usize,
            Err(error) => return Err(BufError::new(error, self.bufs)),
        };
        let mut left = count;
        for buf in &mut self.bufs {
            let filled = left.min(buf.capacity());
            left -= filled;
            // SAFETY: the kernel has filled each buffer before it began with the next, and so many
            // bytes fell to this one.
            unsafe { buf.set_len(filled) };
        }
        Ok((count, self.bufs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::submit;
    use crate::op::test_files::scratch;

    #[corering::test]
    async fn buffers_are_filled_in_order_and_get_their_lengths() {
        let file = scratch(b"0123456789");
        let bufs = vec![
            Vec::with_capacity(3),
            Vec::with_capacity(4),
            Vec::with_capacity(5),
            b"old".to_vec(),
        ];
        let (count, bufs) =
            submit(Readv::new(file, bufs, Position::At(1))).await.expect("it can be read");
        assert_eq!(count, 9);
        assert_eq!(bufs, [&b"123"[..], b"4567", b"89", b""]);
    }

    #[corering::test]
    async fn more_buffers_than_an_operand_holds_are_filled_too() {
        let file = scratch(&[7; 100]);
        let bufs = (0..70).map(|_| vec![0_u8; 1].into_boxed_slice()).collect();
        let (count, bufs) =
            submit(Readv::new(file, bufs, Position::At(0))).await.expect("it can be read");
        assert_eq!(count, 70);
        assert!(bufs.iter().all(|buf| **buf == [7]));
    }

    #[corering::test]
    async fn no_buffers_read_nothing() {
        let file = scratch(b"0123456789");
        let bufs: Vec<Vec<u8>> = Vec::new();
        assert_eq!(submit(Readv::new(file, bufs, Position::At(0))).await.expect("no error").0, 0);
    }
}
