//! `pwritev(2)`: write several buffers, one after the other, to a place in a file.
//!
//! `IORING_OP_WRITEV`, kernel 5.1; without a ring as much as memory takes (XFS, Btrfs), else on the
//! blocking pool. A stream is written by `writev(2)`, and without a ring when there is room.

use std::io;

use io_uring::{opcode, squeue};
use libc::iovec;

use super::iovecs::{self, Gather, NEAR, NOTHING};
use super::position::{Position, disk, without_waiting};
use crate::buf::{BufError, BufResult, IoBuf};
use crate::driver::{Call, Direction, Operand, Operation, Raises, SharedFd, Waits};
use crate::sys::cached;
use crate::sys::call::SysCall;

pub(crate) struct Writev<B> {
    fd: SharedFd,
    bufs: Vec<B>,
    position: Position,
    through_cache: bool,
    near: Operand<[iovec; NEAR]>,
    far: Vec<iovec>,
}

impl<B: IoBuf> Writev<B> {
    pub(crate) fn new(fd: SharedFd, bufs: Vec<B>, position: Position) -> Self {
        let (near, far) = (Operand::new([NOTHING; NEAR]), Vec::new());
        Writev { fd, bufs, position, through_cache: false, near, far }
    }

    /// Whether the page cache takes what is written, as it does not for `O_DIRECT`.
    pub(crate) fn through_cache(mut self, through_cache: bool) -> Self {
        self.through_cache = through_cache;
        self
    }

    fn len(&self) -> usize {
        self.bufs.parts().fold(0, |len, (_, part)| len.saturating_add(part))
    }

    fn list(&mut self) -> (*mut iovec, usize) {
        iovecs::list(self.bufs.parts(), 0, &mut self.near, &mut self.far)
    }
}

// SAFETY: the list is in an operand block or a vector, and points at the buffers' memory, which
// `IoBuf` keeps in place.
unsafe impl<B: IoBuf> Call for Writev<B> {
    fn waits(&self) -> Waits<'_> {
        let disk = disk(&self.fd, Direction::Write, self.through_cache, || self.len());
        self.position.to_write(&self.fd, disk)
    }

    fn call(&mut self) -> SysCall {
        let (list, count) = self.list();
        let (fd, list) = (self.fd.argument(), list as usize);
        match self.position {
            // The offset's upper half has an argument of its own, which 64-bit kernels ignore.
            Position::At(offset) => {
                SysCall::new(libc::SYS_pwritev, [fd, list, count, offset as usize, 0])
            }
            Position::Stream if self.fd.calls_by_flag() => {
                without_waiting(libc::SYS_pwritev2, &self.fd, list as *mut _, count)
                    .that_may_break_pipe()
            }
            Position::Stream | Position::Own => {
                SysCall::new(libc::SYS_writev, [self.fd.stream_argument(), list, count])
                    .that_may_break_pipe()
            }
        }
    }
}

// SAFETY: as above.
unsafe impl<B: IoBuf> Operation for Writev<B> {
    type Output = BufResult<usize, Vec<B>>;

    fn encode(&mut self) -> Option<squeue::Entry> {
        let (list, count) = self.list();
        Some(
            opcode::Writev::new(self.fd.target(), list, count as u32)
                .offset(self.position.for_ring())
                .build(),
        )
    }

    fn ask_memory(&mut self) -> Option<i32> {
        let Position::At(offset) = self.position else { return None };
        let (list, count) = self.list();
        // SAFETY: the list is of the buffers' memory, which is borrowed meanwhile.
        let written = unsafe { cached::write(self.fd.raw(), list, count, offset) };
        self.fd.heard_of_memory(Direction::Write, written)
    }

    fn decode(self, outcome: io::Result<u32>) -> Self::Output {
        match outcome {
            Ok(count) => Ok((count as usize, self.bufs)),
            Err(error) => Err(BufError::new(error, self.bufs)),
        }
    }

    fn raises(&self) -> Option<Raises> {
        Some(self.position.raises())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::submit;
    use crate::op::test_files::{contents, scratch};

    #[corering::test]
    async fn buffers_are_written_in_order() {
        let file = scratch(b"");
        let bufs = vec![b"one ".to_vec(), Vec::new(), b"two ".to_vec(), b"three".to_vec()];
        let (count, bufs) = submit(Writev::new(file.clone(), bufs, Position::At(2)))
            .await
            .expect("it can be written");
        assert_eq!((count, bufs.len()), (13, 4));
        assert_eq!(contents(&file), b"\0\0one two three");
    }

    #[corering::test]
    async fn a_list_beyond_what_the_kernel_takes_comes_back_short() {
        let file = scratch(b"");
        let (count, bufs) = submit(Writev::new(file.clone(), vec!["x"; 3000], Position::At(0)))
            .await
            .expect("it can be written");
        assert_eq!((count, bufs.len()), (1024, 3000));
        assert_eq!(contents(&file), [b'x'; 1024]);
    }
}
