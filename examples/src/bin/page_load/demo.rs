//! A page of twelve images on three slow servers, all on loopback.

use std::io;
use std::time::Duration;

use corering::net::{TcpListener, TcpStream};
use corering::time::sleep;
use url::Url;

/// How long each server thinks before it answers. An image takes as long as its server.
const DELAYS: [Duration; 3] =
    [Duration::from_millis(50), Duration::from_millis(100), Duration::from_millis(150)];

const IMAGES_PER_SERVER: usize = 4;

/// Starts the servers, which run as tasks beside the fetching, and returns the URL of the page.
pub(crate) async fn start() -> io::Result<Url> {
    let mut page = String::from("<!doctype html>\n<title>Demo</title>\n");
    for delay in DELAYS {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        for image in 0..IMAGES_PER_SERVER {
            page += &format!("<img src=\"http://{address}/{image}.png\">\n");
        }
        corering::spawn(serve(listener, delay, "image/png", vec![0; 10_000]));
    }
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url =
        Url::parse(&format!("http://{}/", listener.local_addr()?)).map_err(io::Error::other)?;
    corering::spawn(serve(listener, Duration::ZERO, "text/html", page.into_bytes()));
    Ok(url)
}

/// Answers every request with `content`, after `delay`.
async fn serve(
    listener: TcpListener,
    delay: Duration,
    content_type: &'static str,
    content: Vec<u8>,
) -> io::Result<()> {
    let length = content.len();
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n"
    )
    .into_bytes();
    answer.extend(content);
    loop {
        let stream = listener.accept().await?;
        corering::spawn(respond(stream, delay, answer.clone()));
    }
}

/// Waits for the end of one request, and answers it.
async fn respond(mut stream: TcpStream, delay: Duration, answer: Vec<u8>) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let received = stream.recv().await?;
        if received.is_empty() {
            return Ok(());
        }
        request.extend_from_slice(&received);
    }
    sleep(delay).await;
    stream.write_all(answer).await?;
    Ok(())
}
