//! The comparison of io_uring with epoll on the reader's own machine.
//!
//! `matrix.rs` says what is measured.

pub mod budget;
pub mod limits;
pub mod matrix;
pub mod plan;
pub mod runtime_cell;
pub mod schema;
