//! What TCP and Unix sockets do, on both drivers.

#[allow(dead_code)] // Each test file uses a part.
#[path = "common/child.rs"]
mod child;
#[allow(dead_code)]
#[path = "common/net.rs"]
mod net;

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use std::time::Duration;

use child::Child;
use corering::buf::IoBuf;
use corering::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use corering::time::within;
use corering::{spawn, yield_now};
use futures_util::{FutureExt, StreamExt};
use net::{
    TOO_MUCH, drop_in_flight, echo, has_ended, listener, nothing_is_in_flight, pattern, poll_once,
    receive_all, tcp_pair, tcp_peer, unix_peer,
};
use socket2::SockRef;

#[corering::test]
async fn both_ends_know_both_addresses() -> io::Result<()> {
    let (client, server) = tcp_pair().await?;
    assert_eq!(client.local_addr()?, server.peer_addr()?);
    assert_eq!(server.local_addr()?, client.peer_addr()?);
    Ok(())
}

#[corering::test]
async fn small_segments_are_sent_at_once_when_told_so() -> io::Result<()> {
    let (client, _server) = tcp_pair().await?;
    assert!(!client.nodelay()?);
    client.set_nodelay(true)?;
    assert!(client.nodelay()?);
    Ok(())
}

#[corering::test]
async fn name_is_looked_up_and_connected_to() -> io::Result<()> {
    let (listener, address) = listener().await?;
    let mut client = TcpStream::connect(("localhost", address.port())).await?;
    let mut server = listener.accept().await?;
    client.write_all("by name").await?;
    assert_eq!(&*server.recv().await?, b"by name");
    Ok(())
}

#[corering::test]
async fn name_without_an_address_is_an_error_that_names_it() {
    let error = TcpStream::connect("no-such-host.invalid:80").await.expect_err("no such host");
    assert!(error.to_string().contains("no-such-host.invalid"), "{error}");
}

#[corering::test]
async fn text_without_a_port_is_an_error_that_says_how_to_write_it() {
    let error = TcpStream::connect("localhost").await.expect_err("no port");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("host:port"), "{error}");
}

#[corering::test]
async fn port_in_use_is_an_error_that_names_the_address() -> io::Result<()> {
    let (_listener, address) = listener().await?;
    let error = TcpListener::bind(address).await.expect_err("it is taken");
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    Ok(())
}

#[corering::test]
async fn port_is_shared_when_both_listeners_ask_for_it() -> io::Result<()> {
    let first = TcpListener::builder().reuse_port(true).bind("127.0.0.1:0").await?;
    let second = TcpListener::builder().reuse_port(true).bind(first.local_addr()?).await?;
    assert_eq!(first.local_addr()?, second.local_addr()?);
    Ok(())
}

#[corering::test]
async fn port_without_a_listener_refuses() -> io::Result<()> {
    let (listener, address) = listener().await?;
    drop(listener);
    let error = TcpStream::connect(address).await.expect_err("nobody listens");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    Ok(())
}

#[corering::test]
async fn messages_of_all_sizes_come_back_from_an_echo() -> io::Result<()> {
    let (mut client, server) = tcp_pair().await?;
    let server = spawn(echo(server));
    for len in [1, 15, 1024, 4096, 16 * 1024, 16 * 1024 + 1, 100_000, 1, 1] {
        let sent = client.write_all(pattern(len)).await?;
        let received = client.read_exact(Vec::with_capacity(len), len).await?;
        assert!(sent == received, "{len} bytes came back changed");
    }
    drop(client);
    server.await.expect("it does not panic")
}

#[corering::test]
async fn a_hundred_connections_are_served_at_once() -> io::Result<()> {
    let (listener, address) = listener().await?;
    let server = spawn(async move {
        let mut incoming = listener.incoming();
        let mut echoes = Vec::new();
        while echoes.len() < 100 {
            let stream = incoming.next().await.expect("it does not end")?;
            echoes.push(spawn(echo(stream)));
        }
        for served in echoes {
            served.await.expect("it does not panic")?;
        }
        io::Result::Ok(())
    });
    let clients: Vec<_> = (0..100_usize)
        .map(|number| {
            spawn(async move {
                let mut client = TcpStream::connect(address).await?;
                for round in 0..10 {
                    let message = pattern(1 + number * round);
                    let len = message.len();
                    let message = client.write_all(message).await?;
                    assert!(client.read_exact(Vec::with_capacity(len), len).await? == message);
                }
                io::Result::Ok(())
            })
        })
        .collect();
    for client in clients {
        client.await.expect("it does not panic")?;
    }
    server.await.expect("it does not panic")
}

