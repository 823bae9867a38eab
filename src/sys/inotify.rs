//! `inotify(7)`: the calls, and what a read of them holds.
//!
//! None of them waits for a disk: a watch is added to what is open already.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

/// Opens an instance, which does not block.
pub(crate) fn open() -> io::Result<OwnedFd> {
    // SAFETY: the call takes a number.
    let fd = unsafe { libc::inotify_init1(libc::IN_CLOEXEC | libc::IN_NONBLOCK) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just opened this descriptor for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Adds a watch of what is open under a descriptor, for instance with `O_PATH`, and returns its number.
/// `NotFound` says that `/proc` is not mounted: the call takes no descriptor, only a path to it.
pub(crate) fn add(instance: BorrowedFd<'_>, watched: BorrowedFd<'_>, mask: u32) -> io::Result<i32> {
    let path = CString::new(format!("/proc/self/fd/{}", watched.as_raw_fd()))?;
    // The path itself is a link: with the flag it would be what is watched. What was opened may be one.
    let mask = mask & !libc::IN_DONT_FOLLOW;
    // SAFETY: the path is a string that outlives the call.
    let number = unsafe { libc::inotify_add_watch(instance.as_raw_fd(), path.as_ptr(), mask) };
    if number < 0 { Err(io::Error::last_os_error()) } else { Ok(number) }
}

/// Removes a watch.
pub(crate) fn remove(instance: BorrowedFd<'_>, number: i32) -> io::Result<()> {
    // SAFETY: the call takes numbers.
    match unsafe { libc::inotify_rm_watch(instance.as_raw_fd(), number) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// An event as the kernel writes it (`struct inotify_event`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RawEvent<'a> {
    /// The number of the watch; -1 for an overflow.
    pub(crate) number: i32,
    pub(crate) mask: u32,
    /// The same for both halves of a rename, else 0.
    pub(crate) cookie: u32,
    /// Of what is in a folder that is watched; empty for what is watched itself.
    pub(crate) name: &'a OsStr,
}

/// Four numbers, of which the last is the length of the name with the NULs behind it.
const HEAD: usize = 16;

impl<'a> RawEvent<'a> {
    /// The first event, and its length in bytes. `None` if the bytes do not hold all of it.
    pub(crate) fn first(bytes: &'a [u8]) -> Option<(Self, usize)> {
        let (head, rest) = bytes.split_first_chunk::<HEAD>()?;
        let (fields, []) = head.as_chunks::<4>() else { return None };
        let [number, mask, cookie, len] =
            [0, 1, 2, 3].map(|field| u32::from_ne_bytes(fields[field]));
        let padded = rest.get(..len as usize)?;
        let end = padded.iter().position(|&byte| byte == 0).unwrap_or(padded.len());
        let name = OsStr::from_bytes(&padded[..end]);
        let number = number.cast_signed();
        Some((RawEvent { number, mask, cookie, name }, HEAD + padded.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(number: i32, mask: u32, cookie: u32, padded: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(number.to_ne_bytes());
        bytes.extend([mask, cookie, padded.len() as u32].map(u32::to_ne_bytes).concat());
        bytes.extend(padded);
        bytes
    }

    #[test]
    fn events_are_read_one_after_the_other() {
        let bytes = [
            event(1, libc::IN_CREATE, 0, b"name\0\0\0\0"),
            event(2, libc::IN_MODIFY, 0, b""),
            event(-1, libc::IN_Q_OVERFLOW, 0, b""),
            event(3, libc::IN_MOVED_TO, 9, b"\xff\xfe\0\0"),
        ]
        .concat();
        let (mut rest, mut events) = (&bytes[..], Vec::new());
        while let Some((event, len)) = RawEvent::first(rest) {
            events.push((event.number, event.mask, event.cookie, event.name.as_bytes()));
            rest = &rest[len..];
        }
        let expected: [(_, _, _, &[u8]); 4] = [
            (1, libc::IN_CREATE, 0, b"name"),
            (2, libc::IN_MODIFY, 0, b""),
            (-1, libc::IN_Q_OVERFLOW, 0, b""),
            (3, libc::IN_MOVED_TO, 9, b"\xff\xfe"),
        ];
        assert_eq!((events, rest.len()), (expected.to_vec(), 0));
    }

    #[test]
    fn name_may_fill_its_room_without_a_nul() {
        let bytes = event(1, libc::IN_CREATE, 0, b"full");
        assert_eq!(
            RawEvent::first(&bytes).map(|(event, len)| (event.name.len(), len)),
            Some((4, 20))
        );
        let bytes = event(1, libc::IN_CREATE, 0, b"\0\0\0\0");
        assert_eq!(
            RawEvent::first(&bytes).map(|(event, len)| (event.name.len(), len)),
            Some((0, 20))
        );
    }

    #[test]
    fn part_of_an_event_is_none() {
        let whole = event(1, libc::IN_CREATE, 0, b"name\0\0\0\0");
        for len in 0..whole.len() {
            assert_eq!(RawEvent::first(&whole[..len]), None, "{len} bytes");
        }
        let mut absurd = event(1, libc::IN_CREATE, 0, b"");
        absurd[12..].copy_from_slice(&u32::MAX.to_ne_bytes());
        assert_eq!(RawEvent::first(&absurd), None);
    }
}
