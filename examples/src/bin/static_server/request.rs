//! One request: from the bytes of its head to what this server needs to know of it, or a refusal.
//!
//! The syntax is `httparse`'s work. Decided here are the rules above it: which heads are ambiguous
//! and therefore refused (RFC 9112, sections 3.2 and 6), how the body is framed, and whether the
//! connection stays open. A refusal from here closes the connection, since nobody can be sure
//! where the next request begins.

use crate::body::Body;
use crate::codings::Accepted;
use crate::conditions::Conditions;
use crate::fields::{Single, equals, tokens};
use crate::status::{Refusal, Status};

/// Header lines beyond which a head is refused.
pub(crate) const HEADER_LINES_MAX: usize = 100;

/// What the method asks of this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Head,
    /// A method of RFC 9110 or RFC 5789 that no file here supports: 405.
    NotAllowed,
    /// A method nobody defined: 501.
    Unknown,
}

/// The head of one request, borrowed from its bytes.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    /// The path and query as sent, always beginning with a slash.
    pub(crate) target: &'a str,
    pub(crate) body: Body,
    /// The client waits for "100 Continue" before it sends the body.
    pub(crate) expects_continue: bool,
    /// The client can and wants to use the connection again.
    pub(crate) keep_alive: bool,
    /// HTTP/1.0, whose clients must be told that the connection stays open.
    pub(crate) is_http_1_0: bool,
    pub(crate) conditions: Conditions<'a>,
    pub(crate) range: Option<&'a [u8]>,
    pub(crate) accepted: Accepted,
}

impl<'a> Request<'a> {
    /// Parses `head`, which ends with its blank line.
    pub(crate) fn parse(head: &'a [u8]) -> Result<Self, Refusal> {
        let mut headers = [httparse::EMPTY_HEADER; HEADER_LINES_MAX];
        let mut syntax = httparse::Request::new(&mut headers);
        match syntax.parse(head) {
            Ok(httparse::Status::Complete(length)) if length == head.len() => {}
            Ok(_) => return Err(Refusal::bad("The request header ends in an unexpected place.")),
            Err(error) => return Err(refuse_syntax(error)),
        }
        let (Some(method), Some(target), Some(version)) =
            (syntax.method, syntax.path, syntax.version)
        else {
            return Err(Refusal::bad("The request line is not complete."));
        };
        let is_http_1_0 = version == 0;
        let method = Method::named(method);
        let fields = Fields::collect(syntax.headers);
        fields.check_host(is_http_1_0)?;
        Ok(Self {
            method,
            target: origin_form(target, method)?,
            body: fields.body(is_http_1_0)?,
            expects_continue: fields.expects_continue(is_http_1_0)?,
            keep_alive: fields.keep_alive(is_http_1_0),
            is_http_1_0,
            conditions: fields.conditions,
            range: fields.range.once(),
            accepted: fields.accepted,
        })
    }
}

impl Method {
    fn named(name: &str) -> Self {
        match name {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "POST" | "PUT" | "DELETE" | "CONNECT" | "OPTIONS" | "TRACE" | "PATCH" => {
                Method::NotAllowed
            }
            _ => Method::Unknown,
        }
    }
}

/// The header fields that matter here, as they were sent.
#[derive(Default)]
struct Fields<'a> {
    host: Single<'a>,
    content_length: ContentLength,
    transfer_encoding: Single<'a>,
    expect: Single<'a>,
    asks_close: bool,
    asks_keep_alive: bool,
    range: Single<'a>,
    accepted: Accepted,
    conditions: Conditions<'a>,
}

/// What the Content-Length lines say together.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum ContentLength {
    #[default]
    Absent,
    Bytes(u64),
    Invalid,
}

