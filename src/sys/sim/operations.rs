//! What each opcode does when it is tried. One function per opcode or two.
//!
//! Nothing here waits: an operation that cannot go on says so, and is tried again when its socket
//! wakes it.

use super::entry_view::{
    ACCEPT_MULTISHOT, CQE_BUFFER_SHIFT, CQE_F_BUFFER, CQE_F_MORE, CQE_F_SOCK_NONEMPTY, EntryView,
    POLL_ADD_MULTI, RECV_MULTISHOT, RECVSEND_POLL_FIRST, SQE_BUFFER_SELECT,
};
use super::name::Name;
use super::socket::{ERR, HUP, IN, SocketId};
use super::state::{Event, Operation, OperationId, Outcome, State};
use io_uring::opcode;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::time::Duration;

/// Results of a multishot in one go, before others come first. The real kernel's number.
const MULTISHOT_ROUND: usize = 32;
const MESSAGE_FLAGS: u32 = (libc::MSG_DONTWAIT
    | libc::MSG_NOSIGNAL
    | libc::MSG_WAITALL
    | libc::MSG_MORE
    | libc::MSG_CMSG_CLOEXEC) as u32;

impl State {
    /// Tries an operation.
    pub(super) fn attempt(&mut self, id: OperationId) -> Outcome {
        let Operation { entry, socket, begun, .. } = self.operations[&id];
        let Some(socket) = socket else { return self.attempt_without_socket(id, &entry) };
        let outcome = match entry.opcode {
            opcode::PollAdd::CODE => self.attempt_poll(id, socket, &entry),
            opcode::Accept::CODE => self.attempt_accept(id, socket, &entry),
            opcode::Connect::CODE => self.attempt_connect(socket, &entry, begun),
            opcode::Recv::CODE => self.attempt_receive(id, socket, &entry),
            opcode::RecvMsg::CODE => Outcome::of(self.attempt_receive_message(socket, &entry)),
            opcode::Send::CODE => Outcome::of(self.attempt_send(socket, &entry)),
            opcode::SendMsg::CODE => Outcome::of(self.attempt_send_message(socket, &entry)),
            opcode::Shutdown::CODE => {
                let strike = self.faults.strike(entry.opcode);
                Outcome::of(strike.and_then(|()| self.shut(socket, entry.len as i32)))
            }
            _ => Outcome::of(Err(libc::EINVAL)),
        };
        match outcome {
            Outcome::Done { result, .. } if result == -libc::EAGAIN => {
                // Of all that is done with sockets, an accept alone heeds the mode of the file.
                let never_waits = entry.opcode == opcode::Accept::CODE
                    && (!self.accepts_wait || self.socket(socket).nonblocking);
                if never_waits || dont_wait(&entry) { outcome } else { Outcome::Wait }
            }
            outcome => outcome,
        }
    }

    fn attempt_without_socket(&mut self, id: OperationId, entry: &EntryView) -> Outcome {
        // A poll of something that is not simulated is never answered, so it is not struck either.
        if entry.opcode == opcode::PollAdd::CODE {
            return Outcome::Wait;
        }
        if let Err(errno) = self.faults.strike(entry.opcode) {
            if entry.opcode == opcode::Close::CODE {
                // close(2) gives the number back even when it reports an error.
                let _ = self.close_number(entry.fd);
            }
            return Outcome::of(Err(errno));
        }
        match entry.opcode {
            opcode::Nop::CODE => Outcome::of(Ok(0)),
            opcode::Timeout::CODE => self.attempt_timeout(id, entry),
            opcode::Socket::CODE => Outcome::of(self.attempt_socket(entry)),
            opcode::Close::CODE => Outcome::of(self.close_number(entry.fd)),
            opcode::AsyncCancel::CODE => Outcome::of(self.cancel(id, entry)),
            opcode::PollRemove::CODE | opcode::TimeoutRemove::CODE => {
                Outcome::of(self.remove(id, entry))
            }
            _ => Outcome::of(Err(libc::EINVAL)),
        }
    }

