//! `compat::Hyper` by itself: what it keeps, and what it is on other threads.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::thread;

use corering::compat::{Hyper, HyperExecutor};
use corering::net::UnixStream;
use corering::sync::oneshot;
use hyper::rt::{Executor, Read, ReadBuf, Write};

/// Reads as hyper does, at most so many bytes.
async fn read(io: &mut Hyper<UnixStream>, len_max: usize) -> io::Result<Vec<u8>> {
    let mut memory = vec![0; len_max];
    let mut buf = ReadBuf::new(&mut memory);
    poll_fn(|cx| Pin::new(&mut *io).poll_read(cx, buf.unfilled())).await?;
    Ok(buf.filled().to_vec())
}

#[corering::test]
async fn rest_of_lent_bytes_is_read_before_the_next() -> io::Result<()> {
    let (one, mut other) = UnixStream::pair()?;
    let mut io = Hyper::new(one);
    other.write_all("abcdefg").await?;
    assert_eq!(read(&mut io, 3).await?, b"abc");
    other.write_all("hi").await?;
    assert_eq!(read(&mut io, 3).await?, b"def");
    assert_eq!(read(&mut io, 3).await?, b"g");
    assert_eq!(read(&mut io, 3).await?, b"hi");
    other.close().await?;
    assert_eq!(read(&mut io, 3).await?, b"");
    Ok(())
}

#[corering::test]
async fn stream_and_unread_bytes_come_back() -> io::Result<()> {
    let (one, mut other) = UnixStream::pair()?;
    let mut io = Hyper::new(one);
    other.write_all("abc").await?;
    assert_eq!(read(&mut io, 2).await?, b"ab");
    let mut stream = io.into_inner();
    assert_eq!(stream.recv().await?, "c");
    stream.write_all("d").await?;
    assert_eq!(&*other.recv().await?, b"d");
    other.close().await?;
    assert!(Hyper::new(stream).into_inner().recv().await?.is_empty());
    Ok(())
}

#[corering::test]
async fn pieces_are_written_as_one_and_shutdown_ends_them() -> io::Result<()> {
    let (one, mut other) = UnixStream::pair()?;
    let mut io = Hyper::new(one);
    assert!(io.is_write_vectored());
    let pieces = [IoSlice::new(b"head"), IoSlice::new(b""), IoSlice::new(b"body")];
    let written = poll_fn(|cx| Pin::new(&mut io).poll_write_vectored(cx, &pieces)).await?;
    assert_eq!(written, 8);
    poll_fn(|cx| Pin::new(&mut io).poll_shutdown(cx)).await?;
    let received = other.read_exact(Vec::with_capacity(8), 8).await?;
    assert_eq!(received, b"headbody");
    assert!(other.recv().await?.is_empty());
    Ok(())
}

#[corering::test]
async fn stream_that_is_dropped_elsewhere_is_closed_by_its_shard() -> io::Result<()> {
    let (one, mut other) = UnixStream::pair()?;
    let mut io = Hyper::new(one);
    other.write_all("ab").await?;
    // With lent memory of the shard's in it, and a receive that waits.
    assert_eq!(read(&mut io, 1).await?, b"a");
    let leaked = corering::metrics().leaked_elsewhere;
    thread::spawn(move || drop(io)).join().expect("a drop does not panic");
    assert!(other.recv().await?.is_empty());
    assert_eq!(corering::metrics().leaked_elsewhere, leaked);
    assert_eq!(corering::metrics().lent_buffers_out + corering::metrics().group_buffers_out, 0);
    Ok(())
}

#[corering::test]
async fn stream_that_is_used_elsewhere_panics_with_a_sentence() -> io::Result<()> {
    let (one, _other) = UnixStream::pair()?;
    let mut io = Hyper::new(one);
    let used = thread::spawn(move || {
        let mut cx = Context::from_waker(Waker::noop());
        let _ = Pin::new(&mut io).poll_write(&mut cx, b"never");
    });
    let payload = used.join().expect_err("it is used on another thread");
    let message = payload.downcast_ref::<String>().expect("a panic has a text");
    assert!(message.contains("compat::Hyper is of use only on the thread"), "{message}");
    Ok(())
}

#[corering::test]
async fn executor_takes_futures_that_stay_on_their_thread() {
    let (sender, receiver) = oneshot::channel();
    let text = Rc::new("spawned");
    HyperExecutor.execute(async move { sender.send(text) });
    assert_eq!(receiver.await.as_deref(), Ok(&"spawned"));
}

#[test]
fn hyper_gets_the_thread_safety_that_it_demands() {
    fn is_send<T: Send + Unpin>() {}
    is_send::<Hyper<UnixStream>>();
}
