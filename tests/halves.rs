//! The two halves of a stream: what dropping one of them says to the peer.

#[path = "common/net.rs"]
#[allow(dead_code)] // Each test file uses a part.
mod net;

use std::io::{self, ErrorKind, Read, Write};

use corering::net::{TcpReadHalf, TcpStream, TcpWriteHalf};
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
