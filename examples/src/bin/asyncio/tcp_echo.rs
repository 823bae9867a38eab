//! A server that echoes one message, and its client.

use std::io;

use corering::net::{self, TcpListener, TcpStream};
use corering::task::CancelToken;

async fn serve(mut stream: TcpStream, _stop: CancelToken) -> io::Result<()> {
    let message = stream.recv().await?;
    println!("the server received {}", String::from_utf8_lossy(&message));
    stream.write_all(message).await?;
    stream.close().await
}

#[corering::main]
pub(crate) async fn main() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let stop = CancelToken::new();
    let server = corering::spawn(net::serve(listener, serve).token(stop.clone()).into_future());

    let mut stream = TcpStream::connect(address).await?;
    stream.write_all("hello").await?;
    println!("the client received {}", String::from_utf8_lossy(&stream.recv().await?));
    stream.close().await?;

    stop.cancel();
    server.await?.map(drop)
}
