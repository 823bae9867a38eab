//! tokio's I/O traits, in both directions: [`Tokio`] gives them to a stream, [`FromTokio`] gives what has
//! them the traits of [`crate::io`]. Neither needs tokio's runtime.

mod stream;
mod foreign;

pub use foreign::FromTokio;
pub use stream::Tokio;
