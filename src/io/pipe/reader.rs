//! The end that is read from.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::{PIECE, refuses_flag};
use crate::buf::{self, BufError, BufResult, IoBufMut, RecvBuf};
use crate::driver::{ReadableWait, SharedFd, Submit, submit};
use crate::io::{Lend, OwnedRead, owned};
use crate::op;
use crate::op::poll_add::PollAdd;
use crate::op::position::Position;
use crate::op::read_at::ReadAt;
use crate::sys::file::{is_stream, refuses_offsets};
use crate::util::budget::{self, Toll};
use crate::util::shard_bound::{GiveTheDescriptorAway, ShardBound};

/// The end of a pipe that is read from, and any descriptor that was inherited for reading.
///
/// Made [of a descriptor](#impl-From<OwnedFd>-for-PipeReader), it reads what comes next of a pipe, a
/// FIFO, a terminal, a socket or a device, and of a file what stands at the file's own position, which
/// other users of the open file move, too. ([`fs::File`](crate::fs::File) reads at any place.)
///
/// It waits until there is something to read, and reads it by a plain call then; so nothing is in
/// flight that a drop could lose, and what waits holds no buffer. A file, which is always ready, is
/// read by a thread of the pool, ahead of its reader by one piece of 64 KiB at most, and only when asked.
///
/// The mode (`O_NONBLOCK`) of what came from outside is treated as [`fs::File`](crate::fs::File) treats
/// it: it is put back.
pub struct PipeReader(ShardBound<Reader, dyn GiveTheDescriptorAway>);

struct Reader {
    fd: SharedFd,
    /// What was put back; comes first.
    rest: Option<RecvBuf>,
    source: Source,
    toll: Toll,
}

/// How the bytes come.
enum Source {
    /// By a plain call, once there are some.
    Ready(ReadableWait),
    /// By a thread of the pool, since no call can be told not to wait.
    Pool(OnPool),
}

/// A read by a thread of the pool, in two steps.
#[derive(Default)]
struct OnPool {
    /// Whether there may be nothing yet. A thread that waits for a terminal could not be called back.
    waits: bool,
    waiting: Option<Submit<PollAdd>>,
    /// It stays, though the future that began it is dropped.
    reading: Option<Submit<ReadAt<Vec<u8>>>>,
}

impl PipeReader {
    pub(super) fn new(fd: SharedFd) -> Self {
        let is_stream = is_stream(fd.as_fd()) || refuses_offsets(fd.as_fd());
        let source = match is_stream {
            true => Source::Ready(ReadableWait::default()),
            false => Source::Pool(OnPool::default()),
        };
        PipeReader(ShardBound::new(Reader { fd, rest: None, source, toll: Toll::Due }))
    }

    /// Of a FIFO. While no writer has come it reads as its end, so the first read waits for an event.
    pub(super) fn of_fifo(fd: SharedFd) -> Self {
        let source = Source::Ready(ReadableWait::for_an_event());
        PipeReader(ShardBound::new(Reader { fd, rest: None, source, toll: Toll::Due }))
    }

    /// Never changes the mode of the open file, which others use at the same time.
    pub(crate) fn sharing(fd: OwnedFd) -> Self {
        let fd = SharedFd::from(fd);
        fd.keep_mode();
        PipeReader::new(fd)
    }

    /// Whether a thread of the pool reads for it.
    pub(crate) fn reads_on(&self) -> bool {
        matches!(&self.0.source, Source::Pool(OnPool { reading: Some(_), .. }))
    }

    /// Takes what was put back, or read ahead.
    pub(crate) fn take_rest(&mut self) -> Vec<u8> {
        self.0.rest.take().map(Vec::from).unwrap_or_default()
    }

    /// The next bytes, in memory of the shard's that is chosen when they are there. Empty at the end:
    /// when all ends that are written to are closed, and what was written is read.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    ///
    /// # Errors
    ///
    /// Those of `read(2)`.
    ///
    /// # Examples
    ///
    /// ```
    /// # corering::block_on(async {
    /// let (mut reader, mut writer) = corering::io::pipe()?;
    /// writer.write_all("hello").await?;
    /// assert_eq!(reader.recv().await?, "hello");
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn recv(&mut self) -> impl Future<Output = io::Result<RecvBuf>> {
        poll_fn(|cx| self.0.poll_lend(cx))
    }

