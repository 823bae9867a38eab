//! Sockets: TCP, Unix and UDP, with owned buffers.
//!
//! A stream receives in one of two ways, see [`ReceivePolicy`](crate::ReceivePolicy); what it has
//! received and nobody has taken yet stays with the stream, so that dropping a `recv()`, a `read()`
//! or an `accept()` loses nothing.
//!
//! Read `tcp.rs` first, then `receive/mod.rs` and `transmit.rs`: the two halves of every stream.

#![forbid(unsafe_code)]

mod accept;
mod address;
mod receive;
mod send_file;
mod stream;
mod tcp;
mod transmit;
mod turns;
mod udp;
mod unix;

pub use accept::{Accept, Incoming};
pub use address::{Address, ToAddress};
pub use receive::{Read, ReadExact, Recv};
pub use tcp::{TcpDetached, TcpListener, TcpReadHalf, TcpStream, TcpWriteHalf};
pub use transmit::{SendAll, Write, WriteAbandoned, WriteAll};
pub use udp::{Datagram, UdpSocket};
pub use unix::{UnixDetached, UnixListener, UnixReadHalf, UnixStream, UnixWriteHalf};
