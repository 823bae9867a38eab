//! A closed-loop echo client: each connection sends its next message when the last one is back.
//!
//! It waits in epoll and nowhere else, verifies every byte, and is never silent about a server
//! that stops answering.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use crate::address::Address;
use crate::os::{self, Epoll, Event};
use crate::stats::Random;

/// A server that takes longer for any answer is taken for dead.
const PATIENCE_MS: i32 = 10_000;

/// Messages begin at one of this many places of the pattern, so that an answer that belongs to
/// another connection or another round is not mistaken for the right one.
const OFFSETS: usize = 251;

/// A set of connections to one echo server.
#[derive(Debug)]
pub struct Client {
    epoll: Epoll,
    events: Vec<Event>,
    connections: Vec<Connection>,
    message_size: usize,
    pattern: Vec<u8>,
    arrived: Vec<u8>,
}

#[derive(Debug)]
struct Connection {
    stream: OwnedFd,
    /// Of the current message.
    sent: usize,
    received: usize,
    /// Where the current message begins in the pattern.
    offset: usize,
    is_waiting: bool,
}

/// What was done in a stretch of time.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// Messages that came back.
    pub requests: u64,
    /// From the first byte sent until the last one was back.
    pub elapsed: Duration,
}

impl Client {
    /// Opens `connections` connections whose messages have `message_size` bytes.
    pub fn connect(address: &Address, connections: usize, message_size: usize) -> io::Result<Self> {
        assert!(message_size > 0, "an empty message has no echo");
        let mut random = Random::new(message_size as u64);
        let mut client = Client {
            epoll: Epoll::new()?,
            events: Vec::with_capacity(1024),
            connections: Vec::with_capacity(connections),
            message_size,
            pattern: (0..message_size + OFFSETS).map(|_| random.next() as u8).collect(),
            arrived: vec![0; message_size.min(64 * 1024)],
        };
        client.connect_more(address, connections)?;
        Ok(client)
    }

    /// Opens further connections.
    pub fn connect_more(&mut self, address: &Address, connections: usize) -> io::Result<()> {
        for _ in 0..connections {
            let stream = address.connect()?;
            let index = self.connections.len();
            self.epoll.add(stream.as_fd(), index as u64)?;
            self.connections.push(Connection {
                stream,
                // Nothing is left to send until the first message.
                sent: self.message_size,
                received: 0,
                offset: index % OFFSETS,
                is_waiting: false,
            });
        }
        Ok(())
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Echoes on all connections at once for `duration`, then lets the last answers come in.
    pub fn run_for(&mut self, duration: Duration) -> io::Result<Work> {
        let start = Instant::now();
        self.start_all(0)?;
        let mut requests = 0;
        let mut waiting = self.connections.len();
        while waiting > 0 {
            for index in self.next_answers()? {
                requests += 1;
                if start.elapsed() < duration {
                    self.start(index)?;
                } else {
                    waiting -= 1;
                }
            }
        }
        Ok(Work { requests, elapsed: start.elapsed() })
    }

    /// Sends one message on each connection from the one with index `first`.
    pub fn start_all(&mut self, first: usize) -> io::Result<()> {
        (first..self.connections.len()).try_for_each(|index| self.start(index))
    }

    /// Waits until every message sent has come back.
    pub fn finish_all(&mut self) -> io::Result<u64> {
        let mut answers = 0;
        let mut waiting = self.connections.iter().filter(|one| one.is_waiting).count();
        while waiting > 0 {
            let came = self.next_answers()?.len();
            waiting -= came;
            answers += came as u64;
        }
        Ok(answers)
    }

    /// Sends the next message on one connection, as far as the socket takes it.
    fn start(&mut self, index: usize) -> io::Result<()> {
        let connection = &mut self.connections[index];
        debug_assert!(!connection.is_waiting, "one message at a time");
        connection.sent = 0;
        connection.received = 0;
        connection.offset = (connection.offset + 17) % OFFSETS;
        connection.is_waiting = true;
        self.send_rest(index)
    }

    fn send_rest(&mut self, index: usize) -> io::Result<()> {
        let connection = &mut self.connections[index];
        while connection.sent < self.message_size {
            let from = connection.offset + connection.sent;
            let rest = &self.pattern[from..connection.offset + self.message_size];
            match os::send(connection.stream.as_fd(), rest) {
                Ok(count) => connection.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits for events and returns the connections whose message is back as a whole.
    fn next_answers(&mut self) -> io::Result<Vec<usize>> {
        let mut events = std::mem::take(&mut self.events);
        self.epoll.wait(&mut events, PATIENCE_MS)?;
        if events.is_empty() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the server stopped answering"));
        }
        let mut answered = Vec::new();
        for event in &events {
            let index = event.u64 as usize;
            self.send_rest(index)?;
            if self.connections[index].is_waiting && self.receive(index)? {
                answered.push(index);
            }
        }
        self.events = events;
        Ok(answered)
    }

    /// Receives and verifies what is there; true when the message is complete.
    fn receive(&mut self, index: usize) -> io::Result<bool> {
        let connection = &mut self.connections[index];
        while connection.received < self.message_size {
            let room = self.arrived.len().min(self.message_size - connection.received);
            let count = match os::recv(connection.stream.as_fd(), &mut self.arrived[..room]) {
                Ok(0) => return Err(invalid(index, "was closed by the server")),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            };
            let from = connection.offset + connection.received;
            if self.arrived[..count] != self.pattern[from..from + count] {
                return Err(invalid(index, "got back other bytes than it sent"));
            }
            connection.received += count;
            if count < room {
                return Ok(false);
            }
        }
        connection.is_waiting = false;
        Ok(true)
    }
}

fn invalid(index: usize, what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("connection {index} {what}"))
}
