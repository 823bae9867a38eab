//! UDP: `udp(7)`.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use socket2::{Protocol, Type};

use super::address::{ToAddress, bind, first_of, ip_address, open_at};
use crate::buf::{BufError, BufResult, IoBuf, IoBufMut};
use crate::driver::{CutBy, SharedFd, SingleOperation, single, single_with, submit};
use crate::op::{self, recvmsg::Received};
use crate::sys;
use crate::util::budget;

/// A UDP socket.
///
/// Datagrams go and come whole: one per call. Any number of calls may be in flight at once.
///
/// # Examples
///
/// ```
/// use corering::net::UdpSocket;
///
/// corering::block_on(async {
///     let server = UdpSocket::bind("127.0.0.1:0").await?;
///     let client = UdpSocket::bind("127.0.0.1:0").await?;
///     client.send_to("hello", server.local_addr()?).await?;
///     let (datagram, buf) = server.recv_from(Vec::with_capacity(1500)).await?;
///     assert_eq!((datagram.len, datagram.truncated, &buf[..]), (5, false, &b"hello"[..]));
///     assert_eq!(datagram.from, client.local_addr()?);
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct UdpSocket {
    fd: SharedFd,
}

/// What [`UdpSocket::recv_from`] has received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Datagram {
    /// Bytes in the buffer.
    pub len: usize,
    /// Who has sent it.
    pub from: SocketAddr,
    /// The datagram was longer than the buffer had room for (`MSG_TRUNC`). The rest of it is lost.
    pub truncated: bool,
}

impl UdpSocket {
    /// Opens a socket with an address of its own; port 0 is any free one. Of a name that has
    /// several addresses, the first that can be had.
    ///
    /// # Cancel safety
    ///
    /// A drop leaves nothing: the address is free again.
    ///
    /// # Errors
    ///
    /// `AddrInUse`, `AddrNotAvailable` and the others of `socket(2)` and `bind(2)`; the text names
    /// the address. `InvalidInput` if the text is no address.
    pub async fn bind(address: impl ToAddress) -> io::Result<UdpSocket> {
        budget::pay().await;
        let open = async |address| bind("bind to", address, || bind_to(address)).await;
        first_of(address, open).await.map(|fd| UdpSocket { fd })
    }

    /// Fixes the peer: [`send`](Self::send) goes to it, and only what comes from it is received.
    /// Nothing is sent. Calling it again changes the peer.
    ///
    /// # Cancel safety
    ///
    /// A drop leaves a socket with the old peer or the new one.
    ///
    /// # Errors
    ///
    /// Those of `connect(2)`, for the last address of a name; `InvalidInput` if the text is no
    /// address.
    #[doc(alias = "IORING_OP_CONNECT")]
    pub async fn connect(&self, address: impl ToAddress) -> io::Result<()> {
        let connect = |address| op::connect::Connect::new(self.fd.clone(), address);
        first_of(address, async |address| submit(connect(address.into())).await).await
    }

    /// Sends a datagram to the peer that [`connect`](Self::connect) has fixed.
    ///
    /// # Cancel safety
    ///
    /// A drop leaves a datagram that was sent whole or not at all, and loses the buffer. With a limit
    /// by [`within`](crate::time::within) the buffer comes back.
    ///
    /// # Errors
    ///
    /// Those of `send(2)`, with the buffer: `ConnectionRefused` if an earlier datagram found nobody
    /// there, a datagram that is too long (`EMSGSIZE`), no peer (`EDESTADDRREQ`).
    #[doc(alias = "IORING_OP_SEND")]
    pub fn send<B: IoBuf>(
        &self,
        buf: B,
    ) -> impl SingleOperation<Output = BufResult<usize, B>> + use<B> {
        single(op::send::Send::new(self.fd.clone(), buf, 0))
    }

    /// Sends a datagram to an address.
    ///
    /// # Cancel safety
    ///
    /// As [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// Those of `sendto(2)`, with the buffer: a datagram that is too long (`EMSGSIZE`),
    /// `NetworkUnreachable`, `PermissionDenied` for a broadcast.
    #[doc(alias = "IORING_OP_SENDMSG")]
    pub fn send_to<B: IoBuf>(
        &self,
        buf: B,
        address: SocketAddr,
    ) -> impl SingleOperation<Output = BufResult<usize, B>> + use<B> {
        single(op::sendmsg::SendMsg::new(
            self.fd.clone(),
            op::iovecs::One(buf),
            0,
            Some(address.into()),
        ))
    }

