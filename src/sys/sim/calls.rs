//! Calls on descriptors that do not go through a ring. None of them waits, and none of them lets
//! time pass. Told faults strike them as they strike the operation of the same name.

use super::name::Name;
use super::socket::{Phase, Socket};
use super::world::World;
use io_uring::opcode;
use socket2::SockAddr;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

impl World {
    /// Whether the descriptor is one of this world's sockets.
    pub(crate) fn has(&self, fd: RawFd) -> bool {
        self.state().descriptors.contains_key(&fd)
    }

    /// socket(2), streams only.
    pub(crate) fn socket(&self, domain: i32, kind: i32, protocol: i32) -> io::Result<OwnedFd> {
        let mut state = self.state();
        let struck = state.faults.strike(opcode::Socket::CODE);
        let opened = struck.and_then(|()| state.open_socket(domain, kind, protocol));
        opened.map_err(io::Error::from_raw_os_error)
    }

    /// bind(2). Port 0 picks a free one.
    pub(crate) fn bind(&self, fd: RawFd, address: &SockAddr) -> io::Result<()> {
        self.call(fd, |state, id| {
            state.faults.strike(opcode::Bind::CODE)?;
            state.bind(id, Name::of(address)?)
        })
    }

    /// listen(2).
    pub(crate) fn listen(&self, fd: RawFd, backlog: i32) -> io::Result<()> {
        self.call(fd, |state, id| {
            state.faults.strike(opcode::Listen::CODE)?;
            state.listen(id, backlog)
        })
    }

    /// connect(2) of a Unix socket that has O_NONBLOCK.
    pub(crate) fn connect(&self, fd: RawFd, address: &SockAddr) -> io::Result<()> {
        self.call(fd, |state, id| {
            state.faults.strike(opcode::Connect::CODE)?;
            state.connect_now(id, Name::of(address)?)
        })
    }

    /// Sets or clears O_NONBLOCK, of a simulated socket. Returns whether it was otherwise.
    pub(crate) fn set_nonblocking(&self, fd: RawFd, nonblocking: bool) -> io::Result<bool> {
        if !self.has(fd) {
            return Ok(false);
        }
        self.call(fd, |state, id| {
            Ok(std::mem::replace(&mut state.socket(id).nonblocking, nonblocking) != nonblocking)
        })
    }

    /// getsockname(2).
    pub(crate) fn local_addr(&self, fd: RawFd) -> io::Result<SockAddr> {
        self.call(fd, |state, id| {
            let socket = state.socket(id);
            let unbound = Name::unbound(socket.domain);
            Ok(socket.local.as_ref().unwrap_or(&unbound).to_sock_addr())
        })
    }

    /// getpeername(2).
    pub(crate) fn peer_addr(&self, fd: RawFd) -> io::Result<SockAddr> {
        self.call(fd, |state, id| match state.socket(id) {
            Socket { phase: Phase::Connected(stream), remote: Some(remote), .. }
                if !stream.reset =>
            {
                Ok(remote.to_sock_addr())
            }
            _ => Err(libc::ENOTCONN),
        })
    }

    #[cfg(test)]
    /// setsockopt(2): remembered. SO_REUSEADDR, SO_REUSEPORT and SO_LINGER also do something.
    pub(crate) fn set_option(
        &self,
        fd: RawFd,
        level: i32,
        name: i32,
        value: &[u8],
    ) -> io::Result<()> {
        self.call(fd, |state, id| {
            state.socket(id).options.insert((level, name), value.to_vec());
            Ok(())
        })
    }

    #[cfg(test)]
    /// getsockopt(2): what was set, or zero. Returns how many bytes of `value` were written.
    pub(crate) fn option(
        &self,
        fd: RawFd,
        level: i32,
        name: i32,
        value: &mut [u8],
    ) -> io::Result<usize> {
        let known = self.call(fd, |state, id| {
            let socket = state.socket(id);
            let number = match (level, name) {
                (libc::SOL_SOCKET, libc::SO_ERROR) => socket.error.take().unwrap_or(0),
                (libc::SOL_SOCKET, libc::SO_TYPE) => libc::SOCK_STREAM,
                (libc::SOL_SOCKET, libc::SO_DOMAIN) => socket.domain,
                (libc::SOL_SOCKET, libc::SO_ACCEPTCONN) => {
                    i32::from(matches!(socket.phase, Phase::Listening(_)))
                }
                other => match socket.options.get(&other) {
                    Some(set) => return Ok(set.clone()),
                    None => 0,
                },
            };
            Ok(number.to_ne_bytes().to_vec())
        })?;
        let len = known.len().min(value.len());
        value[..len].copy_from_slice(&known[..len]);
        Ok(len)
    }

    /// recv(2) with MSG_DONTWAIT. As any receive it may leave something, as at an urgent mark.
    ///
    /// # Safety
    ///
    /// `to` points at `len` writable bytes.
    pub(crate) unsafe fn recv_now(&self, fd: RawFd, to: *mut u8, len: usize) -> io::Result<usize> {
        self.call(fd, |state, id| {
            state.receivable(id)?;
            state.faults.strike(opcode::Recv::CODE)?;
            // SAFETY: passed on to the caller.
            unsafe { state.receive(id, to, len) }
        })
    }

    /// send(2) with MSG_DONTWAIT and MSG_NOSIGNAL.
    pub(crate) fn send_now(&self, fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
        self.call(fd, |state, id| {
            state.sendable(id)?;
            state.faults.strike(opcode::Send::CODE)?;
            state.send(id, bytes)
        })
    }

    /// sendmsg(2) with MSG_DONTWAIT and MSG_NOSIGNAL.
    ///
    /// # Safety
    ///
    /// `message` points at a header whose pieces are readable.
    pub(crate) unsafe fn send_message_now(
        &self,
        fd: RawFd,
        message: *const libc::msghdr,
    ) -> io::Result<usize> {
        self.call(fd, |state, id| {
            state.sendable(id)?;
            state.faults.strike(opcode::SendMsg::CODE)?;
            // SAFETY: passed on to the caller.
            unsafe { state.send_message(id, message) }
        })
    }

    /// shutdown(2).
    pub(crate) fn shutdown(&self, fd: RawFd, how: i32) -> io::Result<()> {
        self.call(fd, |state, id| {
            state.faults.strike(opcode::Shutdown::CODE)?;
            state.shut(id, how).map(drop)
        })
    }

    /// close(2), of any descriptor: one that is not simulated is only closed.
    pub(crate) fn close(&self, fd: OwnedFd) {
        // Closed while the state is borrowed: nobody can take the number in between.
        self.state().close_descriptor(fd);
    }

    fn call<T>(
        &self,
        fd: RawFd,
        call: impl FnOnce(&mut super::state::State, super::socket::SocketId) -> Result<T, i32>,
    ) -> io::Result<T> {
        let mut state = self.state();
        let done = state.socket_of(fd.as_raw_fd()).and_then(|id| call(&mut state, id));
        done.map_err(io::Error::from_raw_os_error)
    }
}
