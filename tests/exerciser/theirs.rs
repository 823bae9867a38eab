//! The operations, by the standard library.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{
    FileExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink,
};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use super::outcome::{Answer, Facts, Outcome};
use super::step::{How, SLOTS, Step};

/// A tree, and what is open of it.
pub(crate) struct Theirs {
    root: PathBuf,
    open: [Option<File>; SLOTS],
}

/// A file that is longer is not read as a whole: it is one with a part far behind.
const WHOLE_MAX: u64 = 8 << 20;

impl Theirs {
    pub(crate) fn new(root: PathBuf) -> Self {
        Theirs { root, open: Default::default() }
    }

    /// Whether an operation is one to make: none that takes much time, that may end in several ways, or
    /// that corering refuses to begin (a copy of a file onto itself, which empties it).
    pub(crate) fn can_bear(&self, step: &Step) -> bool {
        match step {
            Step::ReadToEnd { slot } => {
                let file = self.open[*slot].as_ref();
                file.and_then(|file| file.metadata().ok()).is_none_or(|it| it.len() <= WHOLE_MAX)
            }
            Step::WriteTogether { slot, .. } => {
                // SAFETY: F_GETFL takes no argument.
                let flags = |file: &File| unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETFL) };
                let flags = self.open[*slot].as_ref().map_or(0, flags);
                // Which of them appends first is open.
                flags & libc::O_APPEND == 0
            }
            Step::Seek { slot, .. } => {
                let known = self.open[*slot].as_ref().and_then(|file| file.metadata().ok());
                known.is_none_or(|known| known.is_file())
            }
            // Where std removes what is in the folder, and says then that this is no name to remove it by, a
            // folder that is open says so first; and a link with a slash behind it is a link to it.
            Step::RemoveDirAll { path } => {
                let path = path.as_os_str().as_bytes();
                path != b"." && !path.ends_with(b"/.") && !path.ends_with(b"/")
            }
            Step::ReadWhole { path } => self.len_of(path) <= WHOLE_MAX,
            Step::Copy { from, to } => {
                let known = |path| fs::metadata(self.root.join(path)).ok().map(|it| it.ino());
                let is_same = known(from).is_some_and(|from| Some(from) == known(to));
                !is_same && self.len_of(from) <= WHOLE_MAX
            }
            _ => true,
        }
    }

    fn len_of(&self, path: &Path) -> u64 {
        fs::metadata(self.root.join(path)).map_or(0, |it| it.len())
    }

    pub(crate) fn make(&mut self, step: &Step) -> Outcome {
        Ok(self.answer(step)?)
    }

    fn answer(&mut self, step: &Step) -> io::Result<Answer> {
        let at = |path: &PathBuf| self.root.join(path);
        let done = |()| Answer::Nothing;
        match step {
            Step::Open { slot, path, how } => {
                let opened = options(how).open(at(path));
                self.open[*slot] = None;
                self.open[*slot] = Some(opened?);
                Ok(Answer::Nothing)
            }
            Step::Close { slot } => {
                self.open[*slot] = None;
                Ok(Answer::Nothing)
            }
            Step::Clone { from, slot } => {
                let Some(file) = &self.open[*from] else { return Ok(Answer::NoFile) };
                self.open[*slot] = Some(file.try_clone()?);
                Ok(Answer::Nothing)
            }
            Step::LookAt { path, follows: true } => fs::metadata(at(path)).map(|it| facts(&it)),
            Step::LookAt { path, .. } => fs::symlink_metadata(at(path)).map(|it| facts(&it)),
            Step::Exists { path } => fs::exists(at(path)).map(Answer::Truth),
            Step::ReadWhole { path } => fs::read(at(path)).map(Answer::Bytes),
            Step::WriteWhole { path, len, fill } => {
                fs::write(at(path), bytes(*len, *fill)).map(done)
            }
            Step::Copy { from, to } => fs::copy(at(from), at(to)).map(Answer::Number),
            Step::Rename { from, to } => fs::rename(at(from), at(to)).map(done),
            Step::HardLink { from, to } => fs::hard_link(at(from), at(to)).map(done),
            Step::Symlink { target, path } => symlink(target, at(path)).map(done),
            Step::ReadLink { path } => fs::read_link(at(path)).map(Answer::Path),
            Step::Canonicalize { path } => {
                fs::canonicalize(at(path)).map(|path| below(&self.root, &path))
            }
            Step::SetPermissions { path, mode } => {
                fs::set_permissions(at(path), Permissions::from_mode(*mode)).map(done)
            }
            Step::RemoveFile { path } => fs::remove_file(at(path)).map(done),
            Step::CreateDir { path } => fs::create_dir(at(path)).map(done),
            Step::CreateDirAll { path } => fs::create_dir_all(at(path)).map(done),
            Step::RemoveDir { path } => fs::remove_dir(at(path)).map(done),
            Step::RemoveDirAll { path } => fs::remove_dir_all(at(path)).map(done),
            Step::ReadDir { path } => {
                let mut entries = Vec::new();
                for entry in fs::read_dir(at(path))? {
                    let entry = entry?;
                    entries.push((entry.file_name().into(), kind_of(entry.file_type()?)));
                }
                entries.sort();
                Ok(Answer::Entries(entries))
            }
            of_file => self.answer_of_file(of_file),
        }
    }

    fn answer_of_file(&mut self, step: &Step) -> io::Result<Answer> {
        let (Step::Read { slot, .. }
        | Step::ReadVectored { slot, .. }
        | Step::ReadToEnd { slot }
        | Step::ReadTogether { slot, .. }
        | Step::Write { slot, .. }
        | Step::WriteVectored { slot, .. }
        | Step::WriteTogether { slot, .. }
        | Step::SetLen { slot, .. }
        | Step::Allocate { slot, .. }
        | Step::PunchHole { slot, .. }
        | Step::Seek { slot, .. }
        | Step::SetPermissionsOf { slot, .. }
        | Step::SetTimesOf { slot, .. }
        | Step::Sync { slot, .. }
        | Step::Look { slot }) = step
        else {
            unreachable!("the others are of paths")
        };
        let Some(file) = &self.open[*slot] else { return Ok(Answer::NoFile) };
        match step {
            Step::Read { offset, len, .. } => read(file, *offset, *len).map(Answer::Bytes),
            Step::ReadVectored { offset, lens, .. } => {
                read(file, *offset, lens.iter().sum()).map(Answer::Bytes)
            }
            Step::ReadToEnd { .. } => {
                let mut bytes = Vec::new();
                let mut again = file;
                io::Seek::rewind(&mut again)?;
                again.read_to_end(&mut bytes)?;
                Ok(Answer::Bytes(bytes))
            }
            Step::ReadTogether { parts, .. } => {
                let read: io::Result<Vec<_>> =
                    parts.iter().map(|(offset, len)| read(file, *offset, *len)).collect();
                Ok(Answer::Bytes(read?.concat()))
            }
            Step::Write { offset, len, fill, .. } => {
                write(file, *offset, &bytes(*len, *fill)).map(|()| Answer::Nothing)
            }
            Step::WriteVectored { offset, lens, fill, .. } => {
                write(file, *offset, &bytes(lens.iter().sum(), *fill)).map(|()| Answer::Nothing)
            }
            Step::WriteTogether { parts, fill, .. } => {
                parts.iter().try_for_each(|(at, len)| write(file, *at, &bytes(*len, *fill)))?;
                Ok(Answer::Nothing)
            }
            Step::SetLen { len, .. } => file.set_len(*len).map(|()| Answer::Nothing),
            Step::Allocate { offset, len, .. } => reserve(file, 0, *offset, *len),
            Step::PunchHole { offset, len, .. } => {
                let hole = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
                reserve(file, hole, *offset, *len)
            }
            Step::Seek { offset, to_data, .. } => {
                let whence = if *to_data { libc::SEEK_DATA } else { libc::SEEK_HOLE };
                // SAFETY: the call takes numbers.
                let found = unsafe { libc::lseek(file.as_raw_fd(), *offset as i64, whence) };
                let error = io::Error::last_os_error();
                match found < 0 && error.raw_os_error() != Some(libc::ENXIO) {
                    true => Err(error),
                    false => Ok(Answer::Nothing),
                }
            }
            Step::SetPermissionsOf { mode, .. } => {
                file.set_permissions(Permissions::from_mode(*mode)).map(|()| Answer::Nothing)
            }
            Step::SetTimesOf { seconds, .. } => {
                file.set_modified(UNIX_EPOCH + Duration::from_secs(*seconds))?;
                let known = file.metadata()?.modified()?;
                Ok(Answer::Number(known.duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs())))
            }
            Step::Sync { data_only: true, .. } => file.sync_data().map(|()| Answer::Nothing),
            Step::Sync { .. } => file.sync_all().map(|()| Answer::Nothing),
            _ => file.metadata().map(|it| facts(&it)),
        }
    }
}

