//! Tests of files that are kept open. The clocks of a cache can be set ahead, so that files are of an age.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io::Read;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::pin::pin;
use std::rc::Weak;
use std::task::Poll;

use futures_util::future::join_all;

use super::*;
use crate::net::{UnixStream, WriteAbandoned};
use crate::op::test_files::Folder;

const SECOND: Duration = Duration::from_secs(1);

/// A cache of a folder whose files have not changed for a long time.
async fn cache_of<T: 'static>(
    folder: &Folder,
    builder: FileCacheBuilder,
) -> io::Result<FileCache<T>> {
    let cache = builder.beneath(&File::open(folder).await?);
    later(&cache, 10 * SECOND);
    Ok(cache)
}

/// Sets the cache's clocks ahead.
fn later<T>(cache: &FileCache<T>, duration: Duration) {
    cache.shared.ahead.update(|ahead| ahead + duration);
}

fn checks<T>(cache: &FileCache<T>) -> u64 {
    cache.shared.checks.get()
}

async fn contents<T>(cache: &FileCache<T>, path: &str) -> io::Result<Vec<u8>> {
    let entry = cache.get(path).await?;
    Ok(entry.contents().expect("it is small and old").to_vec())
}

fn replace(folder: &Folder, name: &str, bytes: &[u8]) {
    let new = folder.file("new", bytes);
    std::fs::rename(new, folder.join(name)).expect("names change");
}

#[corering::test]
async fn fresh_file_is_returned_without_any_call() -> io::Result<()> {
    let folder = Folder::new();
    folder.file("file", b"text");
    let cache: FileCache = cache_of(&folder, FileCache::builder()).await?;
    let first = cache.get("file").await?;
    let before = crate::metrics();
    let second = cache.get("file").await?;
    let after = crate::metrics();
    assert!(Rc::ptr_eq(&first, &second));
    let calls = |it: crate::Metrics| (it.attempts, it.submitted, it.pool_jobs);
    assert_eq!(calls(after), calls(before));
    assert_eq!((checks(&cache), cache.len(), cache.bytes()), (1, 1, 4));
    assert_eq!(second.contents().expect("it is small")[..], *b"text");
    Ok(())
}

#[corering::test]
async fn replaced_file_is_served_for_one_second_and_no_longer() -> io::Result<()> {
    let folder = Folder::new();
    folder.file("file", b"old");
    let cache: FileCache = cache_of(&folder, FileCache::builder()).await?;
    assert_eq!(contents(&cache, "file").await?, b"old");
    replace(&folder, "file", b"new");
    later(&cache, SECOND - Duration::from_millis(500));
    assert_eq!(contents(&cache, "file").await?, b"old");
    later(&cache, SECOND / 2);
    assert_eq!(contents(&cache, "file").await?, b"new");
    std::fs::remove_file(folder.join("file"))?;
    assert_eq!(contents(&cache, "file").await?, b"new");
    later(&cache, SECOND);
    let error = cache.get("file").await.expect_err("it is gone");
    assert_eq!((error.kind(), cache.len()), (io::ErrorKind::NotFound, 0));
    Ok(())
}

#[corering::test]
async fn file_written_in_place_is_read_anew_by_the_next_check() -> io::Result<()> {
    let folder = Folder::new();
    let path = folder.file("file", b"first");
    let builder = FileCache::builder().validity(Duration::ZERO);
    let cache: FileCache = cache_of(&folder, builder).await?;
    assert_eq!(contents(&cache, "file").await?, b"first");
    // Of the same length, grown, cut, and empty.
    for bytes in ["other", "longer than before", "x", ""] {
        std::fs::write(&path, bytes)?;
        assert_eq!(contents(&cache, "file").await?, bytes.as_bytes());
    }
    Ok(())
}

#[corering::test]
async fn unchanged_file_keeps_its_entry_when_it_is_checked() -> io::Result<()> {
    let folder = Folder::new();
    folder.file("small", b"text");
    folder.file("large", &[7; 50_000]);
    let cache: FileCache<String> = cache_of(&folder, FileCache::builder()).await?;
    for name in ["small", "large", "."] {
        let first = cache.get(name).await?;
        assert_eq!(first.value_with(|_| String::from("made once")), "made once");
        later(&cache, 2 * SECOND);
        let second = cache.get(name).await?;
        assert!(Rc::ptr_eq(&first, &second), "{name}");
        assert_eq!(second.value_with(|_| unreachable!("it is there")), "made once");
    }
    assert_eq!(checks(&cache), 6);
    Ok(())
}

#[corering::test]
async fn those_who_ask_together_check_once() -> io::Result<()> {
    let folder = Folder::new();
    folder.file("file", b"text");
    let builder = FileCache::builder().validity(Duration::ZERO);
    let cache: FileCache = cache_of(&folder, builder).await?;
    let all = || join_all((0..64).map(|_| cache.get("file")));
    let found = all().await.into_iter().collect::<io::Result<Vec<_>>>()?;
    assert!(found.iter().all(|entry| Rc::ptr_eq(entry, &found[0])));
    // The first check may have begun before the others asked; they have one of their own.
    assert!(checks(&cache) <= 2, "{} checks", checks(&cache));
    std::fs::remove_file(folder.join("file"))?;
    let before = checks(&cache);
    for answer in all().await {
        assert_eq!(answer.expect_err("it is gone").raw_os_error(), Some(libc::ENOENT));
    }
    assert!(checks(&cache) - before <= 2, "{} checks", checks(&cache) - before);
    assert!(cache.shared.lines.is_empty(), "nobody stands in line");
    Ok(())
}

