//! HTTP/1.1 GET (RFC 9112): the request, and answers taken apart as they arrive.
//!
//! The head is parsed by `httparse`; the body, of a known length, in chunks or up to the end of the
//! connection, is compared byte by byte with that of the first answer.

use std::sync::OnceLock;

use httparse::Status;

use super::body::Body;
use super::exchange::{Progress, Refusal, Taken};
use super::plan::Plan;
use super::verdict::Reason;

/// Which part of an answer comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Head,
    Body { framing: Framing, body: Body, is_last: bool },
}

/// How much of a body follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes.
    Length(usize),
    /// The line with the size of the next chunk.
    ChunkSize,
    /// So many bytes of a chunk.
    Chunk(usize),
    /// The line end after a chunk.
    ChunkEnd,
    /// Fields after the last chunk, up to an empty line.
    Trailer,
    /// All that comes.
    UntilClose,
}

/// The bytes of a request.
pub(super) fn request(plan: &Plan, path: &str) -> Vec<u8> {
    let host = plan.host();
    let mut request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n");
    if plan.is_churn {
        request += "Connection: close\r\n";
    }
    (request + "\r\n").into_bytes()
}

/// Verifies `bytes` against the body of the first answer, or makes them the first answer.
pub(super) fn take(
    first: &OnceLock<Vec<u8>>,
    progress: &mut Progress,
    mut bytes: &[u8],
    due: usize,
) -> Result<Taken, Refusal> {
    let mut taken = Taken::default();
    while !bytes.is_empty() {
        if taken.answers == due {
            let what = if due == 0 { "sent bytes that nobody asked for" } else { MORE };
            return wrong(what);
        }
        let used = match &mut progress.part {
            Part::Head => take_head(first, progress, bytes)?,
            Part::Body { framing, body, .. } => {
                take_body(first, framing, body, &mut progress.pending, bytes)?
            }
        };
        bytes = &bytes[used..];
        progress.arrived += used;
        if is_complete(&progress.part) {
            taken.answers += 1;
            taken.is_last = finish(first, progress)?;
            if taken.is_last {
                return if bytes.is_empty() { Ok(taken) } else { wrong(MORE) };
            }
        }
    }
    Ok(taken)
}

/// What the end of the connection completes, if it is no fault.
pub(super) fn end(first: &OnceLock<Vec<u8>>, progress: &mut Progress, due: usize) -> Option<Taken> {
    match &progress.part {
        Part::Body { framing: Framing::UntilClose, .. } => {
            finish(first, progress).ok().map(|_| Taken { answers: 1, is_last: true })
        }
        Part::Head if due == 0 && progress.arrived == 0 => {
            Some(Taken { answers: 0, is_last: true })
        }
        _ => None,
    }
}

/// Takes a head, as far as it is there; says how many of `bytes` belong to it.
fn take_head(
    first: &OnceLock<Vec<u8>>,
    progress: &mut Progress,
    bytes: &[u8],
) -> Result<usize, Refusal> {
    let before = progress.pending.len();
    let head = if before == 0 {
        Head::parse(bytes)?
    } else {
        progress.pending.extend_from_slice(bytes);
        Head::parse(&progress.pending)?
    };
    let Some(head) = head else {
        if before == 0 {
            progress.pending.extend_from_slice(bytes);
        }
        if progress.pending.len() > HEAD_MAX {
            return wrong("sent a head of more than 64 KiB");
        }
        return Ok(bytes.len());
    };
    progress.pending.clear();
    if !(200..300).contains(&head.status) {
        let what = format!("got the status {}", head.status);
        return Err((Reason::ErrorStatus, what));
    }
    let length = match head.framing {
        Framing::Length(length) => Some(length),
        _ => None,
    };
    let body = Body::begin(first, length)?;
    progress.part = Part::Body { framing: head.framing, body, is_last: head.is_last };
    Ok(head.size - before)
}

struct Head {
    size: usize,
    status: u16,
    framing: Framing,
    is_last: bool,
}

impl Head {
    /// None while it is not complete.
    fn parse(bytes: &[u8]) -> Result<Option<Self>, Refusal> {
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut fields);
        let size = match response.parse(bytes) {
            Ok(Status::Complete(size)) => size,
            Ok(Status::Partial) => return Ok(None),
            Err(error) => return wrong(&format!("got no HTTP answer: {error}")),
        };
        let status = response.code.expect("a complete head has a status");
        let mut is_last = response.version == Some(0);
        let mut length = None;
        let mut is_chunked = false;
        for field in response.headers.iter() {
            let value = field.value.trim_ascii();
            if field.name.eq_ignore_ascii_case("content-length") {
                let digits = std::str::from_utf8(value).ok();
                let parsed = digits.and_then(|digits| digits.parse().ok());
                length = Some(parsed.ok_or_else(|| {
                    (Reason::WrongAnswer, "got a length that is no number".to_owned())
                })?);
            } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
                is_chunked = value.eq_ignore_ascii_case(b"chunked");
            } else if field.name.eq_ignore_ascii_case("connection") {
                is_last = value.eq_ignore_ascii_case(b"close")
                    || is_last && !value.eq_ignore_ascii_case(b"keep-alive");
            }
        }
        let framing = match (is_chunked, length) {
            _ if status == 204 => Framing::Length(0),
            (true, _) => Framing::ChunkSize,
            (false, Some(length)) => Framing::Length(length),
            (false, None) => Framing::UntilClose,
        };
        Ok(Some(Head { size, status, framing, is_last }))
    }
}

