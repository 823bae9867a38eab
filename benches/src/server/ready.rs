//! One connection of a hand-written loop that is told of readiness, by epoll or by a ring's poll.
//!
//! Tuned: after an event the receive is tried first; a short one says that the socket is drained,
//! so that no call is made only to hear EAGAIN (epoll(7), "Possible pitfalls": fine for streams);
//! what is owed is sent at once, and only what a full socket refuses waits for an event; one
//! buffer for all connections, which stays in the level-2 cache.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use super::counters::Work;
use super::options::Workload;
use super::requests::Requests;
use super::site::{Owed, Pages};
use crate::os;

/// Bytes of the buffer that all connections receive into.
pub(super) const BUFFER_BYTES: usize = 64 * 1024;

/// What every connection of a loop uses.
#[derive(Debug)]
pub(super) struct Shop {
    pub(super) workload: Workload,
    pub(super) pages: Pages,
    pub(super) work: Work,
}

#[derive(Debug)]
pub(super) struct Connection {
    stream: OwnedFd,
    requests: Requests,
    owed: Owed,
    /// To be sent back, and refused by a full socket. Nothing is received while something is here.
    unsent: Vec<u8>,
    /// The peer has ended its side, or the connection broke: no further event will tell.
    may_end: bool,
}

impl Connection {
    pub(super) fn new(stream: OwnedFd) -> Self {
        Connection {
            stream,
            requests: Requests::default(),
            owed: Owed::default(),
            unsent: Vec::new(),
            may_end: false,
        }
    }

    /// Does what can be done after `events`; false when the connection is at its end.
    pub(super) fn ready(&mut self, events: u32, buffer: &mut [u8], shop: &Shop) -> bool {
        let hung_up = libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR;
        self.may_end |= events & hung_up.cast_unsigned() != 0;
        self.serve(buffer, shop).is_ok()
    }

    /// Sends what is owed, and receives until there is nothing. The error says that the connection
    /// is at its end, for whatever reason.
    fn serve(&mut self, buffer: &mut [u8], shop: &Shop) -> io::Result<()> {
        let unsent = std::mem::take(&mut self.unsent);
        self.send_back(&unsent, shop)?;
        loop {
            if !self.unsent.is_empty() || !self.pay(shop)? {
                return Ok(());
            }
            shop.work.system_calls(1);
            let count = match os::recv(self.stream.as_fd(), buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            match shop.workload {
                Workload::Echo | Workload::Churn | Workload::Idle | Workload::Mixed => {
                    shop.work.echoes(count);
                    self.send_back(&buffer[..count], shop)?;
                }
                Workload::Http => {
                    let pages = self.requests.receive(&buffer[..count], &mut self.owed);
                    shop.work.requests(pages);
                }
            }
            // The end of the stream gives no second event: go on until it is seen.
            if count < buffer.len() && !self.may_end {
                self.pay(shop)?;
                return Ok(());
            }
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
        while let Some(bytes) = shop.pages.next(&self.owed) {
            shop.work.system_calls(1);
            match os::send(self.stream.as_fd(), bytes) {
                Ok(count) => shop.pages.sent(&mut self.owed, count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        if self.owed.is_last() { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(true) }
    }
}
