//! The head of a response, written straight into the buffer that is sent.

use std::cell::Cell;
use std::fmt::Display;
use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use httpdate::HttpDate;

use crate::status::{Refusal, Status};

/// What every response needs to know beyond its own fields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context {
    pub(crate) date: DateText,
    /// The connection stays open after this response.
    pub(crate) keep_alive: bool,
    /// The client speaks HTTP/1.0 and takes an open connection only when told.
    pub(crate) is_http_1_0: bool,
    /// The request was HEAD: the same fields, no content.
    pub(crate) is_head: bool,
}

/// Appends one head to a buffer, field by field.
pub(crate) struct Head<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Head<'a> {
    /// Writes the status line and the fields that every response has.
    pub(crate) fn begin(out: &'a mut Vec<u8>, status: Status, context: &Context) -> Self {
        let mut head = Self { out };
        head.line(format_args!("HTTP/1.1 {status}"));
        head.out.extend_from_slice(b"Date: ");
        head.out.extend_from_slice(&context.date);
        head.out.extend_from_slice(b"\r\n");
        if !context.keep_alive {
            head.field("Connection", "close");
        } else if context.is_http_1_0 {
            head.field("Connection", "keep-alive");
        }
        head
    }

    /// Appends further fields to what was written before.
    pub(crate) fn append(out: &'a mut Vec<u8>) -> Self {
        Self { out }
    }

    /// Writes one field. The value must not hold a line end.
    pub(crate) fn field(&mut self, name: &str, value: impl Display) {
        self.line(format_args!("{name}: {value}"));
    }

    /// Writes fields that end with the blank line.
    pub(crate) fn end_with(self, fields: &[u8]) {
        self.out.extend_from_slice(fields);
    }

    /// Writes the blank line.
    pub(crate) fn end(self) {
        self.out.extend_from_slice(b"\r\n");
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        write!(self.out, "{line}\r\n").expect("writing to a Vec cannot fail");
    }
}

/// Appends a whole response with `content`, which HEAD and 304 leave out.
pub(crate) fn write_page(
    out: &mut Vec<u8>,
    status: Status,
    fields: &[(&str, &str)],
    content: &[u8],
    context: &Context,
) {
    let mut head = Head::begin(out, status, context);
    for (name, value) in fields {
        head.field(name, value);
    }
    head.field("Content-Length", content.len());
    head.end();
    if !context.is_head {
        out.extend_from_slice(content);
    }
}

/// Appends the response to a request that gets no file.
pub(crate) fn write_refusal(out: &mut Vec<u8>, refusal: &Refusal, context: &Context) {
    let content = format!("{}\n{}\n", refusal.status, refusal.reason);
    let plain = ("Content-Type", "text/plain; charset=utf-8");
    let more = match refusal.status {
        // RFC 9110 demands Allow with 405.
        Status::MethodNotAllowed => Some(("Allow", "GET, HEAD")),
        Status::ServiceUnavailable => Some(("Retry-After", "1")),
        _ => None,
    };
    let fields = [plain].into_iter().chain(more).collect::<Vec<_>>();
    write_page(out, refusal.status, &fields, content.as_bytes(), context);
}

/// A date as HTTP writes it.
pub(crate) type DateText = [u8; DATE_BYTES];

const DATE_BYTES: usize = "Sun, 06 Nov 1994 08:49:37 GMT".len();

/// The current date as text, formatted once a second.
#[derive(Debug)]
pub(crate) struct DateClock {
    formatted: Cell<(u64, DateText)>,
}

impl DateClock {
    pub(crate) fn new() -> Self {
        Self { formatted: Cell::new((0, date_text(0))) }
    }

    /// The date at `now`.
    pub(crate) fn text(&self, now: SystemTime) -> DateText {
        let second = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        let (formatted_second, text) = self.formatted.get();
        if second == formatted_second {
            return text;
        }
        let text = date_text(second);
        self.formatted.set((second, text));
        text
    }
}

fn date_text(second: u64) -> DateText {
    let date = HttpDate::from(UNIX_EPOCH + Duration::from_secs(second));
    let mut text = [b' '; DATE_BYTES];
    write!(&mut text[..], "{date}").expect("every date until the year 9999 has this length");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context() -> Context {
        Context { date: date_text(0), keep_alive: true, is_http_1_0: false, is_head: false }
    }

    #[test]
    fn the_date_follows_the_clock() {
        let clock = DateClock::new();
        let at = |millis| clock.text(UNIX_EPOCH + Duration::from_millis(millis));
        assert_eq!(&at(784_111_777_000), b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(&at(784_111_777_999), b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(&at(784_111_778_000), b"Sun, 06 Nov 1994 08:49:38 GMT");
    }

    #[test]
    fn connection_is_named_where_the_default_would_mislead() {
        for (keep_alive, is_http_1_0, line) in [
            (true, false, None),
            (false, false, Some("Connection: close\r\n")),
            (true, true, Some("Connection: keep-alive\r\n")),
            (false, true, Some("Connection: close\r\n")),
        ] {
            let mut out = Vec::new();
            let context = Context { keep_alive, is_http_1_0, ..context() };
            Head::begin(&mut out, Status::Ok, &context).end();
            let head = String::from_utf8(out).unwrap();
            match line {
                Some(line) => assert!(head.contains(line), "{head}"),
                None => assert!(!head.contains("Connection"), "{head}"),
            }
        }
    }

    #[test]
    fn a_refusal_says_why_and_head_gets_no_content() {
        let refusal = Refusal::new(Status::MethodNotAllowed, "Files are only read here.");
        let mut get = Vec::new();
        write_refusal(&mut get, &refusal, &context());
        let get = String::from_utf8(get).unwrap();
        assert!(get.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"), "{get}");
        assert!(get.contains("\r\nAllow: GET, HEAD\r\n"), "{get}");
        assert!(get.ends_with("405 Method Not Allowed\nFiles are only read here.\n"), "{get}");

        let mut head = Vec::new();
        write_refusal(&mut head, &refusal, &Context { is_head: true, ..context() });
        let content_at = get.find("\r\n\r\n").unwrap() + 4;
        assert_eq!(String::from_utf8(head).unwrap(), get[..content_at]);
    }
}
