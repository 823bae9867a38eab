//! Measurements of corering: servers to measure, a client that verifies what it gets back, and
//! the arithmetic that turns noisy pairs into a statement.
//!
//! Nothing here is needed to use the runtime. Read `paired.rs` first: it is the instrument, and
//! the rest are its parts.

pub mod address;
pub mod client;
pub mod os;
pub mod paired;
pub mod process;
pub mod server;
pub mod stats;
