//! Reads and writes that go on until all is done.

use std::io;

use super::File;
use super::alignment::{Extent, is_misaligned};
use crate::buf::{BufError, BufResult, IoBuf, IoBufMut, little_room};
use crate::driver::{SharedFd, submit};
use crate::op::{position::Position, read_at::ReadAt, write_at::WriteAt};

/// A file from a place on, while something of it has been transferred.
pub(super) struct Progress {
    fd: SharedFd,
    /// Where the first byte is.
    begin: Position,
    through_cache: bool,
    done: usize,
}

impl Progress {
    pub(super) fn of(file: &File, offset: u64) -> Self {
        Progress {
            fd: file.shared().clone(),
            begin: file.position(offset),
            through_cache: file.asks_cache(),
            done: 0,
        }
    }

    /// Where it goes on.
    fn position(&self) -> Position {
        match self.begin {
            Position::At(offset) => Position::At(offset.saturating_add(self.done as u64)),
            Position::Stream | Position::Own => self.begin,
        }
    }

    /// Reads on, into the room after what is done and before `end`.
    async fn read<B: IoBufMut>(&mut self, buf: B, end: usize) -> BufResult<usize, B> {
        let position = self.position();
        let extent = Extent::at(position).with(&buf, self.done, end - self.done);
        let read = ReadAt::within(self.fd.clone(), buf, self.done..end, position);
        let outcome = submit(read.through_cache(self.through_cache)).await;
        self.after(outcome, extent)
    }

    /// Writes on, what is left of the buffer after what is done.
    async fn write<B: IoBuf>(&mut self, buf: B) -> BufResult<usize, B> {
        let position = self.position();
        let extent = Extent::at(position).with(&buf, self.done, buf.bytes_len() - self.done);
        let write = WriteAt::after(self.fd.clone(), buf, self.done, position);
        let outcome = submit(write.through_cache(self.through_cache)).await;
        self.after(outcome, extent)
    }

    fn after<B>(&mut self, outcome: BufResult<usize, B>, extent: Extent) -> BufResult<usize, B> {
        match outcome {
            Ok((count, buf)) => {
                self.done += count;
                Ok((count, buf))
            }
            Err(failed) => Err(extent.explain(&self.fd, failed).after(self.done)),
        }
    }

    /// Nothing more comes or goes.
    fn ended<B>(&self, kind: io::ErrorKind, text: String, buf: B) -> BufError<B> {
        BufError::new(io::Error::new(kind, text), buf).after(self.done)
    }
}

/// Reads so many bytes.
pub(super) async fn read_exact<B: IoBufMut>(
    mut file: Progress,
    mut buf: B,
    goal: usize,
) -> Result<B, BufError<B>> {
    let room = buf.capacity();
    if room < goal {
        return Err(BufError::new(little_room(room, goal), buf));
    }
    loop {
        let count;
        (count, buf) = match file.read(buf, goal).await {
            // With `O_DIRECT` only the end of a file is a part of a block. To read on from there is
            // not aligned any more, and the kernel looks at that before it looks at the end.
            Err(failed) if file.done > 0 && is_misaligned(&failed.error) => {
                (0, failed.into_parts().1)
            }
            read => read?,
        };
        if file.done >= goal {
            return Ok(buf);
        }
        if count == 0 {
            let text = format!("the file ended after {} of {goal} bytes", file.done);
            return Err(file.ended(io::ErrorKind::UnexpectedEof, text, buf));
        }
    }
}

/// Writes a whole buffer.
pub(super) async fn write_all<B: IoBuf>(mut file: Progress, mut buf: B) -> Result<B, BufError<B>> {
    let goal = buf.bytes_len();
    loop {
        let count;
        (count, buf) = file.write(buf).await?;
        if file.done >= goal {
            return Ok(buf);
        }
        if count == 0 {
            let text = format!("the file takes no more after {} of {goal} bytes", file.done);
            return Err(file.ended(io::ErrorKind::WriteZero, text, buf));
        }
    }
}

/// The first read asks for so much: more than most files that are read whole, and little to clear.
const FIRST_READ: usize = 32 * 1024;

/// Reads all that a file holds, without asking for its size first: that would be a trip to the disk
/// of its own, and what it told would not have to be true.
pub(super) async fn read_to_end(mut file: Progress) -> io::Result<Vec<u8>> {
    let mut buf = Vec::with_capacity(FIRST_READ);
    loop {
        let (count, end) = (file.done, buf.capacity());
        (_, buf) = file.read(buf, end).await?;
        if count == file.done {
            // A small file must not hold a large buffer for as long as its contents live.
            if buf.len() < buf.capacity() / 2 {
                buf.shrink_to_fit();
            }
            return Ok(buf);
        }
        if buf.len() == buf.capacity() {
            // Twice as much each time, so that no byte is copied more than about once.
            buf.try_reserve(buf.capacity()).map_err(|_| io::ErrorKind::OutOfMemory)?;
        }
    }
}
