//! The file that is measured: made by this program, and without a name, so that nothing is left
//! behind however the program ends.

#![forbid(unsafe_code)]

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use corering::buf::AlignedBuf;

use super::content::Content;
use super::plan::{Access, Plan};
use crate::interrupt::Interrupt;
use crate::os;
use crate::outcome::Failure;

/// The descriptor is all that keeps the file.
#[derive(Debug)]
pub(super) struct Scratch {
    file: File,
}

/// So much is written at once while the file is made.
const PIECE_BYTES: usize = 1 << 20;

impl Scratch {
    /// Makes the file that `plan` asks for, on the disk as a whole. None if interrupted.
    pub(super) fn make(plan: &Plan, interrupt: &Interrupt) -> Result<Option<Self>, Failure> {
        let directory = &plan.directory;
        let failed = |what: &str, error: io::Error| {
            Failure::Environment(format!(
                "{what} in {}: {error}; choose another directory (--dir)",
                directory.display()
            ))
        };
        let mut scratch =
            Scratch::unnamed(directory).map_err(|error| failed("no file can be made", error))?;
        if plan.access != Access::Append {
            let written = scratch.write(plan, interrupt);
            if !written.map_err(|error| failed("the file cannot be written", error))? {
                return Ok(None);
            }
        }
        if plan.is_direct {
            scratch.try_direct(plan)?;
        }
        Ok(Some(scratch))
    }

    fn unnamed(directory: &Path) -> io::Result<Self> {
        let id = std::process::id();
        let mut number = 0;
        loop {
            let path = directory.join(format!("corering-bench-{id}-{number}"));
            match File::options().read(true).write(true).create_new(true).open(&path) {
                Ok(file) => {
                    fs::remove_file(&path)?;
                    return Ok(Scratch { file });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Fills the file. It stays in the page cache, unless it is read past it.
    fn write(&mut self, plan: &Plan, interrupt: &Interrupt) -> io::Result<bool> {
        let content = Content::new(plan.seed, plan.block_bytes);
        let per_piece = (PIECE_BYTES / plan.block_bytes).max(1) as u64;
        let mut piece = Vec::new();
        let mut next = 0;
        while next < plan.blocks() {
            if interrupt.is_set() {
                return Ok(false);
            }
            let end = (next + per_piece).min(plan.blocks());
            piece.resize((end - next) as usize * plan.block_bytes, 0);
            for (number, block) in (next..end).zip(piece.chunks_exact_mut(plan.block_bytes)) {
                content.fill(block, number);
            }
            self.file.write_all(&piece)?;
            next = end;
        }
        self.file.sync_all()?;
        if plan.is_direct {
            os::drop_cache(&self.file)?;
        }
        Ok(true)
    }

    /// Whether the file system, and the disk below it, take blocks of this size directly.
    fn try_direct(&self, plan: &Plan) -> Result<(), Failure> {
        let directory = plan.directory.display();
        let mut file = super::open(plan, &self.path()).map_err(|error| {
            Failure::Environment(format!(
                "the file system of {directory} does not take O_DIRECT ({error}): leave --direct \
                 out, or choose another directory (--dir)"
            ))
        })?;
        let mut buffer = AlignedBuf::new(plan.block_bytes, 4096);
        buffer.resize(plan.block_bytes);
        // The second block, since the first is aligned to anything.
        file.seek(SeekFrom::Start(plan.block_bytes as u64))
            .and_then(|_| file.read(&mut buffer))
            .map(drop)
            .map_err(|error| {
                Failure::Environment(format!(
                    "the disk of {directory} does not read blocks of {} bytes directly ({error}): \
                     larger ones may do (--block-size)",
                    plan.block_bytes
                ))
            })
    }

    /// Where other processes open the file, as long as this process has it.
    pub(super) fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd()).into()
    }
}

/// Refuses what the disk has no room for, before it is filled.
pub(super) fn check_room(plan: &Plan, files: u64) -> Result<(), Failure> {
    let directory = plan.directory.display();
    let room = os::room_bytes(&plan.directory).map_err(|error| {
        Failure::Environment(format!("{directory}: {error}; choose another directory (--dir)"))
    })?;
    let needed = plan.file_bytes.saturating_mul(files);
    if needed <= room {
        return Ok(());
    }
    Err(Failure::Environment(format!(
        "{directory} has room for {} MiB, and {} MiB are needed: choose another directory (--dir) or \
         a smaller file (--file-size)",
        room >> 20,
        needed >> 20
    )))
}
