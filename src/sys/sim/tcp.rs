//! Byte streams in memory: sending, delivering, receiving, and the two ways a stream ends.
//!
//! What is sent waits in the sender's `outgoing` until an event delivers it, in pieces, to the
//! peer's `incoming`. Both are bounded, so a peer that does not receive stops the sender.

use super::socket::{ERR, HUP, IN, OUT, Phase, RDHUP, SocketId};
use super::state::{Event, State};
use std::collections::VecDeque;
use std::time::Duration;

/// One end of an established connection.
pub(super) struct Stream {
    peer: SocketId,
    incoming: VecDeque<u8>,
    incoming_max: usize,
    outgoing: VecDeque<u8>,
    outgoing_max: usize,
    /// The peer's end of stream has arrived.
    finished: bool,
    /// The peer's end of stream, or a local shutdown, or a reset: nothing more will come.
    read_shut: bool,
    /// Nothing more is sent; the end of stream follows what is in `outgoing`.
    pub(super) write_shut: bool,
    finish_sent: bool,
    pub(super) reset: bool,
    delivery_scheduled: bool,
    /// No descriptor and no operation refers to it any more: it only sends what is left.
    released: bool,
}

impl Stream {
    pub(super) fn ended(&self) -> bool {
        self.finished || self.read_shut || self.reset
    }

    pub(super) fn readable(&self) -> bool {
        !self.incoming.is_empty() || self.ended()
    }

    pub(super) fn writable(&self) -> bool {
        self.outgoing.len() < self.outgoing_max || self.write_shut || self.reset
    }

    pub(super) fn has_bytes(&self) -> bool {
        !self.incoming.is_empty()
    }

    /// Whether a receive would find more: Linux counts the peer's end of stream too.
    pub(super) fn has_more(&self) -> bool {
        self.has_bytes() || self.finished
    }

    /// Moves bytes to `to`.
    ///
    /// # Safety
    ///
    /// `to` points at `len` writable bytes.
    unsafe fn take(&mut self, to: *mut u8, len: usize) {
        let (front, back) = self.incoming.as_slices();
        let first = front.len().min(len);
        // SAFETY: the caller vouches for `len` bytes, and `first` of them are no more than that.
        unsafe { std::ptr::copy_nonoverlapping(front.as_ptr(), to, first) };
        let back = &back[..len - first];
        // SAFETY: the rest starts behind what was just written and ends at `len`.
        unsafe { std::ptr::copy_nonoverlapping(back.as_ptr(), to.add(first), back.len()) };
        self.incoming.drain(..len);
    }
}

impl State {
    pub(super) fn new_stream(&mut self, peer: SocketId) -> Stream {
        let (low, high) = self.weather.buffer_powers;
        Stream {
            peer,
            incoming: VecDeque::new(),
            incoming_max: self.random.power(low, high),
            outgoing: VecDeque::new(),
            outgoing_max: self.random.power(low, high),
            finished: false,
            read_shut: false,
            write_shut: false,
            finish_sent: false,
            reset: false,
            delivery_scheduled: false,
            released: false,
        }
    }

    pub(super) fn stream(&mut self, id: SocketId) -> Option<&mut Stream> {
        match self.sockets.get_mut(&id).map(|socket| &mut socket.phase) {
            Some(Phase::Connected(stream)) => Some(stream),
            _ => None,
        }
    }

    /// How many bytes of those that could be moved are: all, or fewer if the weather is bad.
    fn shorten(&mut self, count: usize) -> usize {
        match self.random.chance(self.weather.short_transfers, 16) {
            true if self.random.chance(1, 4) => self.random.between(1, count.min(16)),
            true => self.random.between(1, count),
            false => count,
        }
    }

    /// Receives up to `len` bytes. `EAGAIN` means that it has to wait.
    ///
    /// # Safety
    ///
    /// `to` points at `len` writable bytes.
    pub(super) unsafe fn receive(
        &mut self,
        id: SocketId,
        to: *mut u8,
        len: usize,
    ) -> Result<usize, i32> {
        let error = self.receivable(id)?;
        if error.is_some() && !self.stream(id).is_some_and(|stream| stream.has_bytes()) {
            self.socket(id).error = None;
            return error.map_or(Ok(0), Err);
        }
        let Some(stream) = self.stream(id) else { return Err(libc::ENOTCONN) };
        let count = len.min(stream.incoming.len());
        if count == 0 {
            return Ok(0);
        }
        let count = self.shorten(count);
        let stream = self.stream(id).expect("it was there above");
        let peer = stream.peer;
        // SAFETY: the caller vouches for `len` bytes, and `count` is no more than that.
        unsafe { stream.take(to, count) };
        // There is room again for what the peer could not deliver.
        self.schedule_delivery(peer);
        Ok(count)
    }