#[corering::test]
async fn read_takes_what_an_earlier_recv_had_armed_for() -> io::Result<()> {
    let (mut stream, mut peer) = tcp_peer().await?;
    drop_in_flight(stream.recv()).await;
    peer.write_all(b"abcdefgh")?;
    let (count, start) = stream.read(Vec::with_capacity(3)).await?;
    assert_eq!((count, &*start), (3, &b"abc"[..]));
    let mut whole = start;
    while whole.len() < 5 {
        whole.reserve(2);
        let end = whole.len();
        whole = stream.read(whole.slice(end..5)).await?.1.into_inner();
    }
    assert_eq!(&whole[..5], b"abcde");
    let rest = stream.recv().await?;
    assert!(b"fgh".starts_with(&rest) && !rest.is_empty());
    Ok(())
}

#[corering::test]
async fn read_appends_to_what_a_buffer_holds() -> io::Result<()> {
    let (mut stream, mut peer) = tcp_peer().await?;
    let mut buf = Vec::with_capacity(16);
    buf.extend_from_slice(b"head ");
    peer.write_all(b"body")?;
    let (count, buf) = stream.read(buf.slice(5..)).await?;
    assert_eq!((count, &*buf.into_inner()), (4, &b"head body"[..]));
    Ok(())
}

#[corering::test]
async fn read_exact_that_meets_the_end_says_how_far_it_came() -> io::Result<()> {
    let (mut stream, mut peer) = tcp_peer().await?;
    peer.write_all(b"abc")?;
    drop(peer);
    let failed =
        stream.read_exact(Vec::with_capacity(16), 8).await.expect_err("three bytes are not eight");
    assert_eq!(failed.kind(), ErrorKind::UnexpectedEof);
    assert!(failed.to_string().contains("after 3 of 8"), "{failed}");
    Ok(())
}

#[corering::test]
async fn end_of_the_stream_is_told_again_and_again() -> io::Result<()> {
    let (mut stream, peer) = tcp_peer().await?;
    drop(peer);
    for _ in 0..3 {
        assert!(stream.recv().await?.is_empty());
        assert_eq!(stream.read(Vec::with_capacity(8)).await?.0, 0);
    }
    Ok(())
}

#[corering::test]
async fn what_was_sent_before_the_end_comes_before_it() -> io::Result<()> {
    let (mut stream, mut peer) = tcp_peer().await?;
    peer.write_all(b"last words")?;
    drop(peer);
    assert_eq!(receive_all(&mut stream).await?, b"last words");
    Ok(())
}

#[corering::test]
async fn side_that_has_ended_can_still_receive() -> io::Result<()> {
    let (mut stream, mut peer) = tcp_peer().await?;
    stream.write_all("question").await?;
    stream.shutdown(Shutdown::Write).await?;
    let mut question = String::new();
    peer.read_to_string(&mut question)?;
    assert_eq!(question, "question");
    peer.write_all(b"answer")?;
    assert_eq!(&*stream.recv().await?, b"answer");
    Ok(())
}

#[corering::test]
async fn halves_work_in_two_tasks() -> io::Result<()> {
    let (client, server) = tcp_pair().await?;
    let server = spawn(echo(server));
    let (mut reader, mut writer) = client.into_split();
    let sent = pattern(1 << 20);
    let message = sent.clone();
    let sender = spawn(async move {
        writer.write_all(message).await?;
        writer.shutdown(Shutdown::Write).await
    });
    let mut received = Vec::new();
    loop {
        let part = reader.recv().await?;
        if part.is_empty() {
            break;
        }
        received.extend_from_slice(&part);
    }
    assert!(received == sent);
    sender.await.expect("it does not panic")?;
    server.await.expect("it does not panic")
}

#[corering::test]
async fn half_that_is_dropped_leaves_the_other_working() -> io::Result<()> {
    let (stream, mut peer) = tcp_peer().await?;
    let (reader, mut writer) = stream.into_split();
    drop(reader);
    writer.write_all("still here").await?;
    let mut got = [0; 10];
    peer.read_exact(&mut got)?;
    assert_eq!(&got, b"still here");
    drop(writer);
    assert_eq!(peer.read(&mut got)?, 0);
    Ok(())
}