    /// Reads into `buf`, from its beginning up to its capacity; the buffer's length is then the number
    /// of bytes. 0 at the end, and only there.
    ///
    /// # Cancel safety
    ///
    /// No byte is lost; the buffer is.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a buffer without room, and those of `read(2)`; the error carries the buffer.
    ///
    /// # Examples
    ///
    /// ```
    /// # corering::block_on(async {
    /// let (mut reader, mut writer) = corering::io::pipe()?;
    /// writer.write_all("hello").await?;
    /// let (count, buf) = reader.read(Vec::with_capacity(100)).await?;
    /// assert_eq!((count, &*buf), (5, &b"hello"[..]));
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn read<B: IoBufMut>(&mut self, mut buf: B) -> BufResult<usize, B> {
        let part = 0..buf.capacity();
        if part.is_empty() {
            return Err(BufError::new(buf::no_room(), buf));
        }
        match poll_fn(|cx| self.0.poll_read(cx, &mut buf, part.clone())).await {
            Ok(count) => Ok((count, buf)),
            Err(error) => Err(BufError::new(error, buf)),
        }
    }

    /// Reads `n` bytes into `buf`, from its beginning on, and makes it as long.
    ///
    /// # Cancel safety
    ///
    /// No byte is lost; the buffer is.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if the pipe ends before, `InvalidInput` if the buffer has less room, and those of
    /// `read(2)`; the error carries the buffer.
    ///
    /// # Examples
    ///
    /// ```
    /// # corering::block_on(async {
    /// let (mut reader, mut writer) = corering::io::pipe()?;
    /// writer.write_all("\x05hello").await?;
    /// let head = reader.read_exact(Vec::with_capacity(1), 1).await?;
    /// let body = reader.read_exact(Vec::with_capacity(5), head[0].into()).await?;
    /// assert_eq!(body, b"hello");
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn read_exact<B: IoBufMut>(
        &mut self,
        buf: B,
        n: usize,
    ) -> impl Future<Output = Result<B, BufError<B>>> {
        owned::fill_exact(self, buf, n)
    }

    /// Gives the descriptor away, in the mode in which it came, and what was read and not taken.
    ///
    /// # Cancel safety
    ///
    /// Dropped before its end, the reader is closed.
    ///
    /// # Errors
    ///
    /// The runtime has ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::Read;
    ///
    /// let (reader, mut rest) = corering::block_on(async {
    ///     let (reader, mut writer) = corering::io::pipe()?;
    ///     writer.write_all("hello").await?;
    ///     reader.into_parts().await
    /// })?;
    /// std::io::PipeReader::from(reader).read_to_end(&mut rest)?;
    /// assert_eq!(rest, b"hello");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn into_parts(self) -> io::Result<(OwnedFd, Vec<u8>)> {
        budget::pay().await;
        let Reader { fd, rest, source, .. } = self.0.into_inner();
        let mut rest = rest.map(Vec::from).unwrap_or_default();
        if let Source::Pool(OnPool { reading: Some(mut reading), .. }) = source {
            match poll_fn(|cx| reading.poll_end(cx)).await {
                Some(Ok((_, bytes))) => rest.extend(bytes),
                Some(Err(failed)) => return Err(failed.into()),
                None => {}
            }
        }
        Ok((op::close::alone(fd).await?, rest))
    }
}

