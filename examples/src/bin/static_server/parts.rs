//! The content of an answer to a request for several ranges: multipart/byteranges (RFC 9110,
//! section 14.6).

use std::fmt::Display;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::Range;

/// Parts of a file, each with a head of its own.
#[derive(Debug)]
pub(crate) struct Parts {
    boundary: String,
    /// What stands before each part.
    parts: Vec<(Vec<u8>, Range<u64>)>,
    end: String,
}

impl Parts {
    /// Parts of a file of `bytes`, each of which `fields` announce: whole lines.
    pub(crate) fn new(ranges: Vec<Range<u64>>, bytes: u64, fields: &[u8]) -> Self {
        // A file that holds the boundary would end a part early. It is random, so that no such file
        // can be prepared.
        let boundary = format!("{:016x}", RandomState::new().build_hasher().finish());
        let mut line_end = "";
        let parts = ranges.into_iter().map(|range| {
            let (first, last) = (range.start, range.end - 1);
            let mut head = format!("{line_end}--{boundary}\r\n").into_bytes();
            head.extend_from_slice(fields);
            let named = format!("Content-Range: bytes {first}-{last}/{bytes}\r\n\r\n");
            head.extend_from_slice(named.as_bytes());
            line_end = "\r\n";
            (head, range)
        });
        Self { parts: parts.collect(), end: format!("\r\n--{boundary}--\r\n"), boundary }
    }

    pub(crate) fn content_type(&self) -> impl Display {
        format!("multipart/byteranges; boundary={}", self.boundary)
    }

    pub(crate) fn content_length(&self) -> u64 {
        let part =
            |(head, range): &(Vec<u8>, Range<u64>)| head.len() as u64 + range.end - range.start;
        self.parts.iter().map(part).sum::<u64>() + self.end.len() as u64
    }

    /// What stands before each part, and which bytes of the file it has.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], Range<u64>)> {
        self.parts.iter().map(|(head, range)| (&**head, range.clone()))
    }

    /// What stands behind the last part.
    pub(crate) fn end(&self) -> &str {
        &self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_stand_between_boundaries_and_are_counted() {
        let parts = Parts::new(vec![5..10, 0..1], 100, b"Content-Type: text/html\r\n");
        let mut content = String::new();
        for (head, range) in parts.iter() {
            content += str::from_utf8(head).unwrap();
            content.extend(range.map(|_| 'x'));
        }
        content += parts.end();
        assert_eq!(parts.content_length(), content.len() as u64);
        let content_type = parts.content_type().to_string();
        let (_, boundary) = content_type.split_once("boundary=").unwrap();
        let expected = format!(
            "--{boundary}\r\n\
             Content-Type: text/html\r\n\
             Content-Range: bytes 5-9/100\r\n\r\n\
             xxxxx\r\n\
             --{boundary}\r\n\
             Content-Type: text/html\r\n\
             Content-Range: bytes 0-0/100\r\n\r\n\
             x\r\n\
             --{boundary}--\r\n"
        );
        assert_eq!(content, expected);
    }

    #[test]
    fn each_answer_has_another_boundary() {
        let content_type = || Parts::new(vec![0..1, 2..3], 9, b"").content_type().to_string();
        assert_ne!(content_type(), content_type());
    }
}
