//! `sendfile(2)`: send a part of a file on a connection, without a copy through this process.
//!
//! It waits for the disk if it has to, and a ring has no such operation: `net/send_file.rs` says when it
//! is called.

use std::io;
use std::mem::MaybeUninit;

use crate::driver::{Call, Driver, Held, SharedFd, Waits, count};
use crate::sys::call::SysCall;
use crate::sys::file::{has_pages, read_cached};

struct SendFile<'a> {
    socket: &'a SharedFd,
    file: &'a SharedFd,
    /// Where the call reads from; it moves this on by what it has sent.
    offset: u64,
    len: usize,
    may_end_process: bool,
}

// SAFETY: the offset is borrowed with the call, which is made at once.
unsafe impl Call for SendFile<'_> {
    fn waits(&self) -> Waits<'_> {
        Waits::Writable { fd: self.socket, held: Held::ByMode, tries_first: false }
    }

    fn call(&mut self) -> SysCall {
        let offset = (&raw mut self.offset) as usize;
        let (socket, file) = (self.socket.argument(), self.file.argument());
        let call = SysCall::new(libc::SYS_sendfile, [socket, file, offset, self.len]);
        if self.may_end_process { call.that_may_break_pipe() } else { call }
    }
}

/// Sends what a socket takes at once of a part of a file. `None` if it takes nothing.
// The call has no flag that keeps it from waiting, so the socket's mode does. A ring does not mind: it
// receives and sends on a socket whatever its mode is.
pub(crate) fn now(
    driver: &Driver,
    socket: &SharedFd,
    file: &SharedFd,
    offset: u64,
    len: usize,
) -> Option<io::Result<u32>> {
    count(&driver.counters.sendfiles);
    let may_end_process = driver.broken_pipe_ends_process();
    driver.now(&mut SendFile { socket, file, offset, len, may_end_process })
}

/// Whether `sendfile(2)` would find a part of a file in the page cache: all pages are there, and the
/// last byte, which was asked for last, has been read. A file system that may have to wait for more
/// than a disk, a network for instance, says no to the second.
pub(crate) fn is_in_cache(driver: &Driver, file: &SharedFd, offset: u64, len: usize) -> bool {
    count(&driver.counters.attempts);
    if !has_pages(file.raw(), offset, len) {
        return false;
    }
    count(&driver.counters.attempts);
    let mut byte = MaybeUninit::<u8>::uninit();
    // SAFETY: there is room for one byte.
    let read = unsafe { read_cached(file.raw(), byte.as_mut_ptr(), 1, offset + len as u64 - 1) };
    read == Some(1)
}
