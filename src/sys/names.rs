//! Names in an open folder, by calls that wait for a disk: for threads of the pool.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Opens a name in a folder. Close-on-exec is added.
pub(crate) fn open_in(
    folder: BorrowedFd<'_>,
    name: &CStr,
    flags: i32,
    mode: u32,
) -> io::Result<OwnedFd> {
    let flags = flags | libc::O_CLOEXEC;
    // SAFETY: the name is a string that outlives the call.
    let opened = unsafe { libc::openat(folder.as_raw_fd(), name.as_ptr(), flags, mode) };
    checked(opened)?;
    // SAFETY: the kernel has just opened this descriptor for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(opened) })
}

/// Gives an open file a name, also if it has none.
pub(crate) fn link_open(
    open: BorrowedFd<'_>,
    folder: BorrowedFd<'_>,
    name: &CStr,
) -> io::Result<()> {
    let raw = open.as_raw_fd();
    let path = format!("/proc/self/fd/{raw}\0");
    let (path, follow) = (path.as_ptr().cast(), libc::AT_SYMLINK_FOLLOW);
    let (into, name) = (folder.as_raw_fd(), name.as_ptr());
    // SAFETY: both are strings that outlive the call.
    let linked = checked(unsafe { libc::linkat(libc::AT_FDCWD, path, into, name, follow) });
    if !linked.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        return linked;
    }
    // Without `/proc`; the kernel asks for a capability then, or (6.10) that this user has opened it.
    // SAFETY: as above.
    checked(unsafe { libc::linkat(raw, c"".as_ptr(), into, name, libc::AT_EMPTY_PATH) })
}

/// A name in a folder.
pub(crate) type Name<'a> = (BorrowedFd<'a>, &'a CStr);

/// Gives what has a name another one, too.
pub(crate) fn link((folder, from): Name<'_>, (into, to): Name<'_>) -> io::Result<()> {
    let (folder, into) = (folder.as_raw_fd(), into.as_raw_fd());
    // SAFETY: both are strings that outlive the call.
    checked(unsafe { libc::linkat(folder, from.as_ptr(), into, to.as_ptr(), 0) })
}

/// Gives what has a name another one, in the place of what had that.
pub(crate) fn rename((folder, from): Name<'_>, (into, to): Name<'_>) -> io::Result<()> {
    let (folder, into) = (folder.as_raw_fd(), into.as_raw_fd());
    // SAFETY: both are strings that outlive the call.
    checked(unsafe { libc::renameat(folder, from.as_ptr(), into, to.as_ptr()) })
}

/// Removes a file's name.
pub(crate) fn unlink((folder, name): Name<'_>) -> io::Result<()> {
    // SAFETY: the name is a string that outlives the call.
    checked(unsafe { libc::unlinkat(folder.as_raw_fd(), name.as_ptr(), 0) })
}

fn checked(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
