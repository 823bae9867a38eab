//! The end that is written to.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind, IoSlice};
use std::mem;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::{PIECE, refuses_flag};
use crate::buf::{self, BufError, BufResult, IoBuf};
use crate::driver::{self, SharedFd, Submit, submit};
use crate::io::{OwnedWrite, PollWrite, owned};
use crate::net::WriteAbandoned;
use crate::op::poll_add::PollAdd;
use crate::op::position::Position;
use crate::op::write_at::WriteAt;
use crate::sys::file::{is_stream, refuses_offsets};
use crate::util::budget::{self, Toll};
use crate::util::shard_bound::{GiveTheDescriptorAway, ShardBound};
use crate::{op, sys};

/// The end of a pipe that is written to, and any descriptor that was inherited for writing. Dropping it
/// closes it; when all such ends are closed, the reader sees the end.
///
/// Made [of a descriptor](#impl-From<OwnedFd>-for-PipeWriter), it writes to a pipe, a FIFO, a terminal, a
/// socket or a device, and to a file at the file's own position, which other users of the open file
/// move, too. ([`fs::File`](crate::fs::File) writes at any place.)
///
/// It writes what there is room for by a plain call, and waits for more room. To a file, which never has
/// to be waited for, a thread of the pool writes pieces of 64 KiB.
///
/// The mode (`O_NONBLOCK`) of what came from outside is treated as [`fs::File`](crate::fs::File) treats
/// it: it is put back. A write to a pipe that is not read any more is an error, and no signal.
pub struct PipeWriter(ShardBound<Writer, dyn GiveTheDescriptorAway>);

struct Writer {
    /// `None` once it was shut down.
    fd: Option<SharedFd>,
    sink: Sink,
    /// So much of a `write_all` was written that has not ended.
    unfinished: usize,
    toll: Toll,
}

/// How the bytes leave.
enum Sink {
    /// By a plain call, as far as there is room.
    Ready {
        /// The wait for room.
        room: Option<Box<Submit<PollAdd>>>,
    },
    /// By a thread of the pool, from a copy.
    Pool(OnPool),
}

/// A write by a thread of the pool.
#[derive(Default)]
struct OnPool {
    /// Whether there may be no room. A thread that waits for a pipe could not be called back.
    waits: bool,
    room: Option<Box<Submit<PollAdd>>>,
    /// What the next write begins with: an earlier one had no room for it.
    left: Option<Vec<u8>>,
    /// It goes on, though the future that began it is dropped.
    writing: Option<Submit<WriteAt<Vec<u8>>>>,
}

impl PipeWriter {
    pub(super) fn new(fd: SharedFd) -> Self {
        let sink = match is_stream(fd.as_fd()) || refuses_offsets(fd.as_fd()) {
            true => Sink::Ready { room: None },
            false => Sink::Pool(OnPool::default()),
        };
        let writer = Writer { fd: Some(fd), sink, unfinished: 0, toll: Toll::Due };
        PipeWriter(ShardBound::new(writer))
    }

    /// Never changes the mode of the open file, which others use at the same time.
    pub(crate) fn sharing(fd: OwnedFd) -> Self {
        let fd = SharedFd::from(fd);
        fd.keep_mode();
        PipeWriter::new(fd)
    }

    /// Another descriptor of what is open.
    pub(crate) fn duplicate(&self) -> io::Result<OwnedFd> {
        self.0.fd.as_ref().ok_or_else(was_shut_down)?.expose().try_clone_to_owned()
    }

    /// Writes bytes of `buf`, as many as there is room for, and returns how many.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has written nothing, except to a file.
    ///
    /// # Errors
    ///
    /// Those of `write(2)`, for instance `BrokenPipe`, and [`WriteAbandoned`]; the error carries the
    /// buffer.
    ///
    /// # Examples
    ///
    /// ```
    /// # corering::block_on(async {
    /// let (_reader, mut writer) = corering::io::pipe()?;
    /// let (count, buf) = writer.write(vec![7; 100]).await?;
    /// assert_eq!((count, buf.len()), (100, 100));
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn write<B: IoBuf>(&mut self, buf: B) -> BufResult<usize, B> {
        let (count, buf) = owned::write(self, buf).await?;
        match self.0.finish(count).await {
            Ok(()) => Ok((count, buf)),
            Err(error) => Err(BufError::new(error, buf)),
        }
    }

    /// Writes all of `buf` and gives it back. At most 4 KiB (`PIPE_BUF`) that are one write reach a pipe
    /// in one piece, whoever else writes to it.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it may have written a part. The next write then fails once with a [`WriteAbandoned`] that
    /// says how much.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    ///
    /// # Examples
    ///
    /// ```
    /// # corering::block_on(async {
    /// let (mut reader, mut writer) = corering::io::pipe()?;
    /// let written = async {
    ///     writer.write_all(vec![7; 100_000]).await?;
    ///     writer.close().await
    /// };
    /// let read = reader.read_exact(Vec::with_capacity(100_000), 100_000);
    /// let (written, read) = futures_util::join!(written, read);
    /// assert!(read?.iter().all(|&byte| byte == 7));
    /// # written?;
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn write_all<B: IoBuf>(&mut self, buf: B) -> Result<B, BufError<B>> {
        match self.0.write_all(buf::as_slice(&buf)).await {
            (_, Ok(())) => Ok(buf),
            (written, Err(error)) => Err(BufError::new(error, buf).after(written)),
        }
    }

