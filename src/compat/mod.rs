//! Layer 7: the traits of other libraries, over corering's streams. Each bridge stands behind a
//! feature of its own.
//!
//! The traits are those of wrappers and never of the streams themselves, whose own `read` and `write`
//! take buffers by value and would hide theirs.

#![forbid(unsafe_code)]

#[cfg(feature = "axum")]
pub mod axum;
#[cfg(feature = "hyper")]
mod file_body;
#[cfg(feature = "futures-io")]
mod futures_io;
#[cfg(feature = "hyper")]
mod hyper;
#[cfg(feature = "hyper-client")]
mod hyper_client;
#[cfg(any(feature = "futures-io", feature = "hyper", feature = "tokio-io"))]
mod lending;
#[cfg(any(feature = "tokio-io", feature = "tokio-guest"))]
pub mod tokio;

#[cfg(feature = "axum")]
pub use self::axum::local::local;
#[cfg(feature = "axum")]
pub use self::axum::serve::{serve, serve_each};
#[cfg(feature = "hyper")]
pub use self::file_body::FileBody;
#[cfg(feature = "futures-io")]
pub use self::futures_io::Futures;
#[cfg(feature = "hyper")]
pub use self::hyper::{Hyper, HyperExecutor, HyperTimer};
#[cfg(feature = "hyper-client")]
pub use self::hyper_client::{HyperConnecting, HyperConnector};
#[cfg(feature = "tokio-io")]
pub use self::tokio::{FromTokio, Tokio};
