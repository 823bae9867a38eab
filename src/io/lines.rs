//! Reading lines, or up to another byte.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, BufRead, ErrorKind};
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::stream::{FusedStream, Stream};

use super::Lend;
use crate::buf::RecvBuf;
use crate::util::budget::{self, Toll};

/// Reads up to and including the next `delimiter`, at most `max` bytes. At the end of the stream it
/// returns what is there without a delimiter, and then nothing.
///
/// What comes behind the delimiter stays with the stream, for its next call, whichever that is.
///
/// # Cancel safety
///
/// What had come goes back to the stream: nothing is lost.
///
/// # Errors
///
/// `InvalidData` if the first `max` bytes are without a delimiter; and those of the stream. The bytes
/// go back to the stream.
///
/// # Examples
///
/// ```
/// # corering::block_on(async {
/// use corering::io::read_until;
/// use corering::net::UnixStream;
///
/// let (mut one, mut other) = UnixStream::pair()?;
/// one.write_all("name=value").await?;
/// assert_eq!(read_until(&mut other, b'=', 100).await?, b"name=");
/// assert_eq!(other.recv().await?, "value");
/// # Ok::<(), std::io::Error>(())
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub async fn read_until<R: Lend>(reader: &mut R, delimiter: u8, max: usize) -> io::Result<Vec<u8>> {
    budget::pay().await;
    let mut part = Part::of(reader);
    match poll_fn(|cx| part.poll_until(delimiter, max, cx)).await? {
        Found::Delimiter | Found::End => Ok(mem::take(&mut part.bytes)),
        Found::Neither => {
            let text = format!("the first {max} bytes are without a byte {delimiter:#04x}");
            Err(io::Error::new(ErrorKind::InvalidData, text))
        }
    }
}

/// The lines of what comes from `reader`, without their ends, which are LF or CR LF. What comes
/// behind the last one is a line, too.
///
/// A stream that is used otherwise later is passed by reference. A line has 64 KiB at most, unless
/// [`max_len`](Lines::max_len) says otherwise.
///
/// # Examples
///
/// ```
/// # corering::block_on(async {
/// use corering::io::lines;
/// use corering::net::UnixStream;
/// use futures_util::TryStreamExt;
///
/// let (mut one, mut other) = UnixStream::pair()?;
/// one.write_all("host: example.org\r\n\r\nbody").await?;
/// let mut head = lines(&mut other);
/// assert_eq!(head.next_line().await?.as_deref(), Some("host: example.org"));
/// assert_eq!(head.next_line().await?.as_deref(), Some(""));
/// drop(head);
/// assert_eq!(other.recv().await?, "body");
///
/// one.write_all("one\ntwo").await?;
/// one.close().await?;
/// assert_eq!(lines(other).try_collect::<Vec<_>>().await?, ["one", "two"]);
/// # Ok::<(), std::io::Error>(())
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn lines<R: Lend>(reader: R) -> Lines<R> {
    Lines {
        part: Part::of(reader),
        len_max: LEN_MAX,
        skips: false,
        has_ended: false,
        toll: Toll::Due,
    }
}

/// Bytes of a line, unless another number is set.
const LEN_MAX: usize = 64 * 1024;

/// The lines of a stream, from [`lines`]: one after the other, also as a [`Stream`]. Dropped, it gives
/// back to the reader what has come of the next line.
pub struct Lines<R: Lend> {
    part: Part<R>,
    len_max: usize,
    /// What comes belongs to a line that was too long.
    skips: bool,
    has_ended: bool,
    toll: Toll,
}

impl<R: Lend> Lines<R> {
    /// Sets the most bytes that a line may have, without its end: 64 KiB if this is not called.
    #[must_use]
    pub fn max_len(mut self, bytes: usize) -> Self {
        self.len_max = bytes;
        self
    }

    /// The next line, or `None` at the end of the stream.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost: the next call goes on with the same line.
    ///
    /// # Errors
    ///
    /// `InvalidData` for a line that is too long, or that is not UTF-8; the next call goes on behind
    /// it. And those of the stream.
    pub async fn next_line(&mut self) -> io::Result<Option<String>> {
        poll_fn(|cx| self.poll_next_line(cx)).await.transpose()
    }

