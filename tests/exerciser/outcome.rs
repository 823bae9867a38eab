//! What an operation answers, in a form that can be compared.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

pub(crate) type Outcome = Result<Answer, Refusal>;

#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Nothing,
    /// The slot of the operation is empty.
    NoFile,
    Number(u64),
    Bytes(Vec<u8>),
    Facts(Facts),
    Truth(bool),
    Path(PathBuf),
    /// Names and kinds, sorted.
    Entries(Vec<(PathBuf, char)>),
}

/// What is known of a file. Blocks are not among it: they depend on when what was written is placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// `f`, `d`, `l`, or `?`.
    pub(crate) kind: char,
    pub(crate) mode: u32,
    /// 0 of a folder.
    pub(crate) len: u64,
    pub(crate) nlink: u64,
}

/// An error.
#[derive(Clone)]
pub(crate) struct Refusal {
    kind: ErrorKind,
    errno: Option<i32>,
    text: String,
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, errno {:?}: {}", self.kind, self.errno, self.text)
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Refusal { kind: error.kind(), errno: error.raw_os_error(), text: error.to_string() }
    }
}

/// Whether both answers are the same. An error that one side found without asking the kernel has no
/// number.
pub(crate) fn agree(ours: &Outcome, theirs: &Outcome) -> bool {
    match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => ours == theirs,
        (Err(ours), Err(theirs)) => {
            let numbered = ours.errno.zip(theirs.errno);
            ours.kind == theirs.kind && numbered.is_none_or(|(ours, theirs)| ours == theirs)
        }
        _ => false,
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Nothing => f.write_str("done"),
            Answer::NoFile => f.write_str("no file is open"),
            Answer::Number(number) => write!(f, "{number}"),
            Answer::Bytes(bytes) => {
                // Whole contents would hide where they differ.
                let sum =
                    bytes.iter().fold(0_u64, |sum, &byte| sum * 31 % 1_000_003 + u64::from(byte));
                let start = &bytes[..bytes.len().min(16)];
                write!(f, "{} bytes, sum {sum}, {start:?}..", bytes.len())
            }
            Answer::Facts(facts) => write!(f, "{facts:?}"),
            Answer::Truth(truth) => write!(f, "{truth}"),
            Answer::Path(path) => write!(f, "{path:?}"),
            Answer::Entries(entries) => write!(f, "{entries:?}"),
        }
    }
}
