//! Questions about files that are answered at once, without a disk, unless they say otherwise; and locks.

use std::ffi::CString;
use std::fs::OpenOptions;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::call::SysCall;

/// Whether a file has no positions: a pipe, a socket, a terminal. It is read and written where it
/// stands, and may have to be waited for.
pub(crate) fn is_stream(fd: BorrowedFd<'_>) -> bool {
    // SAFETY: lseek takes no pointer; moving by zero from the present position changes nothing.
    let position = unsafe { libc::lseek(fd.as_raw_fd(), 0, libc::SEEK_CUR) };
    position < 0 && io::Error::last_os_error().raw_os_error() == Some(libc::ESPIPE)
}

/// Whether a file is read and written only where it stands, though it takes a move for done: an
/// eventfd, a timerfd, inotify. No path leads to one, so only a descriptor from outside need be asked.
pub(crate) fn refuses_offsets(fd: BorrowedFd<'_>) -> bool {
    // SAFETY: the list has no part, so nothing is read, and its address is not looked at.
    let read = unsafe { libc::preadv(fd.as_raw_fd(), std::ptr::null(), 0, 0) };
    read < 0 && std::io::Error::last_os_error().raw_os_error() == Some(libc::ESPIPE)
}

/// Opens a terminal once more, with `O_NONBLOCK`: a mode of its own, which those that share the
/// other descriptor do not have. `None` for all else, and where it cannot be opened.
pub(crate) fn reopen_terminal(fd: BorrowedFd<'_>) -> Option<OwnedFd> {
    let raw = fd.as_raw_fd();
    let mut number: libc::c_uint = 0;
    // SAFETY: the call takes a number.
    let is_terminal = unsafe { libc::isatty(raw) } == 1;
    // To open the master of a pseudoterminal would make another pair; it is what has a number.
    // SAFETY: the kernel writes the number, which outlives the call.
    if !is_terminal || unsafe { libc::ioctl(raw, libc::TIOCGPTN, &raw mut number) } == 0 {
        return None;
    }
    // SAFETY: fcntl with F_GETFL takes no pointer.
    let access = unsafe { libc::fcntl(raw, libc::F_GETFL) } & libc::O_ACCMODE;
    let path = CString::new(format!("/proc/self/fd/{raw}")).ok()?;
    let flags = access | libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: the path is a string that outlives the call.
    let opened = unsafe { libc::open(path.as_ptr(), flags) };
    // SAFETY: the kernel has just opened this descriptor for us, and nobody else knows it.
    (opened >= 0).then(|| unsafe { OwnedFd::from_raw_fd(opened) })
}

/// Whether a descriptor is a socket.
pub(crate) fn is_socket(fd: BorrowedFd<'_>) -> bool {
    kind(fd).is_ok_and(|kind| kind == libc::S_IFSOCK)
}

/// Whether a file can be read from `offset` on: false if only where it stands. Fails as reading it
/// would, for a folder or a file that is opened for writing for instance, but reads nothing.
pub(crate) fn can_be_read_at(fd: BorrowedFd<'_>, offset: u64) -> io::Result<bool> {
    let nowhere = std::ptr::dangling_mut::<u8>();
    // SAFETY: nothing is written to memory, since the length is 0.
    let read = unsafe { libc::pread(fd.as_raw_fd(), nowhere.cast(), 0, offset as libc::off_t) };
    if read == 0 {
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() == Some(libc::ESPIPE) { Ok(false) } else { Err(error) }
}

/// Whether a file was opened with `O_DIRECT`.
pub(crate) fn is_direct(fd: BorrowedFd<'_>) -> bool {
    // SAFETY: fcntl with F_GETFL takes no pointer.
    let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) };
    flags >= 0 && flags & libc::O_DIRECT != 0
}

