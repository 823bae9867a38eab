//! An open file.

mod attributes;
mod handover;
mod lock;
mod pages;
mod room;

pub use pages::Advice;

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Instant;

use super::alignment::Extent;
use super::whole::{self, Progress};
use super::{Metadata, OpenOptions};
use crate::buf::{BufError, BufResult, IoBuf, IoBufMut, no_room};
use crate::driver::{self, Operation, SharedFd, SingleOperation, single, single_with};
use crate::op::{self, position::Position};
use crate::sys::clock;
use crate::sys::file::{is_direct, is_stream, refuses_offsets};

/// An open file, or a folder, device or pipe.
///
/// Reads and writes name their offset, so any number of them may be in flight at once; the file's
/// own position is neither used nor moved. Two things are otherwise:
/// - a file opened to [append](OpenOptions::append) is written at its end, whatever the offset;
/// - a pipe, terminal, socket, eventfd, timerfd or inotify descriptor has no offsets: what is given
///   is ignored, and calls take place one after the other.
///
/// # The mode of what came from outside
///
/// A file that was made of a descriptor may share its open file with others, a child's standard
/// input for instance, and with it `O_NONBLOCK`. It is changed only where nothing else works, and put
/// back when the file is dropped, closed or made one of the standard library's:
/// - on epoll pipes and sockets are read and written with `RWF_NOWAIT` (pipes from kernel 6.4 on), and
///   a terminal is opened once more; of the rest (a timerfd, inotify, the master of a pseudoterminal,
///   pipes of older kernels, a terminal that cannot be opened) `O_NONBLOCK` is set;
/// - on a ring `O_NONBLOCK` is cleared where the kernel answers `EAGAIN` for it: a terminal, a
///   timerfd, inotify, and on older kernels a pipe;
/// - streams and sockets of `net` keep their mode, except that `send_file` sets `O_NONBLOCK`, and so
///   does `accept` on epoll.
///
/// Dropped, the file is closed as soon as the last operation on it has ended; what closing could
/// report is then not heard, see [`close`](Self::close).
///
/// # Examples
///
/// ```
/// use corering::fs::File;
///
/// corering::block_on(async {
///     let file = File::open("/dev/zero").await?;
///     let (count, buf) = file.read_at(vec![1; 16], 0).await?;
///     assert_eq!((count, buf), (16, vec![0; 16]));
///     file.close().await
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct File {
    fd: SharedFd,
    /// Where that is known.
    nature: Cell<Option<Nature>>,
    /// Until then the page cache is taken to have all of it.
    in_cache_until: Cell<Option<Instant>>,
}

/// What a thread has to know of a file before it reads or writes it, and a ring has not.
#[derive(Clone, Copy, Default)]
struct Nature {
    /// It has no positions.
    is_stream: bool,
    /// The page cache has nothing of it.
    is_direct: bool,
}

impl Nature {
    fn of(fd: BorrowedFd<'_>) -> Self {
        Nature { is_stream: is_stream(fd), is_direct: is_direct(fd) }
    }
}

impl File {
    /// A file that was opened by its path. A ring needs to be told of `O_DIRECT` only.
    pub(super) fn opened(fd: SharedFd, is_direct: bool) -> Self {
        let file = File::with(fd, None);
        if is_direct {
            file.ask();
        }
        file
    }

    fn with(fd: SharedFd, nature: Option<Nature>) -> Self {
        File { fd, nature: Cell::new(nature), in_cache_until: Cell::new(None) }
    }

    /// Looks whether the page cache has all of its `len` bytes, which is taken to be so `until` then.
    pub(super) fn look_at_page_cache(&self, len: u64, until: Instant) {
        let is_in_cache = driver::current().is_ok_and(|driver| {
            let len = usize::try_from(len).unwrap_or(usize::MAX);
            len > 0 && self.is_cached() && op::send_file::is_in_cache(&driver, &self.fd, 0, len)
        });
        self.in_cache_until.set(is_in_cache.then_some(until));
    }

    /// Whether the page cache was found to have all of it, a short time ago.
    pub(crate) fn was_in_cache(&self) -> bool {
        self.in_cache_until.get().is_some_and(|until| clock::now() < until)
    }

    pub(crate) fn shared(&self) -> &SharedFd {
        &self.fd
    }

    /// Where an operation takes place. A ring has to know only of what it did not open itself, of a
    /// socket in particular; a thread of the pool has to know of everything, since it would wait.
    pub(crate) fn position(&self, offset: u64) -> Position {
        if self.nature().is_stream { Position::Stream } else { Position::At(offset) }
    }

