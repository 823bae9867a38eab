//! Passing on what comes, in one direction or in both.

use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use super::{Lend, PollWrite};
use crate::buf::RecvBuf;

/// Writes to `writer` all that comes from `reader`, until its end, and returns how many bytes that
/// was. The sending side of `writer` stays open.
///
/// Bytes go from the memory that they were received in to the writer, and a copy that waits for bytes
/// holds none. Nothing is received while the writer has no room: what is left of the bytes then
/// moves to memory of its own size, at most 128 KiB (256 KiB of a file's [`Cursor`](crate::fs::Cursor)), and
/// the shard's is free for others. A writer that takes bytes and writes them later, as a `Cursor` does, is to
/// be flushed.
///
/// # Cancel safety
///
/// What was received and not written goes back to `reader`: a dropped copy can be begun again. Of a
/// copy that was forgotten (`mem::forget`) it is lost.
///
/// # Errors
///
/// Those of the two streams; [`CopyError`] says whose it is. What was received and not written goes
/// back to `reader`.
///
/// # Examples
///
/// ```
/// # corering::block_on(async {
/// use corering::io::{OwnedRead, copy, duplex};
/// use corering::net::UnixStream;
///
/// let (mut client, mut server) = UnixStream::pair()?;
/// client.write_all("hello").await?;
/// client.close().await?;
///
/// let (mut one, mut other) = duplex(1024);
/// assert_eq!(copy(&mut server, &mut one).await?, 5);
/// assert_eq!(other.read_exact(Vec::with_capacity(5), 5).await?, b"hello");
/// # Ok::<(), std::io::Error>(())
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub async fn copy<R: Lend, W: PollWrite>(reader: &mut R, writer: &mut W) -> Result<u64, CopyError> {
    let mut copying = Copying { reader, writer, direction: Direction::default() };
    poll_fn(|cx| copying.poll(cx)).await
}

/// Passes on what comes from `a` to `b`, and from `b` to `a`, until both have ended, and returns how
/// many bytes went each way.
///
/// Where one ends its sending side, the other's is ended behind what was passed on, and the other
/// direction goes on. Each direction passes bytes on as [`copy`] does.
///
/// # Cancel safety
///
/// What was received and not passed on goes back to the stream that it is from: a dropped copy can be
/// begun again. A direction that has ended ends again at once.
///
/// # Errors
///
/// Those of the two streams; [`CopyError`] says whose it is. Both directions stop, and what was
/// received and not passed on goes back to the stream that it is from.
///
/// # Examples
///
/// A proxy:
///
/// ```
/// # corering::block_on(async {
/// use corering::io::copy_bidirectional;
/// use corering::net::UnixStream;
///
/// let (mut client, mut front) = UnixStream::pair()?;
/// let (mut back, mut server) = UnixStream::pair()?;
/// let proxy = corering::spawn(async move { copy_bidirectional(&mut front, &mut back).await });
///
/// client.write_all("question").await?;
/// assert_eq!(server.recv().await?, "question");
/// client.shutdown(std::net::Shutdown::Write).await?;
/// assert!(server.recv().await?.is_empty());
/// server.write_all("answer").await?;
/// server.close().await?;
/// assert_eq!(client.recv().await?, "answer");
/// assert_eq!(proxy.await.expect("it does not panic")?, (8, 6));
/// # Ok::<(), std::io::Error>(())
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub async fn copy_bidirectional<A, B>(a: &mut A, b: &mut B) -> Result<(u64, u64), CopyError>
where
    A: Lend + PollWrite,
    B: Lend + PollWrite,
{
    let mut exchange = Exchange { a, b, there: Direction::default(), back: Direction::default() };
    poll_fn(|cx| exchange.poll(cx)).await
}

/// An error of [`copy`] or [`copy_bidirectional`], and whose it is.
#[derive(Debug)]
#[non_exhaustive]
pub struct CopyError {
    /// What went wrong.
    pub error: io::Error,
    /// The stream that failed.
    pub side: Side,
}

/// A stream, by its place among the arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The reader of [`copy`], the first stream of [`copy_bidirectional`].
    First,
    /// The writer of [`copy`], the second stream of [`copy_bidirectional`].
    Second,
}

impl Side {
    fn failed(self, error: io::Error) -> CopyError {
        CopyError { error, side: self }
    }
}

impl fmt::Display for CopyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.side {
            Side::First => "first",
            Side::Second => "second",
        };
        write!(f, "the {side} stream: {}", self.error)
    }
}

