//! Layer 3: the operations, one file each, complete for all drivers.
//!
//! A file holds the submission queue entry, what the call waits for without a ring, the plain
//! call, the output, and its tests. Adding an operation is a file here, its `mod` line, and the
//! public method that builds it. Read `recv.rs` first.

mod accept;
mod accept_multi;
mod close;
mod connect;
mod nop;
mod poll_add;
mod recv;
mod recv_multi;
mod send;
mod shutdown;
mod socket;

pub(crate) use accept::Accept;
pub(crate) use accept_multi::AcceptMulti;
pub(crate) use close::Close;
pub(crate) use connect::Connect;
pub(crate) use nop::Nop;
pub(crate) use poll_add::PollAdd;
pub(crate) use recv::Recv;
pub(crate) use recv_multi::RecvMulti;
pub(crate) use send::Send;
pub(crate) use shutdown::Shutdown;
pub(crate) use socket::Socket;

#[cfg(test)]
mod test_sockets;
