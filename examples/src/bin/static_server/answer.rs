//! What to answer when the file is there: the head, and what of the file follows it.
//!
//! It decides from the request and the state of the file alone, and reads nothing.

use std::ops::Range;
use std::path::Path;

use crate::codings::Coding;
use crate::conditions::{Validators, Verdict};
use crate::parts::Parts;
use crate::range::{Wanted, wanted};
use crate::request::{Method, Request};
use crate::response::{Context, Head, write_refusal};
use crate::status::{Refusal, Status};

/// What must follow the head.
#[derive(Debug)]
pub(crate) enum Content {
    /// These bytes of the file. None, where the answer has no content.
    Bytes(Range<u64>),
    Parts(Parts),
}

/// What the answers to requests for one file have in common.
#[derive(Debug)]
pub(crate) struct Prepared {
    validators: Validators,
    content_type: ContentType,
    coding: Option<Coding>,
    /// The fields of an answer with the whole file, and the blank line.
    whole: Vec<u8>,
}

impl Prepared {
    /// Of a file with these validators, which holds in this coding what is at `path`.
    pub(crate) fn new(validators: Validators, path: &Path, coding: Option<Coding>) -> Self {
        let content_type = content_type(path);
        let mut prepared = Self { validators, content_type, coding, whole: Vec::new() };
        let mut whole = Vec::new();
        let mut head = Head::append(&mut whole);
        prepared.content_fields(&mut head);
        head.field("Content-Length", validators.bytes);
        file_fields(&mut head, &validators);
        head.end();
        prepared.whole = whole;
        prepared
    }

    /// What the content is, whichever part of it.
    fn content_fields(&self, head: &mut Head<'_>) {
        head.field("Content-Type", &self.content_type);
        if let Some(coding) = self.coding {
            head.field("Content-Encoding", coding.name());
        }
    }
}

/// Appends the head of the answer and returns what must follow it.
pub(crate) fn write_file_head(
    out: &mut Vec<u8>,
    request: &Request<'_>,
    prepared: &Prepared,
    context: &Context,
) -> Content {
    const NOTHING: Content = Content::Bytes(0..0);
    let file = &prepared.validators;
    match request.conditions.verdict(file) {
        Verdict::Proceed => {}
        Verdict::NotModified => {
            let mut head = Head::begin(out, Status::NotModified, context);
            validators(&mut head, file);
            head.end();
            return NOTHING;
        }
        Verdict::Failed => {
            let reason = "The file is not the one that the request names.";
            write_refusal(out, &Refusal::new(Status::PreconditionFailed, reason), context);
            return NOTHING;
        }
    }
    // A range means something for GET only (RFC 9110, section 14.2).
    let range = request.range.filter(|_| request.method == Method::Get);
    let wanted = match range {
        Some(range) if request.conditions.allow_range(file) => wanted(range, file.bytes),
        _ => Wanted::Whole,
    };
    let bytes = file.bytes;
    let (status, part) = match wanted {
        Wanted::Whole => (Status::Ok, 0..bytes),
        Wanted::Part(part) => (Status::PartialContent, part),
        Wanted::Parts(ranges) => {
            let mut each = Vec::new();
            prepared.content_fields(&mut Head::append(&mut each));
            let parts = Parts::new(ranges, bytes, &each);
            let mut head = Head::begin(out, Status::PartialContent, context);
            head.field("Content-Type", parts.content_type());
            head.field("Content-Length", parts.content_length());
            file_fields(&mut head, file);
            head.end();
            return Content::Parts(parts);
        }
        Wanted::Nothing => {
            let mut head = Head::begin(out, Status::RangeNotSatisfiable, context);
            head.field("Content-Range", format_args!("bytes */{bytes}"));
            head.field("Content-Length", 0);
            head.end();
            return NOTHING;
        }
    };
    let mut head = Head::begin(out, status, context);
    if status == Status::Ok {
        head.end_with(&prepared.whole);
    } else {
        let (first, last) = (part.start, part.end - 1);
        prepared.content_fields(&mut head);
        head.field("Content-Length", part.end - part.start);
        head.field("Content-Range", format_args!("bytes {first}-{last}/{bytes}"));
        file_fields(&mut head, file);
        head.end();
    }
    if request.method == Method::Head { NOTHING } else { Content::Bytes(part) }
}

/// The fields of every answer with something of the file.
fn file_fields(head: &mut Head<'_>, file: &Validators) {
    head.field("Accept-Ranges", "bytes");
    validators(head, file);
}

/// What tells this file from others that its name may get. A variant may lie beside any file.
fn validators(head: &mut Head<'_>, file: &Validators) {
    head.field("Vary", "Accept-Encoding");
    head.field("ETag", file);
    head.field("Last-Modified", file.last_modified());
}

/// The media type that the name of a file suggests.
fn content_type(path: &Path) -> ContentType {
    ContentType(mime_guess::from_path(path).first_raw().unwrap_or("application/octet-stream"))
}

