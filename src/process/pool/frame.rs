//! What goes between a pool and a worker: frames of a length, a kind and a body. Requests and answers
//! are `postcard`'s; what both sides say at first is laid out here.
//!
//! A worker has one frame at a time to answer, and answers with one.

use postcard::ser_flavors::Flavor;
use serde::Serialize;

/// The length of the body and the kind of a frame, each of four bytes.
pub(super) const HEADER: usize = 8;

/// What a frame of the pool says, beside the index of a function.
pub(super) const HELLO: u32 = u32::MAX;

/// What a frame of a worker says.
pub(super) const ANSWER: u32 = 0;
pub(super) const PANICKED: u32 = 1;
pub(super) const BAD_REQUEST: u32 = 2;
pub(super) const BAD_ANSWER: u32 = 3;
pub(super) const TOO_LARGE: u32 = 4;
pub(super) const READY: u32 = 5;
pub(super) const CANNOT_SERVE: u32 = 6;

/// The first bytes of what both sides say at first. The digit is the version of what follows.
const MAGIC: [u8; 8] = *b"corerng1";

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) len: usize,
    pub(super) kind: u32,
}

impl Header {
    /// `None` if there are fewer bytes than a header has.
    pub(super) fn of(bytes: &[u8]) -> Option<Header> {
        let (len, rest) = bytes.split_first_chunk::<4>()?;
        let kind = rest.first_chunk::<4>()?;
        Some(Header { len: u32::from_le_bytes(*len) as usize, kind: u32::from_le_bytes(*kind) })
    }
}

/// Room for a header, behind which the body goes.
pub(super) fn begin(mut memory: Vec<u8>) -> Vec<u8> {
    memory.clear();
    memory.resize(HEADER, 0);
    memory
}

/// Writes the header of a frame whose body has been appended.
pub(super) fn finish(mut frame: Vec<u8>, kind: u32) -> Vec<u8> {
    let len = u32::try_from(frame.len() - HEADER).expect("a body is within the limit of messages");
    frame[..4].copy_from_slice(&len.to_le_bytes());
    frame[4..HEADER].copy_from_slice(&kind.to_le_bytes());
    frame
}

/// A whole frame.
pub(super) fn of(kind: u32, body: &[u8]) -> Vec<u8> {
    let mut frame = begin(Vec::with_capacity(HEADER + body.len()));
    frame.extend_from_slice(body);
    finish(frame, kind)
}

/// A body would be larger than messages may be.
#[derive(Debug)]
pub(super) struct TooLarge;

/// Appends a value to a frame whose body may have `max` bytes.
pub(super) fn append<T: Serialize>(
    value: &T,
    frame: Vec<u8>,
    max: usize,
) -> Result<Vec<u8>, Result<TooLarge, postcard::Error>> {
    let body = Body { end_max: frame.len() + max, frame };
    postcard::serialize_with_flavor(value, body).map_err(|error| match error {
        postcard::Error::SerializeBufferFull => Ok(TooLarge),
        error => Err(error),
    })
}

/// A frame that grows up to a limit.
struct Body {
    frame: Vec<u8>,
    end_max: usize,
}

impl Flavor for Body {
    type Output = Vec<u8>;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        if bytes.len() > self.end_max - self.frame.len() {
            return Err(postcard::Error::SerializeBufferFull);
        }
        self.frame.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<Vec<u8>> {
        Ok(self.frame)
    }
}

/// What a pool says first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    /// The table's.
    pub(super) checksum: u64,
    /// Bytes of a body.
    pub(super) message_max: u32,
    /// Bytes of address space. `None`: without limit.
    pub(super) memory_max: Option<u64>,
}

impl Hello {
    pub(super) fn to_frame(self) -> Vec<u8> {
        let numbers =
            [self.checksum, u64::from(self.message_max), self.memory_max.unwrap_or(u64::MAX)];
        let numbers = numbers.iter().flat_map(|number| number.to_le_bytes());
        of(HELLO, &MAGIC.into_iter().chain(numbers).collect::<Vec<u8>>())
    }

    pub(super) fn of(body: &[u8]) -> Option<Hello> {
        let [checksum, message_max, memory_max] = numbers_of(body)?;
        let memory_max = Some(memory_max).filter(|bytes| *bytes != u64::MAX);
        Some(Hello { checksum, message_max: message_max.try_into().ok()?, memory_max })
    }
}

/// What a worker says first: the checksum of its own table.
pub(super) fn ready(checksum: u64) -> Vec<u8> {
    of(READY, &[MAGIC, checksum.to_le_bytes()].concat())
}

/// The checksum of the worker's table.
pub(super) fn checksum_of(body: &[u8]) -> Option<u64> {
    numbers_of::<1>(body).map(|[checksum]| checksum)
}

/// The numbers behind the magic.
fn numbers_of<const N: usize>(body: &[u8]) -> Option<[u64; N]> {
    let (numbers, rest) = body.strip_prefix(&MAGIC)?.as_chunks::<8>();
    let numbers: [[u8; 8]; N] = numbers.try_into().ok()?;
    rest.is_empty().then(|| numbers.map(u64::from_le_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hello_comes_back_as_it_was_said() {
        for memory_max in [None, Some(1 << 40)] {
            let hello = Hello { checksum: 7, message_max: 9, memory_max };
            let frame = hello.to_frame();
            let header = Header::of(&frame).expect("it is whole");
            assert_eq!(header, Header { len: frame.len() - HEADER, kind: HELLO });
            assert_eq!(Hello::of(&frame[HEADER..]), Some(hello));
        }
    }

    #[test]
    fn other_bytes_are_neither_hello_nor_ready() {
        let hello = Hello { checksum: 7, message_max: 9, memory_max: None }.to_frame();
        let mut other = hello[HEADER..].to_vec();
        other[7] ^= 1;
        for body in [&other[..], &hello[HEADER..hello.len() - 1], b"", b"corerng1"] {
            assert_eq!((Hello::of(body), checksum_of(body)), (None, None));
        }
        assert_eq!(checksum_of(&ready(11)[HEADER..]), Some(11));
    }

    #[test]
    fn body_ends_at_its_limit() {
        let frame = |max| append(&"abc", begin(Vec::new()), max);
        assert_eq!(frame(4).expect("a length and three bytes").len(), HEADER + 4);
        assert!(matches!(frame(3), Err(Ok(TooLarge))));
    }
}
