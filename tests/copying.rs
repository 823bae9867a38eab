//! Copies between streams: ends of either side, sides that stall or break, and copies that are dropped.

#[allow(dead_code)] // Each test file uses a part.
#[path = "common/child.rs"]
mod child;
#[allow(dead_code)] // Each test file uses a part.
#[path = "common/net.rs"]
mod net;

use std::cell::Cell;
use std::future::Future;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::thread;

use child::Child;
use corering::Builder;
use corering::buf::RecvBuf;
use corering::io::{
    DuplexStream, Lend, OwnedRead, OwnedWrite, PollWrite, Side, copy, copy_bidirectional, duplex,
};
use corering::net::{TcpStream, UnixStream};
use corering::test_support::run_configured;
use corering::{spawn, yield_now};
use net::{POLICIES, TOO_MUCH, pattern, poll_once, tcp_pair, tcp_peer, until};
use socket2::SockRef;

/// Runs a body on both drivers with each receive policy.
fn with_each_policy<F: Future<Output = io::Result<()>>>(name: &str, body: impl Fn() -> F) {
    for policy in POLICIES {
        let configure = |builder: Builder| builder.receive_policy(policy).buffer_group(16, 4096);
        run_configured(&format!("{name}, {policy:?}"), None, configure, &body);
    }
}

/// All that can come of a stream.
async fn read_to_end(stream: &mut impl Lend) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let part = stream.lend().await?;
        if part.is_empty() {
            return Ok(all);
        }
        all.extend_from_slice(&part);
    }
}

/// Bytes go both ways, one side ends first, and the other goes on.
async fn half_closes<S>((client, front): (S, S), (back, server): (S, S)) -> io::Result<()>
where
    S: OwnedRead + OwnedWrite + Lend + PollWrite + 'static,
{
    let (mut client, mut server, mut front, mut back) = (client, server, front, back);
    let proxy = spawn(async move { copy_bidirectional(&mut front, &mut back).await });
    client.write_all("question").await?;
    client.shutdown().await?;
    assert_eq!(read_to_end(&mut server).await?, b"question");
    let answer = pattern(300_000);
    let sent = answer.clone();
    let sender = spawn(async move {
        server.write_all(sent).await?;
        server.shutdown().await?;
        io::Result::Ok(server)
    });
    assert!(read_to_end(&mut client).await? == answer);
    drop(sender.await.expect("it does not panic")?);
    assert_eq!(proxy.await.expect("it does not panic")?, (8, 300_000));
    Ok(())
}

#[test]
fn half_close_passes_in_both_directions() {
    with_each_policy("half_close_passes_in_both_directions", || async {
        half_closes(tcp_pair().await?, tcp_pair().await?).await?;
        let (back, server) = tcp_pair().await?;
        // The other one ends first.
        half_closes((server, back), tcp_pair().await?).await?;
        half_closes(UnixStream::pair()?, UnixStream::pair()?).await?;
        half_closes(duplex(1000), duplex(64)).await
    });
}

#[test]
fn much_passes_whole_in_both_directions_at_once() {
    with_each_policy("much_passes_whole_in_both_directions_at_once", || async {
        let ((mut front, client), (mut back, server)) = (tcp_peer().await?, tcp_peer().await?);
        let peers = [client, server].map(|mut peer| {
            let mut reader = peer.try_clone().expect("descriptors are left");
            let sender = thread::spawn(move || {
                peer.write_all(&pattern(TOO_MUCH))?;
                peer.shutdown(std::net::Shutdown::Write)
            });
            let receiver = thread::spawn(move || {
                let mut received = Vec::new();
                reader.read_to_end(&mut received).map(|_| received == pattern(TOO_MUCH))
            });
            (sender, receiver)
        });
        let copied = copy_bidirectional(&mut front, &mut back).await?;
        assert_eq!(copied, (TOO_MUCH as u64, TOO_MUCH as u64));
        for (sender, receiver) in peers {
            until(|| sender.is_finished() && receiver.is_finished()).await;
            sender.join().expect("it does not panic")?;
            assert!(receiver.join().expect("it does not panic")?, "other bytes have come");
        }
        Ok(())
    });
}

