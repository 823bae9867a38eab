//! Bytes that `poll_write` took are as good as in the kernel: they arrive, in order, whatever becomes of
//! the stream.

#[path = "common/net.rs"]
#[allow(dead_code)] // Each test file uses a part.
mod net;

use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice, Read};
use std::net::Shutdown;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::task::Poll;
use std::time::Duration;

use corering::io::{Lend, PollWrite};
use corering::task::JoinSet;
use corering::test_support::{self, current_driver};
use corering::time::{timeout, within};
use corering::{Driver, Runtime, spawn, yield_now};
use net::{
    echo, ends, has_ended, nothing_is_in_flight, pattern, tcp_pair, tcp_peer, unix_peer, until,
    until_metrics,
};

/// While the set lives, another task is ready in each round, so that a ring gathers the sends of a round.
fn busy() -> JoinSet<()> {
    let mut others = JoinSet::new();
    others.spawn(async {
        loop {
            yield_now().await;
        }
    });
    others
}

async fn write(stream: &mut impl PollWrite, bytes: &[u8]) -> io::Result<usize> {
    poll_fn(|cx| stream.poll_write(cx, bytes)).await
}

async fn write_once(stream: &mut impl PollWrite, bytes: &[u8]) -> Poll<io::Result<usize>> {
    poll_fn(|cx| Poll::Ready(stream.poll_write(cx, bytes))).await
}

/// Writes until nothing more is taken, and says how much was.
async fn fill(stream: &mut impl PollWrite) -> io::Result<usize> {
    let mut taken = 0;
    // What is taken for the shard to send is with the socket some rounds later.
    for _ in 0..100 {
        while let Poll::Ready(count) = write_once(stream, &pattern(1_000)).await {
            taken += count?;
        }
        yield_now().await;
    }
    Ok(taken)
}

