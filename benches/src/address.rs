//! Where an echo server listens: a TCP port or a path, in the words that servers print.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::str::FromStr;

/// The address of a stream server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `127.0.0.1:7000`
    Tcp(SocketAddr),
    /// `unix:/tmp/echo`
    Unix(PathBuf),
}

impl Address {
    /// Any free port of the loopback device.
    pub fn any_port() -> Self {
        Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// A stream connected to this address, in non-blocking mode, without Nagle's delay.
    pub fn connect(&self) -> io::Result<OwnedFd> {
        match self {
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                Ok(stream.into())
            }
            Address::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_nonblocking(true)?;
                Ok(stream.into())
            }
        }
    }

    /// A listener bound to this address, and the address that it really has.
    pub fn listen(&self) -> io::Result<(OwnedFd, Address)> {
        match self {
            Address::Tcp(address) => {
                let listener = TcpListener::bind(address)?;
                let bound = Address::Tcp(listener.local_addr()?);
                Ok((listener.into(), bound))
            }
            Address::Unix(path) => Ok((UnixListener::bind(path)?.into(), self.clone())),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Address::Unix(path.into()));
        }
        let address = text.parse().map_err(|_| {
            format!("`{text}` is neither an address such as 127.0.0.1:7000 nor unix:PATH")
        })?;
        Ok(Address::Tcp(address))
    }
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn an_address_reads_back_as_printed() {
        for text in ["127.0.0.1:7000", "[::1]:80", "unix:/tmp/echo"] {
            let address: Address = text.parse().expect("a valid address");
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn a_name_without_a_port_is_refused_with_an_example() {
        let message = "localhost".parse::<Address>().expect_err("no port");
        assert!(message.contains("127.0.0.1:7000"), "{message}");
    }
}
