//! Connected streams, and the bytes that go through them.

use corering::net::{TcpListener, TcpStream};

/// Both ends of a connection: the connecting and the accepted one.
pub(crate) async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    pair_with(&listener).await
}

pub(crate) async fn pair_with(listener: &TcpListener) -> (TcpStream, TcpStream) {
    let address = listener.local_addr().unwrap();
    let connecting = corering::spawn(TcpStream::connect(address));
    let accepted = listener.accept().await.unwrap();
    (connecting.await.unwrap().unwrap(), accepted)
}

/// Bytes of which every eight in a row occur once, so that none can be lost or doubled unseen.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len.div_ceil(4)).flat_map(|n| (n as u32).to_be_bytes()).take(len).collect()
}

/// Receives so many bytes.
pub(crate) async fn receive_all(stream: &mut TcpStream, len: usize) -> Vec<u8> {
    let mut received = Vec::new();
    while received.len() < len {
        let bytes = stream.recv().await.unwrap();
        assert!(!bytes.is_empty(), "the stream ended after {} bytes", received.len());
        received.extend_from_slice(&bytes);
    }
    received
}
