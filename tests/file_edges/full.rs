//! Disks without room, and disks that may not be written to: file systems that a child mounts for itself.

use std::ffi::CString;
use std::fs::Permissions;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::ptr;

use corering::fs::{self, File, OpenOptions};

use crate::child::{self, Child};
use crate::{Folder, pattern};

/// What the small disk holds.
const ROOM: usize = 1 << 20;

fn mount(source: &Path, target: &Path, kind: Option<&str>, flags: libc::c_ulong, options: &str) {
    let text = |bytes: &[u8]| CString::new(bytes).expect("no NUL");
    let (source, target) =
        (text(source.as_os_str().as_bytes()), text(target.as_os_str().as_bytes()));
    let (kind, options) = (kind.map(|kind| text(kind.as_bytes())), text(options.as_bytes()));
    let kind = kind.as_ref().map_or(ptr::null(), |kind| kind.as_ptr());
    // SAFETY: the strings outlive the call.
    let result = unsafe {
        libc::mount(source.as_ptr(), target.as_ptr(), kind, flags, options.as_ptr().cast())
    };
    assert_eq!(result, 0, "it cannot be mounted: {}", io::Error::last_os_error());
}

/// Runs a body in a child, on each driver, with a folder that is a disk of 1 MiB with 20 files at most.
fn on_a_small_disk<F>(test: &str, body: impl Fn(Folder) -> F)
where
    F: Future<Output = io::Result<()>>,
{
    if !child::is_child() {
        return Child::of(test).with_own_mounts().passes();
    }
    corering::test_support::run(test, None, || {
        let folder = Folder::new();
        mount(Path::new("small"), folder.as_ref(), Some("tmpfs"), 0, "size=1m,nr_inodes=20");
        let path = folder.as_ref().to_owned();
        let running = body(folder);
        async move {
            let outcome = running.await;
            let path = CString::new(path.as_os_str().as_bytes()).expect("no NUL");
            // Not mounted any more, the folder can be removed. What is open keeps the disk.
            // SAFETY: the path is a string.
            assert_eq!(unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) }, 0);
            outcome
        }
    });
}

#[test]
fn full_disk_keeps_what_an_atomic_write_was_to_replace() {
    const TEST: &str = "full::full_disk_keeps_what_an_atomic_write_was_to_replace";
    on_a_small_disk(TEST, async |folder: Folder| {
        let path = folder.file("file", b"old");
        let content = pattern(2 * ROOM);
        let failed = fs::atomic_write(&path, content.clone()).await.expect_err("it does not fit");
        assert_eq!(failed.kind(), ErrorKind::StorageFull);
        assert!(failed.transferred() > 0 && *failed.buf() == content);
        assert_eq!(std::fs::read(&path)?, b"old");
        assert_eq!(std::fs::read_dir(&folder)?.count(), 1, "no other file is left");
        // Nor is its room taken.
        fs::atomic_write(&path, pattern(ROOM / 2)).await?;
        assert_eq!(std::fs::read(&path)?, pattern(ROOM / 2));
        Ok(())
    });
}

#[test]
fn write_to_a_full_disk_says_how_much_went() {
    on_a_small_disk("full::write_to_a_full_disk_says_how_much_went", async |folder: Folder| {
        let content = pattern(2 * ROOM);
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true);
        // What fits is taken, and the next call hears that there is no room.
        let file = options.open(folder.join("once")).await?;
        let (count, buf) = file.write_at(content.clone(), 0).await?;
        assert!(count > ROOM / 2 && count <= ROOM, "{count} bytes");
        let failed = file.write_at(buf, count as u64).await.expect_err("it is full");
        assert_eq!((failed.kind(), failed.transferred()), (ErrorKind::StorageFull, 0));
        assert!(failed.buf()[..] == content && file.read_to_end().await? == content[..count]);
        file.set_len(0).await?;
        let failed = file.write_all_at(content.clone(), 0).await.expect_err("it does not fit");
        assert_eq!((failed.kind(), failed.transferred()), (ErrorKind::StorageFull, count));
        assert!(failed.buf()[..] == content && file.read_to_end().await? == content[..count]);
        file.set_len(0).await?;
        let halves = vec![content[..ROOM].to_vec(), content[ROOM..].to_vec()];
        let (count, halves) = file.write_vectored_at(halves, 0).await?;
        let failed = file.write_vectored_at(halves, count as u64).await.expect_err("it is full");
        assert_eq!((failed.kind(), failed.buf().len()), (ErrorKind::StorageFull, 2));
        assert!(file.read_to_end().await? == content[..count]);
        Ok(())
    });
}

#[test]
fn whole_file_that_does_not_fit_has_its_first_part() {
    const TEST: &str = "full::whole_file_that_does_not_fit_has_its_first_part";
    on_a_small_disk(TEST, async |folder: Folder| {
        let content = pattern(2 * ROOM);
        let kept = folder.file("kept", &content[..100_000]);
        let path = folder.join("file");
        let failed = fs::write(&path, content.clone()).await.expect_err("it does not fit");
        assert_eq!(failed.kind(), ErrorKind::StorageFull);
        let count = failed.transferred();
        assert!(count > ROOM / 2 && count <= ROOM, "{count} bytes");
        assert!(fs::read(&path).await? == content[..count]);
        assert!(failed.into_parts().1 == content);
        // A copy, too, has what went before.
        let outside = Folder::new();
        let from = outside.file("original", &content);
        let error = fs::copy(&from, &path).await.expect_err("it does not fit");
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        let copied = fs::read(&path).await?;
        assert!(copied.len() > ROOM / 2 && content.starts_with(&copied), "{}", copied.len());
        // A file that is replaced as one stays as it was, and nothing stands beside it.
        fs::remove_file(&path).await?;
        let failed = fs::atomic_write(&kept, content.clone()).await.expect_err("it does not fit");
        assert_eq!(
            (failed.kind(), failed.into_parts().1.len()),
            (ErrorKind::StorageFull, 2 * ROOM)
        );
        assert_eq!(std::fs::read_dir(&folder)?.count(), 1);
        // Nothing is lost of what was there before.
        assert!(fs::read(&kept).await? == content[..100_000]);
        // And there is room again.
        fs::write(&path, content[..ROOM / 2].to_vec()).await?;
        assert!(fs::read(&path).await? == content[..ROOM / 2]);
        Ok(())
    });
}