    fn nature(&self) -> Nature {
        if let Some(known) = self.nature.get() {
            return known;
        }
        if driver::current().map_or(true, |driver| driver.can().reads_files) {
            return Nature::default();
        }
        self.ask()
    }

    fn ask(&self) -> Nature {
        let nature = Nature::of(self.fd.as_fd());
        self.nature.set(Some(nature));
        nature
    }

    /// Whether the page cache may have what is read, and takes what is written, as far as that is
    /// known: a ring asks by itself.
    pub(super) fn asks_cache(&self) -> bool {
        !self.nature().is_direct
    }

    /// Whether the page cache may have what is read, on any driver.
    pub(crate) fn is_cached(&self) -> bool {
        !self.nature.get().unwrap_or_else(|| self.ask()).is_direct
    }

    /// Opens a file, or a folder, for reading.
    ///
    /// # Cancel safety
    ///
    /// A drop leaves nothing: what was opened is closed. `within`
    /// [may be late](super#limits-in-time).
    ///
    /// # Errors
    ///
    /// Those of [`OpenOptions::open`], for instance `NotFound`.
    #[doc(alias = "IORING_OP_OPENAT")]
    pub fn open<P: AsRef<Path>>(
        path: P,
    ) -> impl SingleOperation<Output = io::Result<File>> + use<P> {
        OpenOptions::new().read(true).open(path)
    }

    /// Opens a file for writing: creates it if it is not there, and empties it if it is.
    ///
    /// # Cancel safety
    ///
    /// A drop leaves a file that may have been created or emptied; what was opened is closed.
    /// `within` [may be late](super#limits-in-time).
    ///
    /// # Errors
    ///
    /// Those of [`OpenOptions::open`].
    #[doc(alias = "IORING_OP_OPENAT")]
    pub fn create<P: AsRef<Path>>(
        path: P,
    ) -> impl SingleOperation<Output = io::Result<File>> + use<P> {
        OpenOptions::new().write(true).create(true).truncate(true).open(path)
    }

    /// Options to open a file by; the same as [`OpenOptions::new`].
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    /// Reads once, from `offset` on, into the buffer from its beginning up to its capacity (not its
    /// length, which may be less), and makes it as long as what came. A count of 0 is the end of the
    /// file, and nothing else; fewer bytes than there is room for are no sign of the end. One call
    /// reads at most 2,147,479,552 bytes.
    ///
    /// # Cancel safety
    ///
    /// A drop leaves the file as it is, and loses the buffer. A pipe loses what the read takes before
    /// the kernel hears of the drop. With a limit by [`within`](crate::time::within) the buffer comes
    /// back, which [may be late](super#limits-in-time) for a disk, and no byte is lost.
    ///
    /// # Errors
    ///
    /// Those of `pread(2)`, with the buffer: `IsADirectory`, and `InvalidInput` for an offset that
    /// no file has; and `InvalidInput` for a buffer without room, where POSIX would have a 0 that
    /// looks like the end. A file opened with `O_DIRECT` whose alignment is not met says which one it
    /// needs.
    #[doc(alias = "IORING_OP_READ")]
    #[doc(alias = "pread")]
    pub fn read_at<B: IoBufMut>(
        &self,
        buf: B,
        offset: u64,
    ) -> impl SingleOperation<Output = BufResult<usize, B>> + use<B> {
        let position = self.position(offset);
        let extent = Extent::at(position).with(&buf, 0, buf.capacity());
        let read = with_room(buf, |buf| buf.capacity() > 0).map(|buf| {
            let read = op::read_at::ReadAt::new(self.fd.clone(), buf, position);
            read.through_cache(self.asks_cache())
        });
        self.transfer(read, extent)
    }

    /// Writes once, at `offset`, and returns how many bytes the file took. A gap between the file's
    /// end and `offset` reads as zeroes and takes no room on most disks. One call writes at most
    /// 2,147,479,552 bytes.
    ///
    /// The data is then with the kernel, and not yet on the disk: see [`sync_all`](Self::sync_all).
    ///
    /// # Cancel safety
    ///
    /// A drop leaves a file that may have been written, in part or not at all, and loses the buffer.
    /// With a limit by [`within`](crate::time::within) the buffer comes back, which
    /// [may be late](super#limits-in-time) for a disk, and the file has taken nothing of it.
    ///
    /// # Errors
    ///
    /// Those of `pwrite(2)`, with the buffer: `StorageFull`, `FileTooLarge`, and `InvalidInput` for
    /// an offset that no file has. `O_DIRECT` is as in [`read_at`](Self::read_at).
    #[doc(alias = "IORING_OP_WRITE")]
    #[doc(alias = "pwrite")]
    pub fn write_at<B: IoBuf>(
        &self,
        buf: B,
        offset: u64,
    ) -> impl SingleOperation<Output = BufResult<usize, B>> + use<B> {
        let position = self.position(offset);
        let extent = Extent::at(position).with(&buf, 0, buf.bytes_len());
        let write = op::write_at::WriteAt::new(self.fd.clone(), buf, position);
        self.transfer(Ok(write.through_cache(self.asks_cache())), extent)
    }

