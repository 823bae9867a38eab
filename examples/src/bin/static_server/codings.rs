//! The Accept-Encoding header (RFC 9110, section 12.5.3): in which codings a client takes a file.

use crate::fields::{equals, tokens};

/// A coding in which a file may lie beside itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Brotli,
    Zstandard,
    Gzip,
}

impl Coding {
    /// All, the one first that usually makes the smallest files.
    pub(crate) const ALL: [Coding; 3] = [Coding::Brotli, Coding::Zstandard, Coding::Gzip];

    /// As Content-Encoding names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Coding::Brotli => "br",
            Coding::Zstandard => "zstd",
            Coding::Gzip => "gzip",
        }
    }

    /// What the names of its files end with.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Coding::Brotli => ".br",
            Coding::Zstandard => ".zst",
            Coding::Gzip => ".gz",
        }
    }

    fn named(name: &[u8]) -> Option<Self> {
        // RFC 9110 demands that the old name is taken for the same.
        let name = if equals(name, "x-gzip") { b"gzip" } else { name };
        Self::ALL.into_iter().find(|coding| equals(name, coding.name()))
    }
}

/// What the Accept-Encoding lines of a request say together: weights in thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Accepted {
    /// In the order of `Coding::ALL`.
    codings: [Option<u16>; 3],
    /// The file as it is.
    identity: Option<u16>,
    /// What is not named.
    others: Option<u16>,
}

impl Accepted {
    /// Adds a line. Members that cannot be understood are ignored, and so are unknown codings.
    pub(crate) fn collect(&mut self, value: &[u8]) {
        for member in tokens(value) {
            let Some((name, weight)) = weighted(member) else { continue };
            if let Some(coding) = Coding::named(name) {
                self.codings[coding as usize] = Some(weight);
            } else if equals(name, "identity") {
                self.identity = Some(weight);
            } else if name == b"*" {
                self.others = Some(weight);
            }
        }
    }

    /// The codings that the client takes, the most wanted first, and none that it wants less than the
    /// file as it is.
    pub(crate) fn preferred(&self) -> impl Iterator<Item = Coding> {
        let weight = |coding: &Coding| self.codings[*coding as usize].or(self.others).unwrap_or(0);
        let mut codings = Coding::ALL;
        codings.sort_by_key(|coding| std::cmp::Reverse(weight(coding)));
        let least = self.identity.unwrap_or(0).max(1);
        codings.into_iter().filter(move |coding| weight(coding) >= least)
    }
}

/// The name and the weight of a member: `name` or `name;q=weight`.
fn weighted(member: &[u8]) -> Option<(&[u8], u16)> {
    let Some(at) = member.iter().position(|byte| *byte == b';') else {
        return Some((member, WEIGHT_MAX));
    };
    let (name, parameter) = (member[..at].trim_ascii(), member[at + 1..].trim_ascii());
    let (q, value) = parameter.split_at_checked(2)?;
    equals(q, "q=").then(|| weight(value))?.map(|weight| (name, weight))
}

/// Reads a weight: 0 or 1, with up to three digits after the point.
fn weight(text: &[u8]) -> Option<u16> {
    let (whole, fraction) = match text.split_first()? {
        (b'0', fraction) => (0, fraction),
        (b'1', fraction) => (WEIGHT_MAX, fraction),
        _ => return None,
    };
    let digits = match fraction {
        [] => fraction,
        [b'.', digits @ ..] if digits.len() <= 3 && digits.iter().all(u8::is_ascii_digit) => digits,
        _ => return None,
    };
    let digit = |place| digits.get(place).map_or(0, |digit| u16::from(digit - b'0'));
    let weight = whole + 100 * digit(0) + 10 * digit(1) + digit(2);
    (weight <= WEIGHT_MAX).then_some(weight)
}

const WEIGHT_MAX: u16 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn preferred(lines: &[&str]) -> Vec<&'static str> {
        let mut accepted = Accepted::default();
        lines.iter().for_each(|line| accepted.collect(line.as_bytes()));
        accepted.preferred().map(Coding::name).collect()
    }

    #[test]
    fn codings_come_by_weight_and_then_by_size() {
        for (line, expected) in [
            ("gzip, deflate, br, zstd", &["br", "zstd", "gzip"][..]),
            ("gzip", &["gzip"]),
            ("x-gzip", &["gzip"]),
            ("GZIP;Q=0.5 , Br ; q=0.25", &["gzip", "br"]),
            ("br;q=0.001, gzip;q=0.002, zstd;q=1.000", &["zstd", "gzip", "br"]),
            ("*", &["br", "zstd", "gzip"]),
            ("*;q=0.5, gzip", &["gzip", "br", "zstd"]),
            ("*;q=1, br;q=0", &["zstd", "gzip"]),
            ("gzip;q=0", &[]),
            ("deflate, compress", &[]),
            ("", &[]),
        ] {
            assert_eq!(preferred(&[line]), expected, "{line}");
        }
        assert_eq!(preferred(&[]), [""; 0]);
    }

    #[test]
    fn plain_files_are_sent_where_they_are_wanted_more() {
        for (line, expected) in [
            ("identity", &[][..]),
            ("identity, gzip;q=0.9", &[]),
            ("identity;q=0.5, gzip;q=0.5, br;q=0.4", &["gzip"]),
            ("identity;q=0, gzip;q=0.1", &["gzip"]),
            ("identity;q=0", &[]),
        ] {
            assert_eq!(preferred(&[line]), expected, "{line}");
        }
    }

    #[test]
    fn several_lines_are_one_list() {
        assert_eq!(preferred(&["gzip", "br;q=0.5"]), ["gzip", "br"]);
    }

    #[test]
    fn members_without_sense_are_ignored() {
        for member in [
            "gzip;q=2",
            "gzip;q=1.001",
            "gzip;q=0.0001",
            "gzip;q=-1",
            "gzip;q=.5",
            "gzip;q=",
            "gzip;level=9",
            "gzip;",
            "gzip br",
            ";q=1",
            "\u{e9}",
        ] {
            assert_eq!(preferred(&[member, "br"]), ["br"], "{member}");
        }
    }
}
