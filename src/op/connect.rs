//! `connect(2)`: connect a socket to an address.
//!
//! `IORING_OP_CONNECT`, kernel 5.5. Without a ring the call is begun, the socket's becoming
//! writable awaited, and the call made again, which then tells how it went.

use std::io;

use io_uring::{opcode, squeue};
use socket2::SockAddr;

use crate::driver::{Call, Held, Operand, Operation, SharedFd, Waits};
use crate::sys::call::SysCall;

pub(crate) struct Connect {
    fd: SharedFd,
    address: Operand<SockAddr>,
}

impl Connect {
    pub(crate) fn new(fd: SharedFd, address: SockAddr) -> Self {
        Connect { fd, address: Operand::new(address) }
    }
}

// SAFETY: the address is in an operand block, which does not move.
unsafe impl Call for Connect {
    fn waits(&self) -> Waits<'_> {
        Waits::Writable { fd: &self.fd, held: Held::ByMode, tries_first: false }
    }

    fn call(&mut self) -> SysCall {
        SysCall::new(
            libc::SYS_connect,
            [self.fd.argument(), self.address.as_ptr() as usize, self.address.len() as usize],
        )
    }
}

// SAFETY: as above.
unsafe impl Operation for Connect {
    type Output = io::Result<()>;

    fn encode(&mut self) -> Option<squeue::Entry> {
        Some(
            opcode::Connect::new(
                self.fd.target(),
                self.address.as_ptr().cast(),
                self.address.len(),
            )
            .build(),
        )
    }

    fn decode(self, outcome: io::Result<u32>) -> Self::Output {
        outcome.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use socket2::{Domain, Type};

    use super::*;
    use crate::driver::{single, submit, within};
    use crate::op::socket::Socket;
    use crate::op::test_sockets::{busy_listener, drop_in_flight, listener, nothing_is_in_flight};

    async fn socket() -> io::Result<SharedFd> {
        let nonblocking = crate::driver::current()?.can().opens_nonblocking;
        submit(Socket::new(Domain::IPV4, Type::STREAM, None, nonblocking)).await
    }

    #[corering::test]
    async fn listener_is_connected_to() -> io::Result<()> {
        let (_listening, address) = listener();
        let fd = socket().await?;
        submit(Connect::new(fd.clone(), address.into())).await?;
        let connected = socket2::SockRef::from(&fd).peer_addr()?;
        assert_eq!(connected.as_socket(), Some(address));
        Ok(())
    }

    #[corering::test]
    async fn port_without_a_listener_refuses() -> io::Result<()> {
        let (listening, address) = listener();
        drop(listening);
        let connect = submit(Connect::new(socket().await?, address.into()));
        let error = connect.await.expect_err("nobody listens");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        Ok(())
    }

    #[corering::test]
    async fn dropped_in_flight_it_frees_its_slot() -> io::Result<()> {
        let (busy, _first) = busy_listener();
        let connect = single(Connect::new(socket().await?, busy.local_addr()?));
        drop_in_flight(connect).await;
        nothing_is_in_flight().await;
        Ok(())
    }

    #[corering::test]
    async fn time_limit_ends_it() -> io::Result<()> {
        let (busy, _first) = busy_listener();
        let connect = single(Connect::new(socket().await?, busy.local_addr()?));
        let error = within(Duration::from_millis(1), connect).await.expect_err("no room");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        nothing_is_in_flight().await;
        Ok(())
    }
}
