//! The limit of readiness: an edge-triggered loop without a runtime.
//!
//! Tuned: registered once per descriptor and for both directions, so that there is one `epoll_ctl`
//! in the life of a connection; nothing is asked of a connection at its end but `close`, which ends
//! its registration (epoll(7), question 6). What a connection does is in `ready.rs`; lines are made
//! durable on a thread (`committer.rs`).

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use slab::Slab;

use super::committer::Committer;
use super::counters::Counters;
use super::journal::Group;
use super::options::Workload;
use super::ready::{BUFFER_BYTES, Connection, Shop, Waiter};
use super::site::make_log;
use super::stage::Part;
use crate::os::{self, Epoll, Events};

const LISTENER: u64 = u64::MAX;
const STOP: u64 = u64::MAX - 1;
const DURABLE: u64 = u64::MAX - 2;

pub(super) fn serve(part: Part) -> io::Result<Counters> {
    let listener = std::net::TcpListener::from(part.listener);
    listener.set_nonblocking(true)?;
    let mut server = Server {
        epoll: Epoll::new()?,
        listener: listener.into(),
        connections: Slab::new(),
        shop: part.stage.shop()?,
    };
    server.epoll.add(server.listener.as_fd(), LISTENER)?;
    server.epoll.add(part.stop.as_fd(), STOP)?;
    let arguments = &part.stage.arguments;
    let mut committer = None;
    if arguments.workload == Workload::Log {
        let new = Committer::start(make_log(arguments, part.shard)?)?;
        server.epoll.add(new.as_fd(), DURABLE)?;
        committer = Some(new);
    }
    (part.is_ready)()?;

    let mut buffer = vec![0; BUFFER_BYTES];
    let mut events = Events::with_room(256);
    loop {
        server.shop.work.system_calls(1);
        server.epoll.wait(&mut events, None)?;
        for (token, events) in events.iter() {
            match token {
                LISTENER => server.accept_all()?,
                // Its other direction can be written to at any time.
                STOP if events & libc::EPOLLIN.cast_unsigned() == 0 => {}
                STOP => return Ok(server.shop.work.with_system_calls()),
                DURABLE => {
                    if let Some(group) = committer.as_ref().and_then(Committer::durable) {
                        server.answer(&group, &mut buffer);
                    }
                }
                index => server.ready(index as usize, events, &mut buffer),
            }
        }
        // All lines of this pass go into one group.
        if let Some(committer) = &committer
            && let Some(group) = server.shop.journal.borrow_mut().begin()
        {
            committer.commit(group);
        }
    }
}

struct Server {
    epoll: Epoll,
    listener: OwnedFd,
    connections: Slab<Connection>,
    shop: Shop,
}

impl Server {
    fn accept_all(&mut self) -> io::Result<()> {
        loop {
            self.shop.work.system_calls(1);
            match os::accept(self.listener.as_fd()) {
                Ok(stream) => {
                    let place = self.connections.vacant_entry();
                    self.shop.work.system_calls(1);
                    self.epoll.add(stream.as_fd(), place.key() as u64)?;
                    let connection = Connection::new(place.key(), stream);
                    place.insert(connection);
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
        let Some(connection) = self.connections.get_mut(index) else { return };
        let is_open = connection.ready(events, buffer, &self.shop);
        // What waits for the log is not told that its connection has gone: it stays until then.
        if !is_open && connection.lines_waiting == 0 {
            self.shop.work.system_calls(1);
            self.connections.remove(index);
        }
    }

    /// Answers the lines of a group that is durable, and receives what came meanwhile.
    fn answer(&mut self, group: &Group, buffer: &mut [u8]) {
        let served: Vec<_> = self.shop.journal.borrow_mut().end(group).collect();
        for Waiter { connection, lines } in served {
            // It stays while lines of it wait.
            self.connections[connection].durable(lines);
            // The events that came meanwhile were passed over.
            self.ready(connection, 0, buffer);
        }
    }
}
