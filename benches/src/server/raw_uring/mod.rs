//! The limit of completion: a loop on one ring without a runtime.
//!
//! Tuned: multishot accept and receive, so that a request costs one entry, that of its send; the
//! kernel picks the buffer, which is sent as it is and goes back when the send is done; deferred
//! task work, and one `enter` that submits all sends of a pass and waits for the next one; a
//! registered ring descriptor; buffers that a whole message fits in.

mod buffers;

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use io_uring::{IoUring, cqueue, opcode, squeue, types};

use super::counters::{Counters, Work};
use super::stage::Part;
use buffers::{Buffers, GROUP};

const ENTRIES: u32 = 1024;
const BUFFERS: u16 = 256;

/// What an entry was for: the upper half of its `user_data`. The lower half is the connection.
const ACCEPT: u64 = 0;
const RECV: u64 = 1;
const SEND: u64 = 2;
const STOP: u64 = 3;

pub(super) fn serve(part: Part) -> io::Result<Counters> {
    let message_size = part.stage.arguments.size;
    let listener = part.listener;
    let ring: IoUring = IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_submit_all()
        .setup_no_sqarray()
        .setup_cqsize(ENTRIES * 4)
        .build(ENTRIES)
        .map_err(|error| corering::probe().refusal().cloned().map_or(error, io::Error::from))?;
    ring.submitter().register_ring_fd()?;
    let size = message_size.next_power_of_two().clamp(4 * 1024, 128 * 1024);
    let buffers = Buffers::register(&ring, BUFFERS, size)?;
    let mut server = Server {
        ring,
        buffers,
        connections: Vec::new(),
        starved: VecDeque::new(),
        work: part.stage.work(),
    };
    server.push(&accept(listener.as_raw_fd()))?;
    let stop = opcode::PollAdd::new(types::Fd(part.stop.as_fd().as_raw_fd()), libc::POLLIN as u32);
    server.push(&stop.build().user_data(STOP << 32))?;
    (part.is_ready)()?;

    let mut completions = Vec::with_capacity(ENTRIES as usize * 4);
    loop {
        server.work.system_calls(1);
        match server.ring.submit_and_wait(1) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // The completion queue is full: reap first.
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
            Err(error) => return Err(error),
        }
        completions.extend(server.ring.completion());
        for completion in completions.drain(..) {
            if completion.user_data() >> 32 == STOP {
                return Ok(server.work.with_system_calls());
            }
            server.complete(&completion, listener.as_raw_fd())?;
        }
    }
}

struct Server {
    ring: IoUring,
    buffers: Buffers,
    connections: Vec<Option<Connection>>,
    /// Connections whose receive ended since no buffer was left.
    starved: VecDeque<usize>,
    work: Work,
}

struct Connection {
    stream: OwnedFd,
    /// Received and not yet sent, in order. The first is in flight.
    queue: VecDeque<Piece>,
    /// The receive has ended for good.
    is_at_end: bool,
}

/// A part of a buffer.
struct Piece {
    buffer: u16,
    from: u32,
    to: u32,
}

impl Server {
    fn complete(&mut self, completion: &cqueue::Entry, listener: RawFd) -> io::Result<()> {
        let result = completion.result();
        let index = (completion.user_data() & u64::from(u32::MAX)) as usize;
        match completion.user_data() >> 32 {
            ACCEPT => {
                if result >= 0 {
                    // SAFETY: the kernel has just opened the descriptor for us alone.
                    self.open(unsafe { OwnedFd::from_raw_fd(result) })?;
                }
                if !cqueue::more(completion.flags()) {
                    self.push(&accept(listener))?;
                }
                Ok(())
            }
            RECV => self.received(index, completion),
            _ => self.sent(index, result),
        }
    }

    fn open(&mut self, stream: OwnedFd) -> io::Result<()> {
        let free = self.connections.iter().rposition(Option::is_none);
        let index = free.unwrap_or(self.connections.len());
        if free.is_none() {
            self.connections.push(None);
        }
        self.connections[index] =
            Some(Connection { stream, queue: VecDeque::new(), is_at_end: false });
        self.receive(index)
    }

    /// Arms the multishot receive of a connection.
    fn receive(&mut self, index: usize) -> io::Result<()> {
        let fd = types::Fd(self.connection(index).stream.as_raw_fd());
        let entry = opcode::RecvMulti::new(fd, GROUP).build().user_data(RECV << 32 | index as u64);
        self.push(&entry)
    }

    fn received(&mut self, index: usize, completion: &cqueue::Entry) -> io::Result<()> {
        let result = completion.result();
        let is_armed = cqueue::more(completion.flags());
        if let Some(buffer) = cqueue::buffer_select(completion.flags()) {
            if result > 0 {
                self.work.echoes(result as usize);
                let connection = self.connection(index);
                connection.queue.push_back(Piece { buffer, from: 0, to: result.cast_unsigned() });
                if connection.queue.len() == 1 {
                    self.send(index)?;
                }
            } else {
                self.buffers.give(buffer);
            }
        }
        if is_armed {
            return Ok(());
        }
        if result > 0 {
            return self.receive(index);
        }
        if result == -libc::ENOBUFS {
            self.starved.push_back(index);
            return Ok(());
        }
        self.connection(index).is_at_end = true;
        self.close_if_done(index);
        Ok(())
    }

    /// Sends the first piece of the connection's queue.
    fn send(&mut self, index: usize) -> io::Result<()> {
        let connection = self.connections[index].as_ref().expect("it is closed when all is sent");
        let piece = connection.queue.front().expect("called with something to send");
        // SAFETY: `from` is below the buffer's size.
        let start = unsafe { self.buffers.start(piece.buffer).add(piece.from as usize) };
        let entry = opcode::Send::new(
            types::Fd(connection.stream.as_raw_fd()),
            start,
            piece.to - piece.from,
        )
        .flags(libc::MSG_NOSIGNAL)
        .build()
        .user_data(SEND << 32 | index as u64);
        self.push(&entry)
    }

    fn sent(&mut self, index: usize, result: i32) -> io::Result<()> {
        let connection = self.connection(index);
        let piece = connection.queue.front_mut().expect("the piece stays until it is sent");
        if result > 0 {
            piece.from += result.cast_unsigned();
            if piece.from < piece.to {
                return self.send(index);
            }
        }
        let done = if result > 0 { 1 } else { connection.queue.len() };
        let buffers: Vec<u16> = connection.queue.drain(..done).map(|piece| piece.buffer).collect();
        let is_left = !connection.queue.is_empty();
        for buffer in buffers {
            self.buffers.give(buffer);
            if let Some(starved) = self.starved.pop_front() {
                self.receive(starved)?;
            }
        }
        if is_left {
            return self.send(index);
        }
        self.close_if_done(index);
        Ok(())
    }

    fn close_if_done(&mut self, index: usize) {
        let connection = self.connection(index);
        if connection.is_at_end && connection.queue.is_empty() {
            self.connections[index] = None;
        }
    }

    fn connection(&mut self, index: usize) -> &mut Connection {
        self.connections[index].as_mut().expect("it is closed only when nothing is in flight")
    }

    fn push(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        // SAFETY: what the entry points at is a buffer of `Buffers`, which is never freed, and
        // which stays with its connection until the send is done.
        while unsafe { self.ring.submission().push(entry) }.is_err() {
            self.ring.submit()?;
        }
        Ok(())
    }
}

fn accept(listener: RawFd) -> squeue::Entry {
    opcode::AcceptMulti::new(types::Fd(listener))
        .flags(libc::SOCK_CLOEXEC)
        .build()
        .user_data(ACCEPT << 32)
}