#[corering::test]
async fn copy_of_nothing_ends_at_once() -> io::Result<()> {
    let (mut one, mut other) = tcp_pair().await?;
    one.shutdown(std::net::Shutdown::Write).await?;
    assert_eq!(copy(&mut other, &mut one).await.expect("nothing is written"), 0);
    let (mut one, mut other) = duplex(1);
    let (mut third, mut fourth) = duplex(1);
    other.shutdown().await?;
    fourth.shutdown().await?;
    assert_eq!(copy_bidirectional(&mut one, &mut third).await?, (0, 0));
    assert!(other.lend().await?.is_empty() && fourth.lend().await?.is_empty());
    Ok(())
}

#[corering::test]
async fn copy_leaves_the_sending_side_open() -> io::Result<()> {
    let ((mut client, mut front), (mut back, mut server)) = (tcp_pair().await?, tcp_pair().await?);
    client.write_all("first").await?;
    client.close().await?;
    assert_eq!(copy(&mut front, &mut back).await?, 5);
    back.write_all(", second").await?;
    assert_eq!(server.read_exact(Vec::with_capacity(13), 13).await?, b"first, second");
    Ok(())
}

/// Closes a connection by a reset.
fn reset(peer: std::net::TcpStream) -> io::Result<()> {
    SockRef::from(&peer).set_linger(Some(std::time::Duration::ZERO))
}

#[test]
fn reset_of_either_side_is_told_with_its_name() {
    with_each_policy("reset_of_either_side_is_told_with_its_name", || async {
        for side in [Side::First, Side::Second] {
            let ((front, client), (back, server)) = (tcp_peer().await?, tcp_peer().await?);
            let (mut broken, peer, mut whole, mut other) = match side {
                Side::First => (front, client, back, server),
                Side::Second => (back, server, front, client),
            };
            let task = spawn(async move {
                let copied = match side {
                    Side::First => copy_bidirectional(&mut broken, &mut whole).await,
                    Side::Second => copy_bidirectional(&mut whole, &mut broken).await,
                };
                (copied, whole)
            });
            other.write_all(b"before")?;
            let peer = thread::spawn(move || {
                let mut peer = peer;
                peer.read_exact(&mut [0; 6]).and_then(|()| reset(peer))
            });
            until(|| peer.is_finished()).await;
            peer.join().expect("it does not panic")?;
            let (copied, mut whole) = task.await.expect("it does not panic");
            let failed = copied.expect_err("it was reset");
            assert_eq!((failed.side, failed.error.kind()), (side, ErrorKind::ConnectionReset));
            // The other connection is as good as it was.
            whole.write_all("after").await?;
            other.read_exact(&mut [0; 5])?;
            other.write_all(b"too")?;
            assert_eq!(whole.recv().await?, "too");
        }
        Ok(())
    });
}

#[corering::test]
async fn bytes_for_a_broken_writer_go_back_to_the_reader() -> io::Result<()> {
    let ((mut client, mut front), (mut back, server)) = (duplex(100), duplex(4));
    client.write_all("0123456789").await?;
    let failed = {
        let mut copying = pin!(copy(&mut front, &mut back));
        assert!(poll_once(&mut copying.as_mut()).await.is_pending());
        drop(server);
        copying.await.expect_err("nobody reads")
    };
    assert_eq!((failed.side, failed.error.kind()), (Side::Second, ErrorKind::BrokenPipe));
    assert_eq!(front.lend().await?, "456789");
    Ok(())
}

/// A stream that is asked for bytes, and counts how often.
struct Counted<R> {
    reader: R,
    asked: Rc<Cell<usize>>,
}

