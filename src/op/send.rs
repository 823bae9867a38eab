//! `send(2)`: send bytes on a connected socket.
//!
//! `IORING_OP_SEND`, kernel 5.6. Always with `MSG_NOSIGNAL`: a peer that is gone is an error of
//! this call and not a signal to the process.

use std::io;
use std::task::{Poll, Waker};

use io_uring::{opcode, squeue};

use super::position::TRANSFER_MAX;
use crate::buf::{BufError, BufResult, IoBuf};
use crate::driver::{Call, Driver, Held, Operation, SharedFd, Waits};
use crate::sys::call::SysCall;
use crate::util::budget::Toll;

pub(crate) struct Send<B> {
    fd: SharedFd,
    buf: B,
    /// Bytes of the buffer that earlier sends have taken.
    begin: usize,
    flags: i32,
}

impl<B: IoBuf> Send<B> {
    /// Sends what is left of the buffer after its first `begin` bytes.
    pub(crate) fn new(fd: SharedFd, buf: B, begin: usize) -> Self {
        debug_assert!(begin <= buf.bytes_len());
        Send { fd, buf, begin, flags: libc::MSG_NOSIGNAL }
    }

    /// More follows at once: the kernel may wait for it, and let both leave together.
    pub(crate) fn with_more(mut self) -> Self {
        self.flags |= libc::MSG_MORE;
        self
    }

    fn ptr(&self) -> *const u8 {
        // SAFETY: `begin` is within the buffer's bytes.
        unsafe { self.buf.bytes_ptr().add(self.begin) }
    }

    fn len(&self) -> usize {
        (self.buf.bytes_len() - self.begin).min(TRANSFER_MAX)
    }
}

/// Sends what a socket takes at once. `Ready(None)` if it takes nothing, `Pending` if the task has
/// used its budget up. If `more` follows at once, the kernel may let both leave together.
#[inline(always)]
pub(crate) fn now(
    driver: &Driver,
    fd: &SharedFd,
    bytes: &[u8],
    more: bool,
    toll: &mut Toll,
    waker: &Waker,
) -> Poll<Option<io::Result<u32>>> {
    let flags = libc::MSG_NOSIGNAL | if more { libc::MSG_MORE } else { 0 };
    driver.begin_now(&mut Now { fd, bytes, flags }, toll, waker)
}

/// Sends what a socket takes at once. `None` if it takes nothing.
#[inline]
pub(crate) fn lent(driver: &Driver, fd: &SharedFd, bytes: &[u8]) -> Option<io::Result<u32>> {
    driver.now(&mut Now { fd, bytes, flags: libc::MSG_NOSIGNAL })
}

struct Now<'a> {
    fd: &'a SharedFd,
    bytes: &'a [u8],
    flags: i32,
}

// SAFETY: the bytes are borrowed.
unsafe impl Call for Now<'_> {
    #[inline(always)]
    fn waits(&self) -> Waits<'_> {
        waits(self.fd)
    }

    #[inline(always)]
    fn call(&mut self) -> SysCall {
        call(self.fd, self.bytes.as_ptr(), self.bytes.len(), self.flags)
    }
}

#[inline(always)]
fn waits(fd: &SharedFd) -> Waits<'_> {
    Waits::Writable { fd, held: Held::ByFlag, tries_first: false }
}

#[inline(always)]
fn call(fd: &SharedFd, begin: *const u8, len: usize, flags: i32) -> SysCall {
    let flags = flags | libc::MSG_DONTWAIT;
    SysCall::new(libc::SYS_sendto, [fd.argument(), begin as usize, len, flags as usize])
}

// SAFETY: the pointer leads to the buffer's memory, which `IoBuf` keeps in place.
unsafe impl<B: IoBuf> Call for Send<B> {
    fn waits(&self) -> Waits<'_> {
        waits(&self.fd)
    }

    fn call(&mut self) -> SysCall {
        call(&self.fd, self.ptr(), self.len(), self.flags)
    }
}