#[corering::test]
async fn who_leaves_amid_a_check_leaves_it_to_the_next() -> io::Result<()> {
    let folder = Folder::new();
    folder.file("file", b"text");
    let cache: FileCache = cache_of(&folder, FileCache::builder()).await?;
    let mut second = pin!(cache.get("file"));
    {
        let mut first = pin!(cache.get("file"));
        for future in [first.as_mut(), second.as_mut()] {
            let mut future = future;
            let polled = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
            assert!(polled.is_pending(), "the file has to be opened");
        }
    }
    assert_eq!(second.await?.contents().expect("it is small")[..], *b"text");
    assert!(cache.shared.lines.is_empty(), "nobody stands in line");
    Ok(())
}

#[corering::test]
async fn file_that_changed_a_moment_ago_is_checked_each_time() -> io::Result<()> {
    let folder = Folder::new();
    let path = folder.file("file", b"first");
    let cache: FileCache = FileCache::builder().beneath(&File::open(&folder).await?);
    for bytes in ["other", "again"] {
        let entry = cache.get("file").await?;
        assert!(entry.contents().is_none(), "what is read now may change within the same tick");
        std::fs::write(&path, bytes)?;
        let entry = cache.get("file").await?;
        assert_eq!(entry.file().read_to_end().await?, bytes.as_bytes());
    }
    assert_eq!(checks(&cache), 4);
    later(&cache, 3 * SECOND);
    assert_eq!(contents(&cache, "file").await?, b"again");
    assert_eq!(contents(&cache, "file").await?, b"again");
    assert_eq!(checks(&cache), 5);
    Ok(())
}

#[corering::test]
async fn least_recently_used_goes_first_and_stays_open_in_use() -> io::Result<()> {
    let folder = Folder::new();
    for name in ["a", "b", "c", "d"] {
        folder.file(name, name.repeat(10).as_bytes());
    }
    let builder = FileCache::builder().files_max(2);
    let cache: FileCache = cache_of(&folder, builder).await?;
    let a = cache.get("a").await?;
    let b = cache.get("b").await?;
    assert!(Rc::ptr_eq(&a, &cache.get("a").await?));
    cache.get("c").await?;
    assert!(Rc::ptr_eq(&a, &cache.get("a").await?), "it was used after b");
    assert_eq!((checks(&cache), cache.len(), cache.bytes()), (3, 2, 20));
    assert_eq!(b.file().read_to_end().await?, b"bbbbbbbbbb", "it is in use");

    let builder = FileCache::builder().bytes_max(25);
    let cache: FileCache = cache_of(&folder, builder).await?;
    for name in ["a", "b", "c", "d"] {
        cache.get(name).await?;
        assert!(cache.bytes() <= 25);
    }
    assert_eq!((cache.len(), cache.bytes()), (2, 20));

    let nothing: FileCache = cache_of(&folder, FileCache::builder().files_max(0)).await?;
    assert_eq!(contents(&nothing, "a").await?, b"aaaaaaaaaa");
    assert!(nothing.is_empty());
    Ok(())
}

#[corering::test]
async fn nothing_outside_is_opened_and_no_fifo_waits() -> io::Result<()> {
    let folder = Folder::new();
    std::fs::create_dir(folder.join("root"))?;
    folder.file("secret", b"outside");
    std::os::unix::fs::symlink("../secret", folder.join("root/link"))?;
    let made = std::process::Command::new("mkfifo").arg(folder.join("root/fifo")).status()?;
    assert!(made.success());
    let beneath = File::open(folder.join("root")).await?;
    let cache: FileCache = FileCache::builder().beneath(&beneath);
    for path in ["../secret", "link", "/etc/hostname"] {
        let error = cache.get(path).await.expect_err("it is outside");
        assert_eq!(error.raw_os_error(), Some(libc::EXDEV), "{path}");
    }
    let fifo = cache.get("fifo").await?;
    assert!(fifo.metadata().file_type().is_fifo() && cache.is_empty());
    assert!(cache.get(".").await?.metadata().is_dir());
    Ok(())
}

/// A link that has come to lead out of the folder, to the very file that was served.
#[corering::test]
async fn file_that_has_moved_out_is_not_served_by_a_link_to_it() -> io::Result<()> {
    let folder = Folder::new();
    std::fs::create_dir(folder.join("root"))?;
    folder.file("root/file", b"text");
    let beneath = File::open(folder.join("root")).await?;
    let cache: FileCache = FileCache::builder().beneath(&beneath);
    cache.get("file").await?;
    std::fs::rename(folder.join("root/file"), folder.join("file"))?;
    std::os::unix::fs::symlink("../file", folder.join("root/file"))?;
    later(&cache, SECOND);
    let error = cache.get("file").await.expect_err("it is outside");
    assert_eq!(error.raw_os_error(), Some(libc::EXDEV));
    Ok(())
}

