//! Copies of files, by threads of the pool: the kernel has no operation of a ring that copies.

use std::fs::{File as StdFile, Metadata, OpenOptions as StdOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use super::File;
use super::on_pool::on_pool;
use crate::sys::copy::{close_and_tell, copy_range, share_blocks};
use crate::sys::file::{Part, next_part};
use crate::sys::signal_mask::{large_file_ends_process, without_signals_of_writes};
use crate::sys::socket::set_nonblocking;

/// Copies the contents and the permission bits of a regular file to `to`, and returns the length of the
/// copy. A file that is there is emptied first, and keeps its owner and its other names. Symbolic links are
/// followed.
///
/// Where the file system can share blocks (btrfs, XFS and others) nothing is copied until one of the
/// files is changed. Elsewhere the kernel copies, 8 MiB at a time, or a thread of the pool reads and
/// writes. Holes of the source stay holes.
///
/// The source is read to its end, whatever its metadata says: a file of `/proc` is copied, too. If
/// somebody changes it meanwhile, the copy may have a part of before and a part of after; what is added
/// is copied if it comes in time, and what is cut off after it was copied stays in the copy.
///
/// The target may be a device or a pipe, which has to be read meanwhile; then all is written, zeroes for
/// holes, and the permission bits stay. The source may not: [`io::copy`](crate::io::copy) copies streams.
///
/// # Cancel safety
///
/// A drop leaves a target with a first part of the copy. A thread goes on with the piece that it has
/// begun, of up to 8 MiB.
///
/// # Errors
///
/// Those of [`File::open`] and [`File::create`]; of reading and writing, for instance `StorageFull`, and
/// of closing the copy. What was copied before stays. `InvalidInput` if the source is not a regular file,
/// or if both are the same one, which is left as it is.
///
/// # Examples
///
/// ```
/// # let folder = std::env::temp_dir().join(format!("corering-doc-copy-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// corering::block_on(async {
///     let (original, copy) = (folder.join("original"), folder.join("copy"));
///     corering::fs::write(&original, "content").await?;
///     assert_eq!(corering::fs::copy(&original, &copy).await?, 7);
///     assert_eq!(corering::fs::read(&copy).await?, b"content");
///     corering::fs::remove_dir_all(&folder).await
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "copy_file_range")]
#[doc(alias = "FICLONE")]
pub async fn copy<P: AsRef<Path>, Q: AsRef<Path>>(from: P, to: Q) -> io::Result<u64> {
    let (from, to) = (from.as_ref().to_owned(), to.as_ref().to_owned());
    let mut next = by_thread(move || begin(&from, &to)).await?;
    loop {
        next = match next {
            Next::Done(bytes) => return Ok(bytes),
            Next::Piece(copying) => by_thread(|| copying.piece()).await?,
            Next::Stream { source, target } => return stream(source.into(), target.into()).await,
        }
    }
}

/// What is still to do of a copy.
enum Next {
    Done(u64),
    Piece(Copying),
    /// The target has no places, or no length.
    Stream {
        source: StdFile,
        target: StdFile,
    },
}

/// Runs a step. No signal comes with the error of a copy that would be larger than files may be.
async fn by_thread(step: impl FnOnce() -> io::Result<Next> + Send + 'static) -> io::Result<Next> {
    on_pool(|| match large_file_ends_process() {
        true => without_signals_of_writes(step),
        false => step(),
    })
    .await
}

/// Opens both files. Nothing of the target is changed before all is known that speaks against it.
fn begin(from: &Path, to: &Path) -> io::Result<Next> {
    // To open a pipe or a device can have effects of its own, so the path is asked first.
    check_regular(from, &std::fs::metadata(from)?)?;
    let source = open(StdFile::options().read(true), from)?;
    let known = source.metadata()?;
    check_regular(from, &known)?;
    // A file that is created is never open to more users than the source.
    let mut options = StdFile::options();
    let target = open(options.write(true).create(true).mode(known.mode()), to)?;
    let before = target.metadata()?;
    if (known.dev(), known.ino()) == (before.dev(), before.ino()) {
        let (from, to) = (from.display(), to.display());
        return Err(invalid(format!("{from} and {to} are the same file: nothing was done")));
    }
    if !before.is_file() {
        set_nonblocking(source.as_fd(), false)?;
        return Ok(Next::Stream { source, target });
    }
    target.set_permissions(known.permissions())?;
    if before.len() > 0 {
        target.set_len(0)?;
    }
    // Whatever speaks against sharing: if it is an error, copying meets it again.
    if share_blocks(source.as_fd(), target.as_fd()).is_ok() {
        let bytes = target.metadata()?.len();
        close_and_tell(target.into())?;
        return Ok(Next::Done(bytes));
    }
    Copying { source, target, bytes: 0, by_hand: false, buffer: Vec::new() }.piece()
}