    /// Receives a datagram into the buffer, from its beginning up to its capacity, and makes it as
    /// long as what came. What does not fit is lost; [`recv_from`](Self::recv_from) says whether
    /// that was so. 0 is a datagram without bytes, or, as POSIX has it, one for which the buffer
    /// had no room.
    ///
    /// # Cancel safety
    ///
    /// A drop leaves every datagram for the next call, and loses the buffer. With a limit by
    /// [`within`](crate::time::within) the buffer comes back.
    ///
    /// # Errors
    ///
    /// Those of `recv(2)`, with the buffer: on a connected socket `ConnectionRefused` if an earlier
    /// datagram found nobody there.
    #[doc(alias = "recvmsg")]
    pub fn recv<B: IoBufMut>(
        &self,
        buf: B,
    ) -> impl SingleOperation<Output = BufResult<usize, B>> + use<B> {
        let receive = op::recvmsg::RecvMsg::new(self.fd.clone(), buf);
        single_with(Ok(receive), |outcome| outcome.map(|(received, buf)| (received.count, buf)))
    }

    /// Receives a datagram as [`recv`](Self::recv) does, and says from whom it is and whether it
    /// was cut.
    ///
    /// # Cancel safety
    ///
    /// As [`recv`](Self::recv).
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    #[doc(alias = "recvmsg")]
    pub fn recv_from<B: IoBufMut>(
        &self,
        buf: B,
    ) -> impl SingleOperation<Output = BufResult<Datagram, B>> + use<B> {
        let receive = op::recvmsg::RecvMsg::new(self.fd.clone(), buf);
        single_with(Ok(receive), |outcome| {
            let (Received { count: len, address, truncated }, buf) = outcome?;
            match ip_address(&address) {
                Ok(from) => Ok((Datagram { len, from, truncated }, buf)),
                Err(error) => Err(BufError::new(error, buf)),
            }
        })
    }

    /// The socket's own address.
    ///
    /// # Errors
    ///
    /// Those of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        ip_address(&sys::socket::local_addr(self.fd.as_fd())?)
    }

    /// The address that [`connect`](Self::connect) has fixed.
    ///
    /// # Errors
    ///
    /// `NotConnected` if there is none, and the others of `getpeername(2)`.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        ip_address(&sys::socket::peer_addr(self.fd.as_fd())?)
    }
}

fn bind_to(address: SocketAddr) -> io::Result<SharedFd> {
    open_at(&address.into(), Type::DGRAM, Some(Protocol::UDP), CutBy::Anything, |_| Ok(()))
}

impl From<std::net::UdpSocket> for UdpSocket {
    /// Takes over a socket. Its `O_NONBLOCK`, which others may share, stays as it is.
    fn from(socket: std::net::UdpSocket) -> Self {
        UdpSocket { fd: SharedFd::from(OwnedFd::from(socket)) }
    }
}

impl AsFd for UdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.expose()
    }
}