/// What a peer, whose calls do not wait, receives until the end.
async fn drain(peer: &mut StdUnixStream) -> usize {
    let (mut received, mut buf) = (0, vec![0; 1 << 16]);
    loop {
        match peer.read(&mut buf) {
            Ok(0) => return received,
            Ok(count) => received += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

/// 10,000 of them.
#[corering::test]
async fn bytes_of_dropped_streams_arrive() -> io::Result<()> {
    let _busy = busy();
    for round in 0..100 {
        let mut peers = Vec::new();
        for number in 0..100 {
            let (mut stream, peer) = unix_peer()?;
            let bytes = pattern(1 + (round * 100 + number) % 5_000);
            let taken = write(&mut stream, &bytes).await?;
            peers.push((peer, taken));
        }
        for (mut peer, taken) in peers {
            assert_eq!(drain(&mut peer).await, taken);
        }
    }
    nothing_is_in_flight().await;
    Ok(())
}

#[corering::test]
async fn bytes_behind_full_socket_arrive_after_drop() -> io::Result<()> {
    let _busy = busy();
    let (mut stream, mut peer) = unix_peer()?;
    let taken = fill(&mut stream).await?;
    let holds = corering::metrics().operations_in_flight > 0;
    assert_eq!(holds, current_driver() == Driver::Uring, "only a ring takes what has no room");
    drop(stream);
    assert_eq!(drain(&mut peer).await, taken);
    Ok(())
}

#[corering::test]
async fn full_stream_takes_more_when_its_peer_has_read() -> io::Result<()> {
    let _busy = busy();
    let (mut stream, mut peer) = unix_peer()?;
    let taken = fill(&mut stream).await?;
    let writer = spawn(async move {
        let count = write(&mut stream, b"last").await?;
        io::Result::Ok(count)
    });
    yield_now().await;
    assert!(!writer.is_finished());
    assert_eq!(drain(&mut peer).await, taken + 4);
    assert_eq!(writer.await.expect("it does not panic")?, 4);
    Ok(())
}

#[corering::test]
async fn writes_of_one_round_arrive_in_order() -> io::Result<()> {
    let (mut stream, mut peer) = tcp_peer().await?;
    let _busy = busy();
    let all = pattern(100_000);
    let mut sent = 0;
    for len in [1, 100, 5_000, 3, 3_000, 3_000, 9_000].into_iter().cycle() {
        let part = &all[sent..(sent + len).min(all.len())];
        if part.is_empty() {
            break;
        }
        let pieces = [IoSlice::new(&part[..part.len() / 2]), IoSlice::new(&part[part.len() / 2..])];
        sent += match len {
            3 | 3_000 => poll_fn(|cx| stream.poll_write_vectored(cx, &pieces)).await?,
            _ => write(&mut stream, part).await?,
        };
    }
    drop(stream);
    let received = corering::spawn_blocking(move || {
        let mut received = Vec::new();
        peer.read_to_end(&mut received).map(|_| received)
    });
    assert!(received.await.expect("it does not panic")? == all, "bytes are missing or mixed");
    Ok(())
}

#[corering::test]
async fn what_follows_lent_bytes_comes_behind_them() -> io::Result<()> {
    let _busy = busy();
    let file = std::env::temp_dir().join(format!("corering-lent-{}", std::process::id()));
    std::fs::write(&file, "file")?;
    let (mut one, mut other) = tcp_pair().await?;
    write(&mut one, b"1 ").await?;
    one.write_all("2 ").await?;
    write(&mut one, b"3 ").await?;
    one.write("4 ").await?;
    write(&mut one, b"5 ").await?;
    one.send_all(vec!["6 ", "7 "]).await?;
    write(&mut one, b"8 ").await?;
    one.send_file(&corering::fs::File::open(&file).await?, 0, 4).await?;
    std::fs::remove_file(&file)?;
    write(&mut one, b" 9").await?;
    one.shutdown(Shutdown::Write).await?;
    let received = net::receive_all(&mut other).await?;
    assert_eq!(String::from_utf8_lossy(&received), "1 2 3 4 5 6 7 8 file 9");
    Ok(())
}

#[corering::test]
async fn ends_of_stream_come_behind_lent_bytes() -> io::Result<()> {
    let _busy = busy();
    for way in 0..6 {
        let (mut stream, mut peer) = unix_peer()?;
        let taken = fill(&mut stream).await?;
        let ending = spawn(async move {
            match way {
                0 => stream.close().await,
                1 => stream.shutdown(Shutdown::Write).await,
                2 => stream.detach().await.map(drop),
                3 => stream.into_std().await.map(drop),
                4 => poll_fn(|cx| stream.poll_shutdown(cx)).await,
                _ => {
                    let (reader, writer) = stream.into_split();
                    drop(writer);
                    drop(reader);
                    Ok(())
                }
            }
        });
        assert_eq!(drain(&mut peer).await, taken, "way {way}");
        ending.await.expect("it does not panic")?;
    }
    Ok(())
}

#[corering::test]
async fn dropped_write_half_ends_behind_lent_bytes() -> io::Result<()> {
    let _busy = busy();
    let (stream, mut peer) = unix_peer()?;
    let (reader, mut writer) = stream.into_split();
    let taken = fill(&mut writer).await?;
    drop(writer);
    assert_eq!(drain(&mut peer).await, taken);
    drop(reader);
    Ok(())
}

#[corering::test]
async fn failed_send_of_lent_bytes_is_told_once() -> io::Result<()> {
    let _busy = busy();
    for way in 0..3 {
        let (mut stream, peer) = unix_peer()?;
        peer.shutdown(Shutdown::Both)?;
        let first = write(&mut stream, b"nobody reads").await;
        nothing_is_in_flight().await;
        // On a ring the bytes were taken, and what comes next hears what became of them.
        let told = match (first, way) {
            (Err(error), _) => Err(error),
            (Ok(_), 0) => write(&mut stream, b"more").await.map(drop),
            (Ok(_), 1) => poll_fn(|cx| stream.poll_flush(cx)).await,
            (Ok(_), _) => stream.write_all("more").await.map(drop).map_err(|failed| failed.error),
        };
        assert_eq!(told.expect_err("nobody reads").kind(), ErrorKind::BrokenPipe, "way {way}");
        poll_fn(|cx| stream.poll_flush(cx)).await?;
    }
    Ok(())
}

#[corering::test]
async fn failed_send_of_lent_bytes_is_told_by_close() -> io::Result<()> {
    let _busy = busy();
    let (mut stream, peer) = unix_peer()?;
    peer.shutdown(Shutdown::Both)?;
    if write(&mut stream, b"nobody reads").await.is_ok() {
        let failed = stream.close().await.expect_err("the bytes were lost");
        assert_eq!(failed.kind(), ErrorKind::BrokenPipe);
        assert_eq!(corering::metrics().unsent_bytes, 12);
    }
    Ok(())
}

#[test]
fn clients_that_never_read_are_given_up() {
    let body = || async {
        let _busy = busy();
        let (mut peers, mut streams) = (Vec::new(), Vec::new());
        for _ in 0..1_000 {
            let (mut stream, peer) = unix_peer()?;
            socket2::SockRef::from(&peer).set_recv_buffer_size(1)?;
            socket2::SockRef::from(&stream).set_send_buffer_size(1)?;
            fill(&mut stream).await?;
            streams.push(stream);
            peers.push(peer);
        }
        drop(streams);
        let given_up = until_metrics(|metrics| metrics.slots_in_use == 0);
        timeout(Duration::from_secs(60), given_up).await.expect("they are given up");
        let unsent = corering::metrics().unsent_bytes;
        assert_eq!(unsent > 0, current_driver() == Driver::Uring, "what is lost is counted");
        assert!(peers.iter().all(has_ended), "a descriptor is held");
        Ok::<(), io::Error>(())
    };
    let linger = Duration::from_millis(10);
    let configure = |builder: corering::Builder| builder.linger(linger);
    test_support::run_configured("clients_that_never_read_are_given_up", None, configure, body);
}

#[test]
fn lent_bytes_leave_when_block_on_returns() {
    for driver in test_support::drivers() {
        let runtime = Runtime::builder().driver(driver).build().expect("a runtime can be built");
        let (mut stream, mut peer) = unix_peer().expect("descriptors are left");
        let others = runtime.block_on(async {
            let others = busy();
            write(&mut stream, b"out").await.expect("the peer is there");
            others
        });
        let mut received = [0; 9];
        assert_eq!(peer.read(&mut received).expect("they are there"), 3, "{driver:?}");
        drop((others, stream, runtime));
    }
}

#[test]
fn end_of_runtime_waits_for_lent_bytes() {
    for driver in test_support::drivers() {
        let runtime = Runtime::builder().driver(driver).build().expect("a runtime can be built");
        let (mut stream, mut peer) = unix_peer().expect("descriptors are left");
        peer.set_nonblocking(false).expect("its mode can be set");
        let (taken, stream) = runtime.block_on(async {
            let _busy = busy();
            (fill(&mut stream).await.expect("the peer is there"), stream)
        });
        let reader = std::thread::spawn(move || {
            let mut received = Vec::new();
            peer.read_to_end(&mut received).map(|_| received.len())
        });
        drop(stream);
        drop(runtime);
        let received = reader.join().expect("it does not panic").expect("it receives");
        assert_eq!(received, taken, "{driver:?}");
    }
}

#[test]
fn end_of_runtime_gives_up_when_it_has_lingered() {
    for driver in test_support::drivers() {
        let builder = Runtime::builder().driver(driver).linger(Duration::from_millis(1));
        let runtime = builder.build().expect("a runtime can be built");
        let (mut stream, peer) = unix_peer().expect("descriptors are left");
        let mut stream = runtime.block_on(async {
            let _busy = busy();
            fill(&mut stream).await.expect("the peer is there");
            stream
        });
        let report = runtime.shut_down();
        assert_eq!(report.leaked_operations, 0, "{driver:?}");
        // Where something was in flight, a later runtime hears of it, once.
        corering::block_on(async {
            if driver == Driver::Uring {
                let failed =
                    poll_fn(|cx| stream.poll_flush(cx)).await.expect_err("bytes were lost");
                assert_eq!(failed.raw_os_error(), Some(libc::ECANCELED));
            }
            poll_fn(|cx| stream.poll_flush(cx)).await.expect("it was told");
            drop(stream);
        });
        assert!(ends(peer));
    }
}

#[corering::test]
async fn polled_writes_without_end_starve_nobody() -> io::Result<()> {
    let (mut one, other) = tcp_pair().await?;
    let server = spawn(echo(other));
    let flood = spawn(async move {
        // Its echoes are received, so that there is always room.
        loop {
            write(&mut one, b"flood").await?;
            while let Poll::Ready(received) = poll_fn(|cx| Poll::Ready(one.poll_lend(cx))).await {
                received?;
            }
        }
        #[allow(unreachable_code)] // It says what the block's errors are.
        io::Result::Ok(())
    });
    for _ in 0..20 {
        corering::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(!flood.is_finished());
    flood.abort();
    drop(flood.await);
    drop(server.await);
    Ok(())
}

#[test]
fn lent_bytes_of_paused_runtime_are_told_of() {
    for driver in test_support::drivers().into_iter().filter(|driver| *driver == Driver::Uring) {
        let [one, other] =
            [(), ()].map(|()| Runtime::builder().driver(driver).build().expect("it can be built"));
        let (mut stream, mut peer) = unix_peer().expect("descriptors are left");
        let taken = one.block_on(async {
            let _busy = busy();
            fill(&mut stream).await.expect("the peer is there")
        });
        other.block_on(async {
            let failed = write(&mut stream, b"more").await.expect_err("the other has its bytes");
            assert!(failed.to_string().contains("another corering runtime"), "{failed}");
        });
        let received = one.block_on(async {
            drop(stream);
            drain(&mut peer).await
        });
        assert_eq!(received, taken);
    }
}

#[corering::test]
async fn write_behind_stuck_lent_bytes_has_its_time_limit() -> io::Result<()> {
    let _busy = busy();
    let (mut stream, mut peer) = unix_peer()?;
    let taken = fill(&mut stream).await?;
    let limited = within(Duration::from_millis(1), stream.write_all("never")).await;
    let (error, buf) = limited.expect_err("nobody reads").into_parts();
    assert_eq!((error.kind(), buf), (ErrorKind::TimedOut, "never"));
    drop(stream);
    assert_eq!(drain(&mut peer).await, taken);
    Ok(())
}

#[corering::test]
async fn poll_that_waits_keeps_last_waker() -> io::Result<()> {
    let (mut stream, peer) = unix_peer()?;
    let first = poll_fn(|cx| Poll::Ready(stream.poll_lend(cx).is_pending())).await;
    assert!(first, "nothing was sent");
    let task =
        spawn(async move { poll_fn(|cx| stream.poll_lend(cx)).await.map(|bytes| bytes.to_vec()) });
    yield_now().await;
    io::Write::write_all(&mut &peer, b"for the task")?;
    until(|| task.is_finished()).await;
    assert_eq!(task.await.expect("it does not panic")?, b"for the task");
    Ok(())
}
