//! More than one call of the kernel takes: 2 GiB less a page, and 1,024 buffers. Memory that nobody
//! touches is not there, so buffers of that size cost nothing.

#[allow(dead_code)] // Each test file uses a part.
#[path = "common/net.rs"]
mod net;

use std::io::{self, Read, Write};
use std::pin::pin;

use corering::buf::BufError;
use corering::fs::{File, OpenOptions};
use corering::net::{TcpStream, UdpSocket, UnixStream};
use futures_util::future::{Either, select};
use net::{TOO_MUCH, poll_once, tcp_pair, tcp_peer};

/// One byte more than a count of 32 bits with a sign can say.
const TWO_GIB: usize = 1 << 31;

/// What the kernel moves at most in one call (`MAX_RW_COUNT`).
const CALL_MAX: usize = TWO_GIB - 4096;

/// So many buffers are more than one call takes.
const MANY: usize = 3000;

/// Receives more than two sockets hold, while what sends it must neither end nor fail.
async fn outlasts<B>(
    sending: impl Future<Output = Result<B, BufError<B>>> + Unpin,
    mut receiver: TcpStream,
) -> io::Result<()> {
    let receiving = pin!(async {
        let mut received = 0;
        while received < TOO_MUCH {
            received += receiver.recv().await?.len();
        }
        io::Result::Ok(())
    });
    match select(sending, receiving).await {
        Either::Left((sent, _)) => {
            panic!("it ended early: {:?}", sent.err().map(|failed| failed.error))
        }
        Either::Right((received, _)) => received,
    }
}

#[corering::test]
async fn write_of_two_gibibytes_goes_on_beyond_one_call() -> io::Result<()> {
    let (mut stream, peer) = tcp_pair().await?;
    outlasts(stream.write_all(vec![0_u8; TWO_GIB]), peer).await
}

#[corering::test]
async fn gathered_buffers_of_four_gibibytes_are_sent() -> io::Result<()> {
    let (mut stream, peer) = tcp_pair().await?;
    outlasts(stream.send_all(vec![vec![0_u8; TWO_GIB], vec![0_u8; TWO_GIB]]), peer).await
}

#[corering::test]
async fn read_into_two_gibibytes_of_room_brings_what_came() -> io::Result<()> {
    let (mut stream, mut peer) = tcp_peer().await?;
    for text in [&b"some"[..], b"more"] {
        let read = corering::spawn(async move {
            let (_, read) = stream.read(Vec::with_capacity(TWO_GIB)).await?;
            io::Result::Ok((stream, read))
        });
        corering::yield_now().await;
        peer.write_all(text)?;
        let (again, read) = read.await.expect("it does not panic")?;
        assert_eq!(read, text);
        stream = again;
    }
    Ok(())
}

#[corering::test]
async fn datagram_of_two_gibibytes_is_too_long() -> io::Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    let address = socket.local_addr()?;
    socket.connect(address).await?;
    let failed = socket.send(vec![0_u8; TWO_GIB]).await.expect_err("no datagram is as long");
    assert_eq!(failed.error.raw_os_error(), Some(libc::EMSGSIZE));
    let failed = socket.send_to(vec![0_u8; TWO_GIB], address).await.expect_err("as above");
    assert_eq!(failed.error.raw_os_error(), Some(libc::EMSGSIZE));
    socket.send("hello").await?;
    assert_eq!(socket.recv(Vec::with_capacity(TWO_GIB)).await?.1, b"hello");
    Ok(())
}

#[corering::test]
async fn file_is_read_and_written_with_two_gibibytes_of_memory() -> io::Result<()> {
    let file = File::open("/proc/version").await?;
    let expected = std::fs::read("/proc/version")?;
    let (_, read) = file.read_at(Vec::with_capacity(TWO_GIB), 0).await?;
    assert_eq!(read, expected);
    let bufs = vec![Vec::with_capacity(TWO_GIB), Vec::with_capacity(TWO_GIB)];
    assert_eq!(file.read_vectored_at(bufs, 0).await?.1[0], expected);
    let sink = OpenOptions::new().write(true).open("/dev/null").await?;
    assert_eq!(sink.write_at(vec![0_u8; TWO_GIB], 0).await?.0, CALL_MAX);
    let bufs = vec![vec![0_u8; TWO_GIB], vec![0_u8; TWO_GIB]];
    assert_eq!(sink.write_vectored_at(bufs, 0).await?.0, CALL_MAX);
    sink.write_all_at(vec![0_u8; TWO_GIB], 0).await?;
    Ok(())
}

#[corering::test]
async fn more_buffers_than_one_call_takes_are_all_sent() -> io::Result<()> {
    let (mut stream, mut peer) = tcp_peer().await?;
    // Known to be ready to send, as it is after its first wait.
    assert!(poll_once(&mut stream.recv()).await.is_pending());
    corering::yield_now().await;
    for _ in 0..2 {
        let bufs = stream.send_all(vec!["xy"; MANY]).await?;
        assert_eq!(bufs.len(), MANY);
        let mut received = vec![0; 2 * MANY];
        peer.read_exact(&mut received)?;
        assert_eq!(received, b"xy".repeat(MANY));
    }
    Ok(())
}

#[corering::test]
async fn unix_stream_takes_more_buffers_than_one_call_does() -> io::Result<()> {
    let (mut one, mut other) = UnixStream::pair()?;
    assert!(poll_once(&mut one.recv()).await.is_pending());
    corering::yield_now().await;
    one.send_all(vec!["xy"; MANY]).await?;
    let received = other.read_exact(Vec::with_capacity(2 * MANY), 2 * MANY).await?;
    assert_eq!(received, b"xy".repeat(MANY));
    Ok(())
}
