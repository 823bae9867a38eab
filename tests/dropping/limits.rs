//! Limits in time: what is not dropped goes on, what wins is given, what loses gives back.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::task::Poll;
use std::time::Duration;

use corering::BufError;
use corering::net::{ByteStream, Family, TcpListener, TcpStream, UdpSocket, WriteAbandoned};
use corering::time::{now, timeout, within};
use futures_util::TryFutureExt;

use crate::moments::{Boxed, World};
use crate::net::pattern;
use crate::receives::receives;
use crate::writes::{Parcel, fill, writes};

const SOON: Duration = Duration::from_millis(1);

/// Keeps the shard busy until a limit is over, so that one round tells of it and of what has happened.
fn let_limit_pass() {
    let over = now() + 2 * SOON;
    while now() < over {}
}

async fn begin<T>(future: &mut Boxed<'_, T>) {
    let pending = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await;
    assert!(pending, "it should have had to wait");
}

/// Each receive and each write outlives five limits, and goes on.
pub(crate) async fn are_outlived<F: Family>(
    world: &World,
    pair: impl AsyncFn() -> io::Result<(ByteStream<F>, ByteStream<F>)>,
) -> io::Result<()> {
    for (row, receive) in receives() {
        let (mut ours, mut peer) = pair().await?;
        let mut receiving = receive(&mut ours);
        for _ in 0..5 {
            assert!(timeout(SOON, &mut receiving).await.is_err(), "{row}");
        }
        peer.write_all("abcdefg").await?;
        drop(peer);
        let received = match receiving.await {
            // One that wants more than there is.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => continue,
            received => received?,
        };
        assert!(!received.is_empty() && b"abcdefg".starts_with(&received), "{row}");
    }
    for (row, write) in writes() {
        let (mut ours, mut peer) = pair().await?;
        let filled = fill(world, &mut ours).await?;
        let parcel = Parcel { bytes: pattern(60_000), file: None, cached: None };
        let mut writing = write(&mut ours, &parcel);
        for _ in 0..5 {
            assert!(timeout(SOON, &mut writing).await.is_err(), "{row}");
        }
        let reading = corering::spawn(async move {
            let mut received = Vec::new();
            loop {
                let bytes = peer.recv().await?;
                if bytes.is_empty() {
                    return Ok::<_, io::Error>(received.split_off(filled));
                }
                received.extend_from_slice(&bytes);
            }
        });
        let sent = writing.await?;
        ours.close().await?;
        let received = reading.await.expect("it does not panic")?;
        assert!(received == parcel.bytes[..sent], "{row}");
    }
    Ok(())
}

/// What an operation gives that has lost against its limit.
#[derive(Debug)]
struct Lost {
    kind: ErrorKind,
    /// The buffer, and how many bytes of it were transferred.
    buf: Vec<u8>,
    transferred: usize,
}

fn lost<B: AsRef<[u8]>>(failed: BufError<B>) -> Lost {
    let (kind, transferred) = (failed.kind(), failed.transferred());
    Lost { kind, buf: failed.into_parts().1.as_ref().to_vec(), transferred }
}

fn lost_without_buffer(error: io::Error) -> Lost {
    Lost { kind: error.kind(), buf: b"mine".to_vec(), transferred: 0 }
}

type Limited<'a> = Boxed<'a, Result<Vec<u8>, Lost>>;
type LimitedReceive<F> = for<'a> fn(&'a mut ByteStream<F>, Duration) -> Limited<'a>;

/// A buffer with bytes in it, and room.
fn mine(room: usize) -> Vec<u8> {
    let mut buf = Vec::with_capacity(room);
    buf.extend_from_slice(b"mine");
    buf
}

fn limited_receives<F: Family>() -> Vec<(&'static str, LimitedReceive<F>)> {
    fn read<F: Family>(it: &mut ByteStream<F>, limit: Duration, room: usize) -> Limited<'_> {
        Box::pin(within(limit, it.read(mine(room))).map_ok(|(_, buf)| buf).map_err(lost))
    }
    fn exact<F: Family>(it: &mut ByteStream<F>, limit: Duration, room: usize) -> Limited<'_> {
        Box::pin(within(limit, it.read_exact(mine(room), 3)).map_err(lost))
    }
    vec![
        ("recv", |it, limit| {
            let receive = within(limit, it.recv());
            Box::pin(receive.map_ok(|bytes| bytes.to_vec()).map_err(lost_without_buffer))
        }),
        ("read", |it, limit| read(it, limit, 64)),
        ("read", |it, limit| read(it, limit, 16 * 1024)),
        ("read_exact", |it, limit| exact(it, limit, 64)),
        ("read_exact", |it, limit| exact(it, limit, 16 * 1024)),
    ]
}