    /// Reads once into several buffers, one after the other, as [`read_at`](Self::read_at) does
    /// into one. Of more than 1,024 buffers only the first are used.
    ///
    /// # Cancel safety
    ///
    /// As [`read_at`](Self::read_at).
    ///
    /// # Errors
    ///
    /// As [`read_at`](Self::read_at), with all buffers: `InvalidInput` if none has room.
    ///
    /// # Examples
    ///
    /// ```
    /// corering::block_on(async {
    ///     let file = corering::fs::File::open("/proc/version").await?;
    ///     let bufs = vec![Vec::with_capacity(5), Vec::with_capacity(9)];
    ///     let (count, bufs) = file.read_vectored_at(bufs, 0).await?;
    ///     assert_eq!((count, &bufs[0][..], &bufs[1][..]), (14, &b"Linux"[..], &b" version "[..]));
    ///     Ok::<(), std::io::Error>(())
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "IORING_OP_READV")]
    #[doc(alias = "preadv")]
    pub fn read_vectored_at<B: IoBufMut>(
        &self,
        bufs: Vec<B>,
        offset: u64,
    ) -> impl SingleOperation<Output = BufResult<usize, Vec<B>>> + use<B> {
        let position = self.position(offset);
        let extent = bufs
            .iter()
            .fold(Extent::at(position), |extent, buf| extent.with(buf, 0, buf.capacity()));
        let bufs = with_room(bufs, |bufs| bufs.iter().any(|buf| buf.capacity() > 0));
        let read = bufs.map(|bufs| {
            let read = op::readv::Readv::new(self.fd.clone(), bufs, position);
            read.through_cache(self.asks_cache())
        });
        self.transfer(read, extent)
    }

    /// Writes once from several buffers, one after the other, as [`write_at`](Self::write_at) does
    /// from one. Of more than 1,024 buffers only the first are used.
    ///
    /// # Cancel safety
    ///
    /// As [`write_at`](Self::write_at).
    ///
    /// # Errors
    ///
    /// As [`write_at`](Self::write_at), with all buffers.
    #[doc(alias = "IORING_OP_WRITEV")]
    #[doc(alias = "pwritev")]
    pub fn write_vectored_at<B: IoBuf>(
        &self,
        bufs: Vec<B>,
        offset: u64,
    ) -> impl SingleOperation<Output = BufResult<usize, Vec<B>>> + use<B> {
        let position = self.position(offset);
        let extent = bufs
            .iter()
            .fold(Extent::at(position), |extent, buf| extent.with(buf, 0, buf.bytes_len()));
        let write = op::writev::Writev::new(self.fd.clone(), bufs, position);
        self.transfer(Ok(write.through_cache(self.asks_cache())), extent)
    }

    /// Reads `n` bytes, from `offset` on, into the buffer from its beginning on, and makes it as
    /// long. None are there at once.
    ///
    /// # Cancel safety
    ///
    /// A drop leaves the file as it is, and loses the buffer. A pipe has lost what was read.
    ///
    /// # Errors
    ///
    /// As [`read_at`](Self::read_at), and `UnexpectedEof` if the file ends before;
    /// [`transferred`](BufError::transferred) says how much came. `InvalidInput` if the buffer has room
    /// for fewer.
    ///
    /// # Examples
    ///
    /// ```
    /// corering::block_on(async {
    ///     let file = corering::fs::File::open("/proc/version").await?;
    ///     let word = file.read_exact_at(Vec::with_capacity(64), 5, 0).await?;
    ///     assert_eq!(word, b"Linux");
    ///     Ok::<(), std::io::Error>(())
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn read_exact_at<B: IoBufMut>(
        &self,
        buf: B,
        n: usize,
        offset: u64,
    ) -> impl Future<Output = Result<B, BufError<B>>> + use<B> {
        whole::read_exact(Progress::of(self, offset), buf, n)
    }

    /// Writes the whole buffer, at `offset`, and gives it back.
    ///
    /// # Cancel safety
    ///
    /// A drop leaves a file that may have been written, with a first part of the buffer or all, and
    /// loses the buffer.
    ///
    /// # Errors
    ///
    /// As [`write_at`](Self::write_at), and `WriteZero` if the file takes no more;
    /// [`transferred`](BufError::transferred) says how much it took.
    pub fn write_all_at<B: IoBuf>(
        &self,
        buf: B,
        offset: u64,
    ) -> impl Future<Output = Result<B, BufError<B>>> + use<B> {
        whole::write_all(Progress::of(self, offset), buf)
    }

    /// Reads all that the file holds, whatever its metadata says of its size.
    ///
    /// Not for files opened with `O_DIRECT`, which need aligned buffers.
    ///
    /// # Cancel safety
    ///
    /// A drop leaves the file as it is. A pipe has lost what was read.
    ///
    /// # Errors
    ///
    /// As [`read_at`](Self::read_at), without a buffer, and `OutOfMemory`.
    pub fn read_to_end(&self) -> impl Future<Output = io::Result<Vec<u8>>> + use<> {
        whole::read_to_end(Progress::of(self, 0))
    }

    /// Waits until all that was written is on the disk, with the file's metadata.
    ///
    /// # Cancel safety
    ///
    /// A drop leaves a disk that may have all that was written or not. `within`
    /// [may be late](super#limits-in-time).
    ///
    /// # Errors
    ///
    /// Those of `fsync(2)`. After an error earlier writes may be lost, and asking again does not
    /// tell.
    #[doc(alias = "IORING_OP_FSYNC")]
    #[doc(alias = "fsync")]
    pub fn sync_all(&self) -> impl SingleOperation<Output = io::Result<()>> + use<> {
        single(op::fsync::Fsync::new(self.fd.clone(), false))
    }

    /// Waits until all that was written is on the disk, with as much metadata as it takes to read
    /// it back.
    ///
    /// # Cancel safety
    ///
    /// As [`sync_all`](Self::sync_all).
    ///
    /// # Errors
    ///
    /// As [`sync_all`](Self::sync_all).
    #[doc(alias = "IORING_OP_FSYNC")]
    #[doc(alias = "fdatasync")]
    pub fn sync_data(&self) -> impl SingleOperation<Output = io::Result<()>> + use<> {
        single(op::fsync::Fsync::new(self.fd.clone(), true))
    }

    /// What the file system knows of the file.
    ///
    /// # Cancel safety
    ///
    /// A drop leaves nothing. `within` [may be late](super#limits-in-time).
    ///
    /// # Errors
    ///
    /// Those of `statx(2)`.
    #[doc(alias = "IORING_OP_STATX")]
    pub fn metadata(&self) -> impl SingleOperation<Output = io::Result<Metadata>> + use<> {
        let statx = op::statx::Statx::of_file(self.fd.clone());
        single_with(Ok(statx), |answer| answer.map(Metadata::new))
    }

    /// Cuts the file at `len` bytes, or lets it grow to them with zeroes that take no room.
    ///
    /// A ring does it on Linux 6.9 and later; before, a thread of the pool does.
    ///
    /// # Cancel safety
    ///
    /// A drop leaves a file of the old length or the new one. `within`
    /// [may be late](super#limits-in-time).
    ///
    /// # Errors
    ///
    /// Those of `ftruncate(2)`: `InvalidInput` if the file is not opened for writing or cannot have
    /// a length, `FileTooLarge`.
    #[doc(alias = "IORING_OP_FTRUNCATE")]
    #[doc(alias = "ftruncate")]
    pub fn set_len(&self, len: u64) -> impl SingleOperation<Output = io::Result<()>> + use<> {
        single(op::ftruncate::Ftruncate::new(self.fd.clone(), len))
    }
}

