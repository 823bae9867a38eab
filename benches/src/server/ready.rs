//! One connection of a hand-written loop that is told of readiness, by epoll or by a ring's poll.
//!
//! Tuned: after an event the receive is tried first; a short one says that the socket is drained,
//! so that no call is made only to hear EAGAIN (epoll(7), question 9, allows it for streams);
//! what is owed is sent at once, and only what a full socket refuses waits for an event; one
//! buffer for all connections, which stays in the level-2 cache.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use super::counters::Work;
use super::journal::{Journal, Lines};
use super::options::Workload;
use super::requests::Requests;
use super::site::{Next, Owed, Pages};
use crate::os;

/// Bytes of the buffer that all connections receive into.
pub(super) const BUFFER_BYTES: usize = 64 * 1024;
/// A receive of fewer bytes brought little.
const SMALL_BYTES: usize = 2 * 1024;

/// What every connection of a loop uses.
#[derive(Debug)]
pub(super) struct Shop {
    pub(super) workload: Workload,
    pub(super) pages: Pages,
    /// What the bodies of the pages are sent from.
    pub(super) file: Option<File>,
    pub(super) journal: RefCell<Journal<Waiter>>,
    pub(super) work: Work,
}

/// Lines of a connection that are to become durable.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiter {
    pub(super) connection: usize,
    pub(super) lines: usize,
}

#[derive(Debug)]
pub(super) struct Connection {
    /// Its place among the connections of the loop.
    index: usize,
    pub(super) stream: OwnedFd,
    requests: Requests,
    lines: Lines,
    /// Lines that are not durable yet. Readiness is not acted upon meanwhile.
    pub(super) lines_waiting: usize,
    pub(super) owed: Owed,
    /// Receives in a row that brought little.
    pub(super) small_in_a_row: u32,
    /// To be sent back, and refused by a full socket. Nothing is received while something is here.
    unsent: Vec<u8>,
    /// The peer has ended its side, or the connection broke: no further event will tell.
    may_end: bool,
    /// What is owed cannot be sent any more.
    is_broken: bool,
}

impl Connection {
    pub(super) fn new(index: usize, stream: OwnedFd) -> Self {
        Connection {
            index,
            stream,
            requests: Requests::default(),
            lines: Lines::default(),
            lines_waiting: 0,
            small_in_a_row: 0,
            owed: Owed::default(),
            unsent: Vec::new(),
            may_end: false,
            is_broken: false,
        }
    }

    /// Does what can be done after `events`; false when the connection is at its end.
    pub(super) fn ready(&mut self, events: u32, buffer: &mut [u8], shop: &Shop) -> bool {
        let hung_up = libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR;
        self.may_end |= events & hung_up.cast_unsigned() != 0;
        if events == libc::EPOLLOUT.cast_unsigned() && self.is_clear(shop) {
            // As every new connection says. There is nothing to send, and nothing to receive yet.
            return true;
        }
        self.serve(buffer, shop).is_ok()
    }

    /// So many lines are durable.
    pub(super) fn durable(&mut self, lines: usize) {
        self.lines_waiting -= lines;
        self.owed.add_pages(lines);
    }

    /// What is owed cannot be sent any more.
    pub(super) fn set_broken(&mut self) {
        self.is_broken = true;
    }

    pub(super) fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Whether nothing is left to be sent.
    pub(super) fn is_clear(&self, shop: &Shop) -> bool {
        self.unsent.is_empty() && self.lines_waiting == 0 && shop.pages.next(&self.owed).is_none()
    }

    /// Sends what is owed, and receives until there is nothing. The error says that the connection
    /// is at its end, for whatever reason.
    pub(super) fn serve(&mut self, buffer: &mut [u8], shop: &Shop) -> io::Result<()> {
        if !self.unsent.is_empty() {
            let unsent = std::mem::take(&mut self.unsent);
            self.send_back(&unsent, shop)?;
        }
        while self.unsent.is_empty() && self.lines_waiting == 0 && self.pay(shop)? {
            shop.work.system_calls(1);
            let count = match os::recv(self.stream.as_fd(), buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let is_small = count < SMALL_BYTES;
            self.small_in_a_row = if is_small { self.small_in_a_row + 1 } else { 0 };
            if is_echo(shop) {
                shop.work.echoes(count);
                self.send_back(&buffer[..count], shop)?;
            } else {
                self.take(&buffer[..count], shop);
            }
            // The end of the stream gives no second event: go on until it is seen.
            if count < buffer.len() && !self.may_end && self.lines_waiting == 0 {
                self.pay(shop)?;
                return Ok(());
            }
        }
        Ok(())
    }

    /// Takes requests, or lines.
    pub(super) fn take(&mut self, bytes: &[u8], shop: &Shop) {
        if shop.workload != Workload::Log {
            shop.work.requests(self.requests.receive(bytes, &mut self.owed));
            return;
        }
        let mut journal = shop.journal.borrow_mut();
        let lines = self.lines.receive(bytes, &mut journal);
        if lines > 0 {
            journal.wait(Waiter { connection: self.index, lines });
            self.lines_waiting += lines;
            shop.work.requests(lines);
        }
    }

    /// Sends, and keeps what the socket refused.
    fn send_back(&mut self, mut bytes: &[u8], shop: &Shop) -> io::Result<()> {
        while !bytes.is_empty() {
            shop.work.system_calls(1);
            match os::send(self.stream.as_fd(), bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.unsent.extend_from_slice(bytes);
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Sends what is owed; true when that is all.
    fn pay(&mut self, shop: &Shop) -> io::Result<bool> {
        while let Some(next) = shop.pages.next(&self.owed) {
            shop.work.system_calls(1);
            let fd = self.stream.as_fd();
            let sent = match next {
                Next::Bytes(bytes) => os::send(fd, bytes),
                // In one segment with the beginning of the file: tcp(7), MSG_MORE.
                Next::Head(head) => os::send_more(fd, head),
                Next::File { offset, length } => {
                    let file = shop.file.as_ref().expect("pages of a file have one");
                    os::send_file(fd, file.as_fd(), offset, length)
                }
            };
            match sent {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => shop.pages.sent(&mut self.owed, count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        if self.owed.is_last() { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(true) }
    }
}

pub(super) fn is_echo(shop: &Shop) -> bool {
    !matches!(shop.workload, Workload::Http | Workload::Hyper | Workload::File | Workload::Log)
}
