//! Receives that end before they have brought all that is there: at an urgent mark, at descriptors
//! or credentials that came with the bytes, at the end of a packet. What stands behind arrives without more having
//! to come.

#[allow(dead_code)] // Each test file uses a part.
#[path = "common/net.rs"]
mod net;

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Command;

use corering::net::{UnixListener, UnixStream};
use corering::{ReceivePolicy, test_support, yield_now};
use net::{POLICIES, poll_once, send_with_descriptor, tcp_peer};
use socket2::{Domain, SockRef, Socket, Type};

/// Runs a body on both drivers, with each receive policy.
fn on_each_policy<F: Future<Output = io::Result<()>>>(name: &str, body: impl Fn() -> F) {
    for policy in POLICIES {
        let name = format!("{name}, {policy:?}");
        test_support::run_configured(&name, None, |it| it.receive_policy(policy), &body);
    }
}

/// So many bytes in one message change a stream over to notification.
const LARGE: usize = 8192;

/// Brings a stream to where it has received by notification, has drained its socket, and is told of
/// what comes.
macro_rules! settle {
    ($stream:expr, $peer:expr) => {
        ($peer).write_all(&[b'.'; LARGE])?;
        receive!($stream, recv, LARGE);
        assert!(poll_once(&mut $stream.recv()).await.is_pending(), "all was received");
        yield_now().await;
    };
}

/// Receives until there are so many bytes, by one call or the other.
macro_rules! receive {
    ($stream:expr, recv, $len:expr) => {{
        let mut all = Vec::new();
        while all.len() < $len {
            all.extend_from_slice(&$stream.recv().await?);
        }
        all
    }};
    ($stream:expr, read, $len:expr) => {{
        let mut all = Vec::new();
        while all.len() < $len {
            all.extend_from_slice(&$stream.read(Vec::with_capacity(64)).await?.1);
        }
        all
    }};
}

/// Sends `a`, the urgent byte `!`, and `c`.
fn send_around_a_mark(peer: BorrowedFd<'_>) -> io::Result<()> {
    let peer = SockRef::from(&peer);
    peer.send(b"a")?;
    peer.send_out_of_band(b"!")?;
    peer.send(b"c")?;
    Ok(())
}

#[test]
fn bytes_behind_urgent_mark_of_tcp_arrive() {
    on_each_policy("bytes_behind_urgent_mark_of_tcp_arrive", || async {
        let (mut stream, mut peer) = tcp_peer().await?;
        peer.set_nodelay(true)?;
        settle!(stream, peer);
        for _ in 0..3 {
            send_around_a_mark(peer.as_fd())?;
            assert_eq!(receive!(stream, recv, 2), b"ac");
            send_around_a_mark(peer.as_fd())?;
            assert_eq!(receive!(stream, read, 2), b"ac");
        }
        Ok(())
    });
}

#[test]
fn bytes_behind_urgent_mark_of_unix_stream_arrive() {
    on_each_policy("bytes_behind_urgent_mark_of_unix_stream_arrive", || async {
        let (mut stream, mut peer) = own_unix_peer()?;
        settle!(stream, peer);
        for _ in 0..3 {
            send_around_a_mark(peer.as_fd())?;
            assert_eq!(receive!(stream, recv, 2), b"ac");
            send_around_a_mark(peer.as_fd())?;
            assert_eq!(receive!(stream, read, 2), b"ac");
        }
        Ok(())
    });
}

#[test]
fn bytes_behind_mark_whose_byte_another_took_arrive() {
    on_each_policy("bytes_behind_mark_whose_byte_another_took_arrive", || async {
        let (mut stream, mut peer) = tcp_peer().await?;
        peer.set_nodelay(true)?;
        settle!(stream, peer);
        let take = |fd: BorrowedFd<'_>| {
            let mut urgent = [std::mem::MaybeUninit::uninit()];
            SockRef::from(&fd).recv_out_of_band(&mut urgent)
        };
        send_around_a_mark(peer.as_fd())?;
        assert_eq!(take(stream.as_fd())?, 1);
        assert_eq!(receive!(stream, recv, 2), b"ac");
        send_around_a_mark(peer.as_fd())?;
        assert_eq!(take(stream.as_fd())?, 1);
        assert_eq!(receive!(stream, read, 2), b"ac");
        Ok(())
    });
}

