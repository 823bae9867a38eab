//! `GET /` over HTTP/1.1, answered from memory.

use corering::net::TcpStream;

use super::Shop;
use crate::server::requests::Requests;
use crate::server::site::Owed;

pub(super) async fn connection(mut stream: TcpStream, shop: &'static Shop) {
    let pages = shop.stage.site.pages;
    let (mut requests, mut owed) = (Requests::default(), Owed::default());
    while let Ok(received) = stream.recv().await {
        if received.is_empty() {
            break;
        }
        shop.work.requests(requests.receive(&received, &mut owed));
        // Its memory can serve another connection while this one sends.
        drop(received);
        while let Some(bytes) = pages.next(&owed) {
            if stream.write_all(bytes).await.is_err() {
                return;
            }
            pages.sent(&mut owed, bytes.len());
        }
        if owed.is_last() {
            break;
        }
    }
}
