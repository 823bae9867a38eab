//! Which file systems answer from memory what is asked about an open file. A server, or a program
//! behind FUSE, may let the thread that asks wait.
//!
//! A thread of the pool finds it out, once for each mount; a shard looks it up, and waits for nothing.

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::call::SysCall;

/// What a mount is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A file system of this machine.
    Local,
    /// Layers of others (overlayfs): as a local one, but to open a file for writing may copy it whole.
    Layers,
    /// Anything else, and what cannot be told apart for good.
    Foreign,
}

/// What a mount is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mount {
    /// A number that no other mount ever has (6.8).
    Id(u64),
    /// The device that the file system is on. A number that stands for no device is given away again,
    /// to a file system of another kind, too.
    Device(u32, u32),
}

static KNOWN: Mutex<Vec<(Mount, Kind)>> = Mutex::new(Vec::new());

/// So many are remembered before all are forgotten.
const KNOWN_MAX: usize = 256;

/// A file system was met that may wait although it was asked not to: no shard asks any more.
static SOME_WAIT: AtomicBool = AtomicBool::new(false);

/// Asks what is known of a file without asking a server (`AT_STATX_DONT_SYNC`). The result is as
/// that of a [`SysCall`].
///
/// # Safety
///
/// `path` must lead to bytes that end in a NUL, and `answer` to memory that may be written.
pub(super) unsafe fn look(
    folder: RawFd,
    path: *const libc::c_char,
    flags: i32,
    wanted: u32,
    answer: *mut libc::statx,
) -> i32 {
    let flags = (flags | libc::AT_STATX_DONT_SYNC) as usize;
    let wanted = (wanted | libc::STATX_MNT_ID_UNIQUE) as usize;
    let arguments = [folder as usize, path as usize, flags, wanted, answer as usize];
    // SAFETY: the caller vouches for both pointers.
    unsafe { SysCall::new(libc::SYS_statx, arguments).run() }
}

/// Whether a shard may [`look`] at all.
pub(super) fn may_look() -> bool {
    !SOME_WAIT.load(Ordering::Relaxed)
}

/// What is known of the mount of which [`look`] has told. `None` if that is to be [learned](learn).
pub(super) fn kind_of(answer: &libc::statx) -> Option<Kind> {
    let Some(mount) = Mount::of(answer) else { return Some(Kind::Foreign) };
    let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.iter().find(|(other, _)| *other == mount).map(|(_, kind)| *kind)
}

/// Finds out what the mount of an open file is of. May wait.
pub(super) fn learn(fd: RawFd) {
    let mut answer = MaybeUninit::<libc::statx>::uninit();
    let into = answer.as_mut_ptr();
    // SAFETY: the path is static, and the answer outlives the call.
    if unsafe { look(fd, c"".as_ptr(), libc::AT_EMPTY_PATH, libc::STATX_TYPE, into) } != 0 {
        return;
    }
    // SAFETY: the call succeeded and has written the answer.
    let Some(mount) = Mount::of(unsafe { answer.assume_init_ref() }) else { return };
    let mut told = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: the kernel writes the whole answer or fails.
    if unsafe { libc::fstatfs(fd, told.as_mut_ptr()) } != 0 {
        return;
    }
    // SAFETY: the call succeeded and has written the answer.
    let magic = unsafe { told.assume_init() }.f_type as u32;
    let kind = match magic {
        OVERLAY => Kind::Layers,
        _ if LOCAL.contains(&magic) => Kind::Local,
        _ => Kind::Foreign,
    };
    if WAIT_WHEN_ASKED_NOT_TO.contains(&magic) {
        SOME_WAIT.store(true, Ordering::Relaxed);
    }
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if known.iter().any(|(other, _)| *other == mount) {
        return;
    }
    if known.len() >= KNOWN_MAX {
        known.clear();
    }
    known.push((mount, kind));
}

