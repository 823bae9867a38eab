//! Files that are in the page cache, and what is always there to read and to write.

use std::cell::RefCell;
use std::io::SeekFrom;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use corering::fs::{self, Cursor, Dir, File, FileCache, OpenOptions, ReadDir, WatchMask, Watcher};
use corering::io::{Lend, OwnedRead, OwnedWrite};

use crate::beside::Beside;

const BYTES: usize = 512;

pub(crate) async fn rows(beside: &Beside) {
    let name = format!("budget-{}", std::process::id());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).expect("the build's folder is writable");
    let path = folder.join("file");
    std::fs::write(&path, [7; BYTES]).expect("the folder is writable");
    opened(beside, &path).await;
    reads(beside, &path).await;
    writes(beside, &path).await;
    cursors(beside, &path).await;
    watches(beside, folder.clone()).await;
    names(beside, folder.clone(), path).await;
    std::fs::remove_dir_all(&folder).expect("it is ours");
}

async fn open(path: &Path) -> File {
    let mut options = OpenOptions::new();
    options.read(true).write(true).open(path).await.expect("the file is there")
}

async fn opened(beside: &Beside, path: &Path) {
    let name = path.to_owned();
    beside
        .endless("fs::file::open", async move || {
            drop(File::open(&name).await.expect("it is there"))
        })
        .await;
    let name = path.with_extension("new");
    beside
        .endless("fs::file::create", async move || {
            drop(File::create(&name).await.expect("the folder is writable"));
        })
        .await;
    let name = path.to_owned();
    beside.endless("fs::open::open", async move || drop(open(&name).await)).await;
    let name = path.to_owned();
    beside
        .endless("fs::file::handover::close", async move || {
            open(&name).await.close().await.expect("nothing was written");
        })
        .await;
}

async fn reads(beside: &Beside, path: &Path) {
    let file = open(path).await;
    let room = || Vec::with_capacity(BYTES);
    beside
        .endless("fs::file::read_at", async move || {
            assert_eq!(file.read_at(room(), 0).await.expect("it is there").0, BYTES);
        })
        .await;
    let zeroes = File::open("/dev/zero").await.expect("it is there");
    beside
        .endless("fs::file::read_at", async move || {
            assert_eq!(zeroes.read_at(room(), 0).await.expect("it is there").0, BYTES);
        })
        .await;
    let file = open(path).await;
    beside
        .endless("fs::file::read_vectored_at", async move || {
            file.read_vectored_at(vec![room()], 0).await.expect("it is there");
        })
        .await;
    let file = open(path).await;
    beside
        .endless("fs::file::read_exact_at", async move || {
            file.read_exact_at(room(), BYTES, 0).await.expect("it is there");
        })
        .await;
    let file = open(path).await;
    beside
        .endless("fs::file::read_to_end", async move || {
            file.read_to_end().await.expect("it is there");
        })
        .await;
    let file = open(path).await;
    beside
        .endless("fs::file::metadata", async move || {
            file.metadata().await.expect("it is there");
        })
        .await;
    let folder = File::open(path.parent().expect("it has one")).await.expect("it is there");
    let cache: FileCache = FileCache::builder().beneath(&folder);
    beside
        .endless("fs::cache::get", async move || {
            cache.get("file").await.expect("it is there");
        })
        .await;
    let file = open(path).await;
    beside
        .endless("fs::file::pages::prefetch", async move || {
            file.prefetch(0, BYTES as u64).await.expect("it is there");
        })
        .await;
}

async fn writes(beside: &Beside, path: &Path) {
    let file = open(path).await;
    beside
        .endless("fs::file::write_at", async move || {
            file.write_at(vec![7; BYTES], 0).await.expect("the disk has room");
        })
        .await;
    let file = open(path).await;
    beside
        .endless("fs::file::write_vectored_at", async move || {
            file.write_vectored_at(vec![vec![7; BYTES]], 0).await.expect("the disk has room");
        })
        .await;
    let file = open(path).await;
    beside
        .endless("fs::file::write_all_at", async move || {
            file.write_all_at(vec![7; BYTES], 0).await.expect("the disk has room");
        })
        .await;
    let file = open(path).await;
    beside
        .endless("fs::file::sync_all", async move || file.sync_all().await.expect("a disk works"))
        .await;
    let file = open(path).await;
    beside
        .endless("fs::file::sync_data", async move || file.sync_data().await.expect("it works"))
        .await;
    let file = open(path).await;
    beside
        .endless("fs::file::set_len", async move || {
            file.set_len(BYTES as u64).await.expect("the file is writable");
        })
        .await;
    let file = open(path).await;
    beside
        .endless("fs::file::room::allocate", async move || {
            file.allocate(0, BYTES as u64).await.expect("the disk has room");
        })
        .await;
}

