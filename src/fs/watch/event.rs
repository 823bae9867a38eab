//! What is watched for, and what is reported.

use std::ffi::OsString;
use std::fmt;
use std::ops::{BitOr, BitOrAssign};

use crate::sys::inotify::RawEvent;

/// What a [`Watcher`](super::Watcher) reports.
///
/// # Examples
///
/// See [`Watcher`](super::Watcher).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum WatchEvent {
    /// Something has happened to what is watched.
    Changed(Change),
    /// The kernel has dropped events, since `fs.inotify.max_queued_events` (16,384 by default) were
    /// not taken in time. What came before is reported first; whatever is kept about the watched files
    /// is to be looked at anew. The watches go on.
    Overflow,
    /// A watch has ended (`IN_IGNORED`): it was removed, or what it watched is gone. Nothing more comes of
    /// it.
    Ended(WatchId),
}

/// Something that has happened to what is watched.
///
/// # Examples
///
/// See [`Watcher`](super::Watcher).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Change {
    /// The watch.
    pub id: WatchId,
    /// What has happened; the kernel reports one thing at a time.
    pub kinds: WatchMask,
    /// The name within a watched folder, which need not be UTF-8. `None` if it happened to what is
    /// watched itself.
    pub name: Option<OsString>,
    /// The same number for [`MOVED_FROM`](WatchMask::MOVED_FROM) and [`MOVED_TO`](WatchMask::MOVED_TO)
    /// of one rename, 0 for all else.
    pub cookie: u32,
    /// Whether it happened to a folder.
    pub is_dir: bool,
}

/// A watch of a [`Watcher`](super::Watcher). Another watcher has watches of the same number.
///
/// # Examples
///
/// See [`Watcher`](super::Watcher).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WatchId(pub(super) i32);

impl WatchEvent {
    pub(super) fn new(raw: RawEvent<'_>) -> Self {
        let id = WatchId(raw.number);
        if raw.mask & libc::IN_Q_OVERFLOW != 0 {
            return WatchEvent::Overflow;
        }
        if raw.mask & libc::IN_IGNORED != 0 {
            return WatchEvent::Ended(id);
        }
        WatchEvent::Changed(Change {
            id,
            kinds: WatchMask(raw.mask & !libc::IN_ISDIR),
            name: Some(raw.name.to_owned()).filter(|name| !name.is_empty()),
            cookie: raw.cookie,
            is_dir: raw.mask & libc::IN_ISDIR != 0,
        })
    }
}

/// What to watch for, and what has happened: a set of kinds, joined by `|`. Named as in `inotify(7)`.
///
/// # Examples
///
/// ```
/// use corering::fs::WatchMask;
///
/// let mask = WatchMask::CREATE | WatchMask::MOVED_TO;
/// assert!(WatchMask::CHANGES.contains(mask));
/// assert!(mask.intersects(WatchMask::MOVE) && !mask.contains(WatchMask::MOVE));
/// assert_eq!(format!("{mask:?}"), "MOVED_TO | CREATE");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct WatchMask(pub(super) u32);

/// The constants, and their names.
macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $name:ident = $libc:ident $alias:literal;)+) => {
        impl WatchMask {
            $(
                $(#[doc = $doc])+
                #[doc(alias = $alias)]
                pub const $name: WatchMask = WatchMask(libc::$libc);
            )+
        }

        const NAMES: &[(u32, &str)] = &[$((libc::$libc, stringify!($name))),+];
    };
}

