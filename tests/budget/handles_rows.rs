//! What is done with an open file beside reading and writing it.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::UNIX_EPOCH;

use corering::fs::{self, Advice, File, FileTimes, OpenOptions};

use crate::beside::Beside;

pub(crate) async fn rows(beside: &Beside) {
    let name = format!("budget-handles-{}", std::process::id());
    let path = &Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(path, "text").expect("the build's folder is writable");
    let file = open(path).await;
    beside
        .endless("fs::file::lock::lock", async move || {
            file.lock().await.expect("nobody else has it");
            file.unlock().expect("it was locked");
        })
        .await;
    let file = open(path).await;
    beside
        .endless("fs::file::lock::lock_shared", async move || {
            file.lock_shared().await.expect("nobody else has it");
        })
        .await;
    let mut file = Some(std::fs::File::open(path).expect("it is there"));
    beside
        .endless("fs::file::handover::into_std", async move || {
            let ours = File::from(file.take().expect("it was put back"));
            file = Some(ours.into_std().await);
        })
        .await;
    let file = open(path).await;
    beside
        .endless("fs::file::room::punch_hole", async move || {
            file.punch_hole(0, 1).await.expect("the disk has holes");
        })
        .await;
    let file = open(path).await;
    beside
        .endless("fs::file::pages::advise", async move || {
            file.advise(0, 0, Advice::Random).await.expect("a file has pages");
        })
        .await;
    let file = open(path).await;
    beside
        .endless("fs::file::pages::sync_range", async move || {
            file.sync_range(0, 0).await.expect("a disk works");
        })
        .await;
    let file = open(path).await;
    beside
        .endless("fs::file::attributes::set_permissions", async move || {
            let permissions = Permissions::from_mode(0o600);
            file.set_permissions(permissions).await.expect("the file is ours");
        })
        .await;
    let file = open(path).await;
    beside
        .endless("fs::file::attributes::set_times", async move || {
            file.set_times(FileTimes::new()).await.expect("nothing is changed");
        })
        .await;
    let file = open(path).await;
    beside
        .endless("fs::file::attributes::set_modified", async move || {
            file.set_modified(UNIX_EPOCH).await.expect("the file is ours");
        })
        .await;
    let name = path.to_owned();
    beside
        .endless("fs::times::set_times", async move || {
            fs::set_times(&name, FileTimes::new()).await.expect("nothing is changed");
        })
        .await;
    let name = path.clone();
    beside
        .endless("fs::dir_builder::create", async move || {
            fs::DirBuilder::new().create(&name).await.expect_err("a file has the name");
        })
        .await;
    std::fs::remove_file(path).expect("it is ours");
}

async fn open(path: &Path) -> File {
    let mut options = OpenOptions::new();
    options.read(true).write(true).open(path).await.expect("the file is there")
}
