//! `corering::compat::Futures`, by `futures_util::io`.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;

use corering::compat::Futures;
use corering::io::duplex;
use corering::net::UnixStream;
use corering::{join, spawn, yield_now};
use futures_util::io::{
    AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy,
    copy_buf,
};
use futures_util::{FutureExt, TryStreamExt};

use crate::net::{TOO_MUCH, drop_in_flight, pattern};
use crate::over_each_family;

over_each_family! {
    async fn lines_of_futures_come_one_by_one(one, other) {
        let (mut one, other) = (one.compat(), other.compat());
        one.write_all(b"first\nsecond\r\n\nlast").await?;
        one.close().await?;
        let lines: Vec<String> = other.lines().try_collect().await?;
        assert_eq!(lines, ["first", "second", "", "last"]);
        Ok(())
    }

    async fn copies_of_futures_bring_every_byte(one, other) {
        let (reader, writer) = other.into_split();
        let (from_one, to_one) = one.into_split();
        // The first copy has a buffer of its own, the second copies what is lent.
        let echo = spawn(async move {
            let mut writer = writer.compat();
            let count = copy(reader.compat(), &mut writer).await?;
            writer.close().await?;
            Ok::<u64, io::Error>(count)
        });
        let sent = pattern(TOO_MUCH);
        let send = async {
            let mut source = futures_util::io::Cursor::new(&sent);
            let mut to_one = Futures::new(to_one);
            copy_buf(&mut source, &mut to_one).await?;
            to_one.close().await
        };
        let receive = async {
            let mut received = Vec::new();
            let mut from_one = from_one.compat();
            copy_buf(&mut from_one, &mut received).await?;
            Ok::<_, io::Error>(received)
        };
        let (sent_all, received) = join!(send, receive);
        sent_all?;
        assert!(received? == sent, "what came back is not what was sent");
        assert_eq!(echo.await.expect("no panic")?, TOO_MUCH as u64);
        Ok(())
    }

    async fn closed_sending_side_still_receives(one, other) {
        let (mut one, mut other) = (one.compat(), other.compat());
        one.write_all(b"question").await?;
        one.close().await?;
        let mut text = String::new();
        other.read_to_string(&mut text).await?;
        assert_eq!(text, "question");
        other.write_all(b"answer").await?;
        other.close().await?;
        text.clear();
        one.read_to_string(&mut text).await?;
        assert_eq!(text, "answer");
        Ok(())
    }

    async fn vectored_writes_keep_their_order(one, other) {
        let (mut one, mut other) = (one.compat(), other.compat());
        let pieces = [b"head ".as_slice(), b"", b"body"].map(io::IoSlice::new);
        assert_eq!(one.write_vectored(&pieces).await?, 9);
        let mut received = [0; 9];
        other.read_exact(&mut received).await?;
        assert_eq!(&received, b"head body");
        Ok(())
    }
}

#[corering::test]
async fn filled_buffer_is_the_memory_that_was_lent() -> io::Result<()> {
    let (mut one, other) = UnixStream::pair()?;
    let mut other = other.compat();
    one.write_all("abcdef").await?;
    let first = other.fill_buf().await?.as_ptr();
    assert_eq!(held(), 1);
    Pin::new(&mut other).consume(2);
    let rest = other.fill_buf().await?;
    assert_eq!((rest, rest.as_ptr()), (&b"cdef"[..], first.wrapping_add(2)));
    // Reads take from the same memory.
    let mut two = [0; 2];
    other.read_exact(&mut two).await?;
    assert_eq!((&two, other.fill_buf().await?), (b"cd", &b"ef"[..]));
    Pin::new(&mut other).consume(2);
    assert_eq!(held(), 0, "memory of which all was taken goes back at once");
    assert!(other.fill_buf().now_or_never().is_none(), "nothing more was sent");
    Ok(())
}

/// The receive buffers of this shard that somebody holds.
fn held() -> u64 {
    let metrics = corering::metrics();
    metrics.group_buffers_out + metrics.lent_buffers_out
}

