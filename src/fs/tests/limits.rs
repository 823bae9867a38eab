//! Time limits, futures that are dropped, and more operations than a ring has places.

use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::{join_all, try_join_all};

use super::{Folder, pattern};
use crate::fs::{File, read, write};
use crate::time::{now, timeout, within};
use crate::{Runtime, metrics, spawn, test_support, yield_now};

const SOON: Duration = Duration::from_millis(2);

pub(super) fn pipe() -> (File, io::PipeWriter) {
    let (reader, writer) = io::pipe().expect("a descriptor is free");
    (File::from(OwnedFd::from(reader)), writer)
}

/// A pipe that takes no more: it holds ones.
async fn full_pipe() -> io::Result<(io::PipeReader, File)> {
    let (reader, writer) = io::pipe()?;
    let file = File::from(OwnedFd::from(writer));
    while within(SOON, file.write_at(vec![1; 1 << 20], 0)).await.is_ok() {}
    Ok((reader, file))
}

/// How many twos a pipe holds, once nobody writes any more.
fn second_bytes(mut reader: io::PipeReader, writer: File) -> io::Result<usize> {
    drop(writer);
    let mut read = Vec::new();
    reader.read_to_end(&mut read)?;
    Ok(read.into_iter().filter(|&byte| byte == 2).count())
}

/// Polls a future once; it has to wait.
async fn begin<F: Future + Unpin>(future: &mut F) {
    let polled = poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx).is_pending())).await;
    assert!(polled, "it should have had to wait");
}

/// Keeps the shard busy until a limit of nothing is over, so that one round tells of it and of what
/// has happened meanwhile.
fn let_limit_pass() {
    let over = now() + SOON;
    while now() < over {}
}

pub(super) async fn nothing_is_in_flight() {
    while metrics().operations_in_flight > 0 {
        yield_now().await;
    }
    assert_eq!(metrics().slots_in_use, 0);
}

#[corering::test]
async fn a_read_that_is_not_answered_in_time_gives_the_buffer_back() {
    let (file, _writer) = pipe();
    let failed = within(SOON, file.read_at(b"mine".to_vec(), 0)).await.expect_err("no writer");
    assert_eq!((failed.kind(), &failed.buf()[..]), (ErrorKind::TimedOut, &b"mine"[..]));
    nothing_is_in_flight().await;
}

#[corering::test]
async fn bytes_that_come_with_the_limit_win() -> io::Result<()> {
    for rounds_ahead in 0..3 {
        let (file, mut writer) = pipe();
        let mut reading = within(Duration::ZERO, file.read_at(Vec::with_capacity(9), 0));
        let mut before = file.read_at(Vec::with_capacity(9), 0);
        if rounds_ahead > 0 {
            // The kernel has it by then.
            begin(&mut before).await;
            for _ in 0..rounds_ahead {
                yield_now().await;
            }
            reading = within(Duration::ZERO, before);
        }
        begin(&mut reading).await;
        writer.write_all(b"bytes")?;
        let_limit_pass();
        assert_eq!(reading.await?.1, b"bytes", "{rounds_ahead} rounds ahead");
    }
    Ok(())
}

#[corering::test]
async fn bytes_around_the_limit_come_now_or_next() -> io::Result<()> {
    let (file, mut writer) = pipe();
    for rounds in 0..12_u8 {
        let reading = within(Duration::ZERO, file.read_at(vec![b'x'], 0));
        let writing = async {
            for _ in 0..rounds {
                yield_now().await;
            }
            writer.write_all(&[rounds])
        };
        let (read, written) = futures_util::join!(reading, writing);
        written?;
        let byte = match read {
            Ok((_, byte)) => byte,
            Err(failed) => {
                assert_eq!((failed.kind(), failed.transferred()), (ErrorKind::TimedOut, 0));
                assert_eq!(failed.buf(), b"x");
                file.read_at(vec![0], 0).await?.1
            }
        };
        assert_eq!(byte, [rounds]);
    }
    nothing_is_in_flight().await;
    Ok(())
}

#[corering::test]
async fn room_that_comes_with_the_limit_wins() -> io::Result<()> {
    let (mut reader, file) = full_pipe().await?;
    let mut writing = within(Duration::ZERO, file.write_at(vec![2; 9], 0));
    begin(&mut writing).await;
    reader.read_exact(&mut [0; 1 << 14])?;
    let_limit_pass();
    assert_eq!(writing.await?.0, 9);
    assert_eq!(second_bytes(reader, file)?, 9);
    Ok(())
}

