//! A file with a position: read and written as a stream is.
//!
//! Read `ahead.rs` for how it reads, and `written.rs` for how it writes.

mod ahead;
mod written;

use std::fmt;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice, SeekFrom};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use self::ahead::Ahead;
use self::written::Written;
use crate::buf::{BufError, BufResult, IoBuf, IoBufMut, RecvBuf};
use crate::io::{Lend, OwnedRead, OwnedReadAt, OwnedWrite, OwnedWriteAt, PollWrite, owned};
use crate::util::budget::{self, Toll};

/// A position in a [`File`](super::File), or in anything else that is read and written at places: it makes
/// a stream of it, for [`io::lines`](crate::io::lines), [`io::copy`](crate::io::copy) and whatever takes an
/// [`OwnedRead`], [`OwnedWrite`], [`Lend`] or [`PollWrite`].
///
/// The position is the cursor's own: that of the open file is neither used nor moved, and any number of
/// cursors may share one file by an `Rc`.
///
/// # Reading ahead
///
/// By [`Lend`], as `lines` and `copy` read, the file comes in pieces of 16 KiB that double up to 256 KiB as
/// long as they are used one after the other. From the second on, the next is read while one is used; behind
/// a piece that was short nothing is read ahead. A seek begins again with 16 KiB. So a cursor holds 512 KiB
/// at most. What was read ahead is as the file was then; the end is always asked for anew, so a file that
/// grows is seen to do so.
///
/// By [`OwnedRead`] bytes go right into the caller's buffer, and nothing is read ahead.
///
/// # Dropped futures
///
/// A read that is dropped leaves the position as it is, and takes nothing. A write that has begun goes on
/// though its future is dropped: the next call waits for it, the position is then behind what it has written,
/// and if it failed, the next write or `flush` says so, once. So does what was taken by [`PollWrite`], which is
/// written behind the caller's back. A cursor that is dropped leaves the write that is under way to its shard,
/// and whether that fails is not heard: `flush` first.
///
/// # Other files
///
/// - A file opened to [append](super::OpenOptions::append) is written at its end wherever the cursor stands;
///   the position moves by as many bytes.
/// - A file opened with `O_DIRECT` is read and written by aligned buffers, so by [`OwnedRead`] and
///   [`OwnedWrite`] alone.
/// - A pipe, terminal or socket loses what was read ahead with the cursor, and what a dropped read had
///   received: an [`io::PipeReader`](crate::io::PipeReader) loses nothing.
///
/// # Examples
///
/// ```
/// use std::io::SeekFrom;
///
/// use corering::fs::{Cursor, OpenOptions};
/// use corering::io::{OwnedRead, OwnedWrite, lines};
///
/// # let path = std::env::temp_dir().join(format!("corering-doc-cursor-{}", std::process::id()));
/// corering::block_on(async {
///     let mut options = OpenOptions::new();
///     let file = options.read(true).write(true).create(true).open(&path).await?;
///     let mut cursor = Cursor::new(file);
///     cursor.write_all("one\ntwo\nthree\n").await?;
///     cursor.seek(SeekFrom::Start(4)).await?;
///     let mut text = lines(&mut cursor);
///     assert_eq!(text.next_line().await?.as_deref(), Some("two"));
///     drop(text);
///     assert_eq!(cursor.position(), 8);
///     assert_eq!(cursor.read_exact(Vec::with_capacity(5), 5).await?, b"three");
///     corering::fs::remove_file(&path).await
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Cursor<S> {
    source: Rc<S>,
    /// Of the next byte that a caller gets.
    position: u64,
    /// The bytes from there on, if they were put back.
    rest: Option<RecvBuf>,
    ahead: Ahead,
    written: Written,
    toll: Toll,
}

impl<S> Cursor<S> {
    /// A cursor at the beginning.
    ///
    /// # Examples
    ///
    /// See [`Cursor`].
    pub fn new(source: S) -> Self {
        Cursor {
            source: Rc::new(source),
            position: 0,
            rest: None,
            ahead: Ahead::new(),
            written: Written::default(),
            toll: Toll::Due,
        }
    }

    /// Where the next read or write takes place. A write whose future was dropped moves it once it has ended,
    /// for which the next call waits.
    ///
    /// # Examples
    ///
    /// See [`Cursor`].
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Sets where the next read or write takes place, which may be behind the end.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::fs::Cursor;
    /// use corering::io::OwnedRead;
    ///
    /// corering::block_on(async {
    ///     let mut cursor = Cursor::new(b"0123456789".to_vec());
    ///     cursor.set_position(7);
    ///     assert_eq!(cursor.read(Vec::with_capacity(9)).await?.1, b"789");
    ///     Ok::<(), std::io::Error>(())
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_position(&mut self, position: u64) {
        self.written.stays();
        let forward = position.checked_sub(self.position).and_then(|it| usize::try_from(it).ok());
        match (&mut self.rest, forward) {
            (_, Some(0)) => {}
            (Some(rest), Some(forward)) if forward < rest.len() => rest.advance(forward),
            _ => self.forget(),
        }
        self.position = position;
    }

    /// What is read and written.
    ///
    /// # Examples
    ///
    /// ```
    /// let cursor = corering::fs::Cursor::new(b"text".to_vec());
    /// assert_eq!(cursor.get_ref(), b"text");
    /// ```
    pub fn get_ref(&self) -> &S {
        &self.source
    }

