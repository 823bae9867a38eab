//! `GET /` over HTTP/1.1, answered from memory or from a file.

use std::io;
use std::os::fd::AsFd;

use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;

use super::Shop;
use crate::os;
use crate::server::requests::Requests;
use crate::server::site::{Next, Owed};

/// Several pipelined requests fit in.
pub(super) const BUFFER_BYTES: usize = 4 * 1024;

pub(super) async fn connection(mut stream: TcpStream, shop: &'static Shop) {
    let (mut requests, mut owed) = (Requests::default(), Owed::default());
    let mut buffer = vec![0; BUFFER_BYTES];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        shop.work.requests(requests.receive(&buffer[..count], &mut owed));
        if pay(&mut stream, &mut owed, shop).await.is_err() || owed.is_last() {
            break;
        }
    }
}

/// Sends what is owed. A file by `sendfile(2)`, its head in the same segment: tokio's own copy of a
/// file to a socket would go through a thread and a buffer.
pub(super) async fn pay(
    stream: &mut TcpStream,
    owed: &mut Owed,
    shop: &'static Shop,
) -> io::Result<()> {
    let pages = shop.stage.site.pages;
    while let Some(next) = pages.next(owed) {
        let sent = match next {
            Next::Bytes(bytes) => {
                stream.write_all(bytes).await?;
                bytes.len()
            }
            Next::Head(head) => {
                let send = || os::send_more(stream.as_fd(), head);
                stream.async_io(Interest::WRITABLE, send).await?
            }
            Next::File { offset, length } => {
                let file = shop.stage.site.file.as_ref().expect("pages of a file have one");
                let send = || os::send_file(stream.as_fd(), file.as_fd(), offset, length);
                match stream.async_io(Interest::WRITABLE, send).await? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    sent => sent,
                }
            }
        };
        pages.sent(owed, sent);
    }
    Ok(())
}
