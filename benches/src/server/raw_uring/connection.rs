//! One connection of the ring loop: how it receives, when it changes over, and when it may end.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};

use io_uring::{cqueue, opcode, types};

use super::buffers::GROUP;
use super::{IGNORED, POLL, RECV, Server};
use crate::server::options::Receive;
use crate::server::ready::{self, is_echo};

/// A receive of so many bytes changes an adaptive connection over to notification.
const LARGE_BYTES: usize = 8 * 1024;
/// So many small receives in a row change it back.
const SMALL_IN_A_ROW: u32 = 64;

pub(super) struct Connection {
    /// What it has in common with a connection of the epoll loop.
    pub(super) plain: ready::Connection,
    way: Way,
    /// How it is to receive once what is armed has ended.
    next_way: Way,
    /// A multishot receive or poll is in the kernel.
    is_armed: bool,
    /// It is to be armed when a buffer comes back.
    is_starved: bool,
    /// Echoes that are not sent yet, in order. The first is in flight.
    pub(super) queue: VecDeque<Piece>,
    /// Where a part of a file is on its way.
    pub(super) page_buffer: Option<Box<[u8]>>,
    pub(super) is_sending: bool,
    /// Bytes of the file that are being read for the send in flight.
    pub(super) reading_bytes: usize,
    /// Nothing more is received or sent; it goes when nothing is in flight.
    is_at_end: bool,
}

/// A part of a buffer.
pub(super) struct Piece {
    pub(super) buffer: u16,
    pub(super) from: u32,
    pub(super) to: u32,
}

/// How a connection receives.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Completion,
    Notification,
}

impl Server {
    pub(super) fn opened(&mut self, stream: OwnedFd) -> io::Result<()> {
        let place = self.connections.vacant_entry();
        let index = place.key();
        let way = match self.receive {
            Receive::Notification => Way::Notification,
            Receive::Adaptive | Receive::Completion => Way::Completion,
        };
        place.insert(Connection {
            plain: ready::Connection::new(index, stream),
            way,
            next_way: way,
            is_armed: false,
            is_starved: false,
            queue: VecDeque::new(),
            page_buffer: None,
            is_sending: false,
            reading_bytes: 0,
            is_at_end: false,
        });
        self.arm(index)
    }

    /// Arms the multishot receive, or the multishot poll, of a connection.
    fn arm(&mut self, index: usize) -> io::Result<()> {
        let connection = &mut self.connections[index];
        connection.is_armed = true;
        connection.is_starved = false;
        let fd = types::Fd(connection.plain.stream.as_raw_fd());
        let entry = match connection.way {
            Way::Completion => {
                opcode::RecvMulti::new(fd, GROUP).build().user_data(RECV << 32 | index as u64)
            }
            Way::Notification => {
                // As the epoll loop: both directions, once, and only changes, as a ring has it
                // unless told otherwise.
                let events = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP;
                opcode::PollAdd::new(fd, events.cast_unsigned())
                    .multi(true)
                    .build()
                    .user_data(POLL << 32 | index as u64)
            }
        };
        self.push(&entry)
    }

    /// Takes back what is armed. Its last completion comes all the same.
    fn disarm(&mut self, index: usize) -> io::Result<()> {
        let connection = &mut self.connections[index];
        if !connection.is_armed {
            return Ok(());
        }
        let kind = if connection.way == Way::Completion { RECV } else { POLL };
        let cancel = opcode::AsyncCancel::new(kind << 32 | index as u64);
        self.push(&cancel.build().user_data(IGNORED << 32))
    }

    fn change_to(&mut self, index: usize, way: Way) -> io::Result<()> {
        let connection = &mut self.connections[index];
        if connection.next_way == way || connection.is_at_end {
            return Ok(());
        }
        connection.next_way = way;
        self.disarm(index)
    }

    /// What was armed has ended, or what was to be sent is sent: goes on, changes over, or ends.
    pub(super) fn settle(&mut self, index: usize) -> io::Result<()> {
        let is_clear = self.is_clear(index);
        let connection = &mut self.connections[index];
        if connection.is_armed {
            return Ok(());
        }
        if connection.is_at_end {
            // What is on its way is sent to its end, also when the peer sends no more.
            if is_clear || connection.plain.is_broken() {
                return self.close(index);
            }
            return Ok(());
        }
        if connection.is_starved {
            return Ok(());
        }
        if connection.way != connection.next_way {
            if !is_clear {
                return Ok(());
            }
            connection.way = connection.next_way;
            connection.plain.small_in_a_row = 0;
        }
        self.arm(index)
    }

