//! `posix_fadvise(2)` with `POSIX_FADV_WILLNEED`: begin to read a part of a file into the page cache.
//!
//! `IORING_OP_FADVISE`, kernel 5.6; on the blocking pool without a ring, since the call may wait
//! for the disk to take the requests.

use std::io;

use io_uring::{opcode, squeue};

use crate::driver::{Call, Disk, Operation, SharedFd, Waits};
use crate::sys::call::SysCall;

pub(crate) struct Prefetch {
    fd: SharedFd,
    offset: u64,
    /// 0 stands for all that follows, so does more than the kernel's `off_t` can say.
    len: i64,
}

impl Prefetch {
    pub(crate) fn new(fd: SharedFd, offset: u64, len: u64) -> Self {
        Prefetch { fd, offset, len: i64::try_from(len).unwrap_or(0) }
    }
}

// SAFETY: no pointer is passed.
unsafe impl Call for Prefetch {
    fn waits(&self) -> Waits<'_> {
        Waits::Disk(Disk::Waits)
    }

    fn call(&mut self) -> SysCall {
        let Prefetch { ref fd, offset, len } = *self;
        let advice = libc::POSIX_FADV_WILLNEED as usize;
        SysCall::new(libc::SYS_fadvise64, [fd.argument(), offset as usize, len as usize, advice])
    }
}

// SAFETY: as above.
unsafe impl Operation for Prefetch {
    type Output = io::Result<()>;

    fn encode(&mut self) -> Option<squeue::Entry> {
        Some(
            opcode::Fadvise::new(self.fd.target(), self.len, libc::POSIX_FADV_WILLNEED)
                .offset(self.offset)
                .build(),
        )
    }

    fn decode(self, outcome: io::Result<u32>) -> Self::Output {
        outcome.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use super::*;
    use crate::driver::submit;
    use crate::op::test_files::{contents, scratch};

    #[corering::test]
    async fn a_file_is_as_it_was() -> io::Result<()> {
        let file = scratch(b"abc");
        for (offset, len) in [(0, 3), (1, 0), (0, u64::MAX), (100, 1)] {
            submit(Prefetch::new(file.clone(), offset, len)).await?;
        }
        assert_eq!(contents(&file), b"abc");
        Ok(())
    }

    #[corering::test]
    async fn a_pipe_cannot_be_prefetched() -> io::Result<()> {
        let (reader, _writer) = io::pipe()?;
        let pipe = SharedFd::from(OwnedFd::from(reader));
        let error = submit(Prefetch::new(pipe, 0, 1)).await.expect_err("it has no pages");
        assert_eq!(error.raw_os_error(), Some(libc::ESPIPE));
        Ok(())
    }
}
