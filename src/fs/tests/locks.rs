//! Locks between open files of one process; those between processes are in `tests/file_locks.rs`.

use std::fs::TryLockError;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use futures_util::poll;

use super::{Folder, opened};
use crate::fs::File;
use crate::time::timeout;
use crate::{Runtime, spawn, test_support, yield_now};

/// Longer than the first pauses of a lock that waits.
const LIMIT: Duration = Duration::from_millis(5);

#[track_caller]
fn is_refused(attempt: Result<(), TryLockError>) {
    assert!(matches!(attempt, Err(TryLockError::WouldBlock)), "{attempt:?}");
}

#[corering::test]
async fn exclusive_lock_excludes_all_and_shared_locks_one_another_not() -> io::Result<()> {
    let folder = Folder::new();
    let path = folder.file("file", b"");
    let (one, other) = (opened(&path).await, opened(&path).await);
    let read_only = File::open(&path).await?;
    one.try_lock()?;
    // A lock that the file has already.
    one.try_lock()?;
    one.lock().await?;
    is_refused(other.try_lock());
    is_refused(other.try_lock_shared());
    one.unlock()?;
    one.unlock()?;
    other.lock_shared().await?;
    read_only.try_lock_shared()?;
    is_refused(one.try_lock());
    other.unlock()?;
    read_only.unlock()?;
    read_only.try_lock()?;
    is_refused(one.try_lock_shared());
    Ok(())
}

#[corering::test]
async fn locks_wait_until_the_other_is_unlocked_or_closed() -> io::Result<()> {
    let folder = Folder::new();
    let path = folder.file("file", b"");
    let (one, other) = (opened(&path).await, opened(&path).await);
    one.lock().await?;
    let mut waiting = spawn(other.lock());
    timeout(LIMIT, &mut waiting).await.expect_err("it is locked");
    one.unlock()?;
    waiting.await.expect("it does not panic")?;
    is_refused(one.try_lock_shared());
    let mut waiting = spawn(one.lock_shared());
    timeout(LIMIT, &mut waiting).await.expect_err("it is locked");
    drop(other);
    waiting.await.expect("it does not panic")?;
    opened(&path).await.try_lock_shared()?;
    Ok(())
}

#[corering::test]
async fn lock_that_was_given_up_is_not_held_whenever_it_was() -> io::Result<()> {
    let folder = Folder::new();
    let path = folder.file("file", b"");
    let (one, other, third) = (opened(&path).await, opened(&path).await, opened(&path).await);
    // Not begun.
    drop(other.lock());
    one.try_lock()?;
    for rounds in 0..4 {
        let mut waiting = Box::pin(other.lock());
        assert!(poll!(&mut waiting).is_pending(), "it is locked");
        for _ in 0..rounds {
            yield_now().await;
        }
        if rounds == 3 {
            timeout(LIMIT, &mut waiting).await.expect_err("it is locked");
        }
        // Free before the drop, and before the next attempt.
        one.unlock()?;
        drop(waiting);
        third.try_lock()?;
        third.unlock()?;
        one.try_lock()?;
    }
    timeout(LIMIT, other.lock()).await.expect_err("it is locked");
    one.unlock()?;
    third.try_lock()?;
    third.unlock()?;
    // The poll that says so has taken it.
    assert!(poll!(pin!(other.lock())).is_ready());
    is_refused(third.try_lock_shared());
    Ok(())
}

#[corering::test]
async fn lock_of_one_kind_becomes_the_other_and_is_lost_if_that_fails() -> io::Result<()> {
    let folder = Folder::new();
    let path = folder.file("file", b"");
    let (one, other) = (opened(&path).await, opened(&path).await);
    one.lock_shared().await?;
    one.lock().await?;
    is_refused(other.try_lock_shared());
    one.lock_shared().await?;
    other.try_lock_shared()?;
    // The kernel takes the old lock away before it looks whether there can be another.
    is_refused(one.try_lock());
    other.try_lock()?;
    Ok(())
}

