//! Futures that are forgotten in flight, by `mem::forget` and not by a drop: they may leak memory and
//! descriptors, and never more. What was sent does not mix, what was received is told of.

#[path = "common/net.rs"]
#[allow(dead_code)] // Each test file uses a part.
mod net;

use std::future::{Future, poll_fn};
use std::io::{self, Read, Write};
use std::mem;
use std::net::Shutdown;

use std::task::Poll;
use std::thread;

use corering::Runtime;
use corering::fs::File;
use corering::net::{TcpStream, UdpSocket, WriteAbandoned};
use corering::test_support::drivers;
use net::{TOO_MUCH, pattern, poll_once, tcp_peer, until_metrics};

/// Runs a body on each driver. It is not asked what it left behind: forgetting leaks.
fn on_each_driver<F: Future<Output = io::Result<()>>>(body: impl Fn() -> F) {
    for driver in drivers() {
        println!("on {driver}");
        let runtime = Runtime::builder().driver(driver).build().expect("the driver was named");
        runtime.block_on(body()).expect("the body ends well");
    }
}

/// Polls a future as often as that, unless it ends before, and forgets it. Whether it ended.
async fn forget_after(polls: usize, future: impl Future) -> bool {
    let mut future = Box::pin(future);
    let mut left = polls;
    let ended = poll_fn(|cx| {
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Pending if left > 0 => Poll::Pending,
            polled => Poll::Ready(polled.is_ready()),
        }
    })
    .await;
    mem::forget(future);
    ended
}

/// All that a peer receives, once there is no more.
fn collect(mut peer: std::net::TcpStream) -> thread::JoinHandle<io::Result<Vec<u8>>> {
    thread::spawn(move || {
        let mut received = Vec::new();
        peer.read_to_end(&mut received).map(|_| received)
    })
}

/// Writes on after a write of `whole` that was forgotten, and looks at what the peer has received.
async fn write_after(
    stream: &mut TcpStream,
    reader: thread::JoinHandle<io::Result<Vec<u8>>>,
    whole: &[u8],
    ended: bool,
) -> io::Result<()> {
    let sent = match stream.write_all("after").await {
        Ok(_) if ended => whole.len(),
        // A ring was about to read the file, and nothing had left.
        Ok(_) => 0,
        Err(failed) => {
            let told = WriteAbandoned::of(&failed.error).expect("of the write before");
            stream.write_all("after").await?;
            told.written
        }
    };
    // The forgotten operation still has the descriptor, so that dropping the stream ends nothing.
    stream.shutdown(Shutdown::Write).await?;
    let received = reader.join().expect("the reader does not panic")?;
    assert_eq!(received.len(), sent + 5);
    assert!(received[..sent] == whole[..sent] && received[sent..] == *b"after");
    Ok(())
}

#[test]
fn forgotten_write_mixes_with_no_later_one() {
    for polls in [1, 2, 5] {
        on_each_driver(|| async move {
            let (mut stream, peer) = tcp_peer().await?;
            let bytes = pattern(TOO_MUCH);
            let reader = (polls > 1).then(|| peer.try_clone().map(collect)).transpose()?;
            let ended = forget_after(polls, stream.write_all(bytes.clone())).await;
            let reader = reader.unwrap_or_else(|| collect(peer));
            write_after(&mut stream, reader, &bytes, ended).await
        });
    }
}

#[test]
fn forgotten_write_of_several_buffers_mixes_with_no_later_one() {
    on_each_driver(|| async move {
        let (mut stream, peer) = tcp_peer().await?;
        let bufs = vec![pattern(TOO_MUCH), pattern(100)];
        let whole = bufs.concat();
        let ended = forget_after(1, stream.send_all(bufs)).await;
        write_after(&mut stream, collect(peer), &whole, ended).await
    });
}

#[test]
fn forgotten_file_mixes_with_no_later_write() {
    let path = std::env::temp_dir().join(format!("corering-forgotten-{}", std::process::id()));
    let bytes = pattern(TOO_MUCH);
    std::fs::write(&path, &bytes).expect("there is room");
    let whole = [b"head", &bytes[..]].concat();
    for polls in [1, 2, 5, 20] {
        on_each_driver(|| async {
            let file = File::open(&path).await?;
            let (mut stream, peer) = tcp_peer().await?;
            let reader = collect(peer);
            let sending = stream.send_file_after("head", &file, 0, TOO_MUCH as u64);
            let ended = forget_after(polls, sending).await;
            write_after(&mut stream, reader, &whole, ended).await
        });
    }
    std::fs::remove_file(&path).expect("it is there");
}

#[test]
fn forgotten_read_takes_no_byte_that_is_not_told_of() {
    on_each_driver(|| async {
        let (mut stream, mut peer) = tcp_peer().await?;
        // Large enough to be handed to the kernel.
        forget_after(1, stream.read(Vec::with_capacity(8192))).await;
        let submitted = corering::metrics().submitted;
        until_metrics(|metrics| metrics.enters > 0 && metrics.submitted >= submitted).await;
        peer.write_all(b"lost")?;
        until_metrics(|metrics| metrics.operations_in_flight <= metrics.registrations).await;
        match stream.recv().await {
            Ok(received) => assert_eq!(&*received, b"lost"),
            Err(error) => assert!(error.to_string().contains("4 bytes"), "{error}"),
        }
        peer.write_all(b"next")?;
        assert_eq!(&*stream.recv().await?, b"next");
        Ok(())
    });
}

#[test]
fn forgotten_read_into_a_small_buffer_takes_no_byte() {
    on_each_driver(|| async {
        let (mut stream, mut peer) = tcp_peer().await?;
        forget_after(1, stream.read(Vec::with_capacity(64))).await;
        let submitted = corering::metrics().submitted;
        until_metrics(|metrics| metrics.enters > 0 && metrics.submitted >= submitted).await;
        peer.write_all(b"kept")?;
        assert_eq!(&*stream.recv().await?, b"kept");
        peer.write_all(b"next")?;
        assert_eq!(&*stream.recv().await?, b"next");
        Ok(())
    });
}

#[test]
fn forgotten_read_that_got_nothing_is_not_heard_of() {
    on_each_driver(|| async {
        let (mut stream, mut peer) = tcp_peer().await?;
        forget_after(1, stream.read(Vec::with_capacity(64))).await;
        let mut next = Box::pin(stream.recv());
        assert!(poll_once(&mut next).await.is_pending());
        // The cancel has come to its end when the stream receives by itself.
        for _ in 0..4 {
            corering::yield_now().await;
            assert!(poll_once(&mut next).await.is_pending());
        }
        peer.write_all(b"bytes")?;
        assert_eq!(&*next.await?, b"bytes");
        Ok(())
    });
}

#[test]
fn forgotten_datagram_receive_takes_none() {
    on_each_driver(|| async {
        let (one, other) =
            (UdpSocket::bind("127.0.0.1:0").await?, UdpSocket::bind("127.0.0.1:0").await?);
        one.connect(other.local_addr()?).await?;
        forget_after(1, other.recv(Vec::with_capacity(64))).await;
        for n in 0..3 {
            one.send(vec![n]).await?;
        }
        assert_eq!(other.recv(Vec::with_capacity(64)).await?.1, [0]);
        Ok(())
    });
}
