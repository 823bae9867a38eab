//! Every byte comes back. A connection that breaks ends its own task and nothing else.

use corering::net::{TcpStream, UnixStream};

use super::Shop;

pub(super) async fn tcp(mut stream: TcpStream, shop: &'static Shop) {
    while let Ok(received) = stream.recv().await {
        shop.work.echoes(received.len());
        if received.is_empty() || stream.write_all(received).await.is_err() {
            break;
        }
    }
}

pub(super) async fn unix(mut stream: UnixStream, shop: &'static Shop) {
    while let Ok(received) = stream.recv().await {
        shop.work.echoes(received.len());
        if received.is_empty() || stream.write_all(received).await.is_err() {
            break;
        }
    }
}
