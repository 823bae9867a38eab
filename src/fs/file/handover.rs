//! How a file ends, becomes one of the standard library's, and gets a second handle.

use std::convert::identity;
use std::io;
use std::os::fd::OwnedFd;

use super::File;
use crate::driver::{SingleOperation, single_with};
use crate::op::close::Close;
use crate::util::budget;

impl File {
    /// Closes the file and tells what closing reports, for instance that a write to a file on
    /// another machine had failed. It does not wait for the disk: see [`sync_all`](Self::sync_all).
    ///
    /// # Cancel safety
    ///
    /// A drop leaves a descriptor that is closed; what closing reports is not heard. `within`
    /// [may be late](crate::fs#limits-in-time).
    ///
    /// # Errors
    ///
    /// Those of `close(2)`; the file is closed all the same. `ResourceBusy` if an operation on the
    /// file has not ended, among them one whose future was dropped: the file is then closed when
    /// it has, and what that reports is not heard.
    #[doc(alias = "IORING_OP_CLOSE")]
    pub fn close(self) -> impl SingleOperation<Output = io::Result<()>> + use<> {
        let at_once = self.fd.closes_at_once();
        let close = self.fd.try_unwrap().map(|fd| Close::new(fd).at_once(at_once));
        let close = close.map_err(|_| {
            let text = "an operation on this file has not ended; it is closed when it has";
            Err(io::Error::new(io::ErrorKind::ResourceBusy, text))
        });
        single_with(close, identity)
    }

    /// The file as one of the standard library's.
    ///
    /// # Errors
    ///
    /// The file itself, if an operation on it has not ended, among them one whose future was
    /// dropped. [`into_std`](Self::into_std) waits for it.
    pub fn try_into_std(self) -> Result<std::fs::File, File> {
        self.fd.leave_as_opened();
        let nature = self.nature;
        match self.fd.try_unwrap() {
            Ok(fd) => Ok(fd.into()),
            Err(fd) => Err(File::with(fd, nature.get())),
        }
    }

    /// The file as one of the standard library's, once all operations on it have ended, among them those
    /// whose futures were dropped.
    ///
    /// A future of an operation that is kept and not awaited is waited for, too: for ever, if it is kept by
    /// the task that waits here.
    ///
    /// # Cancel safety
    ///
    /// A drop leaves a file that is closed when the last operation on it has ended.
    ///
    /// # Errors
    ///
    /// None.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::Read;
    ///
    /// let mut file = corering::block_on(async {
    ///     let file = corering::fs::File::open("/proc/version").await?;
    ///     // Dropped while it is in flight, perhaps.
    ///     let _ = futures_util::poll!(file.read_at(vec![0; 5], 0));
    ///     Ok::<_, std::io::Error>(file.into_std().await)
    /// })?;
    /// let mut text = String::new();
    /// file.read_to_string(&mut text)?;
    /// assert!(text.starts_with("Linux"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub async fn into_std(self) -> std::fs::File {
        budget::pay().await;
        self.fd.leave_as_opened();
        std::fs::File::from(self.fd.when_unused().await)
    }

    /// Another handle of the same open file, by a descriptor of its own (`fcntl(2)` with
    /// `F_DUPFD_CLOEXEC`).
    ///
    /// Both share what belongs to the open file: locks, [advice](Self::advise), and the position that other
    /// programs may use. Each is closed for itself; [`close`](Self::close) of one does not wait for the
    /// other.
    ///
    /// A handle of what has no offsets and needs a mode of the open file (see [`File`]: a timerfd, inotify,
    /// the master of a pseudoterminal) leaves that as it is, and its reads and writes fail with
    /// `Unsupported` on epoll.
    ///
    /// # Errors
    ///
    /// Too many open files.
    ///
    /// # Examples
    ///
    /// ```
    /// corering::block_on(async {
    ///     let file = corering::fs::File::open("/proc/version").await?;
    ///     let same = file.try_clone()?;
    ///     file.close().await?;
    ///     assert!(same.read_to_end().await?.starts_with(b"Linux"));
    ///     Ok::<(), std::io::Error>(())
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "dup")]
    pub fn try_clone(&self) -> io::Result<File> {
        let fd: OwnedFd = self.fd.expose().try_clone_to_owned()?;
        let file = File::from(fd);
        if file.nature().is_stream {
            // Whichever handle is dropped first puts the mode back that the other relies on.
            file.fd.keep_mode();
        }
        Ok(file)
    }
}
