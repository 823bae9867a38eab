//! Listeners of every family.

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, OwnedFd};

use super::accept::{Accept, Acceptor, Incoming};
use super::family::Family;
use crate::driver::SharedFd;
use crate::sys;

/// A socket that listens: a [`TcpListener`](super::TcpListener) or a
/// [`UnixListener`](super::UnixListener).
///
/// # Examples
///
/// ```
/// use corering::net::{ByteStream, Family, Listener, UnixListener, UnixStream};
///
/// async fn greet<F: Family>(listener: Listener<F>) -> std::io::Result<()> {
///     loop {
///         let mut stream: ByteStream<F> = listener.accept().await?;
///         stream.write_all("hello").await?;
///     }
/// }
///
/// corering::block_on(async {
/// #   let folder = std::env::temp_dir().join(format!("corering-greet-{}", std::process::id()));
/// #   std::fs::create_dir(&folder)?;
///     let path = folder.join("socket");
///     corering::spawn(greet(UnixListener::bind(&path).await?));
///     let mut client = UnixStream::connect(&path).await?;
///     assert_eq!(&*client.recv().await?, b"hello");
/// #   std::fs::remove_dir_all(&folder)?;
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Listener<F> {
    acceptor: Acceptor,
    family: PhantomData<F>,
}

impl<F: Family> Listener<F> {
    pub(super) fn from_fd(fd: SharedFd) -> Self {
        Listener { acceptor: Acceptor::new(fd), family: PhantomData }
    }

    pub(super) fn fd(&self) -> &SharedFd {
        self.acceptor.fd()
    }

    /// The next connection. Several tasks may wait; they are served in the order of their coming.
    ///
    /// Connections that broke before they were accepted are passed over. Where descriptors have run
    /// out, it waits until some come free; connections wait in the backlog, and the log says so once.
    ///
    /// # Cancel safety
    ///
    /// No connection is lost: one that comes after the future was dropped is accepted by the next
    /// call.
    ///
    /// # Errors
    ///
    /// Those of `accept(2)` that concern the listener itself.
    ///
    /// # Examples
    ///
    /// ```
    /// # corering::block_on(async {
    /// use corering::net::{TcpListener, TcpStream};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// let client = TcpStream::connect(listener.local_addr()?).await?;
    /// let server = listener.accept().await?;
    /// assert_eq!(server.peer_addr()?, client.local_addr()?);
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "IORING_OP_ACCEPT")]
    pub fn accept(&self) -> Accept<'_, F> {
        Accept::new(&self.acceptor)
    }

    /// All connections, as a stream that does not end.
    ///
    /// # Cancel safety
    ///
    /// No connection is lost.
    ///
    /// # Errors
    ///
    /// As [`accept`](Self::accept).
    ///
    /// # Examples
    ///
    /// ```
    /// # corering::block_on(async {
    /// use corering::net::{TcpListener, TcpStream};
    /// use futures_util::TryStreamExt;
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// let _client = TcpStream::connect(listener.local_addr()?).await?;
    /// let mut incoming = listener.incoming();
    /// while let Some(mut stream) = incoming.try_next().await? {
    ///     stream.write_all("hello").await?;
    /// #   break;
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn incoming(&self) -> Incoming<'_, F> {
        Incoming::new(&self.acceptor)
    }

    /// The address that is listened on.
    ///
    /// # Errors
    ///
    /// Those of `getsockname(2)`.
    ///
    /// # Examples
    ///
    /// ```
    /// # corering::block_on(async {
    /// use corering::net::TcpListener;
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// assert_ne!(listener.local_addr()?.port(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn local_addr(&self) -> io::Result<F::Address> {
        F::address(sys::socket::local_addr(self.fd().as_fd())?)
    }
}

impl<F: Family> From<OwnedFd> for Listener<F> {
    /// Takes a listening socket. Its `O_NONBLOCK`, which others may share, stays as it is on a ring;
    /// on epoll it is set, and put back when the listener is dropped.
    fn from(fd: OwnedFd) -> Self {
        Listener::from_fd(SharedFd::listener(fd))
    }
}
