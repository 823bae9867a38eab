//! The table of simulated sockets: how one comes to be, who keeps it open, who waits for it.

use super::entry_view::EntryView;
use super::name::Name;
use super::state::{OperationId, Stage, State};
use super::tcp::Stream;
use io_uring::opcode;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

pub(super) type SocketId = u32;

// Poll bits, as the unsigned words that entries carry.
pub(super) const IN: u32 = libc::POLLIN as u32;
pub(super) const OUT: u32 = libc::POLLOUT as u32;
pub(super) const ERR: u32 = libc::POLLERR as u32;
pub(super) const HUP: u32 = libc::POLLHUP as u32;
pub(super) const RDHUP: u32 = libc::POLLRDHUP as u32;
const RDNORM: u32 = libc::POLLRDNORM as u32;
const WRNORM: u32 = libc::POLLWRNORM as u32;

pub(super) struct Socket {
    pub(super) domain: i32,
    /// Opened with SOCK_NONBLOCK: what would wait is refused, on the ring too.
    pub(super) nonblocking: bool,
    /// A descriptor refers to it.
    pub(super) open: bool,
    /// Operations in flight on it. They keep it open after its descriptor is gone.
    pub(super) holds: u32,
    pub(super) waiters: Vec<OperationId>,
    pub(super) local: Option<Name>,
    pub(super) remote: Option<Name>,
    pub(super) options: BTreeMap<(i32, i32), Vec<u8>>,
    /// SO_ERROR: told once.
    pub(super) error: Option<i32>,
    pub(super) phase: Phase,
}

pub(super) enum Phase {
    Idle,
    Listening(Listener),
    Connecting { tries: u32 },
    Connected(Stream),
}

pub(super) struct Listener {
    pub(super) backlog: usize,
    /// Established connections that nobody accepted yet.
    pub(super) queue: VecDeque<SocketId>,
    /// Was shut down: accepts fail.
    pub(super) shut: bool,
}

impl Socket {
    pub(super) fn new(domain: i32) -> Self {
        Socket {
            domain,
            nonblocking: false,
            open: false,
            holds: 0,
            waiters: Vec::new(),
            local: None,
            remote: None,
            options: BTreeMap::new(),
            error: None,
            phase: Phase::Idle,
        }
    }

    /// What poll(2) would report now.
    pub(super) fn readiness(&self) -> u32 {
        let mut ready = if self.error.is_some() { ERR } else { 0 };
        match &self.phase {
            Phase::Idle => ready |= OUT | HUP,
            Phase::Connecting { .. } => {}
            Phase::Listening(listener) if listener.shut => ready |= OUT | HUP,
            Phase::Listening(listener) if listener.queue.is_empty() => {}
            Phase::Listening(_) => ready |= IN | RDNORM,
            Phase::Connected(stream) => {
                let ended = stream.ended();
                let (readable, writable) = (stream.readable(), stream.writable());
                ready |= if readable { IN | RDNORM } else { 0 };
                ready |= if ended { RDHUP } else { 0 };
                ready |= if writable { OUT | WRNORM } else { 0 };
                ready |= if stream.reset || (ended && stream.write_shut) { HUP } else { 0 };
            }
        }
        ready
    }

    pub(super) fn option_is_set(&self, name: i32) -> bool {
        let value = self.options.get(&(libc::SOL_SOCKET, name));
        value.is_some_and(|value| value.iter().any(|byte| *byte != 0))
    }
}

/// What an operation waits for on its socket.
fn interest(entry: &EntryView) -> u32 {
    let events = match entry.opcode {
        opcode::PollAdd::CODE => entry.operation_flags,
        opcode::Send::CODE | opcode::SendMsg::CODE | opcode::Connect::CODE => OUT,
        _ => IN | RDHUP,
    };
    events | ERR | HUP
}

impl State {
    /// Makes a socket and the descriptor that stands for it: an eventfd, so that the number is
    /// really taken and whoever closes it closes nothing else.
    pub(super) fn open_socket(
        &mut self,
        domain: i32,
        kind: i32,
        protocol: i32,
    ) -> Result<OwnedFd, i32> {
        if !matches!(domain, libc::AF_INET | libc::AF_INET6 | libc::AF_UNIX) {
            return Err(libc::EAFNOSUPPORT);
        }
        if kind & !(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC) != libc::SOCK_STREAM {
            return Err(libc::ESOCKTNOSUPPORT);
        }
        if protocol != 0 && (protocol != libc::IPPROTO_TCP || domain == libc::AF_UNIX) {
            return Err(libc::EPROTONOSUPPORT);
        }
        let id = self.number_socket();
        self.sockets.insert(id, Socket::new(domain));
        let opened = self.open_descriptor(id, kind);
        if opened.is_err() {
            self.sockets.remove(&id);
        }
        opened
    }