    fn attempt_timeout(&mut self, id: OperationId, entry: &EntryView) -> Outcome {
        // Only the plain one: relative, once, and not counting completions.
        if entry.offset != 0 || entry.operation_flags != 0 || entry.addr == 0 {
            return Outcome::of(Err(libc::EINVAL));
        }
        // SAFETY: the submitter vouches that the address is that of two words of a timespec.
        let [seconds, nanos] = unsafe { (entry.addr as *const [i64; 2]).read_unaligned() };
        let (Ok(seconds), Ok(nanos @ ..1_000_000_000)) =
            (u64::try_from(seconds), u32::try_from(nanos))
        else {
            return Outcome::of(Err(libc::EINVAL));
        };
        self.schedule(Duration::new(seconds, nanos), Event::Expire(id));
        Outcome::Wait
    }

    fn attempt_socket(&mut self, entry: &EntryView) -> Result<i32, i32> {
        if entry.operation_flags != 0 || entry.file_index != 0 {
            return Err(libc::EINVAL);
        }
        let fd = self.open_socket(entry.fd, entry.offset as i32, entry.len as i32)?;
        Ok(fd.into_raw_fd())
    }

    fn close_number(&mut self, fd: i32) -> Result<i32, i32> {
        if !super::socket::is_open(fd) {
            return Err(libc::EBADF);
        }
        // SAFETY: the submitter gave the descriptor away with the entry, and it is open.
        self.close_descriptor(unsafe { OwnedFd::from_raw_fd(fd) });
        Ok(0)
    }

    fn attempt_poll(&mut self, id: OperationId, socket: SocketId, entry: &EntryView) -> Outcome {
        let ready = self.socket(socket).readiness() & (entry.operation_flags | ERR | HUP);
        if entry.len & !POLL_ADD_MULTI != 0 {
            return Outcome::of(Err(libc::EINVAL));
        }
        if ready == 0 {
            return Outcome::Wait;
        }
        if let Err(errno) = self.faults.strike(entry.opcode) {
            return Outcome::of(Err(errno));
        }
        // A multishot waits for the next event, not for the absence of this one.
        if entry.len & POLL_ADD_MULTI != 0 && self.post_more(id, ready as i32, CQE_F_MORE) {
            return Outcome::Wait;
        }
        Outcome::of(Ok(ready as i32))
    }

    fn attempt_accept(&mut self, id: OperationId, socket: SocketId, entry: &EntryView) -> Outcome {
        let multishot = entry.has_priority(ACCEPT_MULTISHOT);
        if entry.file_index != 0 || (multishot && entry.addr != 0) {
            return Outcome::of(Err(libc::EINVAL));
        }
        for _ in 0..MULTISHOT_ROUND {
            let fd = match self.accept_one(socket, entry) {
                Ok(fd) => fd.into_raw_fd(),
                Err(errno) => return Outcome::of(Err(errno)),
            };
            if !multishot || !self.post_more(id, fd, CQE_F_MORE) {
                return Outcome::of(Ok(fd));
            }
        }
        Outcome::Again
    }

    fn accept_one(&mut self, socket: SocketId, entry: &EntryView) -> Result<OwnedFd, i32> {
        self.acceptable(socket)?;
        if let Err(errno) = self.faults.strike(entry.opcode) {
            // ECONNABORTED is the end of the connection; for lack of a descriptor it stays.
            if errno == libc::ECONNABORTED
                && let Some(aborted) = self.take_connection(socket)
            {
                self.abandon(aborted);
            }
            return Err(errno);
        }
        let (fd, remote) = self.accept(socket, entry.operation_flags as i32)?;
        // SAFETY: the submitter vouches for the address and its length, or gave none.
        unsafe { remote.write(entry.addr, entry.offset) };
        Ok(fd)
    }

    fn attempt_connect(&mut self, socket: SocketId, entry: &EntryView, begun: bool) -> Outcome {
        if !begun {
            // SAFETY: the submitter vouches for the address and its length.
            let started = unsafe { Name::read(entry.addr, entry.offset) }
                .and_then(|name| self.faults.strike(entry.opcode).map(|()| name))
                .and_then(|name| self.start_connect(socket, name));
            if let Err(errno) = started {
                return Outcome::of(Err(errno));
            }
            if self.socket(socket).nonblocking {
                return Outcome::of(Err(libc::EINPROGRESS));
            }
        }
        Outcome::of(self.connect_result(socket))
    }