/// Opens a file, and waits for nobody at the other end of a pipe.
fn open(options: &mut StdOptions, path: &Path) -> io::Result<StdFile> {
    match options.custom_flags(libc::O_NONBLOCK).open(path) {
        // Another process has a lease on the file (`fcntl(2)`) and is asked to give it up.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            options.custom_flags(0).open(path)
        }
        opened => opened,
    }
}

fn check_regular(path: &Path, known: &Metadata) -> io::Result<()> {
    match known.is_file() {
        true => Ok(()),
        false => Err(invalid(format!("{} is not a regular file", path.display()))),
    }
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

/// A copy to a regular file.
struct Copying {
    source: StdFile,
    target: StdFile,
    /// Copied so far, holes included.
    bytes: u64,
    /// The kernel does not copy these files.
    by_hand: bool,
    /// For what is copied by hand.
    buffer: Vec<u8>,
}

/// Bytes copied by one step, so that a drop ends a copy soon, and no copy keeps a thread for long.
const PIECE: u64 = 8 << 20;

/// What a short part is counted as, for the calls that it takes.
const PART_MIN: u64 = 16 << 10;

/// Bytes of one read and one write.
const BUFFER: usize = 64 << 10;

impl Copying {
    /// Copies a piece, or what is left.
    fn piece(mut self) -> io::Result<Next> {
        let mut left = PIECE;
        while left > 0 {
            let part = self.skip_hole()?;
            let copied = self.copy_part(part.min(left))?;
            if copied == 0 {
                return self.finish();
            }
            self.bytes += copied;
            left = left.saturating_sub(copied.max(PART_MIN));
        }
        Ok(Next::Piece(self))
    }

    /// Goes on to where data begins, and returns how much there is at most.
    fn skip_hole(&mut self) -> io::Result<u64> {
        // Asked first: what is added after this is no part of a hole.
        let len = self.source.metadata()?.len();
        let next = |part, offset| next_part(self.source.as_fd(), part, offset, false);
        match next(Part::Data, self.bytes) {
            Ok(Some(start)) => {
                let end = next(Part::Hole, start);
                self.bytes = start;
                if let Ok(Some(end)) = end {
                    return Ok(end - start);
                }
            }
            Ok(None) => self.bytes = self.bytes.max(len),
            // The file system knows of no holes.
            Err(_) => {}
        }
        // The end, as far as is known, and that is nothing of a file in /proc: a read tells.
        Ok(u64::MAX)
    }

    /// Copies some of a part. None if the source ends here.
    fn copy_part(&mut self, len: u64) -> io::Result<u64> {
        if !self.by_hand {
            let (source, target) = (self.source.as_fd(), self.target.as_fd());
            match copy_range(source, target, self.bytes, len as usize) {
                // Kernels from 5.3 to 5.18 say so of files in /proc, too.
                Ok(0) => {}
                Ok(copied) => return Ok(copied as u64),
                // For one of many reasons. What is an error, reading or writing meets again.
                Err(_) => self.by_hand = true,
            }
        }
        self.buffer.resize(BUFFER, 0);
        let room = usize::try_from(len).map_or(BUFFER, |len| len.min(BUFFER));
        let copied = loop {
            match self.source.read_at(&mut self.buffer[..room], self.bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.target.write_all_at(&self.buffer[..copied], self.bytes)?;
        Ok(copied as u64)
    }

    fn finish(self) -> io::Result<Next> {
        // A hole at the end was not written.
        if self.target.metadata()?.len() < self.bytes {
            self.target.set_len(self.bytes)?;
        }
        close_and_tell(self.target.into())?;
        Ok(Next::Done(self.bytes))
    }
}

/// Copies to a device or a pipe, which may keep it waiting: without a thread.
async fn stream(source: File, target: File) -> io::Result<u64> {
    let mut bytes = 0;
    let mut buffer = Vec::with_capacity(BUFFER);
    loop {
        let count;
        (count, buffer) = source.read_at(buffer, bytes).await?;
        if count == 0 {
            target.close().await?;
            return Ok(bytes);
        }
        buffer = target.write_all_at(buffer, bytes).await?;
        bytes += count as u64;
    }
}

#[cfg(test)]
mod tests;
