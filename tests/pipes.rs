//! Pipes, and other descriptors that are read or written in one direction.

#[path = "common/child.rs"]
mod child;
#[allow(dead_code)] // Each test file uses a part.
#[path = "common/net.rs"]
mod net;

use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind, IoSlice, Read, Seek, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::pin::pin;
use std::task::Poll;

use corering::buf::IoBuf;
use corering::io::{Lend, OwnedWrite, PipeReader, PipeWriter, PollWrite, lines, pipe};
use corering::net::{UnixStream, WriteAbandoned};
use corering::{Runtime, spawn, yield_now};
use net::{Random, pattern};

/// What two pipes hold at most, and more.
const LARGE: usize = 1_000_000;

/// Polls once, and lets the kernel do what it was asked.
async fn begin<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let polled = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
    yield_now().await;
    match polled {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// Everything up to the end.
async fn rest_of(reader: &mut PipeReader) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let bytes = reader.recv().await?;
        if bytes.is_empty() {
            return Ok(all);
        }
        all.extend_from_slice(&bytes);
    }
}

fn scratch(name: &str, content: &[u8]) -> io::Result<std::fs::File> {
    let path = std::env::temp_dir().join(format!("corering-pipes-{name}-{}", std::process::id()));
    let mut file = std::fs::File::options().read(true).write(true).create_new(true).open(&path)?;
    std::fs::remove_file(path)?;
    file.write_all(content)?;
    file.rewind()?;
    Ok(file)
}

#[corering::test]
async fn bytes_come_in_order_and_end_with_the_writer() -> io::Result<()> {
    let (mut reader, mut writer) = pipe()?;
    let sent = pattern(LARGE);
    let written = spawn({
        let sent = sent.clone();
        async move {
            let (mut at, mut numbers) = (0, Random(7));
            while at < sent.len() {
                let end = (at + 1 + numbers.below(100_000)).min(sent.len());
                writer.write_all(sent[at..end].to_vec()).await?;
                at = end;
            }
            writer.close().await
        }
    });
    let (mut received, mut numbers) = (Vec::new(), Random(8));
    while received.len() < sent.len() {
        let room = 1 + numbers.below(90_000);
        match numbers.below(3) {
            0 => received.extend_from_slice(&reader.recv().await?),
            1 => received.extend(reader.read(Vec::with_capacity(room)).await?.1),
            _ => {
                let exact = room.min(sent.len() - received.len());
                received.extend(reader.read_exact(Vec::with_capacity(exact), exact).await?);
            }
        }
    }
    assert!(received == sent, "the bytes are others");
    written.await.expect("it does not panic")?;
    assert!(reader.recv().await?.is_empty());
    let short = reader.read_exact(Vec::with_capacity(1), 1).await.expect_err("it has ended");
    assert_eq!(short.kind(), ErrorKind::UnexpectedEof);
    Ok(())
}

#[corering::test]
async fn dropped_reads_lose_no_byte() -> io::Result<()> {
    let (mut reader, mut writer) = pipe()?;
    let sent = pattern(20_000);
    let (mut received, mut numbers) = (Vec::new(), Random(1));
    let mut at = 0;
    while received.len() < sent.len() {
        let room = 1 + numbers.below(40);
        match numbers.below(3) {
            0 => drop(
                begin(reader.recv())
                    .await
                    .transpose()?
                    .map(|bytes| received.extend_from_slice(&bytes)),
            ),
            1 => {
                let read = begin(reader.read(Vec::with_capacity(room))).await;
                received.extend(read.transpose()?.map(|(_, buf)| buf).unwrap_or_default());
            }
            _ => {
                let read = begin(reader.read_exact(Vec::with_capacity(room), room)).await;
                received.extend(read.transpose()?.unwrap_or_default());
            }
        }
        if at < sent.len() && numbers.below(2) == 0 {
            let end = (at + 1 + numbers.below(50)).min(sent.len());
            writer.write_all(sent[at..end].to_vec()).await?;
            at = end;
        } else if at == sent.len() && received.len() < sent.len() {
            received.extend_from_slice(&reader.recv().await?);
        }
    }
    assert!(received == sent, "a byte was lost, or came twice");
    Ok(())
}

