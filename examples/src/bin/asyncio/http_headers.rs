//! Asks an HTTP server for its head, and prints the lines.

use std::io;

use corering::io::lines;
use corering::net::{self, TcpListener, TcpStream};
use corering::task::CancelToken;

const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n";

async fn serve(mut stream: TcpStream, _stop: CancelToken) -> io::Result<()> {
    let mut head = lines(&mut stream);
    while head.next_line().await?.is_some_and(|line| !line.is_empty()) {}
    drop(head);
    stream.write_all(ANSWER).await?;
    stream.close().await
}

#[corering::main]
pub(crate) async fn main() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let stop = CancelToken::new();
    let server = corering::spawn(net::serve(listener, serve).token(stop.clone()).into_future());

    let mut stream = TcpStream::connect(address).await?;
    stream.write_all("HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n").await?;
    let mut head = lines(stream);
    while let Some(line) = head.next_line().await?
        && !line.is_empty()
    {
        println!("header: {line}");
    }

    stop.cancel();
    server.await?.map(drop)
}
