//! What dropped reads and handles leave to the next.

use super::*;

#[test]
fn dropped_stdin_leaves_its_rest_to_the_next() {
    in_a_child("dropped::dropped_stdin_leaves_its_rest_to_the_next", async || {
        let text = b"one\ntwo\nthree\nfour\n";
        let (reader, mut writer) = io::pipe()?;
        writer.write_all(text)?;
        drop(writer);
        for fd in [OwnedFd::from(reader), scratch(text)?.into()] {
            let _stdin = Exchanged::new(0, fd);
            assert_eq!(lines(stdin()).next_line().await?.as_deref(), Some("one"));
            assert_eq!(stdin().read_exact(vec![0; 2], 2).await?, b"tw");
            // On a thread with another driver.
            let other = std::thread::spawn(|| {
                let driver = corering::test_support::drivers()[0];
                let runtime = Runtime::builder().driver(driver).build()?;
                runtime.block_on(async { lines(stdin()).next_line().await })
            });
            assert_eq!(other.join().expect("it does not panic")?.as_deref(), Some("o"));
            assert_eq!(all().await?, b"three\nfour\n");
            assert_eq!(all().await?, b"");
        }
        Ok(())
    });
}

/// A read of any kind, by a handle of its own, and what it has read.
async fn any_read(kind: usize) -> io::Result<Vec<u8>> {
    let read = match kind {
        0 => {
            let line = lines(stdin()).next_line().await?;
            return Ok(line.map(|line| line + "\n").unwrap_or_default().into());
        }
        1 => return stdin().recv().await.map(Vec::from),
        2 => stdin().read(Vec::with_capacity(1)).await.map(|(_, bytes)| bytes),
        _ => stdin().read_exact(Vec::with_capacity(60), 60).await,
    };
    match read {
        Err(failed) if failed.error.kind() == ErrorKind::UnexpectedEof => Ok(failed.into_parts().1),
        read => Ok(read?),
    }
}

#[test]
fn thousand_dropped_reads_lose_no_byte() {
    in_a_child("dropped::thousand_dropped_reads_lose_no_byte", drop_a_thousand_reads);
}

pub(super) async fn drop_a_thousand_reads() -> io::Result<()> {
    const LINE: &str = "the quick brown fox jumps over the lazy dog\n";
    let in_file = LINE.repeat(3_000);
    let (reader, mut pipe_writer) = io::pipe()?;
    let (mut keyboard, terminal) = pty()?;
    // The terminal echoes, so what is shown has to be read.
    let mut screen = keyboard.try_clone()?;
    std::thread::spawn(move || io::copy(&mut screen, &mut io::sink()));
    let mut random = Random(7);
    for (fd, mut there) in [
        (scratch(in_file.as_bytes())?.into(), None),
        (OwnedFd::from(reader), Some(&mut pipe_writer as &mut dyn Write)),
        (terminal, Some(&mut keyboard)),
    ] {
        let _stdin = Exchanged::new(0, fd);
        let mut sent = if there.is_none() { in_file.len() } else { 0 };
        let (mut dropped, mut read) = (0, Vec::new());
        while dropped < 1_000 {
            let mut future = Box::pin(any_read(random.below(4)));
            let mut polled = poll_once(&mut future).await;
            if random.below(2) == 0 {
                turns().await?;
            }
            if let Some(there) = &mut there
                && random.below(2) == 0
                && sent < read.len() + 1_000
            {
                there.write_all(LINE.as_bytes())?;
                sent += LINE.len();
            }
            if random.below(2) == 0 {
                turns().await?;
            }
            if polled.is_pending() && random.below(3) == 0 {
                polled = poll_once(&mut future).await;
            }
            match polled {
                Poll::Ready(bytes) => read.extend(bytes?),
                Poll::Pending => dropped += 1,
            }
        }
        if let Some(there) = &mut there {
            there.write_all(b"last\n")?;
        }
        while there.is_some() && !read.ends_with(b"last\n") || read.len() < sent {
            read.extend(any_read(1).await?);
        }
        let expected = LINE.repeat(sent / LINE.len()) + there.map_or("", |_| "last\n");
        assert!(read == expected.as_bytes(), "bytes were lost or moved");
    }
    Ok(())
}

#[test]
fn handle_outlives_its_runtime_and_loses_nothing() {
    const TEST: &str = "dropped::handle_outlives_its_runtime_and_loses_nothing";
    if !child::is_child() {
        return Child::of(TEST).passes();
    }
    let runtime = |driver| Runtime::builder().driver(driver).build().expect("it was asked for");
    let text = pattern(200_000);
    for driver in corering::test_support::drivers() {
        let (reader, writer) = io::pipe().expect("a pipe can be made");
        let mut writer = Some(writer);
        for fd in [scratch(&text).expect("there is room").into(), OwnedFd::from(reader)] {
            let _stdin = Exchanged::new(0, fd);
            let (mut stdin, mut read) = (stdin(), Vec::new());
            for round in 0..10 {
                runtime(driver).block_on(async {
                    for _ in 0..round {
                        let mut future = Box::pin(stdin.read(Vec::with_capacity(100)));
                        if let Poll::Ready(done) = poll_once(&mut future).await {
                            read.extend(done.expect("it can be read").1);
                        }
                        corering::yield_now().await;
                    }
                });
            }
            runtime(driver).block_on(async {
                if read.is_empty()
                    && let Some(mut writer) = writer.take()
                {
                    let text = text.clone();
                    std::thread::spawn(move || writer.write_all(&text));
                }
                loop {
                    let bytes = stdin.recv().await.expect("it can be read");
                    if bytes.is_empty() {
                        break;
                    }
                    read.extend_from_slice(&bytes);
                }
            });
            assert!(read == text, "on {driver}");
        }
    }
}