impl Error for CopyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

impl From<CopyError> for io::Error {
    fn from(failed: CopyError) -> Self {
        failed.error
    }
}

/// A copy under way. Dropped, it gives back what was not written.
struct Copying<'a, R: Lend, W: PollWrite> {
    reader: &'a mut R,
    writer: &'a mut W,
    direction: Direction,
}

impl<R: Lend, W: PollWrite> Copying<'_, R, W> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<u64, CopyError>> {
        let Copying { reader, writer, direction } = self;
        let (from, to) = ((&mut **reader, Side::First), (&mut **writer, Side::Second));
        ready!(direction.poll_to_end(from, to, cx))?;
        ready!(writer.poll_flush(cx)).map_err(|error| Side::Second.failed(error))?;
        Poll::Ready(Ok(direction.copied))
    }
}

impl<R: Lend, W: PollWrite> Drop for Copying<'_, R, W> {
    fn drop(&mut self) {
        self.direction.leave(self.reader);
    }
}

/// Copies in both directions. Dropped, they give back what was not written.
struct Exchange<'a, A: Lend + PollWrite, B: Lend + PollWrite> {
    a: &'a mut A,
    b: &'a mut B,
    there: Direction,
    back: Direction,
}

impl<A: Lend + PollWrite, B: Lend + PollWrite> Exchange<'_, A, B> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(u64, u64), CopyError>> {
        let Exchange { a, b, there, back } = self;
        let there_ended = there.poll_half((&mut **a, Side::First), (&mut **b, Side::Second), cx)?;
        let back_ended = back.poll_half((&mut **b, Side::Second), (&mut **a, Side::First), cx)?;
        ready!(there_ended);
        ready!(back_ended);
        Poll::Ready(Ok((there.copied, back.copied)))
    }
}

impl<A: Lend + PollWrite, B: Lend + PollWrite> Drop for Exchange<'_, A, B> {
    fn drop(&mut self) {
        self.there.leave(self.a);
        self.back.leave(self.b);
    }
}

/// What one direction has.
#[derive(Default)]
struct Direction {
    /// Bytes that were received and not written. Never empty.
    held: Option<RecvBuf>,
    copied: u64,
    /// Bytes were written since the last flush.
    is_written: bool,
    stage: Stage,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Stage {
    #[default]
    Copying,
    /// The reader has ended.
    Ending,
    /// The writer's sending side has ended, too.
    Ended,
}

impl Direction {
    /// Copies until the reader's end, and then ends the writer's sending side.
    fn poll_half<R: Lend, W: PollWrite>(
        &mut self,
        from: (&mut R, Side),
        (writer, side): (&mut W, Side),
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), CopyError>> {
        if self.stage != Stage::Ended {
            ready!(self.poll_to_end(from, (writer, side), cx))?;
            ready!(writer.poll_shutdown(cx)).map_err(|error| side.failed(error))?;
            self.stage = Stage::Ended;
        }
        Poll::Ready(Ok(()))
    }

    /// Copies until the reader's end.
    fn poll_to_end<R: Lend, W: PollWrite>(
        &mut self,
        (reader, of_reader): (&mut R, Side),
        (writer, of_writer): (&mut W, Side),
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), CopyError>> {
        while self.stage == Stage::Copying {
            ready!(self.poll_written(writer, cx)).map_err(|error| of_writer.failed(error))?;
            match reader.poll_lend(cx).map_err(|error| of_reader.failed(error))? {
                Poll::Ready(bytes) if bytes.is_empty() => self.stage = Stage::Ending,
                Poll::Ready(bytes) => self.held = Some(bytes),
                Poll::Pending => {
                    // A writer may keep small writes back until it is flushed.
                    if self.is_written {
                        let flushed = writer.poll_flush(cx);
                        self.is_written = flushed.is_pending();
                        let _ = flushed.map_err(|error| of_writer.failed(error))?;
                    }
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what is held. The memory is given back before anything else is received.
    fn poll_written<W: PollWrite>(
        &mut self,
        writer: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while let Some(held) = &mut self.held {
            let Poll::Ready(written) = writer.poll_write(cx, held) else {
                held.give_memory_back();
                return Poll::Pending;
            };
            let count = written?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.copied += count as u64;
            self.is_written = true;
            held.advance(count);
            if held.is_empty() {
                self.held = None;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn leave(&mut self, reader: &mut impl Lend) {
        if let Some(held) = self.held.take() {
            reader.put_back(held);
        }
    }
}
