//! What is wrong with a read or write of a file opened with `O_DIRECT`.

use std::error::Error;
use std::fmt;
use std::io;
use std::os::fd::AsFd;

use super::DirectAlignment;
use crate::buf::{BufError, IoBuf};
use crate::driver::SharedFd;
use crate::op::position::Position;
use crate::sys::file;

/// Where a read or write begins in the file and in memory, and how long it is. Of several buffers
/// the numbers are joined bit by bit, which keeps what they are all a multiple of.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Extent {
    offset: u64,
    address: usize,
    len: usize,
}

impl Extent {
    pub(super) fn at(position: Position) -> Self {
        let offset = if let Position::At(offset) = position { offset } else { 0 };
        Extent { offset, ..Extent::default() }
    }

    /// With `len` bytes of a buffer, after its first `begin`.
    pub(super) fn with<B: IoBuf>(mut self, buf: &B, begin: usize, len: usize) -> Self {
        self.address |= buf.bytes_ptr().addr() + begin;
        self.len |= len;
        self
    }
    /// Why a read or write of these bytes has failed. If the kernel finds it invalid and the file was
    /// opened with `O_DIRECT`, the file system is asked what alignment it needs.
    pub(super) fn explain<B>(self, fd: &SharedFd, mut failed: BufError<B>) -> BufError<B> {
        let is_invalid = failed.error.raw_os_error() == Some(libc::EINVAL);
        if is_invalid && file::is_direct(fd.as_fd()) {
            let needed = file::asked_for_direct(fd.as_fd());
            let needed = needed.and_then(|answer| DirectAlignment::of(&answer));
            if let Some(misaligned) = Misaligned::new(self, needed) {
                failed.error = io::Error::new(io::ErrorKind::InvalidInput, misaligned);
            }
        }
        failed
    }
}

/// What suits nearly every disk.
const USUAL: DirectAlignment = DirectAlignment { memory: 4096, offset: 4096 };

/// A read or write of a file opened with `O_DIRECT` that was not aligned as it must be.
#[derive(Debug)]
struct Misaligned {
    extent: Extent,
    /// What the file system says it needs; before Linux 6.1 none does.
    needed: Option<DirectAlignment>,
}

impl Misaligned {
    /// `None` if nothing is wrong with the alignment, so that the error has another reason.
    fn new(extent: Extent, needed: Option<DirectAlignment>) -> Option<Self> {
        let misaligned = Misaligned { extent, needed };
        (!misaligned.faults().is_empty()).then_some(misaligned)
    }

    fn faults(&self) -> Vec<String> {
        let DirectAlignment { memory, offset } = self.needed.unwrap_or(USUAL);
        let Extent { offset: begin, address, len } = self.extent;
        let mut faults = Vec::new();
        if !begin.is_multiple_of(offset.into()) {
            faults.push(format!("the offset is {begin}"));
        }
        if !len.is_multiple_of(offset as usize) {
            faults.push(format!("the length is a multiple of {} only", lowest_bit(len)));
        }
        if !address.is_multiple_of(memory as usize) {
            faults.push(format!("the memory is aligned to {} only", lowest_bit(address)));
        }
        faults
    }
}

/// Whether an error is that of a wrong alignment.
pub(super) fn is_misaligned(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|error| error.is::<Misaligned>())
}

/// The greatest power of two that divides a number.
fn lowest_bit(number: usize) -> usize {
    number & number.wrapping_neg()
}

impl fmt::Display for Misaligned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults = self.faults().join(", ");
        match self.needed {
            Some(DirectAlignment { memory, offset }) => write!(
                f,
                "the file was opened with O_DIRECT and needs offsets and lengths that are multiples \
                 of {offset}, and memory aligned to {memory} (AlignedBuf), but {faults}"
            ),
            None => write!(
                f,
                "the file was opened with O_DIRECT, and its file system does not say what alignment \
                 it needs; {} suits nearly every disk (AlignedBuf), but {faults}",
                USUAL.offset
            ),
        }
    }
}

impl Error for Misaligned {}

#[cfg(test)]
mod tests {
    use super::*;

    const DISK: Option<DirectAlignment> = Some(DirectAlignment { memory: 4, offset: 512 });

    fn complaint(
        offset: u64,
        address: usize,
        len: usize,
        needed: Option<DirectAlignment>,
    ) -> Option<String> {
        let misaligned = Misaligned::new(Extent { offset, address, len }, needed);
        misaligned.map(|misaligned| misaligned.to_string())
    }

    #[test]
    fn what_is_aligned_is_not_complained_about() {
        assert_eq!(complaint(1024, 4, 512, DISK), None);
        assert_eq!(complaint(0, 0, 0, DISK), None);
        assert_eq!(complaint(8192, 4096, 4096, None), None);
    }

    #[test]
    fn a_complaint_names_what_is_needed_and_what_is_wrong() {
        let text = complaint(100, 4096, 512, DISK).expect("the offset is wrong");
        assert!(text.contains("multiples of 512"), "{text}");
        assert!(text.ends_with("but the offset is 100"), "{text}");
        let text = complaint(512, 1026, 1000, DISK).expect("length and memory are wrong");
        assert!(text.contains("aligned to 4 "), "{text}");
        let faults = "the length is a multiple of 8 only, the memory is aligned to 2 only";
        assert!(text.ends_with(faults), "{text}");
    }

    #[test]
    fn where_nobody_says_what_is_needed_the_usual_is_named() {
        let text = complaint(512, 4096, 4096, None).expect("it is not usual");
        assert!(text.contains("does not say"), "{text}");
        assert!(text.contains("4096 suits"), "{text}");
    }
}
