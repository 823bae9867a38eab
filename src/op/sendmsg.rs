//! `sendmsg(2)`: send one or several buffers, on a connection or to an address.
//!
//! `IORING_OP_SENDMSG`, kernel 5.3. Always with `MSG_NOSIGNAL`: a peer that is gone is an error of
//! this call and not a signal to the process.

use std::io::{self, IoSlice};

use io_uring::{opcode, squeue};
use libc::iovec;
use socket2::SockAddr;

use super::iovecs::{self, Gather, NOTHING};
use crate::buf::{BufError, BufResult};
use crate::driver::{Call, Driver, Held, Operand, Operation, SharedFd, Waits};
use crate::sys::call::SysCall;

/// As many pieces the kernel takes (`UIO_MAXIOV`).
const PIECES_MAX: usize = 1024;

pub(crate) struct SendMsg<G> {
    fd: SharedFd,
    bufs: G,
    /// Bytes of the buffers that earlier sends have taken.
    begin: usize,
    message: Operand<Message>,
    far: Vec<iovec>,
}

/// What the kernel reads beside the bytes.
struct Message {
    header: libc::msghdr,
    address: Option<SockAddr>,
    near: [iovec; 7],
}

impl<G: Gather> SendMsg<G> {
    /// Sends what is left of the buffers after their first `begin` bytes. Without an address, to the
    /// peer that the socket is connected to.
    pub(crate) fn new(fd: SharedFd, bufs: G, begin: usize, address: Option<SockAddr>) -> Self {
        debug_assert!(begin <= bufs.total());
        let message = Message { header: super::recvmsg::no_header(), address, near: [NOTHING; 7] };
        SendMsg { fd, bufs, begin, message: Operand::new(message), far: Vec::new() }
    }

    fn header(&mut self) -> *mut libc::msghdr {
        let message = &mut *self.message;
        if let Some(address) = &message.address {
            message.header.msg_name = address.as_ptr().cast_mut().cast();
            message.header.msg_namelen = address.len();
        }
        let parts = self.bufs.parts();
        let (list, count) = iovecs::list(parts, self.begin, &mut message.near, &mut self.far);
        message.header.msg_iov = list;
        message.header.msg_iovlen = count as _;
        &raw mut message.header
    }
}

/// Sends what a socket takes at once of several pieces, as if they were one. `None` if it takes nothing.
pub(crate) fn now(
    driver: &Driver,
    fd: &SharedFd,
    pieces: &[IoSlice<'_>],
) -> Option<io::Result<u32>> {
    let pieces = &pieces[..pieces.len().min(PIECES_MAX)];
    let mut header = super::recvmsg::no_header();
    // An `IoSlice` is laid out as an `iovec`, and the kernel only reads.
    header.msg_iov = pieces.as_ptr().cast_mut().cast();
    header.msg_iovlen = pieces.len() as _;
    driver.now(&mut Now { fd, header: &raw mut header })
}

struct Now<'a> {
    fd: &'a SharedFd,
    header: *mut libc::msghdr,
}

// SAFETY: `now` keeps the header and what it points at until the call has been made.
unsafe impl Call for Now<'_> {
    fn waits(&self) -> Waits<'_> {
        Waits::Writable { fd: self.fd, held: Held::ByFlag, tries_first: false }
    }

    fn call(&mut self) -> SysCall {
        call(self.fd, self.header)
    }
}

fn call(fd: &SharedFd, header: *mut libc::msghdr) -> SysCall {
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
    SysCall::new(libc::SYS_sendmsg, [fd.argument(), header as usize, flags as usize])
}

// SAFETY: header, address and list are in an operand block (a long list in a vector), and lead to
// the buffers' memory, which `Gather` keeps in place.
unsafe impl<G: Gather> Call for SendMsg<G> {
    fn waits(&self) -> Waits<'_> {
        let tries_first = self.fd.tries_first();
        Waits::Writable { fd: &self.fd, held: Held::ByFlag, tries_first }
    }

    fn call(&mut self) -> SysCall {
        let header = self.header();
        call(&self.fd, header)
    }
}

// SAFETY: as above.
unsafe impl<G: Gather> Operation for SendMsg<G> {
    type Output = BufResult<usize, G::Whole>;

    fn encode(&mut self) -> Option<squeue::Entry> {
        let header = self.header();
        Some(
            opcode::SendMsg::new(self.fd.target(), header).flags(libc::MSG_NOSIGNAL as u32).build(),
        )
    }

    fn decode(self, outcome: io::Result<u32>) -> Self::Output {
        match outcome {
            Ok(count) => Ok((count as usize, self.bufs.into_whole())),
            Err(error) => Err(BufError::new(error, self.bufs.into_whole())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::UdpSocket;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::driver::submit;
    use crate::op::iovecs::One;

    #[corering::test]
    async fn buffers_are_sent_as_one_after_what_was_sent_before() {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair can be made");
        let ours = SharedFd::from(OwnedFd::from(ours));
        for count in [3, 40] {
            let bufs: Vec<Vec<u8>> = (0..count).map(|n| vec![n; 2]).collect();
            let expected = &bufs.concat()[3..];
            let sent = submit(SendMsg::new(ours.clone(), bufs.clone(), 3, None)).await;
            assert_eq!(sent.expect("there is room").0, expected.len());
            let mut received = vec![0; expected.len()];
            theirs.read_exact(&mut received).expect("it was sent");
            assert_eq!(received, expected);
        }
    }

    #[corering::test]
    async fn a_datagram_goes_to_the_address() {
        let receiver = UdpSocket::bind("127.0.0.1:0").expect("loopback is up");
        let address = SockAddr::from(receiver.local_addr().expect("it is bound"));
        let sender = UdpSocket::bind("127.0.0.1:0").expect("loopback is up");
        let sender = SharedFd::from(OwnedFd::from(sender));
        let sent = submit(SendMsg::new(sender, One("datagram"), 0, Some(address))).await;
        assert_eq!(sent.expect("there is room").0, 8);
        let mut received = [0; 20];
        assert_eq!(receiver.recv(&mut received).expect("it was sent"), 8);
        assert_eq!(&received[..8], b"datagram");
    }

    #[corering::test]
    async fn a_peer_that_is_gone_is_an_error_that_gives_the_buffers_back() {
        let (ours, theirs) = UnixStream::pair().expect("a pair can be made");
        // Closed it might live on for a moment, in a child of another test.
        theirs.shutdown(std::net::Shutdown::Both).expect("it is connected");
        let ours = SharedFd::from(OwnedFd::from(ours));
        let sent = submit(SendMsg::new(ours, vec!["one", "two"], 0, None)).await;
        let (error, bufs) = sent.expect_err("nobody is there").into_parts();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(bufs, ["one", "two"]);
    }
}
