//! Folders, links, and what is asked of the standard library on the pool.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use futures_util::TryStreamExt;

use super::Folder;
use crate::fs::{
    DirBuilder, canonicalize, create_dir_all, hard_link, metadata, read, read_dir, read_link,
    read_to_string, remove_dir_all, remove_file, symlink, symlink_metadata,
};
use crate::yield_now;

async fn names_in(path: &Path) -> io::Result<BTreeSet<std::ffi::OsString>> {
    let entries: Vec<_> = read_dir(path).await?.try_collect().await?;
    let names: BTreeSet<_> = entries.iter().map(|entry| entry.file_name()).collect();
    assert_eq!(names.len(), entries.len(), "each comes once");
    Ok(names)
}

#[corering::test]
async fn folder_of_more_than_a_batch_is_read_whole() -> io::Result<()> {
    for count in [0, 1, 255, 256, 257, 1_000] {
        let folder = Folder::new();
        for number in 0..count {
            folder.file(&format!("{number}"), b"");
        }
        let expected: BTreeSet<_> = (0..count).map(|number| number.to_string().into()).collect();
        assert_eq!(names_in(folder.as_ref()).await?, expected, "of {count}");
    }
    Ok(())
}

#[corering::test]
async fn dropped_reads_of_entries_lose_none() -> io::Result<()> {
    let folder = Folder::new();
    for number in 0..600 {
        folder.file(&format!("{number}"), b"");
    }
    let mut entries = read_dir(&folder).await?;
    let mut count = 0;
    loop {
        let mut next = Box::pin(entries.next_entry());
        let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(next.as_mut().poll(cx)));
        match polled.await {
            std::task::Poll::Ready(entry) => match entry? {
                Some(_) => count += 1,
                None => break,
            },
            std::task::Poll::Pending => {
                drop(next);
                yield_now().await;
            }
        }
    }
    assert_eq!(count, 600);
    assert!(entries.next_entry().await?.is_none(), "behind the last");
    Ok(())
}

#[corering::test]
async fn entries_say_what_they_are() -> io::Result<()> {
    let folder = Folder::new();
    folder.file("file", b"content");
    std::fs::create_dir(folder.join("below"))?;
    symlink("nowhere", folder.join("link")).await?;
    let name = OsStr::from_bytes(b"not \xff UTF-8");
    std::fs::write(Path::new(folder.as_ref()).join(name), b"")?;
    let _socket = std::os::unix::net::UnixListener::bind(folder.join("socket"))?;
    let mut entries = read_dir(&folder).await?;
    let mut found = 0;
    while let Some(entry) = entries.next_entry().await? {
        found += 1;
        let kind = entry.file_type().await?;
        let known = entry.metadata().await?;
        assert_eq!(kind, known.file_type());
        assert_eq!(entry.ino(), known.ino());
        match entry.file_name().as_bytes() {
            b"file" => assert!(kind.is_file() && known.len() == 7),
            b"below" => assert!(kind.is_dir()),
            b"link" => assert!(kind.is_symlink()),
            b"socket" => assert!(kind.is_socket()),
            bytes => assert_eq!(bytes, name.as_bytes()),
        }
        assert_eq!(entry.path(), Path::new(folder.as_ref()).join(entry.file_name()));
    }
    assert_eq!(found, 5);
    Ok(())
}

#[corering::test]
async fn what_is_not_a_folder_cannot_be_read_as_one() -> io::Result<()> {
    let folder = Folder::new();
    let file = folder.file("file", b"");
    assert_eq!(read_dir(&file).await.expect_err("a file").kind(), ErrorKind::NotADirectory);
    let missing = read_dir(folder.join("missing")).await;
    assert_eq!(missing.expect_err("it is not there").kind(), ErrorKind::NotFound);
    assert_eq!(read_dir("a\0b").await.expect_err("a NUL").kind(), ErrorKind::InvalidInput);
    Ok(())
}

