//! The operations, by corering.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use corering::fs::{self, Dir, File, FileTimes, FileType, Metadata, OpenOptions, ReadDir};
use futures_util::future::join_all;

use super::beneath;
use super::outcome::{Answer, Facts, Outcome};
use super::step::{How, SLOTS, Step};
use super::theirs::{below, bytes};

/// A tree, and what is open of it.
pub(crate) struct Ours {
    root: PathBuf,
    /// The root, open, if paths are taken from there.
    beneath: Option<Dir>,
    open: [Option<File>; SLOTS],
}

impl Ours {
    /// `beneath`: paths are taken from the root by a handle of it.
    pub(crate) async fn new(root: PathBuf, beneath: bool) -> Self {
        let beneath = match beneath {
            true => Some(Dir::open(&root).await.expect("the tree is there")),
            false => None,
        };
        Ours { root, beneath, open: Default::default() }
    }

    pub(crate) async fn make(&mut self, step: &Step) -> Outcome {
        Ok(self.answer(step).await?)
    }

    async fn answer(&mut self, step: &Step) -> io::Result<Answer> {
        if let Some(root) = &self.beneath
            && let Some(answer) = beneath::answer(root, step).await
        {
            return answer;
        }
        let at = |path: &PathBuf| self.root.join(path);
        let done = |()| Answer::Nothing;
        match step {
            Step::Open { slot, path, how } => {
                let opened = match &self.beneath {
                    Some(root) => root.open_with(&options(how), path).await,
                    None => options(how).open(at(path)).await,
                };
                self.open[*slot] = None;
                self.open[*slot] = Some(opened?);
                Ok(Answer::Nothing)
            }
            Step::Close { slot } => {
                if let Some(file) = self.open[*slot].take() {
                    file.close().await?;
                }
                Ok(Answer::Nothing)
            }
            Step::Clone { from, slot } => {
                let Some(file) = &self.open[*from] else { return Ok(Answer::NoFile) };
                self.open[*slot] = Some(file.try_clone()?);
                Ok(Answer::Nothing)
            }
            Step::LookAt { path, follows: true } => fs::metadata(at(path)).await.map(facts),
            Step::LookAt { path, .. } => fs::symlink_metadata(at(path)).await.map(facts),
            Step::Exists { path } => fs::exists(at(path)).await.map(Answer::Truth),
            Step::ReadWhole { path } => fs::read(at(path)).await.map(Answer::Bytes),
            Step::WriteWhole { path, len, fill } => {
                let written = fs::write(at(path), bytes(*len, *fill)).await;
                written.map(|_| Answer::Nothing).map_err(io::Error::from)
            }
            Step::Copy { from, to } => fs::copy(at(from), at(to)).await.map(Answer::Number),
            Step::Rename { from, to } => fs::rename(at(from), at(to)).await.map(done),
            Step::HardLink { from, to } => fs::hard_link(at(from), at(to)).await.map(done),
            Step::Symlink { target, path } => fs::symlink(target, at(path)).await.map(done),
            Step::ReadLink { path } => fs::read_link(at(path)).await.map(Answer::Path),
            Step::Canonicalize { path } => {
                let path = fs::canonicalize(at(path)).await;
                path.map(|path| below(&self.root, &path))
            }
            Step::SetPermissions { path, mode } => {
                fs::set_permissions(at(path), Permissions::from_mode(*mode)).await.map(done)
            }
            Step::RemoveFile { path } => fs::remove_file(at(path)).await.map(done),
            Step::CreateDir { path } => fs::create_dir(at(path)).await.map(done),
            Step::CreateDirAll { path } => fs::create_dir_all(at(path)).await.map(done),
            Step::RemoveDir { path } => fs::remove_dir(at(path)).await.map(done),
            Step::RemoveDirAll { path } => fs::remove_dir_all(at(path)).await.map(done),
            Step::ReadDir { path } => entries(fs::read_dir(at(path)).await?).await,
            of_file => self.answer_of_file(of_file).await,
        }
    }

