//! Bodies of HTTP answers, of either version: each is compared, byte by byte as it arrives, with that of
//! the first answer.

use std::sync::OnceLock;

use super::exchange::Refusal;
use super::http::wrong;
use crate::server;

/// What has arrived of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// The number of bytes received, all equal to those of the first answer.
    Compared(usize),
    /// The bytes received so far, until the first answer is whole and later ones are compared with it.
    Collected(Vec<u8>),
}

impl Body {
    /// Nothing yet of a body that is to have `length` bytes, if its head said so.
    pub(super) fn begin(first: &OnceLock<Vec<u8>>, length: Option<usize>) -> Result<Self, Refusal> {
        match (first.get(), length) {
            (None, _) => Ok(Body::Collected(Vec::new())),
            (Some(first), Some(length)) if length != first.len() => {
                wrong(&other_length(length, first.len()))
            }
            (Some(_), _) => Ok(Body::Compared(0)),
        }
    }

    /// Receives the next bytes of the body.
    pub(super) fn take(&mut self, first: &OnceLock<Vec<u8>>, bytes: &[u8]) -> Result<(), Refusal> {
        match self {
            Body::Collected(collected) => collected.extend_from_slice(bytes),
            Body::Compared(position) => {
                let first = first.get().expect("there is something to compare with");
                let end = *position + bytes.len();
                match first.get(*position..end) {
                    Some(expected) if expected == bytes => *position = end,
                    Some(_) => return wrong("got a body that differs from the first one"),
                    None => return wrong(&other_length(end, first.len())),
                }
            }
        }
        Ok(())
    }

    /// That was all: of the first answer, what the others are compared with.
    pub(super) fn finish(&mut self, first: &OnceLock<Vec<u8>>) -> Result<(), Refusal> {
        match self {
            Body::Compared(count) => {
                let expected = first.get().expect("there is something to compare with").len();
                if *count != expected {
                    return wrong(&other_length(*count, expected));
                }
            }
            // Another connection may have been first in the meantime.
            Body::Collected(body) => {
                if first.get_or_init(|| body.clone()) != body {
                    return wrong("got a body that differs from the first one");
                }
            }
        }
        Ok(())
    }

    /// Bytes that have arrived.
    pub(super) fn len(&self) -> usize {
        match self {
            Body::Compared(count) => *count,
            Body::Collected(body) => body.len(),
        }
    }
}

/// What each body was compared with.
pub(super) fn verified(first: &OnceLock<Vec<u8>>) -> String {
    match first.get() {
        None => "there was no answer".to_owned(),
        Some(first) if *first == server::body(first.len()) => {
            format!("each body was what `serve` answers with, {} bytes", first.len())
        }
        Some(first) => format!("each body was that of the first answer, {} bytes", first.len()),
    }
}

fn other_length(length: usize, first: usize) -> String {
    format!("got a body of {length} bytes, while the first one had {first}")
}
