//! `accept4(2)` again and again: every connection that comes to a listener.
//!
//! `IORING_OP_ACCEPT` with `IORING_ACCEPT_MULTISHOT`, kernel 5.19; see
//! `io_uring_prep_multishot_accept(3)`.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use io_uring::{opcode, squeue};

use crate::driver::{Multishot, SharedFd};
use crate::sys::ring::Cqe;

pub(crate) struct AcceptMulti {
    listener: SharedFd,
    queued_max: u32,
}

impl AcceptMulti {
    pub(crate) fn new(listener: SharedFd, queued_max: u32) -> Self {
        AcceptMulti { listener, queued_max }
    }
}

// SAFETY: no pointer is passed.
unsafe impl Multishot for AcceptMulti {
    type Item = io::Result<SharedFd>;

    fn encode(&mut self) -> squeue::Entry {
        opcode::AcceptMulti::new(self.listener.target()).flags(libc::SOCK_CLOEXEC).build()
    }

    fn decode(&mut self, cqe: Cqe) -> Self::Item {
        // SAFETY: the kernel has just opened this descriptor for us, and nobody else knows it.
        let fd = cqe.outcome().map(|fd| unsafe { OwnedFd::from_raw_fd(fd as i32) })?;
        Ok(SharedFd::opened(fd, false, self.listener.cut_by()))
    }

    fn queued_max(&self) -> u32 {
        self.queued_max
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::net::TcpStream;

    use super::*;
    use crate::driver::Multi;
    use crate::op::test_sockets::{client_of, has_ended, listener, nothing_is_in_flight};

    async fn next(accepts: &mut Multi<AcceptMulti>) -> io::Result<Option<TcpStream>> {
        let item = poll_fn(|cx| accepts.poll_next(cx)).await?;
        let fd = item.transpose()?.map(|fd| fd.try_unwrap().expect("nobody else has it"));
        Ok(fd.map(TcpStream::from))
    }

    /// Turns the loop until a condition on the shard's counts holds.
    async fn until(holds: impl Fn(corering::Metrics) -> bool) {
        while !holds(corering::metrics()) {
            corering::yield_now().await;
        }
    }

    #[corering::test(driver = "uring")]
    async fn connections_are_brought_in_the_order_of_their_coming() -> io::Result<()> {
        let (fd, address) = listener();
        let mut accepts = Multi::new(AcceptMulti::new(fd, 64));
        let clients: Vec<_> = (0..10).map(|_| client_of(address)).collect();
        for client in &clients {
            let accepted = next(&mut accepts).await?.expect("it goes on");
            assert_eq!(accepted.peer_addr()?, client.local_addr()?);
        }
        Ok(())
    }

    #[corering::test(driver = "uring")]
    async fn dropped_it_closes_the_connections_that_nobody_took() -> io::Result<()> {
        let (fd, address) = listener();
        let mut accepts = Multi::new(AcceptMulti::new(fd, 64));
        let taken = client_of(address);
        let accepted = next(&mut accepts).await?;
        let left: Vec<_> = (0..5).map(|_| client_of(address)).collect();
        until(|metrics| metrics.completions >= 6).await;
        drop(accepts);
        nothing_is_in_flight().await;
        assert!(left.iter().all(has_ended));
        taken.set_nonblocking(true)?;
        assert!(!has_ended(&taken));
        drop(accepted);
        Ok(())
    }

    #[corering::test(driver = "uring")]
    async fn it_pauses_when_nobody_takes_and_goes_on_when_half_is_taken() -> io::Result<()> {
        let (fd, address) = listener();
        let mut accepts = Multi::new(AcceptMulti::new(fd, 4));
        let clients: Vec<_> = (0..20).map(|_| client_of(address)).collect();
        for (number, client) in clients.iter().enumerate() {
            if number == 1 {
                until(|metrics| metrics.paused_multishots == 1).await;
            }
            let accepted = loop {
                if let Some(accepted) = next(&mut accepts).await? {
                    break accepted;
                }
            };
            assert_eq!(accepted.peer_addr()?, client.local_addr()?);
        }
        Ok(())
    }

    #[corering::test(driver = "uring")]
    async fn socket_that_does_not_listen_is_an_error() -> io::Result<()> {
        let (fd, _peer) = crate::op::test_sockets::pair();
        let mut accepts = Multi::new(AcceptMulti::new(fd, 4));
        let error = next(&mut accepts).await.expect_err("it is connected");
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
        assert!(next(&mut accepts).await?.is_none(), "the error was the last");
        Ok(())
    }
}
