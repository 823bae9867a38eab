//! `corering::compat::FromTokio`: what has tokio's traits, as a stream of ours.

use std::cell::Cell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::rc::Rc;

use corering::compat::{FromTokio, Futures, Tokio};
use corering::io::{Lend, OwnedWrite, PollWrite, copy_bidirectional, duplex, lines, read_until};
use corering::{join, spawn, yield_now};
use futures_util::io::{AsyncReadExt, AsyncWriteExt};

use crate::net::{TOO_MUCH, pattern};
use crate::over_each_family;

/// Sends all by the poll methods.
async fn write_all(to: &mut impl PollWrite, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let count = poll_fn(|cx| to.poll_write(cx, bytes)).await?;
        bytes = &bytes[count..];
    }
    poll_fn(|cx| to.poll_flush(cx)).await
}

over_each_family! {
    async fn stream_through_tokio_and_back_brings_every_byte(one, other) {
        let (mut one, mut other) =
            (FromTokio::new(Tokio::new(one)), FromTokio::new(Tokio::new(other)));
        let sent = pattern(TOO_MUCH);
        let send = async {
            write_all(&mut one, &sent).await?;
            poll_fn(|cx| one.poll_shutdown(cx)).await
        };
        let receive = async {
            let mut received = Vec::new();
            loop {
                let bytes = other.lend().await?;
                if bytes.is_empty() {
                    return Ok::<_, io::Error>(received);
                }
                received.extend_from_slice(&bytes);
            }
        };
        let (sent_all, received) = join!(send, receive);
        sent_all?;
        assert!(received? == sent, "other bytes came");
        assert!(other.lend().await?.is_empty(), "the end stays the end");
        Ok(())
    }

    async fn halves_through_tokio_have_their_direction(one, other) {
        let (reader, writer) = one.into_split();
        let mut other = other;
        let (mut reader, mut writer) =
            (FromTokio::new(Tokio::new(reader)), FromTokio::new(Tokio::new(writer)));
        let pieces = [b"head ".as_slice(), b"body"].map(IoSlice::new);
        assert_eq!(poll_fn(|cx| writer.poll_write_vectored(cx, &pieces)).await?, 9);
        assert_eq!(other.recv().await?, "head body");
        other.write_all("back").await?;
        assert_eq!(reader.lend().await?, "back");
        Ok(())
    }
}

#[corering::test]
async fn duplex_of_tokio_serves_the_traits_of_futures() -> io::Result<()> {
    let (one, other) = tokio::io::duplex(16);
    let (mut one, mut other) =
        (Futures::new(FromTokio::new(one)), Futures::new(FromTokio::new(other)));
    let sent = pattern(1_000);
    let send = async {
        one.write_all(&sent).await?;
        one.close().await
    };
    let mut received = Vec::new();
    let (sent_all, count) = join!(send, other.read_to_end(&mut received));
    sent_all?;
    assert_eq!((count?, received), (1_000, sent.clone()));
    Ok(())
}

#[corering::test]
async fn foreign_stream_that_is_always_ready_leaves_others_their_turn() -> io::Result<()> {
    let turns = Rc::new(Cell::new(0));
    let beside = spawn({
        let turns = turns.clone();
        async move {
            loop {
                turns.set(turns.get() + 1);
                yield_now().await;
            }
        }
    });
    let mut endless = FromTokio::new(tokio::io::repeat(7));
    for _ in 0..10_000 {
        assert!(!endless.lend().await?.is_empty());
    }
    let reads = turns.get();
    assert!(reads >= 50, "{reads} turns in 10,000 reads");
    let mut sink = FromTokio::new(tokio::io::sink());
    for _ in 0..10_000 {
        poll_fn(|cx| sink.poll_write(cx, b"x")).await?;
    }
    let writes = turns.get() - reads;
    assert!(writes >= 50, "{writes} turns in 10,000 writes");
    beside.abort();
    Ok(())
}

#[corering::test]
async fn lines_and_copies_run_over_what_has_the_traits_of_tokio() -> io::Result<()> {
    let (far, near) = tokio::io::duplex(16);
    let mut near = FromTokio::new(near);
    let (mut one, mut other) = duplex(16);
    let copying = corering::spawn(async move { copy_bidirectional(&mut near, &mut other).await });
    let mut far = FromTokio::new(far);
    one.write_all("one\ntwo\nrest, of the stream").await?;
    let mut first = lines(&mut far);
    assert_eq!(first.next_line().await?.as_deref(), Some("one"));
    assert_eq!(first.next_line().await?.as_deref(), Some("two"));
    drop(first);
    assert_eq!(read_until(&mut far, b',', 100).await?, b"rest,");
    one.shutdown().await?;
    let mut rest = Vec::new();
    while let Some(part) = Some(far.lend().await?).filter(|part| !part.is_empty()) {
        rest.extend_from_slice(&part);
    }
    assert_eq!(rest, b" of the stream");
    drop(far);
    assert_eq!(copying.await.expect("it does not panic")?, (0, 27));
    Ok(())
}
