//! What a watcher of files does to its process, and what the limits of a user do to it.

#[path = "common/child.rs"]
mod child;

use std::io;

use child::Child;
use corering::fs::{self, WatchMask, Watcher};
use corering::test_support::drivers;
use corering::{Runtime, yield_now};

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
