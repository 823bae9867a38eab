//! When a write leaves, by which way, and what is said of one that did not end.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::task::Waker;

use super::*;
use crate::util::budget;
use crate::util::expiry::poll_expired;

/// A write to a socket pair, and the end that must be kept for it to succeed.
async fn write_to_a_pair() -> io::Result<UnixStream> {
    let (ours, peer) = UnixStream::pair()?;
    let mut transmitter = Transmitter::new(SharedFd::from(OwnedFd::from(ours)));
    WriteAll::new(&mut transmitter, "hello").await?;
    Ok(peer)
}

#[corering::test(driver = "uring")]
async fn send_that_is_alone_in_its_round_leaves_at_once() -> io::Result<()> {
    // The runtime's own first entries are staged before anything runs.
    corering::yield_now().await;
    let before = corering::metrics();
    let mut peer = write_to_a_pair().await?;
    let after = corering::metrics();
    assert_eq!((after.submitted, after.enters), (before.submitted, before.enters));
    let mut received = [0; 5];
    peer.read_exact(&mut received)?;
    assert_eq!(&received, b"hello");
    Ok(())
}

#[corering::test(driver = "uring")]
async fn sends_of_one_round_leave_together() -> io::Result<()> {
    // The runtime's own first entries are staged before anything runs.
    corering::yield_now().await;
    let before = corering::metrics();
    let writes = [(); 3].map(|()| corering::spawn(write_to_a_pair()));
    for write in writes {
        write.await.expect("it does not panic")?;
    }
    let after = corering::metrics();
    assert_eq!(after.submitted - before.submitted, 3);
    assert_eq!(after.attempts, before.attempts);
    Ok(())
}

#[corering::test]
async fn write_whose_time_is_over_before_it_began_sends_nothing() -> io::Result<()> {
    let (ours, mut peer) = UnixStream::pair()?;
    let mut transmitter = Transmitter::new(SharedFd::from(OwnedFd::from(ours)));
    let mut write = WriteAll::new(&mut transmitter, "too late");
    let ended = poll_fn(|cx| poll_expired(cx, |cx| Pin::new(&mut write).poll(cx))).await;
    let failed = ended.expect_err("its time is over");
    assert_eq!(failed.error.kind(), io::ErrorKind::TimedOut);
    assert_eq!(*failed.buf(), "too late");
    peer.set_nonblocking(true)?;
    let error = peer.read(&mut [0; 8]).expect_err("nothing was sent");
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    Ok(())
}

/// Receives what has arrived, and returns the count.
fn drain(peer: &mut UnixStream) -> io::Result<usize> {
    peer.set_nonblocking(true)?;
    let mut drained = 0;
    loop {
        match peer.read(&mut [0; 1 << 16]) {
            Ok(0) => return Ok(drained),
            Ok(count) => drained += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(drained),
            Err(error) => return Err(error),
        }
    }
}

/// Drops a write that the socket cannot take whole, and lets the loop turn until its end.
async fn drop_write(transmitter: &mut Transmitter, peer: &mut UnixStream) -> io::Result<usize> {
    {
        let mut write = WriteAll::new(transmitter, vec![7; 5_500_000]);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut write).poll(&mut cx).is_pending());
        corering::yield_now().await;
    }
    while corering::metrics().operations_in_flight > 0 {
        corering::yield_now().await;
    }
    let sent = drain(peer)?;
    // An event tells of the room.
    corering::yield_now().await;
    Ok(sent)
}

#[corering::test]
async fn dropped_write_sends_nothing_more_before_the_next() -> io::Result<()> {
    let (ours, mut peer) = UnixStream::pair()?;
    let mut transmitter = Transmitter::new(SharedFd::from(OwnedFd::from(ours)));
    let sent = drop_write(&mut transmitter, &mut peer).await?;
    let failed = WriteAll::new(&mut transmitter, "after").await.expect_err("it is told");
    assert_eq!(WriteAbandoned::of(&failed.error), Some(WriteAbandoned { written: sent }));
    assert_eq!(drain(&mut peer)?, 0);
    WriteAll::new(&mut transmitter, "after").await?;
    assert_eq!(drain(&mut peer)?, 5);
    Ok(())
}

#[corering::test]
async fn dropped_write_sends_nothing_more_before_the_close() -> io::Result<()> {
    let (ours, mut peer) = UnixStream::pair()?;
    let mut transmitter = Transmitter::new(SharedFd::from(OwnedFd::from(ours)));
    drop_write(&mut transmitter, &mut peer).await?;
    transmitter.finish().await.expect("nothing was lent");
    assert_eq!(drain(&mut peer)?, 0);
    Ok(())
}

#[corering::test(driver = "uring")]
async fn write_dropped_between_two_sends_is_told_by_the_next() -> io::Result<()> {
    let (ours, mut peer) = UnixStream::pair()?;
    peer.set_nonblocking(true)?;
    let fd = SharedFd::from(OwnedFd::from(ours));
    fd.set_tries_first(true);
    let mut transmitter = Transmitter::new(fd);
    let mut received = vec![0; 1 << 20];
    let mut sent = 0;
    {
        let mut write = WriteAll::new(&mut transmitter, vec![7; 1 << 22]);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut write).poll(&mut cx).is_pending());
        sent += peer.read(&mut received)?;
        while corering::metrics().operations_in_flight > 0 {
            corering::yield_now().await;
        }
        // All that the task may begin is used up, so it stops before the third send.
        budget::exhaust();
        assert!(Pin::new(&mut write).poll(&mut cx).is_pending());
        assert_eq!(corering::metrics().operations_in_flight, 0);
    }
    let failed = WriteAll::new(&mut transmitter, vec![8; 1]).await.expect_err("it is told");
    let told = WriteAbandoned::of(&failed.error).expect("of the write before");
    drop(transmitter);
    peer.set_nonblocking(false)?;
    loop {
        match peer.read(&mut received)? {
            0 => break,
            count => sent += count,
        }
    }
    assert_eq!(told.written, sent);
    Ok(())
}
