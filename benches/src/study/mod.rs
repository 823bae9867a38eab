//! The comparison of io_uring with epoll on the reader's own machine.
//!
//! `matrix.rs` says what is measured, `runner.rs` goes from cell to cell, and `store.rs` keeps what
//! is finished. What it all says is made from the numbers, later, by `analysis`, and told by
//! `report`: nothing in here knows which driver ought to win.

pub mod analysis;
pub mod budget;
pub mod compare;
pub mod fingerprint;
pub mod limits;
pub mod matrix;
pub mod plan;
mod progress;
pub mod ratio;
pub mod report;
#[cfg(test)]
mod resume_tests;
pub mod runner;
pub mod runtime_cell;
pub mod schema;
pub mod store;
#[cfg(test)]
mod testing;
pub mod words;
