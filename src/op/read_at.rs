//! `pread(2)`: read from a place in a file into a buffer of the caller's.
//!
//! `IORING_OP_READ`, kernel 5.6. Without a ring what the page cache has is copied at once, and the
//! rest is read on the blocking pool. A stream, which has no places, is read by `read(2)`, and
//! without a ring when it is readable.

use std::io;
use std::ops::Range;

use io_uring::{opcode, squeue};

use super::position::{Position, TRANSFER_MAX, disk, without_waiting};
use crate::buf::{BufError, BufResult, IoBufMut, RecvBuf};
use crate::driver::{Call, Direction, Driver, Operand, Operation, SharedFd, Waits, count};
use crate::sys::cached;
use crate::sys::call::SysCall;
use crate::sys::file::read_cached;

pub(crate) struct ReadAt<B> {
    fd: SharedFd,
    buf: B,
    /// Bytes of the buffer that earlier reads have filled.
    begin: usize,
    /// Where in the buffer the read ends.
    end: usize,
    position: Position,
    through_cache: bool,
    /// Of a stream, once it was read by a plain call.
    list: Option<Operand<libc::iovec>>,
}

impl<B: IoBufMut> ReadAt<B> {
    pub(crate) fn new(fd: SharedFd, buf: B, position: Position) -> Self {
        let end = buf.capacity();
        ReadAt::within(fd, buf, 0..end, position)
    }

    /// Into a part of the buffer. The bytes before it are initialised, and there is room for it.
    pub(crate) fn within(fd: SharedFd, buf: B, part: Range<usize>, position: Position) -> Self {
        debug_assert!(part.start <= part.end && part.end <= buf.capacity());
        let Range { start: begin, end } = part;
        ReadAt { fd, buf, begin, end, position, through_cache: false, list: None }
    }

    /// Whether the page cache may have what is read, as it has not for `O_DIRECT`.
    pub(crate) fn through_cache(mut self, through_cache: bool) -> Self {
        self.through_cache = through_cache;
        self
    }

    fn ptr(&mut self) -> *mut u8 {
        // SAFETY: `begin` is within the buffer's capacity.
        unsafe { self.buf.bytes_mut_ptr().add(self.begin) }
    }

    fn room(&self) -> usize {
        (self.end - self.begin).min(TRANSFER_MAX)
    }
}

/// Reads what the page cache has of a file into the buffer that was used last, without waiting for a
/// disk. `None` if it has nothing there.
pub(crate) fn cached(
    driver: &Driver,
    file: &SharedFd,
    offset: u64,
    wanted: usize,
) -> Option<RecvBuf> {
    let lent = driver.memory.lent();
    let mut buffer = lent.take();
    let room = wanted.min(buffer.len());
    count(&driver.counters.attempts);
    // SAFETY: the buffer has so much room and is borrowed by nobody.
    match unsafe { read_cached(file.raw(), buffer.as_mut_ptr().cast(), room, offset) } {
        // SAFETY: the kernel has written so many bytes from the beginning on.
        Some(read) if read > 0 => Some(unsafe { lent.lend(buffer, read as usize) }),
        _ => {
            lent.put_back(buffer);
            None
        }
    }
}

// SAFETY: the pointer leads to the buffer's memory, which `IoBufMut` keeps in place.
unsafe impl<B: IoBufMut> Call for ReadAt<B> {
    fn waits(&self) -> Waits<'_> {
        let disk = disk(&self.fd, Direction::Read, self.through_cache, || self.room());
        self.position.to_read(&self.fd, disk)
    }

    fn call(&mut self) -> SysCall {
        let (fd, ptr, room) = (self.fd.argument(), self.ptr() as usize, self.room());
        match self.position {
            Position::At(offset) => {
                SysCall::new(libc::SYS_pread64, [fd, ptr, room, offset as usize])
            }
            Position::Stream if self.fd.calls_by_flag() => {
                let part = libc::iovec { iov_base: ptr as *mut _, iov_len: room };
                let list = self.list.insert(Operand::new(part)).as_mut_ptr();
                without_waiting(libc::SYS_preadv2, &self.fd, list, 1)
            }
            Position::Stream | Position::Own => {
                SysCall::new(libc::SYS_read, [self.fd.stream_argument(), ptr, room])
            }
        }
    }
}