/// `within` of each receive, at the moment it wins, and at the moment it loses.
pub(crate) async fn receives_win_or_lose<F: Family>(
    pair: impl AsyncFn() -> io::Result<(ByteStream<F>, ByteStream<F>)>,
) -> io::Result<()> {
    for (row, receive) in limited_receives() {
        let (mut ours, mut peer) = pair().await?;
        let mut receiving = receive(&mut ours, SOON);
        begin(&mut receiving).await;
        peer.write_all("abc").await?;
        let_limit_pass();
        assert_eq!(receiving.await.expect("it has won"), b"abc", "{row}");

        let lost = receive(&mut ours, SOON).await.expect_err("nothing comes");
        assert_eq!((lost.kind, lost.transferred), (ErrorKind::TimedOut, 0), "{row}");
        assert_eq!(lost.buf, b"mine", "{row}");
        // It has taken nothing with it.
        peer.write_all("def").await?;
        assert_eq!(&*ours.recv().await?, b"def", "{row}");

        if row == "read_exact" {
            peer.write_all("gh").await?;
            let lost = receive(&mut ours, SOON).await.expect_err("one is missing");
            assert_eq!((lost.kind, lost.transferred), (ErrorKind::TimedOut, 2), "{row}");
            assert_eq!(lost.buf, b"gh", "{row}");
        }
    }
    Ok(())
}

type LimitedWrite<F> = for<'a> fn(&'a mut ByteStream<F>, Vec<u8>, Duration) -> Limited<'a>;

fn limited_writes<F: Family>() -> [(&'static str, LimitedWrite<F>); 3] {
    [
        ("write", |it, buf, limit| {
            Box::pin(within(limit, it.write(buf)).map_ok(|(_, buf)| buf).map_err(lost))
        }),
        ("write_all", |it, buf, limit| Box::pin(within(limit, it.write_all(buf)).map_err(lost))),
        ("send_all", |it, buf, limit| {
            let bufs = buf.chunks(7).map(<[u8]>::to_vec).collect();
            let send = within(limit, it.send_all(bufs)).map_ok(|bufs: Vec<Vec<u8>>| bufs.concat());
            Box::pin(send.map_err(|failed| {
                let (kind, transferred) = (failed.kind(), failed.transferred());
                Lost { kind, buf: failed.into_parts().1.concat(), transferred }
            }))
        }),
    ]
}

/// `within` of each write, at the moment it wins, and at the moment it loses.
pub(crate) async fn writes_win_or_lose<F: Family>(
    world: &World,
    pair: impl AsyncFn() -> io::Result<(ByteStream<F>, ByteStream<F>)>,
) -> io::Result<()> {
    for (row, write) in limited_writes() {
        for len in [50, 4 << 20] {
            let (mut ours, mut peer) = pair().await?;
            let filled = fill(world, &mut ours).await?;
            let bytes = pattern(len);
            let lost = write(&mut ours, bytes.clone(), SOON).await.expect_err("there is no room");
            assert_eq!(lost.kind, ErrorKind::TimedOut, "{row}");
            assert!(lost.buf == bytes, "{row}: it is another buffer");
            // What it says of itself is what the next hears, if there is something to hear.
            let told = match ours.write_all("").await {
                Ok(_) => 0,
                Err(failed) => WriteAbandoned::of(&failed.error).expect("it is told").written,
            };
            assert_eq!(lost.transferred, told, "{row}");

            // What was on its way may make room when it has arrived.
            let small = pattern(50);
            let mut before = told;
            let writing = loop {
                let mut writing = write(&mut ours, small.clone(), 20 * SOON);
                match poll_fn(|cx| Poll::Ready(writing.as_mut().poll(cx))).await {
                    Poll::Pending => break writing,
                    Poll::Ready(written) => before += written.map_or(0, |sent| sent.len()),
                }
            };
            let mut received = peer.read_exact(vec![0; filled], filled).await?.len();
            for _ in 0..10 {
                let_limit_pass();
                corering::yield_now().await;
            }
            assert!(writing.await.expect("it has won") == small, "{row}");
            ours.close().await?;
            loop {
                let bytes = peer.recv().await?;
                if bytes.is_empty() {
                    break;
                }
                received += bytes.len();
            }
            assert_eq!(received, filled + before + small.len(), "{row}");
        }
    }
    Ok(())
}

/// `within` of what sockets do that are no streams, at both moments.
pub(crate) async fn others_win_or_lose() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let mut accepting: Boxed<'_, _> = Box::pin(within(SOON, listener.accept()));
    begin(&mut accepting).await;
    let client = std::net::TcpStream::connect(address)?;
    let_limit_pass();
    assert_eq!(accepting.await?.peer_addr()?, client.local_addr()?);
    let error = within(SOON, listener.accept()).await.expect_err("nobody connects");
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let client = std::net::TcpStream::connect(address)?;
    assert_eq!(listener.accept().await?.peer_addr()?, client.local_addr()?);

    type Receive = for<'a> fn(&'a UdpSocket, Duration) -> Limited<'a>;
    let receives: [Receive; 2] = [
        |it, limit| Box::pin(within(limit, it.recv(mine(64))).map_ok(|it| it.1).map_err(lost)),
        |it, limit| Box::pin(within(limit, it.recv_from(mine(64))).map_ok(|it| it.1).map_err(lost)),
    ];
    for receive in receives {
        let (ours, peer) =
            (UdpSocket::bind("127.0.0.1:0").await?, UdpSocket::bind("127.0.0.1:0").await?);
        let to = ours.local_addr()?;
        let mut receiving = receive(&ours, SOON);
        begin(&mut receiving).await;
        within(SOON, peer.send_to("abc", to)).await?;
        let_limit_pass();
        assert_eq!(receiving.await.expect("it has won"), b"abc");
        let lost = receive(&ours, SOON).await.expect_err("nothing comes");
        assert_eq!((lost.kind, &lost.buf[..]), (ErrorKind::TimedOut, &b"mine"[..]));
        peer.connect(to).await?;
        within(SOON, peer.send("def")).await?;
        assert_eq!(ours.recv(Vec::with_capacity(9)).await?.1, b"def");
    }
    Ok(())
}

