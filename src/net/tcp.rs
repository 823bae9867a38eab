//! TCP: `tcp(7)`.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

use super::address::{ToAddress, bind, first_of, ip_address, open_at};
use super::connect::connect;
use super::family::{Family, sealed::Sealed};
use super::halves::{ReadHalf, WriteHalf};
use super::listener::Listener;
use super::stream::{ByteStream, Detached};
use crate::driver::{self, CutBy, SharedFd, SingleOperation, submit};
use crate::util::budget;
use crate::{op, sys};

/// The family of TCP sockets.
#[derive(Debug)]
pub enum Tcp {}

/// A TCP connection.
///
/// # Examples
///
/// ```
/// use corering::net::{TcpListener, TcpStream};
///
/// corering::block_on(async {
///     let listener = TcpListener::bind("127.0.0.1:0").await?;
///     let mut client = TcpStream::connect(listener.local_addr()?).await?;
///     let mut server = listener.accept().await?;
///     client.write_all("hello").await?;
///     assert_eq!(&*server.recv().await?, b"hello");
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub type TcpStream = ByteStream<Tcp>;

/// The receiving half of a TCP connection.
pub type TcpReadHalf = ReadHalf<Tcp>;

/// The sending half of a TCP connection.
pub type TcpWriteHalf = WriteHalf<Tcp>;

/// A TCP connection on its way to another shard.
pub type TcpDetached = Detached<Tcp>;

/// A TCP socket that listens.
pub type TcpListener = Listener<Tcp>;

impl Family for Tcp {
    type Address = SocketAddr;
    type Std = std::net::TcpStream;
}

impl Sealed for Tcp {
    const NAME: &str = "Tcp";

    fn address(address: SockAddr) -> io::Result<SocketAddr> {
        ip_address(&address)
    }
}

impl ByteStream<Tcp> {
    /// Connects to an address, or to the first address of a name that answers. Names are looked up
    /// on a thread of the pool.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the attempt is given up and the socket closed.
    ///
    /// # Errors
    ///
    /// Those of `connect(2)` for the last address, and of the lookup; `InvalidInput` if the text is
    /// no address.
    ///
    /// # Examples
    ///
    /// ```
    /// # corering::block_on(async {
    /// use corering::net::{TcpListener, TcpStream};
    ///
    /// let listener = TcpListener::bind("localhost:0").await?;
    /// let stream = TcpStream::connect(("localhost", listener.local_addr()?.port())).await?;
    /// # assert_eq!(stream.peer_addr()?, listener.local_addr()?);
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "IORING_OP_CONNECT")]
    pub fn connect<A: ToAddress>(
        address: A,
    ) -> impl SingleOperation<Output = io::Result<TcpStream>> + use<A> {
        let address = address.to_address();
        connect(async { first_of(address?, connect_to).await.map(ByteStream::from_fd) })
    }

    /// Whether small segments are sent at once (`TCP_NODELAY`).
    ///
    /// # Errors
    ///
    /// Those of `setsockopt(2)`.
    ///
    /// # Examples
    ///
    /// ```
    /// # corering::block_on(async {
    /// # use corering::net::{TcpListener, TcpStream};
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// let stream = TcpStream::connect(listener.local_addr()?).await?;
    /// stream.set_nodelay(true)?;
    /// assert!(stream.nodelay()?);
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        sys::socket::with_options(self.fd().as_fd(), |socket| socket.set_tcp_nodelay(nodelay))
    }

    /// What [`set_nodelay`](Self::set_nodelay) has set.
    ///
    /// # Errors
    ///
    /// Those of `getsockopt(2)`.
    ///
    /// # Examples
    ///
    /// ```
    /// # corering::block_on(async {
    /// # use corering::net::{TcpListener, TcpStream};
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// let stream = TcpStream::connect(listener.local_addr()?).await?;
    /// assert!(!stream.nodelay()?);
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn nodelay(&self) -> io::Result<bool> {
        sys::socket::with_options(self.fd().as_fd(), |socket| socket.tcp_nodelay())
    }
}

async fn connect_to(address: SocketAddr) -> io::Result<SharedFd> {
    let nonblocking = driver::current()?.can().opens_nonblocking;
    let domain = Domain::for_address(address);
    let socket = op::socket::Socket::new(domain, Type::STREAM, Some(Protocol::TCP), nonblocking);
    let fd = submit(socket).await?;
    submit(op::connect::Connect::new(fd.clone(), address.into())).await?;
    Ok(fd)
}

