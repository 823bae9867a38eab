//! `recvmsg(2)`: receive bytes, and from whom they are.
//!
//! A plain call once the socket is readable, on a ring too. `IORING_OP_RECVMSG` (kernel 5.3) exists,
//! but one that was given up takes the next datagram with it, until the kernel has been told; and
//! with an unread error queue, for which the socket counts as ready, each takes a kernel thread.
//! A count below the buffer's capacity is no sign that nothing else has come: of datagrams one is
//! received at a time.

use std::io;
use std::mem::{self, MaybeUninit};

use io_uring::squeue;
use libc::iovec;
use socket2::{SockAddr, SockAddrStorage};

use super::iovecs::NOTHING;
use super::position::TRANSFER_MAX;
use crate::buf::{BufError, BufResult, IoBufMut};
use crate::driver::{Call, Held, Operand, Operation, SharedFd, Waits};
use crate::sys::call::SysCall;

pub(crate) struct RecvMsg<B> {
    fd: SharedFd,
    buf: B,
    message: Operand<Message>,
}

/// What has come.
pub(crate) struct Received {
    /// Bytes in the buffer.
    pub(crate) count: usize,
    /// From whom.
    pub(crate) address: SockAddr,
    /// There was more than the buffer had room for; the rest is lost.
    pub(crate) truncated: bool,
}

/// What the kernel reads and writes beside the bytes.
struct Message {
    header: libc::msghdr,
    address: SockAddrStorage,
    list: iovec,
}

/// A header without an address, a list or control data.
pub(super) fn no_header() -> libc::msghdr {
    // SAFETY: a header is made of integers and pointers, for which zero is a value.
    unsafe { MaybeUninit::<libc::msghdr>::zeroed().assume_init() }
}

impl<B: IoBufMut> RecvMsg<B> {
    pub(crate) fn new(fd: SharedFd, buf: B) -> Self {
        let address = SockAddrStorage::zeroed();
        let message = Message { header: no_header(), address, list: NOTHING };
        RecvMsg { fd, buf, message: Operand::new(message) }
    }

    fn header(&mut self) -> *mut libc::msghdr {
        let message = &mut *self.message;
        message.list.iov_base = self.buf.bytes_mut_ptr().cast();
        message.list.iov_len = self.buf.capacity().min(TRANSFER_MAX);
        message.header.msg_name = (&raw mut message.address).cast();
        message.header.msg_namelen = message.address.size_of();
        message.header.msg_iov = &raw mut message.list;
        message.header.msg_iovlen = 1;
        &raw mut message.header
    }
}

// SAFETY: header, address and list are in an operand block, and lead to the buffer's memory, which
// `IoBufMut` keeps in place.
unsafe impl<B: IoBufMut> Call for RecvMsg<B> {
    fn waits(&self) -> Waits<'_> {
        Waits::Readable { fd: &self.fd, held: Held::ByFlag }
    }

    fn call(&mut self) -> SysCall {
        let header = self.header() as usize;
        SysCall::new(libc::SYS_recvmsg, [self.fd.argument(), header, libc::MSG_DONTWAIT as usize])
    }
}

// SAFETY: as above.
unsafe impl<B: IoBufMut> Operation for RecvMsg<B> {
    type Output = BufResult<Received, B>;

    fn encode(&mut self) -> Option<squeue::Entry> {
        None
    }

    fn decode(mut self, outcome: io::Result<u32>) -> Self::Output {
        let count = match outcome {
            Ok(count) => count as usize,
            Err(error) => return Err(BufError::new(error, self.buf)),
        };
        // SAFETY: the kernel has written `count` bytes from the beginning on.
        unsafe { self.buf.set_len(count) };
        let address = mem::replace(&mut self.message.address, SockAddrStorage::zeroed());
        let len = self.message.header.msg_namelen.min(address.size_of());
        // SAFETY: the kernel has written an address of this length, none if it is 0.
        let address = unsafe { SockAddr::new(address, len) };
        let truncated = self.message.header.msg_flags & libc::MSG_TRUNC != 0;
        Ok((Received { count, address, truncated }, self.buf))
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::OwnedFd;

    use super::*;
    use crate::driver::submit;

    #[corering::test]
    async fn datagrams_come_whole_and_with_their_sender() {
        let receiver = UdpSocket::bind("127.0.0.1:0").expect("loopback is up");
        let to = receiver.local_addr().expect("it is bound");
        let receiver = SharedFd::from(OwnedFd::from(receiver));
        let sender = UdpSocket::bind("127.0.0.1:0").expect("loopback is up");
        let from = sender.local_addr().expect("it is bound");
        let receive = submit(RecvMsg::new(receiver.clone(), Vec::with_capacity(100)));
        let send = async {
            crate::task::yield_now().await;
            sender.send_to(b"first", to).expect("there is room");
            sender.send_to(b"longer than the buffer", to).expect("there is room");
        };
        let (received, ()) = futures_util::join!(receive, send);
        let (received, buf) = received.expect("it was sent");
        assert_eq!((received.count, received.truncated, &buf[..]), (5, false, &b"first"[..]));
        assert_eq!(received.address.as_socket(), Some(from));
        let cut = submit(RecvMsg::new(receiver, Vec::with_capacity(6))).await;
        let (cut, buf) = cut.expect("it was sent");
        assert_eq!((cut.truncated, &buf[..]), (true, &b"longer"[..]));
    }
}
