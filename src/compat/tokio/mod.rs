//! tokio's I/O traits, in both directions, and tokio's runtime beside corering's.
//!
//! - Feature `tokio-io`: [`Tokio`] gives a stream tokio's traits, [`FromTokio`] gives what has tokio's
//!   traits those of [`crate::io`]. Neither needs tokio's runtime.
//! - Feature `tokio-guest`: [`Guest`] is a runtime of tokio's, for libraries that need one.

#[cfg(feature = "tokio-io")]
mod stream;
#[cfg(feature = "tokio-io")]
mod foreign;
#[cfg(feature = "tokio-guest")]
mod guest;

#[cfg(feature = "tokio-io")]
pub use foreign::FromTokio;
#[cfg(feature = "tokio-guest")]
pub use guest::Guest;
#[cfg(feature = "tokio-io")]
pub use stream::Tokio;