    /// Gives a socket that has none a descriptor. `flags` are SOCK_NONBLOCK and SOCK_CLOEXEC.
    pub(super) fn open_descriptor(&mut self, id: SocketId, flags: i32) -> Result<OwnedFd, i32> {
        let nonblocking = flags & libc::SOCK_NONBLOCK != 0;
        let mut placeholder_flags = if nonblocking { libc::EFD_NONBLOCK } else { 0 };
        if flags & libc::SOCK_CLOEXEC != 0 {
            placeholder_flags |= libc::EFD_CLOEXEC;
        }
        // SAFETY: eventfd takes no pointer.
        let fd = unsafe { libc::eventfd(0, placeholder_flags) };
        if fd < 0 {
            return Err(io::Error::last_os_error().raw_os_error().unwrap_or(libc::EMFILE));
        }
        // SAFETY: the descriptor was just opened and nothing else owns it.
        let placeholder = unsafe { OwnedFd::from_raw_fd(fd) };
        // The number was free, so if the table has it, somebody closed it past this world.
        self.forget_descriptor(fd);
        self.descriptors.insert(fd, id);
        let socket = self.sockets.get_mut(&id).expect("a descriptor is opened for a socket");
        socket.open = true;
        socket.nonblocking = nonblocking;
        self.trace.line(self.now, format_args!("socket {id} open"));
        Ok(placeholder)
    }

    /// The simulated socket that a descriptor stands for.
    pub(super) fn socket_of(&self, fd: RawFd) -> Result<SocketId, i32> {
        if let Some(id) = self.descriptors.get(&fd) {
            return Ok(*id);
        }
        Err(if is_open(fd) { libc::ENOTSOCK } else { libc::EBADF })
    }

    pub(super) fn socket(&mut self, id: SocketId) -> &mut Socket {
        self.sockets.get_mut(&id).expect("a descriptor or an operation keeps the socket")
    }

    /// Closes a descriptor, simulated or not.
    pub(super) fn close_descriptor(&mut self, fd: OwnedFd) {
        self.forget_descriptor(fd.as_raw_fd());
    }

    /// The descriptor is gone. The socket goes too unless operations hold it.
    pub(super) fn forget_descriptor(&mut self, fd: RawFd) -> bool {
        let Some(id) = self.descriptors.remove(&fd) else { return false };
        self.trace.line(self.now, format_args!("socket {id} descriptor closed"));
        let socket = self.socket(id);
        socket.open = false;
        if socket.holds == 0 {
            self.release(id);
        }
        true
    }

    pub(super) fn hold(&mut self, id: SocketId) {
        self.socket(id).holds += 1;
    }

    pub(super) fn let_go(&mut self, id: SocketId) {
        let socket = self.socket(id);
        socket.holds -= 1;
        if socket.holds == 0 && !socket.open {
            self.release(id);
        }
    }

    pub(super) fn add_waiter(&mut self, id: SocketId, operation: OperationId) {
        let State { sockets, operations, .. } = self;
        let socket = sockets.get_mut(&id).expect("a waiting operation holds its socket");
        // Cancelled operations leave their number here, and it is never given again.
        if socket.waiters.len() >= 16 {
            socket.waiters.retain(|waiter| operations.contains_key(waiter));
        }
        socket.waiters.push(operation);
    }

    /// Something happened on the socket: whoever waits for one of these events tries again.
    pub(super) fn wake(&mut self, id: SocketId, events: u32) {
        let Some(socket) = self.sockets.get_mut(&id) else { return };
        for waiter in std::mem::take(&mut socket.waiters) {
            let Some(operation) = self.operations.get(&waiter) else { continue };
            if operation.stage != Stage::Waiting {
                continue;
            }
            if interest(&operation.entry) & events != 0 {
                self.make_ready(waiter);
            } else {
                self.add_waiter(id, waiter);
            }
        }
    }
}

/// Whether the process has this descriptor at all.
pub(super) fn is_open(fd: RawFd) -> bool {
    // SAFETY: F_GETFD takes no pointer.
    unsafe { libc::fcntl(fd, libc::F_GETFD) >= 0 }
}