#[corering::test]
async fn dropped_write_all_is_told_once_with_its_count() -> io::Result<()> {
    for forgotten in [false, true] {
        let (mut reader, mut writer) = pipe()?;
        let sent = pattern(LARGE);
        let mut write = Box::pin(writer.write_all(sent.clone()));
        assert!(poll_fn(|cx| Poll::Ready(write.as_mut().poll(cx))).await.is_pending());
        yield_now().await;
        match forgotten {
            // Its memory is lost, and nothing else.
            true => std::mem::forget(write),
            false => drop(write),
        }
        let failed = writer.write_all("next").await.expect_err("the one before is told of");
        let told = WriteAbandoned::of(&failed.error).expect("that is what it says");
        assert!(told.written > 0 && told.written < LARGE);
        let after = spawn(async move { writer.write_all("next").await.map(drop) });
        let received = rest_of(&mut reader).await?;
        assert!(received[..told.written] == sent[..told.written]);
        assert_eq!(received[told.written..], *b"next");
        after.await.expect("it does not panic")?;
    }
    Ok(())
}

#[corering::test]
async fn dropped_write_that_wrote_nothing_is_not_told() -> io::Result<()> {
    let (mut reader, mut writer) = pipe()?;
    while let Some(written) = begin(writer.write(vec![0; 65_536])).await {
        written?;
    }
    assert!(begin(writer.write("lost")).await.is_none());
    let after = spawn(async move { writer.write_all("next").await.map(drop) });
    assert!(rest_of(&mut reader).await?.ends_with(b"\0next"));
    after.await.expect("it does not panic")?;
    Ok(())
}

#[corering::test]
async fn file_is_read_and_written_at_its_own_position() -> io::Result<()> {
    let content = pattern(200_000);
    let file = scratch("own", &content)?;
    let mut shared = file.try_clone()?;
    shared.read_exact(&mut [0; 10])?;
    let mut reader = PipeReader::from(OwnedFd::from(file.try_clone()?));
    let first = reader.read_exact(Vec::with_capacity(70_000), 70_000).await?;
    assert!(first == content[10..70_010]);
    let (fd, rest) = reader.into_parts().await?;
    assert_eq!(shared.stream_position()? as usize, 70_010 + rest.len());
    assert!(rest == content[70_010..70_010 + rest.len()]);

    shared.seek(io::SeekFrom::Start(3))?;
    let mut writer = PipeWriter::from(fd);
    writer.write_all(vec![1; 150_000]).await?;
    assert_eq!(shared.stream_position()?, 150_003);
    shared.write_all(&[2])?;
    writer.write_all("end").await?;
    writer.close().await?;
    shared.rewind()?;
    let mut all = Vec::new();
    shared.read_to_end(&mut all)?;
    assert_eq!(all[..3], content[..3]);
    assert!(all[3..150_003].iter().all(|&byte| byte == 1));
    assert_eq!(all[150_003..150_007], *b"\x02end");
    Ok(())
}

#[corering::test]
async fn file_read_that_is_dropped_goes_on_where_it_was() -> io::Result<()> {
    let content = pattern(300_000);
    let mut reader = PipeReader::from(OwnedFd::from(scratch("dropped", &content)?));
    let mut received = Vec::new();
    loop {
        match begin(reader.recv()).await.transpose()? {
            Some(bytes) if bytes.is_empty() => break,
            Some(bytes) => received.extend_from_slice(&bytes),
            None => {}
        }
    }
    assert!(received == content);
    Ok(())
}

#[corering::test]
async fn file_write_that_is_dropped_is_told_and_stays_in_order() -> io::Result<()> {
    let mut file = scratch("written", b"")?;
    let mut writer = PipeWriter::from(OwnedFd::from(file.try_clone()?));
    let sent = pattern(200_000);
    assert!(begin(writer.write_all(sent.clone())).await.is_none());
    let failed = writer.write_all("next").await.expect_err("the one before is told of");
    let told = WriteAbandoned::of(&failed.error).expect("that is what it says").written;
    assert!(told > 0 && told < sent.len());
    writer.write_all("next").await?;
    writer.close().await?;
    file.rewind()?;
    let mut all = Vec::new();
    file.read_to_end(&mut all)?;
    assert!(all[..told] == sent[..told] && all[told..] == *b"next");
    Ok(())
}

