//! `accept4(2)`: take one connection off a listener.
//!
//! `IORING_OP_ACCEPT`, kernel 5.5.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::ptr;

use io_uring::{opcode, squeue};

use crate::driver::{Call, Held, Operation, SharedFd, Waits};
use crate::sys::call::SysCall;

pub(crate) struct Accept {
    listener: SharedFd,
    /// What the connection is opened as: a ring waits itself.
    nonblocking: bool,
}

impl Accept {
    pub(crate) fn new(listener: SharedFd) -> Self {
        Accept { listener, nonblocking: false }
    }
}

// SAFETY: no pointer is passed.
unsafe impl Call for Accept {
    fn waits(&self) -> Waits<'_> {
        Waits::Readable { fd: &self.listener, held: Held::ByMode }
    }

    fn call(&mut self) -> SysCall {
        self.nonblocking = true;
        let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        SysCall::new(libc::SYS_accept4, [self.listener.argument(), 0, 0, flags as usize])
    }
}

// SAFETY: as above.
unsafe impl Operation for Accept {
    /// The connection; its `O_NONBLOCK` is as the driver wants it.
    type Output = io::Result<SharedFd>;

    fn encode(&mut self) -> Option<squeue::Entry> {
        self.nonblocking = false;
        Some(
            opcode::Accept::new(self.listener.target(), ptr::null_mut(), ptr::null_mut())
                .flags(libc::SOCK_CLOEXEC)
                .build(),
        )
    }

    fn decode(self, outcome: io::Result<u32>) -> Self::Output {
        // SAFETY: the kernel has just opened this descriptor for us, and nobody else knows it.
        let fd = outcome.map(|fd| unsafe { OwnedFd::from_raw_fd(fd as i32) })?;
        Ok(SharedFd::opened(fd, self.nonblocking, self.listener.cut_by()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::driver::{single, submit, within};
    use crate::op::test_sockets::{
        client_of, drop_in_flight, ends, listener, nothing_is_in_flight, pair, poll_once,
    };

    #[corering::test]
    async fn connection_that_waits_is_accepted() -> io::Result<()> {
        let (fd, address) = listener();
        let client = client_of(address);
        let accepted = submit(Accept::new(fd)).await?.try_unwrap().expect("nobody else has it");
        let accepted = std::net::TcpStream::from(accepted);
        assert_eq!(accepted.peer_addr()?, client.local_addr()?);
        Ok(())
    }

    #[corering::test]
    async fn socket_that_does_not_listen_is_an_error() {
        let (fd, _peer) = pair();
        let error = submit(Accept::new(fd)).await.expect_err("it is connected");
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    }

    #[corering::test]
    async fn dropped_in_flight_it_closes_the_listener_and_frees_its_slot() {
        let (fd, address) = listener();
        drop_in_flight(submit(Accept::new(fd))).await;
        nothing_is_in_flight().await;
        let refused = std::net::TcpStream::connect(address).expect_err("nobody listens");
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[corering::test]
    async fn dropped_after_completion_it_closes_the_connection() {
        let (fd, address) = listener();
        let mut accept = submit(Accept::new(fd.clone()));
        assert!(poll_once(&mut accept).await.is_pending());
        let client = client_of(address);
        while corering::metrics().operations_in_flight > 0 {
            corering::yield_now().await;
        }
        drop(accept);
        assert_eq!(corering::metrics().slots_in_use, 0);
        // Without a ring nothing was accepted yet: the connection ends with its listener.
        drop(fd);
        assert!(ends(&client));
    }

    #[corering::test]
    async fn time_limit_ends_it() {
        let (fd, _) = listener();
        let accept = within(Duration::from_millis(1), single(Accept::new(fd)));
        let error = accept.await.expect_err("nobody connects");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        nothing_is_in_flight().await;
    }
}