impl Reader {
    fn poll_lend(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<RecvBuf>> {
        if self.rest.is_some() {
            ready!(self.toll.pay(cx.waker()));
        }
        if let Some(rest) = self.rest.take() {
            return Poll::Ready(Ok(rest));
        }
        let Reader { fd, source, .. } = self;
        if let Source::Ready(wait) = source {
            let read = ready!(wait.poll(fd, cx, |driver| op::stream::read_lent(driver, fd)));
            if !self.goes_to_pool(&read) {
                return Poll::Ready(read);
            }
        }
        let Reader { fd, source, .. } = self;
        let Source::Pool(pool) = source else { unreachable!("it goes there") };
        pool.poll(fd, cx)
    }

    /// Reads into a part of a buffer.
    fn poll_read<B: IoBufMut>(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut B,
        part: Range<usize>,
    ) -> Poll<io::Result<usize>> {
        let Reader { fd, source, rest, .. } = self;
        if let (Source::Ready(wait), None) = (source, rest) {
            let read = ready!(wait.poll(fd, cx, |driver| op::stream::read_into(
                driver,
                fd,
                buf,
                part.clone()
            )));
            if !self.goes_to_pool(&read) {
                return Poll::Ready(read);
            }
        }
        let mut bytes = ready!(self.poll_lend(cx))?;
        let count = buf::fill(buf, part, &bytes);
        bytes.advance(count);
        self.put_back(bytes);
        Poll::Ready(Ok(count))
    }

    /// Whether a read was refused since no call can be told not to wait.
    fn goes_to_pool<T>(&mut self, read: &io::Result<T>) -> bool {
        let refused = read.as_ref().err().is_some_and(refuses_flag) && self.fd.calls_by_flag();
        if refused {
            self.source = Source::Pool(OnPool { waits: true, ..OnPool::default() });
        }
        refused
    }

    fn put_back(&mut self, bytes: RecvBuf) {
        if bytes.is_empty() {
            return;
        }
        let behind = self.rest.take();
        self.rest = Some(bytes.followed_by(behind.as_deref().unwrap_or_default()));
    }
}

impl OnPool {
    fn poll(&mut self, fd: &SharedFd, cx: &mut Context<'_>) -> Poll<io::Result<RecvBuf>> {
        loop {
            if let Some(reading) = &mut self.reading {
                let read = ready!(Pin::new(reading).poll(cx));
                self.reading = None;
                match read {
                    Ok((_, bytes)) => return Poll::Ready(Ok(RecvBuf::from_vec(bytes))),
                    // The mode is others': they have set `O_NONBLOCK`, and have taken what was there.
                    Err(failed) if self.waits && failed.error.kind() == ErrorKind::WouldBlock => {}
                    Err(failed) => return Poll::Ready(Err(failed.into())),
                }
            }
            if self.waits {
                let readable = || submit(PollAdd::readable(fd.clone()));
                let waited = ready!(Pin::new(self.waiting.get_or_insert_with(readable)).poll(cx));
                self.waiting = None;
                waited?;
            }
            let read = ReadAt::new(fd.clone(), Vec::with_capacity(PIECE), Position::Own);
            self.reading = Some(submit(read));
        }
    }
}

impl Lend for PipeReader {
    fn poll_lend(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<RecvBuf>> {
        self.0.poll_lend(cx)
    }

    fn put_back(&mut self, bytes: RecvBuf) {
        self.0.put_back(bytes);
    }
}

impl OwnedRead for PipeReader {
    fn read<B: IoBufMut>(&mut self, buf: B) -> impl Future<Output = BufResult<usize, B>> {
        PipeReader::read(self, buf)
    }

    fn read_exact<B: IoBufMut>(
        &mut self,
        buf: B,
        n: usize,
    ) -> impl Future<Output = Result<B, BufError<B>>> {
        PipeReader::read_exact(self, buf, n)
    }
}

impl From<OwnedFd> for PipeReader {
    /// Takes over whatever is open under a descriptor, for reading.
    ///
    /// One that the program was started with is inherited by its children, too, unless it is set to close
    /// on exec: make the reader of a duplicate (`try_clone_to_owned`), which is.
    ///
    /// # Examples
    ///
    /// A descriptor that a shell has opened: `program 3< file`, or `program 3< <(command)`.
    ///
    /// ```no_run
    /// use std::os::fd::BorrowedFd;
    ///
    /// use corering::io::{PipeReader, lines};
    ///
    /// #[corering::main]
    /// async fn main() -> std::io::Result<()> {
    ///     // SAFETY: the program opens nothing before this, and never closes 3.
    ///     let inherited = unsafe { BorrowedFd::borrow_raw(3) };
    ///     let mut lines = lines(PipeReader::from(inherited.try_clone_to_owned()?));
    ///     while let Some(line) = lines.next_line().await? {
    ///         println!("{line}");
    ///     }
    ///     Ok(())
    /// }
    /// ```
    fn from(fd: OwnedFd) -> Self {
        PipeReader::new(SharedFd::from(fd))
    }
}

impl From<io::PipeReader> for PipeReader {
    fn from(reader: io::PipeReader) -> Self {
        OwnedFd::from(reader).into()
    }
}

impl AsFd for PipeReader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.fd.expose()
    }
}

impl AsRawFd for PipeReader {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl fmt::Debug for PipeReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PipeReader {{ fd: {} }}", self.0.fd.raw())
    }
}
