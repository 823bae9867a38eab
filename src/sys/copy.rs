//! Copies that the kernel makes by itself.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};

use super::call::SysCall;

/// `copy_file_range(2)`: copies up to `len` bytes to the same place of another file, and returns how
/// many.
pub(crate) fn copy_range(
    source: BorrowedFd<'_>,
    target: BorrowedFd<'_>,
    offset: u64,
    len: usize,
) -> io::Result<usize> {
    let (mut from, mut to) = (offset, offset);
    let (from, to) = ((&raw mut from) as usize, (&raw mut to) as usize);
    let (source, target) = (source.as_raw_fd() as usize, target.as_raw_fd() as usize);
    let call = SysCall::new(libc::SYS_copy_file_range, [source, from, target, to, len, 0]);
    // SAFETY: the kernel reads and writes the two offsets, which outlive the call.
    let result = unsafe { call.run_for_real() };
    usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result))
}

/// Makes a file share the blocks of another, as far as the file system can (`FICLONE`): neither sees
/// what is later written to the other.
pub(crate) fn share_blocks(source: BorrowedFd<'_>, target: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the argument is a descriptor.
    let result = unsafe { libc::ioctl(target.as_raw_fd(), libc::FICLONE as _, source.as_raw_fd()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Closes a descriptor and reports what that tells of earlier writes.
pub(crate) fn close_and_tell(fd: OwnedFd) -> io::Result<()> {
    // SAFETY: the descriptor is ours, and no longer used.
    let result =
        unsafe { SysCall::new(libc::SYS_close, [fd.into_raw_fd() as usize]).run_for_real() };
    if result == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(-result)) }
}