/// Takes what belongs to the body or its framing; says how many bytes that was, at least one.
fn take_body(
    first: &OnceLock<Vec<u8>>,
    framing: &mut Framing,
    body: &mut Body,
    pending: &mut Vec<u8>,
    bytes: &[u8],
) -> Result<usize, Refusal> {
    match framing {
        Framing::Length(left) | Framing::Chunk(left) => {
            let count = bytes.len().min(*left);
            body.take(first, &bytes[..count])?;
            *left -= count;
            if *framing == Framing::Chunk(0) {
                *framing = Framing::ChunkEnd;
            }
            Ok(count)
        }
        Framing::UntilClose => {
            body.take(first, bytes)?;
            Ok(bytes.len())
        }
        Framing::ChunkSize | Framing::ChunkEnd | Framing::Trailer => {
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let count = end.map_or(bytes.len(), |end| end + 1);
            pending.extend_from_slice(&bytes[..count]);
            if pending.len() > HEAD_MAX {
                return wrong("sent a line of more than 64 KiB between chunks");
            }
            if end.is_some() {
                *framing = after_line(framing, pending.trim_ascii(), pending)?;
                pending.clear();
            }
            Ok(count)
        }
    }
}

/// What follows a whole line of the chunked framing.
fn after_line(framing: &Framing, line: &[u8], raw: &[u8]) -> Result<Framing, Refusal> {
    match framing {
        Framing::ChunkSize => match httparse::parse_chunk_size(raw) {
            Ok(Status::Complete((_, 0))) => Ok(Framing::Trailer),
            Ok(Status::Complete((_, size))) => Ok(Framing::Chunk(size as usize)),
            _ => wrong("got a chunk whose size is no number"),
        },
        Framing::ChunkEnd if line.is_empty() => Ok(Framing::ChunkSize),
        Framing::ChunkEnd => wrong("got a chunk of another size than it said"),
        // The empty line ends the answer.
        _ if line.is_empty() => Ok(Framing::Length(0)),
        _ => Ok(Framing::Trailer),
    }
}

fn is_complete(part: &Part) -> bool {
    matches!(part, Part::Body { framing: Framing::Length(0), .. })
}

/// Ends an answer; true if it is the last one on its connection.
fn finish(first: &OnceLock<Vec<u8>>, progress: &mut Progress) -> Result<bool, Refusal> {
    progress.arrived = 0;
    let Part::Body { framing, mut body, is_last } =
        std::mem::replace(&mut progress.part, Part::Head)
    else {
        unreachable!("an answer ends in its body");
    };
    let is_last = is_last || framing == Framing::UntilClose;
    body.finish(first)?;
    Ok(is_last)
}

pub(super) fn wrong<T>(what: &str) -> Result<T, Refusal> {
    Err((Reason::WrongAnswer, what.to_owned()))
}

const MORE: &str = "sent more bytes than were asked for";

/// A longer head is taken for something else.
const HEAD_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use crate::address::Address;
    use crate::load::exchange::{Exchange, Taken};
    use crate::load::plan::{Plan, Protocol};
    use crate::load::verdict::Reason;

    const PLAIN: &[u8] = b"HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 5\r\n\r\nhello";
    const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
        2\r\nhe\r\n3;note=x\r\nllo\r\n0\r\nTrailer: x\r\n\r\n";

    fn exchange() -> Exchange {
        let protocol = Protocol::Http { path: "/".to_owned() };
        Exchange::new(&Plan::new(Address::any_port(), protocol)).expect("a page is always possible")
    }

    /// What is taken of `answers` when they arrive in pieces of `size` bytes.
    fn take(exchange: &mut Exchange, answers: &[u8], size: usize) -> Result<Taken, Reason> {
        let mut progress = exchange.progress(0);
        let mut taken = Taken::default();
        for piece in answers.chunks(size) {
            let more = exchange
                .take(&mut progress, piece, 2 - taken.answers)
                .map_err(|(reason, _)| reason)?;
            taken = Taken { answers: taken.answers + more.answers, is_last: more.is_last };
        }
        Ok(taken)
    }

    #[test]
    fn answers_are_counted_however_they_are_cut() {
        let both = [PLAIN, CHUNKED].concat();
        for size in 1..=both.len() {
            let taken = take(&mut exchange(), &both, size);
            assert_eq!(taken, Ok(Taken { answers: 2, is_last: false }), "pieces of {size}");
        }
    }

    #[test]
    fn a_body_other_than_the_first_is_wrong() {
        let others: [&[u8]; 3] = [
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhullo",
            b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhell",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhell\r\n0\r\n\r\n",
        ];
        for other in others {
            let both = [PLAIN, other].concat();
            assert_eq!(take(&mut exchange(), &both, 7), Err(Reason::WrongAnswer));
        }
    }

    #[test]
    fn an_error_status_is_no_answer() {
        let answer = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(take(&mut exchange(), answer, 1000), Err(Reason::ErrorStatus));
    }

    #[test]
    fn the_end_of_a_connection_completes_a_body_without_length_only() {
        let mut exchange = exchange();
        let mut progress = exchange.progress(0);
        let answer = b"HTTP/1.0 200 OK\r\n\r\nhello";
        assert_eq!(exchange.take(&mut progress, answer, 1), Ok(Taken::default()));
        let last = Taken { answers: 1, is_last: true };
        assert_eq!(exchange.end(&mut progress, 1), Some(last));
        let part = &PLAIN[..PLAIN.len() - 1];
        assert_eq!(exchange.take(&mut progress, part, 1), Ok(Taken::default()));
        assert_eq!(exchange.end(&mut progress, 1), None);
    }

    #[test]
    fn an_announced_close_is_told() {
        let answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        let last = Taken { answers: 1, is_last: true };
        assert_eq!(take(&mut exchange(), answer, 1000), Ok(last));
    }
}
