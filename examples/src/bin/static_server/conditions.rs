//! Conditional requests (RFC 9110, section 13): the validators of a file, and what a request says about them.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use corering::fs::Metadata;
use httpdate::HttpDate;

use crate::fields::{Single, tokens};

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Validators {
    pub(crate) inode: u64,
    pub(crate) bytes: u64,
    pub(crate) modified: SystemTime,
}

/// The conditions of one request, as they were sent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Conditions<'a> {
    if_match: Single<'a>,
    if_none_match: Single<'a>,
    if_modified_since: Single<'a>,
    if_unmodified_since: Single<'a>,
    if_range: Single<'a>,
}

/// What the conditions decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Answer as if there were no condition.
    Proceed,
    /// The client has this very file: 304.
    NotModified,
    /// The client wants another file than this: 412.
    Failed,
}

impl Validators {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self { inode: metadata.ino(), bytes: metadata.len(), modified: metadata.modified() }
    }

    /// Whether this file was changed before the other one, by whole seconds: programs that copy the
    /// time of a file to another one may cut it there.
    pub(crate) fn is_older_than(&self, other: &Self) -> bool {
        self.modified_seconds() < other.modified_seconds()
    }

    /// The time of the last change in whole seconds, which is all that HTTP dates can say.
    fn modified_seconds(&self) -> u64 {
        self.modified.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
    }

    /// The value of `Last-Modified`.
    pub(crate) fn last_modified(&self) -> HttpDate {
        // HTTP dates end with the year 9999, and `HttpDate` panics beyond it.
        let seconds = self.modified_seconds().min(HTTP_DATE_SECONDS_MAX);
        HttpDate::from(UNIX_EPOCH + Duration::from_secs(seconds))
    }

    /// Whether `tag`, with its quotes and without `W/`, is the entity tag of this file.
    fn has_tag(&self, tag: &[u8]) -> bool {
        let mut own = TagText { bytes: [0; TAG_BYTES_MAX], length: 0 };
        fmt::write(&mut own, format_args!("{self}")).expect("the text holds any tag");
        &own.bytes[..own.length] == tag
    }
}

/// The entity tag: inode, length and time of change in nanoseconds. It is a strong one, since the
/// file systems of kernel 6.13 and later never give two states that were both looked at one time.
impl fmt::Display for Validators {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let modified = self.modified.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        write!(formatter, "\"{:x}-{:x}-{:x}\"", self.inode, self.bytes, modified.as_nanos())
    }
}

impl<'a> Conditions<'a> {
    /// Keeps the field if it is a condition.
    pub(crate) fn collect(&mut self, name: &str, value: &'a [u8]) {
        let field = if name.eq_ignore_ascii_case("if-none-match") {
            &mut self.if_none_match
        } else if name.eq_ignore_ascii_case("if-modified-since") {
            &mut self.if_modified_since
        } else if name.eq_ignore_ascii_case("if-range") {
            &mut self.if_range
        } else if name.eq_ignore_ascii_case("if-match") {
            &mut self.if_match
        } else if name.eq_ignore_ascii_case("if-unmodified-since") {
            &mut self.if_unmodified_since
        } else {
            return;
        };
        field.add(value);
    }

    /// Evaluates the conditions in the order of RFC 9110, section 13.2.2. A field that cannot be
    /// understood, or was sent twice, is treated as if it were not there; but a precondition of
    /// the client (`If-Match`) that cannot be understood is not met.
    pub(crate) fn verdict(&self, file: &Validators) -> Verdict {
        let holds = if !self.if_match.is_absent() {
            // Strong comparison: a weak tag never matches.
            self.if_match.once().is_some_and(|list| any_tag(list, |tag| file.has_tag(tag)))
        } else if let Some(date) = self.if_unmodified_since.once().and_then(seconds) {
            file.modified_seconds() <= date
        } else {
            true
        };
        if !holds {
            return Verdict::Failed;
        }
        let has_it = if !self.if_none_match.is_absent() {
            let weak = |tag: &[u8]| file.has_tag(tag.strip_prefix(b"W/").unwrap_or(tag));
            self.if_none_match.once().is_some_and(|list| any_tag(list, weak))
        } else if let Some(date) = self.if_modified_since.once().and_then(seconds) {
            file.modified_seconds() <= date
        } else {
            false
        };
        if has_it { Verdict::NotModified } else { Verdict::Proceed }
    }

    /// Whether a range may be served: without `If-Range` always, else only of the very same file.
    pub(crate) fn allow_range(&self, file: &Validators) -> bool {
        match self.if_range {
            Single::Absent => true,
            Single::Repeated => false,
            Single::Once(tag) if tag.ends_with(b"\"") => file.has_tag(tag),
            // Equal, not later: a client's date must be the one it was given.
            Single::Once(date) => seconds(date) == Some(file.modified_seconds()),
        }
    }
}

/// Whether the list is `*` or `matches` one of its entity tags. Tags of this server hold no comma,
/// so that one which does cannot match, and cutting it in two is harmless.
fn any_tag(list: &[u8], matches: impl Fn(&[u8]) -> bool) -> bool {
    list == b"*" || tokens(list).any(matches)
}

/// A date of HTTP, in any of its three forms, as seconds since 1970.
fn seconds(date: &[u8]) -> Option<u64> {
    let date = httpdate::parse_http_date(str::from_utf8(date).ok()?).ok()?;
    Some(date.duration_since(UNIX_EPOCH).ok()?.as_secs())
}

