//! `ppoll(2)`: wait until a descriptor is ready, for libraries that do their own I/O.
//!
//! `IORING_OP_POLL_ADD`, kernel 5.1. Without a ring the call asks without waiting, and again when
//! epoll reports the descriptor.

use std::io;

use io_uring::{opcode, squeue};

use crate::driver::{Call, Direction, Operand, Operation, SharedFd, Waits};
use crate::sys::call::SysCall;

pub(crate) struct PollAdd {
    fd: SharedFd,
    question: Operand<Question>,
}

/// What the plain call reads, and writes its answer to.
struct Question {
    asked: libc::pollfd,
    /// None: the plain call never waits. The newer architectures have no `poll(2)`, which would take
    /// a number.
    time: libc::timespec,
}

impl PollAdd {
    /// Until a read would not block.
    pub(crate) fn readable(fd: SharedFd) -> Self {
        PollAdd::new(fd, libc::POLLIN | libc::POLLRDHUP)
    }

    /// Until a write would not block.
    pub(crate) fn writable(fd: SharedFd) -> Self {
        PollAdd::new(fd, libc::POLLOUT)
    }

    fn new(fd: SharedFd, events: i16) -> Self {
        let asked = libc::pollfd { fd: fd.raw(), events, revents: 0 };
        let time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        PollAdd { fd, question: Operand::new(Question { asked, time }) }
    }
}

// SAFETY: question and answer are in an operand block, which does not move.
unsafe impl Call for PollAdd {
    fn waits(&self) -> Waits<'_> {
        let is_for_room = self.question.asked.events & libc::POLLOUT != 0;
        let direction = if is_for_room { Direction::Write } else { Direction::Read };
        Waits::Polled { fd: &self.fd, direction }
    }

    fn call(&mut self) -> SysCall {
        let question = self.question.as_mut_ptr();
        // SAFETY: the pointer leads to the question, of which only addresses are taken.
        let (asked, time) = unsafe { (&raw mut (*question).asked, &raw mut (*question).time) };
        SysCall::new(libc::SYS_ppoll, [asked as usize, 1, time as usize, 0, 0])
    }
}

// SAFETY: as above.
unsafe impl Operation for PollAdd {
    type Output = io::Result<()>;

    fn encode(&mut self) -> Option<squeue::Entry> {
        Some(
            opcode::PollAdd::new(self.fd.target(), self.question.asked.events as u16 as u32)
                .build(),
        )
    }

    fn decode(self, outcome: io::Result<u32>) -> Self::Output {
        outcome.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::OwnedFd;
    use std::time::Duration;

    use super::*;
    use crate::driver::{single, submit, within};
    use crate::op::test_sockets::{drop_in_flight, ends, nothing_is_in_flight, pair};

    #[corering::test]
    async fn socket_is_readable_when_bytes_come() -> io::Result<()> {
        let (fd, mut peer) = pair();
        let readable = corering::spawn(submit(PollAdd::readable(fd)));
        corering::yield_now().await;
        assert!(!readable.is_finished());
        peer.write_all(b"x")?;
        readable.await.expect("it does not panic")
    }

    #[corering::test]
    async fn socket_is_readable_when_the_peer_has_hung_up() -> io::Result<()> {
        let (fd, peer) = pair();
        drop(peer);
        submit(PollAdd::readable(fd)).await
    }

    #[corering::test]
    async fn each_wait_tells_the_state_of_its_moment() -> io::Result<()> {
        let (ours, mut peer) = std::os::unix::net::UnixStream::pair()?;
        let fd = SharedFd::from(OwnedFd::from(ours.try_clone()?));
        for _ in 0..3 {
            let early = within(Duration::from_millis(1), single(PollAdd::readable(fd.clone())));
            assert_eq!(early.await.expect_err("empty").kind(), io::ErrorKind::TimedOut);
            peer.write_all(b"x")?;
            submit(PollAdd::readable(fd.clone())).await?;
            // Still readable: nobody has read.
            submit(PollAdd::readable(fd.clone())).await?;
            (&ours).read_exact(&mut [0])?;
        }
        Ok(())
    }

    #[corering::test]
    async fn socket_with_room_is_writable() -> io::Result<()> {
        let (fd, _peer) = pair();
        submit(PollAdd::writable(fd)).await
    }

    #[corering::test]
    async fn file_that_is_always_ready_is_ready() -> io::Result<()> {
        let fd = SharedFd::from(OwnedFd::from(std::fs::File::open("/proc/self/exe")?));
        submit(PollAdd::readable(fd)).await
    }

    #[corering::test]
    async fn mode_that_another_library_has_set_stays() -> io::Result<()> {
        for nonblocking in [false, true] {
            let (ours, mut peer) = std::os::unix::net::UnixStream::pair()?;
            ours.set_nonblocking(nonblocking)?;
            let fd = SharedFd::from(OwnedFd::from(ours));
            let wait = within(Duration::from_millis(1), single(PollAdd::readable(fd.clone())));
            assert_eq!(wait.await.expect_err("empty").kind(), io::ErrorKind::TimedOut);
            peer.write_all(b"x")?;
            submit(PollAdd::readable(fd.clone())).await?;
            submit(PollAdd::writable(fd.clone())).await?;
            // SAFETY: F_GETFL takes no argument.
            let flags = unsafe { libc::fcntl(fd.raw(), libc::F_GETFL) };
            assert_eq!(flags & libc::O_NONBLOCK != 0, nonblocking);
        }
        Ok(())
    }

    #[corering::test]
    async fn dropped_in_flight_it_closes_the_descriptor_and_frees_its_slot() {
        let (fd, peer) = pair();
        drop_in_flight(submit(PollAdd::readable(fd))).await;
        nothing_is_in_flight().await;
        assert!(ends(&peer));
    }

    #[corering::test]
    async fn time_limit_ends_it() {
        let (fd, _peer) = pair();
        let poll = within(Duration::from_millis(1), single(PollAdd::readable(fd)));
        assert_eq!(poll.await.expect_err("empty").kind(), io::ErrorKind::TimedOut);
        nothing_is_in_flight().await;
    }
}
