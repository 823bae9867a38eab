//! The codecs of `tokio_util`.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use corering::compat::Tokio;
use corering::net::UnixStream;
use corering::spawn;
use futures_util::{FutureExt, SinkExt, StreamExt, TryStreamExt};
use tokio_util::codec::{
    Framed, FramedRead, FramedWrite, LengthDelimitedCodec, LinesCodec, LinesCodecError,
};

use crate::net::{pattern, until};
use crate::over_each_family;

over_each_family! {
    async fn framed_lines_are_echoed(one, other) {
        let echo = spawn(async move {
            let (sink, lines) = Framed::new(Tokio::new(other), LinesCodec::new()).split();
            lines.forward(sink).await
        });
        let mut client = Framed::new(Tokio::new(one), LinesCodec::new());
        for line in ["one", "", "and another"] {
            client.send(line).await.map_err(io::Error::other)?;
            let answer = client.next().await.expect("an answer comes");
            assert_eq!(answer.map_err(io::Error::other)?, line);
        }
        drop(client);
        echo.await.expect("no panic").map_err(io::Error::other)
    }

    async fn frames_with_lengths_arrive_whole(one, other) {
        let (reader, writer) = (one.into_split().0, other.into_split().1);
        let frames: Vec<Bytes> =
            [0, 1, 4_095, 70_000, 3, 1 << 20].map(|len| pattern(len).into()).into();
        let to_send = frames.clone();
        let sending = spawn(async move {
            let mut sink = FramedWrite::new(Tokio::new(writer), LengthDelimitedCodec::new());
            for frame in to_send {
                sink.feed(frame).await?;
            }
            SinkExt::<Bytes>::close(&mut sink).await
        });
        let stream = FramedRead::new(Tokio::new(reader), LengthDelimitedCodec::new());
        let received: Vec<BytesMut> = stream.try_collect().await?;
        assert!(received == frames, "other frames have come");
        sending.await.expect("no panic")
    }

    async fn stream_that_ends_within_a_frame_is_an_error(one, other) {
        let mut one = one;
        // Eight bytes are announced, two come.
        one.write_all([0, 0, 0, 8, 1, 2].to_vec()).await?;
        drop(one);
        let mut frames = FramedRead::new(Tokio::new(other), LengthDelimitedCodec::new());
        let error = frames.next().await.expect("it is told").expect_err("the frame is cut");
        assert_eq!(error.to_string(), "bytes remaining on stream");
        Ok(())
    }

    async fn line_above_the_limit_is_an_error(one, other) {
        let mut one = one;
        one.write_all("short\nmuch longer than eight\nshort\n").await?;
        let mut lines = FramedRead::new(Tokio::new(other), LinesCodec::new_with_max_length(8));
        assert_eq!(lines.next().await.expect("a line").expect("it is short"), "short");
        let error = lines.next().await.expect("it is told").expect_err("it is too long");
        assert!(matches!(error, LinesCodecError::MaxLineLengthExceeded), "{error}");
        Ok(())
    }
}

const FRAME: usize = 64 * 1024;
const FRAMES: usize = 512;

/// Far more than a pair of Unix sockets holds, and a sink.
const HELD_MAX: usize = 4 << 20;

#[corering::test]
async fn framed_sink_waits_for_a_peer_that_does_not_read() -> io::Result<()> {
    let (one, other) = UnixStream::pair()?;
    let (sent, waits) = (Rc::new(Cell::new(0_usize)), Rc::new(Cell::new(false)));
    let sending = spawn({
        let (sent, waits) = (sent.clone(), waits.clone());
        async move {
            let mut sink = FramedWrite::new(Tokio::new(one), LengthDelimitedCodec::new());
            let frame = Bytes::from(pattern(FRAME));
            for _ in 0..FRAMES {
                let mut feed = sink.feed(frame.clone());
                poll_fn(|cx| {
                    let polled = feed.poll_unpin(cx);
                    waits.set(polled.is_pending());
                    polled
                })
                .await?;
                sent.set(sent.get() + FRAME);
            }
            SinkExt::<Bytes>::close(&mut sink).await
        }
    });
    until(|| waits.get()).await;
    let mut frames = FramedRead::new(Tokio::new(other), LengthDelimitedCodec::new());
    let mut received = 0;
    while let Some(frame) = frames.try_next().await? {
        assert!(frame == pattern(FRAME), "frame {} is another", received / FRAME);
        assert!(sent.get() <= received + HELD_MAX, "{} bytes wait", sent.get() - received);
        received += FRAME;
    }
    assert_eq!(received, FRAME * FRAMES);
    sending.await.expect("no panic")
}
