//! A file's pages in memory: what is kept of it there, and when it goes to the disk.

use std::convert::identity;
use std::io;

use super::File;
use crate::driver::{SingleOperation, single, single_with};
use crate::op::fadvise::Fadvise;
use crate::op::sync_file_range::SyncFileRange;

/// How a part of a file will be used, see [`File::advise`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Advice {
    /// Nothing is known. As long as nothing was said, this holds.
    Normal,
    /// From its beginning to its end: twice as much is read ahead.
    Sequential,
    /// Here and there: nothing is read ahead.
    Random,
    /// Soon: it is read into the page cache, as by [`File::prefetch`].
    WillNeed,
    /// No more for now: it leaves the page cache, as far as it is on the disk and nobody else uses it.
    DontNeed,
    /// Once: its pages are among the first to go when memory is short (Linux 6.3; before, nothing
    /// follows).
    NoReuse,
}

impl File {
    /// Begins to read the `len` bytes from `offset` on into the page cache, and does not wait for
    /// them: a later read finds them there, or on their way. A length of 0 is all that follows.
    ///
    /// # Cancel safety
    ///
    /// A drop leaves a page cache that may have the bytes or not. `within`
    /// [may be late](crate::fs#limits-in-time).
    ///
    /// # Errors
    ///
    /// As [`advise`](Self::advise).
    #[doc(alias = "IORING_OP_FADVISE")]
    #[doc(alias = "posix_fadvise")]
    pub fn prefetch(
        &self,
        offset: u64,
        len: u64,
    ) -> impl SingleOperation<Output = io::Result<()>> + use<> {
        self.advise(offset, len, Advice::WillNeed)
    }

    /// Says how the `len` bytes from `offset` on will be used. A length of 0 is all that follows.
    ///
    /// `Normal`, `Sequential`, `Random` and `NoReuse` are kept with the open file, and hold for all of it,
    /// whatever the range, and for those that share it ([`try_clone`](Self::try_clone)).
    ///
    /// # Cancel safety
    ///
    /// A drop leaves advice that may have been taken or not. `within`
    /// [may be late](crate::fs#limits-in-time).
    ///
    /// # Errors
    ///
    /// Those of `posix_fadvise(2)`: `NotSeekable` for a pipe or a socket; `InvalidInput` for an offset
    /// beyond 2^63 - 1.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::fs::{Advice, File};
    ///
    /// corering::block_on(async {
    ///     let file = File::open("/proc/self/exe").await?;
    ///     file.advise(0, 0, Advice::Sequential).await?;
    ///     file.advise(0, 1 << 20, Advice::WillNeed).await
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "IORING_OP_FADVISE")]
    #[doc(alias = "posix_fadvise")]
    pub fn advise(
        &self,
        offset: u64,
        len: u64,
        advice: Advice,
    ) -> impl SingleOperation<Output = io::Result<()>> + use<> {
        let advice = match advice {
            Advice::Normal => libc::POSIX_FADV_NORMAL,
            Advice::Sequential => libc::POSIX_FADV_SEQUENTIAL,
            Advice::Random => libc::POSIX_FADV_RANDOM,
            Advice::WillNeed => libc::POSIX_FADV_WILLNEED,
            Advice::DontNeed => libc::POSIX_FADV_DONTNEED,
            Advice::NoReuse => libc::POSIX_FADV_NOREUSE,
        };
        let fadvise = Fadvise::new(self.fd.clone(), offset, len, advice);
        single_with(fadvise.map_err(Err), identity)
    }

    /// Writes the `len` bytes from `offset` on to the disk, and waits for that. A length of 0 is all that
    /// follows.
    ///
    /// It spreads the work of a later [`sync_data`](Self::sync_data), and does not stand in for it: neither
    /// the file's new length and place are written, nor is the disk asked to empty its cache, so after a
    /// loss of power the bytes may be gone.
    ///
    /// # Cancel safety
    ///
    /// A drop leaves a disk that may have the bytes or not. `within` [may be late](crate::fs#limits-in-time).
    ///
    /// # Errors
    ///
    /// Those of `sync_file_range(2)`: what the disk reports; `NotSeekable` for what has no pages, a pipe or
    /// a device; `InvalidInput` for an offset beyond 2^63 - 1.
    #[doc(alias = "IORING_OP_SYNC_FILE_RANGE")]
    #[doc(alias = "sync_file_range")]
    pub fn sync_range(
        &self,
        offset: u64,
        len: u64,
    ) -> impl SingleOperation<Output = io::Result<()>> + use<> {
        single(SyncFileRange::new(self.fd.clone(), offset, len))
    }
}
