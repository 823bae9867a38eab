//! Rows of what is done below an open folder, and of new files that get their name last.

use std::fs::Permissions;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;

use corering::fs::{Dir, OpenOptions, TempFile, atomic_write, tempfile, tempfile_in};
use futures_util::TryFutureExt;

use crate::files::{Row, UNCHANGED, row};

/// A row of a method that borrows its folder.
macro_rules! below {
    ($name:literal, |$dir:ident| $call:expr, $after:expr $(, $between:expr)?) => {
        Row {
            name: $name,
            begin: |it| {
                let $dir = it.dir();
                Box::pin(async move { $call.await.map(drop).map_err(std::io::Error::from) })
            },
            after: $after,
            between: below!($($between)?),
        }
    };
    () => { None };
    ($between:expr) => { Some($between) };
}

const WITH_LINK: &[&str] = &["empty", "file=0123456789", "link=0123456789"];
const WITH_NEW: &[&str] = &["empty", "file=0123456789", "new"];

pub(crate) const ROWS: &[Row] = &[
    row("Dir::open", |it| Box::pin(Dir::open(it.path("")).map_ok(drop)), UNCHANGED),
    row("Dir::open_dir", |it| Box::pin(it.dir().open_dir("empty").map_ok(drop)), UNCHANGED),
    row("Dir::open_file", |it| Box::pin(it.dir().open_file("file").map_ok(drop)), UNCHANGED),
    row(
        "Dir::create_file",
        |it| Box::pin(it.dir().create_file("file").map_ok(drop)),
        &["empty", "file="],
    ),
    row(
        "Dir::open_with",
        |it| {
            let mut options = OpenOptions::new();
            options.write(true).create_new(true);
            Box::pin(it.dir().open_with(&options, "new").map_ok(drop))
        },
        &["empty", "file=0123456789", "new="],
    ),
    below!("Dir::read", |dir| dir.read("file"), UNCHANGED),
    below!(
        "Dir::write",
        |dir| dir.write("file", "abcde"),
        &["empty", "file=abcde"],
        &["empty", "file="]
    ),
    below!("Dir::metadata", |dir| dir.metadata("empty/.."), UNCHANGED),
    below!("Dir::symlink_metadata", |dir| dir.symlink_metadata("file"), UNCHANGED),
    below!("Dir::exists", |dir| dir.exists("empty/none"), UNCHANGED),
    below!("Dir::read_dir", |dir| dir.read_dir("."), UNCHANGED),
    below!(
        "Dir::set_permissions",
        |dir| dir.set_permissions("file", Permissions::from_mode(0o600)),
        UNCHANGED
    ),
    below!("Dir::create_dir", |dir| dir.create_dir("new"), WITH_NEW),
    below!("Dir::create_dir_all", |dir| dir.create_dir_all("new/below"), WITH_NEW, UNCHANGED),
    below!("Dir::remove_file", |dir| dir.remove_file("file"), &["empty"]),
    below!("Dir::remove_dir", |dir| dir.remove_dir("empty"), &["file=0123456789"]),
    below!(
        "Dir::remove_dir_all",
        |dir| dir.remove_dir_all("empty"),
        &["file=0123456789"],
        UNCHANGED
    ),
    below!("Dir::rename", |dir| dir.rename("file", &dir, "other"), &["empty", "other=0123456789"]),
    below!("Dir::hard_link", |dir| dir.hard_link("file", &dir, "link"), WITH_LINK),
    below!("Dir::symlink", |dir| dir.symlink("file", "link"), WITH_LINK),
    row("fs::tempfile", |_| Box::pin(tempfile().map_ok(drop)), UNCHANGED),
    row("fs::tempfile_in", |it| Box::pin(tempfile_in(it.path("")).map_ok(drop)), UNCHANGED),
    row("TempFile::new", |_| Box::pin(TempFile::new().map_ok(drop)), UNCHANGED),
    row("TempFile::new_in", |it| Box::pin(TempFile::new_in(it.path("")).map_ok(drop)), UNCHANGED),
    Row {
        name: "TempFile::persist",
        begin: |it| {
            let (folder, path) = (it.path(""), it.path("file"));
            Box::pin(async { TempFile::new_in(folder).await?.persist(path).await })
        },
        after: &["empty", "file="],
        between: Some(UNCHANGED),
    },
    Row {
        name: "TempFile::persist_new",
        begin: |it| {
            let (folder, path) = (it.path(""), it.path("new"));
            Box::pin(async { TempFile::new_in(folder).await?.persist_new(path).await })
        },
        after: &["empty", "file=0123456789", "new="],
        between: Some(UNCHANGED),
    },
    Row {
        name: "fs::atomic_write",
        begin: |it| Box::pin(atomic_write(it.path("file"), "abcde").map_ok(drop).err_into()),
        after: &["empty", "file=abcde"],
        between: Some(UNCHANGED),
    },
    row(
        "Dir::read_link",
        |_| {
            Box::pin(async {
                let proc = Dir::from(OwnedFd::from(std::fs::File::open("/proc")?));
                proc.read_link("self").await.map(drop)
            })
        },
        UNCHANGED,
    ),
];
