//! The requests of one HTTP/1.1 connection: heads that `httparse` reads, pipelined or in pieces.
//!
//! A request that is not `GET /` without a body is refused, and ends the connection.

use std::mem::MaybeUninit;

use httparse::{Request, Status};

use super::site::Owed;

/// What came of a request whose end has not come yet.
#[derive(Debug, Default)]
pub(super) struct Requests {
    begun: Vec<u8>,
}

/// A head is refused when it is longer.
const HEAD_BYTES_MAX: usize = 16 * 1024;
const FIELDS_MAX: usize = 64;

const BAD_REQUEST: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
const NOT_FOUND: &[u8] =
    b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
const NOT_ALLOWED: &[u8] = b"HTTP/1.1 405 Method Not Allowed\r\nAllow: GET\r\n\
    Connection: close\r\nContent-Length: 0\r\n\r\n";
const TOO_LARGE: &[u8] = b"HTTP/1.1 431 Request Header Fields Too Large\r\n\
    Connection: close\r\nContent-Length: 0\r\n\r\n";

enum Parsed {
    /// It is so long, asks for the page, and others may follow.
    Page(usize),
    /// It asks for the page, and is the last.
    LastPage,
    Refused(&'static [u8]),
    Incomplete,
}

impl Requests {
    /// Takes what was received, notes the answers, and says how many pages they are.
    pub(super) fn receive(&mut self, bytes: &[u8], owed: &mut Owed) -> usize {
        if owed.is_last() {
            return 0;
        }
        if self.begun.is_empty() {
            let (pages, used) = answer(bytes, owed);
            self.begun.extend_from_slice(&bytes[used..]);
            return pages;
        }
        self.begun.extend_from_slice(bytes);
        let (pages, used) = answer(&self.begun, owed);
        self.begun.drain(..used);
        pages
    }
}

/// Answers the requests that `bytes` begins with; says how many pages that is, and how long they
/// are.
fn answer(bytes: &[u8], owed: &mut Owed) -> (usize, usize) {
    let (mut pages, mut used) = (0, 0);
    while used < bytes.len() {
        match parse(&bytes[used..]) {
            Parsed::Page(length) => {
                pages += 1;
                used += length;
            }
            Parsed::LastPage => {
                pages += 1;
                used = bytes.len();
                owed.end_with(b"");
            }
            Parsed::Refused(refusal) => {
                used = bytes.len();
                owed.end_with(refusal);
            }
            Parsed::Incomplete => break,
        }
    }
    owed.add_pages(pages);
    (pages, used)
}

fn parse(bytes: &[u8]) -> Parsed {
    let mut fields = [MaybeUninit::uninit(); FIELDS_MAX];
    let mut request = Request::new(&mut []);
    let length = match request.parse_with_uninit_headers(bytes, &mut fields) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) if bytes.len() > HEAD_BYTES_MAX => return Parsed::Refused(TOO_LARGE),
        Ok(Status::Partial) => return Parsed::Incomplete,
        Err(httparse::Error::TooManyHeaders) => return Parsed::Refused(TOO_LARGE),
        Err(_) => return Parsed::Refused(BAD_REQUEST),
    };
    if request.method != Some("GET") {
        return Parsed::Refused(NOT_ALLOWED);
    }
    if request.path != Some("/") {
        return Parsed::Refused(NOT_FOUND);
    }
    let mut is_last = request.version == Some(0);
    for field in request.headers.iter() {
        match field.name.len() {
            10 if field.name.eq_ignore_ascii_case("connection") => {
                is_last |= field.value.eq_ignore_ascii_case(b"close");
            }
            14 if field.name.eq_ignore_ascii_case("content-length") && field.value != b"0" => {
                return Parsed::Refused(BAD_REQUEST);
            }
            17 if field.name.eq_ignore_ascii_case("transfer-encoding") => {
                return Parsed::Refused(BAD_REQUEST);
            }
            _ => {}
        }
    }
    if is_last { Parsed::LastPage } else { Parsed::Page(length) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n";

    /// The pages that `text` is answered by, and whether the connection ends.
    fn answered(text: &[u8]) -> (usize, bool) {
        let mut owed = Owed::default();
        (Requests::default().receive(text, &mut owed), owed.is_last())
    }

    #[test]
    fn a_request_in_single_bytes_is_answered_once() {
        let (mut requests, mut owed) = (Requests::default(), Owed::default());
        let twice = GET.repeat(2);
        let pages = twice.chunks(1).map(|byte| requests.receive(byte, &mut owed)).sum::<usize>();
        assert_eq!((pages, owed.is_last()), (2, false));
    }

    #[test]
    fn pipelined_requests_are_answered_together_and_the_rest_is_kept() {
        let (mut requests, mut owed) = (Requests::default(), Owed::default());
        let text = GET.repeat(3);
        let cut = text.len() - 5;
        assert_eq!(requests.receive(&text[..cut], &mut owed), 2);
        assert_eq!(requests.receive(&text[cut..], &mut owed), 1);
    }

    #[test]
    fn a_connection_ends_when_the_client_says_so() {
        assert_eq!(answered(b"GET / HTTP/1.1\r\nConnection: Close\r\n\r\n"), (1, true));
        assert_eq!(answered(b"GET / HTTP/1.0\r\n\r\n"), (1, true));
        assert_eq!(answered(GET), (1, false));
    }

    #[test]
    fn whatever_is_no_page_is_refused_and_ends_the_connection() {
        let long = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(HEAD_BYTES_MAX));
        for text in [
            "POST / HTTP/1.1\r\n\r\n",
            "GET /other HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "nonsense\r\n\r\n",
            &long,
        ] {
            assert_eq!(answered(text.as_bytes()), (0, true), "{text}");
        }
        let refused_third = [GET, GET, b"PUT / HTTP/1.1\r\n\r\n", GET].concat();
        assert_eq!(answered(&refused_third), (2, true));
    }
}
