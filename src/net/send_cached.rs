//! A file of a cache to a socket: from memory, if the cache has it there.

use std::sync::Arc;

use super::family::Family;
use super::halves::WriteHalf;
use super::send_file::{Sending, begin_with, send_file};
use super::stream::ByteStream;
use super::transmit::Transmitter;
use crate::buf::{BufError, BufResult, IoBuf};
use crate::driver;
use crate::fs::CachedFile;
use crate::util::budget;

impl<F: Family> ByteStream<F> {
    /// Sends all of `head` and then up to `len` bytes of a file of a [`FileCache`](crate::fs::FileCache),
    /// from `offset` on, and returns how many bytes of the file: from memory and by one call, if the
    /// cache has its contents there, and else as [`send_file_after`](Self::send_file_after) does. The file
    /// ends where its [`metadata`](CachedFile::metadata) says, though it may have grown since.
    ///
    /// # Cancel safety
    ///
    /// As [`send_file_after`](Self::send_file_after).
    ///
    /// # Errors
    ///
    /// As [`send_file_after`](Self::send_file_after); the error carries the head.
    ///
    /// # Examples
    ///
    /// ```
    /// # corering::block_on(async {
    /// use corering::fs::{File, FileCache};
    /// use corering::net::UnixStream;
    ///
    /// let (mut one, mut other) = UnixStream::pair()?;
    /// let cache: FileCache = FileCache::builder().beneath(&File::open(".").await?);
    /// let file = cache.get("Cargo.toml").await?;
    /// let head = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n";
    /// let (sent, head) = one.send_cached_after(head, &file, 0, 8).await?;
    /// one.close().await?;
    /// let answer = other.read_exact(Vec::with_capacity(100), head.len() + 8).await?;
    /// assert!(sent == 8 && answer.starts_with(head.as_bytes()));
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "sendfile")]
    pub async fn send_cached_after<B: IoBuf, T>(
        &mut self,
        head: B,
        cached: &CachedFile<T>,
        offset: u64,
        len: u64,
    ) -> BufResult<u64, B> {
        self.writer.send_cached_after(head, cached, offset, len).await
    }
}

impl<F: Family> WriteHalf<F> {
    /// Sends `head` and then bytes of a cached file, as [`ByteStream::send_cached_after`].
    ///
    /// # Cancel safety
    ///
    /// As [`ByteStream::send_file_after`].
    ///
    /// # Errors
    ///
    /// As [`ByteStream::send_file_after`]; the error carries the head.
    #[doc(alias = "sendfile")]
    pub async fn send_cached_after<B: IoBuf, T>(
        &mut self,
        head: B,
        cached: &CachedFile<T>,
        offset: u64,
        len: u64,
    ) -> BufResult<u64, B> {
        send_cached(&mut self.transmitter, head, cached, offset, len).await
    }
}

/// Sends `head` and up to `len` bytes of a cached file, from `offset` on: from memory, if they are there.
async fn send_cached<B: IoBuf, T>(
    transmitter: &mut Transmitter,
    head: B,
    cached: &CachedFile<T>,
    offset: u64,
    len: u64,
) -> BufResult<u64, B> {
    let metadata = cached.metadata();
    let len = match metadata.is_file() {
        true => len.min(metadata.len().saturating_sub(offset)),
        false => len,
    };
    let Some(contents) = cached.contents() else {
        return send_file(transmitter, head, cached.file(), offset, len).await;
    };
    if let Err(error) = transmitter.clear().await {
        return Err(BufError::new(error, head));
    }
    let driver = match driver::current() {
        Ok(driver) => driver,
        Err(error) => return Err(BufError::new(error, head)),
    };
    budget::pay().await;
    let within = |at: u64| at.min(contents.len() as u64) as usize;
    let piece = Arc::clone(contents).slice(within(offset)..within(offset.saturating_add(len)));
    transmitter.begin_parts();
    let mut sending = Sending::new(transmitter);
    let ((), head) = begin_with(&mut sending, &driver, head, piece).await?;
    sending.ended = true;
    Ok((sending.sent, head))
}