/// `within` of a connect at both moments.
pub(crate) async fn connects_win_or_lose(world: &World) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let limit = Duration::from_millis(500);
    let over = now() + limit;
    let mut connecting: Boxed<'_, _> =
        Box::pin(within(limit, TcpStream::connect(listener.local_addr()?)));
    // The socket is opened, and then connected.
    begin(&mut connecting).await;
    world.settle().await;
    let early = poll_fn(|cx| Poll::Ready(connecting.as_mut().poll(cx))).await;
    world.settle().await;
    while now() < over + SOON {}
    let client = match early {
        Poll::Ready(client) => client?,
        Poll::Pending => connecting.await?,
    };
    assert_eq!(listener.accept().await?.peer_addr()?, client.local_addr()?);

    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    full.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    full.listen(0)?;
    let address = full.local_addr()?.as_socket().expect("it is one of IPv4");
    let _first = std::net::TcpStream::connect(address)?;
    let lost = within(SOON, TcpStream::connect(address)).await.expect_err("there is no room");
    assert_eq!(lost.kind(), ErrorKind::TimedOut);
    Ok(())
}

/// A `timeout` of a connect ends on time though the lookup of the name never begins. (A `within` waits
/// for the lookup, which nobody can cancel.)
pub(crate) async fn connect_is_left_behind() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    // It has the only thread of the pool.
    let (release, released) = std::sync::mpsc::channel::<()>();
    let holder = corering::spawn_blocking(move || released.recv());
    let connect = TcpStream::connect(("localhost", port));
    assert!(timeout(Duration::from_secs(1), connect).await.is_err(), "nobody looks it up");
    release.send(()).expect("the thread waits for it");
    holder.await.expect("it does not panic").expect("it was released");
    // The next one has its turn, behind what was left of the first.
    let client = TcpStream::connect(("localhost", port)).await?;
    assert_eq!(listener.accept().await?.peer_addr()?, client.local_addr()?);
    Ok(())
}