    /// Whether nothing of a connection is in flight or left to be sent.
    fn is_clear(&mut self, index: usize) -> bool {
        let connection = &self.connections[index];
        !connection.is_sending
            && connection.queue.is_empty()
            && connection.plain.is_clear(&self.shop)
    }

    pub(super) fn received(&mut self, index: usize, completion: &cqueue::Entry) -> io::Result<()> {
        let result = completion.result();
        let is_adaptive = self.receive == Receive::Adaptive;
        self.connections[index].is_armed = cqueue::more(completion.flags());
        if let Some(buffer) = cqueue::buffer_select(completion.flags()) {
            self.buffers.taken();
            let count = usize::try_from(result).unwrap_or(0);
            if count == 0 || self.connections[index].is_at_end {
                self.give(buffer)?;
            } else if is_echo(&self.shop) {
                self.shop.work.echoes(count);
                let piece = Piece { buffer, from: 0, to: count as u32 };
                self.connections[index].queue.push_back(piece);
                self.send_echo(index)?;
            } else {
                let bytes = self.buffers.bytes(buffer, count);
                let connection = &mut self.connections[index];
                connection.plain.take(bytes, &self.shop);
                self.give(buffer)?;
                self.pay(index)?;
                if !self.connections.contains(index) {
                    // That was its last answer.
                    return Ok(());
                }
            }
            let is_large = count >= LARGE_BYTES || count == self.buffers.size();
            if is_adaptive && is_large {
                self.change_to(index, Way::Notification)?;
            }
        }
        if self.connections[index].is_armed {
            return Ok(());
        }
        let is_cancelled = result == -libc::ECANCELED;
        if result == -libc::ENOBUFS {
            // While buffers are out, one of them comes back and arms it again.
            self.connections[index].is_starved = self.buffers.are_out();
            if self.connections[index].is_starved {
                self.starved.push_back(index);
            }
        } else if result == 0 || (result < 0 && !is_cancelled) {
            self.connections[index].is_at_end = true;
        }
        self.settle(index)
    }

    pub(super) fn polled(&mut self, index: usize, completion: &cqueue::Entry) -> io::Result<()> {
        let is_adaptive = self.receive == Receive::Adaptive;
        let connection = &mut self.connections[index];
        connection.is_armed = cqueue::more(completion.flags());
        let result = completion.result();
        if result >= 0 && !connection.is_at_end {
            let events = result.cast_unsigned();
            let is_open = connection.plain.ready(events, &mut self.buffer, &self.shop);
            self.served(index, is_open)?;
        } else if result < 0 && result != -libc::ECANCELED {
            connection.is_at_end = true;
        }
        let connection = &mut self.connections[index];
        if is_adaptive && connection.plain.small_in_a_row >= SMALL_IN_A_ROW {
            self.change_to(index, Way::Completion)?;
        }
        self.settle(index)
    }

    /// Lines of a connection are durable.
    pub(super) fn durable(&mut self, index: usize, lines: usize) -> io::Result<()> {
        let connection = &mut self.connections[index];
        connection.plain.durable(lines);
        if connection.way == Way::Completion {
            return self.pay(index);
        }
        // The events that came meanwhile were passed over.
        let is_open =
            connection.is_at_end || connection.plain.serve(&mut self.buffer, &self.shop).is_ok();
        self.served(index, is_open)?;
        self.settle(index)
    }

    fn served(&mut self, index: usize, is_open: bool) -> io::Result<()> {
        if is_open { Ok(()) } else { self.end(index) }
    }

    /// Nothing more is received or sent.
    pub(super) fn end(&mut self, index: usize) -> io::Result<()> {
        let connection = &mut self.connections[index];
        connection.plain.set_broken();
        connection.is_at_end = true;
        self.disarm(index)
    }

    fn close(&mut self, index: usize) -> io::Result<()> {
        if self.connections[index].is_sending || self.connections[index].plain.lines_waiting > 0 {
            return Ok(());
        }
        let connection = self.connections.remove(index);
        self.page_buffers.extend(connection.page_buffer);
        for piece in connection.queue {
            self.give(piece.buffer)?;
        }
        let fd = types::Fd(connection.plain.stream.into_raw_fd());
        self.push(&opcode::Close::new(fd).build().user_data(IGNORED << 32))
    }

    /// Gives a buffer back to the kernel, and arms whoever waits for one.
    pub(super) fn give(&mut self, buffer: u16) -> io::Result<()> {
        self.buffers.give(buffer);
        while let Some(index) = self.starved.pop_front() {
            // It may have gone meanwhile.
            let place = self.connections.get_mut(index);
            if let Some(connection) = place.filter(|connection| connection.is_starved) {
                connection.is_starved = false;
                return self.settle(index);
            }
        }
        Ok(())
    }
}
