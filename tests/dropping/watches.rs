//! Rows of watchers: events are for the next call, what was not added reports nothing, and a cache keeps
//! what has not changed.

use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

use corering::fs::{self, File, FileCache, WatchEvent, WatchMask, Watcher};
use corering::yield_now;
use futures_util::TryFutureExt;

use crate::moments::{Boxed, Moment, World, drop_at};
use crate::net::nothing_is_in_flight;

/// An empty folder.
struct Folder(PathBuf);

impl Folder {
    fn new() -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("watches-{}-{number}", std::process::id());
        let folder = Folder(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name));
        std::fs::create_dir(&folder.0)?;
        Ok(folder)
    }

    fn make(&self, name: &str) {
        std::fs::create_dir(self.0.join(name)).expect("the disk has room");
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The name of what was made.
fn name(event: WatchEvent) -> String {
    let WatchEvent::Changed(change) = event else { panic!("it is no change: {event:?}") };
    change.name.expect("it is in a folder").into_string().expect("it is one of ours")
}

/// All rows at one moment.
pub(crate) async fn lose_no_event(world: &World, moment: Moment) -> io::Result<()> {
    leave_events_for_the_next(world, moment).await?;
    add_nothing(world, moment).await?;
    keep_entries(world, moment).await?;
    // A thread closes those that were dropped.
    while instances()? > 0 {
        yield_now().await;
    }
    Ok(())
}

/// Instances of inotify that are open.
fn instances() -> io::Result<usize> {
    let mut count = 0;
    for fd in std::fs::read_dir("/proc/self/fd")? {
        // That of the folder itself is gone.
        let target = std::fs::read_link(fd?.path());
        count += usize::from(target.is_ok_and(|path| path.as_os_str() == "anon_inode:inotify"));
    }
    Ok(count)
}

/// The row of events at one moment.
async fn leave_events_for_the_next(world: &World, moment: Moment) -> io::Result<()> {
    let row = "Watcher::recv";
    let folder = Folder::new()?;
    let mut watcher = fs::watch(&folder.0).await?;
    let (mut names, mut made) = (Vec::new(), Vec::new());
    for round in 0..4 {
        let of_round = [format!("{round} a"), format!("{round} b")];
        let mut is_made = false;
        let make = || of_round.iter().for_each(|name| folder.make(name));
        let provoke = async || {
            is_made = true;
            make();
        };
        let event = drop_at(world, moment, Box::pin(watcher.recv()), provoke).await;
        names.extend(event.transpose()?.map(name));
        if !is_made {
            make();
        }
        made.extend(of_round);
    }
    while names.len() < made.len() {
        names.push(name(watcher.recv().await?));
    }
    assert_eq!(names, made, "{row}, {moment:?}");
    Ok(())
}

/// The rows of what adds watches, at one moment.
async fn add_nothing(world: &World, moment: Moment) -> io::Result<()> {
    for row in ["Watcher::add", "Watches::add", "fs::watch"] {
        let (watched, marker) = (Folder::new()?, Folder::new()?);
        let mut watcher = Watcher::new()?;
        let mask = WatchMask::CREATE;
        let adding: Boxed<'_, io::Result<()>> = match row {
            "Watcher::add" => Box::pin(watcher.add(&watched.0, mask).map_ok(drop)),
            "Watches::add" => Box::pin(watcher.watches().add(&watched.0, mask).map_ok(drop)),
            _ => Box::pin(fs::watch(&watched.0).map_ok(drop)),
        };
        let ended = drop_at(world, moment, adding, nothing_is_in_flight).await.transpose()?;
        nothing_is_in_flight().await;
        watched.make("watched");
        watcher.add(&marker.0, mask).await?;
        marker.make("marker");
        if ended.is_some() && row != "fs::watch" {
            assert_eq!(name(watcher.recv().await?), "watched", "{row}, {moment:?}");
        }
        assert_eq!(name(watcher.recv().await?), "marker", "{row}, {moment:?}");
    }
    Ok(())
}

/// The row of a cache whose changes are followed, at one moment.
async fn keep_entries(world: &World, moment: Moment) -> io::Result<()> {
    let row = "FileCache::follow_changes";
    let cache: FileCache = FileCache::builder().beneath(&File::open(".").await?);
    let following = Box::pin(cache.follow_changes());
    // These have not changed for long.
    let (first, second) = (cache.get("Cargo.toml").await?, cache.get("src/lib.rs").await?);
    let provoke = async || {
        cache.get("Cargo.lock").await.expect("it is there");
        cache.forget("Cargo.lock");
    };
    let ended = drop_at(world, moment, following, provoke).await;
    assert!(ended.is_none(), "{row}, {moment:?}: it goes on");
    assert!(Rc::ptr_eq(&first, &cache.get("Cargo.toml").await?), "{row}, {moment:?}");
    assert!(Rc::ptr_eq(&second, &cache.get("src/lib.rs").await?), "{row}, {moment:?}");
    Ok(())
}
