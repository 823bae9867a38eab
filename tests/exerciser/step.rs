//! The operations, and how they are chosen.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::net::Random;
use super::outcome::Outcome;

/// One operation. Paths are relative to the tree, and files are named by the slots they are open in.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Open { slot: usize, path: PathBuf, how: How },
    Close { slot: usize },
    Read { slot: usize, offset: u64, len: usize },
    ReadVectored { slot: usize, offset: u64, lens: Vec<usize> },
    ReadToEnd { slot: usize },
    ReadTogether { slot: usize, parts: Vec<(u64, usize)> },
    Write { slot: usize, offset: u64, len: usize, fill: u8 },
    WriteVectored { slot: usize, offset: u64, lens: Vec<usize>, fill: u8 },
    WriteTogether { slot: usize, parts: Vec<(u64, usize)>, fill: u8 },
    SetLen { slot: usize, len: u64 },
    Allocate { slot: usize, offset: u64, len: u64 },
    PunchHole { slot: usize, offset: u64, len: u64 },
    Seek { slot: usize, offset: u64, to_data: bool },
    SetPermissionsOf { slot: usize, mode: u32 },
    SetTimesOf { slot: usize, seconds: u64 },
    Clone { from: usize, slot: usize },
    Sync { slot: usize, data_only: bool },
    Look { slot: usize },
    LookAt { path: PathBuf, follows: bool },
    Exists { path: PathBuf },
    ReadWhole { path: PathBuf },
    WriteWhole { path: PathBuf, len: usize, fill: u8 },
    Copy { from: PathBuf, to: PathBuf },
    Rename { from: PathBuf, to: PathBuf },
    HardLink { from: PathBuf, to: PathBuf },
    Symlink { target: PathBuf, path: PathBuf },
    ReadLink { path: PathBuf },
    Canonicalize { path: PathBuf },
    SetPermissions { path: PathBuf, mode: u32 },
    RemoveFile { path: PathBuf },
    CreateDir { path: PathBuf },
    CreateDirAll { path: PathBuf },
    RemoveDir { path: PathBuf },
    RemoveDirAll { path: PathBuf },
    ReadDir { path: PathBuf },
}

/// How a file is opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How {
    pub(crate) read: bool,
    pub(crate) write: bool,
    pub(crate) append: bool,
    pub(crate) truncate: bool,
    pub(crate) create: bool,
    pub(crate) create_new: bool,
    pub(crate) mode: u32,
    pub(crate) flags: i32,
}

/// Files that are open at the same time.
pub(crate) const SLOTS: usize = 6;

/// Beyond it a part of a file is far: beyond 4 GiB, that is, where nothing else is.
pub(crate) const FAR: u64 = 5 << 30;

/// No part begins further behind the beginning, or behind [`FAR`].
const OFFSET_MAX: usize = 300_000;

