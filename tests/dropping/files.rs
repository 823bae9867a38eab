//! Rows of files: what is on the disk is as it was, or as it was to be.

use std::fs::{self as std_fs, Permissions};
use std::io::{self, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use corering::fs::{self, Cursor, Dir, DirEntry, File, FileCache, OpenOptions};
use corering::yield_now;
use futures_util::TryFutureExt;

use crate::dirs;
use crate::moments::{Boxed, Moment, World, drop_at};
use crate::net::nothing_is_in_flight;

/// A folder with a file and an empty folder in it.
pub(crate) struct Folder(PathBuf);

impl Folder {
    fn new() -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("dropping-{}-{number}", std::process::id());
        let folder = Folder(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name));
        std_fs::create_dir(&folder.0)?;
        std_fs::create_dir(folder.0.join("empty"))?;
        std_fs::write(folder.0.join("file"), BEFORE)?;
        Ok(folder)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn dir(&self) -> Dir {
        Dir::from(OwnedFd::from(std_fs::File::open(&self.0).expect("it is there")))
    }

    fn file(&self) -> File {
        let file = std_fs::OpenOptions::new().read(true).write(true).open(self.path("file"));
        File::from(OwnedFd::from(file.expect("it was just written")))
    }

    /// All that is in it.
    fn look(&self) -> io::Result<Vec<String>> {
        let mut all = Vec::new();
        for entry in std_fs::read_dir(&self.0)? {
            let entry = entry?;
            let name = entry.file_name().into_string().expect("it is one of ours");
            all.push(match entry.file_type()?.is_dir() {
                true => name,
                false => format!("{name}={}", std_fs::read_to_string(entry.path())?),
            });
        }
        all.sort();
        Ok(all)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std_fs::remove_dir_all(&self.0);
    }
}

const BEFORE: &str = "0123456789";

/// What is done with a folder, and what is in it then; and what may be in it half way.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) begin: fn(&Folder) -> Boxed<'static, io::Result<()>>,
    pub(crate) after: &'static [&'static str],
    pub(crate) between: Option<&'static [&'static str]>,
}

pub(crate) const fn row(
    name: &'static str,
    begin: fn(&Folder) -> Boxed<'static, io::Result<()>>,
    after: &'static [&'static str],
) -> Row {
    Row { name, begin, after, between: None }
}

pub(crate) const UNCHANGED: &[&str] = &["empty", "file=0123456789"];
const WRITTEN: &[&str] = &["empty", "file=abcde56789"];

