//! Calls that memory answers: made where they cannot wait, so on the shard. Whatever is not in memory
//! is to be asked for in the usual way, by a thread or a ring that waits.

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use super::call::SysCall;
use super::mounts::{self, Kind};
use super::signal_mask::large_file_ends_process;

/// Why memory gives no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Miss {
    /// It has none, or none that is known not to wait.
    NotThere,
    /// The mount is not known: whoever asks a thread instead has it [learn](SysCall::that_teaches).
    NewMount,
}

/// What lets a part of a file be read or written without waiting, or keeps it from that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Memory does not have all of it, or there is an error, which whoever waits will hear.
    Short,
    /// The file system, or the kernel, cannot tell: it need not be asked again of this file.
    Unable,
}

/// `openat2(2)` is refused, or does not know `RESOLVE_CACHED` (5.12).
static LACKS_RESOLVE_CACHED: AtomicBool = AtomicBool::new(false);
/// `statx(2)` is missing (before 4.11) or refused.
static LACKS_STATX: AtomicBool = AtomicBool::new(false);

/// What only a disk can do: it makes or changes a file.
const CHANGES: i32 = libc::O_CREAT | libc::O_TRUNC | (libc::O_TMPFILE & !libc::O_DIRECTORY);

/// Opens a regular file or a folder of a local file system whose path is in memory, or with `O_PATH`
/// whatever such a path leads to. The result is as that of a [`SysCall`].
///
/// `RESOLVE_CACHED` guards the path alone: to open what it leads to may wait, be it a FIFO, a device or
/// a file of a server, and even trying has effects there, on a FIFO's writer or a modem. So what it
/// leads to is looked at first (`O_PATH` opens nothing). Exchanged for a FIFO after that, it is opened
/// with `O_NONBLOCK`, as a ring opens everything, and does not wait either.
///
/// # Safety
///
/// `path` must lead to bytes that end in a NUL.
pub(crate) unsafe fn open(
    folder: RawFd,
    path: *const libc::c_char,
    flags: i32,
    resolve: u64,
) -> Result<i32, Miss> {
    if flags & CHANGES != 0 {
        return Err(Miss::NotThere);
    }
    let looks = flags & (libc::O_NOFOLLOW | libc::O_DIRECTORY) | libc::O_PATH;
    // SAFETY: the caller vouches for the path.
    let found = match unsafe { find(folder, path, looks, resolve)? } {
        Found::Open(found) => found,
        Found::Error(error) => return Ok(error),
    };
    if flags & libc::O_PATH != 0 {
        return Ok(found.into_raw_fd());
    }
    let mut answer = MaybeUninit::uninit();
    let (kind, answer) = look(&found, libc::STATX_TYPE | libc::STATX_MODE, &mut answer)?;
    let is_plain =
        matches!(u32::from(answer.stx_mode) & libc::S_IFMT, libc::S_IFREG | libc::S_IFDIR);
    let may_copy = kind == Kind::Layers && flags & libc::O_ACCMODE != libc::O_RDONLY;
    if !is_plain || may_copy {
        return Err(Miss::NotThere);
    }
    // SAFETY: as above.
    let opened = unsafe { open_path(folder, path, flags | libc::O_NONBLOCK, resolve) };
    if opened < 0 {
        return Err(Miss::NotThere);
    }
    if flags & libc::O_NONBLOCK == 0 {
        // SAFETY: fcntl with F_SETFL takes a number; of the flags it changes this one alone.
        unsafe { libc::fcntl(opened, libc::F_SETFL, flags) };
    }
    Ok(opened)
}

/// Tells of an open file of a local file system, or of what a path that is in memory leads to there. The
/// flags are those of `statx(2)`, and the result is as that of a [`SysCall`].
///
/// # Safety
///
/// `path` must lead to bytes that end in a NUL, and `answer` to memory that may be written.
pub(crate) unsafe fn statx(
    folder: RawFd,
    path: *const libc::c_char,
    flags: i32,
    wanted: u32,
    answer: *mut libc::statx,
) -> Result<i32, Miss> {
    let known = libc::AT_EMPTY_PATH | libc::AT_SYMLINK_NOFOLLOW | libc::AT_NO_AUTOMOUNT;
    if flags & !known != 0 {
        return Err(Miss::NotThere);
    }
    // SAFETY: the caller vouches for the place, and no value of it is looked at before it is written.
    let answer = unsafe { &mut *answer.cast::<MaybeUninit<libc::statx>>() };
    if flags & libc::AT_EMPTY_PATH != 0 {
        return look(&folder, wanted, answer).map(|_| 0);
    }
    let nofollow = if flags & libc::AT_SYMLINK_NOFOLLOW != 0 { libc::O_NOFOLLOW } else { 0 };
    // SAFETY: the caller vouches for the path.
    match unsafe { find(folder, path, libc::O_PATH | nofollow, 0)? } {
        Found::Open(found) => look(&found, wanted, answer).map(|_| 0),
        Found::Error(error) => Ok(error),
    }
}