#[corering::test]
async fn lock_belongs_to_the_open_file_and_its_clones() -> io::Result<()> {
    let folder = Folder::new();
    let path = folder.file("file", b"");
    let (one, other) = (opened(&path).await, opened(&path).await);
    let clone = one.try_clone()?;
    one.lock().await?;
    clone.try_lock()?;
    drop(one);
    is_refused(other.try_lock());
    clone.unlock()?;
    other.try_lock()?;
    // One of the standard library's has it, too.
    let std = other.into_std().await;
    is_refused(clone.try_lock());
    std.unlock()?;
    clone.try_lock()?;
    Ok(())
}

#[corering::test]
async fn operation_in_flight_keeps_the_lock_of_a_dropped_file() -> io::Result<()> {
    let (reader, writer) = io::pipe()?;
    let (one, other) = (File::from(OwnedFd::from(reader)), writer);
    one.try_lock()?;
    let mut reading = Box::pin(one.read_at(vec![0; 4], 0));
    assert!(poll!(&mut reading).is_pending(), "nothing is there");
    drop(one);
    // Both ends of a pipe are one file, opened twice.
    let again = std::fs::File::from(OwnedFd::from(other.try_clone()?));
    assert!(again.try_lock().is_err());
    io::Write::write_all(&mut &other, b"text")?;
    reading.await?;
    again.try_lock()?;
    Ok(())
}

#[corering::test]
async fn what_cannot_be_locked_is_an_error() -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    let path = options.read(true).custom_flags(libc::O_PATH).open("/")?;
    let path = File::from(OwnedFd::from(path));
    let error = path.lock().await.expect_err("it is no open file");
    assert_eq!(error.raw_os_error(), Some(libc::EBADF));
    match path.try_lock_shared() {
        Err(TryLockError::Error(error)) => assert_eq!(error.raw_os_error(), Some(libc::EBADF)),
        other => panic!("{other:?}"),
    }
    Ok(())
}

#[test]
fn lock_outside_a_runtime_is_an_error_and_an_attempt_is_not() {
    let file = File::from(std::fs::File::open("/proc/self/exe").expect("it is there"));
    let error = futures_util::FutureExt::now_or_never(file.lock()).expect("nothing is waited for");
    let error = error.expect_err("there is no runtime");
    assert!(error.to_string().contains("no corering runtime"), "{error}");
    file.try_lock_shared().expect("nobody else has it");
}

/// Adds one to the number in a file, whoever else may do the same.
async fn count_up(path: &Path) -> io::Result<()> {
    let file = opened(path).await;
    while timeout(Duration::from_micros(100), file.lock()).await.is_err() {
        // As good as a wait that goes on, and a drop more.
        yield_now().await;
        if timeout(LIMIT, file.lock()).await.is_ok() {
            break;
        }
    }
    let (count, text) = file.read_at(Vec::with_capacity(20), 0).await?;
    let number: u32 = str::from_utf8(&text[..count]).expect("digits").parse().expect("digits");
    yield_now().await;
    file.write_all_at((number + 1).to_string(), 0).await?;
    file.unlock()
}

#[test]
fn storm_of_lockers_on_two_shards_loses_no_count() {
    const TASKS: u32 = 6;
    const ROUNDS: u32 = 4;
    for driver in test_support::drivers() {
        let folder = Folder::new();
        let path = folder.file("count", b"100");
        let builder = Runtime::builder().driver(driver).shards(2).oversubscribe(true);
        let ran = builder.run(|_| {
            let path = path.clone();
            async move {
                let tasks: Vec<_> = (0..TASKS)
                    .map(|_| {
                        let path = path.clone();
                        spawn(async move {
                            for _ in 0..ROUNDS {
                                count_up(&path).await.expect("the file can be locked");
                            }
                        })
                    })
                    .collect();
                for task in tasks {
                    task.await.expect("it does not panic");
                }
            }
        });
        ran.expect("two shards start");
        let counted = std::fs::read_to_string(&path).expect("it is there");
        assert_eq!(counted, (100 + 2 * TASKS * ROUNDS).to_string(), "on {driver}");
    }
}
