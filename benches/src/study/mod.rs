//! The comparison of io_uring with epoll on the reader's own machine.

pub mod schema;
