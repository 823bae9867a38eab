//! Questions about files that are answered at once, without a disk.

use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

/// Whether a file has no positions: a pipe, a socket, a terminal. It is read and written where it
/// stands, and may have to be waited for.
pub(crate) fn is_stream(fd: BorrowedFd<'_>) -> bool {
    // SAFETY: lseek takes no pointer; moving by zero from the present position changes nothing.
    let position = unsafe { libc::lseek(fd.as_raw_fd(), 0, libc::SEEK_CUR) };
    position < 0 && std::io::Error::last_os_error().raw_os_error() == Some(libc::ESPIPE)
}

/// Whether a file was opened with `O_DIRECT`.
pub(crate) fn is_direct(fd: BorrowedFd<'_>) -> bool {
    // SAFETY: fcntl with F_GETFL takes no pointer.
    let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) };
    flags >= 0 && flags & libc::O_DIRECT != 0
}

/// Reads what the page cache has of a file from `offset` on, without waiting for a disk
/// (`RWF_NOWAIT` of `preadv2(2)`). `None` if it has nothing there, if its file system cannot tell,
/// or if there is an error, which whoever waits will hear. 0 is the end of the file.
///
/// # Safety
///
/// `len` bytes from `pointer` on may be written, and need not be initialised.
pub(crate) unsafe fn read_cached(
    fd: RawFd,
    pointer: *mut u8,
    len: usize,
    offset: u64,
) -> Option<u32> {
    let part = libc::iovec { iov_base: pointer.cast(), iov_len: len };
    let offset = libc::off_t::try_from(offset).ok()?;
    // SAFETY: the one part is a local and describes memory that the caller vouches for.
    let count = unsafe { libc::preadv2(fd, &raw const part, 1, offset, libc::RWF_NOWAIT) };
    u32::try_from(count).ok()
}

/// A device's number as `stat(2)` gives it, made of the two parts that `statx(2)` gives.
pub(crate) fn device_number(major: u32, minor: u32) -> u64 {
    libc::makedev(major, minor)
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::os::fd::AsFd;
    use std::os::unix::fs::OpenOptionsExt;

    use super::*;

    #[test]
    fn pipes_and_sockets_are_streams_and_files_and_devices_are_not() {
        let (reader, writer) = std::io::pipe().expect("a pipe can be made");
        assert!(is_stream(reader.as_fd()) && is_stream(writer.as_fd()));
        let (socket, _peer) = std::os::unix::net::UnixStream::pair().expect("a pair can be made");
        assert!(is_stream(socket.as_fd()));
        for path in ["/dev/zero", "/proc/self/status", "/"] {
            let file = std::fs::File::open(path).expect(path);
            assert!(!is_stream(file.as_fd()), "{path}");
        }
    }

    #[test]
    fn direct_is_what_was_opened_so() {
        let path = std::env::current_exe().expect("a test has a file");
        let plain = std::fs::File::open(&path).expect("it can be read");
        assert!(!is_direct(plain.as_fd()));
        // A file system without O_DIRECT refuses to open, and there is nothing to ask.
        if let Ok(direct) = OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(path) {
            assert!(is_direct(direct.as_fd()));
        }
    }
}
