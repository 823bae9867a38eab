//! The body of a request: nobody reads it here, so it is skipped, within a limit, to find the next request.
//!
//! It sees bytes in whatever pieces they arrived and does no I/O.

use crate::status::{Refusal, Status};

/// Bytes of a body, its framing included, that are skipped; a longer one is refused.
pub(crate) const BODY_BYTES_MAX: u64 = 1024 * 1024;

/// Bytes that one line of the chunked coding, or all its trailer lines, may take.
const LINE_BYTES_MAX: usize = 4 * 1024;

/// How the end of the body is found (RFC 9112, section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    Empty,
    Length(u64),
    Chunked,
}

/// Skips one body.
#[derive(Debug)]
pub(crate) struct BodySkip {
    expected: Expected,
    /// Bytes that may still come.
    budget: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Nothing,
    /// The rest of a body of known length.
    Bytes(u64),
    ChunkSize,
    /// The rest of a chunk, and after it a line end.
    Chunk(u64),
    ChunkEnd,
    Trailer,
}

impl BodySkip {
    /// Refuses at once a body that is known to be too long.
    pub(crate) fn new(body: Body) -> Result<Self, Refusal> {
        let expected = match body {
            Body::Empty => Expected::Nothing,
            Body::Length(bytes) if bytes > BODY_BYTES_MAX => return Err(too_long()),
            Body::Length(bytes) => Expected::Bytes(bytes),
            Body::Chunked => Expected::ChunkSize,
        };
        Ok(Self { expected, budget: BODY_BYTES_MAX })
    }

    pub(crate) fn is_done(&self) -> bool {
        self.expected == Expected::Nothing
    }

    /// Looks at the bytes that follow and returns how many of them belong to the body. The rest is
    /// wanted again, with more behind it.
    pub(crate) fn skip(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        let mut used = 0;
        while !self.is_done() {
            let count = self.step(&bytes[used..])?;
            if count == 0 {
                break;
            }
            used += count;
            self.budget = self.budget.checked_sub(count as u64).ok_or_else(too_long)?;
        }
        Ok(used)
    }

    /// Uses the bytes of one element. Zero: they are not all there yet.
    fn step(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        let (count, next) = match self.expected {
            Expected::Nothing => (0, Expected::Nothing),
            Expected::Bytes(left) => match take(bytes, left) {
                (count, 0) => (count, Expected::Nothing),
                (count, left) => (count, Expected::Bytes(left)),
            },
            Expected::ChunkSize => match chunk_size(bytes)? {
                None => (0, Expected::ChunkSize),
                Some((count, 0)) => (count, Expected::Trailer),
                Some((count, size)) => (count, Expected::Chunk(size)),
            },
            Expected::Chunk(left) => match take(bytes, left) {
                (count, 0) => (count, Expected::ChunkEnd),
                (count, left) => (count, Expected::Chunk(left)),
            },
            Expected::ChunkEnd => match bytes {
                [b'\r', b'\n', ..] => (2, Expected::ChunkSize),
                [] | [b'\r'] => (0, Expected::ChunkEnd),
                _ => return Err(Refusal::bad("A chunk is longer than its size says.")),
            },
            Expected::Trailer => match trailer_length(bytes)? {
                None => (0, Expected::Trailer),
                Some(count) => (count, Expected::Nothing),
            },
        };
        self.expected = next;
        Ok(count)
    }
}

/// How many of `bytes` belong to an element that wants `left` more, and what it wants after them.
fn take(bytes: &[u8], left: u64) -> (usize, u64) {
    let count = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
    (count, left - count as u64)
}

/// The length of the line that begins a chunk and the size it announces; none if it is not whole.
fn chunk_size(bytes: &[u8]) -> Result<Option<(usize, u64)>, Refusal> {
    let invalid = Refusal::bad("A chunk size is not a hexadecimal number on a line of its own.");
    match bytes.first() {
        None => return Ok(None),
        // `httparse` takes a line without any digit for a size of zero, which another server in
        // the chain might not.
        Some(first) if !first.is_ascii_hexdigit() => return Err(invalid),
        Some(_) => {}
    }
    match httparse::parse_chunk_size(bytes) {
        // It also lets a bare line feed stand in an extension: a place to hide a second request.
        Ok(httparse::Status::Complete((length, _))) if bytes[..length - 2].contains(&b'\n') => {
            Err(invalid)
        }
        Ok(httparse::Status::Complete((length, size))) => Ok(Some((length, size))),
        Ok(httparse::Status::Partial) if bytes.len() <= LINE_BYTES_MAX => Ok(None),
        Ok(httparse::Status::Partial) | Err(_) => Err(invalid),
    }
}