    /// Whether a receive would give a result now: bytes, the end, or the returned error.
    pub(super) fn receivable(&mut self, id: SocketId) -> Result<Option<i32>, i32> {
        let socket = self.socket(id);
        match &socket.phase {
            Phase::Connected(stream) if stream.readable() || socket.error.is_some() => {
                Ok(socket.error)
            }
            Phase::Connected(_) => Err(libc::EAGAIN),
            _ => Err(libc::ENOTCONN),
        }
    }

    /// Sends as many of the bytes as there is room for. `EAGAIN` means that it has to wait.
    pub(super) fn send(&mut self, id: SocketId, bytes: &[u8]) -> Result<usize, i32> {
        let room = self.sendable(id)?.min(bytes.len());
        if room == 0 {
            return Ok(0);
        }
        let count = self.shorten(room);
        let stream = self.stream(id).expect("only a stream is sendable");
        stream.outgoing.extend(&bytes[..count]);
        self.schedule_delivery(id);
        Ok(count)
    }

    /// How many bytes a send could take now.
    pub(super) fn sendable(&mut self, id: SocketId) -> Result<usize, i32> {
        let socket = self.socket(id);
        if let Phase::Connecting { .. } = socket.phase {
            return Err(libc::EAGAIN);
        }
        if let Some(error) = socket.error.take() {
            return Err(error);
        }
        match &socket.phase {
            Phase::Connected(stream) if stream.write_shut || stream.reset => Err(libc::EPIPE),
            Phase::Connected(stream) => match stream.outgoing_max - stream.outgoing.len() {
                0 => Err(libc::EAGAIN),
                room => Ok(room),
            },
            _ => Err(libc::EPIPE),
        }
    }

    /// Makes sure that what this end still has to say is on its way, if there is anything.
    fn schedule_delivery(&mut self, id: SocketId) {
        let Some(stream) = self.stream(id) else { return };
        let something = !stream.outgoing.is_empty() || (stream.write_shut && !stream.finish_sent);
        if something && !stream.delivery_scheduled && !stream.reset {
            stream.delivery_scheduled = true;
            self.schedule_soon(Event::Deliver(id));
        }
    }

    /// What is on its way to this socket arrives now, just before somebody would give it up.
    pub(super) fn hurry(&mut self, id: SocketId) {
        match self.sockets.get(&id).map(|socket| &socket.phase) {
            Some(Phase::Connecting { .. }) => self.handshake(id),
            Some(Phase::Connected(stream)) => {
                let peer = stream.peer;
                if self.stream(peer).is_some_and(|peer| peer.delivery_scheduled) {
                    self.deliver(peer);
                }
            }
            _ => {}
        }
    }

    /// A piece of what this end sent arrives at its peer.
    pub(super) fn deliver(&mut self, id: SocketId) {
        let Some(stream) = self.stream(id) else { return };
        stream.delivery_scheduled = false;
        if stream.reset {
            return;
        }
        let (peer, ready) = (stream.peer, stream.outgoing.len());
        let Some(room) = self.room_at(peer) else {
            return self.deliver_to_nobody(id);
        };
        if ready > 0 {
            if room == 0 {
                return;
            }
            let count = self.shorten(ready.min(room));
            let stream = self.stream(id).expect("it was there above");
            let piece: Vec<u8> = stream.outgoing.drain(..count).collect();
            let at = self.stream(peer).expect("there is room at it");
            at.incoming.extend(piece);
            self.trace.line(self.now, format_args!("socket {id} delivers {count} to {peer}"));
            self.wake(peer, IN);
            self.wake(id, OUT);
        }
        self.deliver_finish(id, peer);
        self.schedule_delivery(id);
    }

