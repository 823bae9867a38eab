//! Streams and listeners as types: one handler for every family, listeners with options, and sockets
//! that come from the standard library or go there.

#[allow(dead_code)] // Each test file uses a part.
#[path = "common/net.rs"]
mod net;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::{UnixListener as StdUnixListener, UnixStream as StdUnixStream};
use std::path::PathBuf;

use corering::net::{
    ByteStream, Family, Listener, TcpListener, TcpStream, UnixListener, UnixStream,
};
use corering::spawn;
use net::{drop_in_flight, listener, poll_once, tcp_peer, unix_peer};
use socket2::SockRef;

/// A path for a socket.
fn path(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("corering-{name}-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
}

/// Answers one connection until its end.
async fn serve<F: Family>(listener: Listener<F>) -> io::Result<F::Address> {
    let mut stream: ByteStream<F> = listener.accept().await?;
    loop {
        let received = stream.recv().await?;
        if received.is_empty() {
            return stream.local_addr();
        }
        stream.write_all(received).await?;
    }
}

async fn ask<F: Family>(stream: ByteStream<F>) -> io::Result<F::Address> {
    let address = stream.peer_addr()?;
    let (mut reader, mut writer) = stream.into_split();
    writer.write_all("question").await?;
    writer.close().await?;
    let answer = reader.read_exact(Vec::with_capacity(8), 8).await?;
    assert_eq!(answer, b"question");
    assert!(reader.recv().await?.is_empty());
    Ok(address)
}

#[corering::test]
async fn one_handler_serves_tcp_and_unix() -> io::Result<()> {
    let (listener, address) = listener().await?;
    let serving = spawn(serve(listener));
    assert_eq!(ask(TcpStream::connect(address).await?).await?, address);
    assert_eq!(serving.await.expect("it does not panic")?, address);

    let path = path("handler");
    let serving = spawn(serve(UnixListener::bind(&path).await?));
    assert_eq!(ask(UnixStream::connect(&path).await?).await?.as_ref(), Some(&path));
    assert_eq!(serving.await.expect("it does not panic")?.as_ref(), Some(&path));
    std::fs::remove_file(path)
}

#[corering::test]
async fn debug_names_family_and_descriptor() -> io::Result<()> {
    let (listener, _) = listener().await?;
    let fd = listener.as_raw_fd();
    assert_eq!(format!("{listener:?}"), format!("TcpListener {{ fd: {fd} }}"));
    let (stream, mut peer) = unix_peer()?;
    let fd = stream.as_raw_fd();
    assert_eq!(format!("{stream:?}"), format!("UnixStream {{ fd: {fd} }}"));
    peer.write_all(b"five!")?;
    let mut stream = stream;
    stream.read(Vec::with_capacity(1)).await?;
    let detached = format!("{:?}", stream.detach().await?);
    assert!(detached.starts_with(&format!("UnixDetached {{ fd: {fd}, received: ")), "{detached}");
    Ok(())
}

/// Whether calls on the socket block.
fn blocks(fd: BorrowedFd<'_>) -> bool {
    !SockRef::from(&fd).nonblocking().expect("it is a socket")
}

#[corering::test]
async fn stream_given_to_std_blocks_and_loses_nothing() -> io::Result<()> {
    let (stream, peer) = tcp_peer().await?;
    give_to_std(stream, peer).await?;
    let (listener, address) = listener().await?;
    let connected = TcpStream::connect(address).await?;
    give_to_std(connected, listener.accept().await?.into_std().await?.0).await?;
    let (stream, peer) = UnixStream::pair()?;
    give_to_std(stream, peer.into_std().await?.0).await?;
    // It came with O_NONBLOCK, and from another shard.
    let (stream, peer) = StdUnixStream::pair()?;
    stream.set_nonblocking(true)?;
    give_to_std(UnixStream::from(stream).detach().await?.into_stream(), peer).await
}

async fn give_to_std<F: Family>(mut stream: ByteStream<F>, mut peer: impl Write) -> io::Result<()>
where
    F::Std: AsFd + Read,
{
    let mut receive = stream.recv();
    assert!(poll_once(&mut receive).await.is_pending());
    peer.write_all(b"received by the shard, ")?;
    // On a ring it is received for the stream by now, on epoll it is in the socket.
    corering::io::nop().await?;
    drop(receive);
    let (mut given, mut received) = stream.into_std().await?;
    assert!(blocks(given.as_fd()));
    peer.write_all(b"and by std")?;
    drop(peer);
    given.read_to_end(&mut received)?;
    assert_eq!(received, b"received by the shard, and by std");
    Ok(())
}

#[corering::test]
async fn sockets_of_std_are_taken_over() -> io::Result<()> {
    let listener = TcpListener::from(std::net::TcpListener::bind("127.0.0.1:0")?);
    let address = listener.local_addr()?;
    let serving = spawn(serve(listener));
    ask(TcpStream::from(std::net::TcpStream::connect(address)?)).await?;
    serving.await.expect("it does not panic")?;

    let path = path("std");
    let serving = spawn(serve(UnixListener::from(StdUnixListener::bind(&path)?)));
    ask(UnixStream::from(StdUnixStream::connect(&path)?)).await?;
    serving.await.expect("it does not panic")?;
    std::fs::remove_file(path)
}

#[corering::test]
async fn descriptor_of_a_dropped_conversion_is_closed() -> io::Result<()> {
    let (mut stream, peer) = unix_peer()?;
    drop_in_flight(stream.recv()).await;
    let mut giving = Box::pin(stream.into_std());
    let _ = poll_once(&mut giving).await;
    drop(giving);
    net::nothing_is_in_flight().await;
    assert!(net::ends(peer));
    Ok(())
}

/// What `listen(2)` was asked for, by `TCP_INFO`.
fn backlog(listener: &TcpListener) -> u32 {
    let mut info = std::mem::MaybeUninit::<libc::tcp_info>::zeroed();
    let mut len = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes into `info`, of which every pattern is valid.
    let info = unsafe {
        let (fd, to) = (listener.as_raw_fd(), info.as_mut_ptr().cast());
        assert_eq!(libc::getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_INFO, to, &mut len), 0);
        info.assume_init()
    };
    info.tcpi_sacked
}

