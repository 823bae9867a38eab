//! What the tests of sockets need: connected pairs, peers that are the standard library's, and waits that end
//! with a condition and not with a time.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice, Read};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use corering::net::{ByteStream, Family, TcpListener, TcpStream, UnixStream};
use corering::{Metrics, ReceivePolicy};
use socket2::{MsgHdr, SockRef};

/// All ways to receive. On epoll they are one.
pub(crate) const POLICIES: [ReceivePolicy; 3] =
    [ReceivePolicy::Adaptive, ReceivePolicy::Completion, ReceivePolicy::Notification];

/// More than the buffers of two sockets hold.
pub(crate) const TOO_MUCH: usize = 16 << 20;

/// A listener on any free port, and where it listens.
pub(crate) async fn listener() -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Two ends of a TCP connection, both of this runtime.
pub(crate) async fn tcp_pair() -> io::Result<(TcpStream, TcpStream)> {
    let (listener, address) = listener().await?;
    let client = TcpStream::connect(address).await?;
    Ok((client, listener.accept().await?))
}

/// A TCP stream of this runtime, and its peer, which blocks.
pub(crate) async fn tcp_peer() -> io::Result<(TcpStream, std::net::TcpStream)> {
    let (listener, address) = listener().await?;
    let peer = std::net::TcpStream::connect(address)?;
    Ok((listener.accept().await?, peer))
}

/// A Unix stream of this runtime, and its peer, whose calls do not wait.
pub(crate) fn unix_peer() -> io::Result<(UnixStream, std::os::unix::net::UnixStream)> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    theirs.set_nonblocking(true)?;
    Ok((std::os::fd::OwnedFd::from(ours).into(), theirs))
}

/// Lets the loop turn until `holds`.
pub(crate) async fn until(mut holds: impl FnMut() -> bool) {
    while !holds() {
        corering::yield_now().await;
    }
}

/// Lets the loop turn until the shard's counts are such.
pub(crate) async fn until_metrics(holds: impl Fn(Metrics) -> bool) {
    until(|| holds(corering::metrics())).await;
}

/// Lets the loop turn until the kernel and the pool hold nothing any more.
pub(crate) async fn nothing_is_in_flight() {
    until_metrics(|metrics| metrics.operations_in_flight == 0).await;
}

/// Polls a future once, with the waker of the calling task.
pub(crate) async fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx))).await
}

/// Polls a future, which has to wait, and drops it in flight.
pub(crate) async fn drop_in_flight<F: Future + Unpin>(mut future: F) {
    assert!(poll_once(&mut future).await.is_pending(), "it should have had to wait");
    drop(future);
}

/// Receives until the end of the stream.
pub(crate) async fn receive_all(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let received = stream.recv().await?;
        if received.is_empty() {
            return Ok(all);
        }
        all.extend_from_slice(&received);
    }
}

/// Answers every byte until the end of the stream.
pub(crate) async fn echo<F: Family>(mut stream: ByteStream<F>) -> io::Result<()> {
    loop {
        let received = stream.recv().await?;
        if received.is_empty() {
            return Ok(());
        }
        stream.write_all(received).await?;
    }
}

/// Whether the other end closes, if not at once. A child that another test starts has a duplicate of
/// it until it runs its own program.
pub(crate) fn ends(mut peer: impl Read) -> bool {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !has_ended(&mut peer) {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}

/// Whether the other end has closed, without waiting for it. What was sent before is passed over.
pub(crate) fn has_ended(mut peer: impl Read) -> bool {
    let mut buffer = [0; 4096];
    loop {
        match peer.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == io::ErrorKind::ConnectionReset,
        }
    }
}

/// Bytes in which a piece that is missing, twice or elsewhere shows.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    let mut random = Random(7);
    let piece: Vec<u8> = (0..len.min(9_973)).map(|_| random.next() as u8).collect();
    let mut whole = piece.repeat(len.div_ceil(piece.len().max(1)));
    whole.truncate(len);
    whole
}

/// A small generator of numbers, the same ones in each run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.next() as usize % end
    }
}

/// Sends bytes and with them a descriptor, by `SCM_RIGHTS`.
pub(crate) fn send_with_descriptor(peer: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    let file = std::fs::File::open("/dev/null")?;
    // A `cmsghdr`, its one number, and what aligns the next.
    let mut control = (size_of::<libc::cmsghdr>() + size_of::<i32>()).to_ne_bytes().to_vec();
    for number in [libc::SOL_SOCKET, libc::SCM_RIGHTS, file.as_raw_fd(), 0] {
        control.extend_from_slice(&number.to_ne_bytes());
    }
    let parts = [IoSlice::new(bytes)];
    let message = MsgHdr::new().with_buffers(&parts).with_control(&control);
    SockRef::from(&peer).sendmsg(&message, 0)
}