impl File {
    /// One read or write. A wrong alignment is explained.
    fn transfer<O, B>(
        &self,
        operation: Result<O, BufError<B>>,
        extent: Extent,
    ) -> impl SingleOperation<Output = BufResult<usize, B>> + use<O, B>
    where
        O: Operation<Output = BufResult<usize, B>>,
    {
        let fd = self.fd.clone();
        single_with(operation.map_err(Err), move |outcome| {
            outcome.map_err(|failed| extent.explain(&fd, failed))
        })
    }
}

/// What is to be filled, if it has room.
fn with_room<B>(buf: B, has_room: impl FnOnce(&B) -> bool) -> Result<B, BufError<B>> {
    if has_room(&buf) { Ok(buf) } else { Err(BufError::new(no_room(), buf)) }
}

impl From<OwnedFd> for File {
    /// Takes over whatever is open under a descriptor.
    fn from(fd: OwnedFd) -> Self {
        let mut nature = Nature::of(fd.as_fd());
        nature.is_stream |= refuses_offsets(fd.as_fd());
        File::with(SharedFd::from(fd), Some(nature))
    }
}

impl From<std::fs::File> for File {
    fn from(file: std::fs::File) -> Self {
        File::from(OwnedFd::from(file))
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.expose()
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").field("fd", &self.fd.raw()).finish()
    }
}