kinds! {
    /// A file was read.
    ACCESS = IN_ACCESS "IN_ACCESS";
    /// A file was written or truncated. Writes to memory that a file is mapped to are not reported.
    MODIFY = IN_MODIFY "IN_MODIFY";
    /// Permissions, times, owner, extended attributes or the number of names have changed. A file that is
    /// open somewhere and whose last name is removed, or taken by another file, is reported as this.
    ATTRIB = IN_ATTRIB "IN_ATTRIB";
    /// A file that was open for writing was closed.
    CLOSE_WRITE = IN_CLOSE_WRITE "IN_CLOSE_WRITE";
    /// A file or folder that was open for reading was closed.
    CLOSE_NOWRITE = IN_CLOSE_NOWRITE "IN_CLOSE_NOWRITE";
    /// A file or folder was opened.
    OPEN = IN_OPEN "IN_OPEN";
    /// A name has left a watched folder, by a rename.
    MOVED_FROM = IN_MOVED_FROM "IN_MOVED_FROM";
    /// A name has come into a watched folder, by a rename.
    MOVED_TO = IN_MOVED_TO "IN_MOVED_TO";
    /// A name was made in a watched folder.
    CREATE = IN_CREATE "IN_CREATE";
    /// A name was removed from a watched folder.
    DELETE = IN_DELETE "IN_DELETE";
    /// What is watched was deleted: its last name is gone, and no program has it open.
    DELETE_SELF = IN_DELETE_SELF "IN_DELETE_SELF";
    /// What is watched was renamed.
    MOVE_SELF = IN_MOVE_SELF "IN_MOVE_SELF";
    /// The file system was unmounted. Always watched for.
    UNMOUNT = IN_UNMOUNT "IN_UNMOUNT";
    /// To watch: fails with `NotADirectory` for what is no folder.
    ONLYDIR = IN_ONLYDIR "IN_ONLYDIR";
    /// To watch: a symbolic link itself and not what it leads to.
    DONT_FOLLOW = IN_DONT_FOLLOW "IN_DONT_FOLLOW";
    /// To watch: nothing is reported of files in the folder that have no name in it any more.
    EXCL_UNLINK = IN_EXCL_UNLINK "IN_EXCL_UNLINK";
    /// To watch: ends the watch after one event.
    ONESHOT = IN_ONESHOT "IN_ONESHOT";
}

impl WatchMask {
    /// [`CLOSE_WRITE`](Self::CLOSE_WRITE) and [`CLOSE_NOWRITE`](Self::CLOSE_NOWRITE).
    #[doc(alias = "IN_CLOSE")]
    pub const CLOSE: WatchMask = WatchMask(libc::IN_CLOSE);

    /// [`MOVED_FROM`](Self::MOVED_FROM) and [`MOVED_TO`](Self::MOVED_TO).
    #[doc(alias = "IN_MOVE")]
    pub const MOVE: WatchMask = WatchMask(libc::IN_MOVE);

    /// All that changes contents, names or metadata, and no mere use: what [`watch`](super::watch) watches
    /// for.
    pub const CHANGES: WatchMask = WatchMask(
        libc::IN_MODIFY
            | libc::IN_ATTRIB
            | libc::IN_CLOSE_WRITE
            | libc::IN_MOVE
            | libc::IN_CREATE
            | libc::IN_DELETE
            | libc::IN_DELETE_SELF
            | libc::IN_MOVE_SELF,
    );

    /// All that happens.
    #[doc(alias = "IN_ALL_EVENTS")]
    pub const ALL: WatchMask = WatchMask(libc::IN_ALL_EVENTS);

    /// Whether all of `kinds` are among these.
    pub fn contains(self, kinds: WatchMask) -> bool {
        self.0 & kinds.0 == kinds.0
    }

    /// Whether any of `kinds` is among these.
    pub fn intersects(self, kinds: WatchMask) -> bool {
        self.0 & kinds.0 != 0
    }
}

impl BitOr for WatchMask {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        WatchMask(self.0 | other.0)
    }
}

impl BitOrAssign for WatchMask {
    fn bitor_assign(&mut self, other: Self) {
        *self = *self | other;
    }
}

impl fmt::Debug for WatchMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut left, mut separator) = (self.0, "");
        for (bits, name) in NAMES {
            if left & bits != 0 {
                write!(f, "{separator}{name}")?;
                (left, separator) = (left & !bits, " | ");
            }
        }
        if left != 0 || separator.is_empty() { write!(f, "{separator}{left:#x}") } else { Ok(()) }
    }
}