const ROWS: &[Row] = &[
    row("File::open", |it| Box::pin(File::open(it.path("file")).map_ok(drop)), UNCHANGED),
    row(
        "File::create",
        |it| Box::pin(File::create(it.path("new")).map_ok(drop)),
        &["empty", "file=0123456789", "new="],
    ),
    row(
        "File::create",
        |it| Box::pin(File::create(it.path("file")).map_ok(drop)),
        &["empty", "file="],
    ),
    row(
        "OpenOptions::open",
        |it| {
            let mut options = OpenOptions::new();
            Box::pin(options.write(true).create_new(true).open(it.path("new")).map_ok(drop))
        },
        &["empty", "file=0123456789", "new="],
    ),
    row(
        "File::read_at",
        |it| Box::pin(it.file().read_at(vec![0; 4], 2).map_ok(drop).err_into()),
        UNCHANGED,
    ),
    row(
        "File::read_vectored_at",
        |it| Box::pin(it.file().read_vectored_at(vec![vec![0; 4]; 2], 2).map_ok(drop).err_into()),
        UNCHANGED,
    ),
    row(
        "File::read_exact_at",
        |it| Box::pin(it.file().read_exact_at(vec![0; 4], 4, 2).map_ok(drop).err_into()),
        UNCHANGED,
    ),
    row("File::read_to_end", |it| Box::pin(it.file().read_to_end().map_ok(drop)), UNCHANGED),
    row("fs::read", |it| Box::pin(fs::read(it.path("file")).map_ok(drop)), UNCHANGED),
    row(
        "File::write_at",
        |it| Box::pin(it.file().write_at("abcde", 0).map_ok(drop).err_into()),
        WRITTEN,
    ),
    row(
        "File::write_vectored_at",
        |it| Box::pin(it.file().write_vectored_at(vec!["ab", "cde"], 0).map_ok(drop).err_into()),
        WRITTEN,
    ),
    row(
        "File::write_all_at",
        |it| Box::pin(it.file().write_all_at("abcde", 0).map_ok(drop).err_into()),
        WRITTEN,
    ),
    Row {
        name: "fs::write",
        begin: |it| Box::pin(fs::write(it.path("file"), "abcde").map_ok(drop).err_into()),
        after: &["empty", "file=abcde"],
        between: Some(&["empty", "file="]),
    },
    row("File::sync_all", |it| Box::pin(it.file().sync_all()), UNCHANGED),
    row("File::sync_data", |it| Box::pin(it.file().sync_data()), UNCHANGED),
    row("File::metadata", |it| Box::pin(it.file().metadata().map_ok(drop)), UNCHANGED),
    row("fs::metadata", |it| Box::pin(fs::metadata(it.path("file")).map_ok(drop)), UNCHANGED),
    row(
        "fs::symlink_metadata",
        |it| Box::pin(fs::symlink_metadata(it.path("file")).map_ok(drop)),
        UNCHANGED,
    ),
    row("fs::exists", |it| Box::pin(fs::exists(it.path("file")).map_ok(drop)), UNCHANGED),
    row(
        "FileCache::get",
        |it| {
            let folder = std_fs::File::open(it.path("")).expect("it was just made");
            let cache: FileCache = FileCache::builder().beneath(&folder.into());
            Box::pin(async move { cache.get("file").await.map(drop) })
        },
        UNCHANGED,
    ),
    row("File::set_len", |it| Box::pin(it.file().set_len(4)), &["empty", "file=0123"]),
    row(
        "File::allocate",
        |it| Box::pin(it.file().allocate(0, 12)),
        &["empty", "file=0123456789\0\0"],
    ),
    row("File::seek_data", |it| Box::pin(it.file().seek_data(0).map_ok(drop)), UNCHANGED),
    row("File::seek_hole", |it| Box::pin(it.file().seek_hole(0).map_ok(drop)), UNCHANGED),
    row("File::lock", |it| Box::pin(it.file().lock()), UNCHANGED),
    row("File::lock_shared", |it| Box::pin(it.file().lock_shared()), UNCHANGED),
    row("File::into_std", |it| Box::pin(into_std(it.file())), UNCHANGED),
    row(
        "File::punch_hole",
        |it| Box::pin(it.file().punch_hole(2, 3)),
        &["empty", "file=01\0\0\x0056789"],
    ),
    row("File::sync_range", |it| Box::pin(it.file().sync_range(0, 0)), UNCHANGED),
    row("File::advise", |it| Box::pin(it.file().advise(0, 0, fs::Advice::DontNeed)), UNCHANGED),
    row(
        "File::set_permissions",
        |it| Box::pin(it.file().set_permissions(Permissions::from_mode(0o600))),
        UNCHANGED,
    ),
    row("File::set_times", |it| Box::pin(it.file().set_times(epoch())), UNCHANGED),
    row(
        "File::set_modified",
        |it| Box::pin(it.file().set_modified(std::time::UNIX_EPOCH)),
        UNCHANGED,
    ),
    row("fs::set_times", |it| Box::pin(fs::set_times(it.path("file"), epoch())), UNCHANGED),
    Row {
        name: "DirBuilder::create",
        begin: |it| Box::pin(fs::DirBuilder::new().recursive(true).create(it.path("new/below"))),
        after: &["empty", "file=0123456789", "new"],
        between: Some(UNCHANGED),
    },
    row("File::prefetch", |it| Box::pin(it.file().prefetch(0, 10)), UNCHANGED),
    row(
        "Cursor::seek",
        |it| {
            let mut cursor = Cursor::new(it.file());
            Box::pin(async move { cursor.seek(SeekFrom::End(0)).await.map(drop) })
        },
        UNCHANGED,
    ),
    row("File::close", |it| Box::pin(it.file().close()), UNCHANGED),
    row("fs::remove_file", |it| Box::pin(fs::remove_file(it.path("file"))), &["empty"]),
    row("fs::remove_dir", |it| Box::pin(fs::remove_dir(it.path("empty"))), &["file=0123456789"]),
    row(
        "fs::rename",
        |it| Box::pin(fs::rename(it.path("file"), it.path("other"))),
        &["empty", "other=0123456789"],
    ),
    row(
        "fs::read_to_string",
        |it| Box::pin(fs::read_to_string(it.path("file")).map_ok(drop)),
        UNCHANGED,
    ),
    row("fs::read_dir", |it| Box::pin(fs::read_dir(it.path("")).map_ok(drop)), UNCHANGED),
    row("ReadDir::next_entry", |it| Box::pin(first_entry(it.path("")).map_ok(drop)), UNCHANGED),
    row(
        "DirEntry::file_type",
        |it| {
            let path = it.path("");
            Box::pin(async { first_entry(path).await?.file_type().await.map(drop) })
        },
        UNCHANGED,
    ),
    row(
        "DirEntry::metadata",
        |it| {
            let path = it.path("");
            Box::pin(async { first_entry(path).await?.metadata().await.map(drop) })
        },
        UNCHANGED,
    ),
    row(
        "fs::canonicalize",
        |it| Box::pin(fs::canonicalize(it.path("file")).map_ok(drop)),
        UNCHANGED,
    ),
    row("fs::read_link", |_| Box::pin(fs::read_link("/proc/self/exe").map_ok(drop)), UNCHANGED),
    row(
        "fs::set_permissions",
        |it| Box::pin(fs::set_permissions(it.path("file"), Permissions::from_mode(0o600))),
        UNCHANGED,
    ),
    row(
        "fs::symlink",
        |it| Box::pin(fs::symlink("file", it.path("link"))),
        &["empty", "file=0123456789", "link=0123456789"],
    ),
    row(
        "fs::hard_link",
        |it| Box::pin(fs::hard_link(it.path("file"), it.path("link"))),
        &["empty", "file=0123456789", "link=0123456789"],
    ),
    Row {
        name: "fs::copy",
        begin: |it| Box::pin(fs::copy(it.path("file"), it.path("new")).map_ok(drop)),
        after: &["empty", "file=0123456789", "new=0123456789"],
        between: Some(&["empty", "file=0123456789", "new="]),
    },
    Row {
        name: "fs::remove_dir_all",
        begin: |it| Box::pin(fs::remove_dir_all(it.path("empty"))),
        after: &["file=0123456789"],
        between: Some(UNCHANGED),
    },
    Row {
        name: "fs::create_dir_all",
        begin: |it| Box::pin(fs::create_dir_all(it.path("new/below"))),
        after: &["empty", "file=0123456789", "new"],
        between: Some(UNCHANGED),
    },
    row(
        "fs::create_dir",
        |it| Box::pin(fs::create_dir(it.path("new"))),
        &["empty", "file=0123456789", "new"],
    ),
];