impl<R: Lend> Lend for Counted<R> {
    fn poll_lend(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<RecvBuf>> {
        self.asked.set(self.asked.get() + 1);
        self.reader.poll_lend(cx)
    }

    fn put_back(&mut self, bytes: RecvBuf) {
        self.reader.put_back(bytes);
    }
}

/// Whether a thousand bytes wait at an end of a stream in memory.
fn is_full(stream: &DuplexStream) -> bool {
    format!("{stream:?}").contains("incoming: 1000,")
}

/// What a test lets through of what is written.
#[derive(Default)]
struct Gate {
    room: Cell<usize>,
    taken: Cell<usize>,
    has_refused: Cell<bool>,
}

struct Gated(Rc<Gate>);

impl PollWrite for Gated {
    fn poll_write(&mut self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let count = bytes.len().min(self.0.room.get());
        if count == 0 {
            self.0.has_refused.set(true);
            return Poll::Pending;
        }
        self.0.room.set(self.0.room.get() - count);
        self.0.taken.set(self.0.taken.get() + count);
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write(cx, pieces.first().map_or(&[], |piece| piece))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[corering::test]
async fn copy_receives_nothing_while_a_write_waits() -> io::Result<()> {
    let (front, mut client) = tcp_peer().await?;
    let client = thread::spawn(move || client.write_all(&pattern(100_000)).map(|()| client));
    let (asked, gate) = (Rc::new(Cell::new(0)), Rc::new(Gate::default()));
    let mut reader = Counted { reader: front, asked: asked.clone() };
    let mut writer = Gated(gate.clone());
    let mut copying = Box::pin(async move { copy(&mut reader, &mut writer).await });
    while gate.taken.get() < 100_000 {
        gate.has_refused.set(false);
        while !gate.has_refused.get() {
            assert!(poll_once(&mut copying).await.is_pending());
            yield_now().await;
        }
        let before = asked.get();
        for _ in 0..3 {
            assert!(poll_once(&mut copying).await.is_pending());
            yield_now().await;
        }
        assert_eq!(asked.get(), before);
        assert_eq!(corering::metrics().lent_buffers_out, 0);
        gate.room.set(1000);
        while gate.room.get() > 0 {
            assert!(poll_once(&mut copying).await.is_pending());
            yield_now().await;
        }
    }
    drop(client.join().expect("it does not panic")?);
    assert_eq!(copying.await?, 100_000);
    Ok(())
}

#[test]
fn stalled_direction_leaves_the_other_one_its_way() {
    with_each_policy("stalled_direction_leaves_the_other_one_its_way", || async {
        let ((mut front, client), (mut back, server)) = (tcp_peer().await?, tcp_peer().await?);
        let proxy = spawn(async move { copy_bidirectional(&mut front, &mut back).await });
        let mut flood = client.try_clone()?;
        let flood = thread::spawn(move || while flood.write_all(&[7; 1 << 16]).is_ok() {});
        // Nobody reads that; and yet this comes, and goes on coming.
        let sender = thread::spawn(move || {
            let mut server = server;
            server.write_all(&pattern(TOO_MUCH)).map(|()| server)
        });
        let mut client = client;
        let receiver = thread::spawn(move || {
            let mut received = vec![0; TOO_MUCH];
            client.read_exact(&mut received).map(|()| (client, received == pattern(TOO_MUCH)))
        });
        until(|| receiver.is_finished()).await;
        let (client, is_whole) = receiver.join().expect("it does not panic")?;
        assert!(is_whole);
        drop(sender.join().expect("it does not panic")?);
        client.shutdown(std::net::Shutdown::Both)?;
        flood.join().expect("it does not panic");
        drop(proxy.await.expect("it does not panic"));
        Ok(())
    });
}

/// Bytes of this process's memory that are resident and not backed by a file.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("proc is mounted");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<usize>().ok());
    kibibytes.expect("Linux has said so since 4.5") * 1024
}

#[test]
fn hundred_stalled_pairs_hold_128_kib_each_at_most() {
    const TEST: &str = "hundred_stalled_pairs_hold_128_kib_each_at_most";
    const PAIRS: usize = 100;
    if !child::is_child() {
        return Child::of(TEST).passes();
    }
    for policy in POLICIES {
        let configure = |builder: Builder| builder.receive_policy(policy);
        run_configured(TEST, None, configure, async || {
            let mut peers = Vec::new();
            let mut proxies = Vec::new();
            for _ in 0..PAIRS {
                let ((front, client), (back, server)) = (tcp_peer().await?, tcp_peer().await?);
                client.set_nonblocking(true)?;
                proxies.push(spawn(async move {
                    let (mut front, mut back) = (front, back);
                    copy_bidirectional(&mut front, &mut back).await
                }));
                peers.push((client, server));
            }
            yield_now().await;
            let before = resident();
            let piece = vec![7; 1 << 16];
            // Until nothing is taken any more for many rounds: what the sockets hold is the kernel's.
            let mut idle_rounds = 0;
            while idle_rounds < 20 {
                let mut sent = 0;
                for (client, _) in &mut peers {
                    sent += client.write(&piece).unwrap_or(0);
                }
                idle_rounds = if sent > 0 { 0 } else { idle_rounds + 1 };
                yield_now().await;
            }
            let growth = resident().saturating_sub(before);
            println!("{policy:?}: {} KiB for each pair", growth / PAIRS / 1024);
            assert!(growth <= PAIRS * 128 * 1024, "{growth} bytes for {PAIRS} pairs");
            assert_eq!(corering::metrics().lent_buffers_out, 0);
            drop(peers);
            for proxy in proxies {
                drop(proxy.await.expect("it does not panic"));
            }
            io::Result::Ok(())
        });
    }
}

/// Copies with copies that are dropped after a few polls, and compares all that comes.
async fn survives_drops<S>(
    (mut client, front): (S, S),
    (back, mut server): (S, S),
) -> io::Result<()>
where
    S: OwnedWrite + Lend + PollWrite + 'static,
{
    let bytes = pattern(2_000_000);
    let sent = bytes.clone();
    let sender = spawn(async move {
        client.write_all(sent).await?;
        client.shutdown().await?;
        io::Result::Ok(client)
    });
    let copier = spawn(async move {
        let (mut front, mut back) = (front, back);
        let mut random = net::Random(11);
        let mut dropped = 0;
        loop {
            let polls = random.below(4);
            let mut copying = pin!(copy_bidirectional(&mut front, &mut back));
            for _ in 0..polls {
                if let Poll::Ready(ended) = poll_once(&mut copying.as_mut()).await {
                    return ended.map(|_| dropped);
                }
                yield_now().await;
            }
            dropped += 1;
        }
    });
    let received = spawn(async move {
        let received = read_to_end(&mut server).await?;
        server.shutdown().await?;
        io::Result::Ok(received)
    });
    assert!(received.await.expect("it does not panic")? == bytes, "bytes are missing");
    drop(sender.await.expect("it does not panic")?);
    assert!(copier.await.expect("it does not panic")? > 10);
    Ok(())
}

#[test]
fn dropped_copies_lose_no_byte() {
    with_each_policy("dropped_copies_lose_no_byte", || async {
        survives_drops(tcp_pair().await?, tcp_pair().await?).await?;
        survives_drops(UnixStream::pair()?, UnixStream::pair()?).await?;
        survives_drops(duplex(5000), duplex(3000)).await
    });
}

#[corering::test]
async fn stream_is_used_on_after_a_dropped_copy() -> io::Result<()> {
    let ((mut client, mut front), (mut back, mut server)) = (tcp_pair().await?, duplex(1000));
    client.write_all(pattern(1100)).await?;
    {
        let mut copying = pin!(copy(&mut front, &mut back));
        while !is_full(&server) {
            assert!(poll_once(&mut copying.as_mut()).await.is_pending());
            yield_now().await;
        }
    }
    assert_eq!(server.lend().await?, pattern(1000));
    // The rest goes with the stream, wherever that goes.
    let mut front: TcpStream = front.detach().await?.into_stream();
    client.write_all("abc").await?;
    let rest = front.read_exact(Vec::with_capacity(103), 103).await?;
    assert_eq!(rest, [&pattern(1100)[1000..], b"abc"].concat());
    Ok(())
}