/// As [`learn`], of what is at a path; the flags are those of `statx(2)`.
///
/// # Safety
///
/// `path` must lead to bytes that end in a NUL.
pub(super) unsafe fn learn_at(folder: RawFd, path: *const libc::c_char, flags: i32) {
    if flags & libc::AT_EMPTY_PATH != 0 {
        return learn(folder);
    }
    let nofollow = if flags & libc::AT_SYMLINK_NOFOLLOW != 0 { libc::O_NOFOLLOW } else { 0 };
    let how = (libc::O_PATH | libc::O_CLOEXEC | nofollow) as usize;
    let call = SysCall::new(libc::SYS_openat, [folder as usize, path as usize, how]);
    // SAFETY: the caller vouches for the path.
    let opened = unsafe { call.run() };
    if opened >= 0 {
        // SAFETY: the kernel has just opened this descriptor for us, and nobody else knows it.
        learn(unsafe { OwnedFd::from_raw_fd(opened) }.as_raw_fd());
    }
}

impl Mount {
    fn of(answer: &libc::statx) -> Option<Self> {
        if answer.stx_mask & libc::STATX_MNT_ID_UNIQUE != 0 {
            return Some(Mount::Id(answer.stx_mnt_id));
        }
        let (major, minor) = (answer.stx_dev_major, answer.stx_dev_minor);
        (major != 0).then_some(Mount::Device(major, minor))
    }
}

/// `f_type` of `statfs(2)`: overlayfs.
const OVERLAY: u32 = 0x794c_7630;

/// The same of file systems that ask no other machine and no program: ext2 to ext4, XFS, Btrfs, F2FS,
/// bcachefs, ZFS, tmpfs, ramfs, SquashFS, EROFS, ISO 9660, FAT, exFAT.
const LOCAL: [u32; 13] = [
    0xef53,
    0x5846_5342,
    0x9123_683e,
    0xf2f5_2010,
    0xca45_1a4e,
    0x2fc1_2fc1,
    0x0102_1994,
    0x8584_58f6,
    0x7371_7368,
    0xe0f5_e1e2,
    0x9660,
    0x4d44,
    0x2011_bab0,
];

/// The same of file systems that ask their server, or the others of their cluster, though told not to:
/// 9P, SMB (two numbers), Coda, OrangeFS, GFS2, OCFS2.
const WAIT_WHEN_ASKED_NOT_TO: [u32; 7] =
    [0x0102_1997, 0xff53_4d42, 0xfe53_4d42, 0x7375_7245, 0x2003_0528, 0x0116_1970, 0x7461_636f];

#[cfg(test)]
mod tests {
    use super::*;

    fn kind_at(path: &std::ffi::CStr) -> Option<Kind> {
        // SAFETY: the path is a string.
        unsafe { learn_at(libc::AT_FDCWD, path.as_ptr(), 0) };
        let mut answer = MaybeUninit::<libc::statx>::uninit();
        let into = answer.as_mut_ptr();
        // SAFETY: the path is a string, and the answer outlives the call.
        let result =
            unsafe { look(libc::AT_FDCWD, path.as_ptr(), 0, libc::STATX_BASIC_STATS, into) };
        assert_eq!(result, 0, "{path:?}");
        // SAFETY: the call succeeded.
        kind_of(unsafe { answer.assume_init_ref() })
    }

    #[test]
    fn memory_is_local_and_what_is_no_file_system_of_a_disk_is_not() {
        assert_eq!(kind_at(c"/dev/shm"), Some(Kind::Local));
        assert_eq!(kind_at(c"/proc"), Some(Kind::Foreign));
    }

    #[test]
    fn mount_without_a_number_of_its_own_is_foreign() {
        // SAFETY: a statx is made of integers, for which zero is a value.
        let mut answer = unsafe { MaybeUninit::<libc::statx>::zeroed().assume_init() };
        assert_eq!(kind_of(&answer), Some(Kind::Foreign));
        answer.stx_dev_major = u32::MAX;
        assert_eq!(kind_of(&answer), None, "a device may be asked about");
    }
}
