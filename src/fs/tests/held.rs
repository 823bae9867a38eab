//! What users may do with a future before and after it is awaited.

use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::os::unix::fs::PermissionsExt;

use futures_util::future::FusedFuture;

use super::{Folder, opened};
use crate::fs::{self, File, OpenOptions};

/// Takes what can be kept in a struct, awaited in a `select!` loop, and logged.
fn held<F: FusedFuture + Unpin + Debug + 'static>(_: &F) {}

/// Takes what can be spawned.
fn spawned(_: impl Future + 'static) {}

#[corering::test]
async fn operation_outlives_its_file_and_tells_its_end() -> io::Result<()> {
    let folder = Folder::new();
    let mut reading = opened(folder.file("file", b"text")).await.read_at(vec![0; 9], 0);
    held(&reading);
    assert_eq!(format!("{reading:?}"), "ReadAt(not begun)");
    assert_eq!((&mut reading).await?.1, b"text");
    assert!(reading.is_terminated());
    assert_eq!(format!("{reading:?}"), "ReadAt(over)");
    Ok(())
}

#[corering::test]
async fn operation_over_no_longer_keeps_its_file_from_closing() -> io::Result<()> {
    let folder = Folder::new();
    let file = opened(folder.file("file", b"text")).await;
    let mut reading = file.read_at(vec![0; 9], 0);
    (&mut reading).await?;
    file.close().await?;
    assert!(reading.is_terminated());
    Ok(())
}

#[corering::test]
async fn every_single_operation_can_be_held() {
    let folder = Folder::new();
    let file = opened(folder.file("file", b"text")).await;
    held(&file.read_at(vec![0], 0));
    held(&file.write_at("text", 0));
    held(&file.read_vectored_at(vec![vec![0]], 0));
    held(&file.write_vectored_at(vec!["text"], 0));
    held(&file.sync_all());
    held(&file.sync_data());
    held(&file.metadata());
    held(&file.set_len(0));
    held(&file.allocate(0, 1));
    held(&file.prefetch(0, 1));
    held(&file.punch_hole(0, 1));
    held(&file.advise(0, 1, fs::Advice::Random));
    held(&file.sync_range(0, 1));
    held(&file.set_permissions(PermissionsExt::from_mode(0o600)));
    held(&file.set_times(fs::FileTimes::new()));
    held(&file.set_modified(std::time::UNIX_EPOCH));
    held(&File::open("path"));
    held(&File::create("path"));
    held(&OpenOptions::default().read(true).open("path"));
    held(&fs::remove_file("path"));
    held(&fs::remove_dir("path"));
    held(&fs::rename("path", "other"));
    held(&fs::create_dir("path"));
    held(&fs::set_times("path", fs::FileTimes::new()));
    held(&fs::metadata("path"));
    held(&fs::symlink_metadata("path"));
    held(&fs::exists("path"));
    held(&crate::io::nop());
    spawned(file.read_exact_at(vec![0], 1, 0));
    spawned(file.write_all_at("text", 0));
    spawned(file.read_to_end());
    spawned(fs::read("path"));
    spawned(fs::write("path", "text"));
    held(&file.close());
}
