//! A stream in memory, of which both ends are in one shard.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::io::{self, ErrorKind, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll};

use super::{Lend, OwnedRead, OwnedWrite, PollWrite, owned};
use crate::buf::{BufError, BufResult, IoBuf, IoBufMut, RecvBuf};
use crate::util::budget::Toll;
use crate::util::shard_bound::{ShardBound, UseUnixPairAcrossThreads};
use crate::util::waker_cell::WakerCell;

/// Makes two ends of a stream in memory: what is written to one is read from the other.
///
/// Each direction holds at most `capacity` bytes that were not read yet; a write waits for room. An end
/// that is dropped, or shut down, ends what the other reads, behind what was written.
///
/// # Panics
///
/// If `capacity` is 0, or 4 GiB or more.
///
/// # Examples
///
/// ```
/// # corering::block_on(async {
/// use corering::io::{OwnedRead, OwnedWrite, duplex};
///
/// let (mut one, mut other) = duplex(1024);
/// one.write_all("hello").await?;
/// one.shutdown().await?;
/// assert_eq!(other.read(Vec::with_capacity(10)).await?, (5, b"hello".to_vec()));
/// assert_eq!(other.read(Vec::with_capacity(10)).await?.0, 0);
/// # Ok::<(), std::io::Error>(())
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn duplex(capacity: usize) -> (DuplexStream, DuplexStream) {
    assert!(capacity > 0, "a stream in memory holds at least one byte");
    assert!(u32::try_from(capacity).is_ok(), "a stream in memory holds less than 4 GiB");
    let [one, other] = [(); 2].map(|()| ShardBound::new(Rc::new(Pipe::new(capacity))));
    (DuplexStream::new(one.clone(), other.clone()), DuplexStream::new(other, one))
}

/// One end of a stream in memory, from [`duplex`]. Dropping it closes it.
pub struct DuplexStream {
    incoming: ShardBound<Rc<Pipe>, dyn UseUnixPairAcrossThreads>,
    outgoing: ShardBound<Rc<Pipe>, dyn UseUnixPairAcrossThreads>,
    reads: Toll,
    writes: Toll,
}

impl DuplexStream {
    fn new(
        incoming: ShardBound<Rc<Pipe>, dyn UseUnixPairAcrossThreads>,
        outgoing: ShardBound<Rc<Pipe>, dyn UseUnixPairAcrossThreads>,
    ) -> Self {
        DuplexStream { incoming, outgoing, reads: Toll::Due, writes: Toll::Due }
    }
}

impl Lend for DuplexStream {
    fn poll_lend(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<RecvBuf>> {
        let DuplexStream { incoming, reads, .. } = self;
        reads.poll(cx, |cx| incoming.poll_read(cx)).map(Ok)
    }

    fn put_back(&mut self, bytes: RecvBuf) {
        self.incoming.put_back(bytes);
    }
}

impl OwnedRead for DuplexStream {
    fn read<B: IoBufMut>(&mut self, buf: B) -> impl Future<Output = BufResult<usize, B>> {
        owned::fill(self, buf)
    }

    fn read_exact<B: IoBufMut>(
        &mut self,
        buf: B,
        n: usize,
    ) -> impl Future<Output = Result<B, BufError<B>>> {
        owned::fill_exact(self, buf, n)
    }
}

impl PollWrite for DuplexStream {
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let DuplexStream { outgoing, writes, .. } = self;
        writes.poll(cx, |cx| outgoing.poll_write(cx, pieces))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.end();
        Poll::Ready(Ok(()))
    }
}

impl OwnedWrite for DuplexStream {
    fn write<B: IoBuf>(&mut self, buf: B) -> impl Future<Output = BufResult<usize, B>> {
        owned::write(self, buf)
    }

    fn flush(&mut self) -> impl Future<Output = io::Result<()>> {
        owned::flush(self)
    }

    fn shutdown(&mut self) -> impl Future<Output = io::Result<()>> {
        owned::shutdown(self)
    }
}

impl Drop for DuplexStream {
    fn drop(&mut self) {
        self.outgoing.end();
        self.incoming.abandon();
    }
}

impl fmt::Debug for DuplexStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (incoming, outgoing) = (self.incoming.len.get(), self.outgoing.len.get());
        write!(f, "DuplexStream {{ incoming: {incoming}, outgoing: {outgoing} }}")
    }
}

/// One direction. Nothing of it is borrowed while wakers and drops of others run.
struct Pipe {
    capacity: usize,
    /// Bytes in `first` and `written`.
    len: Cell<usize>,
    /// What was put back.
    first: Cell<Option<RecvBuf>>,
    written: Cell<Vec<u8>>,
    /// Nothing more is written.
    has_ended: Cell<bool>,
    /// Nobody reads any more.
    is_abandoned: Cell<bool>,
    reader: WakerCell,
    writer: WakerCell,
}

impl Pipe {
    fn new(capacity: usize) -> Self {
        Pipe {
            capacity,
            len: Cell::new(0),
            first: Cell::new(None),
            written: Cell::new(Vec::new()),
            has_ended: Cell::new(false),
            is_abandoned: Cell::new(false),
            reader: WakerCell::default(),
            writer: WakerCell::default(),
        }
    }

    fn poll_read(&self, cx: &mut Context<'_>) -> Poll<RecvBuf> {
        if self.len.get() == 0 && !self.has_ended.get() {
            // Registering may run code that writes, so the look comes behind it.
            self.reader.register(cx.waker());
        }
        if self.len.get() > 0 {
            return Poll::Ready(self.take());
        }
        if self.has_ended.get() { Poll::Ready(RecvBuf::empty()) } else { Poll::Pending }
    }

    fn take(&self) -> RecvBuf {
        let taken = self.first.take().unwrap_or_else(|| RecvBuf::from_vec(self.written.take()));
        self.len.set(self.len.get() - taken.len());
        self.writer.wake();
        taken
    }

    fn put_back(&self, bytes: RecvBuf) {
        if bytes.is_empty() {
            return;
        }
        self.len.set(self.len.get() + bytes.len());
        let behind = self.first.take();
        self.first.set(Some(bytes.followed_by(behind.as_deref().unwrap_or_default())));
    }

    fn poll_write(&self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let wanted: usize = pieces.iter().map(|piece| piece.len()).sum();
        if wanted > 0 && !self.has_room() {
            // As above.
            self.writer.register(cx.waker());
        }
        if self.has_ended.get() || self.is_abandoned.get() {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        if wanted > 0 && !self.has_room() {
            return Poll::Pending;
        }
        let count = wanted.min(self.capacity.saturating_sub(self.len.get()));
        let mut written = self.written.take();
        let mut left = count;
        for piece in pieces {
            let part = &piece[..piece.len().min(left)];
            written.extend_from_slice(part);
            left -= part.len();
        }
        self.written.set(written);
        self.len.set(self.len.get() + count);
        self.reader.wake();
        Poll::Ready(Ok(count))
    }

    fn has_room(&self) -> bool {
        self.len.get() < self.capacity || self.has_ended.get() || self.is_abandoned.get()
    }

    fn end(&self) {
        self.has_ended.set(true);
        self.writer.clear();
        self.reader.wake();
    }

    fn abandon(&self) {
        self.is_abandoned.set(true);
        self.reader.clear();
        self.len.set(0);
        drop((self.first.take(), self.written.take()));
        self.writer.wake();
    }
}
