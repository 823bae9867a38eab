//! Tests of copies.

use std::fs::{self as std_fs, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::*;
use crate::op::test_files::Folder;
use crate::{spawn_blocking, test_support, yield_now};

/// Bytes that differ from place to place.
fn pattern(len: usize) -> Vec<u8> {
    let mut bytes = (0..251).collect::<Vec<u8>>().repeat(len / 251 + 1);
    bytes.truncate(len);
    bytes
}

/// A file with these bytes at these places, and holes between and behind them.
fn with_holes(path: &Path, parts: &[(u64, &[u8])], len: u64) {
    let file = StdFile::create(path).expect("it can be made");
    for (offset, bytes) in parts {
        file.write_all_at(bytes, *offset).expect("there is room");
    }
    file.set_len(len).expect("holes take no room");
}

fn is_same(one: &Path, other: &Path) -> bool {
    std_fs::read(one).expect("it is there") == std_fs::read(other).expect("it is there")
}

fn mode(path: &Path) -> u32 {
    std_fs::metadata(path).expect("it is there").mode() & 0o7777
}

/// In kibibytes.
fn room_taken(path: &Path) -> u64 {
    std_fs::metadata(path).expect("it is there").blocks() / 2
}

#[corering::test]
async fn copies_of_every_size_are_whole() -> io::Result<()> {
    let folder = Folder::new();
    let to = folder.join("copy");
    let piece = PIECE as usize;
    for len in [0, 1, BUFFER, BUFFER + 1, piece, piece + 1, 2 * piece + BUFFER] {
        let from = folder.file("original", &pattern(len));
        assert_eq!(copy(&from, &to).await?, len as u64);
        assert!(is_same(&from, &to), "{len} bytes");
    }
    Ok(())
}

#[corering::test]
async fn copy_has_the_permission_bits_that_stds_has() -> io::Result<()> {
    let folder = Folder::new();
    let from = folder.file("original", b"content");
    for bits in [0o600, 0o644, 0o755, 0o777, 0o4755, 0o2711, 0o1644, 0o444] {
        std_fs::set_permissions(&from, Permissions::from_mode(bits))?;
        for before in [None, Some(0o666), Some(0o600)] {
            let ways = [folder.join("std"), folder.join("ours")];
            for to in &ways {
                let _ = std_fs::remove_file(to);
                if let Some(before) = before {
                    std_fs::write(to, "what was there before is longer")?;
                    std_fs::set_permissions(to, Permissions::from_mode(before))?;
                }
            }
            let [theirs, ours] = ways;
            let counts = (std_fs::copy(&from, &theirs)?, copy(&from, &ours).await?);
            assert_eq!(counts, (7, 7));
            assert_eq!((mode(&ours), mode(&ours)), (mode(&theirs), bits), "over {before:?}");
            assert!(is_same(&ours, &theirs));
        }
    }
    Ok(())
}

#[corering::test]
async fn holes_of_a_copy_take_no_room() -> io::Result<()> {
    const MIB: u64 = 1 << 20;
    let folder = Folder::new();
    let (from, to) = (folder.join("original"), folder.join("copy"));
    let data = pattern(200_000);
    let cases: &[&[(u64, &[u8])]] = &[
        &[],
        &[(0, &data)],
        &[(3 * MIB, &data)],
        &[(0, &data), (40 * MIB, &data), (63 * MIB, &data)],
        &[(64 * MIB - 200_000, &data)],
    ];
    for parts in cases {
        with_holes(&from, parts, 64 * MIB);
        assert_eq!(copy(&from, &to).await?, 64 * MIB);
        assert!(is_same(&from, &to));
        let (original, copied) = (room_taken(&from), room_taken(&to));
        assert!(original < 1000, "this file system keeps no holes: {original} KiB");
        assert!(copied <= original + 64, "{copied} KiB of {original} KiB");
    }
    Ok(())
}

#[corering::test]
async fn copy_of_many_small_parts_is_whole() -> io::Result<()> {
    let folder = Folder::new();
    let (from, to) = (folder.join("original"), folder.join("copy"));
    let parts: Vec<(u64, &[u8])> = (0..1500).map(|n| (n * 16_384 + 5, &b"some"[..])).collect();
    with_holes(&from, &parts, 30_000_000);
    assert_eq!(copy(&from, &to).await?, 30_000_000);
    assert!(is_same(&from, &to));
    assert!(room_taken(&to) <= room_taken(&from) + 64);
    Ok(())
}

#[corering::test]
async fn file_copied_onto_itself_stays_as_it_is() -> io::Result<()> {
    let folder = Folder::new();
    let file = folder.file("file", b"content");
    let (hard, symbolic) = (folder.join("hard"), folder.join("symbolic"));
    std_fs::hard_link(&file, &hard)?;
    std::os::unix::fs::symlink("file", &symbolic)?;
    for to in [&file, &hard, &symbolic] {
        for (from, to) in [(&file, to), (to, &file)] {
            let error = copy(from, to).await.expect_err("it is the same");
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains("the same file"), "{error}");
            assert_eq!(std_fs::read(&file)?, b"content");
        }
    }
    Ok(())
}