#[corering::test]
async fn peer_that_resets_is_an_error_of_the_next_receive() -> io::Result<()> {
    let (mut stream, peer) = tcp_peer().await?;
    drop_in_flight(stream.recv()).await;
    SockRef::from(&peer).set_linger(Some(Duration::ZERO))?;
    drop(peer);
    let error = stream.recv().await.expect_err("it was reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    Ok(())
}

#[corering::test]
async fn write_to_a_peer_that_is_gone_is_an_error_with_the_buffer() -> io::Result<()> {
    let (mut stream, peer) = unix_peer()?;
    // Closed it might live on for a moment, in a child of another test.
    peer.shutdown(Shutdown::Both)?;
    let (error, buf) = stream.write(b"mine".to_vec()).await.expect_err("nobody reads").into_parts();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    assert_eq!(buf, b"mine");
    let failed = stream.write_all(b"mine".to_vec()).await.expect_err("nobody reads");
    assert_eq!(failed.buf(), b"mine");
    Ok(())
}

#[test]
fn write_to_a_peer_that_is_gone_sends_no_signal() {
    if !child::is_child() {
        return Child::of("write_to_a_peer_that_is_gone_sends_no_signal").passes();
    }
    // The standard library ignores it in every program; a library in another one cannot count on that.
    // SAFETY: SIG_DFL is a valid action for SIGPIPE.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    for driver in corering::test_support::drivers() {
        let runtime =
            corering::Runtime::builder().driver(driver).build().expect("the driver is there");
        runtime.block_on(async {
            let (mut stream, peer) = unix_peer().expect("a descriptor is free");
            drop(peer);
            let failed = stream.write_all("x").await.expect_err("nobody reads");
            assert_eq!(failed.kind(), ErrorKind::BrokenPipe);
        });
    }
}

#[corering::test]
async fn write_of_more_than_the_socket_holds_ends_when_the_peer_has_read() -> io::Result<()> {
    let (mut stream, mut peer) = tcp_peer().await?;
    let sent = pattern(TOO_MUCH);
    let expected = sent.clone();
    let reader = thread::spawn(move || {
        let mut received = Vec::new();
        peer.read_to_end(&mut received).map(|_| received == expected)
    });
    stream.write_all(sent).await?;
    stream.close().await?;
    assert!(reader.join().expect("it does not panic")?);
    Ok(())
}

#[corering::test]
async fn plain_write_tells_how_much_the_kernel_took() -> io::Result<()> {
    let (mut stream, mut peer) = unix_peer()?;
    let (first, buf) = stream.write(pattern(100)).await?;
    assert_eq!(first, 100);
    let mut got = vec![0; 100];
    peer.read_exact(&mut got)?;
    assert_eq!(got, buf);
    Ok(())
}

#[corering::test]
async fn writing_nothing_sends_nothing() -> io::Result<()> {
    let (mut stream, peer) = tcp_peer().await?;
    stream.write_all("").await?;
    stream.write_all(Vec::new()).await?;
    peer.set_nonblocking(true)?;
    assert!(!has_ended(&peer));
    Ok(())
}

#[corering::test]
async fn received_buffer_is_sent_as_it_is() -> io::Result<()> {
    let (mut stream, mut peer) = tcp_peer().await?;
    peer.write_all(b"there and back")?;
    let mut received = stream.recv().await?;
    received.advance(6);
    drop(stream.write_all(received).await?);
    let mut got = [0; 8];
    peer.read_exact(&mut got)?;
    assert_eq!(&got, b"and back");
    Ok(())
}

#[corering::test]
async fn close_waits_for_what_is_in_flight_and_the_peer_sees_the_end() -> io::Result<()> {
    let (mut stream, mut peer) = tcp_peer().await?;
    drop_in_flight(stream.recv()).await;
    stream.close().await?;
    assert_eq!(corering::metrics().operations_in_flight, 0);
    assert_eq!(peer.read(&mut [0; 8])?, 0);
    Ok(())
}

#[corering::test]
async fn close_does_not_hang_after_a_read_was_dropped_in_flight() -> io::Result<()> {
    let (mut stream, mut peer) = tcp_peer().await?;
    drop_in_flight(stream.read(Vec::with_capacity(64))).await;
    stream.close().await?;
    assert_eq!(corering::metrics().slots_in_use, 0);
    assert_eq!(peer.read(&mut [0; 8])?, 0);
    Ok(())
}

#[corering::test]
async fn close_does_not_hang_on_a_peer_that_never_reads() -> io::Result<()> {
    let (mut stream, peer) = tcp_peer().await?;
    drop_in_flight(stream.write_all(pattern(TOO_MUCH))).await;
    stream.close().await?;
    assert_eq!(corering::metrics().slots_in_use, 0);
    drop(peer);
    Ok(())
}

