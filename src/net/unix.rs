//! Unix sockets: `unix(7)`.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use socket2::{Domain, SockAddr, Type};

use super::address::{bind, open_at};
use super::connect::{connect, in_time};
use super::family::{Family, sealed::Sealed};
use super::halves::{ReadHalf, WriteHalf};
use super::listener::Listener;
use super::stream::{ByteStream, Detached};
use super::tcp::BACKLOG;
use crate::driver::{self, CutBy, SharedFd, SingleOperation, submit};
use crate::time::sleep;
use crate::util::budget;
use crate::{op, sys};

/// The family of Unix sockets.
#[derive(Debug)]
pub enum Unix {}

/// A connection between two processes of one machine, or within one. It costs about a quarter of a
/// TCP connection over loopback.
///
/// # Examples
///
/// ```
/// use corering::net::UnixStream;
///
/// corering::block_on(async {
///     let (mut one, mut other) = UnixStream::pair()?;
///     one.write_all("hello").await?;
///     assert_eq!(&*other.recv().await?, b"hello");
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub type UnixStream = ByteStream<Unix>;

/// The receiving half of a Unix connection.
pub type UnixReadHalf = ReadHalf<Unix>;

/// The sending half of a Unix connection.
pub type UnixWriteHalf = WriteHalf<Unix>;

/// A Unix connection on its way to another shard.
pub type UnixDetached = Detached<Unix>;

/// A Unix socket that listens.
pub type UnixListener = Listener<Unix>;

impl Family for Unix {
    /// `None` for a socket without a name.
    type Address = Option<PathBuf>;
    type Std = std::os::unix::net::UnixStream;
}

impl Sealed for Unix {
    const NAME: &str = "Unix";

    fn address(address: SockAddr) -> io::Result<Option<PathBuf>> {
        Ok(address.as_pathname().map(Path::to_owned))
    }
}

/// How long a connect waits before it looks for room in a full backlog, doubled up to the longest.
const CONNECT_PAUSE_MIN: Duration = Duration::from_millis(1);
const CONNECT_PAUSE_MAX: Duration = Duration::from_millis(64);

impl ByteStream<Unix> {
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
    ///
    /// # Examples
    ///
    /// ```
    /// # corering::block_on(async {
    /// use corering::net::{UnixListener, UnixStream};
    ///
    /// # let path = std::env::temp_dir().join(format!("corering-connect-{}", std::process::id()));
    /// let listener = UnixListener::bind(&path).await?;
    /// let client = UnixStream::connect(&path).await?;
    /// let server = listener.accept().await?;
    /// # assert_eq!(client.peer_addr()?, server.local_addr()?);
    /// # std::fs::remove_file(path)?;
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn connect<P: AsRef<Path>>(
        path: P,
    ) -> impl SingleOperation<Output = io::Result<UnixStream>> + use<P> {
        let address = SockAddr::unix(path);
        connect(async { connect_to(&address?).await.map(ByteStream::from_fd) })
    }

    /// Two streams that are connected with each other.
    ///
    /// # Errors
    ///
    /// Those of `socketpair(2)`.
    ///
    /// # Examples
    ///
    /// ```
    /// # corering::block_on(async {
    /// use corering::net::UnixStream;
    ///
    /// let (mut one, mut other) = UnixStream::pair()?;
    /// one.write_all("hello").await?;
    /// assert_eq!(&*other.recv().await?, b"hello");
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let (one, other) = connected()?;
        Ok((stream_of(one), stream_of(other)))
    }

    /// A stream, and the other end of it, whose calls wait, for another process.
    #[cfg(feature = "process-pool")]
    pub(crate) fn pair_with_process() -> io::Result<(UnixStream, OwnedFd)> {
        let (one, other) = connected()?;
        Ok((stream_of(one), other.into()))
    }
}

fn connected() -> io::Result<(socket2::Socket, socket2::Socket)> {
    socket2::Socket::pair(Domain::UNIX, Type::STREAM.cloexec(), None)
}

fn stream_of(socket: socket2::Socket) -> UnixStream {
    ByteStream::from_fd(SharedFd::reopened_socket(socket.into(), CutBy::MarkOrControl))
}

async fn connect_to(address: &SockAddr) -> io::Result<SharedFd> {
    // It is connected at once or not at all. A ring would hold a thread of the kernel's for each
    // that has to wait, and poll(2) has nothing to wait for: such a socket is always writable.
    let fd = submit(op::socket::Socket::new(Domain::UNIX, Type::STREAM, None, true)).await?;
    let mut pause = CONNECT_PAUSE_MIN;
    while let Err(error) = sys::socket::connect(fd.as_fd(), address) {
        if error.raw_os_error() != Some(libc::EAGAIN) {
            return Err(error);
        }
        in_time(sleep(pause)).await?;
        pause = (pause * 2).min(CONNECT_PAUSE_MAX);
    }
    fd.set_nonblocking(driver::current()?.can().opens_nonblocking)?;
    Ok(fd)
}

impl Listener<Unix> {
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
        bind("listen on", path.display(), || listen_on(path)).await.map(Listener::from_fd)
    }
}

fn listen_on(path: &Path) -> io::Result<SharedFd> {
    let address = SockAddr::unix(path)?;
    let fd = open_at(&address, Type::STREAM, None, CutBy::MarkOrControl, |_| Ok(()))?;
    sys::socket::listen(fd.as_fd(), BACKLOG)?;
    Ok(fd)
}

impl From<std::os::unix::net::UnixStream> for UnixStream {
    /// Takes over a connection, as one that is made of a descriptor.
    fn from(stream: std::os::unix::net::UnixStream) -> Self {
        OwnedFd::from(stream).into()
    }
}

impl From<std::os::unix::net::UnixListener> for UnixListener {
    /// Takes over a listener, as one that is made of a descriptor.
    fn from(listener: std::os::unix::net::UnixListener) -> Self {
        OwnedFd::from(listener).into()
    }
}
