//! `sync_file_range(2)`: write a part of a file to the disk, and wait for that.
//!
//! `IORING_OP_SYNC_FILE_RANGE`, kernel 5.2; on the blocking pool without a ring.

use std::io;

use io_uring::{opcode, squeue};

use crate::driver::{Call, Disk, Operation, SharedFd, Waits};
use crate::sys::call::SysCall;

pub(crate) struct SyncFileRange {
    fd: SharedFd,
    offset: u64,
    /// 0 stands for all that follows.
    len: u64,
}

/// What is being written already is waited for, the rest is written, and that is waited for.
const WRITE_AND_WAIT: u32 = libc::SYNC_FILE_RANGE_WAIT_BEFORE
    | libc::SYNC_FILE_RANGE_WRITE
    | libc::SYNC_FILE_RANGE_WAIT_AFTER;

impl SyncFileRange {
    /// A length that reaches beyond the largest file is all that follows, as 0 is.
    pub(crate) fn new(fd: SharedFd, offset: u64, len: u64) -> Self {
        let ends = offset.checked_add(len).is_some_and(|end| i64::try_from(end).is_ok());
        SyncFileRange { fd, offset, len: if ends { len } else { 0 } }
    }
}

// SAFETY: no pointer is passed.
unsafe impl Call for SyncFileRange {
    fn waits(&self) -> Waits<'_> {
        Waits::Disk(Disk::Waits)
    }

    fn call(&mut self) -> SysCall {
        let SyncFileRange { ref fd, offset, len } = *self;
        let arguments = [fd.argument(), offset as usize, len as usize, WRITE_AND_WAIT as usize];
        SysCall::new(libc::SYS_sync_file_range, arguments)
    }
}

// SAFETY: as above.
unsafe impl Operation for SyncFileRange {
    type Output = io::Result<()>;

    fn encode(&mut self) -> Option<squeue::Entry> {
        // An entry has 32 bits for the length.
        let len = u32::try_from(self.len).ok()?;
        let entry = opcode::SyncFileRange::new(self.fd.target(), len);
        Some(entry.offset(self.offset).flags(WRITE_AND_WAIT).build())
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
        for (offset, len) in [(0, 3), (1, 0), (0, u64::MAX), (100, 1), (0, 5 << 30)] {
            submit(SyncFileRange::new(file.clone(), offset, len)).await?;
        }
        assert_eq!(contents(&file), b"abc");
        Ok(())
    }

    #[test]
    fn length_that_an_entry_would_cut_is_not_encoded() {
        let entry = |len| SyncFileRange::new(scratch(b""), 0, len).encode().is_some();
        assert!(entry(0) && entry(u64::from(u32::MAX)) && entry(u64::MAX));
        assert!(!entry(1 << 32) && !entry(5 << 30));
    }

    #[corering::test]
    async fn what_has_no_pages_and_no_such_offset_is_an_error() -> io::Result<()> {
        let (reader, _writer) = io::pipe()?;
        let pipe = SharedFd::from(OwnedFd::from(reader));
        let error = submit(SyncFileRange::new(pipe, 0, 1)).await.expect_err("it has no pages");
        assert_eq!(error.raw_os_error(), Some(libc::ESPIPE));
        for (offset, len) in [(1 << 63, 1), (u64::MAX, 0)] {
            let sync = SyncFileRange::new(scratch(b""), offset, len);
            let error = submit(sync).await.expect_err("it is negative for the kernel");
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
        Ok(())
    }
}
