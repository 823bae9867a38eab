//! Streams under everything that may happen to them at once: reads of all sizes that are dropped, run
//! out of time or move to another descriptor, and peers that send marks, descriptors and ends.

#[allow(dead_code)] // Each test file uses a part.
#[path = "common/net.rs"]
mod net;

use std::cell::RefCell;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use corering::net::{TcpStream, UdpSocket, UnixStream};
use corering::test_support::drivers;
use corering::time::within;
use corering::{Runtime, spawn, test_support, yield_now};
use net::{POLICIES, Random, poll_once, send_with_descriptor, tcp_peer};
use socket2::SockRef;

/// Long enough for whatever is there.
const LIMIT: Duration = Duration::from_secs(20);
/// What is urgent, and nothing else.
const URGENT: u8 = 255;

/// How a peer ends.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Shutdown,
    Close,
    Reset,
}

/// The bytes of a peer, the same for both ends.
fn bytes_of(seed: u64, len: usize) -> Vec<u8> {
    let mut random = Random(seed);
    (0..len).map(|_| random.below(255) as u8).collect()
}

/// Sends everything, as numbers say, on a socket that blocks.
fn send_all<P: Write + AsFd>(
    mut peer: P,
    is_unix: bool,
    seed: u64,
    end: End,
) -> io::Result<Option<P>> {
    let mut random = Random(seed ^ 0x55);
    let bytes = bytes_of(seed, BYTES);
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let most = [1, 100, 3_000, 20_000][random.below(4)];
        let (now, later) = rest.split_at(rest.len().min(1 + random.below(most)));
        match random.below(8) {
            0 => {
                SockRef::from(&peer).send_out_of_band(&[URGENT])?;
                peer.write_all(now)?;
            }
            1 if is_unix => {
                let sent = send_with_descriptor(peer.as_fd(), now)?;
                peer.write_all(&now[sent..])?;
            }
            2 => {
                peer.write_all(now)?;
                thread::sleep(Duration::from_micros(random.below(300) as u64));
            }
            _ => peer.write_all(now)?,
        }
        rest = later;
    }
    match end {
        End::Shutdown => {
            SockRef::from(&peer).shutdown(std::net::Shutdown::Write)?;
            return Ok(Some(peer));
        }
        End::Close => {}
        End::Reset => SockRef::from(&peer).set_linger(Some(Duration::ZERO))?,
    }
    Ok(None)
}

const BYTES: usize = 150_000;

/// Receives in every way until the end, and a little longer.
macro_rules! receive_all {
    ($stream:expr, $random:expr) => {{
        let (mut stream, mut random, mut all) = ($stream, $random, Vec::new());
        let mut ends = 0;
        while ends < 3 {
            let most = [2, 100, 8_000, 30_000][random.below(4)];
            let room = 1 + random.below(most);
            let received: io::Result<Vec<u8>> = match random.below(8) {
                0 | 1 => within(LIMIT, stream.recv()).await.map(|bytes| bytes.to_vec()),
                2 | 3 => match within(LIMIT, stream.read(Vec::with_capacity(room))).await {
                    Ok((_, bytes)) => Ok(bytes),
                    Err(failed) => Err(failed.error),
                },
                4 => match poll_once(&mut stream.recv()).await {
                    Poll::Ready(bytes) => bytes.map(|bytes| bytes.to_vec()),
                    Poll::Pending => continue,
                },
                5 => {
                    let limit = Duration::from_micros(random.below(200) as u64);
                    match within(limit, stream.read(Vec::with_capacity(room))).await {
                        Ok((_, bytes)) => Ok(bytes),
                        Err(failed) if failed.kind() == io::ErrorKind::TimedOut => continue,
                        Err(failed) => Err(failed.error),
                    }
                }
                6 if random.below(20) == 0 => {
                    stream = stream.detach().await?.into_stream();
                    continue;
                }
                6 if random.below(40) == 0 => {
                    stream.as_fd();
                    continue;
                }
                _ => {
                    yield_now().await;
                    continue;
                }
            };
            match received {
                Ok(bytes) if bytes.is_empty() => ends += 1,
                Ok(bytes) => all.extend(bytes.into_iter().filter(|byte| *byte != URGENT)),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => ends += 1,
                Err(error) => return Err(error),
            }
        }
        Ok::<_, io::Error>(all)
    }};
}

