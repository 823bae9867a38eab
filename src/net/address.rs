//! Addresses, names that stand for addresses, and sockets that have one.

use std::fmt::Display;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, ToSocketAddrs};
use std::os::fd::AsFd;

use socket2::{Protocol, SockAddr, SockRef, Type};

use crate::driver::{self, CutBy, SharedFd, submit};
use crate::runtime::spawn_blocking;
use crate::{op, sys};

/// Where to connect to, or to listen: an address, or a name that has to be looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Address {
    /// An address.
    Socket(SocketAddr),
    /// A host's name and a port.
    Name {
        /// The name, for the system's resolver.
        host: String,
        /// The port.
        port: u16,
    },
}

pub(super) fn ip_address(address: &SockAddr) -> io::Result<SocketAddr> {
    address.as_socket().ok_or_else(|| io::Error::other("the socket has no IP address"))
}

/// Tries the addresses that a name stands for, one after the other, until one will do.
pub(super) async fn first_of<T>(
    address: impl ToAddress,
    attempt: impl AsyncFn(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut done = Err(no_address());
    for address in address.to_address()?.resolve().await? {
        done = attempt(address).await;
        if done.is_ok() {
            break;
        }
    }
    done
}

/// What a lookup that finds nothing comes to.
pub(super) fn no_address() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "the name has no address")
}

/// Opens a socket that has an address of its own. A socket that this shard has just dropped has its
/// address until the ring has ended what was in flight on it: then that is waited for.
pub(super) async fn bind<T>(
    task: &str,
    address: impl Display,
    open: impl Fn() -> io::Result<T>,
) -> io::Result<T> {
    let mut opened = open();
    if matches!(&opened, Err(error) if error.kind() == io::ErrorKind::AddrInUse)
        && driver::dropped_have_ended(|| submit(op::nop::Nop)).await
    {
        opened = open();
    }
    opened.map_err(cannot(task, address))
}

/// Says of an error what could not be done, and where.
pub(super) fn cannot(task: &str, address: impl Display) -> impl FnOnce(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("cannot {task} {address}: {error}"))
}

/// Opens a socket with these options, and gives it an address.
pub(super) fn open_at(
    address: &SockAddr,
    kind: Type,
    protocol: Option<Protocol>,
    cut_by: CutBy,
    options: impl FnOnce(SockRef<'_>) -> io::Result<()>,
) -> io::Result<SharedFd> {
    let nonblocking = driver::current()?.can().opens_nonblocking;
    let fd = sys::socket::open(address.domain(), kind, protocol, nonblocking)?;
    let fd = SharedFd::opened(fd, nonblocking, cut_by);
    sys::socket::with_options(fd.as_fd(), options)?;
    sys::socket::bind(fd.as_fd(), address)?;
    Ok(fd)
}

/// What can be turned into an [`Address`]: `"127.0.0.1:80"`, `"localhost:80"`, `("::1", 80)`, a
/// [`SocketAddr`] and its kin.
pub trait ToAddress {
    /// Turns it into an address.
    ///
    /// # Errors
    ///
    /// A text without a port, or whose port is no number up to 65535.
    fn to_address(self) -> io::Result<Address>;
}

impl Address {
    /// All addresses of the name. Asks the system's resolver on a thread of the pool.
    pub(super) async fn resolve(self) -> io::Result<Vec<SocketAddr>> {
        match self {
            Address::Socket(address) => Ok(vec![address]),
            name => spawn_blocking(move || name.look_up()).await.map_err(io::Error::other)?,
        }
    }

    /// All addresses of the name. Waits for the system's resolver.
    pub(super) fn look_up(self) -> io::Result<Vec<SocketAddr>> {
        let (host, port) = match self {
            Address::Socket(address) => return Ok(vec![address]),
            Address::Name { host, port } => (host, port),
        };
        (host.as_str(), port).to_socket_addrs().map(Vec::from_iter).map_err(|error| {
            io::Error::new(error.kind(), format!("`{host}` has no address: {error}"))
        })
    }
}

impl ToAddress for Address {
    fn to_address(self) -> io::Result<Address> {
        Ok(self)
    }
}

impl ToAddress for &str {
    fn to_address(self) -> io::Result<Address> {
        if let Ok(address) = self.parse() {
            return Ok(Address::Socket(address));
        }
        let parsed = self
            .rsplit_once(':')
            .and_then(|(host, port)| Some((host, port.parse().ok()?)))
            .filter(|(host, _)| !host.is_empty());
        let Some((host, port)) = parsed else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "`{self}` is no address: write it as host:port, for instance 127.0.0.1:8080"
                ),
            ));
        };
        Ok(Address::Name { host: host.to_owned(), port })
    }
}

impl ToAddress for &String {
    fn to_address(self) -> io::Result<Address> {
        self.as_str().to_address()
    }
}

impl ToAddress for String {
    fn to_address(self) -> io::Result<Address> {
        self.as_str().to_address()
    }
}

impl ToAddress for (&str, u16) {
    fn to_address(self) -> io::Result<Address> {
        let (host, port) = self;
        Ok(match host.parse::<IpAddr>() {
            Ok(ip) => Address::Socket(SocketAddr::new(ip, port)),
            Err(_) => Address::Name { host: host.to_owned(), port },
        })
    }
}

macro_rules! convertible {
    ($($from:ty),*) => {$(
        impl ToAddress for $from {
            fn to_address(self) -> io::Result<Address> {
                Ok(Address::Socket(self.into()))
            }
        }
    )*};
}

convertible!(
    SocketAddr,
    SocketAddrV4,
    SocketAddrV6,
    (IpAddr, u16),
    (Ipv4Addr, u16),
    (Ipv6Addr, u16)
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_with_an_ip_is_an_address() {
        let address = "127.0.0.1:80".to_address().unwrap();
        assert_eq!(address, Address::Socket((Ipv4Addr::LOCALHOST, 80).into()));
        assert!(matches!("[::1]:80".to_address().unwrap(), Address::Socket(_)));
    }

    #[test]
    fn text_with_a_name_is_to_be_looked_up() {
        let address = "localhost:8080".to_address().unwrap();
        assert_eq!(address, Address::Name { host: "localhost".into(), port: 8080 });
    }

    #[test]
    fn text_without_a_port_says_how_to_write_it() {
        for wrong in ["localhost", ":80", "localhost:x", "localhost:65536", ""] {
            let error = wrong.to_address().unwrap_err();
            assert!(error.to_string().contains("host:port"), "{error}");
        }
    }
}
