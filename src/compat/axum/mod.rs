//! axum, tonic and other tower services on a shard: [`serve`](super::serve), in `serve.rs`, for the
//! server; [`local`](super::local), in `local.rs`, for what stays on its shard and must be `Send`; and
//! here what the handlers of axum use.
//!
//! axum's own `serve` and `WebSocketUpgrade` spawn by tokio. All else of axum is free of a runtime, but
//! for [`Sse::keep_alive`](https://docs.rs/axum/0.8/axum/response/sse/struct.Sse.html#method.keep_alive).

pub(super) mod local;
pub(super) mod serve;
#[cfg(feature = "axum-ws")]
mod web_socket;

pub use self::local::Local;
pub use self::serve::Serve;
#[cfg(feature = "axum-ws")]
pub use self::web_socket::{WebSocket, WebSocketUpgrade};
#[cfg(feature = "axum-ws")]
pub use tokio_tungstenite::tungstenite;