async fn cursors(beside: &Beside, path: &Path) {
    let mut cursor = Cursor::new(open(path).await);
    beside
        .endless("fs::cursor::seek", async move || {
            cursor.seek(SeekFrom::Current(0)).await.expect("it is there");
        })
        .await;
    let mut cursor = Cursor::new(open(path).await);
    beside
        .endless("a cursor's lend", async move || {
            cursor.set_position(0);
            assert!(!cursor.lend().await.expect("it is there").is_empty());
        })
        .await;
    let mut cursor = Cursor::new(open(path).await);
    beside
        .endless("a cursor's read and write", async move || {
            cursor.set_position(0);
            cursor.read(Vec::with_capacity(9)).await.expect("it is there");
            cursor.write("written").await.expect("the disk has room");
        })
        .await;
    let mut cursor = Cursor::new(vec![0; BYTES]);
    beside
        .endless("a cursor's lend of memory", async move || {
            cursor.set_position(0);
            let lent = cursor.lend().await.expect("it is there");
            cursor.put_back(lent);
            cursor.lend().await.expect("it was put back");
        })
        .await;
    let mut cursor = Cursor::new(RefCell::new(Vec::new()));
    beside
        .endless("a cursor's write to memory, and flush", async move || {
            cursor.set_position(0);
            cursor.write_all("written").await.expect("memory grows");
            cursor.flush().await.expect("nothing has failed");
        })
        .await;
}

async fn watches(beside: &Beside, folder: PathBuf) {
    let watcher = Watcher::new().expect("descriptors are free");
    let path = folder.clone();
    beside
        .endless("fs::watch::add", async move || {
            watcher.add(&path, WatchMask::CHANGES).await.expect("it is there");
        })
        .await;
    let mut watcher = fs::watch(&folder).await.expect("it is there");
    let touched = std::fs::File::create(folder.join("touched")).expect("the disk has room");
    beside
        .endless("fs::watch::recv", async move || {
            // More events than are taken. The file's own and the folder's differ, so none is merged.
            let permissions = std::fs::Permissions::from_mode(0o700);
            touched.set_permissions(permissions.clone()).expect("it is ours");
            std::fs::set_permissions(&folder, permissions).expect("it is ours");
            watcher.recv().await.expect("it was touched");
        })
        .await;
}

async fn names(beside: &Beside, folder: PathBuf, path: PathBuf) {
    let name = path.clone();
    beside
        .endless("fs::read", async move || drop(fs::read(&name).await.expect("it is there")))
        .await;
    let name = path.with_extension("written");
    beside
        .endless("fs::write", async move || {
            fs::write(&name, vec![7; BYTES]).await.expect("the disk has room");
        })
        .await;
    let name = path.clone();
    beside
        .endless("fs::metadata", async move || {
            fs::metadata(&name).await.expect("it is there");
        })
        .await;
    let name = path.clone();
    beside
        .endless("fs::symlink_metadata", async move || {
            fs::symlink_metadata(&name).await.expect("it is there");
        })
        .await;
    let name = path.clone();
    beside
        .endless("fs::exists", async move || assert!(fs::exists(&name).await.expect("it is asked")))
        .await;
    let missing = folder.join("missing");
    let name = missing.clone();
    beside
        .endless("fs::remove_file", async move || {
            fs::remove_file(&name).await.expect_err("it is not there");
        })
        .await;
    let name = missing.clone();
    beside
        .endless("fs::remove_dir", async move || {
            fs::remove_dir(&name).await.expect_err("it is not there");
        })
        .await;
    beside
        .endless("fs::rename", async move || {
            fs::rename(&missing, "nowhere").await.expect_err("it is not there");
        })
        .await;
    let name = path.clone();
    beside
        .endless("fs::read_to_string", async move || {
            fs::read_to_string(&name).await.expect("it is text");
        })
        .await;
    let name = folder.clone();
    beside
        .endless("fs::folder::create_dir_all", async move || {
            fs::create_dir_all(&name).await.expect("it is there");
        })
        .await;
    let name = path.clone();
    beside
        .endless("fs::names::symlink", async move || {
            fs::symlink("nowhere", &name).await.expect_err("it is there");
        })
        .await;
    let name = path.clone();
    beside
        .endless("fs::names::hard_link", async move || {
            fs::hard_link("nowhere", &name).await.expect_err("it is not there");
        })
        .await;
    let name = folder.clone();
    let mut entries: Option<ReadDir> = None;
    beside
        .endless("fs::folder::next_entry", async move || {
            let reading = match &mut entries {
                Some(reading) => reading,
                none => none.insert(fs::read_dir(&name).await.expect("it is there")),
            };
            if reading.next_entry().await.expect("it is there").is_none() {
                entries = None;
            }
        })
        .await;
    let mut entries = fs::read_dir(&folder).await.expect("it is there");
    let entry = entries.next_entry().await.expect("it is there").expect("it has files");
    beside
        .endless("fs::folder::file_type", async move || {
            entry.file_type().await.expect("it is there");
        })
        .await;
    let dir = Dir::open("/proc").await.expect("it is there");
    beside
        .endless("fs::dir::metadata", async move || {
            dir.metadata("version").await.expect("it is there");
        })
        .await;
    beside
        .endless("fs::create_dir", async move || {
            fs::create_dir(&folder).await.expect_err("it is there");
        })
        .await;
}
