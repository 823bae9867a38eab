//! The two halves of a stream: what dropping one of them says to the peer, and what else they have.

#[path = "common/net.rs"]
#[allow(dead_code)] // Each test file uses a part.
mod net;

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd};

use corering::fs::File;
use corering::net::{TcpReadHalf, TcpStream, TcpWriteHalf, WriteAbandoned};
use corering::test_support::drivers;
use corering::{Runtime, spawn, yield_now};
use net::{TOO_MUCH, drop_in_flight, ends, has_ended, tcp_pair, tcp_peer, unix_peer};

#[corering::test]
async fn dropped_write_half_ends_the_stream_behind_what_was_sent() -> io::Result<()> {
    let (stream, mut peer) = tcp_peer().await?;
    let (mut reader, mut writer) = stream.into_split();
    writer.write_all("last words").await?;
    drop(writer);
    let mut received = Vec::new();
    peer.read_to_end(&mut received)?;
    assert_eq!(received, b"last words");
    peer.write_all(b"the other side goes on")?;
    assert_eq!(&*reader.recv().await?, b"the other side goes on");
    Ok(())
}

#[corering::test]
async fn dropped_write_half_ends_while_the_other_receives() -> io::Result<()> {
    let (stream, mut peer) = unix_peer()?;
    let (mut reader, writer) = stream.into_split();
    let receiving = spawn(async move { reader.recv().await.map(|received| received.to_vec()) });
    yield_now().await;
    assert!(!has_ended(&peer));
    drop(writer);
    assert!(has_ended(&peer));
    peer.write_all(b"answer")?;
    assert_eq!(receiving.await.expect("it does not panic")?, b"answer");
    Ok(())
}

#[corering::test]
async fn forgotten_write_half_leaves_the_stream_open() -> io::Result<()> {
    let (stream, mut peer) = unix_peer()?;
    let (reader, writer) = stream.into_split();
    writer.forget();
    assert_eq!(peer.read(&mut [0]).expect_err("it goes on").kind(), ErrorKind::WouldBlock);
    drop(reader);
    assert!(ends(peer));
    Ok(())
}

#[corering::test]
async fn dropped_read_half_ends_nothing() -> io::Result<()> {
    let (stream, mut peer) = unix_peer()?;
    let (mut reader, mut writer) = stream.into_split();
    drop_in_flight(Box::pin(reader.recv())).await;
    drop(reader);
    peer.write_all(b"nobody reads it")?;
    writer.write_all("still here").await?;
    let mut received = [0; 10];
    peer.read_exact(&mut received)?;
    assert_eq!(&received, b"still here");
    assert!(!has_ended(&peer));
    drop(writer);
    assert!(ends(peer));
    Ok(())
}

#[corering::test]
async fn write_half_dropped_after_a_write_in_flight_ends_the_stream() -> io::Result<()> {
    let (stream, peer) = tcp_peer().await?;
    let (_reader, mut writer) = stream.into_split();
    drop_in_flight(writer.write_all(vec![7; TOO_MUCH])).await;
    drop(writer);
    let received = std::thread::spawn(move || {
        let mut received = Vec::new();
        { peer }.read_to_end(&mut received).map(|_| received)
    });
    // What is in flight on a ring ends in its rounds.
    while !received.is_finished() {
        yield_now().await;
    }
    let received = received.join().expect("the peer does not panic")?;
    assert!(received.len() < TOO_MUCH);
    Ok(())
}

#[test]
fn write_half_dropped_outside_its_runtime_ends_the_stream() {
    for driver in drivers() {
        for after_its_end in [false, true] {
            let runtime = Runtime::builder().driver(driver).build().expect("it was named");
            let (reader, writer, peer) = runtime.block_on(async {
                let (stream, peer) = tcp_peer().await.expect("loopback is up");
                let (mut reader, writer) = stream.into_split();
                drop_in_flight(reader.recv()).await;
                (reader, writer, peer)
            });
            let runtime = (!after_its_end).then_some(runtime);
            drop(writer);
            assert!(ends(peer), "on {driver}");
            drop((runtime, reader));
        }
    }
}

/// What a proxy does in one direction. The end goes on by the drop.
async fn pump(mut from: TcpReadHalf, mut to: TcpWriteHalf) -> io::Result<()> {
    loop {
        let received = from.recv().await?;
        if received.is_empty() {
            return Ok(());
        }
        to.write_all(received).await?;
    }
}

#[corering::test]
async fn proxy_of_halves_passes_the_ends_on() -> io::Result<()> {
    let ((client, front), (back, server)) = (tcp_pair().await?, tcp_pair().await?);
    let ((front_reads, front_writes), (back_reads, back_writes)) =
        (front.into_split(), back.into_split());
    let pumps = [spawn(pump(front_reads, back_writes)), spawn(pump(back_reads, front_writes))];
    let server = spawn(async move {
        let mut server: TcpStream = server;
        let asked = net::receive_all(&mut server).await?;
        server.write_all(asked).await?;
        server.close().await
    });
    let (mut reader, mut writer) = client.into_split();
    writer.write_all("question").await?;
    drop(writer);
    let mut answer = Vec::new();
    loop {
        let received = reader.recv().await?;
        if received.is_empty() {
            break;
        }
        answer.extend_from_slice(&received);
    }
    assert_eq!(answer, b"question");
    for pump in pumps {
        pump.await.expect("it does not panic")?;
    }
    server.await.expect("it does not panic")
}

