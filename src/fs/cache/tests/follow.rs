//! Tests of entries that go when their file changes. They are valid for an hour.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use futures_util::future::{Either, select};
use futures_util::poll;

use super::*;
use crate::task::yield_now;

const HOUR: Duration = Duration::from_secs(3_600);

/// A cache of what is in a folder, and the body of a test that asks it while changes are followed.
async fn followed(
    folder: &Folder,
    body: impl AsyncFnOnce(&FileCache) -> io::Result<()>,
) -> io::Result<()> {
    let cache: FileCache = cache_of(folder, FileCache::builder().validity(HOUR)).await?;
    let mut following = pin!(cache.follow_changes());
    assert!(poll!(&mut following).is_pending(), "it goes on");
    match select(following, pin!(body(&cache))).await {
        Either::Left((Err(error), _)) => Err(error),
        Either::Right((tested, _)) => tested,
    }
}

/// Lets events come until so many entries are left. Ends a test that would hang.
async fn until_left(cache: &FileCache, count: usize) {
    let left = async {
        while cache.len() > count {
            yield_now().await;
        }
    };
    time::timeout(20 * SECOND, left).await.expect("events come before that");
    assert_eq!(cache.len(), count);
}

#[corering::test]
async fn changed_file_alone_is_dropped_before_its_time() -> io::Result<()> {
    let folder = Folder::new();
    folder.file("other", b"other");
    let path = folder.file("file", b"text");
    let written = fs::File::options().write(true).open(&path)?;
    type Change<'a> = (&'a str, &'a dyn Fn() -> io::Result<()>);
    let changes: [Change<'_>; 7] = [
        ("rewritten", &|| fs::write(&path, "new text")),
        ("cut", &|| fs::File::options().write(true).open(&path)?.set_len(2)),
        ("made private", &|| fs::set_permissions(&path, fs::Permissions::from_mode(0o600))),
        ("given times", &|| fs::File::open(&path)?.set_modified(std::time::UNIX_EPOCH)),
        ("given another name", &|| fs::hard_link(&path, folder.join("link"))),
        ("renamed and back", &|| {
            fs::rename(&path, folder.join("away"))?;
            fs::rename(folder.join("away"), &path)
        }),
        ("replaced", &|| {
            replace(&folder, "file", b"replaced");
            Ok(())
        }),
    ];
    followed(&folder, async |cache| {
        let other = cache.get("other").await?;
        for (what, change) in changes {
            let old = cache.get("file").await?;
            assert!(Rc::ptr_eq(&old, &cache.get("file").await?), "{what}: it is kept");
            change()?;
            until_left(cache, 1).await;
            let new = cache.get("file").await?;
            assert!(!Rc::ptr_eq(&old, &new), "{what}");
            assert_eq!(new.contents().expect("it is small")[..], fs::read(&path)?, "{what}");
            assert_eq!(new.metadata().permissions(), fs::metadata(&path)?.permissions(), "{what}");
            assert!(Rc::ptr_eq(&other, &cache.get("other").await?), "{what}: it is another file");
        }
        // What has lost its name is watched no more.
        std::io::Write::write_all(&mut &written, b"elsewhere")?;
        fs::remove_file(&path)?;
        until_left(cache, 1).await;
        let error = cache.get("file").await.expect_err("it is gone");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(Rc::ptr_eq(&other, &cache.get("other").await?), "it is another file");
        Ok(())
    })
    .await
}

#[corering::test]
async fn all_paths_to_one_file_are_dropped_with_it() -> io::Result<()> {
    let folder = Folder::new();
    let path = folder.file("file", b"text");
    fs::hard_link(&path, folder.join("link"))?;
    followed(&folder, async |cache| {
        for name in ["file", "./file", "link"] {
            cache.get(name).await?;
        }
        cache.forget("./file");
        fs::write(&path, "new")?;
        until_left(cache, 0).await;
        assert_eq!(contents(cache, "link").await?, b"new");
        Ok(())
    })
    .await
}

#[corering::test]
async fn file_that_changes_amid_its_check_is_checked_again() -> io::Result<()> {
    let folder = Folder::new();
    let path = folder.file("file", b"text");
    followed(&folder, async |cache| {
        cache.get("file").await?;
        later(cache, HOUR);
        let mut asking = pin!(cache.get("file"));
        assert!(poll!(&mut asking).is_pending(), "its age makes it checked");
        fs::write(&path, "new")?;
        until_left(cache, 0).await;
        asking.await?;
        assert_eq!((contents(cache, "file").await?, checks(cache)), (b"new".to_vec(), 3));
        Ok(())
    })
    .await
}

#[corering::test]
async fn unfollowed_entry_is_watched_from_its_next_check_on() -> io::Result<()> {
    let folder = Folder::new();
    let path = folder.file("file", b"text");
    let cache: FileCache = cache_of(&folder, FileCache::builder().validity(HOUR)).await?;
    let first = cache.get("file").await?;
    for _ in 0..2 {
        let mut following = pin!(cache.follow_changes());
        assert!(poll!(&mut following).is_pending(), "it goes on");
        let error = cache.follow_changes().await.expect_err("it is followed");
        assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
        later(&cache, HOUR);
        cache.get("file").await?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        assert!(matches!(
            select(&mut following, pin!(until_left(&cache, 0))).await,
            Either::Right(((), _))
        ));
        cache.get("file").await?;
    }
    // It is dropped, and the last watch with it.
    let last = cache.get("file").await?;
    assert!(!Rc::ptr_eq(&first, &last));
    fs::write(&path, "new")?;
    yield_now().await;
    assert!(Rc::ptr_eq(&last, &cache.get("file").await?));
    later(&cache, HOUR);
    assert_eq!(contents(&cache, "file").await?, b"new");
    Ok(())
}

#[corering::test]
async fn events_that_the_kernel_drops_drop_all_entries() -> io::Result<()> {
    let folder = Folder::new();
    let paths = ["one", "two"].map(|name| folder.file(name, b"text"));
    folder.file("other", b"text");
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events")?;
    let limit: usize = limit.trim().parse().expect("it is a number");
    let files = paths.map(|path| fs::File::open(path).expect("it was just made"));
    followed(&folder, async |cache| {
        for name in ["one", "two", "other"] {
            cache.get(name).await?;
        }
        // Each differs from the one before, so none is merged.
        for round in 0..limit + 2 {
            files[round % 2].set_modified(std::time::UNIX_EPOCH)?;
        }
        until_left(cache, 0).await;
        cache.get("other").await?;
        files[0].set_modified(std::time::UNIX_EPOCH)?;
        cache.get("one").await?;
        assert_eq!(cache.len(), 2);
        files[0].set_modified(std::time::UNIX_EPOCH)?;
        until_left(cache, 1).await;
        Ok(())
    })
    .await
}
