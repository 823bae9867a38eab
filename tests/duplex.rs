//! Streams in memory, and that streams of all kinds are one by the traits of `io`.

#[allow(dead_code)] // Each test file uses a part.
#[path = "common/net.rs"]
mod net;

use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::pin::pin;
use std::task::Poll;

use corering::buf::IoBuf;
use corering::io::{DuplexStream, Lend, OwnedRead, OwnedWrite, PollWrite, duplex};
use corering::net::{TcpStream, UnixStream};
use corering::spawn;
use net::{drop_in_flight, pattern, poll_once, tcp_pair, tcp_peer};

/// All that can come of a stream.
async fn read_to_end(stream: &mut impl OwnedRead) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        match stream.read(Vec::with_capacity(1000)).await? {
            (0, _) => return Ok(all),
            (_, part) => all.extend_from_slice(&part),
        }
    }
}

/// What holds of streams of all kinds.
async fn speaks_the_vocabulary<S>(mut one: S, mut other: S) -> io::Result<()>
where
    S: OwnedRead + OwnedWrite + Lend + PollWrite + 'static,
{
    let (count, buf) = one.write(b"one two three".to_vec()).await?;
    assert_eq!((count, buf.len()), (13, 13));
    // Owned, lent, put back, and owned again.
    assert_eq!(other.read_exact(Vec::with_capacity(9), 4).await?, b"one ");
    let mut lent = other.lend().await?;
    assert_eq!(lent, "two three");
    lent.advance(4);
    other.put_back(lent);
    let (count, buf) = other.read(Vec::with_capacity(9).slice(..2)).await?;
    assert_eq!((count, buf.into_inner()), (2, b"th".to_vec()));
    assert_eq!(other.lend().await?, "ree");
    // No byte is lost with a read that was dropped.
    one.write_all("half").await?;
    {
        let mut read = pin!(other.read_exact(Vec::with_capacity(8), 8));
        for _ in 0..5 {
            assert!(poll_once(&mut read.as_mut()).await.is_pending());
            corering::yield_now().await;
        }
    }
    one.write_all("-way").await?;
    assert_eq!(other.read_exact(Vec::with_capacity(8), 8).await?, b"half-way");
    // By poll methods.
    let pieces = [IoSlice::new(b"head"), IoSlice::new(b"body")];
    assert_eq!(poll_fn(|cx| one.poll_write_vectored(cx, &pieces)).await?, 8);
    assert_eq!(poll_fn(|cx| one.poll_write(cx, b"!")).await?, 1);
    poll_fn(|cx| one.poll_flush(cx)).await?;
    one.flush().await?;
    assert_eq!(other.read_exact(Vec::with_capacity(9), 9).await?, b"headbody!");
    let no_room = other.read(Vec::new()).await.expect_err("it could not be told from an end");
    assert_eq!(no_room.kind(), ErrorKind::InvalidInput);
    let little_room = other.read_exact(Vec::with_capacity(5), 6).await.expect_err("6 are more");
    assert_eq!(little_room.kind(), ErrorKind::InvalidInput);
    // One side ends, and the other goes on.
    one.write_all("last").await?;
    one.shutdown().await?;
    assert_eq!(other.read_exact(Vec::with_capacity(3), 3).await?, b"las");
    let early = other.read_exact(Vec::with_capacity(3), 3).await.expect_err("it ends before");
    assert_eq!((early.kind(), early.transferred()), (ErrorKind::UnexpectedEof, 1));
    assert_eq!(early.into_parts().1, b"t");
    assert!(other.lend().await?.is_empty());
    assert_eq!(other.read(Vec::with_capacity(1)).await?.0, 0);
    let much = pattern(200_000);
    let sent = much.clone();
    let sender = spawn(async move {
        other.write_all(sent).await?;
        poll_fn(|cx| other.poll_shutdown(cx)).await?;
        io::Result::Ok(other)
    });
    assert!(read_to_end(&mut one).await? == much);
    let other = sender.await.expect("it does not panic")?;
    // The other end is gone.
    drop(one);
    let mut other = other;
    let mut written = Ok(Vec::new());
    // The kernel may take what comes before it knows.
    for _ in 0..100 {
        written = other.write_all(vec![7; 1000]).await;
        if written.is_err() {
            break;
        }
        corering::yield_now().await;
    }
    let broken = written.expect_err("nobody reads");
    assert!(
        matches!(broken.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset),
        "{broken}"
    );
    assert_eq!(broken.into_parts().1.len(), 1000);
    Ok(())
}

#[corering::test]
async fn streams_of_all_kinds_speak_one_vocabulary() -> io::Result<()> {
    let (one, other) = tcp_pair().await?;
    speaks_the_vocabulary(one, other).await?;
    let (one, other) = UnixStream::pair()?;
    speaks_the_vocabulary(one, other).await?;
    let (one, other) = duplex(100);
    speaks_the_vocabulary(one, other).await
}

