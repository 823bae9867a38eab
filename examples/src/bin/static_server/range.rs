//! The Range header (RFC 9110, section 14): which bytes of a file a request wants.

use std::ops::Range;

use crate::fields::equals;

/// What to send of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All of it. A header that cannot be understood, and one that asks for several ranges, are
    /// ignored, as RFC 9110 allows: the client gets more than it asked for, never less.
    Whole,
    /// These bytes, at least one.
    Part(Range<u64>),
    /// Bytes that the file does not have: 416.
    Nothing,
}

/// Reads the value of a Range header for a file of `bytes`.
pub(crate) fn wanted(value: &[u8], bytes: u64) -> Wanted {
    let Some((first, last)) = single_range(value) else { return Wanted::Whole };
    match (first, last) {
        (Some(first), Some(last)) if first > last => Wanted::Whole,
        (Some(first), _) if first >= bytes => Wanted::Nothing,
        (Some(first), Some(last)) => Wanted::Part(first..last.saturating_add(1).min(bytes)),
        (Some(first), None) => Wanted::Part(first..bytes),
        (None, Some(0)) => Wanted::Nothing,
        // The last bytes of an empty file are the whole file, and no range can name them.
        (None, Some(_)) if bytes == 0 => Wanted::Whole,
        (None, Some(count)) => Wanted::Part(bytes.saturating_sub(count)..bytes),
        (None, None) => Wanted::Whole,
    }
}

/// The two numbers of `bytes=first-last`, either of which may be missing.
fn single_range(value: &[u8]) -> Option<(Option<u64>, Option<u64>)> {
    let equal = value.iter().position(|byte| *byte == b'=')?;
    let (unit, range) = (&value[..equal], value[equal + 1..].trim_ascii());
    if !equals(unit.trim_ascii(), "bytes") {
        return None;
    }
    let dash = range.iter().position(|byte| *byte == b'-')?;
    Some((number(&range[..dash])?, number(&range[dash + 1..])?))
}

/// A decimal number, if any is there. One that does not fit is larger than any file.
fn number(digits: &[u8]) -> Option<Option<u64>> {
    if digits.is_empty() {
        return Some(None);
    }
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = str::from_utf8(digits).ok()?;
    Some(Some(digits.parse().unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_ranges_are_cut_to_the_file() {
        for (value, part) in [
            ("bytes=0-0", 0..1),
            ("bytes=0-99", 0..100),
            ("bytes=0-100", 0..100),
            ("bytes=99-", 99..100),
            ("bytes=-1", 99..100),
            ("bytes=-100", 0..100),
            ("bytes=-101", 0..100),
            ("Bytes= 10-19 ", 10..20),
            ("bytes=1-18446744073709551615", 1..100),
            ("bytes=1-99999999999999999999999", 1..100),
        ] {
            assert_eq!(wanted(value.as_bytes(), 100), Wanted::Part(part), "{value}");
        }
    }

    #[test]
    fn a_range_beyond_the_file_is_nothing() {
        for value in ["bytes=100-", "bytes=100-200", "bytes=-0", "bytes=99999999999999999999999-"] {
            assert_eq!(wanted(value.as_bytes(), 100), Wanted::Nothing, "{value}");
        }
        assert_eq!(wanted(b"bytes=0-", 0), Wanted::Nothing);
    }

    #[test]
    fn what_is_no_single_range_is_ignored() {
        for value in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=5-4",
            "bytes=a-b",
            "bytes=0-1,3-4",
            "lines=0-1",
            "bytes=0 -1",
            "bytes=+1-2",
            "bytes=--1",
            "0-1",
        ] {
            assert_eq!(wanted(value.as_bytes(), 100), Wanted::Whole, "{value}");
        }
        assert_eq!(wanted(b"bytes=-5", 0), Wanted::Whole);
    }
}
