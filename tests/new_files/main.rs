//! Files that are new and get their name last, or none: `fs::atomic_write`, `fs::tempfile`, `fs::TempFile`.
//!
//! Each test runs on both drivers, and in a process of its own where `O_TMPFILE` is refused as some file
//! systems do.

#[path = "../common/child.rs"]
mod child;

mod atomic;
mod flushed;
mod temporary;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use corering::test_support::run;

use child::Child;

/// A folder that goes away with what is in it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        Folder::new_in(env!("CARGO_TARGET_TMPDIR").as_ref())
    }

    fn new_in(folder: &Path) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("new-files-{}-{number}", std::process::id());
        let path = folder.join(name);
        std::fs::create_dir_all(&path).expect("it is writable");
        Folder(path)
    }

    fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        std::fs::write(&path, bytes).expect("it is writable");
        path
    }

    /// The names in it.
    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).expect("it is there");
        let name = |entry: io::Result<std::fs::DirEntry>| {
            entry.expect("it can be read").file_name().into_string().expect("it is ours")
        };
        let mut names: Vec<_> = entries.map(name).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What `O_TMPFILE` has beside `O_DIRECTORY`.
const UNNAMED: i32 = libc::O_TMPFILE & !libc::O_DIRECTORY;

/// Runs a body on each driver, with and without files that have no name.
fn in_each_way(test: &str, body: impl AsyncFn(Folder) -> io::Result<()>) {
    run(test, None, async || body(Folder::new()).await);
    if !child::is_child() {
        Child::of(test).refuse_to_open(UNNAMED, libc::EOPNOTSUPP).passes();
    }
}

/// Runs a body that makes runtimes itself, with and without files that have no name.
fn with_and_without_names(test: &str, body: impl Fn(Folder)) {
    body(Folder::new());
    if !child::is_child() {
        Child::of(test).refuse_to_open(UNNAMED, libc::EOPNOTSUPP).passes();
    }
}
