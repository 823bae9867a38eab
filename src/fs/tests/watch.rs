//! Tests of files and folders that are watched.

use std::ffi::OsString;
use std::fs::{self as std_fs, Permissions};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{PermissionsExt, symlink as make_link};

use futures_util::{StreamExt, poll};

use super::limits::nothing_is_in_flight;
use super::{watch as fs_watch, *};
use crate::Runtime;
use crate::test_support::drivers;

/// An event that is a change.
async fn change(watcher: &mut Watcher) -> io::Result<Change> {
    match watcher.recv().await? {
        WatchEvent::Changed(change) => Ok(change),
        other => panic!("it is no change: {other:?}"),
    }
}

/// What has happened to which name.
async fn happened(watcher: &mut Watcher) -> io::Result<(WatchMask, Option<OsString>)> {
    change(watcher).await.map(|change| (change.kinds, change.name))
}

fn named(kinds: WatchMask, name: &str) -> (WatchMask, Option<OsString>) {
    (kinds, Some(name.into()))
}

#[corering::test]
async fn changes_in_a_folder_come_in_their_order() -> io::Result<()> {
    let folder = Folder::new();
    let mut watcher = fs_watch(&folder).await?;
    write(folder.join("file"), "text").await?;
    create_dir(folder.join("below")).await?;
    std_fs::write(folder.join("below/deep"), "not reported")?;
    remove_file(folder.join("file")).await?;
    for expected in [
        named(WatchMask::CREATE, "file"),
        named(WatchMask::MODIFY, "file"),
        named(WatchMask::CLOSE_WRITE, "file"),
    ] {
        assert_eq!(happened(&mut watcher).await?, expected);
    }
    let below = change(&mut watcher).await?;
    assert_eq!((below.kinds, below.is_dir, below.cookie), (WatchMask::CREATE, true, 0));
    assert_eq!(happened(&mut watcher).await?, named(WatchMask::DELETE, "file"));
    Ok(())
}

#[corering::test]
async fn both_halves_of_a_rename_have_one_cookie() -> io::Result<()> {
    let folder = Folder::new();
    let mut watcher = Watcher::new()?;
    for name in ["one", "two"] {
        folder.file(name, b"");
    }
    watcher.add(&folder, WatchMask::MOVE).await?;
    rename(folder.join("one"), folder.join("other")).await?;
    rename(folder.join("two"), folder.join("other")).await?;
    let mut cookies = Vec::new();
    for from in ["one", "two"] {
        let (left, came) = (change(&mut watcher).await?, change(&mut watcher).await?);
        assert_eq!((left.kinds, left.name), named(WatchMask::MOVED_FROM, from));
        assert_eq!((came.kinds, came.name), named(WatchMask::MOVED_TO, "other"));
        assert_eq!(left.cookie, came.cookie);
        cookies.push(left.cookie);
    }
    assert!(cookies[0] != cookies[1] && !cookies.contains(&0), "{cookies:?}");
    Ok(())
}

#[corering::test]
async fn names_need_not_be_utf8() -> io::Result<()> {
    let folder = Folder::new();
    let mut watcher = fs_watch(&folder).await?;
    for bytes in [&b"\xff\xfe"[..], &[b'x'; 255], b"1"] {
        let name = OsString::from_vec(bytes.to_vec());
        std_fs::create_dir(folder.as_ref().join(&name))?;
        assert_eq!(change(&mut watcher).await?.name, Some(name));
    }
    Ok(())
}

#[corering::test]
async fn event_ends_the_wait_of_another_task() -> io::Result<()> {
    let folder = Folder::new();
    let mut watcher = Watcher::new()?;
    let watches = watcher.watches();
    let waiting = spawn(async move {
        let first = happened(&mut watcher).await?;
        Ok::<_, io::Error>((first, happened(&mut watcher).await?))
    });
    nothing_is_in_flight().await;
    let id = watches.add(&folder, WatchMask::CREATE).await?;
    folder.file("first", b"");
    yield_now().await;
    folder.file("second", b"");
    let (first, second) = waiting.await.expect("it does not panic")?;
    assert_eq!(first, named(WatchMask::CREATE, "first"));
    assert_eq!(second, named(WatchMask::CREATE, "second"));
    watches.remove(id)
}

#[corering::test]
async fn dropped_wait_leaves_the_event_for_the_next() -> io::Result<()> {
    let folder = Folder::new();
    let mut watcher = fs_watch(&folder).await?;
    for round in 0..20 {
        let name = format!("folder {round}");
        {
            let mut waiting = std::pin::pin!(watcher.recv());
            assert!(poll!(waiting.as_mut()).is_pending(), "nothing has happened");
            if round % 2 == 0 {
                yield_now().await;
            }
            std_fs::create_dir(folder.join(&name))?;
            if round % 3 == 0 {
                yield_now().await;
            }
        }
        let event = change(&mut watcher).await?;
        assert_eq!((event.kinds, event.name), named(WatchMask::CREATE, &name));
    }
    Ok(())
}