    async fn answer_of_file(&mut self, step: &Step) -> io::Result<Answer> {
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
        let done = |()| Answer::Nothing;
        match step {
            Step::Read { offset, len, .. } => read(file, *offset, *len).await.map(Answer::Bytes),
            Step::ReadVectored { offset, lens, .. } => {
                read_vectored(file, *offset, lens).await.map(Answer::Bytes)
            }
            Step::ReadToEnd { .. } => file.read_to_end().await.map(Answer::Bytes),
            Step::ReadTogether { parts, .. } => {
                let reads = parts.iter().map(|(offset, len)| read(file, *offset, *len));
                // Each to its end: a file cannot be closed under one that was dropped.
                let read: io::Result<Vec<_>> = join_all(reads).await.into_iter().collect();
                Ok(Answer::Bytes(read?.concat()))
            }
            Step::Write { offset, len, fill, .. } => {
                write(file, *offset, *len, *fill).await.map(done)
            }
            Step::WriteVectored { offset, lens, fill, .. } => {
                write_vectored(file, *offset, lens, *fill).await.map(done)
            }
            Step::WriteTogether { parts, fill, .. } => {
                let writes = parts.iter().map(|(offset, len)| write(file, *offset, *len, *fill));
                let written: io::Result<Vec<()>> = join_all(writes).await.into_iter().collect();
                written.map(|_| Answer::Nothing)
            }
            Step::SetLen { len, .. } => file.set_len(*len).await.map(done),
            Step::Allocate { offset, len, .. } => file.allocate(*offset, *len).await.map(done),
            Step::PunchHole { offset, len, .. } => file.punch_hole(*offset, *len).await.map(done),
            // Where data begins depends on the copies: std's have no holes.
            Step::Seek { offset, to_data: true, .. } => {
                file.seek_data(*offset).await.map(|_| Answer::Nothing)
            }
            Step::Seek { offset, .. } => file.seek_hole(*offset).await.map(|_| Answer::Nothing),
            Step::SetPermissionsOf { mode, .. } => {
                file.set_permissions(Permissions::from_mode(*mode)).await.map(done)
            }
            Step::SetTimesOf { seconds, .. } => {
                let time = UNIX_EPOCH + Duration::from_secs(*seconds);
                file.set_times(FileTimes::new().set_modified(time)).await?;
                let known = file.metadata().await?.modified();
                Ok(Answer::Number(known.duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs())))
            }
            Step::Sync { data_only: true, .. } => file.sync_data().await.map(done),
            Step::Sync { .. } => file.sync_all().await.map(done),
            _ => file.metadata().await.map(facts),
        }
    }
}

async fn read(file: &File, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while bytes.len() < len {
        let buf = Vec::with_capacity(len - bytes.len());
        let (count, part) = file.read_at(buf, offset + bytes.len() as u64).await?;
        if count == 0 {
            break;
        }
        bytes.extend(part);
    }
    Ok(bytes)
}

async fn read_vectored(file: &File, offset: u64, lens: &[usize]) -> io::Result<Vec<u8>> {
    let bufs: Vec<Vec<u8>> = lens.iter().map(|len| Vec::with_capacity(*len)).collect();
    let (count, bufs) = file.read_vectored_at(bufs, offset).await?;
    let mut bytes = bufs.concat();
    assert_eq!(bytes.len(), count, "the buffers have what was counted");
    let wanted: usize = lens.iter().sum();
    if count > 0 && count < wanted {
        bytes.extend(read(file, offset + count as u64, wanted - count).await?);
    }
    Ok(bytes)
}

async fn write(file: &File, offset: u64, len: usize, fill: u8) -> io::Result<()> {
    if len == 0 {
        return file.write_at(Vec::new(), offset).await.map(drop).map_err(io::Error::from);
    }
    file.write_all_at(bytes(len, fill), offset).await.map(drop).map_err(io::Error::from)
}

async fn write_vectored(file: &File, offset: u64, lens: &[usize], fill: u8) -> io::Result<()> {
    let all = bytes(lens.iter().sum(), fill);
    let mut rest = &all[..];
    let bufs = lens.iter().map(|len| {
        let (part, after) = rest.split_at(*len);
        rest = after;
        part.to_vec()
    });
    let (count, _) = file.write_vectored_at(bufs.collect(), offset).await?;
    if count > 0 && count < all.len() {
        file.write_all_at(all[count..].to_vec(), offset + count as u64).await?;
    }
    Ok(())
}

fn options(how: &How) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(how.read).write(how.write).append(how.append).truncate(how.truncate);
    options.create(how.create).create_new(how.create_new).mode(how.mode).custom_flags(how.flags);
    options
}

pub(crate) async fn entries(mut reading: ReadDir) -> io::Result<Answer> {
    let mut entries = Vec::new();
    while let Some(entry) = reading.next_entry().await? {
        entries.push((entry.file_name().into(), kind_of(entry.file_type().await?)));
    }
    entries.sort();
    Ok(Answer::Entries(entries))
}

pub(crate) fn facts(known: Metadata) -> Answer {
    let kind = kind_of(known.file_type());
    let len = if kind == 'd' { 0 } else { known.len() };
    Answer::Facts(Facts { kind, mode: known.mode(), len, nlink: known.nlink() })
}

fn kind_of(kind: FileType) -> char {
    match () {
        () if kind.is_file() => 'f',
        () if kind.is_dir() => 'd',
        () if kind.is_symlink() => 'l',
        () if kind.is_fifo() => 'p',
        () => '?',
    }
}
