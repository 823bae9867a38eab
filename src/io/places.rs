//! What is read and written at places that each call names, as files are.

use std::cell::RefCell;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::rc::Rc;

use crate::buf::{self, BufError, BufResult, IoBuf, IoBufMut, Slice};
use crate::util::budget;

/// What is read at a place that each call names, into buffers that it owns meanwhile:
/// [`fs::File`](crate::fs::File) above all, and bytes in memory.
///
/// # Examples
///
/// One function for files and for bytes in memory:
///
/// ```
/// use corering::io::OwnedReadAt;
///
/// /// The four bytes that say how much follows.
/// async fn len_of_record<S: OwnedReadAt>(source: &S, offset: u64) -> std::io::Result<u32> {
///     let len = source.read_exact_at(Vec::with_capacity(4), 4, offset).await?;
///     Ok(u32::from_le_bytes(len[..].try_into().expect("four were read")))
/// }
///
/// corering::block_on(async {
///     assert_eq!(len_of_record(&vec![0, 0, 5, 0, 0, 0], 2).await?, 5);
///     let file = corering::fs::File::open("/dev/zero").await?;
///     assert_eq!(len_of_record(&file, 1 << 40).await?, 0);
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait OwnedReadAt {
    /// Reads once, from `offset` on, into `buf` from its beginning up to its capacity; the buffer's
    /// length is then the number of bytes. 0 at the end and beyond it, and only there.
    ///
    /// # Cancel safety
    ///
    /// A drop changes nothing, but loses the buffer.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a buffer without room, and those of what is read; the error carries the buffer.
    fn read_at<B: IoBufMut>(
        &self,
        buf: B,
        offset: u64,
    ) -> impl Future<Output = BufResult<usize, B>>;

    /// How many bytes there are, as far as that is known: 0 for a device, a pipe and a file of `/proc`.
    ///
    /// # Cancel safety
    ///
    /// A drop changes nothing.
    ///
    /// # Errors
    ///
    /// Those of what is asked.
    fn size(&self) -> impl Future<Output = io::Result<u64>>;

    /// Reads `n` bytes, from `offset` on, into `buf` from its beginning on, and makes it as long.
    ///
    /// # Cancel safety
    ///
    /// As [`read_at`](Self::read_at).
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if there are fewer, `InvalidInput` if the buffer has less room, and those of what is
    /// read; the error carries the buffer.
    fn read_exact_at<B: IoBufMut>(
        &self,
        mut buf: B,
        n: usize,
        offset: u64,
    ) -> impl Future<Output = Result<B, BufError<B>>> {
        async move {
            let room = buf.capacity();
            if room < n {
                return Err(BufError::new(buf::little_room(room, n), buf));
            }
            buf::truncate(&mut buf, 0);
            let mut done = 0;
            while done < n {
                let place = offset.saturating_add(done as u64);
                let (count, part) = match self.read_at(buf.slice(done..n), place).await {
                    Ok(read) => read,
                    Err(failed) => return Err(failed.map_buf(Slice::into_inner).after(done)),
                };
                buf = part.into_inner();
                if count == 0 {
                    return Err(BufError::new(buf::early_end(done, n), buf).after(done));
                }
                done += count;
            }
            Ok(buf)
        }
    }
}