#[corering::test]
async fn folders_above_are_made_too() -> io::Result<()> {
    let folder = Folder::new();
    let deep = folder.join("a/b/../b/c");
    create_dir_all(&deep).await?;
    create_dir_all(&deep).await?;
    create_dir_all(folder.join("a/b/c/")).await?;
    assert!(metadata(folder.join("a/b/c")).await?.is_dir());
    let file = folder.file("file", b"");
    assert_eq!(create_dir_all(&file).await.expect_err("a file").kind(), ErrorKind::AlreadyExists);
    let below = create_dir_all(file.join("below/deeper")).await;
    assert_eq!(below.expect_err("a file is no folder").kind(), ErrorKind::NotADirectory);
    assert_eq!(create_dir_all("").await.expect_err("no name").kind(), ErrorKind::NotFound);
    // The parent of such a path, as paths go, is what the folder that is missing is in.
    let dot = create_dir_all(folder.join("none/.")).await;
    assert_eq!(dot.expect_err("as of std").kind(), ErrorKind::NotFound);
    // A link to a folder is one.
    symlink("a", folder.join("link")).await?;
    create_dir_all(folder.join("link/d")).await?;
    assert!(metadata(folder.join("a/d")).await?.is_dir());
    Ok(())
}

#[corering::test]
async fn tree_is_removed_and_what_links_lead_to_stays() -> io::Result<()> {
    let folder = Folder::new();
    let kept = folder.file("kept", b"content");
    create_dir_all(folder.join("tree/a/b")).await?;
    folder.file("tree/a/file", b"");
    symlink(&kept, folder.join("tree/link")).await?;
    symlink(&folder, folder.join("tree/above")).await?;
    remove_dir_all(folder.join("tree")).await?;
    assert_eq!(names_in(folder.as_ref()).await?.len(), 1);
    assert_eq!(read(&kept).await?, b"content");
    let again = remove_dir_all(folder.join("tree")).await;
    assert_eq!(again.expect_err("it is gone").kind(), ErrorKind::NotFound);
    Ok(())
}

#[corering::test]
async fn links_are_made_followed_and_asked() -> io::Result<()> {
    let folder = Folder::new();
    let (file, link) = (folder.file("file", b"text"), folder.join("link"));
    symlink("file", &link).await?;
    assert_eq!(read_link(&link).await?, Path::new("file"));
    assert_eq!(canonicalize(&link).await?, std::fs::canonicalize(&file)?);
    assert_eq!(read_to_string(&link).await?, "text");
    assert_eq!(read_link(&file).await.expect_err("a file").kind(), ErrorKind::InvalidInput);
    let other = folder.join("other");
    hard_link(&link, &other).await?;
    assert!(symlink_metadata(&other).await?.is_symlink());
    hard_link(&file, folder.join("third")).await?;
    assert_eq!(metadata(&file).await?.nlink(), 2);
    remove_file(&file).await?;
    assert_eq!(canonicalize(&link).await.expect_err("gone").kind(), ErrorKind::NotFound);
    assert_eq!(read(folder.join("third")).await?, b"text");
    assert_eq!(symlink("x", &link).await.expect_err("there").kind(), ErrorKind::AlreadyExists);
    assert_eq!(
        hard_link("/", &file).await.expect_err("a folder").kind(),
        ErrorKind::PermissionDenied
    );
    Ok(())
}

#[corering::test]
async fn text_that_is_not_utf_8_is_invalid_data() -> io::Result<()> {
    let folder = Folder::new();
    let file = folder.file("file", b"\xff");
    assert_eq!(read_to_string(&file).await.expect_err("it is not").kind(), ErrorKind::InvalidData);
    Ok(())
}

#[corering::test]
async fn builder_makes_folders_with_their_mode() -> io::Result<()> {
    let folder = Folder::new();
    let mode = async |name: &str| metadata(folder.join(name)).await.map(|it| it.mode() & 0o7777);
    let mut builder = DirBuilder::new();
    builder.mode(0o700).create(folder.join("one")).await?;
    assert_eq!(mode("one").await?, 0o700);
    let again = builder.create(folder.join("one")).await.expect_err("it is there");
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);
    let orphan = builder.create(folder.join("none/below")).await.expect_err("it has no parent");
    assert_eq!(orphan.kind(), ErrorKind::NotFound);

    builder.recursive(true).mode(0o710).create(folder.join("one/two/three")).await?;
    builder.create(folder.join("one/two/three")).await?;
    assert_eq!(mode("one").await?, 0o700);
    assert_eq!((mode("one/two").await?, mode("one/two/three").await?), (0o710, 0o710));
    let file = folder.file("file", b"");
    let taken = builder.create(&file).await.expect_err("a file has the name");
    assert_eq!(taken.kind(), ErrorKind::AlreadyExists);
    let below = builder.create(file.join("below")).await.expect_err("a file is no folder");
    assert_eq!(below.kind(), ErrorKind::NotADirectory);
    let broken = builder.create("a\0b").await.expect_err("no path has a NUL");
    assert_eq!(broken.kind(), ErrorKind::InvalidInput);
    Ok(())
}