impl<'a> Fields<'a> {
    fn collect(headers: &[httparse::Header<'a>]) -> Self {
        let mut fields = Self::default();
        for &httparse::Header { name, value } in headers {
            if name.eq_ignore_ascii_case("host") {
                fields.host.add(value);
            } else if name.eq_ignore_ascii_case("connection") {
                for token in tokens(value) {
                    fields.asks_close |= equals(token, "close");
                    fields.asks_keep_alive |= equals(token, "keep-alive");
                }
            } else if name.eq_ignore_ascii_case("content-length") {
                fields.content_length.add(value);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                fields.transfer_encoding.add(value);
            } else if name.eq_ignore_ascii_case("expect") {
                fields.expect.add(value);
            } else if name.eq_ignore_ascii_case("range") {
                fields.range.add(value);
            } else if name.eq_ignore_ascii_case("accept-encoding") {
                fields.accepted.collect(value);
            } else {
                fields.conditions.collect(name, value);
            }
        }
        fields
    }

    /// HTTP/1.1 demands one Host line; two would let two servers disagree about whom they mean.
    fn check_host(&self, is_http_1_0: bool) -> Result<(), Refusal> {
        if self.host.is_repeated() {
            return Err(Refusal::bad("The request has more than one Host header."));
        }
        match self.host.once() {
            None if is_http_1_0 => Ok(()),
            None => Err(Refusal::bad("The request has no Host header, which HTTP/1.1 demands.")),
            Some(host) if host.iter().all(|byte| is_host_byte(*byte)) => Ok(()),
            Some(_) => Err(Refusal::bad("The Host header is not a host name with a port.")),
        }
    }

    fn body(&self, is_http_1_0: bool) -> Result<Body, Refusal> {
        if self.transfer_encoding.is_absent() {
            return match self.content_length {
                ContentLength::Absent | ContentLength::Bytes(0) => Ok(Body::Empty),
                ContentLength::Bytes(bytes) => Ok(Body::Length(bytes)),
                ContentLength::Invalid => {
                    Err(Refusal::bad("Content-Length is not one decimal number."))
                }
            };
        }
        if self.content_length != ContentLength::Absent {
            return Err(Refusal::bad(
                "The request has Content-Length together with Transfer-Encoding.",
            ));
        }
        if is_http_1_0 {
            return Err(Refusal::bad("HTTP/1.0 has no Transfer-Encoding."));
        }
        match self.transfer_encoding.once() {
            Some(coding) if equals(coding, "chunked") => Ok(Body::Chunked),
            Some(codings) if tokens(codings).last().is_some_and(|last| equals(last, "chunked")) => {
                Err(Refusal::new(
                    Status::NotImplemented,
                    "No transfer coding but chunked is understood.",
                ))
            }
            _ => Err(Refusal::bad("Transfer-Encoding does not end with chunked.")),
        }
    }

    fn expects_continue(&self, is_http_1_0: bool) -> Result<bool, Refusal> {
        if is_http_1_0 || self.expect.is_absent() {
            return Ok(false);
        }
        match self.expect.once() {
            Some(expectation) if equals(expectation, "100-continue") => Ok(true),
            _ => Err(Refusal::new(
                Status::ExpectationFailed,
                "No expectation but 100-continue is understood.",
            )),
        }
    }

    fn keep_alive(&self, is_http_1_0: bool) -> bool {
        !self.asks_close && (!is_http_1_0 || self.asks_keep_alive)
    }
}

impl ContentLength {
    fn add(&mut self, value: &[u8]) {
        let digits = str::from_utf8(value)
            .ok()
            .filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
        // More digits than fit are a length beyond every limit, not a mistake in form.
        let bytes = digits.map(|text| ContentLength::Bytes(text.parse().unwrap_or(u64::MAX)));
        *self = match (*self, bytes) {
            (ContentLength::Absent, Some(first)) => first,
            (earlier, Some(same)) if earlier == same => same,
            _ => ContentLength::Invalid,
        };
    }
}

/// The path and query of a request target, which may also be a whole URL (RFC 9112, section 3.2.2).
fn origin_form(target: &str, method: Method) -> Result<&str, Refusal> {
    if target.contains('#') {
        return Err(Refusal::bad("The request target holds a fragment."));
    }
    if target.starts_with('/') {
        return Ok(target);
    }
    let after_scheme = ["http://", "https://"].into_iter().find_map(|scheme| {
        let (start, rest) = target.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    });
    if let Some(rest) = after_scheme {
        return match rest.find(['/', '?']) {
            Some(at) if rest[at..].starts_with('/') => Ok(&rest[at..]),
            // A URL without a path means the root; its query names no file either way.
            _ => Ok("/"),
        };
    }
    // The two other forms, `*` and `host:port`, belong to OPTIONS and CONNECT, which get 405.
    if method == Method::NotAllowed {
        return Ok("/");
    }
    Err(Refusal::bad("The request target is neither a path nor a URL."))
}

/// Whether `byte` may stand in `host:port`, an address in brackets included.
fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(&byte)
}

fn refuse_syntax(error: httparse::Error) -> Refusal {
    match error {
        httparse::Error::TooManyHeaders => Refusal::new(
            Status::HeaderFieldsTooLarge,
            "The request has more than 100 header lines.",
        ),
        httparse::Error::Version => {
            Refusal::new(Status::VersionNotSupported, "Only HTTP/1.1 and HTTP/1.0 are spoken here.")
        }
        httparse::Error::HeaderName => Refusal::bad("A header name holds a forbidden byte."),
        httparse::Error::HeaderValue => Refusal::bad("A header value holds a forbidden byte."),
        httparse::Error::NewLine => Refusal::bad("A line does not end as HTTP demands."),
        _ => Refusal::bad("The request line is not HTTP."),
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