    /// The end of stream follows the last byte, at once or later.
    fn deliver_finish(&mut self, id: SocketId, peer: SocketId) {
        let at_once = self.random.chance(1, 2);
        let Some(stream) = self.stream(id) else { return };
        let due = stream.write_shut && !stream.finish_sent && stream.outgoing.is_empty();
        if !due || !at_once {
            return;
        }
        stream.finish_sent = true;
        let released = stream.released;
        let at = self.stream(peer).expect("bytes were delivered to it");
        at.finished = true;
        self.trace.line(self.now, format_args!("socket {id} ends its stream to {peer}"));
        self.wake(peer, IN | RDHUP | HUP);
        if released {
            self.sockets.remove(&id);
        }
    }

    /// Room for incoming bytes, or nothing if that end is gone.
    fn room_at(&mut self, id: SocketId) -> Option<usize> {
        let stream = self.stream(id).filter(|stream| !stream.released && !stream.reset)?;
        Some(stream.incoming_max - stream.incoming.len())
    }

    /// The peer is gone: it answers bytes with a reset, and an end of stream not at all.
    fn deliver_to_nobody(&mut self, id: SocketId) {
        let stream = self.stream(id).expect("it was there above");
        if !stream.outgoing.is_empty() {
            let peer = stream.peer;
            // An end that was closed and still had something to say is over with its reset.
            if self.stream(peer).is_some_and(|peer| peer.released) {
                self.sockets.remove(&peer);
            }
            return self.reset(id);
        }
        stream.finish_sent = true;
        if stream.released {
            self.sockets.remove(&id);
        }
    }

    /// A reset arrives: what was not sent is lost, what was received can still be read.
    pub(super) fn reset(&mut self, id: SocketId) {
        let Some(stream) = self.stream(id).filter(|stream| !stream.reset) else { return };
        stream.reset = true;
        stream.outgoing.clear();
        let error = if stream.finished { libc::EPIPE } else { libc::ECONNRESET };
        if stream.released {
            self.sockets.remove(&id);
            return;
        }
        self.socket(id).error = Some(error);
        self.trace.line(self.now, format_args!("socket {id} is reset"));
        self.wake(id, IN | OUT | ERR | HUP | RDHUP);
    }

    /// shutdown(2).
    pub(super) fn shut(&mut self, id: SocketId, how: i32) -> Result<i32, i32> {
        let (read, write) = match how {
            libc::SHUT_RD => (true, false),
            libc::SHUT_WR => (false, true),
            libc::SHUT_RDWR => (true, true),
            _ => return Err(libc::EINVAL),
        };
        match &mut self.socket(id).phase {
            Phase::Connected(stream) if !stream.reset => {
                stream.read_shut |= read;
                stream.write_shut |= write;
            }
            Phase::Listening(listener) => listener.shut |= read,
            _ => return Err(libc::ENOTCONN),
        }
        self.trace.line(self.now, format_args!("socket {id} shut down {how}"));
        self.schedule_delivery(id);
        // As in Linux, every waiter looks again, whichever direction was shut down.
        self.wake(id, IN | OUT | RDHUP | HUP);
        Ok(0)
    }

    /// Nobody refers to the socket any more: the connection ends, in order or by a reset.
    pub(super) fn release(&mut self, id: SocketId) {
        self.trace.line(self.now, format_args!("socket {id} released"));
        let aborts = self.socket(id).aborts_on_close();
        match &mut self.socket(id).phase {
            Phase::Connected(stream) if stream.reset => {}
            Phase::Connected(stream) if stream.has_bytes() || aborts => {
                let peer = stream.peer;
                self.schedule_soon(Event::Reset(peer));
            }
            Phase::Connected(stream) if !stream.finish_sent => {
                stream.released = true;
                stream.write_shut = true;
                return self.schedule_delivery(id);
            }
            Phase::Listening(listener) => {
                for waiting in std::mem::take(&mut listener.queue) {
                    self.abandon(waiting);
                }
            }
            _ => {}
        }
        self.sockets.remove(&id);
    }

    /// A connection that nobody accepted is reset.
    pub(super) fn abandon(&mut self, id: SocketId) {
        if let Some(stream) = self.stream(id) {
            let peer = stream.peer;
            self.schedule(Duration::from_micros(1), Event::Reset(peer));
        }
        self.sockets.remove(&id);
    }
}

impl super::socket::Socket {
    /// SO_LINGER with a time of zero.
    fn aborts_on_close(&self) -> bool {
        match self.options.get(&(libc::SOL_SOCKET, libc::SO_LINGER)) {
            Some(linger) if linger.len() == 8 => linger[..4] != [0; 4] && linger[4..] == [0; 4],
            _ => false,
        }
    }
}
