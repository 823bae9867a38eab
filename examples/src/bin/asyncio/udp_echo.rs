//! A UDP socket that echoes one datagram, and its client.

use std::io;

use corering::net::UdpSocket;

async fn echo(socket: UdpSocket) -> io::Result<()> {
    let (datagram, data) = socket.recv_from(Vec::with_capacity(100)).await?;
    println!("the server received {}", String::from_utf8_lossy(&data));
    socket.send_to(data, datagram.from).await?;
    Ok(())
}

#[corering::main]
pub(crate) async fn main() -> io::Result<()> {
    let server = UdpSocket::bind("127.0.0.1:0").await?;
    let address = server.local_addr()?;
    let server = corering::spawn(echo(server));
    let client = UdpSocket::bind("127.0.0.1:0").await?;
    client.connect(address).await?;
    client.send("hello").await?;
    let (_, data) = client.recv(Vec::with_capacity(100)).await?;
    println!("the client received {}", String::from_utf8_lossy(&data));
    server.await?
}
