//! What a watcher of files, and a cache with one, does to its process, and what the limits of a user do to it.

#[path = "common/child.rs"]
mod child;

use std::io;
use std::path::Path;
use std::pin::pin;

use child::Child;
use corering::fs::{self, File, FileCache, WatchMask, Watcher};
use corering::test_support::drivers;
use corering::{Runtime, yield_now};
use futures_util::poll;

/// Runs a body on each driver.
fn on_each_driver(body: impl AsyncFn() -> io::Result<()>) {
    for driver in drivers() {
        let runtime = Runtime::builder().driver(driver).build().expect("the driver was asked for");
        runtime.block_on(body()).unwrap_or_else(|error| panic!("on {driver}: {error}"));
    }
}

#[test]
fn limits_of_watches_say_what_to_do() {
    if !child::is_child() {
        let child = Child::of("limits_of_watches_say_what_to_do");
        let child = child.limit_of_user("max_inotify_watches", 2);
        return child.limit_of_user("max_inotify_instances", 2).passes();
    }
    on_each_driver(async || {
        let watcher = Watcher::new()?;
        let root = watcher.add("/", WatchMask::CHANGES).await?;
        watcher.add("/proc", WatchMask::CHANGES).await?;
        let error = watcher.add("/dev", WatchMask::CHANGES).await.expect_err("two are all");
        assert!(error.to_string().contains("fs.inotify.max_user_watches"), "{error}");
        watcher.remove(root)?;
        watcher.add("/dev", WatchMask::CHANGES).await?;
        let another = Watcher::new()?;
        for error in [Watcher::new().err(), fs::watch("/").await.err()] {
            let error = error.expect("two are all").to_string();
            assert!(error.contains("fs.inotify.max_user_instances"), "{error}");
        }
        drop(another);
        // A thread closes it.
        while Watcher::new().is_err() {
            yield_now().await;
        }
        Ok(())
    });
}

/// Threads of the pool.
fn pool_threads() -> io::Result<usize> {
    let mut count = 0;
    for task in std::fs::read_dir("/proc/self/task")? {
        // One may end between its listing and the look at its name.
        let name = std::fs::read_to_string(task?.path().join("comm")).unwrap_or_default();
        count += usize::from(name.trim() == "corering-pool");
    }
    Ok(count)
}

#[test]
fn dropped_watcher_is_closed_by_a_thread_of_the_pool() {
    if !child::is_child() {
        return Child::of("dropped_watcher_is_closed_by_a_thread_of_the_pool").passes();
    }
    on_each_driver(async || {
        // Those of the runtime before end by themselves.
        while pool_threads()? > 0 {
            yield_now().await;
        }
        let mut watcher = Watcher::new()?;
        let own = std::fs::File::open("/")?;
        watcher.add_open(&own, WatchMask::CREATE)?;
        let watches = watcher.watches();
        assert!(futures_util::poll!(std::pin::pin!(watcher.recv())).is_pending());
        drop(watcher);
        yield_now().await;
        assert_eq!(pool_threads()?, 0, "nothing has gone to the pool");
        drop(watches);
        while pool_threads()? == 0 {
            yield_now().await;
        }
        Ok(())
    });
}

/// Files that have not changed for long.
const OLD: [&str; 4] = ["Cargo.toml", "src/lib.rs", "src/fs/mod.rs", "src/../src/lib.rs"];

async fn cache_of_old() -> io::Result<FileCache> {
    let folder = File::open(env!("CARGO_MANIFEST_DIR")).await?;
    Ok(FileCache::builder().files_max(3).beneath(&folder))
}

/// Watches of all instances of inotify of this process, and how many instances there are.
fn watches() -> io::Result<(usize, usize)> {
    let (mut watches, mut instances) = (0, 0);
    for fd in std::fs::read_dir("/proc/self/fd")? {
        let fd = fd?;
        // That of the folder itself is gone, and any other may be closed by a thread.
        let target = std::fs::read_link(fd.path()).unwrap_or_default();
        let info = Path::new("/proc/self/fdinfo").join(fd.file_name());
        if target.as_os_str() == "anon_inode:inotify"
            && let Ok(info) = std::fs::read_to_string(info)
        {
            watches += info.lines().filter(|line| line.starts_with("inotify ")).count();
            instances += 1;
        }
    }
    Ok((watches, instances))
}

#[test]
fn watches_of_a_cache_go_with_its_entries() {
    if !child::is_child() {
        return Child::of("watches_of_a_cache_go_with_its_entries").passes();
    }
    on_each_driver(async || {
        let cache = cache_of_old().await?;
        {
            let mut following = pin!(cache.follow_changes());
            assert!(poll!(&mut following).is_pending(), "it goes on");
            let mut expected = [1, 2, 3, 2].into_iter();
            for path in OLD {
                cache.get(path).await?;
                // The fourth path takes the place of the first, and leads to a file that is watched.
                assert_eq!(watches()?, (expected.next().expect("there are four"), 1), "{path}");
            }
            cache.get("src").await?;
            cache.forget(OLD[2]);
            assert_eq!((watches()?, cache.len()), ((1, 1), 2), "no folder is watched");
            cache.clear();
            assert_eq!(watches()?, (0, 1));
            cache.get(OLD[0]).await?;
            assert!(poll!(&mut following).is_pending(), "watches that have ended are known to it");
            assert_eq!((watches()?, cache.len()), ((1, 1), 1));
        }
        // A thread closes it.
        while watches()? != (0, 0) {
            yield_now().await;
        }
        assert_eq!(cache.len(), 1);
        Ok(())
    });
}

#[test]
fn cache_goes_on_where_limits_allow_no_watch() {
    if !child::is_child() {
        let child = Child::of("cache_goes_on_where_limits_allow_no_watch");
        let child = child.limit_of_user("max_inotify_watches", 1);
        return child.limit_of_user("max_inotify_instances", 1).passes();
    }
    on_each_driver(async || {
        let (cache, another) = (cache_of_old().await?, cache_of_old().await?);
        let mut following = pin!(cache.follow_changes());
        assert!(poll!(&mut following).is_pending(), "it goes on");
        let error = another.follow_changes().await.expect_err("one is all").to_string();
        assert!(error.contains("fs.inotify.max_user_instances"), "{error}");
        for cache in [&cache, &another] {
            for path in &OLD[..3] {
                let entry = cache.get(path).await?;
                assert!(std::rc::Rc::ptr_eq(&entry, &cache.get(path).await?), "{path} is kept");
            }
            assert_eq!((watches()?, cache.len()), ((1, 1), 3));
        }
        Ok(())
    });
}
