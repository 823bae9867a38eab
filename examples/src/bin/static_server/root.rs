//! The served folder: finds what a resource names, and never anything outside.

use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use corering::fs::{CachedFile, File, FileCache, FileCacheBuilder, OpenOptions};
use corering_examples::complain;
use rustix::fs::{Dir, FileType, OFlags};
use rustix::io::Errno;

use crate::codings::{Accepted, Coding};
use crate::listing::{ENTRIES_MAX, Entry};
use crate::resource::Resource;
use crate::status::{Refusal, Status};
use crate::variants::Kept;

/// The served folder.
#[derive(Debug)]
pub(crate) struct Root {
    /// Everything below it.
    files: FileCache<Kept>,
}

/// An open file or folder.
pub(crate) type Opened = Rc<CachedFile<Kept>>;

/// What a resource names.
pub(crate) enum Found {
    File(Document),
    /// A folder whose target lacks the slash that links in its pages need.
    FolderWithoutSlash,
    /// A folder without an index page.
    Listing(Vec<Entry>),
}

/// A regular file, open.
pub(crate) struct Document {
    pub(crate) opened: Opened,
    /// Of the file as it is, also where a variant of it is open.
    pub(crate) path: PathBuf,
    pub(crate) coding: Option<Coding>,
}

impl Root {
    /// Opens the folder once, so that renaming it, or a folder above it, changes nothing.
    pub(crate) async fn open(path: &Path, cache: FileCacheBuilder) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY.bits().cast_signed();
        let folder = OpenOptions::new().read(true).custom_flags(flags).open(path).await?;
        Ok(Self { files: cache.beneath(&folder) })
    }

    /// Opens what the resource names, in a coding that is accepted.
    pub(crate) async fn find(
        &self,
        resource: &Resource,
        accepted: &Accepted,
    ) -> Result<Found, Refusal> {
        let opened = self.get(resource.path()).await?;
        if opened.metadata().is_file() {
            if resource.wants_folder {
                return Err(Refusal::new(Status::NotFound, "There is a file here, no folder."));
            }
            let plain = Document { opened, path: resource.path().to_owned(), coding: None };
            return Ok(Found::File(self.in_wanted_coding(plain, accepted).await));
        }
        if !opened.metadata().is_dir() {
            return Err(NOT_A_FILE);
        }
        if !resource.wants_folder {
            return Ok(Found::FolderWithoutSlash);
        }
        let index = resource.index();
        match self.get(&index).await {
            Ok(opened) if opened.metadata().is_file() => {
                let plain = Document { opened, path: index, coding: None };
                Ok(Found::File(self.in_wanted_coding(plain, accepted).await))
            }
            Ok(_) => Err(NOT_A_FILE),
            Err(refusal) if refusal.status == Status::NotFound => {
                Ok(Found::Listing(list(opened.file()).await.map_err(|error| refuse(&error))?))
            }
            Err(refusal) => Err(refusal),
        }
    }

    /// Notices files that change as they change, where the kernel has room for that: the check of
    /// once a second is enough.
    pub(crate) async fn follow_changes(&self) {
        let Err(error) = self.files.follow_changes().await;
        complain(format_args!("static_server: files are checked once a second alone: {error}"));
    }

    pub(crate) async fn get(&self, path: &Path) -> Result<Opened, Refusal> {
        self.files.get(path).await.map_err(|error| refuse(&error))
    }
}

/// Reads the entries of an open folder, on a thread that may wait for the disk.
async fn list(folder: &File) -> io::Result<Vec<Entry>> {
    let folder = folder.as_fd().try_clone_to_owned()?;
    let read = corering::spawn_blocking(move || {
        let mut entries = Vec::new();
        for entry in Dir::read_from(&folder)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            let name = std::os::unix::ffi::OsStrExt::from_bytes(name);
            let name: &std::ffi::OsStr = name;
            entries.push(Entry {
                is_file: entry.file_type() != FileType::Directory,
                name: name.to_owned(),
            });
            // One more than is shown tells the page that it is cut.
            if entries.len() > ENTRIES_MAX {
                break;
            }
        }
        Ok(entries)
    });
    read.await.map_err(io::Error::other)?
}

const NOT_A_FILE: Refusal =
    Refusal::new(Status::Forbidden, "There is neither a file nor a folder here.");

/// What the failure to open or look at a file means to a client.
fn refuse(error: &io::Error) -> Refusal {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG | Errno::LOOP) => {
            Refusal::new(Status::NotFound, "There is nothing here.")
        }
        Some(Errno::ACCESS | Errno::PERM) => {
            Refusal::new(Status::Forbidden, "The server may not read this file.")
        }
        Some(Errno::XDEV) => Refusal::new(Status::Forbidden, "A link leads out of the root."),
        // What a socket and a device without a driver answer to open.
        Some(Errno::NXIO | Errno::NODEV) => NOT_A_FILE,
        Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::AGAIN) => {
            Refusal::new(Status::ServiceUnavailable, "The server is at its limit. Try again.")
        }
        _ => {
            complain(format_args!("static_server: a file cannot be opened: {error}"));
            Refusal::new(Status::InternalServerError, "The server could not read this file.")
        }
    }
}