// SAFETY: as above.
unsafe impl<B: IoBuf> Operation for Send<B> {
    type Output = BufResult<usize, B>;

    fn encode(&mut self) -> Option<squeue::Entry> {
        Some(
            opcode::Send::new(self.fd.target(), self.ptr(), self.len() as u32)
                .flags(self.flags)
                .build(),
        )
    }

    fn decode(self, outcome: io::Result<u32>) -> Self::Output {
        match outcome {
            Ok(count) => Ok((count as usize, self.buf)),
            Err(error) => Err(BufError::new(error, self.buf)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::time::Duration;

    use super::*;
    use crate::driver::{single, submit, within};
    use crate::op::test_sockets::{drop_in_flight, ends, nothing_is_in_flight, pair};

    /// More than two sockets hold.
    const TOO_MUCH: usize = 8 << 20;

    /// Sends until the socket takes no more at once.
    async fn fill(fd: &SharedFd) -> io::Result<()> {
        let (sent, _) =
            within(Duration::from_millis(1), single(Send::new(fd.clone(), vec![0; TOO_MUCH], 0)))
                .await?;
        assert!(sent < TOO_MUCH);
        Ok(())
    }

    #[corering::test]
    async fn bytes_after_the_beginning_arrive() -> io::Result<()> {
        let (fd, mut peer) = pair();
        let (count, buf) = submit(Send::new(fd, "hello", 2)).await?;
        assert_eq!((count, buf), (3, "hello"));
        let mut got = [0; 8];
        assert_eq!(peer.read(&mut got)?, 3);
        assert_eq!(got[..3], *b"llo");
        Ok(())
    }

    #[corering::test]
    async fn peer_that_is_gone_is_an_error_with_the_buffer() {
        let (fd, peer) = pair();
        // Closed it might live on for a moment, in a child of another test.
        peer.shutdown(std::net::Shutdown::Both).expect("it is connected");
        let failed = submit(Send::new(fd, b"mine".to_vec(), 0)).await.expect_err("nobody reads");
        let (error, buf) = failed.into_parts();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(buf, b"mine");
    }

    #[corering::test]
    async fn dropped_in_flight_it_closes_the_descriptor_and_frees_its_slot() -> io::Result<()> {
        let (fd, peer) = pair();
        fill(&fd).await?;
        drop_in_flight(submit(Send::new(fd, vec![0; TOO_MUCH], 0))).await;
        nothing_is_in_flight().await;
        assert!(ends(&peer));
        Ok(())
    }

    #[corering::test]
    async fn time_limit_gives_the_buffer_back() -> io::Result<()> {
        let (fd, _peer) = pair();
        fill(&fd).await?;
        let send = within(Duration::from_millis(1), single(Send::new(fd, b"mine".to_vec(), 0)));
        let (error, buf) = send.await.expect_err("the socket is full").into_parts();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(buf, b"mine");
        Ok(())
    }

    #[corering::test]
    async fn full_socket_is_sent_to_when_the_peer_has_read() -> io::Result<()> {
        let (fd, mut peer) = pair();
        fill(&fd).await?;
        let send = corering::spawn(submit(Send::new(fd, "last", 0)));
        corering::yield_now().await;
        assert!(!send.is_finished());
        let mut got = Vec::new();
        let mut buffer = vec![0; 1 << 16];
        while !send.is_finished() {
            if let Ok(count) = peer.read(&mut buffer) {
                got = buffer[..count].to_vec();
            }
            corering::yield_now().await;
        }
        assert_eq!(send.await.expect("it does not panic")?.0, 4);
        while let Ok(count) = peer.read(&mut buffer) {
            if count == 0 {
                break;
            }
            got = buffer[..count].to_vec();
        }
        assert!(got.ends_with(b"last"));
        Ok(())
    }
}