    fn attempt_send(&mut self, socket: SocketId, entry: &EntryView) -> Result<i32, i32> {
        check_message_flags(entry)?;
        self.sendable(socket)?;
        self.faults.strike(entry.opcode)?;
        // SAFETY: the submitter vouches for the buffer until the last completion.
        let bytes = unsafe { bytes_at(entry.addr, entry.len as usize) };
        self.send(socket, bytes).map(|count| count as i32)
    }

    fn attempt_send_message(&mut self, socket: SocketId, entry: &EntryView) -> Result<i32, i32> {
        check_message_flags(entry)?;
        self.sendable(socket)?;
        self.faults.strike(entry.opcode)?;
        // SAFETY: the submitter vouches for the message until the last completion.
        let sent = unsafe { self.send_message(socket, entry.addr as *const libc::msghdr) };
        sent.map(|count| count as i32)
    }

    /// Sends what a socket takes of a message.
    ///
    /// # Safety
    ///
    /// `message` points at a header whose pieces are readable.
    pub(super) unsafe fn send_message(
        &mut self,
        socket: SocketId,
        message: *const libc::msghdr,
    ) -> Result<usize, i32> {
        // SAFETY: the caller vouches for the header.
        let message = unsafe { message.read_unaligned() };
        if message.msg_controllen != 0 {
            return Err(libc::EINVAL);
        }
        // Not of the same type in every C library.
        let (mut total, pieces) = (0, message.msg_iovlen as _);
        for piece in 0..pieces {
            // SAFETY: the header says that there are so many pieces.
            let piece = unsafe { message.msg_iov.add(piece).read_unaligned() };
            // SAFETY: the caller vouches for each piece as for a plain buffer.
            let bytes = unsafe { bytes_at(piece.iov_base.addr() as u64, piece.iov_len) };
            // What is left when the room is used up is for the next call.
            match self.send(socket, bytes) {
                Ok(count) if count == bytes.len() => total += count,
                Ok(count) => return Ok(total + count),
                Err(libc::EAGAIN) if total > 0 => break,
                Err(errno) => return Err(errno),
            }
        }
        Ok(total)
    }

    fn attempt_receive_message(&mut self, socket: SocketId, entry: &EntryView) -> Result<i32, i32> {
        check_message_flags(entry)?;
        if entry.has_priority(RECV_MULTISHOT) || entry.has(SQE_BUFFER_SELECT) {
            return Err(libc::EINVAL);
        }
        self.receivable(socket)?;
        self.faults.strike(entry.opcode)?;
        let message_at = entry.addr as *mut libc::msghdr;
        // SAFETY: the submitter vouches for the message header until the last completion.
        let mut message = unsafe { message_at.read_unaligned() };
        // Not of the same type in every C library.
        let (mut total, pieces) = (0, message.msg_iovlen as _);
        for piece in 0..pieces {
            // SAFETY: the header says that there are so many pieces.
            let piece = unsafe { message.msg_iov.add(piece).read_unaligned() };
            // SAFETY: the submitter vouches for each piece as for a plain buffer.
            match unsafe { self.receive(socket, piece.iov_base.cast(), piece.iov_len) } {
                Ok(count) => {
                    total += count;
                    if count < piece.iov_len {
                        break;
                    }
                }
                Err(libc::EAGAIN) if total > 0 => break,
                Err(errno) => return Err(errno),
            }
        }
        (message.msg_namelen, message.msg_controllen, message.msg_flags) = (0, 0, 0);
        // SAFETY: as for the read above; the kernel writes these fields back.
        unsafe { message_at.write_unaligned(message) };
        Ok(total as i32)
    }

