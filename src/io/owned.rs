//! Reads and writes of the caller's buffers, for streams that have only the poll methods.

use std::future::poll_fn;
use std::io;

use super::{Lend, PollWrite};
use crate::buf::{self, BufError, BufResult, IoBuf, IoBufMut, RecvBuf};
use crate::util::budget;

/// Writes bytes of `buf`.
pub(crate) async fn write<W: PollWrite, B: IoBuf>(writer: &mut W, buf: B) -> BufResult<usize, B> {
    match poll_fn(|cx| writer.poll_write(cx, buf::as_slice(&buf))).await {
        Ok(count) => Ok((count, buf)),
        Err(error) => Err(BufError::new(error, buf)),
    }
}

/// Flushes.
pub(crate) async fn flush<W: PollWrite>(writer: &mut W) -> io::Result<()> {
    budget::pay().await;
    poll_fn(|cx| writer.poll_flush(cx)).await
}

/// Ends the sending side.
pub(crate) async fn shutdown<W: PollWrite>(writer: &mut W) -> io::Result<()> {
    budget::pay().await;
    poll_fn(|cx| writer.poll_shutdown(cx)).await
}

/// Reads into `buf` what comes next.
pub(crate) async fn fill<R: Lend, B: IoBufMut>(reader: &mut R, mut buf: B) -> BufResult<usize, B> {
    if buf.capacity() == 0 {
        return Err(BufError::new(buf::no_room(), buf));
    }
    let mut bytes = match reader.lend().await {
        Ok(bytes) => bytes,
        Err(error) => return Err(BufError::new(error, buf)),
    };
    let count = buf::fill(&mut buf, 0..usize::MAX, &bytes);
    bytes.advance(count);
    reader.put_back(bytes);
    Ok((count, buf))
}

/// Reads `n` bytes into `buf`.
pub(crate) async fn fill_exact<R: Lend, B: IoBufMut>(
    reader: &mut R,
    mut buf: B,
    n: usize,
) -> Result<B, BufError<B>> {
    let room = buf.capacity();
    if room < n {
        return Err(BufError::new(buf::little_room(room, n), buf));
    }
    buf::truncate(&mut buf, 0);
    let mut filling = Filling { reader, buf: Some(buf), done: 0 };
    while filling.done < n {
        let Filling { reader, buf: Some(buf), done } = &mut filling else {
            unreachable!("it has one")
        };
        let mut bytes = match reader.lend().await {
            Ok(bytes) if bytes.is_empty() => {
                return Err(filling.fail(|done| buf::early_end(done, n)));
            }
            Ok(bytes) => bytes,
            Err(error) => return Err(filling.fail(|_| error)),
        };
        let count = buf::fill(buf, *done..n, &bytes);
        bytes.advance(count);
        reader.put_back(bytes);
        *done += count;
    }
    Ok(filling.end())
}

/// A buffer that is not full yet. Dropped, what has come goes back to the stream.
struct Filling<'a, R: Lend, B: IoBufMut> {
    reader: &'a mut R,
    /// `None` at the end.
    buf: Option<B>,
    done: usize,
}

impl<R: Lend, B: IoBufMut> Filling<'_, R, B> {
    fn end(mut self) -> B {
        self.buf.take().expect("it ends once")
    }

    fn fail(self, error: impl FnOnce(usize) -> io::Error) -> BufError<B> {
        let done = self.done;
        BufError::new(error(done), self.end()).after(done)
    }
}

impl<R: Lend, B: IoBufMut> Drop for Filling<'_, R, B> {
    fn drop(&mut self) {
        if let Some(buf) = &self.buf {
            self.reader.put_back(RecvBuf::from_vec(buf::as_slice(buf)[..self.done].to_vec()));
        }
    }
}
