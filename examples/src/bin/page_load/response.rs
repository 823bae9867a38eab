//! A response to a request that asked the server to close the connection after it.

/// Header lines beyond which a response is not understood.
const HEADER_LINES_MAX: usize = 100;

/// The status and content of a response, all of whose bytes are there.
pub(crate) fn parse(bytes: &[u8]) -> Result<(u16, Vec<u8>), String> {
    let mut headers = [httparse::EMPTY_HEADER; HEADER_LINES_MAX];
    let mut head = httparse::Response::new(&mut headers);
    let length = match head.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Err("the answer ends within its header".into()),
        Err(error) => return Err(format!("the answer is not HTTP: {error}")),
    };
    let field = |name: &str| {
        head.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name)).map(|f| f.value)
    };
    let status = head.code.unwrap_or_default();
    let content = &bytes[length..];
    if let Some(coding) = field("transfer-encoding") {
        if !coding.eq_ignore_ascii_case(b"chunked") {
            return Err("the answer comes in a transfer coding that is not chunked".into());
        }
        return Ok((status, join_chunks(content)?));
    }
    let Some(announced) = field("content-length") else { return Ok((status, content.to_vec())) };
    let announced: usize = str::from_utf8(announced)
        .ok()
        .and_then(|digits| digits.parse().ok())
        .ok_or("the answer has a Content-Length that is no number")?;
    match content.get(..announced) {
        Some(content) => Ok((status, content.to_vec())),
        None => Err(format!("the answer ends after {} of {announced} bytes", content.len())),
    }
}

fn join_chunks(mut chunks: &[u8]) -> Result<Vec<u8>, String> {
    let mut content = Vec::new();
    loop {
        let Ok(httparse::Status::Complete((line, size))) = httparse::parse_chunk_size(chunks)
        else {
            return Err("the answer has a chunk without a valid size".into());
        };
        if size == 0 {
            return Ok(content);
        }
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let chunk = chunks[line..].get(..size).ok_or("the answer ends within a chunk")?;
        content.extend_from_slice(chunk);
        chunks = chunks[line + size..]
            .strip_prefix(b"\r\n")
            .ok_or("the answer has a chunk that is longer than its size")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ends_by_length_by_chunks_or_with_the_connection() {
        for response in [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello and more",
            "HTTP/1.1 200 OK\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x\r\nllo\r\n0\r\n\r\n",
        ] {
            assert_eq!(parse(response.as_bytes()), Ok((200, b"hello".to_vec())), "{response:?}");
        }
    }

    #[test]
    fn answers_that_are_cut_or_broken_are_errors() {
        for response in [
            "",
            "HTTP/1.1 200 OK\r\n",
            "SSH-2.0-OpenSSH\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhell",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nhell",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhello\r\n0\r\n\r\n",
        ] {
            assert!(parse(response.as_bytes()).is_err(), "{response:?}");
        }
    }
}
