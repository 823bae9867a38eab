//! TCP: `tcp(7)`.

use std::fmt;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use socket2::{Domain, Protocol, SockAddr, Type};

#[cfg(doc)]
use super::WriteAbandoned;
use super::accept::{Accept, Acceptor, Incoming};
use super::address::{ToAddress, bind};
use super::receive::{Read, ReadExact, Receiver, Recv};
use super::send_file::send_file;
use super::stream::{listener, stream};
use super::transmit::{SendAll, Transmitter, Write, WriteAll};
use crate::buf::{BufResult, IoBuf, IoBufMut};
use crate::driver::{self, CutBy, SharedFd, SingleOperation, submit};
use crate::fs::File;
use crate::util::budget;
use crate::{op, sys};

stream! {
    /// A TCP connection.
    TcpStream, TcpReadHalf, TcpWriteHalf, TcpDetached,
    SocketAddr, ip_address,
    "use corering::net::{TcpListener, TcpStream};

corering::block_on(async {
    let listener = TcpListener::bind(\"127.0.0.1:0\").await?;
    let mut client = TcpStream::connect(listener.local_addr()?).await?;
    let mut server = listener.accept().await?;
    client.write_all(\"hello\").await?;
    assert_eq!(&*server.recv().await?, b\"hello\");
    Ok::<(), std::io::Error>(())
})?;
# Ok::<(), std::io::Error>(())"
}

listener! {
    /// A TCP socket that listens.
    ///
    /// # Examples
    ///
    /// ```
    /// use corering::net::{TcpListener, TcpStream};
    ///
    /// corering::block_on(async {
    ///     let listener = TcpListener::bind("127.0.0.1:0").await?;
    ///     let client = TcpStream::connect(listener.local_addr()?).await?;
    ///     let server = listener.accept().await?;
    ///     assert_eq!(server.peer_addr()?, client.local_addr()?);
    ///     Ok::<(), std::io::Error>(())
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    TcpListener, TcpStream, SocketAddr, ip_address
}

/// Connections that wait to be accepted, at most: what Linux allows by default.
const BACKLOG: i32 = 4096;

fn ip_address(address: SockAddr) -> io::Result<SocketAddr> {
    address.as_socket().ok_or_else(|| io::Error::other("the socket has no IP address"))
}

impl TcpStream {
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
    #[doc(alias = "IORING_OP_CONNECT")]
    pub async fn connect(address: impl ToAddress) -> io::Result<TcpStream> {
        let mut last = None;
        for address in address.to_address()?.resolve().await? {
            match connect_to(address).await {
                Ok(fd) => return Ok(TcpStream::from_fd(fd)),
                Err(error) => last = Some(error),
            }
        }
        Err(last.expect("a resolved name has an address"))
    }

    /// Whether small segments are sent at once (`TCP_NODELAY`).
    ///
    /// # Errors
    ///
    /// Those of `setsockopt(2)`.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        sys::socket::with_options(self.fd().as_fd(), |socket| socket.set_tcp_nodelay(nodelay))
    }

    /// What [`set_nodelay`](Self::set_nodelay) has set.
    ///
    /// # Errors
    ///
    /// Those of `getsockopt(2)`.
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

impl TcpListener {
    /// Listens on an address; port 0 is any free one. A port that an earlier process has just left
    /// is taken over (`SO_REUSEADDR`), and that of a listener that this shard has just dropped is
    /// waited for.
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
        listen(address, false).await
    }

    /// As [`bind`](Self::bind), sharing the port with other listeners that were bound in this way:
    /// one for each shard. The kernel spreads connections over them (`SO_REUSEPORT`).
    ///
    /// # Cancel safety
    ///
    /// Dropped, nothing listens.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind).
    pub async fn bind_reuseport(address: impl ToAddress) -> io::Result<TcpListener> {
        listen(address, true).await
    }
}

async fn listen(address: impl ToAddress, shared: bool) -> io::Result<TcpListener> {
    budget::pay().await;
    let mut last = None;
    for address in address.to_address()?.resolve().await? {
        match bind(|| listen_on(address, shared)).await {
            Ok(fd) => return Ok(TcpListener { acceptor: Acceptor::new(fd) }),
            Err(error) => {
                let text = format!("cannot listen on {address}: {error}");
                last = Some(io::Error::new(error.kind(), text));
            }
        }
    }
    Err(last.expect("a resolved name has an address"))
}

fn listen_on(address: SocketAddr, shared: bool) -> io::Result<SharedFd> {
    let nonblocking = driver::current()?.can().opens_nonblocking;
    let domain = Domain::for_address(address);
    let fd = sys::socket::open(domain, Type::STREAM, Some(Protocol::TCP), nonblocking)?;
    let fd = SharedFd::opened_socket(fd, nonblocking, CutBy::Mark);
    sys::socket::with_options(fd.as_fd(), |socket| {
        socket.set_reuse_address(true)?;
        if shared { socket.set_reuse_port(true) } else { Ok(()) }
    })?;
    sys::socket::bind(fd.as_fd(), &address.into())?;
    sys::socket::listen(fd.as_fd(), BACKLOG)?;
    Ok(fd)
}
