//! Unix sockets: `unix(7)`.

use std::fmt;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use socket2::{Domain, SockAddr, Type};

#[cfg(doc)]
use super::WriteAbandoned;
use super::accept::{Accept, Acceptor, Incoming};
use super::address::bind;
use super::receive::{Read, ReadExact, Receiver, Recv};
use super::send_file::send_file;
use super::stream::{listener, stream};
use super::transmit::{SendAll, Transmitter, Write, WriteAll};
use crate::buf::{BufResult, IoBuf, IoBufMut};
use crate::driver::{self, CutBy, SharedFd, SingleOperation, submit};
use crate::fs::File;
use crate::time::sleep;
use crate::util::budget;
use crate::{op, sys};

stream! {
    /// A connection between two processes of one machine, or within one. It costs about a quarter
    /// of a TCP connection over loopback.
    UnixStream, UnixReadHalf, UnixWriteHalf, UnixDetached,
    Option<PathBuf>, path,
    "use corering::net::UnixStream;

corering::block_on(async {
    let (mut one, mut other) = UnixStream::pair()?;
    one.write_all(\"hello\").await?;
    assert_eq!(&*other.recv().await?, b\"hello\");
    Ok::<(), std::io::Error>(())
})?;
# Ok::<(), std::io::Error>(())"
}

listener! {
    /// A Unix socket that listens.
    UnixListener, UnixStream, Option<PathBuf>, path
}

/// Connections that wait to be accepted, at most.
const BACKLOG: i32 = 4096;

/// How long a connect waits before it looks for room in a full backlog, doubled up to the longest.
const CONNECT_PAUSE_MIN: Duration = Duration::from_millis(1);
const CONNECT_PAUSE_MAX: Duration = Duration::from_millis(64);

/// `None` for a socket without a name.
fn path(address: SockAddr) -> io::Result<Option<PathBuf>> {
    Ok(address.as_pathname().map(Path::to_owned))
}

impl UnixStream {
    /// Connects to the socket of a path. If the listener's backlog is full, it waits until there is
    /// room, and looks for it every 64 ms at least: the kernel does not tell.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the attempt is given up and the socket closed.
    ///
    /// # Errors
    ///
    /// Those of `connect(2)`, for instance `NotFound`.
    pub async fn connect(path: impl AsRef<Path>) -> io::Result<UnixStream> {
        let address = SockAddr::unix(path)?;
        // It is connected at once or not at all. A ring would hold a thread of the kernel's for each
        // that has to wait, and poll(2) has nothing to wait for: such a socket is always writable.
        let fd = submit(op::socket::Socket::new(Domain::UNIX, Type::STREAM, None, true)).await?;
        let mut pause = CONNECT_PAUSE_MIN;
        while let Err(error) = sys::socket::connect(fd.as_fd(), &address) {
            if error.raw_os_error() != Some(libc::EAGAIN) {
                return Err(error);
            }
            sleep(pause).await;
            pause = (pause * 2).min(CONNECT_PAUSE_MAX);
        }
        fd.set_nonblocking(driver::current()?.can().opens_nonblocking)?;
        Ok(UnixStream::from_fd(fd))
    }

    /// Two streams that are connected with each other.
    ///
    /// # Errors
    ///
    /// Those of `socketpair(2)`.
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let (one, other) = socket2::Socket::pair(Domain::UNIX, Type::STREAM.cloexec(), None)?;
        let stream = |socket: socket2::Socket| {
            UnixStream::from_fd(SharedFd::reopened_socket(socket.into(), CutBy::MarkOrControl))
        };
        Ok((stream(one), stream(other)))
    }
}

impl UnixListener {
    /// Listens on a path, which must not exist. The file stays when the listener is gone; remove it
    /// then.
    ///
    /// # Cancel safety
    ///
    /// Dropped, nothing listens.
    ///
    /// # Errors
    ///
    /// `AddrInUse` if there is a file of that path, and the others of `socket(2)`, `bind(2)` and
    /// `listen(2)`; the text names the path.
    pub async fn bind(path: impl AsRef<Path>) -> io::Result<UnixListener> {
        budget::pay().await;
        let path = path.as_ref();
        let fd = bind(|| listen_on(path)).await.map_err(|error| {
            io::Error::new(error.kind(), format!("cannot listen on {}: {error}", path.display()))
        })?;
        Ok(UnixListener { acceptor: Acceptor::new(fd) })
    }
}

fn listen_on(path: &Path) -> io::Result<SharedFd> {
    let nonblocking = driver::current()?.can().opens_nonblocking;
    let fd = sys::socket::open(Domain::UNIX, Type::STREAM, None, nonblocking)?;
    let fd = SharedFd::opened_socket(fd, nonblocking, CutBy::MarkOrControl);
    sys::socket::bind(fd.as_fd(), &SockAddr::unix(path)?)?;
    sys::socket::listen(fd.as_fd(), BACKLOG)?;
    Ok(fd)
}
