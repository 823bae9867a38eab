//! Layer 7: the traits of other libraries, over corering's streams. Each bridge stands behind a
//! feature of its own.

#![forbid(unsafe_code)]

#[cfg(feature = "hyper")]
mod hyper;

#[cfg(feature = "hyper")]
pub use self::hyper::{Hyper, HyperExecutor, HyperTimer};