impl Step {
    pub(crate) fn random(random: &mut Random) -> Self {
        let slot = random.below(SLOTS);
        match random.below(100) {
            0..16 => Step::Open { slot, path: path(random), how: How::random(random) },
            16..20 => Step::Close { slot },
            20..28 => Step::Read { slot, offset: offset(random), len: 1 + len(random) },
            28..31 => {
                let lens = (0..=random.below(5)).map(|_| 1 + len(random)).collect();
                Step::ReadVectored { slot, offset: offset(random), lens }
            }
            31 => Step::ReadToEnd { slot },
            32..34 => Step::ReadTogether { slot, parts: parts(random) },
            34..42 => {
                let (offset, len) = (offset(random), len(random));
                Step::Write { slot, offset, len, fill: random.next() as u8 }
            }
            42..45 => {
                let lens = (0..=random.below(5)).map(|_| len(random)).collect();
                Step::WriteVectored {
                    slot,
                    offset: offset(random),
                    lens,
                    fill: random.next() as u8,
                }
            }
            45..47 => Step::WriteTogether { slot, parts: parts(random), fill: random.next() as u8 },
            47..51 => Step::SetLen { slot, len: offset(random) },
            51 => Step::Allocate { slot, offset: offset(random), len: len(random) as u64 },
            52 => Step::PunchHole { slot, offset: offset(random), len: len(random) as u64 },
            // It waits for the disk.
            53 if random.below(10) == 0 => Step::Sync { slot, data_only: random.below(2) == 0 },
            54 => match random.below(4) {
                0 => Step::SetPermissionsOf { slot, mode: random.below(0o10000) as u32 },
                1 => Step::SetTimesOf { slot, seconds: random.next() },
                2 => Step::Clone { from: random.below(SLOTS), slot },
                _ => Step::Seek { slot, offset: offset(random), to_data: random.below(2) == 0 },
            },
            53..58 => Step::Look { slot },
            58..62 => Step::LookAt { path: path(random), follows: random.below(2) == 0 },
            62..64 => Step::Exists { path: path(random) },
            64..66 => Step::ReadWhole { path: path(random) },
            66..69 => {
                let (path, len) = (path(random), len(random));
                Step::WriteWhole { path, len, fill: random.next() as u8 }
            }
            69..71 => Step::Copy { from: path(random), to: path(random) },
            71..76 => Step::Rename { from: path(random), to: path(random) },
            76..78 => Step::HardLink { from: path(random), to: path(random) },
            78..81 => Step::Symlink { target: path(random), path: path(random) },
            81 => Step::ReadLink { path: path(random) },
            82 => Step::Canonicalize { path: path(random) },
            83..85 => {
                Step::SetPermissions { path: path(random), mode: random.below(0o10000) as u32 }
            }
            85..88 => Step::RemoveFile { path: path(random) },
            88..93 => Step::CreateDir { path: path(random) },
            93 => Step::CreateDirAll { path: path(random) },
            94..96 => Step::RemoveDir { path: path(random) },
            96 if random.below(2) == 0 => Step::RemoveDirAll { path: path(random) },
            _ => Step::ReadDir { path: path(random) },
        }
    }

    /// Whether both answers are errors of an operation on two paths. By a folder that is open the folders of
    /// both are opened before the kernel looks for either name, so it may be the other error.
    pub(crate) fn may_have_two_faults(&self, ours: &Outcome, theirs: &Outcome) -> bool {
        let has_two_paths = matches!(self, Step::Rename { .. } | Step::HardLink { .. });
        has_two_paths && ours.is_err() && theirs.is_err()
    }

    /// Its name, for counting.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Step::Open { .. } => "open",
            Step::Close { .. } => "close",
            Step::Read { .. } => "read",
            Step::ReadVectored { .. } => "read_vectored",
            Step::ReadToEnd { .. } => "read_to_end",
            Step::ReadTogether { .. } => "reads together",
            Step::Write { .. } => "write",
            Step::WriteVectored { .. } => "write_vectored",
            Step::WriteTogether { .. } => "writes together",
            Step::SetLen { .. } => "set_len",
            Step::Allocate { .. } => "allocate",
            Step::PunchHole { .. } => "punch_hole",
            Step::Seek { .. } => "seek_data, seek_hole",
            Step::SetPermissionsOf { .. } => "permissions of a file",
            Step::SetTimesOf { .. } => "times of a file",
            Step::Clone { .. } => "try_clone",
            Step::Sync { .. } => "sync",
            Step::Look { .. } => "metadata of a file",
            Step::LookAt { .. } => "metadata of a path",
            Step::Exists { .. } => "exists",
            Step::ReadWhole { .. } => "fs::read",
            Step::WriteWhole { .. } => "fs::write",
            Step::Copy { .. } => "copy",
            Step::Rename { .. } => "rename",
            Step::HardLink { .. } => "hard_link",
            Step::Symlink { .. } => "symlink",
            Step::ReadLink { .. } => "read_link",
            Step::Canonicalize { .. } => "canonicalize",
            Step::SetPermissions { .. } => "set_permissions",
            Step::RemoveFile { .. } => "remove_file",
            Step::CreateDir { .. } => "create_dir",
            Step::CreateDirAll { .. } => "create_dir_all",
            Step::RemoveDir { .. } => "remove_dir",
            Step::RemoveDirAll { .. } => "remove_dir_all",
            Step::ReadDir { .. } => "read_dir",
        }
    }
}

