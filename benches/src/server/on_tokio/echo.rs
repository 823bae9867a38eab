//! Every byte comes back. A connection that breaks ends its own task and nothing else.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::Shop;

/// Serves a connection, in a task of its own.
pub(super) fn spawn<S>(stream: S, shop: &'static Shop)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    // Not one future for both: each would be as large as the larger.
    match shop.stage.arguments.limit {
        None => tokio::spawn(connection(stream, shop)),
        Some(limit) => tokio::spawn(limited(stream, shop, limit)),
    };
}

async fn connection<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, shop: &'static Shop) {
    let mut buffer = vec![0; buffer_bytes(shop)];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        shop.work.echoes(count);
        if stream.write_all(&buffer[..count]).await.is_err() {
            break;
        }
    }
}

async fn limited<S>(mut stream: S, shop: &'static Shop, limit: Duration)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut buffer = vec![0; buffer_bytes(shop)];
    while let Ok(Ok(count @ 1..)) = timeout(limit, stream.read(&mut buffer)).await {
        shop.work.echoes(count);
        if stream.write_all(&buffer[..count]).await.is_err() {
            break;
        }
    }
}

fn buffer_bytes(shop: &Shop) -> usize {
    shop.stage.arguments.size.clamp(2 * 1024, 128 * 1024)
}
