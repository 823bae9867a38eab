//! A file as the body of hyper's messages.

use std::fmt;
use std::future::Future;
use std::io;
use std::mem;
use std::ops::Range;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use ::hyper::body::{Body, Bytes, Frame, SizeHint};

use super::hyper::not_at_home;
use crate::buf::BufResult;
use crate::fs::{CachedFile, File};
use crate::task;
use crate::util::sent_home::SentHome;

/// A part of a file as a body: from memory in one frame, if a [`FileCache`](crate::fs::FileCache) has it
/// there, and else read piece by piece while the peer takes them, at most 64 KiB ahead. Its length is
/// known, so hyper announces it.
///
/// A file that is shorter by then ends the body with an error, and so the connection: a length that was
/// announced cannot be taken back.
///
/// It is `Send`, as axum demands, but of use on its own thread only, as [`Hyper`](super::Hyper) is.
///
/// # Panics
///
/// Polled on another thread than that which made it.
///
/// # Examples
///
/// A cache is one of its shard. In a handler of axum's, the future that asks it is made `Send` by
/// [`compat::local`](super), and the body is `axum::body::Body::new(body)`.
///
/// ```
/// use std::future::poll_fn;
/// use std::pin::Pin;
///
/// use corering::compat::FileBody;
/// use corering::fs::{File, FileCache};
/// use hyper::body::Body;
///
/// # corering::block_on(async {
/// let cache: FileCache = FileCache::builder().beneath(&File::open(".").await?);
/// let manifest = cache.get("Cargo.toml").await?;
/// let response = hyper::Response::new(FileBody::cached(manifest, 0..9));
///
/// let mut body = response.into_body();
/// let frame = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await.expect("it is not empty")?;
/// assert_eq!(frame.into_data().expect("a file has no trailers"), "[workspac");
/// # Ok::<(), std::io::Error>(())
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct FileBody {
    source: SentHome<Source>,
    /// Bytes that are still to come.
    left: u64,
}

enum Source {
    Memory(Bytes),
    File {
        /// Reads into a buffer, from a place on.
        read: Box<dyn Fn(Vec<u8>, u64) -> Reading>,
        offset: u64,
        reading: Option<Reading>,
    },
}

type Reading = Pin<Box<dyn Future<Output = BufResult<usize, Vec<u8>>>>>;

/// Bytes that are read at a time.
const PIECE_BYTES: u64 = 64 * 1024;

impl FileBody {
    /// These bytes of a cached file; what is beyond its end is left out.
    pub fn cached<T: 'static>(file: Rc<CachedFile<T>>, range: Range<u64>) -> Self {
        let within = |at: u64| at.min(file.metadata().len());
        let (start, end) = (within(range.start), within(range.end));
        if let Some(contents) = file.contents().cloned() {
            let bytes = Bytes::from_owner(contents);
            let part = start as usize..end.max(start) as usize;
            return FileBody::of(Source::Memory(bytes.slice(part)), start..end);
        }
        FileBody::of_reads(
            Box::new(move |buf, at| Box::pin(file.file().read_at(buf, at))),
            start..end,
        )
    }

    /// These bytes of a file, which must have them all.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::compat::FileBody;
    /// use hyper::body::Body;
    ///
    /// # corering::block_on(async {
    /// let file = corering::fs::File::open("/proc/version").await?;
    /// let body = FileBody::new(file.into(), 0..5);
    /// assert_eq!(body.size_hint().exact(), Some(5));
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new(file: Rc<File>, range: Range<u64>) -> Self {
        FileBody::of_reads(Box::new(move |buf, at| Box::pin(file.read_at(buf, at))), range)
    }

    fn of_reads(read: Box<dyn Fn(Vec<u8>, u64) -> Reading>, range: Range<u64>) -> Self {
        FileBody::of(Source::File { read, offset: range.start, reading: None }, range)
    }

    fn of(source: Source, range: Range<u64>) -> Self {
        let left = range.end.saturating_sub(range.start);
        FileBody { source: SentHome::new(source, task::current_mailbox()), left }
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let Some(source) = self.source.get_mut() else { not_at_home("FileBody") };
        let (read, offset, reading) = match source {
            Source::Memory(bytes) => return Poll::Ready(Ok(mem::take(bytes))),
            Source::File { read, offset, reading } => (read, offset, reading),
        };
        let wanted = self.left.min(PIECE_BYTES) as usize;
        let under_way = reading.get_or_insert_with(|| read(Vec::with_capacity(wanted), *offset));
        let outcome = ready!(under_way.as_mut().poll(cx));
        *reading = None;
        let (count, mut buf) = outcome?;
        if count == 0 {
            let text = "the file ends before the bytes that were announced";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, text)));
        }
        // A vector may have more room than was asked for.
        buf.truncate(wanted);
        *offset += buf.len() as u64;
        Poll::Ready(Ok(buf.into()))
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        if this.left == 0 {
            return Poll::Ready(None);
        }
        let piece = ready!(this.poll_piece(cx));
        // An error is the end.
        this.left -= piece.as_ref().map_or(this.left, |bytes| bytes.len() as u64);
        Poll::Ready(Some(piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

impl fmt::Debug for FileBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileBody").field("left", &self.left).finish_non_exhaustive()
    }
}