#[corering::test]
async fn unwrapped_stream_has_what_nobody_read() -> io::Result<()> {
    let (mut one, other) = UnixStream::pair()?;
    let mut other = other.compat();
    one.write_all("abcd").await?;
    assert_eq!(other.read(&mut [0; 1]).await?, 1);
    // Through the wrapper and past it, the bytes come in their order.
    assert_eq!(other.get_mut().read(Vec::with_capacity(1)).await?.1, b"b");
    assert_eq!(other.fill_buf().await?, b"cd");
    one.write_all("e").await?;
    let mut stream = other.into_inner();
    assert_eq!(stream.read_exact(Vec::with_capacity(3), 3).await?, b"cde");
    Ok(())
}

#[corering::test]
async fn duplex_stream_has_the_traits_of_futures() -> io::Result<()> {
    let (one, other) = duplex(4);
    let (mut one, mut other) = (one.compat(), other.compat());
    let send = async {
        one.write_all(b"more than fits").await?;
        one.close().await
    };
    let mut text = String::new();
    let (sent, count) = join!(send, other.read_to_string(&mut text));
    sent?;
    assert_eq!((count?, text.as_str()), (14, "more than fits"));
    Ok(())
}

#[corering::test]
async fn read_into_no_room_takes_nothing() -> io::Result<()> {
    let (mut one, other) = UnixStream::pair()?;
    let mut other = other.compat();
    assert_eq!(other.read(&mut []).now_or_never().expect("it does not wait")?, 0);
    one.write_all("x").await?;
    assert_eq!(other.read(&mut [0; 8]).await?, 1);
    drop(one);
    assert_eq!(other.read(&mut [0; 8]).await?, 0);
    assert_eq!(other.read(&mut [0; 8]).await?, 0, "the end stays the end");
    Ok(())
}

#[corering::test]
async fn reads_of_single_bytes_leave_others_their_turn() -> io::Result<()> {
    let (mut one, other) = UnixStream::pair()?;
    let mut other = other.compat();
    one.write_all(vec![7; 10_000]).await?;
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
    let mut byte = [0];
    for _ in 0..10_000 {
        other.read_exact(&mut byte).await?;
    }
    assert!(turns.get() >= 50, "{} turns in 10,000 reads", turns.get());
    beside.abort();
    Ok(())
}

#[corering::test]
async fn wrapper_takes_the_bridges_of_tokio_util() -> io::Result<()> {
    use tokio::io::AsyncWriteExt as _;
    use tokio_util::compat::{FuturesAsyncReadCompatExt, TokioAsyncReadCompatExt};
    let (one, mut other) = UnixStream::pair()?;
    // Ours, which is the stream's own method, then tokio_util's on what that returned, and back.
    let mut for_tokio = FuturesAsyncReadCompatExt::compat(one.compat());
    for_tokio.write_all(b"to tokio").await?;
    assert_eq!(other.recv().await?, "to tokio");
    let mut and_back = TokioAsyncReadCompatExt::compat(for_tokio);
    futures_util::AsyncWriteExt::write_all(&mut and_back, b" and back").await?;
    assert_eq!(other.recv().await?, " and back");
    Ok(())
}

#[corering::test]
async fn halves_have_the_traits_of_their_direction() -> io::Result<()> {
    fn reads<T: AsyncRead + AsyncBufRead + Unpin>(_: &T) {}
    fn writes<T: AsyncWrite + Unpin>(_: &T) {}
    let (mut one, other) = UnixStream::pair()?;
    let (reader, writer) = one.split();
    reads(&Futures::new(reader));
    writes(&Futures::new(writer));
    let (reader, writer) = other.into_split();
    let (reader, mut writer) = (reader.compat(), writer.compat());
    reads(&reader);
    writes(&writer);
    writer.write_all(b"by a half").await?;
    // Dropping the sending half ends that side.
    drop(writer);
    let mut text = String::new();
    one.compat().read_to_string(&mut text).await?;
    assert_eq!(text, "by a half");
    Ok(())
}

#[corering::test]
async fn dropped_read_loses_no_byte() -> io::Result<()> {
    let (mut one, other) = UnixStream::pair()?;
    let mut other = other.compat();
    let mut buf = [0; 8];
    drop_in_flight(other.read(&mut buf)).await;
    one.write_all("here").await?;
    assert_eq!(other.read(&mut buf).await?, 4);
    assert_eq!(&buf[..4], b"here");
    Ok(())
}
