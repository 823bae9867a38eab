//! WebSockets: by HTTP/1.1 to tungstenite's own client in a thread, and by HTTP/2.

use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::response::Response;
use axum::routing::any;
use corering::compat::axum::WebSocketUpgrade;
use corering::compat::axum::tungstenite::client::IntoClientRequest;
use corering::compat::axum::tungstenite::protocol::{CloseFrame, Role, frame::coding::CloseCode};
use corering::compat::axum::tungstenite::{self, Message, WebSocket};
use corering::time::{self, Duration};
use futures_util::{FutureExt, SinkExt, StreamExt};
use hyper::{StatusCode, ext::Protocol};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;

use super::{Failure, Server};

async fn echo(upgrade: WebSocketUpgrade) -> Response {
    upgrade.protocols(["second", "first"]).on_upgrade(async |mut socket| {
        while let Some(Ok(message)) = socket.recv().await {
            let is_data = message.is_text() || message.is_binary();
            if message.is_close() || is_data && socket.send(message).await.is_err() {
                return;
            }
        }
    })
}

fn connect(
    address: SocketAddr,
    offer: &str,
) -> Result<(WebSocket<TcpStream>, Response<()>), Failure> {
    let mut request = format!("ws://{address}/ws").into_client_request()?;
    if !offer.is_empty() {
        request.headers_mut().insert("sec-websocket-protocol", offer.parse()?);
    }
    let (socket, answer) = tungstenite::client(request, TcpStream::connect(address)?)
        .map_err(|error| error.to_string())?;
    Ok((socket, answer.map(drop)))
}

/// Runs a client that blocks, on a thread of its own.
async fn client<T: Send + 'static>(
    run: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let ended = corering::spawn_blocking(|| run().map_err(|error| error.to_string())).await;
    Ok(ended?.map_err(std::io::Error::other)?)
}

#[corering::test]
async fn messages_come_back_whatever_their_kind_and_size() -> Result<(), Failure> {
    let server = Server::start(Router::new().route("/ws", any(echo))).await?;
    let address = server.address;
    client(move || {
        let (mut socket, _) = connect(address, "")?;
        let large = Message::binary(vec![7; 1_000_000]);
        for message in [Message::text("hello"), Message::text(""), large] {
            socket.send(message.clone())?;
            assert_eq!(socket.read()?, message);
        }
        socket.send(Message::Ping("alive?".into()))?;
        assert_eq!(socket.read()?, Message::Pong("alive?".into()));
        let frame = CloseFrame { code: CloseCode::Normal, reason: "done".into() };
        socket.close(Some(frame.clone()))?;
        assert_eq!(socket.read()?, Message::Close(Some(frame)));
        assert!(matches!(socket.read(), Err(tungstenite::Error::ConnectionClosed)));
        Ok(())
    })
    .await?;
    Ok(server.end().await?)
}

#[corering::test]
async fn subprotocol_of_server_and_client_is_chosen() -> Result<(), Failure> {
    let server = Server::start(Router::new().route("/ws", any(echo))).await?;
    let address = server.address;
    for (offer, chosen) in [("third, first,second", Some("second")), ("first", Some("first"))] {
        let answer = client(move || Ok(connect(address, offer)?.1)).await?;
        let answered = answer.headers().get("sec-websocket-protocol");
        assert_eq!(answered.map(|name| name.to_str()).transpose()?, chosen);
    }
    Ok(server.end().await?)
}

#[corering::test]
async fn handler_of_socket_uses_timers_of_shard() -> Result<(), Failure> {
    let count = |upgrade: WebSocketUpgrade| async move {
        upgrade.on_upgrade(async move |mut socket| {
            for n in 1..=3 {
                time::sleep(Duration::from_millis(1)).await;
                socket.send(format!("{n}")).await.expect("the client reads");
            }
        })
    };
    let server = Server::start(Router::new().route("/ws", any(count))).await?;
    let address = server.address;
    client(move || {
        let (mut socket, _) = connect(address, "")?;
        for n in 1..=3 {
            assert_eq!(socket.read()?, Message::text(format!("{n}")));
        }
        assert!(socket.read().is_err(), "the server is gone");
        Ok(())
    })
    .await?;
    Ok(server.end().await?)
}

