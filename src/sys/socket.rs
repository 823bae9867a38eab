//! Calls on sockets that are not operations: made at once, on the calling thread, on the kernel
//! or on the simulated world that is installed here.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};

use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

use super::call::SysCall;
#[cfg(feature = "sim")]
use super::sim::World;

/// Opens a socket, close-on-exec; without `O_NONBLOCK` for a ring, with it for epoll.
pub(crate) fn open(
    domain: Domain,
    kind: Type,
    protocol: Option<Protocol>,
    nonblocking: bool,
) -> io::Result<OwnedFd> {
    #[cfg(feature = "sim")]
    if let Some(world) = World::current() {
        return world.socket(domain.into(), kind.into(), protocol.map_or(0, i32::from));
    }
    let kind = if nonblocking { kind.nonblocking() } else { kind };
    Socket::new(domain, kind.cloexec(), protocol).map(OwnedFd::from)
}

/// `bind(2)`.
pub(crate) fn bind(fd: BorrowedFd<'_>, address: &SockAddr) -> io::Result<()> {
    #[cfg(feature = "sim")]
    if let Some(world) = World::current() {
        return world.bind(fd.as_raw_fd(), address);
    }
    SockRef::from(&fd).bind(address)
}

/// `listen(2)`. More than the system allows is the same as what it allows.
pub(crate) fn listen(fd: BorrowedFd<'_>, backlog: u32) -> io::Result<()> {
    let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
    #[cfg(feature = "sim")]
    if let Some(world) = World::current() {
        return world.listen(fd.as_raw_fd(), backlog);
    }
    SockRef::from(&fd).listen(backlog)
}

/// `connect(2)`, of a Unix socket that has `O_NONBLOCK`: EAGAIN if the listener's backlog is full.
pub(crate) fn connect(fd: BorrowedFd<'_>, address: &SockAddr) -> io::Result<()> {
    #[cfg(feature = "sim")]
    if let Some(world) = World::current() {
        return world.connect(fd.as_raw_fd(), address);
    }
    SockRef::from(&fd).connect(address)
}

/// `getsockname(2)`.
pub(crate) fn local_addr(fd: BorrowedFd<'_>) -> io::Result<SockAddr> {
    #[cfg(feature = "sim")]
    if let Some(world) = World::current() {
        return world.local_addr(fd.as_raw_fd());
    }
    SockRef::from(&fd).local_addr()
}

/// `getpeername(2)`.
pub(crate) fn peer_addr(fd: BorrowedFd<'_>) -> io::Result<SockAddr> {
    #[cfg(feature = "sim")]
    if let Some(world) = World::current() {
        return world.peer_addr(fd.as_raw_fd());
    }
    SockRef::from(&fd).peer_addr()
}

/// The domain of a stream socket that this library could have opened; `None` of any other, and of
/// what is no socket.
pub(crate) fn stream_domain(fd: BorrowedFd<'_>) -> Option<i32> {
    let socket = SockRef::from(&fd);
    let kind = socket.r#type().ok()?;
    let (domain, protocol) = (socket.domain().ok()?, socket.protocol().ok()?);
    let usual = match domain {
        Domain::UNIX => protocol.is_none(),
        _ => protocol == Some(Protocol::TCP),
    };
    (kind == Type::STREAM && usual).then_some(domain.into())
}

/// Runs `apply` on the socket's options. A simulated socket has none: the value is taken as set.
pub(crate) fn with_options<T: Default>(
    fd: BorrowedFd<'_>,
    apply: impl FnOnce(SockRef<'_>) -> io::Result<T>,
) -> io::Result<T> {
    #[cfg(feature = "sim")]
    if World::current().is_some() {
        return Ok(T::default());
    }
    apply(SockRef::from(&fd))
}

/// Sets or clears `O_NONBLOCK`. Returns whether it was otherwise.
pub(crate) fn set_nonblocking(fd: BorrowedFd<'_>, nonblocking: bool) -> io::Result<bool> {
    #[cfg(feature = "sim")]
    if let Some(world) = World::current() {
        return world.set_nonblocking(fd.as_raw_fd(), nonblocking);
    }
    // SAFETY: fcntl with F_GETFL takes no pointer.
    let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) };
    if flags < 0 {
        return Err(io::Error::last_os_error());
    }
    let wanted = if nonblocking { flags | libc::O_NONBLOCK } else { flags & !libc::O_NONBLOCK };
    // SAFETY: fcntl with F_SETFL takes no pointer.
    if wanted != flags && unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, wanted) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(wanted != flags)
}

/// Ends the sending side of a connection. Never waits; what cannot be ended has ended.
pub(crate) fn end_sending(fd: BorrowedFd<'_>) {
    let arguments = [fd.as_raw_fd() as usize, libc::SHUT_WR as usize];
    // SAFETY: the call takes no pointer.
    unsafe { SysCall::new(libc::SYS_shutdown, arguments).run() };
}

/// Closes a descriptor, simulated or real. Works on any thread and during its end.
pub(crate) fn close(fd: OwnedFd) {
    #[cfg(feature = "sim")]
    if let Some(world) = World::current() {
        return world.close(fd);
    }
    let raw = fd.into_raw_fd();
    // SAFETY: `raw` was owned by `fd`, and nothing else closes it. The result is not looked at:
    // on Linux the descriptor is gone also when close fails.
    unsafe { libc::close(raw) };
}