#[corering::test]
async fn halves_speak_the_same_vocabulary() -> io::Result<()> {
    async fn pass<W: OwnedWrite + PollWrite, R: OwnedRead + Lend>(
        mut writer: W,
        mut reader: R,
    ) -> io::Result<()> {
        writer.write_all("one").await?;
        writer.write("two").await?;
        writer.flush().await?;
        assert_eq!(poll_fn(|cx| writer.poll_write(cx, b"three")).await?, 5);
        assert_eq!(reader.read_exact(Vec::with_capacity(6), 6).await?, b"onetwo");
        let mut lent = reader.lend().await?;
        lent.advance(2);
        reader.put_back(lent);
        writer.shutdown().await?;
        assert_eq!(read_to_end(&mut reader).await?, b"ree");
        Ok(())
    }
    let (one, other) = tcp_pair().await?;
    let ((other_reader, other_writer), (reader, writer)) = (other.into_split(), one.into_split());
    pass(writer, other_reader).await?;
    pass(other_writer, reader).await
}

async fn poll_write(stream: &mut DuplexStream, bytes: &[u8]) -> Poll<io::Result<usize>> {
    poll_fn(|cx| Poll::Ready(stream.poll_write(cx, bytes))).await
}

#[corering::test]
async fn write_in_memory_waits_for_room() -> io::Result<()> {
    let (mut one, mut other) = duplex(10);
    assert!(matches!(poll_write(&mut one, &[1; 8]).await, Poll::Ready(Ok(8))));
    assert!(matches!(poll_write(&mut one, &[2; 8]).await, Poll::Ready(Ok(2))));
    assert!(poll_write(&mut one, &[3; 8]).await.is_pending());
    // Nothing to write needs no room, and the other direction has its own.
    assert!(matches!(poll_write(&mut one, &[]).await, Poll::Ready(Ok(0))));
    assert!(matches!(poll_write(&mut other, &[4; 20]).await, Poll::Ready(Ok(10))));
    let writer = spawn(async move { one.write_all(vec![3; 25]).await.map(|_| one) });
    let mut all = Vec::new();
    while all.len() < 35 {
        let lent = other.lend().await?;
        assert!(lent.len() <= 10);
        all.extend_from_slice(&lent);
    }
    drop(writer.await.expect("it does not panic")?);
    assert_eq!(all, [vec![1; 8], vec![2; 2], vec![3; 25]].concat());
    Ok(())
}

#[corering::test]
async fn what_is_put_back_takes_room_and_comes_first() -> io::Result<()> {
    let (mut one, mut other) = duplex(10);
    one.write_all("0123456789").await?;
    let mut first = other.lend().await?;
    first.advance(2);
    one.write_all("abc").await?;
    let second = other.lend().await?;
    other.put_back(second);
    other.put_back(first);
    assert!(poll_write(&mut one, b"x").await.is_pending());
    assert_eq!(other.read_exact(Vec::with_capacity(11), 11).await?, b"23456789abc");
    assert!(matches!(poll_write(&mut one, b"x").await, Poll::Ready(Ok(1))));
    Ok(())
}

#[corering::test]
async fn write_that_waits_fails_when_the_reader_is_gone() -> io::Result<()> {
    let (mut one, other) = duplex(1);
    let writer = spawn(async move { one.write_all("long").await });
    corering::yield_now().await;
    drop(other);
    let broken = writer.await.expect("it does not panic").expect_err("nobody reads");
    assert_eq!((broken.kind(), broken.transferred()), (ErrorKind::BrokenPipe, 1));
    Ok(())
}

#[corering::test]
async fn read_that_waits_ends_when_the_writer_is_gone() -> io::Result<()> {
    let (one, mut other) = duplex(1);
    let reader = spawn(async move { other.lend().await });
    corering::yield_now().await;
    drop(one);
    assert!(reader.await.expect("it does not panic")?.is_empty());
    Ok(())
}

#[test]
#[should_panic(expected = "at least one byte")]
fn stream_in_memory_without_room_is_refused() {
    let _ = duplex(0);
}

#[corering::test]
async fn bytes_put_back_come_before_those_of_a_dropped_read() -> io::Result<()> {
    for put_back_first in [false, true] {
        // A ring hands the buffer of the read to the kernel.
        let (mut stream, mut peer) = tcp_peer().await?;
        let put_back = |stream: &mut TcpStream| stream.put_back(b"abc".to_vec().into());
        if put_back_first {
            put_back(&mut stream);
            assert_eq!(stream.recv().await?, "abc");
        }
        drop_in_flight(stream.read(Vec::with_capacity(1 << 14))).await;
        put_back(&mut stream);
        peer.write_all(b"def")?;
        assert_eq!(stream.read_exact(Vec::with_capacity(6), 6).await?, b"abcdef");
    }
    Ok(())
}

#[corering::test]
async fn bytes_put_back_go_along_with_a_detached_stream() -> io::Result<()> {
    let (mut stream, mut peer) = tcp_peer().await?;
    peer.write_all(b"abcdef")?;
    let mut lent = stream.lend().await?;
    lent.advance(2);
    stream.put_back(lent);
    let (mut std, mut received) = stream.into_std().await?;
    drop(peer);
    std.read_to_end(&mut received)?;
    assert_eq!(received, b"cdef");
    Ok(())
}