#[corering::test]
async fn peer_sees_the_end_when_a_stream_with_an_armed_receive_is_dropped() -> io::Result<()> {
    let (mut stream, mut peer) = tcp_peer().await?;
    drop_in_flight(stream.recv()).await;
    drop(stream);
    nothing_is_in_flight().await;
    assert_eq!(peer.read(&mut [0; 8])?, 0);

    let (mut stream, mut peer) = tcp_peer().await?;
    drop_in_flight(stream.read(Vec::with_capacity(64))).await;
    drop(stream);
    nothing_is_in_flight().await;
    assert_eq!(peer.read(&mut [0; 8])?, 0);
    Ok(())
}

#[corering::test]
async fn clients_that_reset_before_they_are_accepted_do_not_end_the_accept_loop() -> io::Result<()>
{
    let (listener, address) = listener().await?;
    for _ in 0..10 {
        let client = std::net::TcpStream::connect(address)?;
        SockRef::from(&client).set_linger(Some(Duration::ZERO))?;
    }
    let mut survivor = std::net::TcpStream::connect(address)?;
    survivor.write_all(b"here")?;
    // Linux accepts a connection that was reset meanwhile; the first receive tells.
    for _ in 0..11 {
        let mut accepted = listener.accept().await?;
        match accepted.recv().await {
            Ok(received) => {
                assert_eq!(&*received, b"here");
                return Ok(());
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
    }
    panic!("the survivor was not accepted");
}

#[corering::test]
async fn non_blocking_socket_from_elsewhere_waits_for_its_bytes() -> io::Result<()> {
    for by_read in [false, true] {
        let (ours, mut peer) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let mut stream = UnixStream::from(OwnedFd::from(ours));
        let receiver = spawn(async move {
            if by_read {
                return Ok(stream.read(Vec::with_capacity(16)).await?.1);
            }
            io::Result::Ok(stream.recv().await?.to_vec())
        });
        corering::yield_now().await;
        assert!(!receiver.is_finished());
        peer.write_all(b"bytes")?;
        assert_eq!(receiver.await.expect("it does not panic")?, b"bytes");
    }
    Ok(())
}

#[corering::test]
async fn non_blocking_socket_from_elsewhere_waits_for_room() -> io::Result<()> {
    let (ours, mut peer) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let mut stream = UnixStream::from(OwnedFd::from(ours));
    let sent = pattern(TOO_MUCH);
    let expected = sent.clone();
    let reader = thread::spawn(move || {
        let mut received = Vec::new();
        peer.read_to_end(&mut received).map(|_| received == expected)
    });
    stream.write_all(sent).await?;
    drop(stream);
    nothing_is_in_flight().await;
    assert!(reader.join().expect("it does not panic")?);
    Ok(())
}

#[corering::test]
async fn non_blocking_listener_from_elsewhere_waits_for_a_client() -> io::Result<()> {
    let listening = std::net::TcpListener::bind("127.0.0.1:0")?;
    listening.set_nonblocking(true)?;
    let address = listening.local_addr()?;
    let listener = TcpListener::from(OwnedFd::from(listening));
    assert!(poll_once(&mut listener.accept()).await.is_pending());
    let client = std::net::TcpStream::connect(address)?;
    let accepted = listener.accept().await?;
    assert_eq!(accepted.peer_addr()?, client.local_addr()?);
    Ok(())
}

#[corering::test]
async fn socket_that_becomes_non_blocking_behind_our_back_still_waits() -> io::Result<()> {
    let (mut stream, mut peer) = unix_peer()?;
    let shared = std::os::unix::net::UnixStream::from(stream.as_fd().try_clone_to_owned()?);
    peer.write_all(b"before")?;
    assert_eq!(&*stream.recv().await?, b"before");
    shared.set_nonblocking(true)?;
    let receiver = spawn(async move {
        let (_, buf) = stream.read(Vec::with_capacity(16)).await?;
        io::Result::Ok(buf)
    });
    corering::yield_now().await;
    peer.write_all(b"after")?;
    assert_eq!(receiver.await.expect("it does not panic")?, b"after");
    Ok(())
}

#[corering::test]
async fn unix_listener_accepts_at_its_path() -> io::Result<()> {
    let folder = std::env::temp_dir().join(format!("corering-net-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let path = folder.join(corering::test_support::current_driver().to_string());
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).await?;
    assert_eq!(listener.local_addr()?, Some(path.clone()));
    let mut client = UnixStream::connect(&path).await?;
    let mut server = listener.accept().await?;
    assert_eq!(client.peer_addr()?, Some(path.clone()));
    client.write_all("by path").await?;
    assert_eq!(&*server.recv().await?, b"by path");

    let error = UnixListener::bind(&path).await.expect_err("the path is taken");
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&*path.to_string_lossy()), "{error}");
    std::fs::remove_file(&path)?;
    let error = UnixStream::connect(&path).await.expect_err("the path is gone");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    // Another driver's test may still use the folder.
    let _ = std::fs::remove_dir(&folder);
    Ok(())
}

#[corering::test]
async fn time_limits_end_what_waits_and_lose_nothing() -> io::Result<()> {
    let limit = Duration::from_millis(1);
    let (listener, address) = listener().await?;
    let error = within(limit, listener.accept()).await.expect_err("nobody connects");
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let mut peer = std::net::TcpStream::connect(address)?;
    let mut stream = within(Duration::MAX, listener.accept()).await?;

    let error = within(limit, stream.recv()).await.expect_err("nothing is sent");
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let failed = within(limit, stream.read(b"mine".to_vec())).await.expect_err("nothing is sent");
    assert_eq!((failed.kind(), &failed.buf()[..]), (ErrorKind::TimedOut, &b"mine"[..]));
    peer.write_all(b"late")?;
    assert_eq!(&*within(Duration::MAX, stream.recv()).await?, b"late");
    Ok(())
}

#[test]
fn without_a_runtime_a_socket_says_what_is_missing() {
    use futures_util::FutureExt;
    let bound = TcpListener::bind("127.0.0.1:0").now_or_never().expect("it does not wait");
    let told = bound.expect_err("there is no runtime").to_string();
    assert!(told.contains("no corering runtime") && told.contains("block_on"), "{told}");
}

#[corering::test]
async fn peeked_bytes_stay_for_the_next_receive() -> io::Result<()> {
    let (mut client, mut server) = tcp_pair().await?;
    assert!(server.peek().now_or_never().is_none());
    client.write_all("hello").await?;
    for _ in 0..2 {
        assert_eq!(server.peek().await?, b"hello");
    }
    assert_eq!(server.read_exact(vec![0; 2], 2).await?, b"he");
    assert_eq!(server.peek().await?, b"llo");
    assert_eq!(&*server.recv().await?, b"llo");
    drop(client);
    server.readable().await?;
    assert!(server.peek().await?.is_empty() && server.recv().await?.is_empty());
    Ok(())
}

#[corering::test]
async fn readable_stream_gives_its_bytes_at_once() -> io::Result<()> {
    for room in [16, 16 * 1024] {
        let (mut client, server) = tcp_pair().await?;
        let (mut server, _writer) = server.into_split();
        for _ in 0..3 {
            let nothing = server.try_read(Vec::with_capacity(room)).expect_err("nothing is there");
            assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
            assert_eq!(nothing.into_parts().1.capacity(), room);
            client.write_all("hello").await?;
            server.readable().await?;
            assert_eq!(server.try_read(Vec::with_capacity(room))?, (5, b"hello".to_vec()));
        }
        drop(client);
        server.readable().await?;
        assert_eq!(server.try_read(Vec::with_capacity(room))?.0, 0);
    }
    Ok(())
}

#[corering::test]
async fn try_read_finds_what_has_come_without_a_wait() -> io::Result<()> {
    for room in [16, 16 * 1024] {
        let (mut client, mut server) = tcp_pair().await?;
        client.write_all("hello").await?;
        let mut buf = Vec::with_capacity(room);
        buf = loop {
            match server.try_read(buf) {
                Ok((5, buf)) => break buf,
                Ok((count, _)) => panic!("{count} bytes"),
                Err(nothing) => buf = nothing.into_parts().1,
            }
            yield_now().await;
        };
        assert_eq!(buf, b"hello");
        client.write_all("again").await?;
        assert_eq!(&*server.recv().await?, b"again");
    }
    Ok(())
}

#[corering::test]
async fn writable_waits_for_room() -> io::Result<()> {
    let (mut client, mut server) = tcp_pair().await?;
    client.writable().await?;
    let limit = Duration::from_millis(1);
    let full = within(limit, client.write_all(pattern(TOO_MUCH))).await.expect_err("no reader");
    let mut writable = client.writable();
    assert!((&mut writable).now_or_never().is_none());
    let mut received = 0;
    while received < full.transferred() {
        received += server.recv().await?.len();
    }
    writable.await
}
