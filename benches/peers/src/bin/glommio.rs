//! Echo on glommio.
//!
//! Tuned: as glommio's own echo example; it parks at once, as the other servers do, and the ring
//! holds a thousand connections. It needs 512 KiB of locked memory for each ring (`ulimit -l`).

use std::io;
use std::os::fd::{FromRawFd, IntoRawFd};

use corering_peers::Peer;
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use glommio::net::{TcpListener, TcpStream};
use glommio::{LocalExecutorBuilder, Placement};

fn main() -> io::Result<()> {
    let peer = Peer::open()?;
    let address = peer.listener.local_addr()?;
    let executor = LocalExecutorBuilder::new(Placement::Unbound).ring_depth(1024).make()?;
    executor.run(async {
        // SAFETY: the descriptor is a listening socket, and given away by its only owner.
        let listener = unsafe { TcpListener::from_raw_fd(peer.listener.into_raw_fd()) };
        Peer::announce(address)?;
        loop {
            let stream = listener.accept().await?;
            glommio::spawn_local(echo(stream, peer.buffer_bytes)).detach();
        }
    })
}

async fn echo(mut stream: TcpStream, buffer_bytes: usize) {
    let mut buffer = vec![0; buffer_bytes];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
