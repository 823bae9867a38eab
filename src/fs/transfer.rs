//! Reads and writes, as they are or until all is done, and the explanation of a wrong alignment.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::DirectAlignment;
use crate::buf::{BufError, BufResult, IoBuf};
use crate::driver::{Expire, Operation, SharedFd, Submit, submit};
use crate::op::{position::Position, statx::Statx};
use crate::sys::file::is_direct;

/// One read or write. If the kernel finds it invalid and the file was opened with `O_DIRECT`, the
/// file system is asked what alignment it needs.
pub(super) struct Transfer<O: Operation, B> {
    stage: Stage<O, B>,
    fd: SharedFd,
    extent: Extent,
}

enum Stage<O: Operation, B> {
    Moving(Submit<O>),
    /// The error is `None` once it was told.
    Asking(Submit<Statx>, Option<BufError<B>>),
    /// Not begun, for this reason; `None` once it was told.
    Refused(Option<BufError<B>>),
}

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
}

impl<O, B> Transfer<O, B>
where
    O: Operation<Output = BufResult<usize, B>>,
{
    pub(super) fn new(fd: &SharedFd, operation: O, extent: Extent) -> Self {
        Transfer { stage: Stage::Moving(submit(operation)), fd: fd.clone(), extent }
    }

    /// One that cannot begin.
    pub(super) fn refused(fd: &SharedFd, failed: BufError<B>) -> Self {
        let stage = Stage::Refused(Some(failed));
        Transfer { stage, fd: fd.clone(), extent: Extent::default() }
    }
}

impl<O, B: Unpin> Future for Transfer<O, B>
where
    O: Operation<Output = BufResult<usize, B>>,
{
    type Output = BufResult<usize, B>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Stage::Moving(submitted) = &mut this.stage {
            match ready!(Pin::new(submitted).poll(cx)) {
                Err(failed) if is_unexplained(&failed.error, &this.fd) => {
                    let question = submit(Statx::of_file(this.fd.clone()));
                    this.stage = Stage::Asking(question, Some(failed));
                }
                output => return Poll::Ready(output),
            }
        }
        let (question, failed) = match &mut this.stage {
            Stage::Asking(question, failed) => (question, failed),
            Stage::Refused(failed) => {
                let failed = failed.take().expect("an I/O future is not polled after its end");
                return Poll::Ready(Err(failed));
            }
            Stage::Moving(_) => unreachable!("what moves has returned above"),
        };
        let answer = ready!(Pin::new(question).poll(cx));
        let mut failed = failed.take().expect("an I/O future is not polled after its end");
        if let Ok(statx) = answer
            && let Some(misaligned) = Misaligned::new(this.extent, DirectAlignment::of(&statx))
        {
            failed.error = io::Error::new(io::ErrorKind::InvalidInput, misaligned);
        }
        Poll::Ready(Err(failed))
    }
}

fn is_unexplained(error: &io::Error, fd: &SharedFd) -> bool {
    use std::os::fd::AsFd;
    error.raw_os_error() == Some(libc::EINVAL) && is_direct(fd.as_fd())
}

impl<O, B: Unpin> Expire for Transfer<O, B>
where
    O: Operation<Output = BufResult<usize, B>>,
{
    fn expire(&mut self) {
        match &mut self.stage {
            Stage::Moving(submitted) => submitted.expire(),
            Stage::Asking(question, _) => question.expire(),
            Stage::Refused(_) => {}
        }
    }
}

/// What suits nearly every disk.
const USUAL: DirectAlignment = DirectAlignment { memory: 4096, offset: 4096 };

/// A read or write of a file opened with `O_DIRECT` that was not aligned as it must be.
#[derive(Debug)]
pub(super) struct Misaligned {
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
