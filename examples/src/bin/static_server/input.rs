//! The bytes a connection has received and not yet used, cut into request heads.
//!
//! It never parses: it finds where a head ends and holds the limits, so that each head is parsed
//! once, whole. A client that sends its head one byte at a time costs one look at each byte.

use crate::status::{Refusal, Status};

/// Bytes of a head, the blank line that ends it included, beyond which it is refused.
pub(crate) const HEAD_BYTES_MAX: usize = 32 * 1024;

/// Capacity that an idle connection may keep; more is given back.
const IDLE_CAPACITY_MAX: usize = 4 * 1024;

/// Received bytes, in order.
#[derive(Debug, Default)]
pub(crate) struct Input {
    bytes: Vec<u8>,
    /// Where the unused bytes begin. Pipelined requests move it, without moving the bytes.
    start: usize,
    /// How many of the unused bytes were searched for the end of a head already.
    searched: usize,
}

impl Input {
    /// Appends what was received.
    pub(crate) fn push(&mut self, received: &[u8]) {
        self.bytes.drain(..self.start);
        self.start = 0;
        self.bytes.extend_from_slice(received);
    }

    /// The bytes not used yet.
    pub(crate) fn unused(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Marks the first `count` unused bytes as used.
    pub(crate) fn consume(&mut self, count: usize) {
        assert!(count <= self.unused().len(), "only bytes that were received can be used");
        self.start += count;
        self.searched = 0;
        if self.start == self.bytes.len() {
            self.bytes.clear();
            self.start = 0;
        }
    }

    /// Moves the next head, with the blank line that ends it, into `head`. False: it is not whole yet.
    pub(crate) fn next_head(&mut self, head: &mut Vec<u8>) -> Result<bool, Refusal> {
        self.skip_blank_lines();
        let unused = &self.bytes[self.start..];
        // A method begins with a letter; anything else (a TLS hello, most often) would only be
        // found wrong once its sender gives up, because it holds no blank line.
        if unused.first().is_some_and(|first| !first.is_ascii_alphabetic()) {
            return Err(Refusal::bad("The request does not begin with a method."));
        }
        match head_end(unused, self.searched) {
            Some(length) if length <= HEAD_BYTES_MAX => {
                head.clear();
                head.extend_from_slice(&unused[..length]);
                self.consume(length);
                Ok(true)
            }
            None if unused.len() <= HEAD_BYTES_MAX => {
                self.searched = unused.len();
                Ok(false)
            }
            _ if !unused[..HEAD_BYTES_MAX].contains(&b'\n') => {
                Err(Refusal::new(Status::UriTooLong, "The request line is longer than 32 KiB."))
            }
            _ => Err(Refusal::new(
                Status::HeaderFieldsTooLarge,
                "The request header is longer than 32 KiB.",
            )),
        }
    }

    /// Gives memory back before a wait that may be long.
    pub(crate) fn shrink_for_idle(&mut self) {
        if self.bytes.is_empty() && self.bytes.capacity() > IDLE_CAPACITY_MAX {
            self.bytes = Vec::new();
        }
    }

    /// Blank lines before a request line are allowed (RFC 9112, section 2.2). A carriage return is
    /// dropped alone, because its line feed may not have arrived yet.
    fn skip_blank_lines(&mut self) {
        let blank = self.unused().iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        if blank > 0 {
            self.consume(blank);
        }
    }
}

/// The length of the head at the start of `bytes`, if it is whole. The first `searched` bytes hold no end.
fn head_end(bytes: &[u8], searched: usize) -> Option<usize> {
    // An end that began in the searched part has at most two bytes there: "\n\r".
    let from = searched.saturating_sub(2);
    bytes[from..].iter().enumerate().filter(|&(_, &byte)| byte == b'\n').find_map(|(at, _)| {
        let after = from + at + 1;
        match &bytes[after..] {
            [b'\n', ..] => Some(after + 1),
            [b'\r', b'\n', ..] => Some(after + 2),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heads(input: &mut Input) -> Vec<String> {
        let (mut heads, mut head) = (Vec::new(), Vec::new());
        while input.next_head(&mut head).expect("the heads are within the limits") {
            heads.push(String::from_utf8(head.clone()).expect("the tests send text"));
        }
        heads
    }

    #[test]
    fn pipelined_heads_come_out_one_by_one() {
        let mut input = Input::default();
        input.push(b"GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\nGET /c");
        assert_eq!(
            heads(&mut input),
            ["GET /a HTTP/1.1\r\n\r\n", "GET /b HTTP/1.1\r\nHost: x\r\n\r\n"]
        );
        assert_eq!(input.unused(), b"GET /c");
        input.push(b" HTTP/1.1\n\n");
        assert_eq!(heads(&mut input), ["GET /c HTTP/1.1\n\n"]);
        assert!(input.unused().is_empty());
    }

    #[test]
    fn a_head_in_single_bytes_is_found_at_its_last_byte() {
        for head in ["GET / HTTP/1.1\r\nHost: x\r\n\r\n", "GET / HTTP/1.1\nHost: x\n\n"] {
            let mut input = Input::default();
            let (last, first) = head.as_bytes().split_last().expect("the head is not empty");
            for byte in first {
                input.push(&[*byte]);
                assert_eq!(input.next_head(&mut Vec::new()), Ok(false));
            }
            input.push(&[*last]);
            assert_eq!(heads(&mut input), [head]);
        }
    }

    #[test]
    fn blank_lines_before_a_request_are_skipped() {
        let mut input = Input::default();
        input.push(b"\r\n\r");
        assert!(heads(&mut input).is_empty());
        input.push(b"\n\nGET / HTTP/1.1\r\n\r\n");
        assert_eq!(heads(&mut input), ["GET / HTTP/1.1\r\n\r\n"]);
    }

    #[test]
    fn a_long_head_is_431_and_a_long_line_is_414() {
        let mut input = Input::default();
        input.push(b"GET / HTTP/1.1\r\nA: ");
        input.push(&vec![b'a'; HEAD_BYTES_MAX]);
        let refusal = input.next_head(&mut Vec::new()).unwrap_err();
        assert_eq!(refusal.status, Status::HeaderFieldsTooLarge);

        let mut input = Input::default();
        input.push(&vec![b'a'; HEAD_BYTES_MAX + 1]);
        let refusal = input.next_head(&mut Vec::new()).unwrap_err();
        assert_eq!(refusal.status, Status::UriTooLong);

        // The same when all of it, the end included, arrives at once.
        let mut input = Input::default();
        input.push(b"GET / HTTP/1.1\r\nA: ");
        input.push(&vec![b'a'; HEAD_BYTES_MAX]);
        input.push(b"\r\n\r\n");
        let refusal = input.next_head(&mut Vec::new()).unwrap_err();
        assert_eq!(refusal.status, Status::HeaderFieldsTooLarge);
    }

    #[test]
    fn a_head_of_exactly_the_limit_is_taken() {
        let (start, end) = ("GET / HTTP/1.1\r\nA: ", "\r\n\r\n");
        let filler = "a".repeat(HEAD_BYTES_MAX - start.len() - end.len());
        let mut input = Input::default();
        input.push(format!("{start}{filler}{end}").as_bytes());
        assert_eq!(heads(&mut input).len(), 1);
    }

    #[test]
    fn what_is_no_request_is_refused_at_its_first_byte() {
        let mut input = Input::default();
        input.push(&[0x16, 0x03, 0x01]);
        assert_eq!(input.next_head(&mut Vec::new()).unwrap_err().status, Status::BadRequest);
    }

    #[test]
    fn an_idle_connection_gives_back_a_large_buffer() {
        let mut input = Input::default();
        input.push(&[b'a'; 16 * 1024]);
        input.consume(16 * 1024);
        input.shrink_for_idle();
        assert_eq!(input.bytes.capacity(), 0);
    }
}
