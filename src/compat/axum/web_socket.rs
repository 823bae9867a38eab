//! WebSockets for axum's handlers, on the shard.

use std::borrow::Cow;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::hyper::header::{
    CONNECTION, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use ::hyper::http::request::Parts;
use ::hyper::upgrade::{OnUpgrade, Upgraded};
use ::hyper::{HeaderMap, Method, StatusCode, Version, ext};
use axum_core::body::Body;
use axum_core::extract::FromRequestParts;
use axum_core::response::Response;
use futures_util::sink::{Sink, SinkExt};
use futures_util::stream::{FusedStream, Stream, StreamExt};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::task;
use crate::util::budget::Toll;

/// An extractor that makes a WebSocket of the connection, in place of axum's own, which spawns by tokio.
/// It takes GET of HTTP/1.1 and CONNECT of HTTP/2: route it with axum's `any`.
///
/// # Examples
///
/// ```
/// use axum_core::response::Response; // axum's `Response`
/// use corering::compat::axum::WebSocketUpgrade;
///
/// async fn echo(upgrade: WebSocketUpgrade) -> Response {
///     upgrade.on_upgrade(async |mut socket| {
///         while let Some(Ok(message)) = socket.recv().await {
///             if !message.is_text() && !message.is_binary() {
///                 continue;
///             }
///             if socket.send(message).await.is_err() {
///                 return;
///             }
///         }
///     })
/// }
/// ```
#[must_use = "a WebSocket begins with `on_upgrade`"]
pub struct WebSocketUpgrade {
    on_upgrade: OnUpgrade,
    /// `None` by HTTP/2.
    key: Option<HeaderValue>,
    /// What the client offers.
    offered: Vec<HeaderValue>,
    protocol: Option<HeaderValue>,
    config: WebSocketConfig,
}

impl WebSocketUpgrade {
    /// The subprotocols that the server speaks, the preferred first. The first that the client offers, too,
    /// is chosen, and the answer names it.
    pub fn protocols<P: Into<Cow<'static, str>>>(
        mut self,
        protocols: impl IntoIterator<Item = P>,
    ) -> Self {
        let spoken = protocols.into_iter().map(Into::into);
        self.protocol = spoken
            .filter_map(|protocol| HeaderValue::from_str(&protocol).ok())
            .find(|protocol| self.offered.contains(protocol));
        self
    }

    /// The most bytes of a message; 64 MiB if this is not said.
    pub fn max_message_size(mut self, bytes: usize) -> Self {
        self.config.max_message_size = Some(bytes);
        self
    }

    /// The most bytes of a frame; 16 MiB if this is not said.
    pub fn max_frame_size(mut self, bytes: usize) -> Self {
        self.config.max_frame_size = Some(bytes);
        self
    }

    /// All that tungstenite leaves to be set, the sizes of its buffers among it.
    pub fn config(mut self, config: WebSocketConfig) -> Self {
        self.config = config;
        self
    }

    /// The answer that begins the WebSocket. When the client has it, `serve` is called with the socket, as
    /// a task of this shard; so what it returns need not be `Send`. If the client is gone by then, it is
    /// not called.
    ///
    /// # Panics
    ///
    /// Outside a corering runtime.
    #[must_use = "the WebSocket begins when the client has this answer"]
    pub fn on_upgrade<C, Fut>(self, serve: C) -> Response
    where
        C: FnOnce(WebSocket) -> Fut + 'static,
        Fut: Future<Output = ()> + 'static,
    {
        let WebSocketUpgrade { on_upgrade, key, protocol, config, .. } = self;
        let mut response = Response::new(Body::empty());
        let headers = response.headers_mut();
        if let Some(protocol) = &protocol {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol.clone());
        }
        if let Some(key) = key {
            let accepted = derive_accept_key(key.as_bytes());
            let accepted = HeaderValue::from_str(&accepted).expect("base64 is a valid value");
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(SEC_WEBSOCKET_ACCEPT, accepted);
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        }
        let upgraded = async move {
            let Ok(upgraded) = on_upgrade.await else { return };
            let io = TokioIo::new(upgraded);
            let messages = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
            serve(WebSocket { messages, close: None, toll: Toll::Due, protocol }).await;
        };
        drop(task::spawn(upgraded));
        response
    }
}