#[corering::test]
async fn bytes_around_a_limit_are_written_once_or_not() -> io::Result<()> {
    for rounds in 0..12 {
        let (mut reader, file) = full_pipe().await?;
        let writing = within(Duration::ZERO, file.write_at(vec![2; 9], 0));
        let reading = async {
            for _ in 0..rounds {
                yield_now().await;
            }
            reader.read_exact(&mut [0; 1 << 14])
        };
        let (written, read) = futures_util::join!(writing, reading);
        read?;
        let expected = match written {
            Ok((count, _)) => count,
            Err(failed) => {
                assert_eq!(failed.kind(), ErrorKind::TimedOut);
                assert_eq!((failed.transferred(), &failed.buf()[..]), (0, &[2; 9][..]));
                0
            }
        };
        assert_eq!(second_bytes(reader, file)?, expected, "{rounds} rounds");
    }
    Ok(())
}

#[corering::test]
async fn exact_read_at_its_limit_leaves_later_bytes() -> io::Result<()> {
    let (file, mut writer) = pipe();
    writer.write_all(b"half")?;
    timeout(SOON, file.read_exact_at(Vec::with_capacity(100), 8, 0)).await.expect_err("half");
    nothing_is_in_flight().await;
    writer.write_all(b"more")?;
    assert_eq!(file.read_exact_at(Vec::with_capacity(100), 4, 0).await?, b"more");
    Ok(())
}

#[corering::test]
async fn read_that_ends_half_way_says_how_much_came() -> io::Result<()> {
    let (file, mut writer) = pipe();
    writer.write_all(b"half")?;
    let reading = spawn(file.read_exact_at(Vec::with_capacity(100), 8, 0));
    yield_now().await;
    drop(writer);
    let failed = reading.await.expect("it does not panic").expect_err("the other half is missing");
    assert_eq!((failed.kind(), failed.transferred()), (ErrorKind::UnexpectedEof, 4));
    assert_eq!(failed.buf(), b"half");
    Ok(())
}

#[corering::test]
async fn write_that_fails_half_way_says_how_much_went() -> io::Result<()> {
    let (reader, writer) = io::pipe()?;
    let (reader, file) = (File::from(OwnedFd::from(reader)), File::from(OwnedFd::from(writer)));
    let writing = spawn(file.write_all_at(vec![1; 1 << 20], 0));
    reader.read_exact_at(Vec::with_capacity(10), 10, 0).await?;
    drop(reader);
    let failed = writing.await.expect("it does not panic").expect_err("nobody reads");
    assert_eq!((failed.kind(), failed.buf().len()), (ErrorKind::BrokenPipe, 1 << 20));
    assert!((10..1 << 20).contains(&failed.transferred()), "{}", failed.transferred());
    Ok(())
}

#[corering::test]
async fn a_write_that_nobody_reads_gives_the_buffer_back() -> io::Result<()> {
    let (reader, file) = full_pipe().await?;
    let failed = within(SOON, file.write_at(vec![2; 1 << 20], 0)).await.expect_err("full");
    assert_eq!((failed.kind(), failed.buf().len()), (ErrorKind::TimedOut, 1 << 20));
    nothing_is_in_flight().await;
    assert_eq!(second_bytes(reader, file)?, 0);
    Ok(())
}

#[corering::test]
async fn whole_write_at_its_limit_leaves_what_went() -> io::Result<()> {
    let (reader, writer) = io::pipe()?;
    let file = File::from(OwnedFd::from(writer));
    timeout(SOON, file.write_all_at(vec![2; 1 << 20], 0)).await.expect_err("nobody reads");
    nothing_is_in_flight().await;
    let went = second_bytes(reader, file)?;
    assert!((1..1 << 20).contains(&went), "{went}");
    Ok(())
}

#[corering::test]
async fn a_limit_spans_the_steps_of_a_whole_read_or_write() -> io::Result<()> {
    let folder = Folder::new();
    let path = folder.file("file", &pattern(100_000));
    assert_eq!(timeout(Duration::MAX, read(&path)).await??, pattern(100_000));
    timeout(Duration::MAX, write(&path, "new")).await??;
    // However short the limit, the outcome is one of the two, and nothing stays behind.
    if let Ok(bytes) = timeout(Duration::ZERO, read(&path)).await {
        assert_eq!(bytes?, b"new");
    }
    nothing_is_in_flight().await;
    let written = timeout(Duration::ZERO, write(&path, "newer")).await.is_ok();
    nothing_is_in_flight().await;
    let contents = std::fs::read_to_string(&path)?;
    let may_be: &[&str] = if written { &["newer"] } else { &["new", "", "newer"] };
    assert!(may_be.contains(&&*contents), "{contents}");
    Ok(())
}