#[corering::test]
async fn what_is_forgotten_amid_its_check_is_checked_again() -> io::Result<()> {
    let folder = Folder::new();
    folder.file("file", b"text");
    let cache: FileCache = cache_of(&folder, FileCache::builder()).await?;
    {
        let mut asking = pin!(cache.get("file"));
        assert!(poll_fn(|cx| Poll::Ready(asking.as_mut().poll(cx))).await.is_pending());
        cache.forget("file");
        asking.await?;
    }
    cache.get("file").await?;
    assert_eq!(checks(&cache), 2);
    cache.get("file").await?;
    assert_eq!(checks(&cache), 2);
    cache.clear();
    assert_eq!((cache.len(), cache.bytes()), (0, 0));
    cache.get("file").await?;
    assert_eq!(checks(&cache), 3);
    Ok(())
}

/// Asks the cache for its length when it is dropped.
struct Asks(Weak<FileCache<Asks>>, Rc<RefCell<Vec<usize>>>);

impl Drop for Asks {
    fn drop(&mut self) {
        if let Some(cache) = self.0.upgrade() {
            self.1.borrow_mut().push(cache.len());
        }
    }
}

#[corering::test]
async fn value_may_use_the_cache_while_it_is_dropped() -> io::Result<()> {
    let folder = Folder::new();
    for name in ["a", "b"] {
        folder.file(name, b"text");
    }
    let builder = FileCache::builder().files_max(1);
    let cache = Rc::new(cache_of(&folder, builder).await?);
    let told = Rc::new(RefCell::new(Vec::new()));
    let make = |_: &CachedFile<Asks>| Asks(Rc::downgrade(&cache), told.clone());
    cache.get("a").await?.value_with(make);
    cache.get("b").await?.value_with(make);
    assert_eq!(*told.borrow(), [1], "the first has gone");
    cache.forget("b");
    cache.get("a").await?.value_with(make);
    cache.clear();
    assert_eq!(*told.borrow(), [1, 0, 0]);
    Ok(())
}

/// Sends a part of a file behind a head, and says how many calls that took, and how many `sendfile(2)`.
async fn sent(cache: &FileCache, name: &str, expected: &[u8]) -> io::Result<(u64, u64)> {
    let entry = cache.get(name).await?;
    let (ours, mut theirs) = StdStream::pair()?;
    let mut ours = UnixStream::from(OwnedFd::from(ours));
    let before = crate::metrics();
    let (count, head) = ours.send_cached_after("head", &entry, 1, u64::MAX).await?;
    let after = crate::metrics();
    assert_eq!((count as usize, head), (expected.len() - 1, "head"));
    ours.shutdown(Shutdown::Write).await?;
    let mut received = Vec::new();
    theirs.read_to_end(&mut received)?;
    assert!(received == [b"head", &expected[1..]].concat(), "{name}");
    assert_eq!(after.submitted, before.submitted);
    Ok((after.attempts - before.attempts, after.sendfiles - before.sendfiles))
}

#[corering::test]
async fn cached_file_leaves_with_its_head_by_two_calls_at_most() -> io::Result<()> {
    let folder = Folder::new();
    // The socket holds it.
    let large = [7; 32 << 10];
    folder.file("small", b"text");
    folder.file("large", &large);
    let cache: FileCache = cache_of(&folder, FileCache::builder()).await?;
    let is_in_cache = cache.get("large").await?.is_in_page_cache();
    crate::yield_now().await;
    assert_eq!(sent(&cache, "small", b"text").await?, (1, 0));
    // Not every file system tells, nor every kernel.
    let calls = sent(&cache, "large", &large).await?;
    assert!(calls == (2, 1) || !is_in_cache, "{calls:?}");
    Ok(())
}

#[corering::test]
async fn what_was_sent_from_memory_before_a_drop_is_told_once() -> io::Result<()> {
    let folder = Folder::new();
    folder.file("file", &[7; 4 << 20]);
    let builder = FileCache::builder().file_bytes_max(4 << 20);
    let cache: FileCache = cache_of(&folder, builder).await?;
    let entry = cache.get("file").await?;
    assert!(entry.contents().is_some());
    let (ours, mut theirs) = StdStream::pair()?;
    let mut ours = UnixStream::from(OwnedFd::from(ours));
    {
        let mut sending = pin!(ours.send_cached_after("head", &entry, 0, u64::MAX));
        let polled = poll_fn(|cx| Poll::Ready(sending.as_mut().poll(cx))).await;
        assert!(polled.is_pending(), "no socket holds it");
    }
    let failed = ours.write_all("after").await.expect_err("it is told");
    let written = WriteAbandoned::of(&failed.error).expect("that is what it tells").written;
    drop(ours);
    let mut received = Vec::new();
    theirs.read_to_end(&mut received)?;
    assert_eq!(received.len(), written);
    assert!(received.starts_with(b"head") && written > 4);
    Ok(())
}

mod follow;
