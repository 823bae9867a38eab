//! Files that go to the standard library, and second handles of them.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd};

use futures_util::poll;

use super::limits::{nothing_is_in_flight, pipe};
use super::{Folder, opened};
use crate::{Runtime, spawn, test_support, yield_now};

#[corering::test]
async fn into_std_waits_for_what_was_dropped_in_flight() -> io::Result<()> {
    let (file, mut writer) = pipe();
    for rounds in 0..3 {
        let mut reading = file.read_at(Vec::with_capacity(64), 0);
        assert!(poll!(&mut reading).is_pending());
        for _ in 0..rounds {
            yield_now().await;
        }
        drop(reading);
    }
    let mut file = file.into_std().await;
    writer.write_all(b"text")?;
    drop(writer);
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    assert_eq!(text, "text");
    Ok(())
}

#[corering::test]
async fn into_std_waits_for_a_task_that_reads() -> io::Result<()> {
    let (file, mut writer) = pipe();
    let reading = spawn(file.read_at(Vec::with_capacity(64), 0));
    yield_now().await;
    let mut going = Box::pin(file.into_std());
    for _ in 0..3 {
        assert!(poll!(&mut going).is_pending(), "a task reads");
        yield_now().await;
    }
    writer.write_all(b"text")?;
    drop(going.await);
    assert_eq!(reading.await.expect("it does not panic")?.1, b"text");
    Ok(())
}

#[corering::test]
async fn into_std_leaves_nothing_to_be_watched() -> io::Result<()> {
    let folder = Folder::new();
    let path = folder.join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&path).status()?.success());
    // Ours alone, so that nothing but its end takes it away from epoll.
    let file = opened(&path).await;
    let mut reading = file.read_at(Vec::with_capacity(64), 0);
    assert!(poll!(&mut reading).is_pending(), "nothing is there");
    yield_now().await;
    let mut going = Box::pin(file.into_std());
    assert!(poll!(&mut going).is_pending(), "a read is not done");
    drop(reading);
    let file = going.await;
    let watched = format!("tfd: {:8} ", file.as_raw_fd());
    for entry in std::fs::read_dir("/proc/self/fdinfo")? {
        // Those of other tests come and go.
        let info =
            entry.and_then(|entry| std::fs::read_to_string(entry.path())).unwrap_or_default();
        let inode = std::os::unix::fs::MetadataExt::ino(&file.metadata()?);
        let is_it =
            |line: &str| line.contains(&watched) && line.contains(&format!("ino:{inode:x} "));
        assert!(!info.lines().any(is_it), "{info}");
    }
    Ok(())
}

#[corering::test]
async fn dropped_into_std_closes_once_nothing_is_in_flight() -> io::Result<()> {
    for polls in 0..2 {
        let (file, mut writer) = pipe();
        let reading = file.read_at(Vec::with_capacity(64), 0);
        let mut going = Box::pin(file.into_std());
        for _ in 0..polls {
            assert!(poll!(&mut going).is_pending(), "a read is not done");
        }
        drop(going);
        writer.write_all(b"text")?;
        assert_eq!(reading.await?.1, b"text");
        nothing_is_in_flight().await;
        let error = writer.write_all(b"more").expect_err("the reader is closed");
        assert_eq!(error.kind(), ErrorKind::BrokenPipe, "{polls} polls");
    }
    // It had the descriptor, and was not polled since.
    let (file, mut writer) = pipe();
    let reading = file.read_at(Vec::with_capacity(64), 0);
    let mut going = Box::pin(file.into_std());
    assert!(poll!(&mut going).is_pending(), "a read is not done");
    drop(reading);
    drop(going);
    writer.write_all(b"text").expect_err("the reader is closed");
    Ok(())
}

#[test]
fn into_std_goes_on_in_a_second_runtime() {
    for driver in test_support::drivers() {
        let build = || Runtime::builder().driver(driver).build().expect("the driver works");
        let (first, second) = (build(), build());
        let (file, _writer) = pipe();
        let (reading, mut going) = first.block_on(async {
            let mut reading = file.read_at(Vec::with_capacity(64), 0);
            assert!(poll!(&mut reading).is_pending(), "nothing is there");
            let mut going = Box::pin(file.into_std());
            assert!(poll!(&mut going).is_pending(), "a read is not done");
            (reading, going)
        });
        second.block_on(async { assert!(poll!(&mut going).is_pending(), "it is still not") });
        drop(reading);
        assert_eq!(first.shut_down().leaked_operations, 0);
        drop(second.block_on(going));
    }
}

#[corering::test]
async fn clone_is_the_same_file_and_closed_for_itself() -> io::Result<()> {
    let folder = Folder::new();
    let path = folder.file("file", b"text");
    let file = opened(&path).await;
    let clone = file.try_clone()?;
    assert_ne!(file.as_fd().as_raw_fd(), clone.as_fd().as_raw_fd());
    clone.write_all_at("TE", 0).await?;
    assert_eq!(file.read_to_end().await?, b"TExt");
    file.close().await?;
    assert_eq!(clone.read_to_end().await?, b"TExt");
    let info = format!("/proc/self/fdinfo/{}", clone.as_fd().as_raw_fd());
    let info = std::fs::read_to_string(info)?;
    assert!(info.contains("flags:\t02"), "closed by exec: {info}");
    let end_of = clone.try_clone()?;
    drop(clone);
    assert_eq!(end_of.metadata().await?.len(), 4);
    Ok(())
}

#[corering::test]
async fn clones_of_a_pipe_read_it_whichever_is_dropped() -> io::Result<()> {
    let (file, mut writer) = pipe();
    let clone = file.try_clone()?;
    let reading = spawn(file.read_at(Vec::with_capacity(4), 0));
    yield_now().await;
    writer.write_all(b"one")?;
    assert_eq!(reading.await.expect("it does not panic")?.1, b"one");
    drop(file);
    let reading = spawn(clone.read_at(Vec::with_capacity(4), 0));
    yield_now().await;
    writer.write_all(b"two")?;
    assert_eq!(reading.await.expect("it does not panic")?.1, b"two");
    Ok(())
}
