//! Rows of what receives: bytes and connections are for the next call.

use std::io;
use std::time::Duration;

use corering::buf::IoBuf;
use corering::io::{lines, read_until};
use corering::net::{ByteStream, Family, TcpListener, TcpStream};
use corering::task::{CancelToken, cooperative, unconstrained};
use corering::time::{now, timeout, timeout_at, timeout_with, within};
use futures_util::{StreamExt, TryFutureExt};

use crate::moments::{Boxed, MOMENTS, Moment, World, drop_at};

corering::task_local! { static NUMBER: u32; }

/// Receives one or more of the bytes that a peer sends in threes.
type Receive<F> = for<'a> fn(&'a mut ByteStream<F>) -> Boxed<'a, io::Result<Vec<u8>>>;

const SMALL: usize = 64;
/// A ring hands so large a buffer to the kernel.
const LARGE: usize = 16 * 1024;

pub(crate) fn receives<F: Family>() -> Vec<(&'static str, Receive<F>)> {
    fn read<F: Family>(stream: &mut ByteStream<F>, room: usize) -> Boxed<'_, io::Result<Vec<u8>>> {
        let read = stream.read(Vec::with_capacity(room));
        Box::pin(read.map_ok(|(_, buf)| buf).map_err(io::Error::from))
    }
    fn exact<F: Family>(
        stream: &mut ByteStream<F>,
        room: usize,
        wanted: usize,
    ) -> Boxed<'_, io::Result<Vec<u8>>> {
        let read = stream.read_exact(Vec::with_capacity(room), wanted);
        Box::pin(read.map_err(io::Error::from))
    }
    vec![
        ("ByteStream::recv", |stream| Box::pin(stream.recv().map_ok(|bytes| bytes.to_vec()))),
        ("ByteStream::read", |stream| read(stream, SMALL)),
        ("ByteStream::read", |stream| read(stream, LARGE)),
        ("ByteStream::read", |stream| read(stream, 2)),
        ("ByteStream::read_exact", |stream| exact(stream, SMALL, 3)),
        ("ByteStream::read_exact", |stream| exact(stream, SMALL, 7)),
        ("ByteStream::read_exact", |stream| exact(stream, LARGE, LARGE)),
        ("ReadHalf::recv", |stream| {
            Box::pin(stream.split().0.recv().map_ok(|bytes| bytes.to_vec()))
        }),
        ("ReadHalf::read", |stream| {
            let buf = Vec::with_capacity(SMALL).slice(..2);
            let read = stream.split().0.read(buf);
            Box::pin(read.map_ok(|(_, buf)| buf.into_inner()).map_err(io::Error::from))
        }),
        ("ReadHalf::read_exact", |stream| {
            let read = stream.split().0.read_exact(Vec::with_capacity(LARGE), 4);
            Box::pin(read.map_err(io::Error::from))
        }),
    ]
}

/// What waits for bytes and takes none, and what drops, or polls, a future that receives.
fn others<F: Family>() -> Vec<(&'static str, Receive<F>)> {
    const LONG: Duration = Duration::from_secs(3_600);
    vec![
        ("io::read_until", |stream| Box::pin(read_until(stream, b'c', SMALL))),
        ("io::read_until", |stream| Box::pin(read_until(stream, b'x', SMALL))),
        ("Lines::next_line", |stream| {
            Box::pin(async { Ok(lines(stream).next_line().await?.unwrap_or_default().into()) })
        }),
        ("ByteStream::peek", |stream| Box::pin(stream.peek().map_ok(|_| Vec::new()))),
        ("ByteStream::readable", |stream| Box::pin(stream.readable().map_ok(|()| Vec::new()))),
        ("ReadHalf::peek", |stream| Box::pin(stream.split().0.peek().map_ok(|_| Vec::new()))),
        ("ReadHalf::readable", |stream| {
            Box::pin(stream.split().0.readable().map_ok(|()| Vec::new()))
        }),
        ("time::timeout", |stream| {
            Box::pin(async { Ok(timeout(LONG, stream.recv()).await??.to_vec()) })
        }),
        ("time::timeout_at", |stream| {
            Box::pin(async { Ok(timeout_at(now() + LONG, stream.recv()).await??.to_vec()) })
        }),
        ("time::timeout_with", |stream| {
            let limit = now() + LONG;
            Box::pin(async move {
                let received = timeout_with(limit, async |limit| {
                    limit.reschedule(now() + LONG);
                    stream.recv().await
                });
                Ok(received.await??.to_vec())
            })
        }),
        ("time::within", |stream| {
            Box::pin(within(LONG, stream.recv()).map_ok(|bytes| bytes.to_vec()))
        }),
        ("CancelToken::run", |stream| {
            Box::pin(async { Ok(CancelToken::new().run(stream.recv()).await??.to_vec()) })
        }),
        ("task::cooperative", |stream| {
            Box::pin(cooperative(stream.recv()).map_ok(|bytes| bytes.to_vec()))
        }),
        ("LocalKey::scope", |stream| {
            Box::pin(NUMBER.scope(1, stream.recv()).map_ok(|bytes| bytes.to_vec()))
        }),
        ("task::unconstrained", |stream| {
            Box::pin(unconstrained(stream.recv()).map_ok(|bytes| bytes.to_vec()))
        }),
    ]
}