#[corering::test]
async fn drop_while_in_flight_closes_a_pipe_and_frees_the_slot() {
    let (file, mut writer) = pipe();
    let mut reading = file.read_at(Vec::with_capacity(64), 0);
    begin(&mut reading).await;
    drop((reading, file));
    nothing_is_in_flight().await;
    let error = writer.write_all(b"x").expect_err("the reader is closed");
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
}

#[corering::test]
async fn read_dropped_while_it_waits_takes_nothing() -> io::Result<()> {
    let (file, mut writer) = pipe();
    for rounds in 0..3 {
        let mut reading = file.read_at(Vec::with_capacity(64), 0);
        begin(&mut reading).await;
        for _ in 0..rounds {
            yield_now().await;
        }
        drop(reading);
        nothing_is_in_flight().await;
        writer.write_all(b"later")?;
        assert_eq!(file.read_at(Vec::with_capacity(64), 0).await?.1, b"later");
    }
    Ok(())
}

#[corering::test]
async fn write_dropped_while_it_waits_writes_nothing() -> io::Result<()> {
    for rounds in 0..3 {
        let (reader, file) = full_pipe().await?;
        let mut writing = file.write_at(vec![2; 64], 0);
        begin(&mut writing).await;
        for _ in 0..rounds {
            yield_now().await;
        }
        drop(writing);
        nothing_is_in_flight().await;
        assert_eq!(second_bytes(reader, file)?, 0, "{rounds} rounds");
    }
    Ok(())
}

#[corering::test]
async fn an_open_that_was_dropped_leaves_no_descriptor() {
    let folder = Folder::new();
    let path = folder.file("file", b"");
    for _ in 0..20 {
        // What may be created has to wait, also if it is there: memory alone does not answer.
        let mut opening = File::options().write(true).create(true).open(&path);
        begin(&mut opening).await;
        // Half of them have ended by then, and their result is never asked for.
        yield_now().await;
        drop(opening);
    }
    nothing_is_in_flight().await;
    let links = std::fs::read_dir("/proc/self/fd").expect("there is a proc");
    let open = links.filter_map(|link| std::fs::read_link(link.ok()?.path()).ok());
    assert_eq!(open.filter(|target| *target == path).count(), 0);
}

#[test]
fn ten_thousand_reads_fit_through_a_ring_of_four_places() {
    for driver in test_support::drivers() {
        let folder = Folder::new();
        let path = folder.file("file", &pattern(10_000));
        let runtime = Runtime::builder().driver(driver).ring_entries(4).build();
        let runtime = runtime.expect("the driver was named, so it runs");
        runtime.block_on(async {
            let file = File::open(&path).await.expect("it is there");
            let reads = (0..10_000).map(|n| file.read_exact_at(vec![0; 1], 1, n));
            let read = try_join_all(reads).await.expect("the file is that long");
            assert_eq!(read.concat(), pattern(10_000));
        });
        assert_eq!(runtime.shut_down().leaked_operations, 0, "on {driver}");
    }
}

#[test]
fn ten_thousand_dropped_reads_are_cancelled_through_a_ring_of_four_places() {
    for driver in test_support::drivers() {
        let runtime = Runtime::builder().driver(driver).ring_entries(4).build();
        let runtime = runtime.expect("the driver was named, so it runs");
        runtime.block_on(async {
            let (file, _writer) = pipe();
            let mut reads: Vec<_> =
                (0..10_000).map(|_| file.read_at(Vec::with_capacity(1), 0)).collect();
            for reading in &mut reads {
                begin(reading).await;
            }
            let kept = reads.split_off(9_990);
            drop(reads);
            let kept = kept.into_iter().map(|reading| within(SOON, reading));
            for failed in join_all(kept).await {
                assert_eq!(failed.expect_err("nobody writes").kind(), ErrorKind::TimedOut);
            }
            nothing_is_in_flight().await;
        });
        assert_eq!(runtime.shut_down().leaked_operations, 0, "on {driver}");
    }
}