/// A media type. Text is announced as UTF-8, which nearly all text is; without it, browsers guess.
#[derive(Debug)]
struct ContentType(&'static str);

impl std::fmt::Display for ContentType {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.0)?;
        if self.0.starts_with("text/") {
            formatter.write_str("; charset=utf-8")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::response::DateClock;

    const FILE: Validators = Validators { inode: 1, bytes: 1000, modified: UNIX_EPOCH };

    /// The answer to GET or HEAD of a page of 1,000 bytes, with `fields` in the request.
    fn answer(method: &str, fields: &str) -> (String, Range<u64>) {
        answer_in(None, method, fields)
    }

    fn answer_in(coding: Option<Coding>, method: &str, fields: &str) -> (String, Range<u64>) {
        let head = format!("{method} /page.html HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
        let request = Request::parse(head.as_bytes()).expect("the request is valid");
        let context = Context {
            date: DateClock::new().text(UNIX_EPOCH + Duration::from_secs(1)),
            keep_alive: true,
            is_http_1_0: false,
            is_head: method == "HEAD",
        };
        let mut out = Vec::new();
        let prepared = Prepared::new(FILE, Path::new("page.html"), coding);
        let Content::Bytes(range) = write_file_head(&mut out, &request, &prepared, &context) else {
            panic!("one range is no part of several");
        };
        (String::from_utf8(out).expect("heads are text"), range)
    }

    #[test]
    fn get_announces_the_file_and_its_validators() {
        let (head, range) = answer("GET", "");
        assert_eq!(
            head,
            "HTTP/1.1 200 OK\r\n\
             Date: Thu, 01 Jan 1970 00:00:01 GMT\r\n\
             Content-Type: text/html; charset=utf-8\r\n\
             Content-Length: 1000\r\n\
             Accept-Ranges: bytes\r\n\
             Vary: Accept-Encoding\r\n\
             ETag: \"1-3e8-0\"\r\n\
             Last-Modified: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n"
        );
        assert_eq!(range, 0..1000);
    }

    #[test]
    fn head_is_get_without_content() {
        let (get, _) = answer("GET", "");
        assert_eq!(answer("HEAD", ""), (get.clone(), 0..0));
        assert_eq!(answer("HEAD", "Range: bytes=0-1\r\n"), (get, 0..0));
    }

    #[test]
    fn a_variant_has_the_type_of_the_file_and_names_its_coding() {
        let (plain, _) = answer("GET", "");
        let (head, range) = answer_in(Some(Coding::Zstandard), "GET", "");
        assert_eq!(head.replace("Content-Encoding: zstd\r\n", ""), plain);
        assert_eq!(range, 0..1000);
        // 304 says which file it is about, and nothing of its content.
        let (head, _) = answer_in(Some(Coding::Zstandard), "GET", "If-None-Match: \"1-3e8-0\"\r\n");
        assert!(!head.contains("Content-"), "{head}");
        assert!(head.contains("\r\nVary: Accept-Encoding\r\n"), "{head}");
    }

    #[test]
    fn a_range_is_a_part_of_the_file() {
        let (head, range) = answer("GET", "Range: bytes=100-199\r\n");
        assert!(head.starts_with("HTTP/1.1 206 Partial Content\r\n"), "{head}");
        assert!(head.contains("\r\nContent-Range: bytes 100-199/1000\r\n"), "{head}");
        assert!(head.contains("\r\nContent-Length: 100\r\n"), "{head}");
        assert_eq!(range, 100..200);
    }

    #[test]
    fn a_range_of_an_older_file_gets_the_new_one_whole() {
        let (head, range) = answer("GET", "Range: bytes=1-2\r\nIf-Range: \"old\"\r\n");
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert_eq!(range, 0..1000);
    }

    #[test]
    fn a_range_beyond_the_file_names_its_length() {
        let (head, range) = answer("GET", "Range: bytes=1000-\r\n");
        assert!(head.starts_with("HTTP/1.1 416 Range Not Satisfiable\r\n"), "{head}");
        assert!(head.contains("\r\nContent-Range: bytes */1000\r\n"), "{head}");
        assert_eq!(range, 0..0);
    }

    #[test]
    fn what_the_client_has_is_not_sent_again() {
        let (head, range) = answer("GET", "If-None-Match: \"1-3e8-0\"\r\nRange: bytes=0-1\r\n");
        assert!(head.starts_with("HTTP/1.1 304 Not Modified\r\n"), "{head}");
        assert!(head.contains("\r\nETag: \"1-3e8-0\"\r\n"), "{head}");
        assert!(!head.contains("Content-Length"), "{head}");
        assert_eq!(range, 0..0);
    }

    #[test]
    fn a_failed_precondition_is_412() {
        let (head, range) = answer("GET", "If-Match: \"other\"\r\n");
        assert!(head.starts_with("HTTP/1.1 412 Precondition Failed\r\n"), "{head}");
        assert_eq!(range, 0..0);
    }

    #[test]
    fn types_follow_names() {
        for (name, expected) in [
            ("a.html", "text/html; charset=utf-8"),
            ("a.JS", "text/javascript; charset=utf-8"),
            ("a.png", "image/png"),
            ("a.tar.gz", "application/gzip"),
            ("a.svg", "image/svg+xml"),
            ("a.wasm", "application/wasm"),
            ("README", "application/octet-stream"),
            ("a.unheard-of", "application/octet-stream"),
        ] {
            assert_eq!(content_type(Path::new(name)).to_string(), expected, "{name}");
        }
    }
}
