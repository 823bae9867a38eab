//! Locks of whole files, between processes: `flock(2)`.

use std::fs::TryLockError;
use std::future::Future;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use super::File;
use crate::driver::{self, SharedFd};
use crate::sys::file::flock;
use crate::time::sleep;
use crate::util::budget;

/// Between two attempts to lock a file that somebody else has locked: the kernel does not tell when that
/// is over. The first pause; each is twice as long as the one before.
const PAUSE_MIN: Duration = Duration::from_millis(1);

/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_millis(100);

impl File {
    /// Locks the file, and waits while anybody else has it locked. Nobody else has a lock then.
    ///
    /// A lock binds those that ask for one: it keeps nobody from reading, writing or removing the file. It
    /// belongs to the open file, not to the process: who opens the same file once more is somebody else, and
    /// what [`try_clone`](Self::try_clone) gives, or a child inherits, has the same lock. It ends by
    /// [`unlock`](Self::unlock), or when all of them are closed, also by the end of their processes. An
    /// operation in flight keeps a dropped file open, and so its lock.
    ///
    /// A file has one lock at a time: one that is locked already stays so, and a shared lock becomes an
    /// exclusive one. That takes it away first, so others may come between, and it is gone also if the
    /// attempt fails or is given up.
    ///
    /// The kernel does not tell when a lock ends, so the wait is a loop of attempts, with pauses of 1 ms
    /// first and of 100 ms later. It takes no thread, and there is no order among those that wait. On a
    /// network file system each attempt asks the server, and the shard waits for the answer.
    ///
    /// # Cancel safety
    ///
    /// A drop leaves the file as it was: the lock is taken by the poll that says so, or not at all.
    ///
    /// # Errors
    ///
    /// Those of `flock(2)`: `ENOLCK` if the kernel has no memory for a lock, or a server gives none; on NFS
    /// `EBADF` if the file is not opened for writing.
    ///
    /// # Examples
    ///
    /// ```
    /// # let path = std::env::temp_dir().join(format!("corering-doc-lock-{}", std::process::id()));
    /// use corering::fs::File;
    ///
    /// corering::block_on(async {
    ///     let mine = File::create(&path).await?;
    ///     mine.lock().await?;
    ///     let theirs = File::open(&path).await?;
    ///     assert!(theirs.try_lock_shared().is_err());
    ///     mine.unlock()?;
    ///     theirs.lock_shared().await?;
    ///     corering::fs::remove_file(&path).await
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "flock")]
    pub fn lock(&self) -> impl Future<Output = io::Result<()>> + use<> {
        locked(self.fd.clone(), libc::LOCK_EX)
    }

    /// Locks the file for itself and others that do the same, and waits while anybody has it locked by
    /// [`lock`](Self::lock). All else is as there.
    ///
    /// # Cancel safety
    ///
    /// As [`lock`](Self::lock).
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock); on NFS `EBADF` if the file is not opened for reading.
    #[doc(alias = "flock")]
    pub fn lock_shared(&self) -> impl Future<Output = io::Result<()>> + use<> {
        locked(self.fd.clone(), libc::LOCK_SH)
    }

    /// Locks the file as [`lock`](Self::lock) does, if nobody else has it locked.
    ///
    /// # Errors
    ///
    /// [`TryLockError::WouldBlock`] if somebody has, else as [`lock`](Self::lock).
    #[doc(alias = "flock")]
    pub fn try_lock(&self) -> Result<(), TryLockError> {
        attempt(&self.fd, libc::LOCK_EX)
    }

    /// Locks the file as [`lock_shared`](Self::lock_shared) does, if nobody else has it locked by
    /// [`lock`](Self::lock).
    ///
    /// # Errors
    ///
    /// [`TryLockError::WouldBlock`] if somebody has, else as [`lock`](Self::lock).
    #[doc(alias = "flock")]
    pub fn try_lock_shared(&self) -> Result<(), TryLockError> {
        attempt(&self.fd, libc::LOCK_SH)
    }

    /// Ends the lock of either kind. Without one nothing happens.
    ///
    /// # Errors
    ///
    /// Those of `flock(2)`; none on a local file system.
    #[doc(alias = "flock")]
    pub fn unlock(&self) -> io::Result<()> {
        flock(self.fd.as_fd(), libc::LOCK_UN)
    }
}

fn attempt(fd: &SharedFd, kind: i32) -> Result<(), TryLockError> {
    flock(fd.as_fd(), kind).map_err(|error| match error.raw_os_error() {
        Some(libc::EWOULDBLOCK) => TryLockError::WouldBlock,
        _ => TryLockError::Error(error),
    })
}

async fn locked(fd: SharedFd, kind: i32) -> io::Result<()> {
    budget::pay().await;
    driver::current()?;
    let mut pause = PAUSE_MIN;
    loop {
        match attempt(&fd, kind) {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) => sleep(pause).await,
        }
        pause = PAUSE_MAX.min(pause * 2);
    }
}
