//! Sockets: TCP, Unix and UDP, with owned buffers.
//!
//! A stream receives in one of two ways, see [`ReceivePolicy`](crate::ReceivePolicy); what it has
//! received and nobody has taken yet stays with the stream, so that dropping a `recv()`, a `read()`
//! or an `accept()` loses nothing.
//!
//! The files stand in reading order. Read `stream.rs` first, then `receive/mod.rs` and `transmit.rs`,
//! the two halves of every stream.

#![forbid(unsafe_code)]

mod stream;
mod halves;
mod readiness;
mod poll;
mod listener;
mod family;
mod tcp;
mod unix;
mod shards;
mod serve;
mod udp;
mod address;
mod connect;
mod accept;
mod turns;
mod receive;
mod transmit;
mod send_cached;
mod send_file;

pub use accept::{Accept, Incoming};
pub use address::{Address, ToAddress};
pub use family::Family;
pub use halves::{ReadHalf, WriteHalf};
pub use listener::Listener;
pub use serve::{Serve, ServeReport, serve};
pub use shards::{ShardListeners, bind_shards};
pub use stream::{ByteStream, Detached};
pub use tcp::{
    Tcp, TcpDetached, TcpListener, TcpListenerBuilder, TcpReadHalf, TcpStream, TcpWriteHalf,
};
pub use transmit::WriteAbandoned;
pub use udp::{Datagram, UdpSocket};
pub use unix::{Unix, UnixDetached, UnixListener, UnixReadHalf, UnixStream, UnixWriteHalf};