#[corering::test]
async fn flood_of_messages_leaves_others_their_turn() -> Result<(), Failure> {
    const FLOOD: usize = 20_000;
    static TURNS: AtomicUsize = AtomicUsize::new(0);
    let other = corering::spawn(async {
        loop {
            TURNS.fetch_add(1, Ordering::Relaxed);
            corering::yield_now().await;
        }
    });
    let count = |upgrade: WebSocketUpgrade| async move {
        upgrade.on_upgrade(async |mut socket| {
            // How many messages were received in a row while nobody else had a turn.
            let (mut row, mut longest, mut last) = (0, 0, 0);
            for _ in 0..FLOOD {
                socket.recv().await.expect("they go on").expect("they come whole");
                let turn = TURNS.load(Ordering::Relaxed);
                row = if turn == last { row + 1 } else { 1 };
                (longest, last) = (longest.max(row), turn);
            }
            socket.send(longest.to_string()).await.expect("the client reads");
        })
    };
    let server = Server::start(Router::new().route("/ws", any(count))).await?;
    let address = server.address;
    let longest = client(move || {
        let (mut socket, _) = connect(address, "")?;
        (0..FLOOD).try_for_each(|_| socket.write(Message::text("")))?;
        socket.flush()?;
        Ok(socket.read()?.into_text()?.parse::<usize>()?)
    });
    let longest = longest.await?;
    assert!(longest <= 128, "{longest} messages in a row");
    other.abort();
    Ok(server.end().await?)
}

#[corering::test]
async fn dropped_recv_loses_no_message() -> Result<(), Failure> {
    let order = |upgrade: WebSocketUpgrade| async move {
        upgrade.on_upgrade(async |mut socket| {
            let mut received = Vec::new();
            while received.len() < 500 {
                match socket.recv().now_or_never() {
                    Some(message) => received.push(message.expect("open").expect("whole")),
                    None => corering::yield_now().await,
                }
            }
            for message in received {
                socket.send(message).await.expect("the client reads");
            }
        })
    };
    let server = Server::start(Router::new().route("/ws", any(order))).await?;
    let address = server.address;
    client(move || {
        let (mut socket, _) = connect(address, "")?;
        let messages = (0..500).map(|n| Message::text("x".repeat(n * 7)));
        messages.clone().try_for_each(|message| socket.send(message))?;
        for message in messages {
            assert_eq!(socket.read()?, message);
        }
        Ok(())
    })
    .await?;
    Ok(server.end().await?)
}

#[corering::test]
async fn message_above_limit_ends_socket() -> Result<(), Failure> {
    let limited = |upgrade: WebSocketUpgrade| async move {
        upgrade.max_message_size(10).on_upgrade(async |mut socket| {
            while let Some(Ok(message)) = socket.recv().await {
                drop(socket.send(message).await);
            }
        })
    };
    let server = Server::start(Router::new().route("/ws", any(limited))).await?;
    let address = server.address;
    client(move || {
        let (mut socket, _) = connect(address, "")?;
        socket.send(Message::text("0123456789"))?;
        assert_eq!(socket.read()?, Message::text("0123456789"));
        socket.send(Message::text("0123456789a"))?;
        assert!(!matches!(socket.read(), Ok(Message::Text(_))));
        Ok(())
    })
    .await?;
    Ok(server.end().await?)
}

#[corering::test]
async fn socket_is_opened_by_http2() -> Result<(), Failure> {
    let server = Server::start(Router::new().route("/ws", any(echo))).await?;
    let mut client = server.http2().await?;
    // Extended CONNECT, once the server's settings allow it.
    assert_eq!(client.send_request(super::get("/")).await?.status(), StatusCode::NOT_FOUND);
    let mut request = super::request("CONNECT", "/ws", "");
    request.headers_mut().insert("sec-websocket-version", "13".parse()?);
    request.extensions_mut().insert(Protocol::from_static("websocket"));
    let answer = client.send_request(request).await?;
    assert_eq!(answer.status(), StatusCode::OK);
    let io = TokioIo::new(hyper::upgrade::on(answer).await?);
    let mut socket = WebSocketStream::from_raw_socket(io, Role::Client, None).await;
    socket.send(Message::text("by HTTP/2")).await?;
    assert_eq!(socket.next().await.expect("it answers")?, Message::text("by HTTP/2"));
    socket.close(None).await?;
    assert_eq!(socket.next().await.expect("it closes, too")?, Message::Close(None));
    drop((socket, client));
    Ok(server.end().await?)
}

#[corering::test]
async fn request_that_is_no_socket_is_answered_with_why() -> Result<(), Failure> {
    let server = Server::start(Router::new().route("/ws", any(echo))).await?;
    let (status, why) = server.get("/ws").await?;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(why.contains("Connection: upgrade"), "{why}");
    let (status, _) = server.answer(super::request("POST", "/ws", "")).await?;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    Ok(server.end().await?)
}
