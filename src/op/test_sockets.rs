//! What the tests of socket operations need: sockets whose other end is the standard library's, and
//! futures that are polled once and dropped.

use std::future::{Future, poll_fn};
use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

use crate::driver::SharedFd;

/// A Unix socket, and its other end, whose reads and writes do not wait.
pub(super) fn pair() -> (SharedFd, UnixStream) {
    let (ours, theirs) = UnixStream::pair().expect("a descriptor is free");
    theirs.set_nonblocking(true).expect("a socket can be non-blocking");
    (SharedFd::from(OwnedFd::from(ours)), theirs)
}

/// A socket that listens, and where.
pub(super) fn listener() -> (SharedFd, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    (SharedFd::from(OwnedFd::from(listener)), address)
}

/// Where connections are neither accepted nor refused: the line of those that wait to be accepted
/// is full. Lasts as long as the two sockets.
pub(super) fn busy_listener() -> (Socket, TcpStream) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a descriptor is free");
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    socket.bind(&any.into()).expect("a port is free");
    socket.listen(0).expect("a bound socket can listen");
    let address = socket.local_addr().expect("it is bound").as_socket().expect("of IP");
    let first = TcpStream::connect(address).expect("there is room for one");
    (socket, first)
}

/// A stream whose peer has what was accepted.
pub(super) fn client_of(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).expect("it listens, and its backlog has room")
}

/// Whether the other end has closed, without waiting for it. What was sent before is passed over.
pub(super) fn has_ended(mut peer: impl Read) -> bool {
    let mut buffer = [0; 4096];
    loop {
        match peer.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == ErrorKind::ConnectionReset,
        }
    }
}

/// Whether the other end closes. What was sent before is passed over. A child that another test has
/// just started has all descriptors for a moment, and keeps what was closed open: that is waited for.
pub(super) fn ends(peer: impl AsFd + Read) -> bool {
    let socket = SockRef::from(&peer);
    socket.set_nonblocking(false).expect("a socket can wait");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket can wait for so long");
    has_ended(peer)
}

/// Polls a future once, with the waker of the calling task.
pub(super) async fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx))).await
}

/// Polls a future, which has to wait, and drops it in flight.
pub(super) async fn drop_in_flight<F: Future + Unpin>(mut future: F) {
    assert!(poll_once(&mut future).await.is_pending(), "it should have had to wait");
    drop(future);
}

/// Lets the loop turn until the kernel and the pool hold nothing any more.
pub(super) async fn nothing_is_in_flight() {
    while crate::metrics().operations_in_flight > 0 {
        crate::yield_now().await;
    }
    assert_eq!(crate::metrics().slots_in_use, 0, "a slot outlived its operation");
}
