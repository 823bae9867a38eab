//! One connection: how it is opened, and what is under way on it.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use super::exchange::Progress;
use super::http2::Session;
use super::plan::Plan;
use crate::address::Address;
use crate::os;

/// A connection and its requests in flight.
#[derive(Debug)]
pub(super) struct Connection {
    /// None before it is opened, and after it was closed for another to be opened.
    pub(super) stream: Option<Rc<OwnedFd>>,
    /// What is on the stream, if that is more than requests and answers in turn.
    pub(super) session: Option<Box<Session>>,
    /// Where in the stream of requests the next byte to send is.
    pub(super) position: usize,
    /// Bytes of started requests that the socket has not taken yet.
    pub(super) unsent: usize,
    /// Of the answers.
    pub(super) progress: Progress,
    /// When the requests in flight were to start, the oldest first, in nanoseconds of the client's
    /// clock.
    pub(super) starts: VecDeque<u64>,
}

impl Connection {
    /// Lets the requests come first that were to start at these times: they are answered, while earlier
    /// ones need not be.
    pub(super) fn bring_forward(&mut self, answered: &[u64]) {
        for (place, start) in answered.iter().enumerate() {
            let found = self.starts.iter().skip(place).position(|one| one == start);
            let found = place + found.expect("an answer belongs to a request");
            self.starts.remove(found);
            self.starts.insert(place, *start);
        }
    }

    /// Closes it, for another to be opened.
    pub(super) fn close(&mut self) {
        self.session = None;
        self.stream = None;
    }
}

/// Whether opening waits for the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// Until the server's end is there, as long as the plan's patience.
    Connected,
    /// Not at all: the socket takes bytes once it is connected.
    Never,
}

/// Opens the connection with this index.
pub(super) fn open(plan: &Plan, index: usize, wait: Wait) -> io::Result<OwnedFd> {
    let socket = match &plan.address {
        Address::Tcp(address) => {
            let socket = Socket::new(Domain::for_address(*address), Type::STREAM, None)?;
            socket.set_tcp_nodelay(true)?;
            if let Some(source) = plan.source(index) {
                bind_to(&socket, source)?;
            }
            connect(&socket, &SockAddr::from(*address), wait, plan.patience)?;
            socket
        }
        // A Unix socket that does not block is refused by a full queue instead of waiting in it.
        Address::Unix(path) => {
            let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
            connect(&socket, &SockAddr::unix(path)?, Wait::Connected, plan.patience)?;
            socket
        }
    };
    Ok(socket.into())
}

fn connect(socket: &Socket, to: &SockAddr, wait: Wait, patience: Duration) -> io::Result<()> {
    if wait == Wait::Never {
        socket.set_nonblocking(true)?;
        return match socket.connect(to) {
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(()),
            result => result,
        };
    }
    // This limits a blocking connect, too; what is sent later never blocks.
    socket.set_write_timeout(Some(patience))?;
    // With a limit in time, a signal ends the call (signal(7)), also one that only the kernel sees,
    // such as that a ring of this thread was closed. Called again, it goes on waiting.
    let connected = loop {
        match socket.connect(to) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => break result,
        }
    };
    connected.map_err(|error| match error.raw_os_error() {
        Some(libc::EINPROGRESS | libc::EAGAIN) => io::Error::new(
            io::ErrorKind::TimedOut,
            format!("the server accepted no connection within {patience:?}"),
        ),
        _ => error,
    })?;
    socket.set_nonblocking(true)
}

/// Binds to an address whose port the kernel chooses once it knows the other end, so that each pair
/// of addresses has all ports to itself.
fn bind_to(socket: &Socket, source: Ipv4Addr) -> io::Result<()> {
    os::bind_without_port(socket.as_fd())?;
    socket.bind(&SockAddr::from(SocketAddr::from((source, 0))))
}
