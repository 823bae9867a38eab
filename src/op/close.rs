//! `close(2)`: close a descriptor and hear about errors, as of a disk that is full.
//!
//! `IORING_OP_CLOSE`, kernel 5.6; on the blocking pool without a ring, since a close may write. What
//! is known to write nothing is closed at once there, as the kernel does it on a ring.
//! Dropping a descriptor closes it, too, at once and without a word.

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, OwnedFd};

use io_uring::{opcode, squeue, types};

use super::nop;
use crate::driver::{self, Call, Disk, Operation, SharedFd, Waits, submit};
use crate::sys;
use crate::sys::call::SysCall;

pub(crate) struct Close {
    fd: ManuallyDrop<OwnedFd>,
    /// The kernel has been asked, so the number is not ours any more, whatever the answer.
    asked: bool,
    at_once: bool,
}

impl Close {
    pub(crate) fn new(fd: OwnedFd) -> Self {
        Close { fd: ManuallyDrop::new(fd), asked: false, at_once: false }
    }

    /// Whether closing it waits for nothing.
    pub(crate) fn at_once(mut self, at_once: bool) -> Self {
        self.at_once = at_once;
        self
    }
}

// SAFETY: no pointer is passed.
unsafe impl Call for Close {
    fn waits(&self) -> Waits<'_> {
        Waits::Disk(if self.at_once { Disk::Cached } else { Disk::Waits })
    }

    fn call(&mut self) -> SysCall {
        self.asked = true;
        SysCall::new(libc::SYS_close, [self.fd.as_raw_fd() as usize])
    }
}

// SAFETY: as above.
unsafe impl Operation for Close {
    type Output = io::Result<()>;

    fn encode(&mut self) -> Option<squeue::Entry> {
        self.asked = true;
        Some(opcode::Close::new(types::Fd(self.fd.as_raw_fd())).build())
    }

    fn ask_memory(&mut self) -> Option<i32> {
        // SAFETY: no pointer is passed. Interrupted or not, it is closed then.
        Some(unsafe { self.call().run() })
    }

    fn decode(mut self, outcome: io::Result<u32>) -> Self::Output {
        // A close that was cancelled before it began has closed nothing, nor has one for which no
        // thread could be had. Any answer of the kernel's, an error included, means that the number
        // is free.
        if let Err(error) = &outcome {
            self.asked = error.raw_os_error().is_some_and(|errno| errno != libc::ECANCELED);
        }
        outcome.map(drop)
    }
}

impl Drop for Close {
    fn drop(&mut self) {
        if !self.asked {
            // SAFETY: the field is not used after this, its owner is being dropped.
            sys::socket::close(unsafe { ManuallyDrop::take(&mut self.fd) });
        }
    }
}

/// The descriptor itself, once the kernel has given back what was in flight on it.
pub(crate) async fn alone(fd: SharedFd) -> io::Result<OwnedFd> {
    if fd.forget_readiness() {
        // A poll in this shard's ring holds the open file: were it closed elsewhere, its peer
        // would not see the end before this shard's next visit to the kernel.
        drop(submit(nop::Nop).await);
    }
    if fd.users() > 1 {
        // A wait for room that was dropped has the file until the ring has ended it.
        driver::dropped_have_ended(|| submit(nop::Nop)).await;
    }
    fd.try_unwrap().map_err(|fd| {
        io::Error::other(format!("{} operations still use the stream", fd.users() - 1))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::{SharedFd, submit};
    use crate::op::test_sockets::{ends, nothing_is_in_flight, pair, poll_once};

    fn only(fd: SharedFd) -> OwnedFd {
        fd.try_unwrap().expect("nobody else uses it")
    }

    #[corering::test]
    async fn peer_sees_the_end() -> io::Result<()> {
        let (fd, peer) = pair();
        submit(Close::new(only(fd))).await?;
        assert!(ends(&peer));
        Ok(())
    }

    #[corering::test]
    async fn dropped_before_it_began_it_closes() {
        let (fd, peer) = pair();
        drop(submit(Close::new(only(fd))));
        assert!(ends(&peer));
    }

    #[corering::test]
    async fn dropped_in_flight_it_closes() {
        let (fd, peer) = pair();
        let mut close = submit(Close::new(only(fd)));
        assert!(poll_once(&mut close).await.is_pending());
        drop(close);
        nothing_is_in_flight().await;
        assert!(ends(&peer));
    }

    #[test]
    fn outside_a_runtime_it_closes_and_says_that_there_is_none() {
        let (fd, peer) = pair();
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        let mut close = std::pin::pin!(submit(Close::new(only(fd))));
        let std::task::Poll::Ready(closed) = close.as_mut().poll(&mut cx) else {
            panic!("there is nothing to wait for")
        };
        assert!(closed.is_err());
        assert!(ends(&peer));
    }
}