/// What is written at a place that each call names, from buffers that it owns meanwhile.
///
/// # Examples
///
/// ```
/// use std::cell::RefCell;
///
/// use corering::io::OwnedWriteAt;
///
/// async fn write_head<S: OwnedWriteAt>(to: &S) -> std::io::Result<()> {
///     to.write_all_at("head", 0).await?;
///     Ok(())
/// }
///
/// # let path = std::env::temp_dir().join(format!("corering-doc-places-{}", std::process::id()));
/// corering::block_on(async {
///     let file = corering::fs::File::create(&path).await?;
///     write_head(&file).await?;
///     let memory = RefCell::new(Vec::new());
///     write_head(&memory).await?;
///     assert_eq!(memory.into_inner(), corering::fs::read(&path).await?);
///     corering::fs::remove_file(&path).await
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait OwnedWriteAt {
    /// Writes once, at `offset`, and returns how many bytes of `buf` were taken.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it may have written a part or all.
    ///
    /// # Errors
    ///
    /// Those of what is written; the error carries the buffer.
    fn write_at<B: IoBuf>(&self, buf: B, offset: u64) -> impl Future<Output = BufResult<usize, B>>;

    /// Writes all of `buf`, at `offset`, and gives it back.
    ///
    /// # Cancel safety
    ///
    /// As [`write_at`](Self::write_at).
    ///
    /// # Errors
    ///
    /// `WriteZero` if no more is taken, and those of what is written; the error carries the buffer.
    fn write_all_at<B: IoBuf>(
        &self,
        mut buf: B,
        offset: u64,
    ) -> impl Future<Output = Result<B, BufError<B>>> {
        async move {
            let mut done = 0;
            while done < buf.bytes_len() {
                let place = offset.saturating_add(done as u64);
                let (count, part) = match self.write_at(buf.slice(done..), place).await {
                    Ok(written) => written,
                    Err(failed) => return Err(failed.map_buf(Slice::into_inner).after(done)),
                };
                buf = part.into_inner();
                if count == 0 {
                    return Err(BufError::new(ErrorKind::WriteZero.into(), buf).after(done));
                }
                done += count;
            }
            Ok(buf)
        }
    }
}

/// What is borrowed or shared is read as what it leads to.
macro_rules! passed_on {
    ($($reference:ty),+) => {$(
        impl<S: OwnedReadAt + ?Sized> OwnedReadAt for $reference {
            fn read_at<B: IoBufMut>(
                &self,
                buf: B,
                offset: u64,
            ) -> impl Future<Output = BufResult<usize, B>> {
                (**self).read_at(buf, offset)
            }

            fn size(&self) -> impl Future<Output = io::Result<u64>> {
                (**self).size()
            }

            fn read_exact_at<B: IoBufMut>(
                &self,
                buf: B,
                n: usize,
                offset: u64,
            ) -> impl Future<Output = Result<B, BufError<B>>> {
                (**self).read_exact_at(buf, n, offset)
            }
        }

        impl<S: OwnedWriteAt + ?Sized> OwnedWriteAt for $reference {
            fn write_at<B: IoBuf>(
                &self,
                buf: B,
                offset: u64,
            ) -> impl Future<Output = BufResult<usize, B>> {
                (**self).write_at(buf, offset)
            }

            fn write_all_at<B: IoBuf>(
                &self,
                buf: B,
                offset: u64,
            ) -> impl Future<Output = Result<B, BufError<B>>> {
                (**self).write_all_at(buf, offset)
            }
        }
    )+};
}

passed_on!(&S, Box<S>, Rc<S>);

/// Bytes in memory.
impl OwnedReadAt for [u8] {
    async fn read_at<B: IoBufMut>(&self, mut buf: B, offset: u64) -> BufResult<usize, B> {
        budget::pay().await;
        match fill(&mut buf, self, offset) {
            Ok(count) => Ok((count, buf)),
            Err(error) => Err(BufError::new(error, buf)),
        }
    }

    async fn size(&self) -> io::Result<u64> {
        budget::pay().await;
        Ok(self.len() as u64)
    }
}

/// Bytes in memory.
impl OwnedReadAt for Vec<u8> {
    fn read_at<B: IoBufMut>(
        &self,
        buf: B,
        offset: u64,
    ) -> impl Future<Output = BufResult<usize, B>> {
        (**self).read_at(buf, offset)
    }

    fn size(&self) -> impl Future<Output = io::Result<u64>> {
        (**self).size()
    }
}

/// Bytes in memory, which may be written meanwhile.
impl OwnedReadAt for RefCell<Vec<u8>> {
    async fn read_at<B: IoBufMut>(&self, mut buf: B, offset: u64) -> BufResult<usize, B> {
        budget::pay().await;
        // A buffer of the user's may run code of theirs, so nothing is borrowed while it is filled.
        let bytes = self.take();
        let filled = fill(&mut buf, &bytes, offset);
        self.replace(bytes);
        match filled {
            Ok(count) => Ok((count, buf)),
            Err(error) => Err(BufError::new(error, buf)),
        }
    }

    async fn size(&self) -> io::Result<u64> {
        budget::pay().await;
        Ok(self.borrow().len() as u64)
    }
}

