//! `corering::compat::Tokio`, by tokio's own extension traits and copies. No runtime of tokio's runs.

use std::io;
use std::pin::Pin;

use corering::compat::Tokio;
use corering::net::UnixStream;
use corering::{join, spawn, try_join, yield_now};
use futures_util::FutureExt;
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt,
};

use crate::net::{TOO_MUCH, pattern};
use crate::over_each_family;

over_each_family! {
    async fn lines_of_tokio_come_one_by_one(one, other) {
        let (mut one, other) = (Tokio::new(one), Tokio::new(other));
        one.write_all(b"first\nsecond\r\n\nlast").await?;
        one.shutdown().await?;
        let mut lines = other.lines();
        for line in ["first", "second", "", "last"] {
            assert_eq!(lines.next_line().await?.as_deref(), Some(line));
        }
        assert_eq!(lines.next_line().await?, None);
        Ok(())
    }

    async fn copies_of_tokio_bring_every_byte(one, other) {
        let (reader, writer) = other.into_split();
        let echo = spawn(async move {
            let (mut reader, mut writer) = (Tokio::new(reader), Tokio::new(writer));
            let count = tokio::io::copy(&mut reader, &mut writer).await?;
            writer.shutdown().await?;
            Ok::<u64, io::Error>(count)
        });
        let (reader, writer) = one.into_split();
        let sent = pattern(TOO_MUCH);
        let send = async {
            let mut writer = Tokio::new(writer);
            tokio::io::copy_buf(&mut &sent[..], &mut writer).await?;
            writer.shutdown().await
        };
        let receive = async {
            let mut received = Vec::new();
            tokio::io::copy_buf(&mut Tokio::new(reader), &mut received).await?;
            Ok::<_, io::Error>(received)
        };
        let (sent_all, received) = join!(send, receive);
        sent_all?;
        assert!(received? == sent, "what came back is not what was sent");
        assert_eq!(echo.await.expect("no panic")?, TOO_MUCH as u64);
        Ok(())
    }

    async fn copy_in_both_directions_passes_half_closes_on(one, other) {
        // one - other, proxied to near - far.
        let (near, far) = UnixStream::pair()?;
        let proxy = spawn(async move {
            let (mut other, mut near) = (Tokio::new(other), Tokio::new(near));
            tokio::io::copy_bidirectional(&mut other, &mut near).await
        });
        let (mut one, mut far) = (Tokio::new(one), Tokio::new(far));
        one.write_all(b"question").await?;
        one.shutdown().await?;
        let mut text = String::new();
        far.read_to_string(&mut text).await?;
        assert_eq!(text, "question");
        far.write_all(b"an answer").await?;
        far.shutdown().await?;
        text.clear();
        one.read_to_string(&mut text).await?;
        assert_eq!(text, "an answer");
        assert_eq!(proxy.await.expect("no panic")?, (8, 9));
        Ok(())
    }

    async fn split_of_tokio_serves_two_tasks(one, other) {
        let (mut reader, mut writer) = tokio::io::split(Tokio::new(one));
        let sent = pattern(300_000);
        let to_send = sent.clone();
        let writing = spawn(async move {
            writer.write_all(&to_send).await?;
            writer.shutdown().await
        });
        let echo = spawn(crate::net::echo(other));
        let mut received = Vec::new();
        reader.read_to_end(&mut received).await?;
        assert!(received == sent, "what came back is not what was sent");
        writing.await.expect("no panic")?;
        echo.await.expect("no panic")
    }

    async fn vectored_writes_keep_their_order_for_tokio(one, other) {
        let (mut one, mut other) = (Tokio::new(one), Tokio::new(other));
        assert!(one.is_write_vectored());
        let pieces = [b"head ".as_slice(), b"", b"body"].map(io::IoSlice::new);
        assert_eq!(one.write_vectored(&pieces).await?, 9);
        let mut received = [0; 9];
        other.read_exact(&mut received).await?;
        assert_eq!(&received, b"head body");
        Ok(())
    }

    async fn numbers_are_read_across_lent_buffers(one, other) {
        let (mut one, mut other) = (Tokio::new(one), Tokio::new(other));
        let send = async {
            for number in 0..5_000_u32 {
                one.write_u32(number).await?;
                one.write_u8(7).await?;
            }
            one.flush().await
        };
        let receive = async {
            for number in 0..5_000 {
                assert_eq!(other.read_u32().await?, number);
                assert_eq!(other.read_u8().await?, 7);
            }
            Ok(())
        };
        try_join!(send, receive).map(drop)
    }
}

#[corering::test]
async fn tokio_fills_no_more_than_there_is_room_for() -> io::Result<()> {
    let (mut one, other) = UnixStream::pair()?;
    let mut other = Tokio::new(other);
    assert_eq!(other.read(&mut []).now_or_never().expect("it does not wait")?, 0);
    one.write_all("abcdef").await?;
    let mut four = [0; 4];
    assert_eq!((other.read(&mut four).await?, &four), (4, b"abcd"));
    assert_eq!(other.fill_buf().await?, b"ef");
    Pin::new(&mut other).consume(1);
    let mut stream = other.into_inner();
    assert_eq!(stream.recv().await?, "f");
    drop(one);
    assert!(stream.recv().await?.is_empty());
    assert_eq!(Tokio::new(stream).read(&mut four).await?, 0);
    Ok(())
}

#[corering::test]
async fn halves_have_the_traits_of_tokio_of_their_direction() -> io::Result<()> {
    fn reads<T: AsyncRead + AsyncBufRead + Unpin>(_: &T) {}
    fn writes<T: AsyncWrite + Unpin>(_: &T) {}
    let (one, other) = UnixStream::pair()?;
    let (reader, writer) = other.into_split();
    let (reader, mut writer) = (Tokio::new(reader), Tokio::new(writer));
    reads(&reader);
    writes(&writer);
    writer.write_all(b"by a half").await?;
    // Dropping the sending half ends that side.
    drop(writer);
    let mut text = String::new();
    Tokio::new(one).read_to_string(&mut text).await?;
    assert_eq!(text, "by a half");
    Ok(())
}

#[corering::test]
async fn error_of_the_socket_is_the_error_of_the_trait() -> io::Result<()> {
    let (one, other) = UnixStream::pair()?;
    let mut one = Tokio::new(one);
    drop(other);
    // An error of what was taken earlier is that of a later write.
    let error = loop {
        if let Err(error) = one.write_all(b"x").await {
            break error;
        }
        yield_now().await;
    };
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    Ok(())
}

#[corering::test]
async fn streams_that_hold_a_rest_keep_no_other_from_receiving() -> io::Result<()> {
    // More than the shard has buffers to lend.
    let mut holding = Vec::new();
    for _ in 0..200 {
        let (mut one, other) = UnixStream::pair()?;
        let mut other = Tokio::new(other);
        one.write_all("ab").await?;
        assert_eq!(other.read_u8().await?, b'a');
        holding.push((one, other));
    }
    let (mut one, other) = UnixStream::pair()?;
    let mut other = Tokio::new(other);
    for number in 0..100 {
        one.write_all(vec![number; 1_000]).await?;
        let mut received = [0; 1_000];
        other.read_exact(&mut received).await?;
        assert_eq!(received, [number; 1_000]);
    }
    for (_, held) in &mut holding {
        assert_eq!(held.read_u8().await?, b'b');
    }
    Ok(())
}