/// The length of the trailer lines with the blank line that ends them; none if they are not whole.
fn trailer_length(bytes: &[u8]) -> Result<Option<usize>, Refusal> {
    let mut headers = [httparse::EMPTY_HEADER; 16];
    match httparse::parse_headers(bytes, &mut headers) {
        Ok(httparse::Status::Complete((length, _))) => Ok(Some(length)),
        Ok(httparse::Status::Partial) if bytes.len() <= LINE_BYTES_MAX => Ok(None),
        Ok(httparse::Status::Partial) | Err(_) => {
            Err(Refusal::bad("The trailer of the request body is not valid."))
        }
    }
}

fn too_long() -> Refusal {
    Refusal::new(Status::ContentTooLarge, "The request body is longer than 1 MiB.")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Skips `bytes` in pieces of `piece` and returns what is left, or the refusal.
    fn skip(body: Body, bytes: &[u8], piece: usize) -> Result<(Vec<u8>, bool), Refusal> {
        let mut skip = BodySkip::new(body)?;
        let mut unused = Vec::new();
        for piece in bytes.chunks(piece) {
            unused.extend_from_slice(piece);
            let used = skip.skip(&unused)?;
            unused.drain(..used);
        }
        Ok((unused, skip.is_done()))
    }

    #[test]
    fn a_body_ends_where_it_says_in_pieces_of_any_size() {
        let chunked = b"5\r\nhello\r\n1;name=value\r\n!\r\n0\r\nTrailer: yes\r\n\r\nGET /";
        for piece in 1..=chunked.len() {
            let rest = (b"GET /".to_vec(), true);
            assert_eq!(skip(Body::Chunked, chunked, piece), Ok(rest.clone()), "pieces of {piece}");
            assert_eq!(skip(Body::Length(5), b"helloGET /", piece), Ok(rest), "pieces of {piece}");
        }
    }

    #[test]
    fn an_unfinished_body_is_not_done() {
        for bytes in ["5\r\nhel", "5\r\nhello", "5\r\nhello\r\n", "0\r\n", "0\r\nA: b\r\n"] {
            let (_, done) = skip(Body::Chunked, bytes.as_bytes(), 3).expect("nothing is wrong yet");
            assert!(!done, "{bytes:?}");
        }
    }

    #[test]
    fn bad_chunks_are_refused() {
        for bytes in [
            "\r\nhello\r\n0\r\n\r\n",
            ";x\r\n0\r\n\r\n",
            "g\r\n",
            "-1\r\n",
            "0x5\r\nhello",
            "5\nhello",
            "5;a\nb\r\nhello\r\n",
            "5\r\nhello!\r\n",
            "5\r\nhello\n0\r\n",
            "fffffffffffffffff\r\n",
            "0\r\nno colon\r\n\r\n",
        ] {
            let refusal = skip(Body::Chunked, bytes.as_bytes(), 64).unwrap_err();
            assert_eq!(refusal.status, Status::BadRequest, "{bytes:?}");
        }
    }

    #[test]
    fn a_long_body_is_refused_at_the_limit() {
        let refusal = skip(Body::Length(BODY_BYTES_MAX + 1), b"", 1).unwrap_err();
        assert_eq!(refusal.status, Status::ContentTooLarge);
        assert_eq!(skip(Body::Length(BODY_BYTES_MAX), b"a", 1), Ok((Vec::new(), false)));

        let chunk = format!("{:x}\r\n{}\r\n", 1024, "a".repeat(1024));
        let refusal = skip(Body::Chunked, chunk.repeat(1024).as_bytes(), 16384).unwrap_err();
        assert_eq!(refusal.status, Status::ContentTooLarge);
    }

    #[test]
    fn lines_without_end_are_refused() {
        let extension = format!("5;{}", "a".repeat(LINE_BYTES_MAX));
        assert!(skip(Body::Chunked, extension.as_bytes(), 512).is_err());
        let trailer = format!("0\r\nA: {}", "a".repeat(LINE_BYTES_MAX));
        assert!(skip(Body::Chunked, trailer.as_bytes(), 512).is_err());
    }
}
