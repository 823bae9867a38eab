//! `shutdown(2)`: end one or both directions of a connection.
//!
//! A plain call, which never blocks. `IORING_OP_SHUTDOWN` (kernel 5.11) exists, but the kernel runs
//! it on a worker thread: dearer than the call, and a cancel that comes before the worker begins
//! would undo what was asked for.

use std::io;

use io_uring::squeue;

use crate::driver::{Call, Operation, SharedFd, Waits};
use crate::sys::call::SysCall;

pub(crate) struct Shutdown {
    fd: SharedFd,
    how: i32,
}

impl Shutdown {
    pub(crate) fn new(fd: SharedFd, how: std::net::Shutdown) -> Self {
        let how = match how {
            std::net::Shutdown::Read => libc::SHUT_RD,
            std::net::Shutdown::Write => libc::SHUT_WR,
            std::net::Shutdown::Both => libc::SHUT_RDWR,
        };
        Shutdown { fd, how }
    }
}

// SAFETY: no pointer is passed.
unsafe impl Call for Shutdown {
    fn waits(&self) -> Waits<'_> {
        Waits::Nothing
    }

    fn call(&mut self) -> SysCall {
        SysCall::new(libc::SYS_shutdown, [self.fd.argument(), self.how as usize])
    }
}

// SAFETY: as above.
unsafe impl Operation for Shutdown {
    type Output = io::Result<()>;

    fn encode(&mut self) -> Option<squeue::Entry> {
        None
    }

    /// A connection that its peer has reset is not connected any more: what was to be ended has
    /// ended, and a server should not have to tell of every client that leaves like this.
    fn decode(self, outcome: io::Result<u32>) -> Self::Output {
        match outcome {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            outcome => outcome.map(drop),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::driver::submit;
    use crate::op::test_sockets::{ends, has_ended, nothing_is_in_flight, pair, poll_once};

    #[corering::test]
    async fn peer_sees_the_end_of_the_sending_side() -> io::Result<()> {
        let (fd, mut peer) = pair();
        assert!(!has_ended(&peer));
        submit(Shutdown::new(fd.clone(), std::net::Shutdown::Write)).await?;
        assert!(ends(&peer));
        peer.write_all(b"the other side goes on")
    }

    #[corering::test]
    async fn peer_cannot_send_to_a_side_that_ended() -> io::Result<()> {
        let (fd, mut peer) = pair();
        submit(Shutdown::new(fd.clone(), std::net::Shutdown::Read)).await?;
        let error = peer.write(b"x").expect_err("nobody will receive it");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        Ok(())
    }

    #[corering::test]
    async fn connection_that_was_reset_has_nothing_to_end() -> io::Result<()> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let ours = std::net::TcpStream::connect(listener.local_addr()?)?;
        let (theirs, _) = listener.accept()?;
        socket2::SockRef::from(&theirs).set_linger(Some(std::time::Duration::ZERO))?;
        drop(theirs);
        // The reset has come when it is told of.
        let error = std::io::Read::read(&mut &ours, &mut [0]).expect_err("it was reset");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        let fd = SharedFd::from(std::os::fd::OwnedFd::from(ours));
        submit(Shutdown::new(fd, std::net::Shutdown::Both)).await
    }

    #[corering::test]
    async fn descriptor_that_is_no_socket_is_an_error() -> io::Result<()> {
        let (reader, _writer) = io::pipe()?;
        let fd = SharedFd::from(std::os::fd::OwnedFd::from(reader));
        let shutdown = submit(Shutdown::new(fd, std::net::Shutdown::Both));
        let error = shutdown.await.expect_err("it is a pipe");
        assert_eq!(error.raw_os_error(), Some(libc::ENOTSOCK));
        Ok(())
    }

    #[corering::test]
    async fn once_polled_it_happens_though_the_future_is_dropped() {
        let (fd, peer) = pair();
        let mut shutdown = submit(Shutdown::new(fd.clone(), std::net::Shutdown::Write));
        let _at_once = poll_once(&mut shutdown).await;
        drop(shutdown);
        nothing_is_in_flight().await;
        assert!(ends(&peer));
        drop(fd);
    }
}
