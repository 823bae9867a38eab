//! Layer 3: the operations, one file each, complete for all drivers.
//!
//! A file holds the submission queue entry, what the call waits for without a ring, the plain
//! call, the output, and its tests. Adding an operation is a file here, its `mod` line, and the
//! public method that builds it. Read `recv.rs` first.

mod accept;
mod accept_multi;
mod close;
mod connect;
mod fallocate;
mod fsync;
mod ftruncate;
mod iovecs;
mod mkdir_at;
mod nop;
mod open_at;
mod path;
mod poll_add;
mod position;
mod read_at;
mod readv;
mod recv;
mod recv_multi;
mod recvmsg;
mod rename_at;
mod send;
mod send_file;
mod sendmsg;
mod shutdown;
mod socket;
mod statx;
mod unlink_at;
mod write_at;
mod writev;

pub(crate) use accept::Accept;
pub(crate) use accept_multi::AcceptMulti;
pub(crate) use close::Close;
pub(crate) use connect::Connect;
pub(crate) use fallocate::Fallocate;
pub(crate) use fsync::Fsync;
pub(crate) use ftruncate::Ftruncate;
pub(crate) use iovecs::One;
pub(crate) use mkdir_at::MkDirAt;
pub(crate) use nop::Nop;
pub(crate) use open_at::{OpenAt, Unopened};
pub(crate) use poll_add::PollAdd;
pub(crate) use position::Position;
pub(crate) use read_at::ReadAt;
pub(crate) use readv::Readv;
pub(crate) use recv::Recv;
pub(crate) use recv_multi::RecvMulti;
pub(crate) use recvmsg::RecvMsg;
pub(crate) use rename_at::RenameAt;
pub(crate) use send::Send;
pub(crate) use send_file::SendFile;
pub(crate) use sendmsg::SendMsg;
pub(crate) use shutdown::Shutdown;
pub(crate) use socket::Socket;
pub(crate) use statx::Statx;
pub(crate) use unlink_at::UnlinkAt;
pub(crate) use write_at::WriteAt;
pub(crate) use writev::Writev;

#[cfg(test)]
pub(crate) mod test_files;
#[cfg(test)]
mod test_sockets;
