//! Errors in programs that pass them on: to `Box<dyn Error + Send + Sync>`, to error types of other
//! crates, and to other threads.

#[allow(dead_code)] // Each test file uses a part.
#[path = "common/net.rs"]
mod net;

use std::error::Error;
use std::fmt::Debug;
use std::io::{self, ErrorKind, Write};
use std::net::Shutdown;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use corering::buf::IoBuf;
use corering::net::{UnixStream, WriteAbandoned};
use corering::{BufError, RecvBuf, sync, task, time};
use net::unix_peer;

type AnyError = Box<dyn Error + Send + Sync>;

/// What `anyhow::Error` and its like ask of an error, and how it becomes one of theirs.
#[derive(Debug)]
struct Report(AnyError);

impl<E: Error + Send + Sync + 'static> From<E> for Report {
    fn from(error: E) -> Self {
        Report(error.into())
    }
}

async fn echo(mut stream: UnixStream) -> Result<(), AnyError> {
    loop {
        let bytes = stream.recv().await?;
        if bytes.is_empty() {
            return Ok(());
        }
        stream.write_all(bytes).await?;
    }
}

async fn echo_with_reports(mut stream: UnixStream) -> Result<(), Report> {
    loop {
        let bytes = stream.recv().await?;
        if bytes.is_empty() {
            return Ok(());
        }
        stream.write_all(bytes).await?;
    }
}

/// A stream with bytes to receive and a peer that takes none, so that an echo fails as it writes.
fn stream_to_a_deaf_peer() -> io::Result<(UnixStream, impl Sized)> {
    let (stream, mut peer) = unix_peer()?;
    peer.write_all(b"mine")?;
    peer.shutdown(Shutdown::Both)?;
    Ok((stream, peer))
}

/// The error of a write that nobody takes.
async fn failed_write<B: IoBuf + Debug>(buf: B) -> BufError<B> {
    let (mut stream, peer) = unix_peer().expect("a descriptor is free");
    peer.shutdown(Shutdown::Both).expect("it is connected");
    stream.write_all(buf).await.expect_err("nobody reads")
}

#[corering::test]
async fn echo_passes_its_errors_on_to_error_types_of_threads() -> io::Result<()> {
    let (stream, _peer) = stream_to_a_deaf_peer()?;
    let Report(error) = echo_with_reports(stream).await.expect_err("nobody reads");
    assert!(error.is::<BufError<RecvBuf>>(), "{error:?}");

    let (stream, _peer) = stream_to_a_deaf_peer()?;
    let error = echo(stream).await.expect_err("nobody reads");
    // What it says is the error's own, on every thread; its buffer comes back at home.
    let error = thread::spawn(move || {
        assert!(error.to_string().contains("Broken pipe"), "{error}");
        error
    });
    let error = error.join().expect("the thread reads an error");
    let failed = error.downcast::<BufError<RecvBuf>>().expect("it is the one of the write");
    let (error, buf) = failed.into_parts();
    assert_eq!((error.kind(), &*buf), (ErrorKind::BrokenPipe, &b"mine"[..]));
    Ok(())
}

#[corering::test]
async fn error_dropped_elsewhere_leaks_its_buffer_and_counts_it() {
    let before = corering::metrics().leaked_elsewhere;
    let (dropped, passed_on) = (failed_write(vec![1]).await, failed_write(vec![2]).await);
    thread::scope(|scope| {
        scope.spawn(|| drop(dropped));
        scope.spawn(|| assert_eq!(io::Error::from(passed_on).kind(), ErrorKind::BrokenPipe));
    });
    // Other tests of this file may leak at the same time.
    assert!(corering::metrics().leaked_elsewhere >= before + 2);
    // At home nothing is leaked: the harness counts the buffers that the shard has lent.
    let (stream, _peer) = stream_to_a_deaf_peer().expect("a descriptor is free");
    drop(echo(stream).await.expect_err("nobody reads"));
}

#[corering::test]
async fn buffer_taken_from_an_error_elsewhere_panics_with_reason() {
    let failed = failed_write(vec![1]).await;
    let (looked, taken) = thread::scope(|scope| {
        let elsewhere = scope.spawn(|| {
            let looked = catch_unwind(AssertUnwindSafe(|| failed.buf().len()));
            (looked.map(drop), catch_unwind(AssertUnwindSafe(|| failed.into_parts())).map(drop))
        });
        elsewhere.join().expect("it catches its panics")
    });
    for panicked in [looked, taken] {
        let payload = panicked.expect_err("the buffer is another thread's");
        let message = payload.downcast_ref::<String>().map(String::as_str);
        let message = message.or_else(|| payload.downcast_ref::<&str>().copied());
        let message = message.expect("it is a text");
        assert!(message.contains("belongs to the thread that got the error"), "{message}");
    }
}

#[test]
fn every_error_may_go_to_any_thread() {
    fn may<E: Error + Send + Sync + 'static>() {}
    may::<BufError<RecvBuf>>();
    may::<WriteAbandoned>();
    may::<corering::Refusal>();
    may::<corering::ShardError>();
    may::<task::JoinError>();
    may::<time::Elapsed>();
    may::<sync::AcquireError>();
    may::<sync::TryAcquireError>();
    may::<sync::TryLockError>();
    may::<sync::channel::TryRecvError>();
    may::<sync::oneshot::RecvError>();
    may::<sync::oneshot::TryRecvError>();
}