/// What the file system says of the alignment that `O_DIRECT` needs (`STATX_DIOALIGN`, 6.1), without
/// a question to a disk or a server. `None` where `statx(2)` is missing or refused.
pub(crate) fn asked_for_direct(fd: BorrowedFd<'_>) -> Option<libc::statx> {
    // SAFETY: a statx is made of integers, for which zero is a value.
    let mut answer = unsafe { MaybeUninit::<libc::statx>::zeroed().assume_init() };
    let (itself, flags) = (c"".as_ptr() as usize, libc::AT_EMPTY_PATH | libc::AT_STATX_DONT_SYNC);
    let (wanted, into) = (libc::STATX_DIOALIGN as usize, (&raw mut answer) as usize);
    let arguments = [fd.as_raw_fd() as usize, itself, flags as usize, wanted, into];
    // SAFETY: path and answer outlive the call.
    let result = unsafe { SysCall::new(libc::SYS_statx, arguments).run() };
    (result == 0).then_some(answer)
}

/// As `statx(2)` answers it for `STATX_BASIC_STATS`, by the older call: 0, or a negated errno.
///
/// # Safety
///
/// `path` must lead to bytes that end in a NUL, and `answer` to memory that may be written.
pub(super) unsafe fn statx_by_stat(
    folder: RawFd,
    path: *const libc::c_char,
    flags: i32,
    answer: *mut libc::statx,
) -> i32 {
    let mut known = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the caller vouches for the path, and the kernel writes the whole answer or fails.
    if unsafe { libc::fstatat(folder, path, known.as_mut_ptr(), flags) } != 0 {
        return -io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
    }
    // SAFETY: the call succeeded.
    let known = unsafe { known.assume_init() };
    // SAFETY: a statx is made of integers, for which zero is a value.
    let mut told = unsafe { MaybeUninit::<libc::statx>::zeroed().assume_init() };
    told.stx_mask = libc::STATX_BASIC_STATS;
    told.stx_mode = known.st_mode as u16;
    // Not of the same type on every architecture; no file has more names than fit.
    told.stx_nlink = known.st_nlink as _;
    (told.stx_uid, told.stx_gid) = (known.st_uid, known.st_gid);
    (told.stx_ino, told.stx_size) = (known.st_ino, known.st_size as u64);
    (told.stx_blksize, told.stx_blocks) = (known.st_blksize as u32, known.st_blocks as u64);
    (told.stx_atime.tv_sec, told.stx_atime.tv_nsec) = (known.st_atime, known.st_atime_nsec as u32);
    (told.stx_mtime.tv_sec, told.stx_mtime.tv_nsec) = (known.st_mtime, known.st_mtime_nsec as u32);
    (told.stx_ctime.tv_sec, told.stx_ctime.tv_nsec) = (known.st_ctime, known.st_ctime_nsec as u32);
    (told.stx_dev_major, told.stx_dev_minor) = device_parts(known.st_dev);
    (told.stx_rdev_major, told.stx_rdev_minor) = device_parts(known.st_rdev);
    // SAFETY: the caller vouches for the place.
    unsafe { answer.write(told) };
    0
}

