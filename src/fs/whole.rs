//! Reads and writes that go on until all is done.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::File;
use super::transfer::{Extent, Misaligned, Transfer};
use crate::buf::{BufError, IoBuf, IoBufMut, little_room};
use crate::driver::{Expire, SharedFd};
use crate::op::{position::Position, read_at::ReadAt, write_at::WriteAt};

/// The place `done` bytes after another.
fn after(position: Position, done: usize) -> Position {
    match position {
        Position::At(offset) => Position::At(offset.saturating_add(done as u64)),
        Position::Stream => Position::Stream,
    }
}

/// A file from a place on, while something of it has been transferred.
struct Progress {
    fd: SharedFd,
    /// Where the first byte is.
    position: Position,
    through_cache: bool,
    done: usize,
    /// The limit in time is over: what begins from now on ends at once.
    expired: bool,
}

impl Progress {
    fn of(file: &File, offset: u64) -> Self {
        Progress {
            fd: file.shared().clone(),
            position: file.position(offset),
            through_cache: file.asks_cache(),
            done: 0,
            expired: false,
        }
    }

    /// Reads on, into the room after what is done and before `end`.
    fn read<B: IoBufMut>(&self, buf: B, end: usize) -> Transfer<ReadAt<B>, B> {
        let position = after(self.position, self.done);
        let extent = Extent::at(position).with(&buf, self.done, end - self.done);
        let read = ReadAt::within(self.fd.clone(), buf, self.done..end, position);
        let read = read.through_cache(self.through_cache);
        let mut transfer = Transfer::new(&self.fd, read, extent);
        if self.expired {
            transfer.expire();
        }
        transfer
    }

    /// Writes on, what is left of the buffer after what is done.
    fn write<B: IoBuf>(&self, buf: B) -> Transfer<WriteAt<B>, B> {
        let position = after(self.position, self.done);
        let left = buf.bytes_len() - self.done;
        let extent = Extent::at(position).with(&buf, self.done, left);
        let write = WriteAt::after(self.fd.clone(), buf, self.done, position);
        let write = write.through_cache(self.through_cache);
        let mut transfer = Transfer::new(&self.fd, write, extent);
        if self.expired {
            transfer.expire();
        }
        transfer
    }
}

/// Reads so many bytes.
pub(super) struct ReadExact<B: IoBufMut> {
    progress: Progress,
    transfer: Transfer<ReadAt<B>, B>,
    goal: usize,
}

impl<B: IoBufMut> ReadExact<B> {
    pub(super) fn of(file: &File, buf: B, goal: usize, offset: u64) -> Self {
        let progress = Progress::of(file, offset);
        let room = buf.capacity();
        let transfer = match room < goal {
            true => Transfer::refused(&progress.fd, BufError::new(little_room(room, goal), buf)),
            false => progress.read(buf, goal),
        };
        ReadExact { transfer, progress, goal }
    }
}

impl<B: IoBufMut> Future for ReadExact<B> {
    type Output = Result<B, BufError<B>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            let (count, buf) = match ready!(Pin::new(&mut this.transfer).poll(cx)) {
                Ok(read) => read,
                Err(failed) if this.is_past_the_end(&failed.error) => (0, failed.into_parts().1),
                Err(failed) => return Poll::Ready(Err(failed)),
            };
            this.progress.done += count;
            if this.progress.done >= this.goal {
                return Poll::Ready(Ok(buf));
            }
            if count == 0 {
                let text =
                    format!("the file ended after {} of {} bytes", this.progress.done, this.goal);
                let error = io::Error::new(io::ErrorKind::UnexpectedEof, text);
                return Poll::Ready(Err(BufError::new(error, buf)));
            }
            this.transfer = this.progress.read(buf, this.goal);
        }
    }
}

impl<B: IoBufMut> ReadExact<B> {
    /// With `O_DIRECT` only the end of a file is a part of a block. To read on from there is not
    /// aligned any more, and the kernel looks at that before it looks at the end.
    fn is_past_the_end(&self, error: &io::Error) -> bool {
        self.progress.done > 0 && error.get_ref().is_some_and(|error| error.is::<Misaligned>())
    }
}

impl<B: IoBufMut> Expire for ReadExact<B> {
    fn expire(&mut self) {
        self.progress.expired = true;
        self.transfer.expire();
    }
}

/// Writes a whole buffer.
pub(super) struct WriteAll<B: IoBuf> {
    progress: Progress,
    transfer: Transfer<WriteAt<B>, B>,
    goal: usize,
}

impl<B: IoBuf> WriteAll<B> {
    pub(super) fn of(file: &File, buf: B, offset: u64) -> Self {
        let progress = Progress::of(file, offset);
        let goal = buf.bytes_len();
        WriteAll { transfer: progress.write(buf), progress, goal }
    }
}

impl<B: IoBuf> Future for WriteAll<B> {
    type Output = Result<B, BufError<B>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            let (count, buf) = ready!(Pin::new(&mut this.transfer).poll(cx))?;
            this.progress.done += count;
            if this.progress.done >= this.goal {
                return Poll::Ready(Ok(buf));
            }
            if count == 0 {
                let text = format!(
                    "the file takes no more after {} of {} bytes",
                    this.progress.done, this.goal
                );
                let error = io::Error::new(io::ErrorKind::WriteZero, text);
                return Poll::Ready(Err(BufError::new(error, buf)));
            }
            this.transfer = this.progress.write(buf);
        }
    }
}

impl<B: IoBuf> Expire for WriteAll<B> {
    fn expire(&mut self) {
        self.progress.expired = true;
        self.transfer.expire();
    }
}

/// Reads all that a file holds, without asking for its size first: that would be a trip to the disk
/// of its own, and what it told would not have to be true.
pub(super) struct ReadToEnd {
    progress: Progress,
    transfer: Transfer<ReadAt<Vec<u8>>, Vec<u8>>,
}

/// The first read asks for so much: more than most files that are read whole, and little to clear.
const FIRST_READ: usize = 32 * 1024;

impl ReadToEnd {
    pub(super) fn of(file: &File) -> Self {
        let progress = Progress::of(file, 0);
        let buf = Vec::with_capacity(FIRST_READ);
        let end = buf.capacity();
        ReadToEnd { transfer: progress.read(buf, end), progress }
    }
}

impl Future for ReadToEnd {
    type Output = io::Result<Vec<u8>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            let (count, mut buf) = ready!(Pin::new(&mut this.transfer).poll(cx))?;
            this.progress.done += count;
            if count == 0 {
                // A small file must not hold a large buffer for as long as its contents live.
                if buf.len() < buf.capacity() / 2 {
                    buf.shrink_to_fit();
                }
                return Poll::Ready(Ok(buf));
            }
            if buf.len() == buf.capacity() {
                // Twice as much each time, so that no byte is copied more than about once.
                buf.try_reserve(buf.capacity()).map_err(|_| io::ErrorKind::OutOfMemory)?;
            }
            let end = buf.capacity();
            this.transfer = this.progress.read(buf, end);
        }
    }
}

impl Expire for ReadToEnd {
    fn expire(&mut self) {
        self.progress.expired = true;
        self.transfer.expire();
    }
}