    fn attempt_receive(&mut self, id: OperationId, socket: SocketId, entry: &EntryView) -> Outcome {
        let selects = entry.has(SQE_BUFFER_SELECT);
        let multishot = entry.has_priority(RECV_MULTISHOT);
        if let Err(errno) = check_message_flags(entry) {
            return Outcome::of(Err(errno));
        }
        if multishot && (!selects || entry.has_operation_flag(libc::MSG_WAITALL as u32)) {
            return Outcome::of(Err(libc::EINVAL));
        }
        let polls_first = entry.has_priority(RECVSEND_POLL_FIRST) && !self.operations[&id].begun;
        if polls_first && self.socket(socket).readiness() & (IN | ERR | HUP) == 0 {
            return Outcome::Wait;
        }
        if !selects {
            let result = self.receive_once(socket, entry, entry.addr, entry.len as usize);
            return Outcome::Done { result, flags: self.nonempty(socket, result) };
        }
        for _ in 0..if multishot { MULTISHOT_ROUND } else { 1 } {
            let (result, flags) = self.receive_selecting(id, socket, entry);
            if !multishot || result <= 0 || !self.post_more(id, result, flags | CQE_F_MORE) {
                return Outcome::Done { result, flags };
            }
            if !self.hears_ends && !self.stream(socket).is_some_and(|stream| stream.has_bytes()) {
                return Outcome::Wait;
            }
        }
        Outcome::Again
    }

    fn receive_once(
        &mut self,
        socket: SocketId,
        entry: &EntryView,
        address: u64,
        len: usize,
    ) -> i32 {
        let received = self.receivable(socket).and_then(|_| self.faults.strike(entry.opcode));
        // SAFETY: the submitter vouches for its buffer, or for those of its group, until the last
        // completion.
        let received =
            received.and_then(|()| unsafe { self.receive(socket, address as *mut u8, len) });
        received.map_or_else(|errno| -errno, |count| count as i32)
    }

    /// Receives into the next buffer of the group. The real kernel looks for the buffer first, so
    /// an empty group ends the operation even if there is nothing to receive.
    fn receive_selecting(
        &mut self,
        id: OperationId,
        socket: SocketId,
        entry: &EntryView,
    ) -> (i32, u32) {
        let ring = self.operations[&id].ring;
        let offered = match self.offered_buffer(ring, entry.buffer_group) {
            Ok(offered) => offered,
            Err(errno) => return (-errno, 0),
        };
        let len = match entry.len {
            0 => offered.len,
            len => len.min(offered.len),
        };
        let result = self.receive_once(socket, entry, offered.address, len as usize);
        if result == -libc::EAGAIN {
            return (result, 0);
        }
        // Some kernels give a buffer away with the end of the stream or with an error.
        if result <= 0 && !self.random.chance(1, 4) {
            return (result, 0);
        }
        self.take_buffer(ring, entry.buffer_group);
        let buffer = u32::from(offered.id) << CQE_BUFFER_SHIFT | CQE_F_BUFFER;
        (result, buffer | self.nonempty(socket, result))
    }

    fn nonempty(&mut self, socket: SocketId, result: i32) -> u32 {
        let more = result >= 0 && self.stream(socket).is_some_and(|stream| stream.has_more());
        if more { CQE_F_SOCK_NONEMPTY } else { 0 }
    }
}

fn dont_wait(entry: &EntryView) -> bool {
    matches!(
        entry.opcode,
        opcode::Send::CODE | opcode::SendMsg::CODE | opcode::Recv::CODE | opcode::RecvMsg::CODE
    ) && entry.has_operation_flag(libc::MSG_DONTWAIT as u32)
}

fn check_message_flags(entry: &EntryView) -> Result<(), i32> {
    if entry.operation_flags & !MESSAGE_FLAGS != 0 { Err(libc::EINVAL) } else { Ok(()) }
}

/// # Safety
///
/// `address` is that of `len` readable bytes that do not change while the slice is in use.
unsafe fn bytes_at<'a>(address: u64, len: usize) -> &'a [u8] {
    if len == 0 {
        return &[];
    }
    // SAFETY: passed on to the caller; a slice without bytes may have any address.
    unsafe { std::slice::from_raw_parts(address as *const u8, len) }
}
