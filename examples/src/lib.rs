//! What the servers among the examples share: their flags, and a listening socket for each shard.

#![forbid(unsafe_code)]

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Mutex;

use corering::net::TcpListener;
use corering::{Driver, Runtime, Shard};
use socket2::{Domain, Socket, Type};

/// The flags of every server.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct ShardOptions {
    /// How the kernel is reached: "uring", "epoll", or "auto", which is uring where the kernel
    /// allows it.
    #[arg(long, default_value_t = Driver::Auto)]
    pub driver: Driver,

    /// How many shards serve, each a thread on a CPU of its own.
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub shards: u16,
}

impl ShardOptions {
    /// A runtime as these flags want it.
    pub fn runtime(&self) -> corering::Builder {
        Runtime::builder().driver(self.driver).shards(usize::from(self.shards))
    }
}

/// Sockets that listen on one address, among which the kernel spreads connections.
///
/// They are opened before any shard starts, so that an address which cannot be had is one error and
/// not one for each shard.
#[derive(Debug)]
pub struct Listeners {
    address: SocketAddr,
    /// A place for each shard, which takes its socket out.
    sockets: Vec<Mutex<Option<OwnedFd>>>,
}

impl Listeners {
    /// Opens a socket for each shard.
    ///
    /// # Errors
    ///
    /// If the address is in use, or not one of this machine. The text names it.
    pub fn open(address: SocketAddr, shards: u16) -> Result<Self, String> {
        let explain = |error: io::Error| match error.kind() {
            io::ErrorKind::AddrInUse => format!(
                "{address} is in use by another program: end that, or choose another --addr"
            ),
            _ => format!("cannot listen on {address}: {error}"),
        };
        Self::listen(address, shards).map_err(explain)
    }

    fn listen(address: SocketAddr, shards: u16) -> io::Result<Self> {
        let first = socket(address)?;
        // With SO_REUSEPORT, a second server of the same user would share the port without a word.
        // So the first socket takes it without, and only then lets the others join.
        first.bind(&address.into())?;
        let address = first.local_addr()?.as_socket().unwrap_or(address);
        first.set_reuse_port(shards > 1)?;
        let mut sockets = vec![first];
        for _ in 1..shards {
            let next = socket(address)?;
            next.set_reuse_port(true)?;
            next.bind(&address.into())?;
            sockets.push(next);
        }
        for socket in &sockets {
            socket.listen(BACKLOG)?;
        }
        let sockets = sockets.into_iter().map(|socket| Mutex::new(Some(socket.into()))).collect();
        Ok(Self { address, sockets })
    }

    /// The address, with the port that the kernel chose if it was zero.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The listener of a shard, which takes it once.
    ///
    /// # Panics
    ///
    /// If the shard has taken it already.
    pub fn take(&self, shard: &Shard) -> TcpListener {
        let place = &self.sockets[shard.id()];
        let socket = place.lock().expect("nothing panics with the lock held").take();
        TcpListener::from(socket.expect("each shard takes its listener once"))
    }
}

/// A socket that answers at once: what it accepts inherits TCP_NODELAY, at no further call.
fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    Ok(socket)
}

/// Connections that may wait for a server that is busy. The kernel caps it at net.core.somaxconn.
const BACKLOG: i32 = 4096;
