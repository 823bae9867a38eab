//! The Range header (RFC 9110, section 14): which bytes of a file a request wants.

use std::ops::Range;

use crate::fields::{equals, tokens};

/// Ranges in one request beyond which they are ignored. A client that seeks in an archive or resumes
/// a download asks for a few; each costs a head of its own.
const RANGES_MAX: usize = 16;

/// What to send of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All of it. A header that cannot be understood, or that asks for many ranges or for bytes twice,
    /// is ignored, as RFC 9110 allows: the client gets more than it asked for, never less.
    Whole,
    /// These bytes, at least one.
    Part(Range<u64>),
    /// Two parts or more, in the order in which they were asked for. No two have a byte in common.
    Parts(Vec<Range<u64>>),
    /// Bytes that the file does not have: 416.
    Nothing,
}

/// Reads the value of a Range header for a file of `bytes`.
pub(crate) fn wanted(value: &[u8], bytes: u64) -> Wanted {
    let Some(set) = range_set(value) else { return Wanted::Whole };
    let mut parts = Vec::new();
    for (index, range) in tokens(set).enumerate() {
        if index == RANGES_MAX {
            return Wanted::Whole;
        }
        match one(range, bytes) {
            Wanted::Part(part) => parts.push(part),
            // The others may still be there.
            Wanted::Nothing => {}
            Wanted::Whole | Wanted::Parts(_) => return Wanted::Whole,
        }
    }
    match &parts[..] {
        [] if tokens(set).next().is_none() => Wanted::Whole,
        [] => Wanted::Nothing,
        [part] => Wanted::Part(part.clone()),
        _ if overlap(&parts) => Wanted::Whole,
        _ => Wanted::Parts(parts),
    }
}

/// Reads one range: never more than a part.
fn one(range: &[u8], bytes: u64) -> Wanted {
    let Some((first, last)) = ends(range) else { return Wanted::Whole };
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

/// The list after `bytes=`.
fn range_set(value: &[u8]) -> Option<&[u8]> {
    let equal = value.iter().position(|byte| *byte == b'=')?;
    equals(value[..equal].trim_ascii(), "bytes").then(|| &value[equal + 1..])
}

/// The two numbers of `first-last`, either of which may be missing.
fn ends(range: &[u8]) -> Option<(Option<u64>, Option<u64>)> {
    let dash = range.iter().position(|byte| *byte == b'-')?;
    Some((number(&range[..dash])?, number(&range[dash + 1..])?))
}

fn overlap(parts: &[Range<u64>]) -> bool {
    let mut sorted: Vec<_> = parts.iter().collect();
    sorted.sort_unstable_by_key(|part| part.start);
    sorted.windows(2).any(|pair| pair[0].end > pair[1].start)
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
    fn several_ranges_are_parts_in_their_order() {
        for (value, parts) in [
            ("bytes=0-1,5-9", vec![0..2, 5..10]),
            ("bytes=-1,0-0", vec![99..100, 0..1]),
            ("bytes= 50- , 0-49 ", vec![50..100, 0..50]),
            ("bytes=,0-0,,2-2,", vec![0..1, 2..3]),
            ("bytes=0-0,100-,2-2", vec![0..1, 2..3]),
        ] {
            assert_eq!(wanted(value.as_bytes(), 100), Wanted::Parts(parts), "{value}");
        }
        // One that is left is a part like any other.
        assert_eq!(wanted(b"bytes=0-0,100-200", 100), Wanted::Part(0..1));
        assert_eq!(wanted(b"bytes=100-,200-", 100), Wanted::Nothing);
    }

    #[test]
    fn bytes_asked_for_twice_are_the_whole_file() {
        for value in ["bytes=0-5,5-9", "bytes=0-0,0-0", "bytes=0-,-1", "bytes=9-9,0-10,20-30"] {
            assert_eq!(wanted(value.as_bytes(), 100), Wanted::Whole, "{value}");
        }
    }

    #[test]
    fn many_ranges_are_the_whole_file() {
        let ranges = |count: u64| {
            let ranges: Vec<_> = (0..count).map(|n| format!("{0}-{0}", 2 * n)).collect();
            format!("bytes={}", ranges.join(","))
        };
        let few = wanted(ranges(16).as_bytes(), 100);
        assert!(matches!(&few, Wanted::Parts(parts) if parts.len() == 16), "{few:?}");
        assert_eq!(wanted(ranges(17).as_bytes(), 100), Wanted::Whole);
        // Those that the file does not have count, too.
        let value = format!("bytes=0-0{}", ",100-".repeat(16));
        assert_eq!(wanted(value.as_bytes(), 100), Wanted::Whole);
    }

    #[test]
    fn what_is_no_range_is_ignored() {
        for value in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=5-4",
            "bytes=a-b",
            "bytes=,",
            "bytes=0-1,3-4,x",
            "bytes=0-1;3-4",
            "bytes=0-1,5-4",
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