/// Locks a file, or unlocks it, without waiting for those that have it locked: `operation` is one of
/// `LOCK_SH`, `LOCK_EX`, `LOCK_UN`.
pub(crate) fn flock(fd: BorrowedFd<'_>, operation: i32) -> io::Result<()> {
    loop {
        // SAFETY: flock takes numbers.
        if unsafe { libc::flock(fd.as_raw_fd(), operation | libc::LOCK_NB) } == 0 {
            return Ok(());
        }
        // A signal may interrupt the question to a server.
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// What is looked for in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Data,
    Hole,
}

/// Where the next data, or the next hole, is in a file that has any, from `offset` on; `None` if there is
/// none. It may have to wait for a disk.
///
/// `lseek(2)` moves the position of the open file. If that may be `shared` the file is opened once more,
/// else the position is put back to the beginning, where it is as long as nobody uses it.
pub(crate) fn next_part(
    fd: BorrowedFd<'_>,
    part: Part,
    offset: u64,
    shared: bool,
) -> io::Result<Option<u64>> {
    let invalid = || io::Error::from_raw_os_error(libc::EINVAL);
    let offset = libc::off_t::try_from(offset).map_err(|_| invalid())?;
    match kind(fd)? {
        libc::S_IFREG | libc::S_IFBLK => {}
        _ if is_stream(fd) => return Err(io::Error::from_raw_os_error(libc::ESPIPE)),
        // Its position is no offset, or is moved by any call.
        _ => return Err(invalid()),
    }
    let own;
    let searched = if shared {
        own = open_again(fd)?;
        own.as_fd()
    } else {
        fd
    };
    let whence = match part {
        Part::Data => libc::SEEK_DATA,
        Part::Hole => libc::SEEK_HOLE,
    };
    // SAFETY: lseek takes no pointer.
    let found = unsafe { libc::lseek(searched.as_raw_fd(), offset, whence) };
    if found >= 0 {
        // SAFETY: as above.
        unsafe { libc::lseek(searched.as_raw_fd(), 0, libc::SEEK_SET) };
        return Ok(Some(found as u64));
    }
    match io::Error::last_os_error() {
        error if error.raw_os_error() == Some(libc::ENXIO) => Ok(None),
        error => Err(error),
    }
}

/// Opens an open file once more, for reading, with a position of its own.
fn open_again(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    // Not to wait for whoever has a lease on it.
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(&path);
    opened.map(OwnedFd::from).map_err(|error| {
        let text = format!(
            "the position of this file may be shared, so it is to be opened once more, which fails for \
             {path}: {error}"
        );
        io::Error::new(error.kind(), text)
    })
}

/// The kind of a file, as `S_IF*`.
fn kind(fd: BorrowedFd<'_>) -> io::Result<libc::mode_t> {
    let mut known = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the kernel writes the whole answer or fails.
    if unsafe { libc::fstat(fd.as_raw_fd(), known.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded.
    Ok(unsafe { known.assume_init() }.st_mode & libc::S_IFMT)
}

/// Whether what is open is a symbolic link, as only `O_PATH` opens one.
pub(crate) fn is_link(fd: BorrowedFd<'_>) -> bool {
    // What cannot be looked at is taken for the worse.
    kind(fd).map_or(true, |kind| kind == libc::S_IFLNK)
}

/// Whether this process may execute a file, or enter a folder, as far as `faccessat(2)` tells.
pub(crate) fn may_execute(path: &Path) -> bool {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else { return false };
    let (here, flags) = (libc::AT_FDCWD, libc::AT_EACCESS);
    // SAFETY: the path is a string that outlives the call.
    let answer = unsafe { libc::faccessat(here, path.as_ptr(), libc::X_OK, flags) };
    answer == 0 || io::Error::last_os_error().raw_os_error() != Some(libc::EACCES)
}

/// Whether `openat2(2)` is missing (before 5.6) or refused: asked for what cannot be opened, the call
/// itself answers EBADF.
pub(crate) fn lacks_openat2() -> bool {
    let (nowhere, path, how) = (-1_isize as usize, c".".as_ptr() as usize, [0_u64; 3]);
    let arguments = [nowhere, path, how.as_ptr() as usize, size_of_val(&how)];
    // SAFETY: the kernel reads the path and the three numbers of `struct open_how`.
    let result = unsafe { SysCall::new(libc::SYS_openat2, arguments).run_for_real() };
    result != -libc::EBADF
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

/// Whether the page cache has every page of a part of a file (`cachestat(2)`, 6.5). A page that is
/// just being read is there, too.
///
/// False also where that is not known: before 6.5, and for a file that the process could not write
/// (the kernel tells nobody else since 6.14).
pub(crate) fn has_pages(fd: RawFd, offset: u64, len: usize) -> bool {
    let Some(last) = (len as u64).checked_sub(1).and_then(|last| offset.checked_add(last)) else {
        return false;
    };
    let asked = [offset, len as u64];
    let mut told = CacheStat::default();
    let (asked, into) = ((&raw const asked) as usize, (&raw mut told) as usize);
    // SAFETY: the kernel reads the two numbers and writes the five, which outlive the call.
    let result = unsafe { SysCall::new(SYS_CACHESTAT, [fd as usize, asked, into, 0]).run() };
    // SAFETY: sysconf takes a number.
    let page = u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
    result == 0 && told.cached == last / page - offset / page + 1
}

/// The number is the same on all architectures.
const SYS_CACHESTAT: libc::c_long = 451;

/// `struct cachestat`, in pages.
#[repr(C)]
#[derive(Default)]
struct CacheStat {
    cached: u64,
    dirty: u64,
    written_back: u64,
    evicted: u64,
    recently_evicted: u64,
}

/// The two parts of a device's number that `statx(2)` gives.
fn device_parts(device: libc::dev_t) -> (u32, u32) {
    (libc::major(device) as _, libc::minor(device) as _)
}

/// A device's number as `stat(2)` gives it, made of the two parts that `statx(2)` gives.
pub(crate) fn device_number(major: u32, minor: u32) -> u64 {
    libc::makedev(major, minor)
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write;
    use std::os::fd::{AsFd, FromRawFd, OwnedFd};
    use std::os::unix::fs::{FileExt, OpenOptionsExt};

    use super::*;

    #[test]
    fn pipes_and_sockets_are_streams_and_files_and_devices_are_not() {
        let (reader, writer) = std::io::pipe().expect("a pipe can be made");
        assert!(is_stream(reader.as_fd()) && is_stream(writer.as_fd()));
        let (socket, _peer) = std::os::unix::net::UnixStream::pair().expect("a pair can be made");
        assert!(is_stream(socket.as_fd()));
        for path in ["/dev/zero", "/proc/self/status", "/"] {
            let file = std::fs::File::open(path).expect(path);
            assert!(!is_stream(file.as_fd()) && !refuses_offsets(file.as_fd()), "{path}");
        }
        let write_only = OpenOptions::new().write(true).open("/dev/null").expect("it is there");
        assert!(!refuses_offsets(write_only.as_fd()));
    }

    #[test]
    fn counters_timers_and_watches_refuse_offsets() {
        // SAFETY: none of these calls takes a pointer.
        let opened = unsafe {
            [
                libc::eventfd(0, libc::EFD_CLOEXEC),
                libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC),
                libc::inotify_init1(libc::IN_CLOEXEC),
            ]
        };
        for raw in opened {
            assert!(raw >= 0, "{}", std::io::Error::last_os_error());
            // SAFETY: it was just opened, and nothing else owns it.
            let fd = unsafe { OwnedFd::from_raw_fd(raw) };
            assert!(refuses_offsets(fd.as_fd()));
        }
    }

    #[test]
    fn part_is_in_the_cache_if_every_page_is() {
        let name = format!("pages-{}", std::process::id());
        let path = std::env::current_exe().expect("a test has a file").with_file_name(name);
        let mut options = OpenOptions::new();
        let mut file = options.read(true).write(true).create_new(true).open(&path).expect("a disk");
        std::fs::remove_file(&path).expect("it was just made");
        file.write_all(&[1; 100_000]).expect("the disk has room");
        file.sync_all().expect("the disk works");
        let fd = file.as_raw_fd();
        if !has_pages(fd, 0, 1) {
            // An older kernel, or a file system that stands on another, which has the pages.
            return;
        }
        for (offset, len) in [(0, 100_000), (0, 1), (5_000, 70_000), (99_999, 1)] {
            assert!(has_pages(fd, offset, len), "{len} from {offset}");
        }
        // Nothing, beyond the end, and beyond every file.
        for (offset, len) in [(0, 0), (0, 110_000), (106_496, 1), (u64::MAX, 1), (1 << 63, 1)] {
            assert!(!has_pages(fd, offset, len), "{len} from {offset}");
        }
        // Given up, and read again but for one page, without reading ahead.
        for advice in [libc::POSIX_FADV_DONTNEED, libc::POSIX_FADV_RANDOM] {
            // SAFETY: the call takes a descriptor and numbers.
            assert_eq!(unsafe { libc::posix_fadvise(fd, 0, 0, advice) }, 0);
        }
        if has_pages(fd, 0, 1) {
            // A file system of memory, which gives nothing up.
            return;
        }
        for page in (0..25).filter(|&page| page != 10) {
            file.read_exact_at(&mut [0], page * 4096).expect("it was written");
        }
        assert!(!has_pages(fd, 0, 100_000), "a page is missing");
        assert!(has_pages(fd, 0, 40_960) && has_pages(fd, 45_056, 54_944));
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