/// A Unix stream that the library has opened itself, and its peer, which blocks.
fn own_unix_peer() -> io::Result<(UnixStream, std::os::unix::net::UnixStream)> {
    let (stream, peer) = UnixStream::pair()?;
    let peer = peer.as_fd().try_clone_to_owned()?;
    let peer = std::os::unix::net::UnixStream::from(peer);
    Ok((stream, peer))
}

#[test]
fn bytes_behind_descriptors_arrive() {
    on_each_policy("bytes_behind_descriptors_arrive", || async {
        let (mut stream, mut peer) = own_unix_peer()?;
        settle!(stream, peer);
        for _ in 0..3 {
            assert_eq!(send_with_descriptor(peer.as_fd(), b"with")?, 4);
            peer.write_all(b"without")?;
            assert_eq!(receive!(stream, recv, 11), b"withwithout");
            assert_eq!(send_with_descriptor(peer.as_fd(), b"with")?, 4);
            peer.write_all(b"without")?;
            assert_eq!(receive!(stream, read, 11), b"withwithout");
        }
        Ok(())
    });
}

#[test]
fn bytes_of_another_process_arrive_with_credentials() {
    on_each_policy("bytes_of_another_process_arrive_with_credentials", || async {
        let folder = std::env::temp_dir().join(format!("corering-cut-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let path = folder.join("socket");
        let listener = UnixListener::bind(&path).await?;
        // What is accepted has it from its listener.
        SockRef::from(&listener).set_passcred(true)?;
        let mut peer = std::os::unix::net::UnixStream::connect(&path)?;
        std::fs::remove_dir_all(&folder)?;
        let mut stream = listener.accept().await?;
        settle!(stream, peer);
        let send_by_two = |mut peer: &std::os::unix::net::UnixStream| {
            peer.write_all(b"ours, ")?;
            let inherited = peer.as_fd().try_clone_to_owned()?;
            let sent =
                Command::new("sh").args(["-c", "printf theirs >&0"]).stdin(inherited).status()?;
            assert!(sent.success());
            io::Result::Ok(())
        };
        send_by_two(&peer)?;
        assert_eq!(receive!(stream, recv, 12), b"ours, theirs");
        send_by_two(&peer)?;
        assert_eq!(receive!(stream, read, 12), b"ours, theirs");
        Ok(())
    });
}

#[test]
fn packets_of_socket_from_outside_all_arrive() {
    on_each_policy("packets_of_socket_from_outside_all_arrive", || async {
        let (ours, mut peer) = Socket::pair(Domain::UNIX, Type::SEQPACKET, None)?;
        let mut stream = UnixStream::from(OwnedFd::from(ours));
        settle!(stream, peer);
        for packet in ["one ", "two ", "three"] {
            peer.write_all(packet.as_bytes())?;
        }
        assert_eq!(receive!(stream, recv, 13), b"one two three");
        for packet in ["one ", "two ", "three"] {
            peer.write_all(packet.as_bytes())?;
        }
        assert_eq!(receive!(stream, read, 13), b"one two three");
        Ok(())
    });
}

#[test]
fn end_that_follows_bytes_at_once_is_heard() {
    on_each_policy("end_that_follows_bytes_at_once_is_heard", || async {
        for _ in 0..10 {
            let (ours, mut peer) = std::os::unix::net::UnixStream::pair()?;
            let mut stream = UnixStream::from(OwnedFd::from(ours));
            assert!(poll_once(&mut stream.recv()).await.is_pending(), "nothing was sent");
            yield_now().await;
            // Both before this thread is in the kernel again.
            peer.write_all(b"last words")?;
            peer.shutdown(std::net::Shutdown::Write)?;
            assert_eq!(receive!(stream, recv, 10), b"last words");
            assert!(stream.recv().await?.is_empty());
        }
        Ok(())
    });
}

#[test]
fn stream_handed_on_is_not_asked_in_vain() {
    let policy = ReceivePolicy::Notification;
    let name = "stream_handed_on_is_not_asked_in_vain";
    test_support::run_configured(
        name,
        Some(corering::Driver::Epoll),
        |it| it.receive_policy(policy),
        || async {
            let (stream, mut peer) = own_unix_peer()?;
            let mut stream = stream.detach().await?.into_stream();
            settle!(stream, peer);
            let before = corering::metrics().would_block;
            for _ in 0..10 {
                peer.write_all(b"x")?;
                receive!(stream, recv, 1);
            }
            assert_eq!(corering::metrics().would_block, before);
            io::Result::Ok(())
        },
    );
}
