//! Buffers without room, and with more or less of it than is to be read.

use std::io::{ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::FusedFuture;

use super::*;
use crate::buf::IoBuf;
use crate::task::yield_now;
use crate::time::{timeout, within};
use crate::util::budget;

fn pair() -> io::Result<(Receiver, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    Ok((Receiver::new(SharedFd::from(OwnedFd::from(ours))), theirs))
}

#[corering::test]
async fn read_into_no_room_is_an_error_and_not_an_end() -> io::Result<()> {
    let (mut receiver, mut peer) = pair()?;
    for waiting in [&b""[..], b"bytes"] {
        peer.write_all(waiting)?;
        let failed = Read::new(&mut receiver, Vec::new()).await.expect_err("there is no room");
        assert_eq!(failed.kind(), ErrorKind::InvalidInput);
        let beyond = vec![1, 2].slice(2..2);
        assert!(Read::new(&mut receiver, beyond).await.is_err());
    }
    assert_eq!(&*Recv::new(&mut receiver).await?, b"bytes");
    Ok(())
}

#[corering::test]
async fn dropped_read_into_no_room_does_not_end_the_stream() -> io::Result<()> {
    let (mut receiver, mut peer) = pair()?;
    drop(Read::new(&mut receiver, Vec::new()).now_or_never());
    peer.write_all(b"bytes")?;
    assert_eq!(&*Recv::new(&mut receiver).await?, b"bytes");
    Ok(())
}

#[corering::test]
async fn read_exact_reads_so_many_bytes_whatever_the_capacity() -> io::Result<()> {
    let (mut receiver, mut peer) = pair()?;
    for mut buf in [Vec::with_capacity(8), vec![0; 8], vec![0; 2]] {
        buf.reserve_exact(8);
        peer.write_all(b"hello")?;
        assert_eq!(ReadExact::new(&mut receiver, buf, 5).await?, b"hello");
    }
    peer.write_all(b"more than that")?;
    let boxed = vec![0; 9].into_boxed_slice();
    assert_eq!(&ReadExact::new(&mut receiver, boxed, 4).await?[..4], b"more");
    assert_eq!(ReadExact::new(&mut receiver, vec![1], 0).await?, b"");
    assert_eq!(&*Recv::new(&mut receiver).await?, b" than that");
    Ok(())
}

#[corering::test]
async fn read_exact_with_too_little_room_takes_nothing() -> io::Result<()> {
    let (mut receiver, mut peer) = pair()?;
    peer.write_all(b"hello")?;
    let small = vec![7; 4].into_boxed_slice();
    let failed = ReadExact::new(&mut receiver, small, 5).await.expect_err("5 are more than 4");
    assert_eq!((failed.kind(), &**failed.buf()), (ErrorKind::InvalidInput, &[7; 4][..]));
    assert_eq!(&*Recv::new(&mut receiver).await?, b"hello");
    Ok(())
}

#[corering::test]
async fn read_exact_that_meets_the_end_gives_what_came() -> io::Result<()> {
    let (mut receiver, mut peer) = pair()?;
    peer.write_all(b"abc")?;
    drop(peer);
    let failed = ReadExact::new(&mut receiver, vec![0; 8], 8).await.expect_err("it ends");
    assert_eq!((failed.kind(), &failed.buf()[..]), (ErrorKind::UnexpectedEof, &b"abc"[..]));
    Ok(())
}

/// Polls a `read_exact` of so many bytes until the first three are with it, and drops it.
async fn drop_in_the_middle(
    receiver: &mut Receiver,
    peer: &mut UnixStream,
    wanted: usize,
    then: impl FnOnce(&mut UnixStream) -> io::Result<()>,
) -> io::Result<()> {
    let mut reading = ReadExact::new(receiver, Vec::with_capacity(wanted), wanted);
    peer.write_all(b"abc")?;
    for _ in 0..10 {
        assert!((&mut reading).now_or_never().is_none());
        yield_now().await;
    }
    then(peer)?;
    drop(reading);
    Ok(())
}

/// Small enough to be copied from the group, and large enough to be handed to the kernel.
const SMALL_AND_LARGE: [usize; 2] = [100, 16_384];

#[corering::test]
async fn dropped_read_exact_gives_back_what_it_had() -> io::Result<()> {
    for wanted in SMALL_AND_LARGE {
        let (mut receiver, mut peer) = pair()?;
        for _ in 0..3 {
            drop_in_the_middle(&mut receiver, &mut peer, wanted, |_| Ok(())).await?;
        }
        peer.write_all(b"def")?;
        assert_eq!(ReadExact::new(&mut receiver, vec![0; 12], 12).await?, b"abcabcabcdef");
    }
    Ok(())
}

#[corering::test]
async fn dropped_read_exact_gives_back_before_what_came_since() -> io::Result<()> {
    for wanted in SMALL_AND_LARGE {
        let (mut receiver, mut peer) = pair()?;
        drop_in_the_middle(&mut receiver, &mut peer, wanted, |peer| peer.write_all(b"def")).await?;
        assert_eq!(ReadExact::new(&mut receiver, vec![0; 6], 6).await?, b"abcdef");
        drop_in_the_middle(&mut receiver, &mut peer, wanted, |_| Ok(())).await?;
        drop(peer);
        assert_eq!(&*Recv::new(&mut receiver).await?, b"abc");
        assert!(Recv::new(&mut receiver).await?.is_empty());
    }
    Ok(())
}

#[corering::test]
async fn read_exact_dropped_without_a_budget_keeps_the_order() -> io::Result<()> {
    let (mut receiver, mut peer) = pair()?;
    let mut reading = ReadExact::new(&mut receiver, Vec::with_capacity(100), 100);
    for part in [b"abc", b"def"] {
        peer.write_all(part)?;
        for _ in 0..10 {
            budget::exhaust();
            assert!((&mut reading).now_or_never().is_none());
            yield_now().await;
        }
    }
    drop(reading);
    assert_eq!(ReadExact::new(&mut receiver, vec![0; 6], 6).await?, b"abcdef");
    Ok(())
}

#[corering::test]
async fn read_exact_that_timed_out_says_how_much_it_has() -> io::Result<()> {
    for wanted in SMALL_AND_LARGE {
        let (mut receiver, mut peer) = pair()?;
        peer.write_all(b"abc")?;
        let reading = ReadExact::new(&mut receiver, Vec::with_capacity(wanted), wanted);
        let failed = within(Duration::from_millis(1), reading).await.expect_err("too few");
        assert_eq!((failed.kind(), failed.transferred()), (ErrorKind::TimedOut, 3));
        assert_eq!(failed.into_parts().1, b"abc");
        peer.write_all(b"def")?;
        assert_eq!(&*Recv::new(&mut receiver).await?, b"def");
    }
    Ok(())
}

#[corering::test]
async fn read_that_outlives_its_limits_goes_on_where_it_was() -> io::Result<()> {
    for wanted in SMALL_AND_LARGE {
        let (mut receiver, mut peer) = pair()?;
        let mut reading = ReadExact::new(&mut receiver, Vec::with_capacity(wanted), 6);
        peer.write_all(b"abc")?;
        for _ in 0..5 {
            assert!(timeout(Duration::from_millis(1), &mut reading).await.is_err());
        }
        assert!(!reading.is_terminated());
        peer.write_all(b"def")?;
        assert_eq!((&mut reading).await?, b"abcdef");
        assert!(reading.is_terminated());
    }
    Ok(())
}