#[test]
fn room_that_is_missing_is_told_when_it_is_taken() {
    const TEST: &str = "full::room_that_is_missing_is_told_when_it_is_taken";
    on_a_small_disk(TEST, async |folder: Folder| {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).open(folder.join("file")).await?;
        file.write_all_at("content", 0).await?;
        let error = file.allocate(0, 4 * ROOM as u64).await.expect_err("it does not fit");
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        assert_eq!(file.read_to_end().await?, b"content");
        // A hole takes no room, but what is written into it does.
        file.set_len(4 * ROOM as u64).await?;
        let failed = file.write_all_at(vec![7; 2 * ROOM], ROOM as u64).await;
        let failed = failed.expect_err("it does not fit");
        assert_eq!(failed.kind(), ErrorKind::StorageFull);
        let count = failed.transferred();
        assert!(count > 0 && count < ROOM, "{count} bytes");
        let len = 2 * ROOM;
        let written = file.read_exact_at(Vec::with_capacity(len), len, ROOM as u64).await?;
        assert!(written[..count].iter().all(|&byte| byte == 7));
        assert!(written[count..].iter().all(|&byte| byte == 0));
        file.set_len(7).await?;
        assert_eq!(file.read_to_end().await?, b"content");
        // Room that was reserved is there when it is needed.
        file.allocate(0, ROOM as u64 / 2).await?;
        fs::write(folder.join("rest"), vec![1; 2 * ROOM]).await.expect_err("the rest is taken");
        file.write_all_at(vec![7; ROOM / 2], 0).await?;
        Ok(())
    });
}

#[test]
fn disk_without_names_left_makes_nothing() {
    const TEST: &str = "full::disk_without_names_left_makes_nothing";
    on_a_small_disk(TEST, async |folder: Folder| {
        let there = folder.file("there", b"content");
        let mut number = 0;
        let error = loop {
            match File::create(folder.join(number.to_string())).await {
                Ok(_) => number += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        let (new, below) = (folder.join("new"), folder.join("deep/below"));
        for outcome in [
            fs::write(&new, "x").await.map(drop).map_err(io::Error::from),
            fs::copy(&there, &new).await.map(drop),
            fs::create_dir(&new).await,
            fs::create_dir_all(&below).await,
            fs::symlink("there", &new).await,
        ] {
            assert_eq!(outcome.expect_err("none is left").kind(), ErrorKind::StorageFull);
            assert!(!fs::exists(&new).await?);
        }
        // What is there is written and renamed as ever.
        fs::write(&there, "changed").await?;
        fs::rename(&there, &new).await?;
        assert_eq!(fs::read(&new).await?, b"changed");
        Ok(())
    });
}

#[test]
fn disk_that_is_only_read_refuses_every_change() {
    const TEST: &str = "full::disk_that_is_only_read_refuses_every_change";
    on_a_small_disk(TEST, async |folder: Folder| {
        let (file, new) = (folder.file("file", b"content"), folder.join("new"));
        std::fs::create_dir(folder.join("below"))?;
        let writer = OpenOptions::new().write(true).open(&file).await?;
        drop(writer);
        let flags = libc::MS_REMOUNT | libc::MS_BIND | libc::MS_RDONLY;
        mount(folder.as_ref(), folder.as_ref(), None, flags, "");
        let outside = Folder::new();
        let from = outside.file("original", b"other");
        let mut append = OpenOptions::new();
        let outcomes = [
            File::create(&new).await.map(drop),
            File::create(&file).await.map(drop),
            append.append(true).open(&file).await.map(drop),
            fs::write(&file, "x").await.map(drop).map_err(io::Error::from),
            fs::copy(&from, &file).await.map(drop),
            fs::copy(&from, &new).await.map(drop),
            fs::create_dir(&new).await,
            fs::create_dir_all(new.join("below")).await,
            fs::remove_file(&file).await,
            fs::remove_dir(folder.join("below")).await,
            fs::remove_dir_all(folder.join("below")).await,
            fs::rename(&file, &new).await,
            fs::symlink("file", &new).await,
            fs::hard_link(&file, &new).await,
            fs::set_permissions(&file, Permissions::from_mode(0o600)).await,
        ];
        for (number, outcome) in outcomes.into_iter().enumerate() {
            let error = outcome.expect_err("nothing may be changed");
            assert_eq!(error.kind(), ErrorKind::ReadOnlyFilesystem, "{number}: {error}");
        }
        assert_eq!(fs::read(&file).await?, b"content");
        assert_eq!(fs::copy(&file, &from).await?, 7);
        assert_eq!(fs::read(&from).await?, b"content");
        assert!(!fs::exists(&new).await? && fs::metadata(folder.join("below")).await?.is_dir());
        Ok(())
    });
}