impl<S: Send + Sync> FromRequestParts<S> for WebSocketUpgrade {
    type Rejection = (StatusCode, &'static str);

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let bad = |why| Err((StatusCode::BAD_REQUEST, why));
        let Parts { method, version, headers, extensions, .. } = parts;
        let by_http1 = *version <= Version::HTTP_11;
        if *method != if by_http1 { Method::GET } else { Method::CONNECT } {
            let why = "a WebSocket begins with GET, and by HTTP/2 with CONNECT";
            return Err((StatusCode::METHOD_NOT_ALLOWED, why));
        }
        let key = if by_http1 {
            if !names(headers, CONNECTION, "upgrade") || !names(headers, UPGRADE, "websocket") {
                return bad("a WebSocket needs `Connection: upgrade` and `Upgrade: websocket`");
            }
            let Some(key) = headers.get(SEC_WEBSOCKET_KEY) else {
                return bad("a WebSocket needs `Sec-WebSocket-Key`");
            };
            Some(key.clone())
        } else {
            let protocol = extensions.get::<ext::Protocol>();
            if protocol.is_none_or(|protocol| protocol.as_str() != "websocket") {
                return bad("a WebSocket needs the pseudo-header `:protocol: websocket`");
            }
            None
        };
        if !names(headers, SEC_WEBSOCKET_VERSION, "13") {
            return bad("a WebSocket needs `Sec-WebSocket-Version: 13`");
        }
        let Some(on_upgrade) = extensions.remove::<OnUpgrade>() else {
            return Err((StatusCode::UPGRADE_REQUIRED, "this connection cannot be upgraded"));
        };
        let offered = listed(headers, SEC_WEBSOCKET_PROTOCOL)
            .filter_map(|protocol| HeaderValue::from_bytes(protocol).ok())
            .collect();
        let config = WebSocketConfig::default();
        Ok(WebSocketUpgrade { on_upgrade, key, offered, protocol: None, config })
    }
}

/// The items of a header that is a list.
fn listed(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &[u8]> {
    let values = headers.get_all(name).into_iter();
    values.flat_map(|value| value.as_bytes().split(|&byte| byte == b',')).map(<[u8]>::trim_ascii)
}

fn names(headers: &HeaderMap, name: HeaderName, item: &str) -> bool {
    listed(headers, name).any(|listed| listed.eq_ignore_ascii_case(item.as_bytes()))
}

impl fmt::Debug for WebSocketUpgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let WebSocketUpgrade { offered, protocol, config, .. } = self;
        let mut all = f.debug_struct("WebSocketUpgrade");
        all.field("offered", offered).field("protocol", protocol).field("config", config);
        all.finish_non_exhaustive()
    }
}

/// A WebSocket: a [`Stream`] and a [`Sink`] of messages. Pings are answered by whatever is received or
/// sent next; a close is answered before it is given.
#[derive(Debug)]
pub struct WebSocket {
    messages: WebSocketStream<TokioIo<Upgraded>>,
    /// A close that was received, until it is answered: tungstenite would answer it when more is
    /// received, and handlers end here.
    close: Option<Message>,
    /// Paid for each message: many may have come in one piece.
    toll: Toll,
    protocol: Option<HeaderValue>,
}

impl WebSocket {
    /// The next message; `None` when the socket is closed.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    ///
    /// # Errors
    ///
    /// The connection broke, or what came is no WebSocket.
    pub async fn recv(&mut self) -> Option<Result<Message, Error>> {
        self.next().await
    }

    /// Sends a message.
    ///
    /// # Cancel safety
    ///
    /// The message may have been sent, may not be sent, or is sent with the next one.
    ///
    /// # Errors
    ///
    /// The connection broke, or the socket is closed.
    pub async fn send(&mut self, message: impl Into<Message>) -> Result<(), Error> {
        self.messages.send(message.into()).await
    }

    /// The subprotocol that was chosen.
    pub fn protocol(&self) -> Option<&HeaderValue> {
        self.protocol.as_ref()
    }
}

impl Stream for WebSocket {
    type Item = Result<Message, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let WebSocket { messages, close, toll, .. } = &mut *self;
        toll.poll(cx, |cx| {
            if close.is_none() {
                match ready!(messages.poll_next_unpin(cx)) {
                    Some(Ok(received @ Message::Close(_))) => *close = Some(received),
                    other => return Poll::Ready(other),
                }
            }
            let answered = ready!(messages.poll_flush_unpin(cx));
            Poll::Ready(close.take().map(|close| answered.map(|()| close)))
        })
    }
}

impl FusedStream for WebSocket {
    fn is_terminated(&self) -> bool {
        self.close.is_none() && self.messages.is_terminated()
    }
}

impl Sink<Message> for WebSocket {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.messages.poll_ready_unpin(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        self.messages.start_send_unpin(message)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.messages.poll_flush_unpin(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.messages.poll_close_unpin(cx)
    }
}
