//! Echo on compio.
//!
//! Tuned: its io_uring driver with deferred task work, which its `ProactorBuilder` grants together
//! with a single issuer; a ring that holds a thousand connections, and a buffer per connection that
//! a whole message fits in.

use std::io;

use compio::BufResult;
use compio::driver::ProactorBuilder;
use compio::io::{AsyncRead, AsyncWriteExt};
use compio::net::{TcpListener, TcpStream};
use compio::runtime::Runtime;
use corering_peers::Peer;

fn main() -> io::Result<()> {
    let peer = Peer::open()?;
    let address = peer.listener.local_addr()?;
    let mut proactor = ProactorBuilder::new();
    proactor.capacity(1024).single_issuer(true).defer_taskrun(true);
    let runtime = Runtime::builder().with_proactor(proactor).build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(peer.listener)?;
        Peer::announce(address)?;
        loop {
            let (stream, _) = listener.accept().await?;
            compio::runtime::spawn(echo(stream, peer.buffer_bytes)).detach();
        }
    })
}

async fn echo(mut stream: TcpStream, buffer_bytes: usize) {
    let mut buffer = Vec::with_capacity(buffer_bytes);
    loop {
        let BufResult(result, received) = stream.read(buffer).await;
        if !matches!(result, Ok(1..)) {
            return;
        }
        let BufResult(result, sent) = stream.write_all(received).await;
        if result.is_err() {
            return;
        }
        buffer = sent;
        buffer.clear();
    }
}