/// Whether all arrived; of a connection that was reset, what did.
fn check(all: &[u8], seed: u64, end: End) {
    let expected = bytes_of(seed, BYTES);
    match end {
        End::Reset => assert!(expected.starts_with(all), "stream {seed}: other bytes came"),
        End::Shutdown | End::Close => {
            assert_eq!(all.len(), expected.len(), "stream {seed}: bytes are missing");
            assert!(all == expected, "stream {seed}: other bytes came");
        }
    }
}

async fn tcp(seed: u64, end: End) -> io::Result<()> {
    let (stream, peer): (TcpStream, _) = tcp_peer().await?;
    peer.set_nodelay(true)?;
    let sender = thread::spawn(move || send_all(peer, false, seed, end));
    let all = receive_all!(stream, Random(seed ^ 0xaa))?;
    sender.join().expect("it does not panic")?;
    check(&all, seed, end);
    Ok(())
}

/// A Unix stream that the library has opened itself, and its peer, which blocks.
fn own_unix_peer() -> io::Result<(UnixStream, std::os::unix::net::UnixStream)> {
    let (stream, peer) = UnixStream::pair()?;
    let peer = std::os::unix::net::UnixStream::from(peer.as_fd().try_clone_to_owned()?);
    peer.set_nonblocking(false)?;
    Ok((stream, peer))
}

async fn unix(seed: u64, end: End) -> io::Result<()> {
    let (stream, peer) = own_unix_peer()?;
    let sender = thread::spawn(move || send_all(peer, true, seed, end));
    let all = receive_all!(stream, Random(seed ^ 0xaa))?;
    sender.join().expect("it does not panic")?;
    check(&all, seed, end);
    Ok(())
}

async fn storm(first: u64) -> io::Result<()> {
    let ends = [End::Shutdown, End::Close, End::Reset];
    let tasks: Vec<_> = (first..first + 9)
        .map(|seed| {
            let end = ends[seed as usize % 3];
            match seed % 2 {
                0 => spawn(tcp(seed, end)),
                _ => spawn(unix(seed, if end == End::Reset { End::Close } else { end })),
            }
        })
        .collect();
    for task in tasks {
        task.await.expect("it does not panic")?;
    }
    Ok(())
}

#[test]
fn streams_in_storm_lose_nothing_and_end() {
    let rounds = std::env::var("STORM_ROUNDS").ok().and_then(|it| it.parse().ok()).unwrap_or(1);
    for policy in POLICIES {
        for round in 0..rounds {
            for buffers in [2, 64] {
                let name =
                    format!("streams_in_storm, {policy:?}, {buffers} buffers, round {round}");
                // With few buffers also the smallest rings.
                let entries = if buffers == 2 { 1 } else { 1024 };
                let configure = |builder: corering::Builder| {
                    let builder = builder.ring_entries(entries).reap_batch(entries);
                    builder.receive_policy(policy).buffer_group(buffers, 4096)
                };
                test_support::run_configured(&name, None, configure, || storm(round * 9));
            }
        }
    }
}

/// Receives datagrams, in every way, until one says that it is over.
async fn receive_datagrams(socket: Rc<UdpSocket>, seed: u64, got: Rc<RefCell<Vec<u32>>>) {
    let mut random = Random(seed);
    loop {
        let buffer = Vec::with_capacity(16);
        let received = match random.below(6) {
            0 => match poll_once(&mut pin!(socket.recv(buffer))).await {
                Poll::Ready(received) => received,
                Poll::Pending => continue,
            },
            1 => {
                let limit = Duration::from_micros(random.below(300) as u64);
                match within(limit, socket.recv(buffer)).await {
                    Err(failed) if failed.kind() == io::ErrorKind::TimedOut => continue,
                    received => received,
                }
            }
            2 => {
                yield_now().await;
                continue;
            }
            _ => within(LIMIT, socket.recv(buffer)).await,
        };
        let (received, _) = received.map(|(_, bytes)| (bytes, ())).expect("it is waited for");
        match u32::from_be_bytes(received[..4].try_into().expect("four bytes were sent")) {
            u32::MAX => return,
            number => got.borrow_mut().push(number),
        }
    }
}