#[corering::test]
async fn files_of_the_kernel_are_copied_to_their_end() -> io::Result<()> {
    let folder = Folder::new();
    let to = folder.join("copy");
    // The first say that they have no bytes, one of them that they would be a hole, and the last that it
    // has a page of them.
    for from in [
        "/proc/sys/kernel/ostype",
        "/proc/version",
        "/proc/cpuinfo",
        "/sys/devices/system/cpu/possible",
    ] {
        let content = std_fs::read(from)?;
        assert_ne!(content.len() as u64, std_fs::metadata(from)?.len());
        std_fs::write(&to, vec![1; 100_000])?;
        assert_eq!(copy(from, &to).await?, content.len() as u64, "{from}");
        assert_eq!(std_fs::read(&to)?, content);
        std_fs::remove_file(&to)?;
    }
    Ok(())
}

fn fifo(folder: &Folder) -> PathBuf {
    let path = folder.join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.expect("mkfifo runs").success());
    path
}

#[corering::test]
async fn only_regular_files_are_copied_and_nobody_is_waited_for() -> io::Result<()> {
    let folder = Folder::new();
    let (fifo, to) = (fifo(&folder), folder.join("copy"));
    for from in [fifo.as_path(), folder.as_ref(), Path::new("/dev/zero")] {
        let error = copy(from, &to).await.expect_err("it is no file");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().ends_with("is not a regular file"), "{error}");
        assert!(!to.exists());
    }
    let error = copy(folder.join("missing"), &to).await.expect_err("missing");
    assert_eq!((error.kind(), to.exists()), (ErrorKind::NotFound, false));
    let from = folder.file("original", b"content");
    let error = copy(&from, &folder).await.expect_err("a folder");
    assert_eq!(error.kind(), ErrorKind::IsADirectory);
    let error = copy(&from, &fifo).await.expect_err("nobody reads");
    assert_eq!(error.raw_os_error(), Some(libc::ENXIO));
    Ok(())
}

#[corering::test]
async fn devices_and_pipes_are_written_to() -> io::Result<()> {
    let folder = Folder::new();
    let from = folder.join("original");
    let data = pattern(100_000);
    with_holes(&from, &[(300_000, &data)], 500_000);
    assert_eq!(copy(&from, "/dev/null").await?, 500_000);
    assert_eq!(
        copy("/proc/version", "/dev/null").await?,
        std_fs::read("/proc/version")?.len() as u64
    );
    let error = copy(&from, "/dev/full").await.expect_err("nothing fits");
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    let to = fifo(&folder);
    // Not so that it waits for a writer.
    let mut reader = open(StdFile::options().read(true), &to)?;
    set_nonblocking(reader.as_fd(), false)?;
    let reading = spawn_blocking(move || {
        let mut all = Vec::new();
        // An end before the first byte is only that nobody has opened it yet.
        while all.is_empty() {
            reader.read_to_end(&mut all)?;
        }
        io::Result::Ok(all)
    });
    assert_eq!(copy(&from, &to).await?, 500_000);
    assert!(reading.await.expect("it does not panic")? == std_fs::read(&from)?);
    Ok(())
}

