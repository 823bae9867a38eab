//! Layer 3: one description of each system call, complete for all drivers.
//!
//! A file holds what the call waits for, the plain call, the submission queue entry, the output, and
//! its tests. The same description serves the operation, and the call that is made at once (`now`).
//! Adding an operation is a file here, its `mod` line, and the public method that builds it. Read
//! `send.rs` first.

pub(crate) mod accept;
pub(crate) mod accept_multi;
pub(crate) mod close;
pub(crate) mod connect;
pub(crate) mod fadvise;
pub(crate) mod fallocate;
pub(crate) mod fchmod;
pub(crate) mod fsync;
pub(crate) mod ftruncate;
pub(crate) mod iovecs;
pub(crate) mod link_at;
pub(crate) mod mkdir_at;
pub(crate) mod nop;
pub(crate) mod open_at;
pub(crate) mod path;
pub(crate) mod poll_add;
pub(crate) mod position;
pub(crate) mod read_at;
pub(crate) mod read_link_at;
pub(crate) mod readv;
pub(crate) mod recv;
pub(crate) mod recv_multi;
pub(crate) mod recvmsg;
pub(crate) mod rename_at;
pub(crate) mod send;
pub(crate) mod send_file;
pub(crate) mod send_lent;
pub(crate) mod sendmsg;
pub(crate) mod shutdown;
pub(crate) mod socket;
pub(crate) mod statx;
pub(crate) mod stream;
pub(crate) mod sync_file_range;
pub(crate) mod unlink_at;
pub(crate) mod utimens_at;
pub(crate) mod write_at;
pub(crate) mod writev;

#[cfg(test)]
mod disk_errors;
#[cfg(test)]
pub(crate) mod test_files;
#[cfg(test)]
mod test_sockets;