/// Bytes in memory, which grow as a file does: a gap before what is written is filled with zeroes.
impl OwnedWriteAt for RefCell<Vec<u8>> {
    async fn write_at<B: IoBuf>(&self, buf: B, offset: u64) -> BufResult<usize, B> {
        budget::pay().await;
        let written = write(self, buf::as_slice(&buf), offset);
        match written {
            Ok(count) => Ok((count, buf)),
            Err(error) => Err(BufError::new(error, buf)),
        }
    }
}

fn fill<B: IoBufMut>(buf: &mut B, bytes: &[u8], offset: u64) -> io::Result<usize> {
    if buf.capacity() == 0 {
        return Err(buf::no_room());
    }
    let begin = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
    Ok(buf::fill(buf, 0..usize::MAX, &bytes[begin..]))
}

fn write(memory: &RefCell<Vec<u8>>, bytes: &[u8], offset: u64) -> io::Result<usize> {
    if bytes.is_empty() {
        return Ok(0);
    }
    let mut memory = memory.borrow_mut();
    let begin = usize::try_from(offset).ok();
    let Some((begin, end)) = begin.and_then(|begin| Some((begin, begin.checked_add(bytes.len())?)))
    else {
        return Err(ErrorKind::FileTooLarge.into());
    };
    if memory.len() < end {
        let more = end - memory.len();
        memory.try_reserve(more).map_err(|_| ErrorKind::OutOfMemory)?;
        memory.resize(end, 0);
    }
    memory[begin..end].copy_from_slice(bytes);
    Ok(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn digits_are_read(source: impl OwnedReadAt) {
        let read = async |room, offset| {
            let (count, buf) =
                source.read_at(Vec::with_capacity(room), offset).await.expect("it has room");
            assert_eq!(count, buf.len());
            buf
        };
        assert_eq!(source.size().await.expect("it is known"), 10);
        assert_eq!((read(4, 3).await, read(99, 8).await), (b"3456".to_vec(), b"89".to_vec()));
        for beyond in [10, 11, u64::MAX] {
            assert_eq!(read(4, beyond).await, b"", "at {beyond}");
        }
        assert_eq!(source.read_exact_at(vec![0; 9], 5, 5).await.expect("they are there"), b"56789");
        let failed = source.read_exact_at(vec![0; 9], 6, 5).await.expect_err("there are five");
        assert_eq!((failed.kind(), failed.transferred()), (ErrorKind::UnexpectedEof, 5));
        for (room, n) in [(0, 1), (4, 5)] {
            let failed = source.read_exact_at(Vec::<u8>::with_capacity(room), n, 0).await;
            assert_eq!(failed.expect_err("no room").kind(), ErrorKind::InvalidInput);
        }
        let failed = source.read_at(Vec::new(), 0).await.expect_err("there is no room");
        assert_eq!(failed.kind(), ErrorKind::InvalidInput);
    }

    #[corering::test]
    async fn bytes_in_memory_are_read_at_places() {
        let digits = b"0123456789";
        digits_are_read(digits.to_vec()).await;
        digits_are_read(digits.to_vec().into_boxed_slice()).await;
        digits_are_read(&digits[..]).await;
        digits_are_read(Rc::<[u8]>::from(&digits[..])).await;
        digits_are_read(&RefCell::new(digits.to_vec())).await;
    }

    #[corering::test]
    async fn bytes_in_memory_grow_as_a_file_does() {
        let memory = Rc::new(RefCell::new(Vec::new()));
        memory.write_all_at("abc", 2).await.expect("memory grows");
        memory.write_all_at("xy", 1).await.expect("it is there");
        assert_eq!(*memory.borrow(), b"\0xybc");
        assert_eq!(memory.write_at("", u64::MAX).await.expect("nothing fits").0, 0);
        for (far, kind) in [
            (u64::MAX, ErrorKind::FileTooLarge),
            (1 << 62, ErrorKind::OutOfMemory),
            (1 << 63, ErrorKind::OutOfMemory),
        ] {
            let failed =
                memory.write_all_at("x", far).await.expect_err("no memory has such a place");
            assert_eq!((failed.kind(), *failed.buf()), (kind, "x"), "at {far}");
        }
        assert_eq!(*memory.borrow(), b"\0xybc");
    }
}