fn epoch() -> fs::FileTimes {
    let epoch = std::time::UNIX_EPOCH;
    fs::FileTimes::new().set_accessed(epoch).set_modified(epoch)
}

async fn into_std(file: File) -> io::Result<()> {
    drop(file.into_std().await);
    Ok(())
}

async fn first_entry(path: PathBuf) -> io::Result<DirEntry> {
    let mut entries = fs::read_dir(path).await?;
    Ok(entries.next_entry().await?.expect("it has two"))
}

/// All rows of files at one moment.
pub(crate) async fn are_as_before_or_after(world: &World, moment: Moment) -> io::Result<()> {
    for Row { name, begin, after, between } in ROWS.iter().chain(dirs::ROWS) {
        let folder = Folder::new()?;
        let ended = drop_at(world, moment, begin(&folder), nothing_is_in_flight).await;
        let ended = ended.transpose()?.is_some();
        nothing_is_in_flight().await;
        let found = loop {
            // What the pool still does has a name for a moment that nobody else is to see.
            match folder.look() {
                Ok(found) if !found.iter().any(|name| name.starts_with(".corering-")) => {
                    break found;
                }
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => yield_now().await,
            }
        };
        let mut may_be = Vec::new();
        match moment {
            Moment::NotBegun => may_be.push(UNCHANGED),
            _ if ended => may_be.push(*after),
            // A step has ended, and it may have been the only one.
            Moment::Done if between.is_none() => may_be.push(*after),
            _ => may_be.extend([Some(UNCHANGED), Some(*after), *between].into_iter().flatten()),
        }
        assert!(may_be.iter().any(|it| found == *it), "{name}, {moment:?}: {found:?}");
    }
    Ok(())
}