/// A copy that has come so far that one piece is done, and what it copies.
fn half_way(folder: &Folder) -> (Copying, PathBuf, PathBuf) {
    let (from, to) = (folder.file("original", &pattern(12 << 20)), folder.join("copy"));
    match begin(&from, &to).expect("there is room") {
        Next::Piece(copying) => (copying, from, to),
        _ => panic!("it takes more than one piece"),
    }
}

fn to_the_end(copying: Copying) -> io::Result<u64> {
    let mut copying = copying;
    loop {
        match copying.piece()? {
            Next::Done(bytes) => return Ok(bytes),
            Next::Piece(more) => copying = more,
            Next::Stream { .. } => panic!("it is a regular file"),
        }
    }
}

#[test]
fn source_that_grows_is_copied_to_its_new_end() -> io::Result<()> {
    let folder = Folder::new();
    let (copying, from, to) = half_way(&folder);
    let file = StdFile::options().write(true).open(&from)?;
    file.write_all_at(&pattern(5_000_000), 16 << 20)?;
    assert_eq!(to_the_end(copying)?, (16 << 20) + 5_000_000);
    assert!(is_same(&from, &to));
    Ok(())
}

#[test]
fn source_that_shrinks_leaves_what_was_copied() -> io::Result<()> {
    for len in [0, 8 << 20, 10 << 20] {
        let folder = Folder::new();
        let (copying, from, to) = half_way(&folder);
        StdFile::options().write(true).open(&from)?.set_len(len)?;
        let bytes = to_the_end(copying)?;
        assert_eq!(bytes, len.max(PIECE));
        assert!(std_fs::read(&to)? == pattern(12 << 20)[..bytes as usize]);
    }
    Ok(())
}

#[test]
fn source_without_its_name_is_copied_to_its_end() -> io::Result<()> {
    let folder = Folder::new();
    let (copying, from, to) = half_way(&folder);
    std_fs::remove_file(&from)?;
    assert_eq!(to_the_end(copying)?, 12 << 20);
    assert!(std_fs::read(&to)? == pattern(12 << 20));
    Ok(())
}

#[test]
fn target_that_somebody_empties_gets_the_rest_behind_a_hole() -> io::Result<()> {
    let folder = Folder::new();
    let (copying, _, to) = half_way(&folder);
    StdFile::options().write(true).open(&to)?.set_len(0)?;
    assert_eq!(to_the_end(copying)?, 12 << 20);
    let copied = std_fs::read(&to)?;
    assert!(copied[..PIECE as usize].iter().all(|&byte| byte == 0));
    assert!(copied[PIECE as usize..] == pattern(12 << 20)[PIECE as usize..]);
    Ok(())
}

#[test]
fn dropped_copy_ends_within_a_piece() {
    let one_thread = |builder: crate::Builder| builder.blocking_threads(1);
    test_support::run_configured("dropped_copy_ends_within_a_piece", None, one_thread, || async {
        let folder = Folder::new();
        let original = pattern(6 * PIECE as usize);
        let (from, to) = (folder.file("original", &original), folder.join("copy"));
        let mut copying = Box::pin(copy(&from, &to));
        let len = || std_fs::metadata(&to).map_or(0, |known| known.len());
        while len() < PIECE {
            assert!(futures_util::poll!(&mut copying).is_pending());
            yield_now().await;
        }
        let before = len();
        drop(copying);
        // The only thread is free again.
        spawn_blocking(|| ()).await.expect("it does not panic");
        assert!(len() <= before + PIECE, "{} bytes after {before}", len());
        assert!(len() < original.len() as u64);
        assert!(original.starts_with(&std_fs::read(&to)?));
        io::Result::Ok(())
    });
}

#[corering::test]
async fn copy_goes_to_the_file_that_has_the_name_already() -> io::Result<()> {
    let folder = Folder::new();
    let from = folder.file("original", b"content");
    let to = folder.file("copy", b"longer than that");
    let mut held = StdFile::options().append(true).open(&to)?;
    assert_eq!(copy(&from, &to).await?, 7);
    // It is the file that was there, which others may have open.
    held.write_all(b", more")?;
    assert_eq!(std_fs::read(&to)?, b"content, more");
    let nul = copy(&from, "a\0b").await.expect_err("no path has a NUL byte");
    assert_eq!(nul.kind(), ErrorKind::InvalidInput);
    Ok(())
}
