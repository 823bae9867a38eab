//! `GET /` over HTTP/1.1, answered from memory.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Shop;
use crate::server::requests::Requests;
use crate::server::site::Owed;

/// Several pipelined requests fit in.
pub(super) const BUFFER_BYTES: usize = 4 * 1024;

pub(super) async fn connection(mut stream: TcpStream, shop: &'static Shop) {
    let pages = shop.stage.site.pages;
    let (mut requests, mut owed) = (Requests::default(), Owed::default());
    let mut buffer = vec![0; BUFFER_BYTES];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        shop.work.requests(requests.receive(&buffer[..count], &mut owed));
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