/// All rows of receives at one moment.
pub(crate) async fn lose_no_byte<F: Family>(
    world: &World,
    moment: Moment,
    pair: impl AsyncFn() -> io::Result<(ByteStream<F>, ByteStream<F>)>,
) -> io::Result<()> {
    for (row, receive) in receives().into_iter().chain(others()) {
        let (mut ours, mut peer) = pair().await?;
        let mut received = Vec::new();
        for round in 0..4 {
            let mut sent = false;
            let send = async || {
                sent = true;
                peer.write_all("abc").await.expect("there is room");
            };
            let got = drop_at(world, moment, receive(&mut ours), send).await;
            if round == 0 && moment != Moment::PartlyDone {
                assert!(got.is_none(), "{row}, {moment:?}: it had nothing to receive");
            }
            received.extend(got.transpose()?.unwrap_or_default());
            if !sent {
                peer.write_all("abc").await?;
            }
        }
        peer.close().await?;
        // Whatever was left comes with a call of any kind.
        loop {
            let bytes = ours.recv().await?;
            if bytes.is_empty() {
                break;
            }
            received.extend_from_slice(&bytes);
        }
        assert_eq!(received, b"abc".repeat(4), "{row}, {moment:?}");
    }
    Ok(())
}

/// Accepts a connection.
type Accept = for<'a> fn(&'a TcpListener) -> Boxed<'a, io::Result<TcpStream>>;

const ACCEPTS: [(&str, Accept); 2] = [
    ("Listener::accept", |listener| Box::pin(listener.accept())),
    ("Listener::incoming", |listener| {
        Box::pin(async { listener.incoming().next().await.expect("it does not end") })
    }),
];

/// The rows of accepts at one moment.
pub(crate) async fn lose_no_connection(world: &World, moment: Moment) -> io::Result<()> {
    for (row, accept) in ACCEPTS {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (mut clients, mut accepted) = (Vec::new(), Vec::new());
        for round in 0..3 {
            let mut client = None;
            let connect = async || {
                client = Some(TcpStream::connect(address).await.expect("it listens"));
            };
            let got = drop_at(world, moment, accept(&listener), connect).await;
            if round == 0 && moment != Moment::PartlyDone {
                assert!(got.is_none(), "{row}, {moment:?}: nobody had connected");
            }
            accepted.extend(got.transpose()?);
            clients.push(match client {
                Some(client) => client,
                None => TcpStream::connect(address).await?,
            });
        }
        while accepted.len() < clients.len() {
            accepted.push(listener.accept().await?);
        }
        for (client, accepted) in clients.iter().zip(&accepted) {
            assert_eq!(accepted.peer_addr()?, client.local_addr()?, "{row}, {moment:?}");
        }
    }
    Ok(())
}

/// The row of connects at one moment: none leaves a connection that lasts.
pub(crate) async fn leave_no_connection(world: &World, moment: Moment) -> io::Result<()> {
    let row = "TcpStream::connect";
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    for _ in 0..3 {
        let connect = Box::pin(TcpStream::connect(address));
        drop(drop_at(world, moment, connect, async || ()).await.transpose()?);
    }
    world.settle().await;
    // This one lasts. Those before it have ended, however far they had come.
    let last = TcpStream::connect(address).await?;
    loop {
        let mut accepted = listener.accept().await?;
        if accepted.peer_addr().is_ok_and(|peer| last.local_addr().is_ok_and(|it| it == peer)) {
            return Ok(());
        }
        let ended = accepted.recv().await.is_ok_and(|bytes| bytes.is_empty());
        let reset = accepted.recv().await.is_err();
        assert!(ended || reset, "{row}, {moment:?}: a connection goes on");
    }
}

/// Every moment, one after the other.
#[allow(dead_code, reason = "a seed has one moment")]
pub(crate) async fn at_each_moment(
    mut body: impl AsyncFnMut(Moment) -> io::Result<()>,
) -> io::Result<()> {
    for moment in MOMENTS {
        body(moment).await?;
    }
    Ok(())
}