    fn poll_next_line(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<String>>> {
        // What stands in memory is received without the kernel, so each line pays.
        let mut toll = mem::take(&mut self.toll);
        let polled = toll.poll(cx, |cx| self.poll_line(cx));
        self.toll = toll;
        polled.map(Result::transpose)
    }

    fn poll_line(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<String>>> {
        let Lines { part, len_max, skips, has_ended, .. } = self;
        if *skips {
            ready!(part.poll_skip(b'\n', cx))?;
            *skips = false;
        }
        // With the longest end that a line can have.
        match ready!(part.poll_until(b'\n', len_max.saturating_add(2), cx))? {
            Found::Delimiter => {}
            Found::Neither => {
                *skips = true;
                part.bytes = Vec::new();
                return Poll::Ready(Err(too_long(*len_max)));
            }
            Found::End => {
                *has_ended = part.bytes.is_empty();
                if *has_ended {
                    return Poll::Ready(Ok(None));
                }
            }
        }
        let mut line = mem::take(&mut part.bytes);
        if line.pop_if(|last| *last == b'\n').is_some() {
            line.pop_if(|last| *last == b'\r');
        }
        if line.len() > *len_max {
            return Poll::Ready(Err(too_long(*len_max)));
        }
        let line = String::from_utf8(line);
        Poll::Ready(line.map(Some).map_err(|error| io::Error::new(ErrorKind::InvalidData, error)))
    }
}

fn too_long(len_max: usize) -> io::Error {
    let text = format!("a line is longer than {len_max} bytes");
    io::Error::new(ErrorKind::InvalidData, text)
}

impl<R: Lend + Unpin> Stream for Lines<R> {
    type Item = io::Result<String>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_next_line(cx)
    }
}

impl<R: Lend + Unpin> FusedStream for Lines<R> {
    fn is_terminated(&self) -> bool {
        self.has_ended
    }
}

impl<R: Lend> fmt::Debug for Lines<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").field("len_max", &self.len_max).finish_non_exhaustive()
    }
}

/// What has come of something that ends with a delimiter, and what was lent behind it. Dropped, it goes back
/// to the reader.
struct Part<R: Lend> {
    reader: R,
    bytes: Vec<u8>,
    /// Kept from one line to the next: to give it back and have it lent anew takes longer than a line does.
    lent: RecvBuf,
}

enum Found {
    Delimiter,
    /// The end of the stream.
    End,
    /// As many bytes as were asked for.
    Neither,
}

impl<R: Lend> Part<R> {
    fn of(reader: R) -> Self {
        Part { reader, bytes: Vec::new(), lent: RecvBuf::empty() }
    }

    /// Has bytes lent, if none are. Empty at the end of the stream.
    fn poll_lent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<&mut RecvBuf>> {
        if self.lent.is_empty() {
            // The memory that was lent is free before the next is asked for.
            self.lent = RecvBuf::empty();
            self.lent = ready!(self.reader.poll_lend(cx))?;
        }
        Poll::Ready(Ok(&mut self.lent))
    }

    /// Reads up to and including a delimiter.
    fn poll_until(
        &mut self,
        delimiter: u8,
        max: usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Found>> {
        loop {
            let room = max.saturating_sub(self.bytes.len());
            if room == 0 {
                return Poll::Ready(Ok(Found::Neither));
            }
            if ready!(self.poll_lent(cx))?.is_empty() {
                return Poll::Ready(Ok(Found::End));
            }
            let Part { bytes, lent, .. } = self;
            let (count, found) = search(&lent[..lent.len().min(room)], delimiter);
            bytes.extend_from_slice(&lent[..count]);
            lent.advance(count);
            if found {
                return Poll::Ready(Ok(Found::Delimiter));
            }
        }
    }

    /// Passes over what comes up to and including a delimiter, or to the end of the stream.
    fn poll_skip(&mut self, delimiter: u8, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let lent = ready!(self.poll_lent(cx))?;
            let (count, found) = search(lent, delimiter);
            let has_ended = lent.is_empty();
            lent.advance(count);
            if found || has_ended {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

/// How many bytes there are up to and including a delimiter, and whether there is one.
fn search(bytes: &[u8], delimiter: u8) -> (usize, bool) {
    let mut rest = bytes;
    let count = rest.skip_until(delimiter).expect("bytes in memory can be read");
    (count, bytes[..count].ends_with(&[delimiter]))
}

impl<R: Lend> Drop for Part<R> {
    fn drop(&mut self) {
        self.reader.put_back(mem::replace(&mut self.lent, RecvBuf::empty()));
        self.reader.put_back(RecvBuf::from_vec(mem::take(&mut self.bytes)));
    }
}