impl Listener<Tcp> {
    /// Listens on an address; port 0 is any free one. A port that an earlier process has just left
    /// is taken over (`SO_REUSEADDR`), and that of a listener that this shard has just dropped is
    /// waited for. [`builder`](Self::builder) sets more.
    ///
    /// # Cancel safety
    ///
    /// Dropped, nothing listens.
    ///
    /// # Errors
    ///
    /// `AddrInUse` if another socket listens there, and the others of `socket(2)`, `bind(2)` and
    /// `listen(2)`; the text names the address.
    pub async fn bind(address: impl ToAddress) -> io::Result<TcpListener> {
        TcpListener::builder().bind(address).await
    }

    /// What [`bind`](Self::bind) does not ask for.
    ///
    /// # Examples
    ///
    /// ```
    /// # corering::block_on(async {
    /// use corering::net::TcpListener;
    ///
    /// let listener = TcpListener::builder().backlog(128).bind("127.0.0.1:0").await?;
    /// # drop(listener);
    /// # Ok::<(), std::io::Error>(())
    /// # })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn builder() -> TcpListenerBuilder {
        TcpListenerBuilder {
            backlog: BACKLOG,
            reuse_address: true,
            reuse_port: false,
            nodelay: false,
            v6only: None,
        }
    }
}

/// Connections that wait to be accepted, at most: what Linux allows by default.
pub(super) const BACKLOG: u32 = 4096;

/// How a [`TcpListener`] is opened, from [`TcpListener::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `bind`"]
pub struct TcpListenerBuilder {
    pub(super) backlog: u32,
    pub(super) reuse_address: bool,
    reuse_port: bool,
    nodelay: bool,
    v6only: Option<bool>,
}

impl TcpListenerBuilder {
    /// How many connections may wait to be accepted. The system allows `net.core.somaxconn` at most.
    /// Default: 4096.
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = connections;
        self
    }

    /// Whether a port is taken over whose earlier connections linger (`SO_REUSEADDR`). Default: true.
    pub fn reuse_address(mut self, reuse: bool) -> Self {
        self.reuse_address = reuse;
        self
    }

    /// Whether the port is shared with other listeners that ask for it, too (`SO_REUSEPORT`): the
    /// kernel spreads connections over them. Default: false.
    pub fn reuse_port(mut self, shared: bool) -> Self {
        self.reuse_port = shared;
        self
    }

    /// Whether the accepted connections send small segments at once, without a
    /// [`set_nodelay`](TcpStream::set_nodelay) for each (`TCP_NODELAY`). Default: false.
    pub fn nodelay(mut self, nodelay: bool) -> Self {
        self.nodelay = nodelay;
        self
    }

    /// Whether an IPv6 address, for instance `[::]`, takes no IPv4 connections (`IPV6_V6ONLY`). An IPv4
    /// address does not mind. Default: as `net.ipv6.bindv6only` says, which is false on most systems.
    pub fn v6only(mut self, only: bool) -> Self {
        self.v6only = Some(only);
        self
    }

    /// Listens on an address; of a name that has several, on the first that can be had.
    ///
    /// # Cancel safety
    ///
    /// Dropped, nothing listens.
    ///
    /// # Errors
    ///
    /// As [`TcpListener::bind`].
    pub async fn bind(self, address: impl ToAddress) -> io::Result<TcpListener> {
        budget::pay().await;
        let open = async |address| bind("listen on", address, || self.listen_on(address)).await;
        first_of(address, open).await.map(Listener::from_fd)
    }

    fn listen_on(&self, address: SocketAddr) -> io::Result<SharedFd> {
        let options = |socket: SockRef<'_>| self.set_options(&socket, address);
        let fd = open_at(&address.into(), Type::STREAM, Some(Protocol::TCP), CutBy::Mark, options)?;
        sys::socket::listen(fd.as_fd(), self.backlog)?;
        Ok(fd)
    }

    pub(super) fn set_options(&self, socket: &Socket, address: SocketAddr) -> io::Result<()> {
        socket.set_reuse_address(self.reuse_address)?;
        if self.reuse_port {
            socket.set_reuse_port(true)?;
        }
        if self.nodelay {
            socket.set_tcp_nodelay(true)?;
        }
        match self.v6only {
            Some(only) if address.is_ipv6() => socket.set_only_v6(only),
            _ => Ok(()),
        }
    }
}

impl From<std::net::TcpStream> for TcpStream {
    /// Takes over a connection, as one that is made of a descriptor.
    fn from(stream: std::net::TcpStream) -> Self {
        OwnedFd::from(stream).into()
    }
}

impl From<std::net::TcpListener> for TcpListener {
    /// Takes over a listener, as one that is made of a descriptor.
    fn from(listener: std::net::TcpListener) -> Self {
        OwnedFd::from(listener).into()
    }
}
