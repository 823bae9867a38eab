//! What header fields have in common: names and tokens without case, comma lists, fields that may stand once.

/// A field that may stand once. One that is sent twice has no value that can be trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Single<'a> {
    #[default]
    Absent,
    Once(&'a [u8]),
    Repeated,
}

impl<'a> Single<'a> {
    pub(crate) fn add(&mut self, value: &'a [u8]) {
        *self = match self {
            Single::Absent => Single::Once(value),
            Single::Once(_) | Single::Repeated => Single::Repeated,
        };
    }

    /// The value, if the field was sent exactly once.
    pub(crate) fn once(self) -> Option<&'a [u8]> {
        match self {
            Single::Once(value) => Some(value),
            Single::Absent | Single::Repeated => None,
        }
    }

    pub(crate) fn is_absent(self) -> bool {
        self == Single::Absent
    }

    pub(crate) fn is_repeated(self) -> bool {
        self == Single::Repeated
    }
}

/// Whether `value` is `expected`, without regard to case.
pub(crate) fn equals(value: &[u8], expected: &str) -> bool {
    value.eq_ignore_ascii_case(expected.as_bytes())
}

/// The members of a comma list, without the space around them. Quoted commas are not known here.
pub(crate) fn tokens(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}
