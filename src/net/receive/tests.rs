//! Buffers without room, and with more or less of it than is to be read.

use std::io::{ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use futures_util::FutureExt;

use super::*;
use crate::buf::IoBuf;

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
