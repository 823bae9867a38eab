//! Echo on monoio.
//!
//! Tuned: as monoio's own echo example, on its io_uring driver, with a ring that holds a thousand
//! connections and a buffer per connection that a whole message fits in.

use std::io;

use corering_peers::Peer;
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};
use monoio::{IoUringDriver, RuntimeBuilder};

fn main() -> io::Result<()> {
    let peer = Peer::open()?;
    let address = peer.listener.local_addr()?;
    let mut runtime = RuntimeBuilder::<IoUringDriver>::new().with_entries(1024).build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(peer.listener)?;
        Peer::announce(address)?;
        loop {
            let (stream, _) = listener.accept().await?;
            monoio::spawn(echo(stream, peer.buffer_bytes));
        }
    })
}

async fn echo(mut stream: TcpStream, buffer_bytes: usize) {
    let mut buffer = Vec::with_capacity(buffer_bytes);
    let mut result;
    loop {
        (result, buffer) = stream.read(buffer).await;
        if !matches!(result, Ok(1..)) {
            return;
        }
        (result, buffer) = stream.write_all(buffer).await;
        if result.is_err() {
            return;
        }
        buffer.clear();
    }
}
