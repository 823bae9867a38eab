//! Contents that are replaced as a whole.

use std::fs::Permissions;
use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use corering::fs::atomic_write;
use corering::test_support::drivers;
use corering::{Driver, Runtime};

use crate::child::{self, Child};
use crate::{Folder, in_each_way, with_and_without_names};

#[test]
fn contents_are_replaced_whole_and_permissions_kept() {
    const TEST: &str = "atomic::contents_are_replaced_whole_and_permissions_kept";
    in_each_way(TEST, async |folder| {
        let path = folder.join("file");
        for len in [0, 1, 3_000_000, 5] {
            assert_eq!(atomic_write(&path, vec![len as u8; len]).await?, vec![len as u8; len]);
            assert_eq!(std::fs::read(&path)?, vec![len as u8; len]);
        }
        // As any other new file.
        let other = std::fs::metadata(folder.file("other", ""))?;
        assert_eq!(std::fs::metadata(&path)?.mode(), other.mode());
        for mode in [0o600, 0o644, 0o666, 0o751, 0o400] {
            std::fs::set_permissions(&path, Permissions::from_mode(mode))?;
            let old = std::fs::metadata(&path)?;
            atomic_write(&path, "new").await?;
            let new = std::fs::metadata(&path)?;
            assert_eq!(new.mode() & 0o7777, mode, "{mode:o}");
            assert_ne!(new.ino(), old.ino());
        }
        // Whoever executes it is not to be somebody else with new contents.
        std::fs::set_permissions(&path, Permissions::from_mode(0o4755))?;
        atomic_write(&path, "new").await?;
        assert_eq!(std::fs::metadata(&path)?.mode() & 0o7777, 0o755);
        assert_eq!(folder.names(), ["file", "other"]);
        Ok(())
    });
}

#[test]
fn other_names_keep_the_old_contents_and_links_are_replaced() {
    const TEST: &str = "atomic::other_names_keep_the_old_contents_and_links_are_replaced";
    in_each_way(TEST, async |folder| {
        let (path, second) = (folder.file("file", "old"), folder.join("second"));
        std::fs::hard_link(&path, &second)?;
        atomic_write(&path, "new").await?;
        assert_eq!(
            (std::fs::read(&path)?, std::fs::read(&second)?),
            (b"new".into(), b"old".into())
        );
        for target in ["second", "none"] {
            let link = folder.join(target).with_extension("link");
            symlink(target, &link)?;
            atomic_write(&link, "in the place of the link").await?;
            assert!(!link.is_symlink());
            assert_eq!(std::fs::read(&link)?, b"in the place of the link");
        }
        assert_eq!(std::fs::read(&second)?, b"old");
        assert_eq!(folder.names(), ["file", "none.link", "second", "second.link"]);
        Ok(())
    });
}

#[test]
fn what_is_no_file_is_not_replaced() {
    in_each_way("atomic::what_is_no_file_is_not_replaced", async |folder| {
        std::fs::create_dir(folder.join("below"))?;
        let _socket = std::os::unix::net::UnixListener::bind(folder.join("socket"))?;
        let file = folder.file("file", "old");
        for (path, kind) in [
            (folder.join("below"), ErrorKind::IsADirectory),
            (folder.join("below/"), ErrorKind::IsADirectory),
            (folder.join("below/."), ErrorKind::IsADirectory),
            (folder.join("below/.."), ErrorKind::IsADirectory),
            (folder.join("new/"), ErrorKind::IsADirectory),
            ("/".into(), ErrorKind::IsADirectory),
            ("".into(), ErrorKind::NotFound),
            (folder.join("none/file"), ErrorKind::NotFound),
            (file.join("below"), ErrorKind::NotADirectory),
            (folder.join("a\0b"), ErrorKind::InvalidInput),
            (folder.join(&"n".repeat(256)), ErrorKind::InvalidFilename),
            (folder.join("socket"), ErrorKind::InvalidInput),
            ("/dev/null".into(), ErrorKind::InvalidInput),
        ] {
            let failed = atomic_write(&path, "new").await.expect_err("it is no file");
            assert_eq!((failed.kind(), *failed.buf()), (kind, "new"), "{path:?}: {failed}");
        }
        assert_eq!(std::fs::read(&file)?, b"old");
        assert_eq!(folder.names(), ["below", "file", "socket"]);
        Ok(())
    });
}