// SAFETY: as above.
unsafe impl<B: IoBufMut> Operation for ReadAt<B> {
    /// How many bytes this call has read; the buffer's length counts the earlier ones, too.
    type Output = BufResult<usize, B>;

    fn encode(&mut self) -> Option<squeue::Entry> {
        if self.position == Position::Own {
            return None;
        }
        let room = self.room() as u32;
        Some(
            opcode::Read::new(self.fd.target(), self.ptr(), room)
                .offset(self.position.for_ring())
                .build(),
        )
    }

    fn ask_memory(&mut self) -> Option<i32> {
        let Position::At(offset) = self.position else { return None };
        let part = libc::iovec { iov_base: self.ptr().cast(), iov_len: self.room() };
        // SAFETY: the one part is the buffer's memory, which is borrowed meanwhile.
        let read = unsafe { cached::read(self.fd.raw(), &raw const part, 1, offset) };
        self.fd.heard_of_memory(Direction::Read, read)
    }

    fn decode(mut self, outcome: io::Result<u32>) -> Self::Output {
        match outcome {
            Ok(count) => {
                // SAFETY: the kernel has written `count` bytes after `begin` initialised ones.
                unsafe { self.buf.set_len(self.begin + count as usize) };
                Ok((count as usize, self.buf))
            }
            Err(error) => Err(BufError::new(error, self.buf)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixDatagram;

    use super::*;
    use crate::driver::submit;
    use crate::op::position::COPY_MAX;
    use crate::op::test_files::{opened, scratch};

    #[corering::test]
    async fn bytes_come_from_the_place_and_set_the_length() {
        let file = scratch(b"0123456789");
        let (count, buf) = submit(ReadAt::new(file, Vec::with_capacity(4), Position::At(3)))
            .await
            .expect("it can be read");
        assert_eq!((count, &buf[..]), (4, &b"3456"[..]));
    }

    #[corering::test]
    async fn a_later_part_of_a_buffer_is_filled_after_the_first() {
        let file = scratch(b"0123456789");
        let mut buf = Vec::with_capacity(5);
        buf.extend_from_slice(b"ab");
        let (count, buf) =
            submit(ReadAt::within(file, buf, 2..5, Position::At(7))).await.expect("it can be read");
        assert_eq!((count, &buf[..]), (3, &b"ab789"[..]));
    }

    #[corering::test]
    async fn the_end_of_the_file_reads_as_nothing() {
        let file = scratch(b"0123456789");
        let buf = b"old".to_vec();
        let (count, buf) =
            submit(ReadAt::new(file, buf, Position::At(10))).await.expect("it can be read");
        assert_eq!((count, buf.len()), (0, 0));
    }

    #[corering::test]
    async fn an_offset_that_no_file_has_is_an_error_and_not_the_files_own_position() {
        for offset in [u64::MAX, u64::MAX - 1, 1 << 63] {
            let file = scratch(b"0123456789");
            let read = submit(ReadAt::new(file, vec![1, 2], Position::At(offset))).await;
            let (error, buf) = read.expect_err("no file reaches there").into_parts();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "at {offset}");
            assert_eq!(buf, [1, 2]);
        }
    }

    #[corering::test]
    async fn a_stream_is_read_as_it_comes() {
        let (reader, mut writer) = io::pipe().expect("a pipe can be made");
        let reader = SharedFd::from(OwnedFd::from(reader));
        let read = submit(ReadAt::new(reader.clone(), Vec::with_capacity(9), Position::Stream));
        let write = async {
            crate::task::yield_now().await;
            io::Write::write_all(&mut writer, b"late").expect("the pipe has room");
        };
        let (read, ()) = futures_util::join!(read, write);
        assert_eq!(read.expect("it can be read").1, b"late");
        drop(writer);
        let end = submit(ReadAt::new(reader, Vec::with_capacity(9), Position::Stream)).await;
        assert_eq!(end.expect("the end is no error").0, 0);
    }

    #[corering::test]
    async fn a_short_read_of_a_stream_does_not_say_that_nothing_is_left() {
        // As with the lines of a terminal, a read takes one however large its buffer is.
        let (ours, theirs) = UnixDatagram::pair().expect("a pair can be made");
        let ours = SharedFd::from(OwnedFd::from(ours));
        let read = || submit(ReadAt::new(ours.clone(), Vec::with_capacity(99), Position::Stream));
        let write = async {
            crate::task::yield_now().await;
            theirs.send(b"first").expect("there is room");
            theirs.send(b"second").expect("there is room");
        };
        let (first, ()) = futures_util::join!(read(), write);
        assert_eq!(first.expect("it was sent").1, b"first");
        assert_eq!(read().await.expect("it was sent").1, b"second");
    }

    /// Reads through the page cache, and says how many reads went to the pool.
    async fn read_through_cache(file: &SharedFd, room: usize, offset: u64) -> (Vec<u8>, u64) {
        let before = crate::metrics().pool_jobs;
        let read = ReadAt::new(file.clone(), Vec::with_capacity(room), Position::At(offset));
        let (_, buf) = submit(read.through_cache(true)).await.expect("it can be read");
        (buf, crate::metrics().pool_jobs - before)
    }

    /// Whether a file's page cache can be asked what it has: not on every file system.
    fn tells_what_is_cached(file: &SharedFd) -> bool {
        let mut byte = 0;
        // SAFETY: the one byte is a local.
        unsafe { read_cached(file.raw(), &raw mut byte, 1, 0) }.is_some()
    }

    #[corering::test]
    async fn what_the_page_cache_has_takes_no_trip_to_the_pool() {
        let file = scratch(b"0123456789");
        let trips = u64::from(on_pool() && !tells_what_is_cached(&file));
        assert_eq!(read_through_cache(&file, 4, 3).await, (b"3456".to_vec(), trips));
        assert_eq!(read_through_cache(&file, 99, 8).await, (b"89".to_vec(), trips));
        assert_eq!(read_through_cache(&file, 99, 10).await, (Vec::new(), trips));
    }

    #[corering::test]
    async fn a_large_read_does_not_hold_up_the_shard_while_it_is_copied() {
        let file = scratch(b"0123456789");
        let (read, trips) = read_through_cache(&file, COPY_MAX + 1, 0).await;
        assert_eq!((&read[..], trips), (&b"0123456789"[..], u64::from(on_pool())));
    }

    #[corering::test]
    async fn tasks_that_read_what_is_cached_let_others_have_their_turn() {
        let file = scratch(b"0123456789");
        let others = std::rc::Rc::new(std::cell::Cell::new(false));
        let turn = others.clone();
        let other = crate::spawn(async move { turn.set(true) });
        // None of these need wait, and a round has a share for far fewer of them.
        for _ in 0..10_000 {
            read_through_cache(&file, 4, 0).await;
        }
        assert!(others.get(), "the shard was kept by the reads");
        other.await.expect("it does not panic");
    }

    #[corering::test]
    async fn a_place_that_no_file_has_is_an_error_of_a_read_through_the_cache_too() {
        let file = scratch(b"0123456789");
        let read = ReadAt::new(file, vec![1, 2], Position::At(u64::MAX)).through_cache(true);
        let error = submit(read).await.expect_err("no file reaches there");
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::InvalidInput);
    }

    fn on_pool() -> bool {
        !crate::driver::current().expect("the test runs on one").can().reads_files
    }

    #[corering::test]
    async fn a_device_is_read_as_a_file_is() {
        let zero = opened("/dev/zero");
        let (count, buf) = submit(ReadAt::new(zero, vec![1; 1_000], Position::At(0)))
            .await
            .expect("it can be read");
        assert_eq!(count, 1_000);
        assert!(buf.iter().all(|&byte| byte == 0));
    }
}