    /// Gives back what is read and written. What was read ahead is dropped, and a write that has not ended is
    /// given up: [`flush`](OwnedWrite::flush) first.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::fs::{Cursor, File};
    ///
    /// corering::block_on(async {
    ///     let cursor = Cursor::new(File::open("/proc/version").await?);
    ///     cursor.into_inner().close().await
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn into_inner(self) -> S {
        let Cursor { source, ahead, written, .. } = self;
        drop(ahead);
        written.give_up();
        Rc::into_inner(source).expect("only what reads ahead and what writes share it")
    }

    fn forget(&mut self) {
        self.rest = None;
        self.ahead.forget();
    }

    /// Waits until a write that was begun has ended, and moves behind it.
    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let moved = ready!(self.written.poll(cx));
        self.position = self.position.saturating_add(moved);
        Poll::Ready(())
    }
}

impl<S: OwnedReadAt> Cursor<S> {
    /// Moves the position, and returns it. Behind the end is a place, too.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the position is as it was.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a place before the beginning or beyond `u64::MAX`; from the end, those of
    /// [`size`](OwnedReadAt::size).
    ///
    /// # Examples
    ///
    /// See [`Cursor`].
    pub async fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        budget::pay().await;
        poll_fn(|cx| self.poll_written(cx)).await;
        let place = match to {
            SeekFrom::Start(place) => Some(place),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => self.source.size().await?.checked_add_signed(by),
        };
        let Some(place) = place else {
            let text = "a seek to a place before the beginning, or beyond all";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        };
        self.set_position(place);
        Ok(place)
    }
}

impl<S: OwnedReadAt + 'static> Lend for Cursor<S> {
    fn poll_lend(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<RecvBuf>> {
        ready!(self.poll_written(cx));
        let bytes = match self.rest.is_some() {
            true => {
                ready!(self.toll.pay(cx.waker()));
                self.rest.take().expect("it was just there")
            }
            false => RecvBuf::from_vec(ready!(self.ahead.poll(&self.source, self.position, cx))?),
        };
        self.position = self.position.saturating_add(bytes.len() as u64);
        Poll::Ready(Ok(bytes))
    }

    fn put_back(&mut self, bytes: RecvBuf) {
        if bytes.is_empty() {
            return;
        }
        self.position = self.position.saturating_sub(bytes.len() as u64);
        let behind = self.rest.take();
        self.rest = Some(bytes.followed_by(behind.as_deref().unwrap_or_default()));
    }

    async fn lend(&mut self) -> io::Result<RecvBuf> {
        let asking = Asking(self);
        poll_fn(|cx| asking.0.poll_lend(cx)).await
    }
}

/// A caller who may go away.
struct Asking<'a, S>(&'a mut Cursor<S>);

impl<S> Drop for Asking<'_, S> {
    fn drop(&mut self) {
        self.0.ahead.leave();
    }
}

impl<S: OwnedReadAt + 'static> OwnedRead for Cursor<S> {
    async fn read<B: IoBufMut>(&mut self, buf: B) -> BufResult<usize, B> {
        poll_fn(|cx| self.poll_written(cx)).await;
        if self.rest.is_some() || self.ahead.has_begun() {
            return owned::fill(self, buf).await;
        }
        let (count, buf) = self.source.read_at(buf, self.position).await?;
        self.position = self.position.saturating_add(count as u64);
        Ok((count, buf))
    }

    async fn read_exact<B: IoBufMut>(&mut self, buf: B, n: usize) -> Result<B, BufError<B>> {
        poll_fn(|cx| self.poll_written(cx)).await;
        if self.rest.is_some() || self.ahead.has_begun() {
            return owned::fill_exact(self, buf, n).await;
        }
        let buf = self.source.read_exact_at(buf, n, self.position).await?;
        self.position = self.position.saturating_add(n as u64);
        Ok(buf)
    }
}

impl<S: OwnedWriteAt + 'static> OwnedWrite for Cursor<S> {
    async fn write<B: IoBuf>(&mut self, buf: B) -> BufResult<usize, B> {
        poll_fn(|cx| self.poll_written(cx)).await;
        if let Err(error) = self.written.tell_failed() {
            return Err(BufError::new(error, buf));
        }
        self.forget();
        let outcome = self.written.write(&self.source, self.position, buf);
        poll_fn(|cx| self.poll_written(cx)).await;
        self.written.told(outcome)
    }

    fn flush(&mut self) -> impl Future<Output = io::Result<()>> {
        owned::flush(self)
    }

    fn shutdown(&mut self) -> impl Future<Output = io::Result<()>> {
        owned::flush(self)
    }
}

impl<S: OwnedWriteAt + 'static> PollWrite for Cursor<S> {
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_written(cx));
        self.written.tell_failed()?;
        let copy = written::copy_of(pieces);
        if copy.is_empty() {
            ready!(self.toll.pay(cx.waker()));
            return Poll::Ready(Ok(0));
        }
        self.forget();
        let count = copy.len();
        self.written.write_all(&self.source, self.position, copy);
        // Gets it under way.
        let _ = self.poll_written(cx);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_written(cx));
        Poll::Ready(self.written.tell_failed())
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

impl<S: fmt::Debug> fmt::Debug for Cursor<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (source, position) = (&self.source, &self.position);
        f.debug_struct("Cursor").field("source", source).field("position", position).finish()
    }
}
