//! Every byte comes back. A connection that breaks ends its own task and nothing else.

use corering::net::{ByteStream, Family};
use corering::time::{Duration, timeout};

use super::Shop;
use crate::server::options::Read;

/// Serves a connection, in a task of its own.
pub(super) fn spawn<F: Family>(stream: ByteStream<F>, shop: &'static Shop) {
    // Not one future for all: each would be as large as the largest.
    let arguments = &shop.stage.arguments;
    match (arguments.read, arguments.limit) {
        (Read::Lent, None) => corering::spawn(lent(stream, shop)),
        (Read::Lent, Some(limit)) => corering::spawn(limited(stream, shop, limit)),
        (Read::Owned, _) => corering::spawn(owned(stream, shop)),
    };
}

async fn lent<F: Family>(mut stream: ByteStream<F>, shop: &'static Shop) {
    while let Ok(received) = stream.recv().await {
        shop.work.echoes(received.len());
        if received.is_empty() || stream.write_all(received).await.is_err() {
            break;
        }
    }
}

async fn limited<F: Family>(mut stream: ByteStream<F>, shop: &'static Shop, limit: Duration) {
    while let Ok(Ok(received)) = timeout(limit, stream.recv()).await {
        shop.work.echoes(received.len());
        if received.is_empty() || stream.write_all(received).await.is_err() {
            break;
        }
    }
}

async fn owned<F: Family>(mut stream: ByteStream<F>, shop: &'static Shop) {
    let mut buffer = Vec::with_capacity(shop.stage.arguments.room());
    while let Ok((count @ 1.., filled)) = stream.read(buffer).await {
        shop.work.echoes(count);
        let Ok(sent) = stream.write_all(filled).await else { break };
        buffer = sent;
    }
}