/// Reads what memory has of a part of a file (`RWF_NOWAIT` of `preadv2(2)`). 0 is the end of the file.
///
/// # Safety
///
/// The list must be of so many places that may be written, and need not be initialised.
pub(crate) unsafe fn read(
    fd: RawFd,
    list: *const libc::iovec,
    count: usize,
    offset: u64,
) -> Result<i32, Cut> {
    let offset = libc::off_t::try_from(offset).map_err(|_| Cut::Short)?;
    // SAFETY: the caller vouches for the list.
    let read = unsafe { libc::preadv2(fd, list, count as i32, offset, libc::RWF_NOWAIT) };
    outcome(read)
}

/// Writes as much to a file as memory takes without waiting (`RWF_NOWAIT` of `pwritev2(2)`): on XFS and
/// Btrfs; other file systems say that they cannot.
///
/// # Safety
///
/// The list must be of so many places that may be read.
pub(crate) unsafe fn write(
    fd: RawFd,
    list: *const libc::iovec,
    count: usize,
    offset: u64,
) -> Result<i32, Cut> {
    let offset = libc::off_t::try_from(offset).map_err(|_| Cut::Short)?;
    if large_file_ends_process() {
        return Err(Cut::Short);
    }
    // SAFETY: the caller vouches for the list.
    let written = unsafe { libc::pwritev2(fd, list, count as i32, offset, libc::RWF_NOWAIT) };
    outcome(written)
}

fn outcome(count: libc::ssize_t) -> Result<i32, Cut> {
    if count >= 0 {
        // The kernel moves fewer bytes than an i32 holds in one call.
        return Ok(count as i32);
    }
    Err(match std::io::Error::last_os_error().raw_os_error() {
        Some(libc::EOPNOTSUPP | libc::ENOSYS | libc::EPERM) => Cut::Unable,
        _ => Cut::Short,
    })
}

/// What a path leads to.
enum Found {
    Open(OwnedFd),
    /// A negated errno, which is the answer.
    Error(i32),
}

/// Finds what a path leads to, if memory knows, and opens it with `O_PATH`.
///
/// # Safety
///
/// `path` must lead to bytes that end in a NUL.
unsafe fn find(
    folder: RawFd,
    path: *const libc::c_char,
    flags: i32,
    resolve: u64,
) -> Result<Found, Miss> {
    if LACKS_RESOLVE_CACHED.load(Ordering::Relaxed) || !mounts::may_look() {
        return Err(Miss::NotThere);
    }
    // SAFETY: the caller vouches for the path.
    let opened = unsafe { open_path(folder, path, flags | libc::O_CLOEXEC, resolve) };
    match -opened {
        // SAFETY: the kernel has just opened this descriptor for us, and nobody else knows it.
        ..=0 => Ok(Found::Open(unsafe { OwnedFd::from_raw_fd(opened) })),
        libc::ENOENT | libc::ENOTDIR | libc::EACCES | libc::ELOOP | libc::ENAMETOOLONG => {
            Ok(Found::Error(opened))
        }
        libc::ENOSYS | libc::EPERM | libc::EINVAL => {
            LACKS_RESOLVE_CACHED.store(true, Ordering::Relaxed);
            Err(Miss::NotThere)
        }
        _ => Err(Miss::NotThere),
    }
}

/// # Safety
///
/// `path` must lead to bytes that end in a NUL.
unsafe fn open_path(folder: RawFd, path: *const libc::c_char, flags: i32, resolve: u64) -> i32 {
    let how = [u64::from(flags as u32), 0, resolve | libc::RESOLVE_CACHED];
    let arguments = [folder as usize, path as usize, how.as_ptr() as usize, size_of_val(&how)];
    // SAFETY: the caller vouches for the path; the three numbers are those of `struct open_how`.
    unsafe { SysCall::new(libc::SYS_openat2, arguments).run() }
}

/// Asks about an open file, if that is known not to wait, and what its mount is of.
fn look<'a>(
    fd: &impl AsRawFd,
    wanted: u32,
    answer: &'a mut MaybeUninit<libc::statx>,
) -> Result<(Kind, &'a libc::statx), Miss> {
    if LACKS_STATX.load(Ordering::Relaxed) || !mounts::may_look() {
        return Err(Miss::NotThere);
    }
    let (path, flags) = (c"".as_ptr(), libc::AT_EMPTY_PATH);
    let (fd, into) = (fd.as_raw_fd(), answer.as_mut_ptr());
    // SAFETY: path and answer outlive the call.
    let result = unsafe { mounts::look(fd, path, flags, wanted, into) };
    if result < 0 {
        if matches!(-result, libc::ENOSYS | libc::EPERM | libc::EINVAL) {
            LACKS_STATX.store(true, Ordering::Relaxed);
        }
        return Err(Miss::NotThere);
    }
    // SAFETY: the call succeeded and has written the answer.
    let answer = unsafe { answer.assume_init_ref() };
    match mounts::kind_of(answer) {
        Some(Kind::Foreign) => Err(Miss::NotThere),
        Some(kind) => Ok((kind, answer)),
        None => Err(Miss::NewMount),
    }
}