#[corering::test]
async fn devices_are_read_and_written() -> io::Result<()> {
    let zero = std::fs::File::open("/dev/zero")?;
    let mut reader = PipeReader::from(OwnedFd::from(zero));
    assert!(reader.recv().await?.iter().all(|&byte| byte == 0));
    let null = std::fs::File::options().read(true).write(true).open("/dev/null")?;
    let mut writer = PipeWriter::from(OwnedFd::from(null.try_clone()?));
    writer.write_all(vec![1; LARGE]).await?;
    let mut reader = PipeReader::from(OwnedFd::from(null));
    assert!(reader.recv().await?.is_empty());
    let full = std::fs::File::options().write(true).open("/dev/full")?;
    let failed = PipeWriter::from(OwnedFd::from(full)).write_all("x").await;
    assert_eq!(failed.expect_err("it is full").kind(), ErrorKind::StorageFull);
    Ok(())
}

#[corering::test]
async fn folder_is_an_error() -> io::Result<()> {
    let folder = std::fs::File::open("/")?;
    let error = PipeReader::from(OwnedFd::from(folder)).recv().await.expect_err("a folder");
    assert_eq!(error.kind(), ErrorKind::IsADirectory);
    Ok(())
}

#[corering::test]
async fn socket_is_read_and_its_sending_side_shut_down() -> io::Result<()> {
    let (one, other) = std::os::unix::net::UnixStream::pair()?;
    let mut reader = PipeReader::from(OwnedFd::from(one.try_clone()?));
    let mut writer = PipeWriter::from(OwnedFd::from(one));
    let mut other = UnixStream::from(other);
    other.write_all("question").await?;
    assert_eq!(reader.recv().await?, "question");
    writer.write_all("answer").await?;
    writer.shutdown().await?;
    assert_eq!(other.read_exact(Vec::with_capacity(6), 6).await?, b"answer");
    assert!(other.recv().await?.is_empty());
    other.write_all("more").await?;
    assert_eq!(reader.recv().await?, "more");
    Ok(())
}

#[corering::test]
async fn writer_that_was_shut_down_says_so() -> io::Result<()> {
    let (mut reader, mut writer) = pipe()?;
    let pieces = [IoSlice::new(b"one "), IoSlice::new(b""), IoSlice::new(b"piece")];
    assert_eq!(poll_fn(|cx| writer.poll_write_vectored(cx, &pieces)).await?, 9);
    poll_fn(|cx| writer.poll_flush(cx)).await?;
    poll_fn(|cx| writer.poll_shutdown(cx)).await?;
    poll_fn(|cx| writer.poll_shutdown(cx)).await?;
    assert_eq!(rest_of(&mut reader).await?, b"one piece");
    let failed = writer.write_all("x").await.expect_err("it was shut down");
    assert_eq!(failed.kind(), ErrorKind::BrokenPipe);
    assert_eq!(writer.into_fd().await.expect_err("it is closed").kind(), ErrorKind::BrokenPipe);
    Ok(())
}

#[corering::test]
async fn write_without_a_reader_is_an_error_with_the_buffer() -> io::Result<()> {
    let (reader, mut writer) = pipe()?;
    let full = vec![0; LARGE];
    let mut write = Box::pin(writer.write_all(full));
    assert!(poll_fn(|cx| Poll::Ready(write.as_mut().poll(cx))).await.is_pending());
    drop(reader);
    let failed = write.await.expect_err("nobody reads");
    assert!(failed.transferred() > 0);
    let (error, buf) = failed.into_parts();
    assert_eq!((error.kind(), buf.len()), (ErrorKind::BrokenPipe, LARGE));
    Ok(())
}

#[corering::test]
async fn buffer_is_filled_from_its_beginning_within_its_part() -> io::Result<()> {
    let (mut reader, mut writer) = pipe()?;
    writer.write_all("hello, you").await?;
    let (count, buf) = reader.read(Vec::with_capacity(64).slice(..5)).await?;
    assert_eq!((count, buf.into_inner()), (5, b"hello".to_vec()));
    let mut buf = Vec::with_capacity(9);
    buf.extend_from_slice(b"old");
    assert_eq!(reader.read(buf.slice(3..)).await?.1.into_inner(), b"old, you");
    let none = reader.read(Vec::new()).await.expect_err("there is no room");
    assert_eq!(none.kind(), ErrorKind::InvalidInput);
    Ok(())
}

