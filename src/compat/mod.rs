//! Layer 7: the traits of other libraries, over corering's streams. Each bridge stands behind a
//! feature of its own.

#![forbid(unsafe_code)]

#[cfg(feature = "axum")]
pub mod axum;
#[cfg(feature = "hyper")]
mod hyper;

#[cfg(feature = "axum")]
pub use self::axum::local::local;
#[cfg(feature = "axum")]
pub use self::axum::serve::{serve, serve_each};
#[cfg(feature = "hyper")]
pub use self::hyper::{Hyper, HyperExecutor, HyperTimer};