    /// Closes the end, behind what was written, and says if that failed. Dropping it closes it, too,
    /// without waiting.
    ///
    /// # Cancel safety
    ///
    /// The end is closed also if the future is dropped.
    ///
    /// # Errors
    ///
    /// Those of `close(2)`, and those of what was written to a file earlier.
    ///
    /// # Examples
    ///
    /// ```
    /// # corering::block_on(async {
    /// let (mut reader, writer) = corering::io::pipe()?;
    /// writer.close().await?;
    /// assert!(reader.recv().await?.is_empty());
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "IORING_OP_CLOSE")]
    pub async fn close(self) -> io::Result<()> {
        let fd = self.into_fd().await?;
        submit(op::close::Close::new(fd)).await
    }

    /// Gives the descriptor away, in the mode in which it came, behind what was written.
    ///
    /// # Cancel safety
    ///
    /// Dropped before its end, the writer is closed.
    ///
    /// # Errors
    ///
    /// The runtime has ended, or the writer was shut down; and those of what was written to a file
    /// earlier.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::Write;
    ///
    /// let (mut reader, writer) = std::io::pipe()?;
    /// let writer = corering::io::PipeWriter::from(writer);
    /// let writer = corering::block_on(writer.into_fd())?;
    /// std::io::PipeWriter::from(writer).write_all(b"hello")?;
    /// # let mut all = String::new();
    /// # std::io::Read::read_to_string(&mut reader, &mut all)?;
    /// # assert_eq!(all, "hello");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn into_fd(self) -> io::Result<OwnedFd> {
        budget::pay().await;
        let mut writer = self.0.into_inner();
        poll_fn(|cx| writer.poll_sent(cx)).await?;
        let Writer { fd, sink, .. } = writer;
        drop(sink);
        op::close::alone(fd.ok_or_else(was_shut_down)?).await
    }
}

impl Writer {
    /// Writes all, and says how much was written before an error.
    async fn write_all(&mut self, bytes: &[u8]) -> (usize, io::Result<()>) {
        let mut written = 0;
        let mut ended = self.tell_unfinished();
        while written < bytes.len() && ended.is_ok() {
            let piece = [IoSlice::new(&bytes[written..])];
            ended = match poll_fn(|cx| self.poll_some(cx, &piece)).await {
                Ok(0) => Err(ErrorKind::WriteZero.into()),
                Ok(count) => {
                    written += count;
                    self.unfinished = written;
                    Ok(())
                }
                Err(error) => Err(error),
            };
        }
        if ended.is_ok() {
            ended = self.finish(written).await;
        }
        self.unfinished = 0;
        (written, ended)
    }

    /// Waits until what a thread writes is written.
    async fn finish(&mut self, written: usize) -> io::Result<()> {
        if let Sink::Pool(OnPool { writing: Some(_), .. } | OnPool { left: Some(_), .. }) =
            self.sink
        {
            self.unfinished = written;
            let ended = poll_fn(|cx| self.poll_sent(cx)).await;
            self.unfinished = 0;
            return ended;
        }
        Ok(())
    }

    /// Fails once for a `write_all` that was given up half way.
    fn tell_unfinished(&mut self) -> io::Result<()> {
        match mem::take(&mut self.unfinished) {
            0 => Ok(()),
            written => Err(io::Error::other(WriteAbandoned { written })),
        }
    }

    fn poll_some(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Writer { fd, sink, toll, .. } = self;
        let fd = fd.as_ref().ok_or_else(was_shut_down)?;
        if let Sink::Ready { room } = sink {
            match room {
                Some(_) => ready!(poll_room(room, cx))?,
                None => ready!(toll.pay(cx.waker())),
            }
            if pieces.iter().all(|piece| piece.is_empty()) {
                return Poll::Ready(Ok(0));
            }
            loop {
                match op::stream::write(&*driver::current()?, fd, pieces) {
                    Some(Err(error)) if refuses_flag(&error) && fd.calls_by_flag() => break,
                    Some(written) => return Poll::Ready(written.map(|count| count as usize)),
                    None => {}
                }
                *room = Some(Box::new(submit(PollAdd::writable(fd.clone()))));
                ready!(poll_room(room, cx))?;
            }
            self.sink = Sink::Pool(OnPool { waits: true, ..OnPool::default() });
        }
        let (Some(fd), Sink::Pool(pool)) = (&self.fd, &mut self.sink) else {
            unreachable!("it writes by the pool")
        };
        pool.poll_write(fd, cx, pieces)
    }