impl AsRawFd for UdpSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpSocket").field("fd", &self.fd.raw()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;
    use std::future::{Future, poll_fn};
    use std::io::ErrorKind;
    use std::pin::Pin;
    use std::task::Poll;
    use std::time::Duration;

    use futures_util::future::FusedFuture;

    use super::*;
    use crate::time::{now, within};
    use crate::{metrics, yield_now};

    async fn local() -> UdpSocket {
        UdpSocket::bind("127.0.0.1:0").await.expect("loopback is up")
    }

    async fn pair() -> io::Result<(UdpSocket, UdpSocket)> {
        let (one, other) = (local().await, local().await);
        one.connect(other.local_addr()?).await?;
        other.connect(one.local_addr()?).await?;
        Ok((one, other))
    }

    #[corering::test]
    async fn datagrams_come_one_by_one_with_their_senders() -> io::Result<()> {
        let receiver = local().await;
        let to = receiver.local_addr()?;
        let senders = [local().await, local().await];
        for (sender, text) in senders.iter().zip(["one", "another"]) {
            assert_eq!(sender.send_to(text, to).await?, (text.len(), text));
        }
        for (sender, text) in senders.iter().zip(["one", "another"]) {
            let (datagram, buf) = receiver.recv_from(Vec::with_capacity(100)).await?;
            let from = sender.local_addr()?;
            assert_eq!(datagram, Datagram { len: text.len(), from, truncated: false });
            assert_eq!(buf, text.as_bytes());
        }
        Ok(())
    }

    #[corering::test]
    async fn a_connected_socket_knows_its_peer() -> io::Result<()> {
        let (one, other) = pair().await?;
        assert_eq!(one.peer_addr()?, other.local_addr()?);
        one.send("question").await?;
        assert_eq!(other.recv(Vec::with_capacity(100)).await?.1, b"question");
        // Nobody else is heard.
        local().await.send_to("interruption", one.local_addr()?).await?;
        other.send("answer").await?;
        assert_eq!(one.recv(Vec::with_capacity(100)).await?.1, b"answer");
        assert_eq!(local().await.peer_addr().expect_err("no peer").kind(), ErrorKind::NotConnected);
        Ok(())
    }

    #[corering::test]
    async fn a_burst_is_received_to_its_last_datagram() -> io::Result<()> {
        let (one, other) = pair().await?;
        // The first receive has to wait, so that readiness is known from then on.
        let receiving = async {
            for n in 0..50_u8 {
                assert_eq!(other.recv(Vec::with_capacity(1500)).await?.1, [n]);
            }
            Ok::<(), io::Error>(())
        };
        let sending = async {
            yield_now().await;
            for n in 0..50_u8 {
                one.send(vec![n]).await?;
            }
            Ok(())
        };
        futures_util::try_join!(receiving, sending).map(drop)
    }

    #[corering::test]
    async fn an_empty_datagram_is_one_too_and_a_long_one_is_cut() -> io::Result<()> {
        let (one, other) = pair().await?;
        one.send("").await?;
        one.send("longer than that").await?;
        assert_eq!(other.recv(vec![9; 4]).await?, (0, vec![]));
        assert_eq!(&*other.recv(vec![0; 6].into_boxed_slice()).await?.1, b"longer");
        Ok(())
    }

    #[corering::test]
    async fn datagram_that_was_cut_says_so() -> io::Result<()> {
        let (one, other) = pair().await?;
        for (room, truncated) in [(16, false), (15, true), (0, true)] {
            one.send("sixteen or fewer").await?;
            let buf = vec![0; room].into_boxed_slice();
            let (datagram, buf) = other.recv_from(buf).await?;
            assert_eq!((datagram.len, datagram.truncated), (room, truncated));
            assert_eq!(*buf, b"sixteen or fewer"[..room]);
        }
        Ok(())
    }

    #[corering::test]
    async fn a_datagram_that_no_network_carries_gives_the_buffer_back() -> io::Result<()> {
        let (one, _other) = pair().await?;
        let failed = one.send(vec![1; 70_000]).await.expect_err("it is too long");
        assert_eq!(failed.error.raw_os_error(), Some(libc::EMSGSIZE));
        assert_eq!(failed.buf().len(), 70_000);
        let failed = local().await.send("to whom").await.expect_err("it has no peer");
        assert_eq!(failed.error.raw_os_error(), Some(libc::EDESTADDRREQ));
        Ok(())
    }

    #[corering::test]
    async fn a_peer_that_is_not_there_is_heard_of() -> io::Result<()> {
        let (one, other) = pair().await?;
        drop(other);
        for _ in 0..200 {
            one.send("anybody there").await?;
            let received =
                within(Duration::from_millis(50), one.recv(Vec::with_capacity(10))).await;
            match received.expect_err("nobody").kind() {
                ErrorKind::ConnectionRefused => return Ok(()),
                // It lives on for a moment, in a child of another test.
                kind => assert_eq!(kind, ErrorKind::TimedOut),
            }
        }
        panic!("the peer is there still");
    }

    #[corering::test]
    async fn a_receive_without_a_sender_ends_at_its_limit_and_loses_nothing() -> io::Result<()> {
        let (one, other) = pair().await?;
        let receive = within(Duration::from_millis(2), other.recv(b"mine".to_vec()));
        let failed = receive.await.expect_err("nothing was sent");
        assert_eq!((failed.kind(), &failed.buf()[..]), (ErrorKind::TimedOut, &b"mine"[..]));
        one.send("late").await?;
        assert_eq!(other.recv(Vec::with_capacity(9)).await?.1, b"late");
        Ok(())
    }

    #[corering::test]
    async fn datagram_that_comes_with_the_limit_wins() -> io::Result<()> {
        let (one, other) = pair().await?;
        let mut receive = within(Duration::ZERO, other.recv(Vec::with_capacity(9)));
        let pending = poll_fn(|cx| Poll::Ready(Pin::new(&mut receive).poll(cx).is_pending())).await;
        assert!(pending, "nothing was sent");
        one.send("on time").await?;
        // One round tells of the datagram and of the limit.
        let over = now() + Duration::from_millis(2);
        while now() < over {}
        assert_eq!(receive.await?.1, b"on time");
        Ok(())
    }

    #[corering::test]
    async fn datagram_around_a_limit_comes_now_or_next() -> io::Result<()> {
        let (one, other) = pair().await?;
        for rounds in 0..12_u8 {
            let receiving = within(Duration::ZERO, other.recv(b"mine".to_vec()));
            let sending = async {
                for _ in 0..rounds {
                    yield_now().await;
                }
                one.send(vec![rounds]).await
            };
            let (received, sent) = futures_util::join!(receiving, sending);
            sent?;
            let datagram = match received {
                Ok((_, datagram)) => datagram,
                Err(failed) => {
                    assert_eq!((failed.kind(), failed.transferred()), (ErrorKind::TimedOut, 0));
                    assert_eq!(failed.buf(), b"mine");
                    other.recv(Vec::with_capacity(9)).await?.1
                }
            };
            assert_eq!(datagram, [rounds]);
        }
        Ok(())
    }

    #[corering::test]
    async fn every_operation_can_be_held_without_its_socket() -> io::Result<()> {
        fn held<F: FusedFuture + Unpin + Debug + 'static>(_: &F) {}

        let (one, other) = pair().await?;
        held(&one.send("text"));
        held(&one.send_to("text", other.local_addr()?));
        held(&one.recv_from(vec![0]));
        let mut receive = other.recv(vec![0; 4]);
        held(&receive);
        drop(other);
        one.send("text").await?;
        assert_eq!((&mut receive).await?.1, b"text");
        assert!(receive.is_terminated());
        assert_eq!(format!("{receive:?}"), "RecvMsg(over)");
        Ok(())
    }

    #[corering::test]
    async fn dropped_receives_take_no_datagram() -> io::Result<()> {
        let (one, other) = pair().await?;
        for rounds in 0..5_u8 {
            let mut dropped: Vec<_> = (0..3).map(|_| other.recv(Vec::with_capacity(9))).collect();
            let pending = poll_fn(|cx| {
                let polls = dropped.iter_mut().map(|receive| Pin::new(receive).poll(cx));
                Poll::Ready(polls.filter(Poll::is_pending).count())
            });
            assert_eq!(pending.await, 3, "nothing was sent");
            one.send(vec![rounds]).await?;
            for _ in 0..rounds {
                yield_now().await;
            }
            // The datagram has come, and nobody has taken it yet.
            drop(dropped);
            assert_eq!(other.recv(Vec::with_capacity(9)).await?.1, [rounds]);
        }
        Ok(())
    }

    #[corering::test]
    async fn drop_while_in_flight_closes_the_socket() -> io::Result<()> {
        let socket = local().await;
        let address = socket.local_addr()?;
        let mut receive = socket.recv_from(Vec::with_capacity(10));
        let pending = poll_fn(|cx| Poll::Ready(Pin::new(&mut receive).poll(cx).is_pending())).await;
        assert!(pending, "nothing was sent");
        drop((receive, socket));
        while metrics().operations_in_flight > 0 {
            yield_now().await;
        }
        UdpSocket::bind(address).await.map(drop)
    }

    #[corering::test]
    async fn an_address_that_is_taken_is_named() -> io::Result<()> {
        let first = local().await;
        let address = first.local_addr()?;
        let error = UdpSocket::bind(address).await.expect_err("it is taken");
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&address.to_string()), "{error}");
        assert!(UdpSocket::bind("localhost:0").await.is_ok());
        Ok(())
    }
}
