//! The limit of readiness: an edge-triggered loop without a runtime.
//!
//! Tuned: registered once per descriptor; after an event the receive is tried first; a short one
//! says that the socket is drained, so that no call is made only to hear EAGAIN; one buffer for
//! all connections, which stays in the level-2 cache; what a socket refuses is kept apart.

use std::convert::Infallible;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use super::set_nodelay;
use crate::os::{self, Epoll, Event};

const LISTENER: u64 = u64::MAX;
const BUFFER_SIZE: usize = 64 * 1024;

#[derive(Debug)]
struct Connection {
    stream: OwnedFd,
    /// Received, and refused by a full socket. Nothing is received while something is here.
    unsent: Vec<u8>,
}

pub(super) fn serve(listener: OwnedFd) -> io::Result<Infallible> {
    let listener = std::net::TcpListener::from(listener);
    listener.set_nonblocking(true)?;
    let listener = OwnedFd::from(listener);
    let epoll = Epoll::new()?;
    epoll.add(listener.as_fd(), LISTENER)?;

    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut buffer = vec![0; BUFFER_SIZE];
    let mut events = Vec::with_capacity(256);
    loop {
        epoll.wait(&mut events, -1)?;
        for event in &events {
            if event.u64 == LISTENER {
                accept_all(&epoll, &listener, &mut connections)?;
                continue;
            }
            let place = &mut connections[event.u64 as usize];
            let is_open =
                place.as_mut().is_some_and(|connection| connection.echo(*event, &mut buffer));
            if !is_open {
                // Closing a descriptor that was never duplicated ends its registration.
                *place = None;
            }
        }
    }
}

fn accept_all(
    epoll: &Epoll,
    listener: &OwnedFd,
    connections: &mut Vec<Option<Connection>>,
) -> io::Result<()> {
    loop {
        match os::accept(listener.as_fd()) {
            Ok(stream) => {
                set_nodelay(&stream);
                let free = connections.iter().rposition(Option::is_none);
                let index = free.unwrap_or(connections.len());
                if free.is_none() {
                    connections.push(None);
                }
                epoll.add(stream.as_fd(), index as u64)?;
                connections[index] = Some(Connection { stream, unsent: Vec::new() });
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

impl Connection {
    /// Sends back what is there; false when the connection is at its end.
    fn echo(&mut self, event: Event, buffer: &mut [u8]) -> bool {
        let unsent = std::mem::take(&mut self.unsent);
        if !unsent.is_empty() && !self.send(&unsent) {
            return false;
        }
        let hung_up = libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR;
        let may_end = event.events & hung_up.cast_unsigned() != 0;
        while self.unsent.is_empty() {
            match os::recv(self.stream.as_fd(), buffer) {
                Ok(0) => return false,
                Ok(count) => {
                    if !self.send(&buffer[..count]) {
                        return false;
                    }
                    // The end of the stream gives no second edge: go on until it is seen.
                    if count < buffer.len() && !may_end {
                        return true;
                    }
                }
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
        true
    }

    /// Sends, and keeps what the socket refused; false when the connection is broken.
    fn send(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            match os::send(self.stream.as_fd(), bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.unsent.extend_from_slice(bytes);
                    return true;
                }
                Err(_) => return false,
            }
        }
        true
    }
}
