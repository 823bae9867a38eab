//! Permissions, times, and what else is known of a file beside its contents.

use std::fs::Permissions;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Folder, opened};
use crate::fs::{File, FileTimes, metadata, set_times, symlink_metadata};

fn seconds(seconds: u64, nanoseconds: u32) -> SystemTime {
    UNIX_EPOCH + Duration::new(seconds, nanoseconds)
}

/// A file that is known by its path, and cannot be read or written.
fn path_only(path: &str) -> io::Result<File> {
    let mut options = std::fs::OpenOptions::new();
    let file = options.read(true).custom_flags(libc::O_PATH).open(path)?;
    Ok(File::from(OwnedFd::from(file)))
}

#[corering::test]
async fn permissions_of_an_open_file_are_set_by_its_name_or_not() -> io::Result<()> {
    let folder = Folder::new();
    let path = folder.file("file", b"text");
    let file = File::open(&path).await?;
    for mode in [0o600, 0o4755, 0o000] {
        file.set_permissions(Permissions::from_mode(mode)).await?;
        assert_eq!(file.metadata().await?.mode() & 0o7777, mode);
    }
    std::fs::remove_file(&path)?;
    file.set_permissions(Permissions::from_mode(0o640)).await?;
    assert_eq!(file.metadata().await?.mode(), libc::S_IFREG | 0o640);
    let error = path_only("/")?.set_permissions(Permissions::from_mode(0o755)).await;
    assert_eq!(error.expect_err("it is no open file").raw_os_error(), Some(libc::EBADF));
    Ok(())
}

#[corering::test]
async fn times_are_set_each_for_itself() -> io::Result<()> {
    let folder = Folder::new();
    let path = folder.file("file", b"text");
    let file = opened(&path).await;
    let times = async || {
        let known = metadata(&path).await.expect("it is there");
        (known.accessed(), known.modified())
    };
    let (old, new) = (seconds(1_000, 1), seconds(2_000_000_000, 999_999_999));
    file.set_times(FileTimes::new().set_accessed(old).set_modified(new)).await?;
    assert_eq!(times().await, (old, new));
    file.set_modified(old).await?;
    assert_eq!(times().await, (old, old));
    set_times(&path, FileTimes::new().set_accessed(new)).await?;
    assert_eq!(times().await, (new, old));
    // Nothing is set, and nobody asks for the right to.
    File::open("/proc/version").await?.set_times(FileTimes::new()).await?;
    set_times(&path, FileTimes::new()).await?;
    assert_eq!(times().await, (new, old));
    let before_the_epoch = UNIX_EPOCH - Duration::new(1_000, 250);
    file.set_modified(before_the_epoch).await?;
    assert_eq!(times().await, (new, before_the_epoch));
    assert_eq!(std::fs::metadata(&path)?.modified()?, before_the_epoch);
    Ok(())
}

#[corering::test]
async fn times_of_a_link_are_those_of_what_it_leads_to() -> io::Result<()> {
    let folder = Folder::new();
    let (path, link) = (folder.file("file", b"text"), folder.join("link"));
    std::os::unix::fs::symlink(&path, &link)?;
    let of_link = symlink_metadata(&link).await?.modified();
    set_times(&link, FileTimes::new().set_modified(seconds(1_000, 0))).await?;
    assert_eq!(metadata(&path).await?.modified(), seconds(1_000, 0));
    assert_eq!(symlink_metadata(&link).await?.modified(), of_link);
    Ok(())
}

#[corering::test]
async fn times_that_cannot_be_set_are_an_error() -> io::Result<()> {
    let folder = Folder::new();
    let times = FileTimes::new().set_modified(seconds(1_000, 0));
    let missing = set_times(folder.join("missing"), times).await.expect_err("it is not there");
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    let broken = set_times("a\0b", times).await.expect_err("no path has a NUL");
    assert_eq!(broken.kind(), ErrorKind::InvalidInput);
    let error = path_only("/")?.set_times(times).await.expect_err("it is no open file");
    assert_eq!(error.raw_os_error(), Some(libc::EBADF));
    Ok(())
}

#[corering::test]
async fn metadata_has_what_statx_tells_beyond_stat() -> io::Result<()> {
    let folder = Folder::new();
    let path = folder.file("file", b"text");
    let file = opened(&path).await;
    file.set_permissions(Permissions::from_mode(0o640)).await?;
    for known in [file.metadata().await?, metadata(&path).await?] {
        assert_eq!(known.permissions(), std::fs::metadata(&path)?.permissions());
        assert_eq!(known.permissions().mode() & 0o7777, 0o640);
        assert_ne!(known.attributes().is_immutable(), Some(true));
        assert_eq!(known.attributes().is_mount_root(), Some(false));
    }
    assert_eq!(metadata("/proc").await?.attributes().is_mount_root(), Some(true));
    Ok(())
}

#[corering::test]
async fn attributes_are_those_that_chattr_has_set() -> io::Result<()> {
    let folder = Folder::new();
    let path = folder.file("file", b"text");
    let is_left_out =
        async || metadata(&path).await.map(|known| known.attributes().is_left_out_of_dumps());
    if is_left_out().await?.is_none() {
        // A file system that does not say.
        return Ok(());
    }
    for (how, expected) in [("+d", true), ("-d", false)] {
        let changed = std::process::Command::new("chattr").arg(how).arg(&path).status();
        assert!(changed.expect("e2fsprogs are installed").success());
        assert_eq!(is_left_out().await?, Some(expected));
    }
    Ok(())
}
