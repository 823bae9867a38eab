//! Sockets: TCP, Unix and UDP, with owned buffers.
//!
//! A stream receives in one of two ways, see [`ReceivePolicy`](crate::ReceivePolicy); what it has
//! received and nobody has taken yet stays with the stream, so that dropping a `recv()`, a `read()`
//! or an `accept()` loses nothing.
//!
//! Read `stream.rs` first, then `receive/mod.rs` and `transmit.rs`: the two halves of every stream.

#![forbid(unsafe_code)]

mod accept;
mod address;
mod family;
mod halves;
mod listener;
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
pub use family::Family;
pub use halves::{ReadHalf, WriteHalf};
pub use listener::Listener;
pub use stream::{ByteStream, Detached};
pub use tcp::{
    Tcp, TcpDetached, TcpListener, TcpListenerBuilder, TcpReadHalf, TcpStream, TcpWriteHalf,
};
pub use transmit::WriteAbandoned;
pub use udp::{Datagram, UdpSocket};
pub use unix::{Unix, UnixDetached, UnixListener, UnixReadHalf, UnixStream, UnixWriteHalf};
