//! The limit of readiness: an edge-triggered loop without a runtime.
//!
//! Tuned: registered once per descriptor and for both directions, so that there is one `epoll_ctl`
//! in the life of a connection; nothing is asked of a connection at its end but `close`, which ends
//! its registration. What a connection does is in `ready.rs`. Checked against epoll(7), "Questions
//! and answers" 6 and 9.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use super::counters::Counters;
use super::ready::{BUFFER_BYTES, Connection, Shop};
use super::stage::Part;
use crate::os::{self, Epoll};

const LISTENER: u64 = u64::MAX;
const STOP: u64 = u64::MAX - 1;

pub(super) fn serve(part: Part) -> io::Result<Counters> {
    let listener = std::net::TcpListener::from(part.listener);
    listener.set_nonblocking(true)?;
    let mut server = Server {
        epoll: Epoll::new()?,
        listener: listener.into(),
        connections: Vec::new(),
        free: Vec::new(),
        shop: part.stage.shop(),
    };
    server.epoll.add(server.listener.as_fd(), LISTENER)?;
    server.epoll.add(part.stop.as_fd(), STOP)?;
    (part.is_ready)()?;

    let mut buffer = vec![0; BUFFER_BYTES];
    let mut events = Vec::with_capacity(256);
    loop {
        server.shop.work.system_calls(1);
        server.epoll.wait(&mut events, -1)?;
        for event in &events {
            match event.u64 {
                LISTENER => server.accept_all()?,
                // Its other direction can be written to at any time.
                STOP if event.events & libc::EPOLLIN.cast_unsigned() == 0 => {}
                STOP => return Ok(server.shop.work.with_system_calls()),
                index => server.ready(index as usize, event.events, &mut buffer),
            }
        }
    }
}

struct Server {
    epoll: Epoll,
    listener: OwnedFd,
    connections: Vec<Option<Connection>>,
    /// Places in `connections` that nobody has.
    free: Vec<usize>,
    shop: Shop,
}

impl Server {
    fn accept_all(&mut self) -> io::Result<()> {
        loop {
            self.shop.work.system_calls(1);
            match os::accept(self.listener.as_fd()) {
                Ok(stream) => {
                    let index = self.free.pop().unwrap_or(self.connections.len());
                    if index == self.connections.len() {
                        self.connections.push(None);
                    }
                    self.shop.work.system_calls(1);
                    self.epoll.add(stream.as_fd(), index as u64)?;
                    self.connections[index] = Some(Connection::new(stream));
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(()),
                    // It broke before it was accepted; the next one may be well.
                    io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted => {}
                    _ => return Err(error),
                },
            }
        }
    }

    fn ready(&mut self, index: usize, events: u32, buffer: &mut [u8]) {
        let place = &mut self.connections[index];
        let is_open =
            place.as_mut().is_some_and(|connection| connection.ready(events, buffer, &self.shop));
        if !is_open && place.take().is_some() {
            self.shop.work.system_calls(1);
            self.free.push(index);
        }
    }
}