#[corering::test]
async fn builder_sets_the_backlog() -> io::Result<()> {
    let short = TcpListener::builder().backlog(3).bind("127.0.0.1:0").await?;
    assert_eq!(backlog(&short), 3);
    // As many as the system allows.
    let long = TcpListener::builder().backlog(u32::MAX).bind("127.0.0.1:0").await?;
    let usual = TcpListener::bind("127.0.0.1:0").await?;
    assert!(backlog(&long) >= backlog(&usual) && backlog(&usual) > 3);
    Ok(())
}

#[corering::test]
async fn connections_inherit_nodelay_of_builder() -> io::Result<()> {
    for nodelay in [false, true] {
        let listener = TcpListener::builder().nodelay(nodelay).bind("127.0.0.1:0").await?;
        let _client = TcpStream::connect(listener.local_addr()?).await?;
        assert_eq!(listener.accept().await?.nodelay()?, nodelay);
    }
    Ok(())
}

#[corering::test]
async fn builder_sets_which_addresses_are_reused() -> io::Result<()> {
    let usual = TcpListener::bind("127.0.0.1:0").await?;
    let strict = TcpListener::builder().reuse_address(false).bind("127.0.0.1:0").await?;
    assert!(SockRef::from(&usual).reuse_address()? && !SockRef::from(&strict).reuse_address()?);
    let taken = TcpListener::builder().reuse_port(true).bind(usual.local_addr()?).await;
    assert_eq!(taken.expect_err("it is not shared").kind(), ErrorKind::AddrInUse);
    let shared = TcpListener::builder().reuse_port(true).bind("127.0.0.1:0").await?;
    TcpListener::builder().reuse_port(true).bind(shared.local_addr()?).await.map(drop)
}

#[corering::test]
async fn builder_keeps_ipv4_from_an_ipv6_listener() -> io::Result<()> {
    let mapped = SocketAddr::from((Ipv4Addr::LOCALHOST.to_ipv6_mapped(), 0));
    let both = TcpListener::builder().v6only(false).bind(mapped).await?;
    let port = both.local_addr()?.port();
    let client = TcpStream::connect(("127.0.0.1", port)).await?;
    assert_eq!(both.accept().await?.peer_addr()?.port(), client.local_addr()?.port());
    let only = TcpListener::builder().v6only(true);
    let error = only.clone().bind(mapped).await.expect_err("it stands for an IPv4 address");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    only.bind("127.0.0.1:0").await.map(drop)
}

#[test]
fn handler_that_closes_its_stream_is_little_larger() {
    async fn waits(mut stream: UnixStream) -> std::io::Result<()> {
        stream.recv().await.map(drop)
    }
    async fn waits_and_closes(mut stream: UnixStream) -> std::io::Result<()> {
        stream.recv().await.map(drop)?;
        stream.close().await
    }
    let (one, other) = UnixStream::pair().expect("descriptors are free");
    let (waits, closes) = (size_of_val(&waits(one)), size_of_val(&waits_and_closes(other)));
    assert!(closes <= waits + 512, "{closes} bytes, and {waits} without close");
}
