//! What tells the families of stream sockets apart, and what all their sockets have.

use std::fmt::{self, Debug};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use socket2::SockAddr;

use super::halves::{ReadHalf, WriteHalf};
use super::listener::Listener;
use super::stream::ByteStream;

/// A family of stream sockets: [`Tcp`](super::Tcp) or [`Unix`](super::Unix). The trait is sealed.
///
/// One function serves both, as that of [`ByteStream`](super::ByteStream) shows.
pub trait Family: sealed::Sealed + Debug + Send + Sync + Unpin + 'static {
    /// Where a socket of the family is: a [`SocketAddr`](std::net::SocketAddr), or the path of a Unix
    /// socket that has one.
    type Address: Clone + Debug + PartialEq + Send + Sync + Unpin + 'static;

    /// The stream of the standard library, see [`ByteStream::into_std`](super::ByteStream::into_std).
    type Std: Debug + From<OwnedFd> + Send + 'static;
}

pub(super) mod sealed {
    use super::{Family, SockAddr, io};

    pub trait Sealed {
        /// What the names of its types begin with.
        const NAME: &str;

        fn address(address: SockAddr) -> io::Result<<Self as Family>::Address>
        where
            Self: Family;
    }
}

macro_rules! sockets {
    ($($socket:ident: $name:literal, $expose:ident;)+) => {$(
        impl<F: Family> AsFd for $socket<F> {
            /// The descriptor. What has arrived may be here already, and not in the socket any more:
            /// bytes with the stream, which [`into_std`](ByteStream::into_std) gives, and connections
            /// with the listener.
            ///
            /// Whoever has the descriptor of a stream may change what a receive brings, so from then
            /// on it is received from as one that was made of a descriptor.
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.fd().$expose()
            }
        }

        impl<F: Family> AsRawFd for $socket<F> {
            /// The number of the descriptor. As with [`as_fd`](Self::as_fd), bytes that have arrived
            /// may be with the stream already, and connections with the listener.
            fn as_raw_fd(&self) -> RawFd {
                self.as_fd().as_raw_fd()
            }
        }

        impl<F: Family> Debug for $socket<F> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!("{}", $name, " {{ fd: {} }}"), F::NAME, self.fd().raw())
            }
        }
    )+};
}

sockets! {
    ByteStream: "Stream", expose;
    ReadHalf: "ReadHalf", expose;
    WriteHalf: "WriteHalf", expose;
    Listener: "Listener", expose_listener;
}
