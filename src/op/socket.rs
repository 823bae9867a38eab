//! `socket(2)`: open a socket.
//!
//! `IORING_OP_SOCKET`, kernel 5.19; before, and without a ring, a plain call, which never blocks.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use io_uring::{opcode, squeue};
use socket2::{Domain, Protocol, Type};

use crate::driver::{Call, CutBy, Operation, SharedFd, Waits};
use crate::sys::call::SysCall;

pub(crate) struct Socket {
    domain: Domain,
    kind: Type,
    protocol: Option<Protocol>,
    /// Not on a ring, which waits itself.
    nonblocking: bool,
}

impl Socket {
    pub(crate) fn new(
        domain: Domain,
        kind: Type,
        protocol: Option<Protocol>,
        nonblocking: bool,
    ) -> Self {
        Socket { domain, kind, protocol, nonblocking }
    }

    fn kind(&self) -> i32 {
        let nonblocking = if self.nonblocking { libc::SOCK_NONBLOCK } else { 0 };
        i32::from(self.kind) | libc::SOCK_CLOEXEC | nonblocking
    }

    fn protocol(&self) -> i32 {
        self.protocol.map_or(0, i32::from)
    }
}

// SAFETY: no pointer is passed.
unsafe impl Call for Socket {
    fn waits(&self) -> Waits<'_> {
        Waits::Nothing
    }

    fn call(&mut self) -> SysCall {
        SysCall::new(
            libc::SYS_socket,
            [i32::from(self.domain) as usize, self.kind() as usize, self.protocol() as usize],
        )
    }
}

// SAFETY: as above.
unsafe impl Operation for Socket {
    type Output = io::Result<SharedFd>;

    fn encode(&mut self) -> Option<squeue::Entry> {
        Some(opcode::Socket::new(self.domain.into(), self.kind(), self.protocol()).build())
    }

    fn decode(self, outcome: io::Result<u32>) -> Self::Output {
        // SAFETY: the kernel has just opened this descriptor for us, and nobody else knows it.
        let fd = outcome.map(|fd| unsafe { OwnedFd::from_raw_fd(fd as i32) })?;
        let cut_by = match (self.domain, self.kind) {
            (Domain::UNIX, Type::STREAM) => CutBy::MarkOrControl,
            (_, Type::STREAM) if self.protocol == Some(Protocol::TCP) => CutBy::Mark,
            _ => CutBy::Anything,
        };
        Ok(SharedFd::opened(fd, self.nonblocking, cut_by))
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;
    use crate::driver::submit;
    use crate::op::test_sockets::{nothing_is_in_flight, poll_once};

    fn nonblocking() -> bool {
        crate::driver::current().expect("a test has a runtime").can().opens_nonblocking
    }

    fn flags(fd: &SharedFd, command: i32) -> i32 {
        // SAFETY: these commands take no argument.
        unsafe { libc::fcntl(fd.raw(), command) }
    }

    #[corering::test]
    async fn socket_waits_as_the_driver_wants_and_is_closed_by_exec() -> io::Result<()> {
        let fd = submit(Socket::new(Domain::IPV4, Type::STREAM, None, nonblocking())).await?;
        assert_eq!(flags(&fd, libc::F_GETFL) & libc::O_NONBLOCK != 0, nonblocking());
        assert_eq!(flags(&fd, libc::F_GETFD), libc::FD_CLOEXEC);
        assert_eq!(socket2::SockRef::from(&fd.as_fd()).r#type()?, Type::STREAM);
        Ok(())
    }

    #[corering::test]
    async fn kind_that_does_not_exist_is_an_error() {
        let kind = Type::from(9);
        let error = submit(Socket::new(Domain::UNIX, kind, None, nonblocking())).await;
        let error = error.expect_err("there is no such type");
        assert!(
            matches!(error.raw_os_error(), Some(libc::ESOCKTNOSUPPORT | libc::EINVAL)),
            "{error}"
        );
    }

    #[corering::test]
    async fn dropped_in_flight_it_frees_its_slot() {
        let mut socket = submit(Socket::new(Domain::IPV4, Type::STREAM, None, nonblocking()));
        // Without a ring it is there at once.
        let _ = poll_once(&mut socket).await;
        drop(socket);
        nothing_is_in_flight().await;
    }
}