/// 9999-12-31 23:59:59, the last second that an HTTP date can name.
const HTTP_DATE_SECONDS_MAX: u64 = 253_402_300_799;

/// Two quotes, two dashes, 16 digits of inode, 16 of length, and 24 of nanoseconds (64 bits of
/// seconds times 10^9).
const TAG_BYTES_MAX: usize = 64;

/// An entity tag as text, without a heap allocation.
struct TagText {
    bytes: [u8; TAG_BYTES_MAX],
    length: usize,
}

impl fmt::Write for TagText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        let place = self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Modified at 2021-02-03 04:05:06.789 UTC.
    fn file() -> Validators {
        let modified = UNIX_EPOCH + Duration::from_millis(1_612_325_106_789);
        Validators { inode: 0x10, bytes: 0x20, modified }
    }

    const DATE: &str = "Wed, 03 Feb 2021 04:05:06 GMT";
    const BEFORE: &str = "Wed, 03 Feb 2021 04:05:05 GMT";
    const AFTER: &str = "Wed, 03 Feb 2021 04:05:07 GMT";

    fn conditions<'a>(fields: &[(&str, &'a str)]) -> Conditions<'a> {
        let mut conditions = Conditions::default();
        for (name, value) in fields {
            conditions.collect(name, value.as_bytes());
        }
        conditions
    }

    fn verdict(fields: &[(&str, &str)]) -> Verdict {
        conditions(fields).verdict(&file())
    }

    #[test]
    fn the_tag_of_any_file_fits() {
        let modified = UNIX_EPOCH + Duration::new(i64::MAX as u64, 999_999_999);
        let file = Validators { inode: u64::MAX, bytes: u64::MAX, modified };
        assert!(file.has_tag(file.to_string().as_bytes()));
        assert_eq!(file.last_modified().to_string(), "Fri, 31 Dec 9999 23:59:59 GMT");
        let modified = UNIX_EPOCH - Duration::from_secs(1);
        let file = Validators { inode: 0, bytes: 0, modified };
        assert_eq!(file.last_modified().to_string(), "Thu, 01 Jan 1970 00:00:00 GMT");
    }

    #[test]
    fn only_whole_seconds_make_a_file_older() {
        let at = |millis: u64| Validators {
            modified: UNIX_EPOCH + Duration::from_millis(1_612_325_106_000 + millis),
            ..file()
        };
        assert!(!at(0).is_older_than(&at(0)));
        assert!(!at(0).is_older_than(&at(999)));
        assert!(at(999).is_older_than(&at(1000)));
        assert!(!at(1000).is_older_than(&at(999)));
    }

    #[test]
    fn if_none_match_compares_weakly() {
        let tag = file().to_string();
        let weak = format!("W/{tag}");
        let list = format!("\"a,b\", W/\"c\",{tag}");
        for value in [&*tag, &weak, &list, "*"] {
            assert_eq!(verdict(&[("If-None-Match", value)]), Verdict::NotModified, "{value}");
        }
        for value in ["\"other\"", "", &tag[1..]] {
            assert_eq!(verdict(&[("if-none-match", value)]), Verdict::Proceed, "{value}");
        }
    }

    #[test]
    fn if_none_match_overrules_if_modified_since() {
        let fields = [("If-None-Match", "\"other\""), ("If-Modified-Since", DATE)];
        assert_eq!(verdict(&fields), Verdict::Proceed);
    }

    #[test]
    fn if_modified_since_takes_three_kinds_of_date() {
        let others = ["Wednesday, 03-Feb-21 04:05:06 GMT", "Wed Feb  3 04:05:06 2021"];
        for date in [DATE, AFTER, others[0], others[1]] {
            assert_eq!(verdict(&[("If-Modified-Since", date)]), Verdict::NotModified, "{date}");
        }
        for date in [BEFORE, "yesterday", "", "0"] {
            assert_eq!(verdict(&[("If-Modified-Since", date)]), Verdict::Proceed, "{date}");
        }
    }

    #[test]
    fn if_match_compares_strongly() {
        let tag = file().to_string();
        let weak = format!("W/{tag}");
        assert_eq!(verdict(&[("If-Match", &tag)]), Verdict::Proceed);
        assert_eq!(verdict(&[("If-Match", "*")]), Verdict::Proceed);
        assert_eq!(verdict(&[("If-Match", &weak)]), Verdict::Failed);
        assert_eq!(verdict(&[("If-Match", "\"other\"")]), Verdict::Failed);
        assert_eq!(verdict(&[("If-Unmodified-Since", DATE)]), Verdict::Proceed);
        assert_eq!(verdict(&[("If-Unmodified-Since", BEFORE)]), Verdict::Failed);
    }

    #[test]
    fn if_range_wants_the_very_same_file() {
        let tag = file().to_string();
        let weak = format!("W/{tag}");
        for value in [&*tag, DATE] {
            assert!(conditions(&[("If-Range", value)]).allow_range(&file()), "{value}");
        }
        for value in [&*weak, "\"other\"", BEFORE, AFTER, "nonsense"] {
            assert!(!conditions(&[("If-Range", value)]).allow_range(&file()), "{value}");
        }
        assert!(conditions(&[]).allow_range(&file()));
    }

    #[test]
    fn a_condition_sent_twice_gives_the_whole_file() {
        let tag = file().to_string();
        let fields = [("If-None-Match", &*tag), ("If-None-Match", &*tag)];
        assert_eq!(verdict(&fields), Verdict::Proceed);
        assert!(!conditions(&[("If-Range", &tag), ("If-Range", &tag)]).allow_range(&file()));
    }
}