fn reserve(file: &File, mode: i32, offset: u64, len: u64) -> io::Result<Answer> {
    // SAFETY: the call takes numbers.
    match unsafe { libc::fallocate(file.as_raw_fd(), mode, offset as i64, len as i64) } {
        0 => Ok(Answer::Nothing),
        _ => Err(io::Error::last_os_error()),
    }
}

/// What is written: not the same everywhere, so that nothing goes to a wrong place unseen.
pub(crate) fn bytes(len: usize, fill: u8) -> Vec<u8> {
    (0..len).map(|index| fill ^ (index / 3) as u8).collect()
}

fn read(file: &File, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    let mut filled = 0;
    while filled < len {
        match file.read_at(&mut bytes[filled..], offset + filled as u64)? {
            0 => break,
            count => filled += count,
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

fn write(file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
    if bytes.is_empty() {
        // The loop would make no call.
        return file.write_at(bytes, offset).map(drop);
    }
    file.write_all_at(bytes, offset)
}

fn options(how: &How) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(how.read).write(how.write).append(how.append).truncate(how.truncate);
    options.create(how.create).create_new(how.create_new).mode(how.mode).custom_flags(how.flags);
    options
}

pub(crate) fn facts(known: &Metadata) -> Answer {
    Answer::Facts(facts_of(known))
}

pub(crate) fn facts_of(known: &Metadata) -> Facts {
    let kind = kind_of(known.file_type());
    let len = if kind == 'd' { 0 } else { known.len() };
    Facts { kind, mode: known.mode(), len, nlink: known.nlink() }
}

fn kind_of(kind: fs::FileType) -> char {
    match () {
        () if kind.is_file() => 'f',
        () if kind.is_dir() => 'd',
        () if kind.is_symlink() => 'l',
        () if kind.is_fifo() => 'p',
        () => '?',
    }
}

/// A path without the tree's own.
pub(crate) fn below(root: &Path, path: &Path) -> Answer {
    let root = fs::canonicalize(root).expect("the tree is there");
    Answer::Path(path.strip_prefix(root).map_or_else(|_| path.into(), Path::to_path_buf))
}
