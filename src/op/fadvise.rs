//! `posix_fadvise(2)`: what a part of a file will be needed for, so that the page cache is ready.
//!
//! `IORING_OP_FADVISE`, kernel 5.6; on the blocking pool without a ring, since the call may wait
//! for the disk to take the requests. What only sets a mode of the open file is a plain call.

use std::io;

use io_uring::{opcode, squeue};

use crate::driver::{Call, Disk, Operation, SharedFd, Waits};
use crate::sys::call::SysCall;

pub(crate) struct Fadvise {
    fd: SharedFd,
    offset: u64,
    /// 0 stands for all that follows, so does more than the kernel's `off_t` can say.
    len: i64,
    advice: i32,
}

impl Fadvise {
    /// `advice` is one of `POSIX_FADV_*`. An offset that no file has is refused here: some kernels
    /// take it for another.
    pub(crate) fn new(fd: SharedFd, offset: u64, len: u64, advice: i32) -> io::Result<Self> {
        i64::try_from(offset).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
        Ok(Fadvise { fd, offset, len: i64::try_from(len).unwrap_or(0), advice })
    }

    /// Whether the advice sets a mode of the open file, and touches no page.
    fn sets_mode(&self) -> bool {
        !matches!(self.advice, libc::POSIX_FADV_WILLNEED | libc::POSIX_FADV_DONTNEED)
    }
}

// SAFETY: no pointer is passed.
unsafe impl Call for Fadvise {
    fn waits(&self) -> Waits<'_> {
        if self.sets_mode() { Waits::Nothing } else { Waits::Disk(Disk::Waits) }
    }

    fn call(&mut self) -> SysCall {
        let Fadvise { ref fd, offset, len, advice } = *self;
        let arguments = [fd.argument(), offset as usize, len as usize, advice as usize];
        SysCall::new(libc::SYS_fadvise64, arguments)
    }
}

// SAFETY: as above.
unsafe impl Operation for Fadvise {
    type Output = io::Result<()>;

    fn encode(&mut self) -> Option<squeue::Entry> {
        // Before 6.11 an entry has 32 bits for the length, and later the crate still fills those alone.
        if self.sets_mode() || u32::try_from(self.len).is_err() {
            return None;
        }
        let entry = opcode::Fadvise::new(self.fd.target(), self.len, self.advice);
        Some(entry.offset(self.offset).build())
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

    const ALL: [i32; 6] = [
        libc::POSIX_FADV_NORMAL,
        libc::POSIX_FADV_RANDOM,
        libc::POSIX_FADV_SEQUENTIAL,
        libc::POSIX_FADV_WILLNEED,
        libc::POSIX_FADV_DONTNEED,
        libc::POSIX_FADV_NOREUSE,
    ];

    #[corering::test]
    async fn a_file_is_as_it_was() -> io::Result<()> {
        let file = scratch(b"abc");
        for advice in ALL {
            for (offset, len) in [(0, 3), (1, 0), (0, u64::MAX), (100, 1), (0, 1 << 32)] {
                submit(Fadvise::new(file.clone(), offset, len, advice)?).await?;
            }
        }
        assert_eq!(contents(&file), b"abc");
        Ok(())
    }

    #[test]
    fn length_that_an_entry_would_cut_is_not_encoded() {
        let entry = |len| {
            let advice = libc::POSIX_FADV_WILLNEED;
            let mut fadvise = Fadvise::new(scratch(b""), 0, len, advice).expect("an offset");
            fadvise.encode().is_some()
        };
        assert!(entry(0) && entry(u64::from(u32::MAX)) && entry(u64::MAX));
        assert!(!entry(1 << 32) && !entry(5 << 30));
    }

    #[corering::test]
    async fn a_pipe_cannot_be_advised() -> io::Result<()> {
        let (reader, _writer) = io::pipe()?;
        let pipe = SharedFd::from(OwnedFd::from(reader));
        for advice in ALL {
            let advised = submit(Fadvise::new(pipe.clone(), 0, 1, advice)?).await;
            let error = advised.expect_err("it has no pages");
            assert_eq!(error.raw_os_error(), Some(libc::ESPIPE));
        }
        Ok(())
    }

    #[test]
    fn offset_that_no_file_has_is_refused() {
        for offset in [1 << 63, u64::MAX] {
            let refused = Fadvise::new(scratch(b""), offset, 1, libc::POSIX_FADV_WILLNEED);
            let error = refused.err().expect("it is negative for the kernel");
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
    }
}
