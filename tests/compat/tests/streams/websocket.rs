//! WebSockets by `tokio_tungstenite`, over plain streams and over TLS.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Poll;

use corering::compat::Tokio;
use corering::net::{ByteStream, Family};
use corering::{JoinHandle, spawn};
use futures_util::{Sink, SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_async, client_async};

use crate::net::pattern;
use crate::{over_each_family, tls};

type Outcome = Result<(), Error>;

/// Answers every message with itself until the client closes; gives what it closed with.
fn echo<S>(stream: S) -> JoinHandle<Result<Option<CloseFrame>, Error>>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    spawn(async move {
        let mut socket = accept_async(stream).await?;
        let mut closed = None;
        while let Some(message) = socket.next().await {
            match message? {
                Message::Close(frame) => closed = frame,
                message if message.is_text() || message.is_binary() => {
                    socket.send(message).await?;
                }
                _ => {}
            }
        }
        // TLS wants to be told.
        socket.get_mut().shutdown().await?;
        Ok(closed)
    })
}

async fn conversation<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut WebSocketStream<S>,
) -> Outcome {
    for message in [
        Message::text("hello"),
        Message::text(""),
        Message::binary(pattern(1 << 20)),
        Message::text("and after it"),
    ] {
        socket.send(message.clone()).await?;
        let answer = socket.next().await.expect("an answer comes")?;
        assert!(answer == message, "the answer is another message");
    }
    socket.send(Message::Ping("here?".into())).await?;
    assert_eq!(socket.next().await.expect("a pong comes")?, Message::Pong("here?".into()));

    // One message in three frames, and a control frame between them.
    let piece = |text: &'static str, data, is_final| {
        Message::Frame(Frame::message(text, OpCode::Data(data), is_final))
    };
    socket.feed(piece("in ", Data::Text, false)).await?;
    socket.feed(piece("three ", Data::Continue, false)).await?;
    socket.feed(Message::Ping("between".into())).await?;
    socket.feed(piece("frames", Data::Continue, true)).await?;
    socket.flush().await?;
    assert_eq!(socket.next().await.expect("a pong comes")?, Message::Pong("between".into()));
    assert_eq!(socket.next().await.expect("an answer comes")?, Message::text("in three frames"));
    Ok(())
}

/// Talks, closes, and sees the close answered.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> Outcome {
    let (mut socket, _response) = client_async("ws://localhost/", stream).await?;
    conversation(&mut socket).await?;
    let goodbye = CloseFrame { code: CloseCode::Away, reason: "enough".into() };
    socket.close(Some(goodbye.clone())).await?;
    let answer = socket.next().await.expect("the close is answered")?;
    assert_eq!(answer, Message::Close(Some(goodbye)));
    assert!(socket.next().await.is_none(), "nothing comes behind the close");
    Ok(())
}

async fn over_plain<F: Family>(one: ByteStream<F>, other: ByteStream<F>) -> Outcome {
    let server = echo(Tokio::new(other));
    talk(Tokio::new(one)).await?;
    let closed = server.await.expect("no panic")?.expect("the close has a reason");
    assert_eq!((closed.code, closed.reason.as_str()), (CloseCode::Away, "enough"));
    Ok(())
}

async fn over_tls<F: Family>(one: ByteStream<F>, other: ByteStream<F>) -> Outcome {
    let (client, server) = tls::handshake(one, other).await?;
    let server = echo(server);
    talk(client).await?;
    let closed = server.await.expect("no panic")?.expect("the close has a reason");
    assert_eq!((closed.code, closed.reason.as_str()), (CloseCode::Away, "enough"));
    Ok(())
}

over_each_family! {
    async fn web_socket_echoes_and_closes(one, other) {
        over_plain(one, other).await.map_err(io::Error::other)
    }

    async fn web_socket_over_tls_echoes_and_closes(one, other) {
        over_tls(one, other).await.map_err(io::Error::other)
    }

    async fn web_socket_runs_over_two_halves(one, other) {
        let (reader, writer) = other.into_split();
        let server = echo(tokio::io::join(Tokio::new(reader), Tokio::new(writer)));
        let (reader, writer) = one.into_split();
        talk(tokio::io::join(Tokio::new(reader), Tokio::new(writer)))
            .await
            .map_err(io::Error::other)?;
        let closed = server.await.expect("no panic").map_err(io::Error::other)?;
        assert!(closed.is_some(), "the close has a reason");
        Ok(())
    }

    async fn web_socket_that_is_cut_off_is_an_error(one, other) {
        let server = echo(Tokio::new(other));
        let (socket, _response) = client_async("ws://localhost/", Tokio::new(one))
            .await
            .map_err(io::Error::other)?;
        drop(socket);
        let error = server.await.expect("no panic").expect_err("nobody has closed");
        assert!(matches!(error, Error::Protocol(_) | Error::Io(_)), "{error}");
        Ok(())
    }

    async fn web_socket_waits_for_a_peer_that_does_not_read(one, other) {
        let (client, server) = corering::try_join!(
            async { client_async("ws://localhost/", Tokio::new(one)).await },
            async { accept_async(Tokio::new(other)).await },
        )
        .map_err(io::Error::other)?;
        let (mut client, mut server) = (client.0, server);
        // The socket takes a message before it is sent, so it is the next one that waits.
        let mut sent = 0_u32;
        poll_fn(|cx| {
            let mut client = Pin::new(&mut client);
            loop {
                match client.as_mut().poll_ready(cx) {
                    Poll::Ready(ready) => ready.expect("the connection lives"),
                    Poll::Pending => return Poll::Ready(()),
                }
                let message = Message::binary(pattern(1 << 20));
                client.as_mut().start_send(message).expect("it was ready");
                sent += 1;
                let _ = client.as_mut().poll_flush(cx).map(|sent| sent.expect("it lives"));
            }
        })
        .await;
        let sending = spawn(async move {
            client.close(None).await?;
            while client.next().await.transpose()?.is_some() {}
            Ok::<(), Error>(())
        });
        let mut received = 0;
        while let Some(message) = server.next().await {
            match message.map_err(io::Error::other)? {
                Message::Close(_) => {}
                message => {
                    assert!(message.into_data() == pattern(1 << 20), "it is another message");
                    received += 1;
                }
            }
        }
        assert_eq!(received, sent);
        // The client waits until the server, which closes first, has done so.
        drop(server);
        sending.await.expect("no panic").map_err(io::Error::other)
    }
}