impl How {
    /// Mostly what makes sense.
    fn random(random: &mut Random) -> Self {
        let mut chance = |percent| random.below(100) < percent;
        let (read, write, append) = (chance(75), chance(65), chance(8));
        let changes = write || append || chance(5);
        let (create, create_new) = (changes && chance(60), changes && chance(4));
        let truncate = changes && (!append || chance(5)) && chance(15);
        let flags = match (chance(15), chance(5)) {
            (false, _) => 0,
            // These wait for a disk, so there are few.
            (true, true) => [libc::O_SYNC, libc::O_DSYNC][random.below(2)],
            (true, false) => {
                let flags = [
                    libc::O_NOFOLLOW,
                    libc::O_DIRECTORY,
                    libc::O_NOATIME,
                    libc::O_NONBLOCK,
                    libc::O_PATH,
                ];
                flags[random.below(flags.len())]
            }
        };
        let mode = if random.below(2) == 0 { 0o666 } else { random.below(0o1000) as u32 };
        let mut how = How { read, write, append, truncate, create, create_new, mode, flags };
        if flags == libc::O_PATH {
            // With anything else `openat2` refuses what `openat` ignores.
            (how.read, how.write, how.append) = (true, false, false);
            (how.truncate, how.create, how.create_new) = (false, false, false);
        }
        how
    }
}

/// The folders and files that a session begins with.
pub(crate) const FOLDERS: [&str; 4] = ["a", "b", "a/b", "b/a"];
pub(crate) const FILES: [&str; 6] = ["c", "d", "a/c", "b/d", "a/b/c", "b/a/d"];

/// Few names, so that most are met again: first those of folders, then those of files; and some that have
/// a special form.
fn name(random: &mut Random, is_last: bool) -> Vec<u8> {
    match (random.below(100), is_last) {
        (0, _) => b"\xff\xfe not UTF-8 \n".to_vec(),
        (1, _) => vec![b'n'; 254 + random.below(3)],
        (2, _) => b".".to_vec(),
        (few, false) => vec![b"aaaaabbbbbc"[few % 11]],
        (few, true) => vec![b"abccdde"[few % 7]],
    }
}

/// Without `..`, also for the target of a link: never out of the tree, of which the two have different
/// names.
fn path(random: &mut Random) -> PathBuf {
    let mut path = Vec::new();
    for _ in 0..random.below(3) {
        path.extend(name(random, false));
        path.extend_from_slice(if random.below(20) == 0 { b"//" } else { b"/" });
    }
    path.extend(name(random, true));
    if random.below(40) == 0 {
        path.push(b'/');
    }
    OsStr::from_bytes(&path).into()
}

fn len(random: &mut Random) -> usize {
    match random.below(8) {
        0 => random.below(2),
        1 => random.below(70_000),
        2 => 4096 * random.below(5),
        _ => random.below(5_000),
    }
}

fn offset(random: &mut Random) -> u64 {
    let far = if random.below(12) == 0 { FAR } else { 0 };
    far + match random.below(4) {
        0 => 0,
        1 => random.below(OFFSET_MAX),
        2 => 4096 * random.below(20),
        _ => random.below(6_000),
    } as u64
}

/// Parts that do not overlap.
fn parts(random: &mut Random) -> Vec<(u64, usize)> {
    let mut begin = offset(random);
    (0..2 + random.below(6))
        .map(|_| {
            let part = (begin, 1 + random.below(3_000));
            begin += (part.1 + random.below(2_000)) as u64;
            part
        })
        .collect()
}