#[corering::test]
async fn what_is_put_back_comes_first() -> io::Result<()> {
    let (mut reader, mut writer) = pipe()?;
    writer.write_all("one\ntwo\nthree").await?;
    let mut first = lines(&mut reader);
    assert_eq!(first.next_line().await?.as_deref(), Some("one"));
    drop(first);
    let bytes = reader.lend().await?;
    assert_eq!(bytes, "two\nthree");
    reader.put_back(bytes);
    let (fd, rest) = reader.into_parts().await?;
    assert_eq!(rest, b"two\nthree");
    drop(writer);
    assert_eq!(std::io::PipeReader::from(fd).read(&mut [0])?, 0);
    Ok(())
}

#[corering::test]
async fn mode_of_a_pipe_is_as_it_came() -> io::Result<()> {
    let mode = |fd: i32| {
        // SAFETY: F_GETFL takes no argument.
        unsafe { libc::fcntl(fd, libc::F_GETFL) }
    };
    let (reader, writer) = io::pipe()?;
    let (kept_reader, kept_writer) = (reader.try_clone()?, writer.try_clone()?);
    let before = (mode(kept_reader.as_raw_fd()), mode(kept_writer.as_raw_fd()));
    let (mut reader, mut writer) = (PipeReader::from(reader), PipeWriter::from(writer));
    assert!(begin(reader.recv()).await.is_none());
    writer.write_all("x").await?;
    assert_eq!(reader.recv().await?, "x");
    while let Some(written) = begin(writer.write(vec![0; 65_536])).await {
        written?;
    }
    drop((reader, writer));
    assert_eq!((mode(kept_reader.as_raw_fd()), mode(kept_writer.as_raw_fd())), before);
    Ok(())
}

#[corering::test]
async fn thousand_pipes_wait_and_each_gets_its_own() -> io::Result<()> {
    let mut writers = Vec::new();
    let mut tasks = Vec::new();
    for number in 0..1_000_u32 {
        let (mut reader, writer) = pipe()?;
        writers.push(writer);
        tasks.push(spawn(async move {
            let bytes = reader.read_exact(Vec::with_capacity(4), 4).await?;
            assert_eq!(bytes, number.to_le_bytes());
            io::Result::Ok(())
        }));
    }
    yield_now().await;
    for (number, writer) in writers.iter_mut().enumerate().rev() {
        writer.write_all((number as u32).to_le_bytes().to_vec()).await?;
    }
    for task in tasks {
        task.await.expect("it does not panic")?;
    }
    Ok(())
}

#[test]
fn ends_go_on_in_another_runtime() {
    for first in corering::test_support::drivers() {
        for second in corering::test_support::drivers() {
            let build = |driver| Runtime::builder().driver(driver).build().expect("it was named");
            let (mut reader, mut writer) = build(first).block_on(async {
                let (mut reader, mut writer) = pipe().expect("descriptors are free");
                assert!(begin(reader.recv()).await.is_none());
                while let Some(written) = begin(writer.write(vec![0; 65_536])).await {
                    written.expect("it is open");
                }
                (reader, writer)
            });
            build(second).block_on(async {
                let read = rest_of(&mut reader);
                let written = async {
                    writer.write_all("end").await.expect("it is open");
                    drop(writer);
                };
                let (read, ()) = futures_util::join!(read, written);
                assert!(read.expect("it is open").ends_with(b"\0end"));
            });
        }
    }
}

#[test]
fn write_to_a_closed_pipe_raises_no_signal() {
    if !child::is_child() {
        return child::Child::of("write_to_a_closed_pipe_raises_no_signal").passes();
    }
    // SAFETY: no handler is installed.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    for driver in corering::test_support::drivers() {
        let runtime = Runtime::builder().driver(driver).build().expect("it was named");
        runtime.block_on(async {
            let (_, mut writer) = pipe().expect("descriptors are free");
            let failed = writer.write_all("x").await.expect_err("nobody reads");
            assert_eq!(failed.kind(), ErrorKind::BrokenPipe);
        });
    }
}
