//! The room that a file takes on its disk.

use std::future::Future;
use std::io;
use std::os::fd::AsFd;

use super::File;
use crate::driver::{SharedFd, SingleOperation, single};
use crate::fs::on_pool::on_pool;
use crate::op::fallocate::Fallocate;
use crate::sys::file::{Part, next_part};

impl File {
    /// Reserves room on the disk for the `len` bytes from `offset` on, so that writing there cannot
    /// fail for want of it. The file grows to hold them, by zeroes, if it is shorter.
    ///
    /// # Cancel safety
    ///
    /// A drop leaves a file for which some of the room may be reserved. `within`
    /// [may be late](crate::fs#limits-in-time).
    ///
    /// # Errors
    ///
    /// Those of `fallocate(2)`: `StorageFull`, `Unsupported` by the file system, `InvalidInput` for
    /// a length of 0, `FileTooLarge`.
    #[doc(alias = "IORING_OP_FALLOCATE")]
    #[doc(alias = "fallocate")]
    pub fn allocate(
        &self,
        offset: u64,
        len: u64,
    ) -> impl SingleOperation<Output = io::Result<()>> + use<> {
        single(Fallocate::new(self.fd.clone(), 0, offset, len))
    }

    /// Gives back the room of the `len` bytes from `offset` on, which then read as zeroes. The file is as
    /// long as it was, also where they reach beyond its end.
    ///
    /// Blocks that the bytes fill in part keep their room, and get the zeroes.
    ///
    /// # Cancel safety
    ///
    /// A drop leaves a file of which some of the bytes may be zeroes. `within`
    /// [may be late](crate::fs#limits-in-time).
    ///
    /// # Errors
    ///
    /// Those of `fallocate(2)` with `FALLOC_FL_PUNCH_HOLE`: `Unsupported` by the file system,
    /// `InvalidInput` for a length of 0 and for offsets beyond 2^63 - 1; `EBADF` if the file is not opened
    /// for writing, `NotSeekable` for a pipe, `ENODEV` for a folder or a device.
    ///
    /// # Examples
    ///
    /// ```
    /// # let path = std::env::temp_dir().join(format!("corering-doc-hole-{}", std::process::id()));
    /// corering::block_on(async {
    ///     let mut options = corering::fs::OpenOptions::new();
    ///     let file = options.read(true).write(true).create(true).open(&path).await?;
    ///     file.write_all_at("0123456789", 0).await?;
    ///     file.punch_hole(2, 5).await?;
    ///     assert_eq!(file.read_to_end().await?, b"01\0\0\0\0\0789");
    ///     corering::fs::remove_file(&path).await
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "IORING_OP_FALLOCATE")]
    #[doc(alias = "FALLOC_FL_PUNCH_HOLE")]
    pub fn punch_hole(
        &self,
        offset: u64,
        len: u64,
    ) -> impl SingleOperation<Output = io::Result<()>> + use<> {
        const HOLE: i32 = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        single(Fallocate::new(self.fd.clone(), HOLE, offset, len))
    }

    /// Where data begins, at `offset` or behind it; `None` if only a hole is left, or nothing.
    ///
    /// A file system that does not keep note of holes takes the whole file for data. A part that was
    /// reserved and never written counts as a hole on most.
    ///
    /// The file's own position stays where it is, also for those that share the open file. `lseek(2)` would
    /// move it, so a file that came from outside, or has given its descriptor away
    /// ([`try_clone`](Self::try_clone), `as_fd`), is opened once more, by its link in `/proc`. A thread of
    /// the pool does all of it.
    ///
    /// # Cancel safety
    ///
    /// A drop leaves nothing.
    ///
    /// # Errors
    ///
    /// Those of `lseek(2)`: `NotSeekable` for a pipe; `InvalidInput` for what is neither a regular file nor
    /// a block device, and for an offset beyond 2^63 - 1. `PermissionDenied` or `NotFound` if the file is to
    /// be opened once more and cannot be.
    ///
    /// # Examples
    ///
    /// ```
    /// # let path = std::env::temp_dir().join(format!("corering-doc-seek-{}", std::process::id()));
    /// corering::block_on(async {
    ///     let file = corering::fs::File::create(&path).await?;
    ///     file.write_all_at("far away", 1 << 20).await?;
    ///     let begin = file.seek_data(0).await?.expect("it has data");
    ///     let end = file.seek_hole(begin).await?.expect("it has an end");
    ///     assert_eq!(end, (1 << 20) + 8);
    ///     assert_eq!(file.seek_data(end).await?, None);
    ///     corering::fs::remove_file(&path).await
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "SEEK_DATA")]
    #[doc(alias = "lseek")]
    pub fn seek_data(&self, offset: u64) -> impl Future<Output = io::Result<Option<u64>>> + use<> {
        seek(self.fd.clone(), Part::Data, offset)
    }

    /// Where a hole begins, at `offset` or behind it; the end of the file is one. `None` if the file ends
    /// at `offset` or before. All else is as in [`seek_data`](Self::seek_data).
    ///
    /// # Cancel safety
    ///
    /// A drop leaves nothing.
    ///
    /// # Errors
    ///
    /// As [`seek_data`](Self::seek_data).
    #[doc(alias = "SEEK_HOLE")]
    pub fn seek_hole(&self, offset: u64) -> impl Future<Output = io::Result<Option<u64>>> + use<> {
        seek(self.fd.clone(), Part::Hole, offset)
    }
}

async fn seek(fd: SharedFd, part: Part, offset: u64) -> io::Result<Option<u64>> {
    // Closed by the thread, however late it is.
    let (searched, is_shared) = (fd.as_fd().try_clone_to_owned()?, fd.is_exposed());
    on_pool(move || next_part(searched.as_fd(), part, offset, is_shared)).await
}
