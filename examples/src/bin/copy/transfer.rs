//! Moves chunks between files, several at once.
//!
//! As many workers as may be in flight take chunks from one iterator. Each has one buffer, so
//! memory is bounded by the depth, whatever the size of the file.

use std::cell::RefCell;
use std::io;
use std::ops::Range;

use corering::fs::File;
use futures_util::future::try_join_all;

/// Bytes of one read and one write.
pub(crate) const CHUNK_BYTES: u64 = 256 * 1024;

/// What went wrong, where.
#[derive(Debug)]
pub(crate) enum Failure {
    ReadSource(u64, io::Error),
    ReadTarget(u64, io::Error),
    WriteTarget(u64, io::Error),
    Differ(u64),
}

/// Copies the chunks from `source` to the same places of `target` and reports each that is done.
pub(crate) async fn copy(
    source: &File,
    target: &File,
    chunks: impl Iterator<Item = Range<u64>>,
    depth: usize,
    done: impl Fn(u64),
) -> Result<(), Failure> {
    let chunks = RefCell::new(chunks);
    let next = || chunks.borrow_mut().next();
    let worker = async || {
        let mut buffer = Vec::with_capacity(CHUNK_BYTES as usize);
        while let Some(chunk) = next() {
            let at = chunk.start;
            let data = read(source, buffer, &chunk).await;
            let data = data.map_err(|error| Failure::ReadSource(at, error))?;
            let written = target.write_all_at(data, at).await;
            buffer = written.map_err(|error| Failure::WriteTarget(at, error.into()))?;
            done(chunk.end - at);
        }
        Ok(())
    };
    try_join_all((0..depth).map(|_| worker())).await.map(|_| ())
}

/// Compares the chunks of both files and reports each that is done.
pub(crate) async fn compare(
    source: &File,
    target: &File,
    chunks: impl Iterator<Item = Range<u64>>,
    depth: usize,
    done: impl Fn(u64),
) -> Result<(), Failure> {
    let chunks = RefCell::new(chunks);
    let next = || chunks.borrow_mut().next();
    let worker = async || {
        let mut expected = Vec::with_capacity(CHUNK_BYTES as usize);
        let mut found = Vec::with_capacity(CHUNK_BYTES as usize);
        while let Some(chunk) = next() {
            let at = chunk.start;
            let data = read(source, expected, &chunk).await;
            expected = data.map_err(|error| Failure::ReadSource(at, error))?;
            let data = read(target, found, &chunk).await;
            found = data.map_err(|error| Failure::ReadTarget(at, error))?;
            if expected != found {
                let same = expected.iter().zip(&found).take_while(|(a, b)| a == b).count();
                return Err(Failure::Differ(at + same as u64));
            }
            done(chunk.end - at);
        }
        Ok(())
    };
    try_join_all((0..depth).map(|_| worker())).await.map(|_| ())
}

/// Fills the buffer with one chunk, which is there unless somebody shortened the file meanwhile.
async fn read(file: &File, mut buffer: Vec<u8>, chunk: &Range<u64>) -> io::Result<Vec<u8>> {
    buffer.clear();
    let length = (chunk.end - chunk.start) as usize;
    Ok(file.read_exact_at(buffer, length, chunk.start).await?)
}
