//! Measurements of corering: servers to measure, a client that verifies what it gets back, and
//! the arithmetic that turns noisy pairs into a statement.
//!
//! Nothing here is needed to use the runtime. Read `cli.rs` for what there is, then `paired`:
//! it is the instrument for a noisy machine, and the rest are its parts.

pub mod cli;
pub mod outcome;

pub mod doctor;
pub mod file;
pub mod load;
pub mod paired;
pub mod server;
pub mod study;

pub mod address;
pub mod interrupt;
pub mod os;
pub mod process;
pub mod stats;
