//! Fetches one URL over a connection of its own.

use std::time::Duration;

use corering::net::TcpStream;
use corering::time::timeout;

use crate::response;
use crate::url::Url;

/// Bytes of an answer that are taken, so that no server fills the memory.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How long one URL may take.
const TIME_MAX: Duration = Duration::from_secs(30);

/// Fetches `url` and returns its content, or says why that failed.
pub(crate) async fn fetch(url: &Url) -> Result<Vec<u8>, String> {
    let answer = match timeout(TIME_MAX, request(url)).await {
        Ok(answer) => answer.map_err(|error| format!("{url}: {error}"))?,
        Err(_) => return Err(format!("{url}: no answer within {} s", TIME_MAX.as_secs())),
    };
    match response::parse(&answer) {
        Ok((200, content)) => Ok(content),
        Ok((status, _)) => Err(format!("{url}: the server answers with status {status}")),
        Err(error) => Err(format!("{url}: {error}")),
    }
}

/// Sends a request and receives until the server closes.
async fn request(url: &Url) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(url.address()).await?;
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: corering-page-load\r\nConnection: close\r\n\r\n",
        url.target(),
        url.authority(),
    );
    stream.write_all(request.into_bytes()).await?;
    let mut answer = Vec::new();
    loop {
        let received = stream.recv().await?;
        if received.is_empty() {
            return Ok(answer);
        }
        answer.extend_from_slice(&received);
        if answer.len() > ANSWER_BYTES_MAX {
            let error = format!("the answer is longer than {ANSWER_BYTES_MAX} bytes");
            return Err(std::io::Error::other(error));
        }
    }
}