/// Ends a future by dropping it after so many polls; `None` then.
async fn drop_after<T>(polls: u32, mut future: Pin<Box<dyn Future<Output = T> + '_>>) -> Option<T> {
    let mut left = polls;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            // The last poll is not waited for: the future is dropped in flight.
            Poll::Pending if left == 0 && polls % 2 == 1 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

#[test]
fn dropped_write_leaves_old_or_new_and_no_other_file() {
    const TEST: &str = "atomic::dropped_write_leaves_old_or_new_and_no_other_file";
    with_and_without_names(TEST, |folder| {
        let (old, new) = (vec![b'o'; 100_000], vec![b'n'; 200_000]);
        for driver in drivers() {
            for is_there in [true, false] {
                let mut ended = false;
                let mut polls = 0;
                while !ended {
                    let path = folder.join("file");
                    let _ = std::fs::remove_file(&path);
                    if is_there {
                        folder.file("file", &old);
                    }
                    let runtime = Runtime::builder().driver(driver).build();
                    let runtime = runtime.expect("the driver was asked for");
                    let writing = Box::pin(atomic_write(&path, new.clone()));
                    let written = runtime.block_on(drop_after(polls, writing));
                    ended = written.transpose().expect("the disk has room").is_some();
                    drop(runtime);
                    let found = std::fs::read(&path).ok();
                    let is_old = found == is_there.then(|| old.clone());
                    let is_new = found.as_ref() == Some(&new);
                    assert!(is_new || is_old && !ended, "on {driver}, after {polls} polls");
                    let names = folder.names();
                    assert!(names.iter().all(|name| name == "file"), "{polls} polls: {names:?}");
                    polls += 1;
                }
                assert!(polls > 3, "it takes several steps");
            }
        }
    });
}

#[test]
fn readers_see_the_old_or_the_new_contents() {
    in_each_way("atomic::readers_see_the_old_or_the_new_contents", async |folder| {
        let path = folder.file("file", vec![0; 50_000]);
        let over = Arc::new(AtomicBool::new(false));
        let reading = std::thread::spawn({
            let (path, over) = (path.clone(), over.clone());
            move || {
                let mut seen = std::collections::BTreeSet::new();
                while !over.load(Ordering::Relaxed) {
                    let bytes = std::fs::read(&path).expect("it is there at every moment");
                    let is_whole = bytes.len() == 50_000 && bytes.iter().all(|it| *it == bytes[0]);
                    assert!(is_whole, "{} bytes", bytes.len());
                    seen.insert(bytes[0]);
                }
                seen.len()
            }
        });
        let mut written = Ok(Vec::new());
        for number in 1..=250 {
            written = atomic_write(&path, vec![number; 50_000]).await;
            if written.is_err() {
                break;
            }
        }
        over.store(true, Ordering::Relaxed);
        let seen = reading.join().expect("each was whole");
        written?;
        assert!(seen > 0);
        assert_eq!(folder.names(), ["file"]);
        Ok(())
    });
}

#[test]
fn file_that_grows_too_large_leaves_the_old_one() {
    const TEST: &str = "atomic::file_that_grows_too_large_leaves_the_old_one";
    if !child::is_child() {
        return Child::of(TEST).limit(libc::RLIMIT_FSIZE, 100_000).passes();
    }
    corering::test_support::run(TEST, None, async || {
        let folder = Folder::new();
        let path = folder.file("file", "old");
        let failed = atomic_write(&path, vec![1; 300_000]).await.expect_err("it is too large");
        assert_eq!(failed.kind(), ErrorKind::FileTooLarge);
        assert_eq!((failed.buf().len(), failed.transferred()), (300_000, 100_000));
        assert_eq!(std::fs::read(&path)?, b"old");
        while folder.names() != ["file"] {
            corering::yield_now().await;
        }
        io::Result::Ok(())
    });
}

/// The call that changes a name. The newest architectures have the second only.
#[cfg(not(any(target_arch = "riscv64", target_arch = "loongarch64")))]
const SYS_RENAMEAT: libc::c_long = libc::SYS_renameat;
#[cfg(any(target_arch = "riscv64", target_arch = "loongarch64"))]
const SYS_RENAMEAT: libc::c_long = libc::SYS_renameat2;

#[test]
fn disk_that_is_full_or_broken_leaves_the_old_one() {
    const TEST: &str = "atomic::disk_that_is_full_or_broken_leaves_the_old_one";
    if !drivers().contains(&Driver::Epoll) {
        return;
    }
    let calls = [libc::SYS_pwrite64, libc::SYS_fsync, libc::SYS_linkat, SYS_RENAMEAT];
    let errnos = [libc::ENOSPC, libc::EIO, libc::EDQUOT, libc::EROFS];
    if !child::is_child() {
        for (index, (call, errno)) in calls.into_iter().zip(errnos).enumerate() {
            let child = Child::of(TEST).env("REFUSED", &index.to_string());
            child.refuse(&[call], errno).passes();
        }
        return;
    }
    let index: usize = std::env::var("REFUSED").expect("it is set").parse().expect("a number");
    let runtime = Runtime::builder().driver(Driver::Epoll).build().expect("epoll is everywhere");
    runtime.block_on(async {
        let folder = Folder::new();
        let path = folder.file("file", "old");
        let failed = atomic_write(&path, "new").await.expect_err("the call is refused");
        assert_eq!(failed.error.raw_os_error(), Some(errnos[index]));
        assert_eq!(*failed.buf(), "new");
        assert_eq!(std::fs::read(&path).expect("it is there"), b"old");
        while folder.names() != ["file"] {
            corering::yield_now().await;
        }
    });
}

#[test]
fn nobody_may_do_more_with_the_new_file_than_with_the_old() {
    const TEST: &str = "atomic::nobody_may_do_more_with_the_new_file_than_with_the_old";
    if !child::is_child() {
        // Another user may not be able to enter the build's folder.
        let folder = Folder::new_in(&std::env::temp_dir());
        std::fs::set_permissions(&folder.0, Permissions::from_mode(0o777)).expect("it is ours");
        let path = folder.file("file", "old");
        std::fs::set_permissions(&path, Permissions::from_mode(0o664)).expect("it is ours");
        let name = path.to_str().expect("it is ours");
        return Child::of(TEST).env("FILE_OF_ANOTHER", name).without_capabilities().passes();
    }
    let path = std::env::var("FILE_OF_ANOTHER").expect("it is set");
    corering::test_support::run(TEST, None, async || {
        let old = std::fs::metadata(&path)?;
        atomic_write(&path, "new").await?;
        let new = std::fs::metadata(&path)?;
        let kept = new.gid() == old.gid();
        assert_eq!(new.mode() & 0o777, if kept { old.mode() & 0o777 } else { 0o604 });
        io::Result::Ok(())
    });
}
