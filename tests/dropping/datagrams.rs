//! Rows of datagrams, and of sockets that get a name.

use std::io;
use std::net::SocketAddr;

use corering::net::{TcpListener, UdpSocket, UnixListener, UnixStream};
use corering::spawn;
use futures_util::TryFutureExt;

use crate::moments::{Boxed, Moment, World, drop_at};
use crate::net::nothing_is_in_flight;

type Receive = for<'a> fn(&'a UdpSocket) -> Boxed<'a, io::Result<Vec<u8>>>;

const RECEIVES: [(&str, Receive); 2] = [
    ("UdpSocket::recv", |socket| {
        let receive = socket.recv(Vec::with_capacity(100));
        Box::pin(receive.map_ok(|(_, buf)| buf).err_into())
    }),
    ("UdpSocket::recv_from", |socket| {
        let receive = socket.recv_from(Vec::with_capacity(100));
        Box::pin(receive.map_ok(|(_, buf)| buf).err_into())
    }),
];

type Send = fn(&UdpSocket, SocketAddr, Vec<u8>) -> Boxed<'static, io::Result<()>>;

const SENDS: [(&str, Send); 2] = [
    ("UdpSocket::send", |socket, _, datagram| {
        Box::pin(socket.send(datagram).map_ok(drop).err_into())
    }),
    ("UdpSocket::send_to", |socket, address, datagram| {
        Box::pin(socket.send_to(datagram, address).map_ok(drop).err_into())
    }),
];

async fn pair() -> io::Result<(UdpSocket, UdpSocket)> {
    // From an address of their own: what other tests send to a port that they had comes to none of these.
    let (one, other) =
        (UdpSocket::bind("127.0.7.9:0").await?, UdpSocket::bind("127.0.7.9:0").await?);
    one.connect(other.local_addr()?).await?;
    other.connect(one.local_addr()?).await?;
    Ok((one, other))
}

/// The rows of receives at one moment.
pub(crate) async fn are_for_the_next(world: &World, moment: Moment) -> io::Result<()> {
    for (row, receive) in RECEIVES {
        let (ours, peer) = pair().await?;
        let mut received = Vec::new();
        for number in 0..4_u8 {
            let mut sent = false;
            let send = async || {
                sent = true;
                peer.send(vec![number]).await.expect("there is room");
            };
            let got = drop_at(world, moment, receive(&ours), send).await;
            received.extend(got.transpose()?);
            if !sent {
                peer.send(vec![number]).await?;
            }
        }
        while received.len() < 4 {
            received.push(ours.recv(Vec::with_capacity(100)).await?.1);
        }
        assert_eq!(received.concat(), [0, 1, 2, 3], "{row}, {moment:?}");
    }
    Ok(())
}

/// The rows of sends at one moment.
pub(crate) async fn are_whole_or_not_there(world: &World, moment: Moment) -> io::Result<()> {
    for (row, send) in SENDS {
        let (ours, peer) = pair().await?;
        let mut ended = Vec::new();
        for number in 0..4_u8 {
            // Another task is ready, so that nothing is done at once.
            let beside = spawn(async {});
            let send = send(&ours, peer.local_addr()?, vec![number; 100]);
            let sent = drop_at(world, moment, send, async || ()).await.transpose()?;
            ended.push(sent.is_some() || moment == Moment::Done);
            beside.await.expect("it does not panic");
        }
        nothing_is_in_flight().await;
        ours.send("end").await?;
        let mut received = Vec::new();
        loop {
            let (_, datagram) = peer.recv(Vec::with_capacity(200)).await?;
            if datagram == b"end" {
                break;
            }
            assert!(datagram.len() == 100 && datagram.iter().all(|byte| *byte == datagram[0]));
            received.push(datagram[0]);
        }
        assert!(received.is_sorted(), "{row}, {moment:?}: {received:?}");
        assert!(moment != Moment::NotBegun || received.is_empty(), "{row}: it had not begun");
        for (number, ended) in (0..).zip(ended) {
            let count = received.iter().filter(|it| **it == number).count();
            let most_and_least = if ended { 1..=1 } else { 0..=1 };
            assert!(most_and_least.contains(&count), "{row}, {moment:?}: {received:?}");
        }
    }
    Ok(())
}

/// The row of connects at one moment.
pub(crate) async fn have_one_peer_or_the_other(world: &World, moment: Moment) -> io::Result<()> {
    let row = "UdpSocket::connect";
    let (ours, old) = pair().await?;
    let new = UdpSocket::bind("127.0.0.1:0").await?;
    let (old, new) = (old.local_addr()?, new.local_addr()?);
    for by_name in [false, true] {
        ours.connect(old).await?;
        let connect: Boxed<'_, io::Result<()>> = match by_name {
            true => Box::pin(ours.connect(("localhost", new.port()))),
            false => Box::pin(ours.connect(new)),
        };
        let ended = drop_at(world, moment, connect, async || ()).await.transpose()?.is_some();
        nothing_is_in_flight().await;
        let peer = ours.peer_addr()?;
        assert!([old.port(), new.port()].contains(&peer.port()), "{row}, {moment:?}: {peer}");
        assert!(!ended || peer.port() == new.port(), "{row}, {moment:?}: it had connected");
        assert!(moment != Moment::NotBegun || peer == old, "{row}: it had not begun");
    }
    Ok(())
}

type Bind = fn(SocketAddr) -> Boxed<'static, io::Result<()>>;

const BINDS: [(&str, Bind); 3] = [
    ("TcpListener::bind", |address| Box::pin(TcpListener::bind(address).map_ok(drop))),
    ("TcpListenerBuilder::bind", |address| {
        Box::pin(TcpListener::builder().bind(address).map_ok(drop))
    }),
    ("UdpSocket::bind", |address| Box::pin(UdpSocket::bind(address).map_ok(drop))),
];

/// The rows of binds at one moment.
pub(crate) async fn leave_their_address(world: &World, moment: Moment) -> io::Result<()> {
    for (row, bind) in BINDS {
        let address = match row {
            // From an address of their own: a client of another test is given no port of it.
            "UdpSocket::bind" => UdpSocket::bind("127.0.7.9:0").await?.local_addr()?,
            _ => TcpListener::bind("127.0.7.9:0").await?.local_addr()?,
        };
        drop_at(world, moment, bind(address), async || ()).await.transpose()?;
        bind(address).await.unwrap_or_else(|error| panic!("{row}, {moment:?}: {error}"));
    }
    let by_name = Box::pin(TcpListener::bind("localhost:0").map_ok(drop));
    drop_at(world, moment, by_name, async || ()).await.transpose()?;
    let name = format!("bind-{}-{moment:?}", std::process::id());
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let bind = Box::pin(UnixListener::bind(path.clone()).map_ok(drop));
    let ended = drop_at(world, moment, bind, async || ()).await.transpose()?;
    let row = "UnixListener::bind";
    assert_eq!(ended.is_some(), path.exists(), "{row}, {moment:?}");
    if ended.is_some() {
        std::fs::remove_file(&path)?;
    }
    // Of a connect, the peer sees the end at most.
    let listener = UnixListener::bind(&path).await?;
    std::fs::metadata(&path)?;
    for _ in 0..3 {
        let connect = Box::pin(UnixStream::connect(path.clone()).map_ok(drop));
        let row = "UnixStream::connect";
        let ended = drop_at(world, moment, connect, async || ()).await.transpose()?;
        if ended.is_some() {
            assert!(listener.accept().await?.recv().await?.is_empty(), "{row}, {moment:?}");
        }
    }
    std::fs::remove_file(&path)
}