    /// Waits until what a thread writes is written.
    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match (&self.fd, &mut self.sink) {
            (Some(fd), Sink::Pool(pool)) => pool.poll_sent(fd, cx),
            _ => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_sent(cx))?;
        if let Sink::Ready { room } = &mut self.sink {
            *room = None;
        }
        if let Some(fd) = self.fd.take() {
            // Of a socket others may have a duplicate; of all else it is a question without effect.
            sys::socket::end_sending(fd.as_fd());
        }
        Poll::Ready(Ok(()))
    }
}

impl OnPool {
    /// Has a thread write a copy of what comes first, behind what it writes.
    fn poll_write(
        &mut self,
        fd: &SharedFd,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_sent(fd, cx))?;
        let piece = if self.waits { ROOM_MIN } else { PIECE };
        let mut copy = Vec::new();
        for bytes in pieces {
            copy.extend_from_slice(&bytes[..bytes.len().min(piece - copy.len())]);
        }
        let count = copy.len();
        if count > 0 {
            ready!(self.poll_room(fd, cx))?;
            let mut write = submit(WriteAt::new(fd.clone(), copy, Position::Own));
            // It begins now, whether or not it is waited for.
            match budget::without_limit(|| Pin::new(&mut write).poll(cx)) {
                Poll::Ready(written) => self.ended(written)?,
                Poll::Pending => self.writing = Some(write),
            }
        }
        Poll::Ready(Ok(count))
    }

    /// Waits until what a thread writes is written.
    fn poll_sent(&mut self, fd: &SharedFd, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if let Some(write) = &mut self.writing {
                let written = ready!(Pin::new(write).poll(cx));
                self.writing = None;
                self.ended(written)?;
            }
            if self.left.is_none() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_room(fd, cx))?;
            let left = self.left.take().expect("there is some");
            self.writing = Some(submit(WriteAt::new(fd.clone(), left, Position::Own)));
        }
    }

    /// Keeps what a write has not written.
    fn ended(&mut self, written: BufResult<usize, Vec<u8>>) -> io::Result<()> {
        match written {
            Ok((0, _)) => return Err(ErrorKind::WriteZero.into()),
            Ok((count, mut bytes)) => {
                bytes.drain(..count);
                self.left = Some(bytes).filter(|left| !left.is_empty());
            }
            // The mode is others': they have set `O_NONBLOCK`, and have taken the room.
            Err(failed) if self.waits && failed.error.kind() == ErrorKind::WouldBlock => {
                self.left = Some(failed.into_parts().1);
            }
            Err(failed) => return Err(failed.into()),
        }
        Ok(())
    }

    fn poll_room(&mut self, fd: &SharedFd, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.waits {
            return Poll::Ready(Ok(()));
        }
        self.room.get_or_insert_with(|| Box::new(submit(PollAdd::writable(fd.clone()))));
        poll_room(&mut self.room, cx)
    }
}

/// Bytes for which a pipe has room when it is writable: a thread does not wait for more (`PIPE_BUF`).
const ROOM_MIN: usize = 4096;

/// Waits for room.
fn poll_room(
    room: &mut Option<Box<Submit<PollAdd>>>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    let Some(wait) = room else { return Poll::Ready(Ok(())) };
    let waited = ready!(Pin::new(&mut **wait).poll(cx));
    *room = None;
    Poll::Ready(match waited {
        // Its runtime has ended: it goes on in this one.
        Err(error) if error.raw_os_error() == Some(libc::ECANCELED) => Ok(()),
        waited => waited,
    })
}

fn was_shut_down() -> io::Error {
    io::Error::new(ErrorKind::BrokenPipe, "this end of the pipe was shut down")
}

impl PollWrite for PipeWriter {
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.tell_unfinished()?;
        self.0.poll_some(cx, pieces)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_sent(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_shutdown(cx)
    }
}

impl OwnedWrite for PipeWriter {
    fn write<B: IoBuf>(&mut self, buf: B) -> impl Future<Output = BufResult<usize, B>> {
        PipeWriter::write(self, buf)
    }

    fn write_all<B: IoBuf>(&mut self, buf: B) -> impl Future<Output = Result<B, BufError<B>>> {
        PipeWriter::write_all(self, buf)
    }

    fn flush(&mut self) -> impl Future<Output = io::Result<()>> {
        owned::flush(self)
    }

    fn shutdown(&mut self) -> impl Future<Output = io::Result<()>> {
        owned::shutdown(self)
    }
}

impl From<OwnedFd> for PipeWriter {
    /// Takes over whatever is open under a descriptor, for writing.
    fn from(fd: OwnedFd) -> Self {
        PipeWriter::new(SharedFd::from(fd))
    }
}

impl From<io::PipeWriter> for PipeWriter {
    fn from(writer: io::PipeWriter) -> Self {
        OwnedFd::from(writer).into()
    }
}

impl fmt::Debug for PipeWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fd = self.0.fd.as_ref().map(SharedFd::raw);
        f.debug_struct("PipeWriter").field("fd", &fd).finish()
    }
}