#[corering::test]
async fn what_is_watched_twice_has_one_watch_with_the_newer_mask() -> io::Result<()> {
    let folder = Folder::new();
    let path = folder.file("file", b"");
    std_fs::hard_link(&path, folder.join("name"))?;
    let mut watcher = Watcher::new()?;
    let id = watcher.add(&path, WatchMask::MODIFY).await?;
    assert_eq!(watcher.add(folder.join("name"), WatchMask::ATTRIB).await?, id);
    assert_eq!(watcher.add_open(std_fs::File::open(&path)?, WatchMask::ATTRIB)?, id);
    assert_ne!(watcher.add(&folder, WatchMask::MODIFY).await?, id);
    std_fs::write(&path, "of the other watch alone")?;
    assert_ne!(change(&mut watcher).await?.id, id);
    std_fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    let event = change(&mut watcher).await?;
    assert_eq!((event.id, event.kinds, event.name), (id, WatchMask::ATTRIB, None));
    Ok(())
}

#[corering::test]
async fn removed_watch_reports_what_it_saw_and_its_end() -> io::Result<()> {
    let folder = Folder::new();
    let mut watcher = Watcher::new()?;
    let id = watcher.add(&folder, WatchMask::CREATE).await?;
    folder.file("seen", b"");
    watcher.remove(id)?;
    folder.file("unseen", b"");
    assert_eq!(watcher.remove(id).expect_err("it has ended").kind(), ErrorKind::NotFound);
    assert_eq!(happened(&mut watcher).await?, named(WatchMask::CREATE, "seen"));
    assert_eq!(watcher.recv().await?, WatchEvent::Ended(id));
    assert!(poll!(std::pin::pin!(watcher.recv())).is_pending());
    Ok(())
}

#[corering::test]
async fn removed_folder_ends_its_watch() -> io::Result<()> {
    let folder = Folder::new();
    let path = folder.join("watched");
    create_dir(&path).await?;
    let mut watcher = Watcher::new()?;
    let id = watcher.add(&path, WatchMask::CHANGES).await?;
    std_fs::write(path.join("file"), "")?;
    remove_dir_all(&path).await?;
    for kinds in [WatchMask::CREATE, WatchMask::CLOSE_WRITE, WatchMask::DELETE] {
        assert_eq!(happened(&mut watcher).await?, named(kinds, "file"));
    }
    let mut last = change(&mut watcher).await?;
    if last.kinds == WatchMask::ATTRIB {
        last = change(&mut watcher).await?;
    }
    assert_eq!((last.kinds, last.name), (WatchMask::DELETE_SELF, None));
    assert_eq!(watcher.recv().await?, WatchEvent::Ended(id));
    assert_eq!(watcher.remove(id).expect_err("it has ended").kind(), ErrorKind::NotFound);
    Ok(())
}

#[corering::test]
async fn replaced_file_is_reported_though_it_stays_open() -> io::Result<()> {
    let folder = Folder::new();
    let path = folder.file("file", b"old");
    let file = File::open(&path).await?;
    let mut watcher = Watcher::new()?;
    let id = watcher.add_open(&file, WatchMask::CHANGES)?;
    std_fs::rename(folder.file("new", b"new"), &path)?;
    assert_eq!(happened(&mut watcher).await?, (WatchMask::ATTRIB, None));
    file.close().await?;
    assert_eq!(happened(&mut watcher).await?, (WatchMask::DELETE_SELF, None));
    assert_eq!(watcher.recv().await?, WatchEvent::Ended(id));
    Ok(())
}

#[corering::test]
async fn watch_of_a_link_follows_it_or_not() -> io::Result<()> {
    let folder = Folder::new();
    let (path, link) = (folder.file("file", b""), folder.join("link"));
    make_link(&path, &link)?;
    let mut watcher = Watcher::new()?;
    let followed = watcher.add(&link, WatchMask::ATTRIB).await?;
    assert_eq!(watcher.add(&path, WatchMask::ATTRIB).await?, followed);
    let mask = WatchMask::ATTRIB | WatchMask::DELETE_SELF | WatchMask::DONT_FOLLOW;
    let itself = watcher.add(&link, mask).await?;
    assert_ne!(itself, followed);
    std_fs::remove_file(&link)?;
    assert_eq!(change(&mut watcher).await?.id, itself);
    Ok(())
}

