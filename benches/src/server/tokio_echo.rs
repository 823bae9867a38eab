//! What a user would pick: tokio's current-thread runtime, its I/O driver alone.
//!
//! Tuned: a buffer per connection that a whole message fits in, so that one read and one write
//! serve one request; no timers; `event_interval` left at its default, since raising it gained
//! nothing here and is not what a user would find.

use std::convert::Infallible;
use std::io;
use std::os::fd::OwnedFd;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};

pub(super) fn serve(
    listener: OwnedFd,
    is_tcp: bool,
    message_size: usize,
) -> io::Result<Infallible> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        if is_tcp {
            let listener = std::net::TcpListener::from(listener);
            listener.set_nonblocking(true)?;
            let listener = TcpListener::from_std(listener)?;
            loop {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                tokio::spawn(echo(stream, message_size));
            }
        } else {
            let listener = std::os::unix::net::UnixListener::from(listener);
            listener.set_nonblocking(true)?;
            let listener = UnixListener::from_std(listener)?;
            loop {
                let (stream, _) = listener.accept().await?;
                tokio::spawn(echo(stream, message_size));
            }
        }
    })
}

async fn echo<S>(mut stream: S, message_size: usize)
where
    S: AsyncReadExt + AsyncWriteExt + Unpin,
{
    let mut buffer = vec![0; message_size.clamp(2 * 1024, 128 * 1024)];
    // A connection that breaks ends its own task and nothing else.
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..count]).await.is_err() {
            break;
        }
    }
}
