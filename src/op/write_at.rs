//! `pwrite(2)`: write a buffer of the caller's to a place in a file.
//!
//! `IORING_OP_WRITE`, kernel 5.6; without a ring as much as memory takes (XFS, Btrfs), else on the
//! blocking pool. A stream, which has no places, is written by `write(2)`, and without a ring when
//! there is room. A file opened for appending is written at its end, whatever the place.

use std::io;

use io_uring::{opcode, squeue};

use super::position::{Position, TRANSFER_MAX, disk, without_waiting};
use crate::buf::{BufError, BufResult, IoBuf};
use crate::driver::{Call, Direction, Operand, Operation, Raises, SharedFd, Waits};
use crate::sys::cached;
use crate::sys::call::SysCall;

pub(crate) struct WriteAt<B> {
    fd: SharedFd,
    buf: B,
    /// Bytes of the buffer that earlier writes have taken.
    begin: usize,
    position: Position,
    through_cache: bool,
    /// Of a stream, once it was written by a plain call.
    list: Option<Operand<libc::iovec>>,
}

impl<B: IoBuf> WriteAt<B> {
    pub(crate) fn new(fd: SharedFd, buf: B, position: Position) -> Self {
        WriteAt::after(fd, buf, 0, position)
    }

    /// What is left of the buffer after its first `begin` bytes.
    pub(crate) fn after(fd: SharedFd, buf: B, begin: usize, position: Position) -> Self {
        debug_assert!(begin <= buf.bytes_len());
        WriteAt { fd, buf, begin, position, through_cache: true, list: None }
    }

    /// Whether the page cache takes what is written, as it does not for `O_DIRECT`.
    pub(crate) fn through_cache(mut self, through_cache: bool) -> Self {
        self.through_cache = through_cache;
        self
    }

    fn ptr(&self) -> *const u8 {
        // SAFETY: `begin` is within the buffer's bytes.
        unsafe { self.buf.bytes_ptr().add(self.begin) }
    }

    fn len(&self) -> usize {
        (self.buf.bytes_len() - self.begin).min(TRANSFER_MAX)
    }
}

// SAFETY: the pointer leads to the buffer's memory, which `IoBuf` keeps in place.
unsafe impl<B: IoBuf> Call for WriteAt<B> {
    fn waits(&self) -> Waits<'_> {
        let disk = disk(&self.fd, Direction::Write, self.through_cache, || self.len());
        self.position.to_write(&self.fd, disk)
    }

    fn call(&mut self) -> SysCall {
        let (fd, ptr, len) = (self.fd.argument(), self.ptr() as usize, self.len());
        match self.position {
            Position::At(offset) => {
                SysCall::new(libc::SYS_pwrite64, [fd, ptr, len, offset as usize])
            }
            Position::Stream if self.fd.calls_by_flag() => {
                let part = libc::iovec { iov_base: ptr as *mut _, iov_len: len };
                let list = self.list.insert(Operand::new(part)).as_mut_ptr();
                without_waiting(libc::SYS_pwritev2, &self.fd, list, 1).that_may_break_pipe()
            }
            Position::Stream | Position::Own => {
                SysCall::new(libc::SYS_write, [self.fd.stream_argument(), ptr, len])
                    .that_may_break_pipe()
            }
        }
    }
}

// SAFETY: as above.
unsafe impl<B: IoBuf> Operation for WriteAt<B> {
    type Output = BufResult<usize, B>;

    fn encode(&mut self) -> Option<squeue::Entry> {
        if self.position == Position::Own {
            return None;
        }
        Some(
            opcode::Write::new(self.fd.target(), self.ptr(), self.len() as u32)
                .offset(self.position.for_ring())
                .build(),
        )
    }

    fn ask_memory(&mut self) -> Option<i32> {
        let Position::At(offset) = self.position else { return None };
        let part = libc::iovec { iov_base: self.ptr().cast_mut().cast(), iov_len: self.len() };
        // SAFETY: the one part is the buffer's memory, which is borrowed meanwhile.
        let written = unsafe { cached::write(self.fd.raw(), &raw const part, 1, offset) };
        self.fd.heard_of_memory(Direction::Write, written)
    }

    fn decode(self, outcome: io::Result<u32>) -> Self::Output {
        match outcome {
            Ok(count) => Ok((count as usize, self.buf)),
            Err(error) => Err(BufError::new(error, self.buf)),
        }
    }

    fn raises(&self) -> Option<Raises> {
        Some(self.position.raises())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::driver::submit;
    use crate::op::test_files::{contents, opened, scratch};

    #[corering::test]
    async fn bytes_go_to_the_place_and_leave_a_hole_before_it() {
        let file = scratch(b"01");
        let written = submit(WriteAt::new(file.clone(), b"xyz".to_vec(), Position::At(4))).await;
        assert_eq!(written.expect("it can be written"), (3, b"xyz".to_vec()));
        assert_eq!(contents(&file), b"01\0\0xyz");
    }

    #[corering::test]
    async fn only_what_is_left_of_a_buffer_is_written() {
        let file = scratch(b"");
        let written = submit(WriteAt::after(file.clone(), "abcdef", 4, Position::At(0))).await;
        assert_eq!(written.expect("it can be written").0, 2);
        assert_eq!(contents(&file), b"ef");
    }

    #[corering::test]
    async fn a_full_disk_is_an_error_that_gives_the_buffer_back() {
        let full = opened("/dev/full");
        let written = submit(WriteAt::new(full, b"text".to_vec(), Position::At(0))).await;
        let (error, buf) = written.expect_err("nothing fits").into_parts();
        assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
        assert_eq!(buf, b"text");
    }

    #[corering::test]
    async fn a_stream_is_written_until_its_readers_are_gone() {
        let (mut reader, writer) = std::io::pipe().expect("a pipe can be made");
        let writer = SharedFd::from(std::os::fd::OwnedFd::from(writer));
        let written = submit(WriteAt::new(writer.clone(), "text", Position::Stream)).await;
        assert_eq!(written.expect("there is room").0, 4);
        let mut text = [0; 4];
        reader.read_exact(&mut text).expect("it was written");
        assert_eq!(&text, b"text");
        drop(reader);
        for _ in 0..1_000 {
            match submit(WriteAt::new(writer.clone(), "text", Position::Stream)).await {
                // It lives on for a moment, in a child of another test.
                Ok(_) => crate::time::sleep(std::time::Duration::from_millis(1)).await,
                Err(failed) => return assert_eq!(failed.error.raw_os_error(), Some(libc::EPIPE)),
            }
        }
        panic!("the reader is not gone");
    }
}