#[test]
fn datagrams_for_many_that_wait_are_each_received_once() {
    let name = "datagrams_for_many_that_wait_are_each_received_once";
    test_support::run_configured(
        name,
        None,
        |it| it,
        || async {
            let socket = Rc::new(UdpSocket::bind("127.0.0.1:0").await?);
            let peer = std::net::UdpSocket::bind("127.0.0.1:0")?;
            peer.connect(socket.local_addr()?)?;
            let got = Rc::new(RefCell::new(Vec::new()));
            let tasks: Vec<_> =
                (0..8).map(|n| spawn(receive_datagrams(socket.clone(), n, got.clone()))).collect();
            let mut random = Random(3);
            let mut sent = 0;
            for _ in 0..500 {
                for _ in 0..1 + random.below(4) {
                    peer.send(&u32::to_be_bytes(sent))?;
                    sent += 1;
                }
                if random.below(2) == 0 {
                    net::until(|| got.borrow().len() == sent as usize).await;
                }
            }
            net::until(|| got.borrow().len() == sent as usize).await;
            for _ in &tasks {
                peer.send(&u32::to_be_bytes(u32::MAX))?;
            }
            for task in tasks {
                task.await.expect("it does not panic");
            }
            let mut got = got.take();
            got.sort_unstable();
            assert!(got.into_iter().eq(0..sent));
            io::Result::Ok(())
        },
    );
}

/// Receives some of a stream's bytes, in every way, and leaves a receive that waits.
async fn receive_some(stream: &mut TcpStream, random: &mut Random, all: &mut Vec<u8>) -> bool {
    for _ in 0..1 + random.below(6) {
        let most = [2, 100, 8_000, 30_000][random.below(4)];
        let room = 1 + random.below(most);
        let received = match random.below(5) {
            0 => within(LIMIT, stream.recv()).await.map(|bytes| bytes.to_vec()),
            1 => match within(LIMIT, stream.read(Vec::with_capacity(room))).await {
                Ok((_, bytes)) => Ok(bytes),
                Err(failed) => Err(failed.error),
            },
            2 => match poll_once(&mut stream.recv()).await {
                Poll::Ready(received) => received.map(|bytes| bytes.to_vec()),
                Poll::Pending => continue,
            },
            3 => match poll_once(&mut stream.read(Vec::with_capacity(room))).await {
                Poll::Ready(Ok((_, bytes))) => Ok(bytes),
                Poll::Ready(Err(failed)) => Err(failed.error),
                Poll::Pending => continue,
            },
            _ => {
                yield_now().await;
                continue;
            }
        };
        let received = received.expect("the stream goes on");
        if received.is_empty() {
            return false;
        }
        all.extend(received);
    }
    true
}

#[test]
fn stream_outlives_many_runtimes_in_storm() {
    for (driver, policy) in drivers().into_iter().flat_map(|it| POLICIES.map(|policy| (it, policy)))
    {
        for seed in 0..4 {
            let build = || {
                let builder = Runtime::builder().driver(driver).receive_policy(policy);
                builder.buffer_group(4, 4096).build().expect("the driver is there")
            };
            let mut runtime = build();
            let (mut stream, peer) = runtime.block_on(tcp_peer()).expect("sockets work");
            let sender = thread::spawn(move || {
                let bytes = bytes_of(seed, BYTES);
                let (mut random, mut peer, mut rest) = (Random(seed), peer, &bytes[..]);
                while !rest.is_empty() {
                    let (now, later) = rest.split_at(rest.len().min(1 + random.below(5_000)));
                    peer.write_all(now).expect("somebody reads");
                    rest = later;
                }
            });
            let (mut random, mut all) = (Random(seed), Vec::new());
            while runtime.block_on(receive_some(&mut stream, &mut random, &mut all)) {
                if random.below(2) == 0 {
                    let next = build();
                    // The earlier one ends while the stream may wait in it.
                    drop(std::mem::replace(&mut runtime, next));
                }
            }
            sender.join().expect("it does not panic");
            assert!(all == bytes_of(seed, BYTES), "{driver}, {policy:?}: other bytes came");
            // Outside any runtime: whatever waits is given back.
            drop(stream);
            assert_eq!(runtime.shut_down().leaked_operations, 0, "{driver}, {policy:?}");
        }
    }
}
