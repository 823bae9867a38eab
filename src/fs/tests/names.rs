//! Names: of files, folders and links.

use std::io::{self, ErrorKind};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Folder;
use crate::fs::{
    File, OpenOptions, create_dir, exists, metadata, read, remove_dir, remove_file, rename,
    symlink_metadata,
};

#[corering::test]
async fn folders_are_made_and_removed() -> io::Result<()> {
    let folder = Folder::new();
    let below = folder.join("below");
    create_dir(&below).await?;
    assert!(metadata(&below).await?.is_dir());
    assert_eq!(create_dir(&below).await.expect_err("it is").kind(), ErrorKind::AlreadyExists);
    File::create(below.join("file")).await?;
    assert_eq!(remove_dir(&below).await.expect_err("full").kind(), ErrorKind::DirectoryNotEmpty);
    remove_file(below.join("file")).await?;
    remove_dir(&below).await?;
    assert!(!exists(&below).await?);
    Ok(())
}

#[corering::test]
async fn a_renamed_file_takes_the_place_of_another() -> io::Result<()> {
    let folder = Folder::new();
    let (from, to) = (folder.file("from", b"new"), folder.file("to", b"old"));
    let old = File::open(&to).await?;
    rename(&from, &to).await?;
    assert_eq!(read(&to).await?, b"new");
    assert!(!exists(&from).await?);
    // Whoever had the replaced file open still has it.
    assert_eq!(old.read_to_end().await?, b"old");
    assert_eq!(rename(&from, &to).await.expect_err("gone").kind(), ErrorKind::NotFound);
    Ok(())
}

#[corering::test]
async fn a_link_is_followed_or_looked_at() -> io::Result<()> {
    let folder = Folder::new();
    folder.file("target", b"12345");
    let link = folder.join("link");
    symlink("target", &link)?;
    assert_eq!(metadata(&link).await?.len(), 5);
    let itself = symlink_metadata(&link).await?;
    assert!(itself.is_symlink() && !itself.is_file());
    assert_eq!(itself.len(), "target".len() as u64);
    remove_file(folder.join("target")).await?;
    assert!(!exists(&link).await? && symlink_metadata(&link).await?.is_symlink());
    Ok(())
}

#[corering::test]
async fn a_path_with_a_nul_is_refused_by_name() {
    let path = Path::new("a\0b");
    let errors = [
        File::open(path).await.err(),
        read(path).await.err(),
        remove_file(path).await.err(),
        remove_dir(path).await.err(),
        rename("x", path).await.err(),
        create_dir(path).await.err(),
        metadata(path).await.err(),
        exists(path).await.err(),
    ];
    for error in errors {
        let error = error.expect("no file has such a name");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("NUL"), "{error}");
    }
}

#[corering::test]
async fn nothing_is_opened_outside_a_folder_that_must_not_be_left() -> io::Result<()> {
    let folder = Folder::new();
    let root = folder.join("root");
    create_dir(&root).await?;
    create_dir(root.join("below")).await?;
    folder.file("secret", b"secret");
    folder.file("root/public", b"public");
    symlink("../secret", root.join("out"))?;
    symlink("public", root.join("in"))?;
    symlink("/proc/self/exe", root.join("magic"))?;
    let root = File::open(&root).await?;
    let within = OpenOptions::new().read(true).resolve_beneath(&root).clone();
    drop(root);
    for path in ["public", "in", "below/../public", "./below/.././in"] {
        assert_eq!(within.open(path).await?.read_to_end().await?, b"public", "{path}");
    }
    for path in ["../secret", "out", "below/../../secret", "/etc/passwd", "magic"] {
        let error = within.open(path).await.expect_err(path);
        assert_eq!(error.raw_os_error(), Some(libc::EXDEV), "{path}: {error}");
    }
    Ok(())
}

#[corering::test]
async fn renames_elsewhere_do_not_keep_a_confined_path_from_opening() -> io::Result<()> {
    let folder = Folder::new();
    create_dir(folder.join("below")).await?;
    folder.file("file", b"text");
    let (one, other) = (folder.file("one", b""), folder.join("other"));
    let root = File::open(&folder).await?;
    let within = OpenOptions::new().read(true).resolve_beneath(&root).clone();
    let over = Arc::new(AtomicBool::new(false));
    let renaming = std::thread::spawn({
        let over = over.clone();
        move || {
            while !over.load(Ordering::Relaxed) {
                std::fs::rename(&one, &other).expect("it is there");
                std::fs::rename(&other, &one).expect("it is there");
            }
        }
    });
    // Long enough that a rename often falls into its lookup, short enough that most do not.
    let path = format!("{}file", "below/../".repeat(16));
    let mut opened = Ok(());
    for _ in 0..1000 {
        opened = within.open(&path).await.map(drop);
        if opened.is_err() {
            break;
        }
    }
    over.store(true, Ordering::Relaxed);
    renaming.join().expect("renaming does not fail");
    opened
}