#[corering::test]
async fn adding_a_watch_is_not_reported_as_a_use() -> io::Result<()> {
    let folder = Folder::new();
    let path = folder.file("file", b"");
    let mut watcher = Watcher::new()?;
    watcher.add(&folder, WatchMask::ALL).await?;
    watcher.add(&path, WatchMask::CHANGES).await?;
    drop(std_fs::File::open(&path)?);
    assert_eq!(happened(&mut watcher).await?, named(WatchMask::OPEN, "file"));
    Ok(())
}

#[corering::test]
async fn what_cannot_be_watched_is_refused_with_its_reason() -> io::Result<()> {
    let folder = Folder::new();
    let path = folder.file("file", b"");
    let watcher = Watcher::new()?;
    for (path, mask, kind) in [
        (folder.join("missing"), WatchMask::CHANGES, ErrorKind::NotFound),
        (path.join("below"), WatchMask::CHANGES, ErrorKind::NotADirectory),
        (path.clone(), WatchMask::CHANGES | WatchMask::ONLYDIR, ErrorKind::NotADirectory),
        (path.clone(), WatchMask::DONT_FOLLOW, ErrorKind::InvalidInput),
        ("a\0b".into(), WatchMask::CHANGES, ErrorKind::InvalidInput),
    ] {
        let error = watcher.add(&path, mask).await.expect_err("it cannot be watched");
        assert_eq!(error.kind(), kind, "{path:?}, {mask:?}: {error}");
    }
    let error = fs_watch(folder.join("missing")).await.expect_err("it is not there");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    Ok(())
}

#[corering::test]
async fn events_that_the_kernel_drops_are_reported_as_overflow() -> io::Result<()> {
    let folder = Folder::new();
    let (one, two) = (folder.file("one", b""), folder.file("two", b""));
    let mut watcher = Watcher::new()?;
    watcher.add(&folder, WatchMask::ATTRIB).await?;
    let limit = std_fs::read_to_string("/proc/sys/fs/inotify/max_queued_events")?;
    let limit: usize = limit.trim().parse().expect("it is a number");
    // Each differs from the one before, so none is merged.
    for round in 0..limit / 2 + 2_000 {
        let mode = 0o600 + round as u32 % 2;
        for path in [&one, &two] {
            std_fs::set_permissions(path, Permissions::from_mode(mode))?;
        }
    }
    let mut names = Vec::new();
    loop {
        match watcher.recv().await? {
            WatchEvent::Changed(change) => names.push(change.name.expect("it is in a folder")),
            WatchEvent::Overflow => break,
            WatchEvent::Ended(_) => panic!("the folder is there"),
        }
    }
    assert_eq!(names.len(), limit);
    assert!(names.chunks(2).all(|pair| pair == ["one", "two"]));
    assert!(poll!(std::pin::pin!(watcher.recv())).is_pending(), "overflow comes last, and once");
    std_fs::set_permissions(&one, Permissions::from_mode(0o644))?;
    assert_eq!(happened(&mut watcher).await?, named(WatchMask::ATTRIB, "one"));
    Ok(())
}

#[corering::test]
async fn watcher_is_a_stream() -> io::Result<()> {
    let folder = Folder::new();
    let watcher = fs_watch(&folder).await?;
    for number in 0..3 {
        std_fs::create_dir(folder.join(&number.to_string()))?;
    }
    let events: Vec<_> = watcher.take(3).collect().await;
    assert!(events.iter().all(Result::is_ok) && events.len() == 3, "{events:?}");
    Ok(())
}

#[test]
fn watcher_goes_on_in_another_runtime() -> io::Result<()> {
    let folder = Folder::new();
    for first in drivers() {
        let on = |driver| Runtime::builder().driver(driver).build();
        let mut watcher = on(first)?.block_on(async {
            let mut watcher = fs_watch(&folder).await?;
            assert!(poll!(std::pin::pin!(watcher.recv())).is_pending());
            Ok::<_, io::Error>(watcher)
        })?;
        for driver in drivers().into_iter().rev() {
            let name = format!("{first} {driver}");
            std_fs::create_dir(folder.join(&name))?;
            on(driver)?.block_on(async {
                assert_eq!(happened(&mut watcher).await?, named(WatchMask::CREATE, &name));
                assert!(poll!(std::pin::pin!(watcher.recv())).is_pending());
                Ok::<_, io::Error>(())
            })?;
        }
        let mut waiting = std::pin::pin!(watcher.recv());
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        let std::task::Poll::Ready(told) = Future::poll(waiting.as_mut(), &mut cx) else {
            panic!("nothing could wake it")
        };
        assert!(told.expect_err("there is no runtime").to_string().contains("no corering runtime"));
    }
    Ok(())
}
