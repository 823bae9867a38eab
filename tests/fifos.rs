//! Pipes with a name.

#[allow(dead_code)] // Each test file uses a part.
#[path = "common/net.rs"]
mod net;
#[allow(dead_code)] // Each test file uses a part.
#[path = "common/standard.rs"]
mod standard;

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use corering::io::{PipeReader, PipeWriter};
use corering::time::timeout;
use net::{drop_in_flight, nothing_is_in_flight, poll_once, until_metrics};
use standard::Fifo;

#[corering::test]
async fn what_others_write_to_a_fifo_is_read() -> io::Result<()> {
    let fifo = Fifo::new();
    let mut reader = PipeReader::open(fifo.path()).await?;
    let path = fifo.path().to_owned();
    let writer = std::thread::spawn(move || fs::write(path, "from a thread"));
    assert_eq!(reader.recv().await?, "from a thread");
    writer.join().expect("it does not panic")?;
    assert!(reader.recv().await?.is_empty());
    Ok(())
}

#[corering::test]
async fn first_read_waits_for_first_writer() -> io::Result<()> {
    let fifo = Fifo::new();
    for silent in [false, true] {
        let mut reader = PipeReader::open(fifo.path()).await?;
        let mut read = Box::pin(reader.read(Vec::with_capacity(100)));
        for _ in 0..10 {
            assert!(poll_once(&mut read).await.is_pending(), "there was no writer yet");
            corering::io::nop().await?;
        }
        let mut writer = PipeWriter::open(fifo.path()).await?;
        if !silent {
            writer.write_all("text").await?;
        }
        drop(writer);
        let expected = if silent { "" } else { "text" };
        assert_eq!(read.await?, (expected.len(), expected.into()));
        assert!(reader.recv().await?.is_empty());
    }
    Ok(())
}

#[corering::test]
async fn end_of_a_fifo_is_over_with_the_next_writer() -> io::Result<()> {
    let fifo = Fifo::new();
    let mut reader = PipeReader::open(fifo.path()).await?;
    for text in ["one", "two", "three"] {
        let mut writer = PipeWriter::open(fifo.path()).await?;
        writer.write_all(text).await?;
        drop(writer);
        assert_eq!(reader.recv().await?, text);
        assert!(reader.recv().await?.is_empty());
        assert!(reader.recv().await?.is_empty(), "and it stays at the end");
    }
    // With a writer of its own it never ends.
    let kept = PipeWriter::open(fifo.path()).await?;
    for text in ["four", "five"] {
        fs::write(fifo.path(), text)?;
        assert_eq!(reader.recv().await?, text);
        let mut read = Box::pin(reader.recv());
        assert!(poll_once(&mut read).await.is_pending());
        corering::io::nop().await?;
        assert!(poll_once(&mut read).await.is_pending());
    }
    drop(kept);
    Ok(())
}

#[corering::test]
async fn writer_waits_for_a_reader_and_holds_no_thread() -> io::Result<()> {
    let fifo = Fifo::new();
    let opens: Vec<_> =
        (0..100).map(|_| corering::spawn(PipeWriter::open(fifo.path().to_owned()))).collect();
    until_metrics(|metrics| metrics.timers >= 100).await;
    assert!(opens.iter().all(|open| !open.is_finished()), "nobody reads");
    let path = fifo.path().to_owned();
    let reader = std::thread::spawn(move || io::read_to_string(fs::File::open(path)?));
    let mut writers = Vec::new();
    for open in opens {
        writers.push(open.await.expect("it does not panic")?);
    }
    for mut writer in writers {
        writer.write_all("x").await?;
    }
    assert_eq!(reader.join().expect("it does not panic")?, "x".repeat(100));
    Ok(())
}

#[corering::test]
async fn dropped_opens_leave_nothing() -> io::Result<()> {
    let fifo = Fifo::new();
    for _ in 0..20 {
        drop_in_flight(Box::pin(PipeWriter::open(fifo.path()))).await;
        drop_in_flight(Box::pin(PipeReader::open(fifo.path()))).await;
        nothing_is_in_flight().await;
        let limit = Duration::from_millis(1);
        assert!(timeout(limit, PipeWriter::open(fifo.path())).await.is_err(), "nobody reads");
    }
    nothing_is_in_flight().await;
    // Neither end is open any more: this call would not fail otherwise.
    let options =
        fs::OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(fifo.path());
    assert_eq!(options.expect_err("nobody reads").raw_os_error(), Some(libc::ENXIO));
    Ok(())
}

#[corering::test]
async fn fifo_whose_readers_have_gone_is_a_broken_pipe() -> io::Result<()> {
    let fifo = Fifo::new();
    let reader = PipeReader::open(fifo.path()).await?;
    let mut writer = PipeWriter::open(fifo.path()).await?;
    drop(reader);
    nothing_is_in_flight().await;
    let failed = writer.write_all("text").await.expect_err("nobody reads");
    assert_eq!((failed.error.kind(), *failed.buf()), (ErrorKind::BrokenPipe, "text"));
    let mut reader = PipeReader::open(fifo.path()).await?;
    writer.write_all("text").await?;
    assert_eq!(reader.recv().await?, "text");
    Ok(())
}

#[corering::test]
async fn what_is_not_a_fifo_is_refused_by_name() -> io::Result<()> {
    let path = std::env::temp_dir().join(format!("corering-no-fifo-{}", std::process::id()));
    fs::write(&path, "contents")?;
    let error = PipeReader::open(&path).await.expect_err("it is a file");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let expected =
        format!("cannot read {}: it is not a FIFO; open it with corering::fs", path.display());
    assert_eq!(error.to_string(), expected);
    let error = PipeWriter::open(&path).await.expect_err("it is a file");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(fs::read(&path)?, b"contents", "it was not touched");
    fs::remove_file(&path)?;
    let error = PipeWriter::open(&path).await.expect_err("it is gone");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("corering-no-fifo"), "{error}");
    // A socket answers as a FIFO without a reader does, and will never have one.
    let listener = std::os::unix::net::UnixListener::bind(&path)?;
    let error = PipeWriter::open(&path).await.expect_err("it is a socket");
    assert!(error.to_string().contains("corering-no-fifo"), "{error}");
    drop(listener);
    fs::remove_file(&path)?;
    assert_eq!(PipeReader::open("/").await.expect_err("a folder").kind(), ErrorKind::InvalidInput);
    let mut null = PipeReader::open("/dev/null").await?;
    assert!(null.recv().await?.is_empty());
    Ok(())
}
