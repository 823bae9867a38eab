//! What streams of all kinds have in common, and what is neither socket nor file.
//!
//! | to do this | use |
//! |---|---|
//! | write a function for streams of every kind, with buffers that they own | [`OwnedRead`], [`OwnedWrite`] |
//! | write a function for files, and whatever else is read and written at places | [`OwnedReadAt`], [`OwnedWriteAt`] |
//! | receive into memory that is chosen when bytes are there | [`Lend`] |
//! | write bytes that are lent for a call, as a bridge to another library does | [`PollWrite`] |
//! | pass on what comes, in one direction or in both | [`copy`], [`copy_bidirectional`] |
//! | read lines, or up to another byte | [`lines`], [`read_until`] |
//! | read and write pipes, FIFOs, terminals, and what was inherited | [`PipeReader`], [`PipeWriter`], [`pipe()`] |
//! | read standard input, and write standard output and error | [`stdin`], [`stdout`], [`stderr`] |
//! | test all that without sockets | [`duplex`] |
//! | wait for a descriptor that another library reads and writes | [`Watched`] |

#![forbid(unsafe_code)]

mod copy;
mod duplex;
mod left;
mod lines;
pub(crate) mod owned;
mod pipe;
mod places;
mod standard;
mod traits;

pub use copy::{CopyError, Side, copy, copy_bidirectional};
pub use duplex::{DuplexStream, duplex};
pub use lines::{Lines, lines, read_until};
pub use pipe::{PipeReader, PipeWriter, pipe};
pub use places::{OwnedReadAt, OwnedWriteAt};
pub use standard::{Stderr, Stdin, Stdout, stderr, stdin, stdout};
pub use traits::{Lend, OwnedRead, OwnedWrite, PollWrite};

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::driver::{SharedFd, SingleOperation, single};
use crate::op;

/// A trip to the kernel and back, for measuring what an operation costs at least.
///
/// # Cancel safety
///
/// A drop leaves nothing.
///
/// # Errors
///
/// There is no runtime on this thread.
#[doc(alias = "IORING_OP_NOP")]
pub fn nop() -> impl SingleOperation<Output = io::Result<()>> {
    single(op::nop::Nop)
}

/// A descriptor that something else reads and writes; corering only tells when it is ready.
///
/// The descriptor of an epoll set is one, too: it is readable while the set has events. So another
/// library's set (mio's, libuv's, or one that is kept for libcurl's sockets) is part of the shard's own
/// wait: await `readable`, let the library take its events without waiting, and begin again.
///
/// # Examples
///
/// ```
/// use std::io::{Read, Write};
///
/// corering::block_on(async {
///     let (mut reader, mut writer) = std::io::pipe()?;
///     let watched = corering::io::Watched::new(reader.try_clone()?.into());
///     writer.write_all(b"x")?;
///     watched.readable().await?;
///     reader.read_exact(&mut [0])
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Watched {
    fd: SharedFd,
}

impl Watched {
    /// Watches a descriptor that `poll(2)` can wait for: a socket, a pipe, a terminal.
    ///
    /// Its `O_NONBLOCK` stays as it is.
    pub fn new(fd: OwnedFd) -> Self {
        Watched { fd: SharedFd::from(fd) }
    }

    /// Waits until a read would not block, or the other end has hung up. A regular file is always
    /// ready.
    ///
    /// # Cancel safety
    ///
    /// A drop leaves nothing.
    ///
    /// # Errors
    ///
    /// The runtime has ended, or there is none; on the epoll driver `PermissionDenied` for a file
    /// that is not ready and that epoll cannot watch.
    #[doc(alias = "IORING_OP_POLL_ADD")]
    pub fn readable(&self) -> impl SingleOperation<Output = io::Result<()>> + use<> {
        single(op::poll_add::PollAdd::readable(self.fd.clone()))
    }

    /// Waits until a write would not block, or the other end has hung up.
    ///
    /// # Cancel safety
    ///
    /// A drop leaves nothing.
    ///
    /// # Errors
    ///
    /// As [`readable`](Self::readable).
    #[doc(alias = "IORING_OP_POLL_ADD")]
    pub fn writable(&self) -> impl SingleOperation<Output = io::Result<()>> + use<> {
        single(op::poll_add::PollAdd::writable(self.fd.clone()))
    }
}

impl AsFd for Watched {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.expose()
    }
}
