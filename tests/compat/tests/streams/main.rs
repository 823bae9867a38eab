//! Streams behind the I/O traits of `futures` and of tokio, and what has tokio's traits behind ours: by
//! the libraries that use them, over TCP, Unix and halves, on both drivers.

#[allow(dead_code)] // A part of it is used.
#[path = "../../../common/net.rs"]
mod net;

mod by_futures;
mod by_tokio;
mod codecs;
mod foreign;
mod tls;
mod websocket;

use std::io;

use corering::net::{ByteStream, Family, UnixStream};

/// What a test does with the two ends of a connection, whatever family they are of.
trait Body {
    async fn run<F: Family>(self, one: ByteStream<F>, other: ByteStream<F>) -> io::Result<()>;
}

/// Runs a body over TCP, and over Unix sockets.
async fn with_each_family(body: impl Body + Copy) -> io::Result<()> {
    let (one, other) = net::tcp_pair().await?;
    body.run(one, other).await?;
    let (one, other) = UnixStream::pair()?;
    body.run(one, other).await
}

/// Makes a test of a function that takes the two ends of a connection.
macro_rules! over_each_family {
    ($($(#[$attribute:meta])* async fn $name:ident($one:ident, $other:ident) $body:block)+) => {$(
        $(#[$attribute])*
        #[corering::test]
        async fn $name() -> std::io::Result<()> {
            #[derive(Clone, Copy)]
            struct Test;
            impl $crate::Body for Test {
                async fn run<F: corering::net::Family>(
                    self,
                    $one: corering::net::ByteStream<F>,
                    $other: corering::net::ByteStream<F>,
                ) -> std::io::Result<()> $body
            }
            $crate::with_each_family(Test).await
        }
    )+};
}

use over_each_family;
