//! Pipes, and whatever else was inherited to be read or written: one direction of a stream of bytes.

mod fifo;
mod reader;
mod writer;

pub use reader::PipeReader;
pub use writer::PipeWriter;

use std::io;

/// Makes a pipe: what is written to the second is read from the first.
///
/// The kernel holds 64 KiB of what was not read yet; a write waits for room. Neither end is inherited
/// by processes that are started; `process::Stdio` makes a standard stream of one.
///
/// # Errors
///
/// Those of `pipe2(2)`: no descriptor is free.
///
/// # Examples
///
/// ```
/// corering::block_on(async {
///     let (mut reader, mut writer) = corering::io::pipe()?;
///     writer.write_all("hello").await?;
///     drop(writer);
///     assert_eq!(reader.recv().await?, "hello");
///     assert!(reader.recv().await?.is_empty());
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "pipe2")]
pub fn pipe() -> io::Result<(PipeReader, PipeWriter)> {
    let (reader, writer) = io::pipe()?;
    Ok((reader.into(), writer.into()))
}

/// Whether a call was refused for the flag that keeps it from waiting: a thread of the pool has to make
/// it, and waits there.
fn refuses_flag(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EOPNOTSUPP | libc::ENOSYS | libc::EPERM | libc::EINVAL)
    )
}

/// Bytes that a thread of the pool reads or writes at a time.
const PIECE: usize = 64 * 1024;