#[corering::test]
async fn lent_halves_work_at_once_and_end_nothing() -> io::Result<()> {
    let (mut stream, mut peer) = tcp_peer().await?;
    let (reader, writer) = stream.split();
    let sending = async {
        writer.write_all(vec![7; 100]).await?;
        peer.write_all(b"answer")
    };
    let (received, sent) = futures_util::join!(reader.recv(), sending);
    sent?;
    assert_eq!(&*received?, b"answer");
    peer.set_nonblocking(true)?;
    assert!(!has_ended(&peer));
    stream.write_all("more").await?;
    assert_eq!(peer.read(&mut [0; 10])?, 4);
    Ok(())
}

#[corering::test]
async fn reunited_halves_lose_nothing_and_end_nothing() -> io::Result<()> {
    let (stream, mut peer) = unix_peer()?;
    let (mut reader, mut writer) = stream.into_split();
    drop_in_flight(reader.recv()).await;
    drop_in_flight(writer.write_all(vec![7; TOO_MUCH])).await;
    peer.write_all(b"for the stream")?;
    let mut stream = reader.reunite(writer).expect("they are of one stream");
    assert!(!has_ended(&peer));
    assert_eq!(&*stream.recv().await?, b"for the stream");
    let failed = stream.write_all("next").await.expect_err("a write was abandoned");
    assert!(WriteAbandoned::of(&failed.error).is_some(), "{failed}");
    let stream = stream.detach().await?.into_stream();
    assert!(!has_ended(&peer));
    stream.close().await?;
    assert!(ends(peer));
    Ok(())
}

#[corering::test]
async fn halves_of_two_streams_come_back_from_reunite() -> io::Result<()> {
    let ((one, mut one_peer), (other, other_peer)) = (unix_peer()?, unix_peer()?);
    let ((one_reads, one_writes), (other_reads, other_writes)) =
        (one.into_split(), other.into_split());
    let (mut one_reads, other_writes) =
        one_reads.reunite(other_writes).expect_err("they are of two streams");
    let (other_reads, one_writes) =
        one_writes.reunite(other_reads).expect_err("they are of two streams");
    one_peer.write_all(b"still here")?;
    assert_eq!(&*one_reads.recv().await?, b"still here");
    assert!(!has_ended(&one_peer) && !has_ended(&other_peer));
    let _one = one_writes.reunite(one_reads).expect("they are of one stream");
    let _other = other_reads.reunite(other_writes).expect("they are of one stream");
    Ok(())
}

#[corering::test]
async fn closed_write_half_ends_the_stream_and_waits() -> io::Result<()> {
    let (stream, mut peer) = unix_peer()?;
    let (mut reader, mut writer) = stream.into_split();
    drop_in_flight(writer.write_all(vec![7; TOO_MUCH])).await;
    writer.close().await?;
    assert_eq!(corering::metrics().operations_in_flight, 0);
    assert!(has_ended(&peer));
    peer.write_all(b"the other side goes on")?;
    assert_eq!(&*reader.recv().await?, b"the other side goes on");
    Ok(())
}

#[corering::test]
async fn closed_read_half_ends_nothing_and_waits() -> io::Result<()> {
    let (stream, mut peer) = unix_peer()?;
    let (mut reader, mut writer) = stream.into_split();
    drop_in_flight(reader.recv()).await;
    reader.close().await?;
    assert_eq!(corering::metrics().operations_in_flight, 0);
    writer.write_all("still here").await?;
    assert_eq!(peer.read(&mut [0; 20])?, 10);
    assert!(!has_ended(&peer));
    writer.close().await?;
    assert!(peer.write_all(b"anybody there").is_err(), "both halves are closed");
    Ok(())
}

#[corering::test]
async fn halves_have_addresses_and_descriptor_of_the_stream() -> io::Result<()> {
    let (stream, peer) = tcp_peer().await?;
    let fd = stream.as_raw_fd();
    let (reader, writer) = stream.into_split();
    for address in [reader.local_addr()?, writer.local_addr()?] {
        assert_eq!(address, peer.peer_addr()?);
    }
    for address in [reader.peer_addr()?, writer.peer_addr()?] {
        assert_eq!(address, peer.local_addr()?);
    }
    assert_eq!((reader.as_raw_fd(), writer.as_raw_fd()), (fd, fd));
    assert_eq!((reader.as_fd().as_raw_fd(), writer.as_fd().as_raw_fd()), (fd, fd));
    assert_eq!(
        format!("{reader:?} {writer:?}"),
        format!("TcpReadHalf {{ fd: {fd} }} TcpWriteHalf {{ fd: {fd} }}")
    );
    Ok(())
}

#[corering::test]
async fn write_half_sends_files() -> io::Result<()> {
    let (stream, mut peer) = unix_peer()?;
    let (_reader, mut writer) = stream.into_split();
    let file = File::open(file!()).await?;
    assert_eq!(writer.send_file_after("head ", &file, 4, 7).await?, (7, "head "));
    assert_eq!(writer.send_file(&file, 0, 3).await?, 3);
    let mut received = [0; 15];
    peer.read_exact(&mut received)?;
    assert_eq!(&received, b"head The two//!");
    Ok(())
}
