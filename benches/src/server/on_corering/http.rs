//! `GET /` over HTTP/1.1, answered from memory or from a file.

use std::io;

use corering::net::TcpStream;

use super::Shop;
use crate::server::requests::Requests;
use crate::server::site::{Next, Owed};

pub(super) async fn connection(mut stream: TcpStream, shop: &'static Shop) {
    let (mut requests, mut owed) = (Requests::default(), Owed::default());
    while let Ok(received) = stream.recv().await {
        if received.is_empty() {
            break;
        }
        shop.work.requests(requests.receive(&received, &mut owed));
        // Its memory can serve another connection while this one sends.
        drop(received);
        if pay(&mut stream, &mut owed, shop).await.is_err() || owed.is_last() {
            break;
        }
    }
}

/// Sends what is owed.
pub(super) async fn pay(
    stream: &mut TcpStream,
    owed: &mut Owed,
    shop: &'static Shop,
) -> io::Result<()> {
    let pages = shop.stage.site.pages;
    while let Some(next) = pages.next(owed) {
        let (head, offset, length) = match next {
            Next::Bytes(bytes) => {
                pages.sent(owed, stream.write_all(bytes).await?.len());
                continue;
            }
            Next::Head(head) => (head, 0, pages.file_bytes()),
            Next::File { offset, length } => (&[][..], offset, length),
        };
        let file = shop.file.as_ref().expect("pages of a file have one");
        let (sent, head) = stream.send_file_after(head, file, offset, length as u64).await?;
        if sent != length as u64 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        pages.sent(owed, head.len() + length);
    }
    Ok(())
}
