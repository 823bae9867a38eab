//! Standard input and output of every kind. Each test runs in a process of its own, whose descriptors 0
//! and 1 it exchanges.

#[path = "../common/child.rs"]
mod child;
#[allow(dead_code)] // Each test file uses a part.
#[path = "../common/net.rs"]
mod net;
#[allow(dead_code)] // Each test file uses a part.
#[path = "../common/standard.rs"]
mod standard;

mod dropped;
mod terminals;

use std::fs;
use std::future::poll_fn;
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::{Command, Stdio};
use std::task::Poll;
use std::time::Duration;

use corering::io::{OwnedWrite, PollWrite, copy, lines, stderr, stdin, stdout};
use corering::time::sleep;
use corering::{Driver, Runtime};

use child::Child;
use net::{Random, drop_in_flight, nothing_is_in_flight, pattern, poll_once};
use standard::{Exchanged, Watch, pty, scratch};

/// Runs a body on both drivers, in a process of its own.
fn in_a_child(test: &str, body: impl AsyncFn() -> io::Result<()>) {
    if !child::is_child() {
        return Child::of(test).passes();
    }
    corering::test_support::run(test, None, || async {
        body().await?;
        nothing_is_in_flight().await;
        io::Result::Ok(())
    });
}

/// All of standard input.
async fn all() -> io::Result<Vec<u8>> {
    let (mut all, mut stdin) = (Vec::new(), stdin());
    loop {
        let bytes = stdin.recv().await?;
        if bytes.is_empty() {
            return Ok(all);
        }
        all.extend_from_slice(&bytes);
    }
}

#[test]
fn stdin_is_read_by_every_call() {
    in_a_child("stdin_is_read_by_every_call", async || {
        let (reader, mut writer) = io::pipe()?;
        writer.write_all(b"12345678one\ntwo\r\nrest")?;
        drop(writer);
        let _stdin = Exchanged::new(0, reader);
        let mut stdin = stdin();
        assert_eq!(stdin.read(Vec::with_capacity(4)).await?, (4, b"1234".to_vec()));
        assert_eq!(stdin.read_exact(vec![0; 4], 4).await?, b"5678");
        let mut lines = lines(&mut stdin);
        assert_eq!(lines.next_line().await?.as_deref(), Some("one"));
        assert_eq!(lines.next_line().await?.as_deref(), Some("two"));
        drop(lines);
        assert_eq!(stdin.recv().await?, "rest");
        assert!(stdin.recv().await?.is_empty());
        let failed = stdin.read_exact(vec![0; 4], 4).await.expect_err("it has ended");
        assert_eq!((failed.error.kind(), failed.buf().len()), (ErrorKind::UnexpectedEof, 0));
        Ok(())
    });
}

#[test]
fn stdin_of_each_kind_is_read_to_its_end() {
    in_a_child("stdin_of_each_kind_is_read_to_its_end", async || {
        let mut kinds: Vec<(&str, OwnedFd)> = Vec::new();
        let (reader, mut writer) = io::pipe()?;
        writer.write_all(b"some text")?;
        kinds.push(("a pipe", reader.into()));
        drop(writer);
        let (socket, mut peer) = UnixStream::pair()?;
        peer.write_all(b"some text")?;
        kinds.push(("a socket", socket.into()));
        drop(peer);
        let mut file = scratch(b"not some text")?;
        file.seek(io::SeekFrom::Start(4))?;
        kinds.push(("a file", file.into()));
        let (mut keyboard, terminal) = pty()?;
        keyboard.write_all(b"some text\x04\x04")?;
        kinds.push(("a terminal", terminal));
        for (kind, fd) in kinds {
            let _stdin = Exchanged::new(0, fd);
            assert_eq!(all().await?, b"some text", "{kind}");
        }
        for path in ["/proc/version", "/proc/self/maps", "/dev/null", "/proc/sys/kernel/ostype"] {
            let expected = fs::read(path)?.len();
            let _stdin = Exchanged::new(0, fs::File::open(path)?);
            // What the maps are changes meanwhile.
            let read = all().await?.len();
            assert!(path.ends_with("maps") || read == expected, "{path}: {read}, not {expected}");
        }
        let _stdin = Exchanged::new(0, fs::File::open("/")?);
        assert_eq!(all().await.expect_err("a folder").kind(), ErrorKind::IsADirectory);
        let _stdin = Exchanged::new(0, fs::OpenOptions::new().write(true).open("/dev/null")?);
        let error = all().await.expect_err("it is not open for reading");
        assert_eq!(error.raw_os_error(), Some(libc::EBADF), "{error}");
        Ok(())
    });
}

#[test]
fn file_is_read_and_written_where_all_who_share_it_are() {
    in_a_child("file_is_read_and_written_where_all_who_share_it_are", async || {
        let mut shared = scratch(b"first\nsecond\nthird\n")?;
        let mut head = [0; 6];
        shared.read_exact(&mut head)?;
        let _stdin = Exchanged::new(0, shared.try_clone()?);
        assert_eq!(all().await?, b"second\nthird\n");
        assert_eq!(shared.stream_position()?, 19, "it has moved the position of all");

        let mut shared = scratch(b"")?;
        let _stdout = Exchanged::new(1, shared.try_clone()?);
        shared.write_all(b"one ")?;
        stdout().write_all("two ").await?;
        shared.write_all(b"three ")?;
        let status = Command::new("printf").arg("four ").stdout(shared.try_clone()?).status()?;
        assert!(status.success());
        stdout().write_all("five").await?;
        shared.rewind()?;
        assert_eq!(io::read_to_string(&shared)?, "one two three four five");

        // Two programs that have opened one file for appending.
        let path = std::env::temp_dir().join(format!("corering-append-{}", std::process::id()));
        let append = || fs::OpenOptions::new().append(true).create(true).open(&path);
        let (ours, mut theirs) = (append()?, append()?);
        let _stdout = Exchanged::new(1, ours);
        stdout().write_all("one ").await?;
        theirs.write_all(b"two ")?;
        stdout().write_all("three").await?;
        assert_eq!(fs::read_to_string(&path)?, "one two three");
        fs::remove_file(path)
    });
}

#[test]
fn stdout_of_each_kind_is_written() {
    in_a_child("stdout_of_each_kind_is_written", async || {
        let (mut reader, writer) = io::pipe()?;
        let (mut peer, socket) = UnixStream::pair()?;
        let (mut screen, terminal) = pty()?;
        let mut text = [0; 10];
        for (kind, fd, there) in [
            ("a pipe", writer.into(), &mut reader as &mut dyn Read),
            ("a socket", socket.into(), &mut peer),
            ("a terminal", terminal, &mut screen),
        ] {
            let _stdout = Exchanged::new(1, fd);
            let mut stdout = stdout();
            stdout.write_all("some").await?;
            assert_eq!(stdout.write(" text!").await?.0, 6);
            stdout.flush().await?;
            stdout.shutdown().await?;
            there.read_exact(&mut text)?;
            assert_eq!(&text, b"some text!", "{kind}");
            // It was ended for nobody.
            stdout.write_all("again").await?;
            there.read_exact(&mut text[..5])?;
        }
        let (there, ours) = UnixDatagram::pair()?;
        let _stdout = Exchanged::new(1, ours);
        stdout().write_all("a datagram").await?;
        assert_eq!(there.recv(&mut text)?, 10);
        let null = || fs::OpenOptions::new().write(true).open("/dev/null");
        let _stdout = Exchanged::new(1, null()?);
        stdout().write_all(vec![7; 1 << 20]).await?;
        let _stderr = Exchanged::new(2, null()?);
        stderr().write_all("said to nobody").await?;
        let _stdout = Exchanged::new(1, fs::OpenOptions::new().write(true).open("/dev/full")?);
        let failed = stdout().write_all("text").await.expect_err("it is full");
        assert_eq!((failed.error.kind(), *failed.buf()), (ErrorKind::StorageFull, "text"));
        Ok(())
    });
}

#[test]
fn flush_waits_for_what_a_thread_writes() {
    in_a_child("flush_waits_for_what_a_thread_writes", async || {
        let shared = scratch(b"")?;
        let _stdout = Exchanged::new(1, shared.try_clone()?);
        let mut stdout = stdout();
        for round in 1..=100 {
            let written = poll_fn(|cx| stdout.poll_write(cx, &[7; 60_000])).await?;
            assert_eq!(written, 60_000);
            stdout.flush().await?;
            assert_eq!(shared.metadata()?.len(), round * 60_000);
        }
        Ok(())
    });
}

#[test]
fn mode_of_standard_streams_is_never_changed() {
    in_a_child("mode_of_standard_streams_is_never_changed", keep_the_mode);
}

async fn keep_the_mode() -> io::Result<()> {
    for nonblocking in [false, true] {
        let (mut pipe_writer, pipe_reader) = {
            let (reader, writer) = io::pipe()?;
            (fs::File::from(OwnedFd::from(writer)), OwnedFd::from(reader))
        };
        let (socket_peer, socket) = UnixStream::pair()?;
        let mut socket_peer = fs::File::from(OwnedFd::from(socket_peer));
        let (mut keyboard, terminal) = pty()?;
        for (fd, there) in [
            (pipe_reader, &mut pipe_writer),
            (socket.into(), &mut socket_peer),
            (terminal, &mut keyboard),
        ] {
            let watch = Watch::new(fd.try_clone()?, nonblocking);
            let _stdin = Exchanged::new(0, fd);
            // It waits, is dropped, waits again, and reads.
            drop_in_flight(Box::pin(async { stdin().recv().await.map(drop) })).await;
            let read = corering::spawn(async { all_of_a_line().await });
            turns().await?;
            there.write_all(b"line\n")?;
            assert_eq!(read.await.expect("it does not panic")?, b"line\n");
            turns().await?;
            watch.end();
        }

        let (reader, writer) = io::pipe()?;
        let (screen, terminal) = pty()?;
        let (peer, socket) = UnixStream::pair()?;
        for (fd, there) in [
            (OwnedFd::from(writer), OwnedFd::from(reader)),
            (terminal, screen.into()),
            (socket.into(), peer.into()),
        ] {
            let watch = Watch::new(fd.try_clone()?, nonblocking);
            let _stdout = Exchanged::new(1, fd);
            const LEN: usize = 1 << 20;
            let written = corering::spawn(async { stdout().write_all(vec![7; LEN]).await });
            turns().await?;
            assert!(!written.is_finished(), "there is no room for it");
            let reads = corering::spawn_blocking(move || {
                fs::File::from(there).read_exact(&mut vec![0; LEN])
            });
            written.await.expect("it does not panic").map_err(io::Error::from)?;
            reads.await.expect("it does not panic")?;
            watch.end();
        }
    }
    Ok(())
}

async fn all_of_a_line() -> io::Result<Vec<u8>> {
    let mut stdin = stdin();
    let (_, bytes) = stdin.read(Vec::with_capacity(100)).await?;
    Ok(bytes)
}

/// Lets the kernel be visited a few times.
async fn turns() -> io::Result<()> {
    for _ in 0..5 {
        corering::yield_now().await;
        corering::io::nop().await?;
    }
    Ok(())
}

/// As on kernels before 6.4, where pipes have no flag that keeps a call from waiting.
#[test]
fn all_that_holds_without_the_flag_of_a_call_too() {
    const TEST: &str = "all_that_holds_without_the_flag_of_a_call_too";
    if !child::is_child() {
        let calls = [libc::SYS_preadv2, libc::SYS_pwritev2];
        return Child::of(TEST).refuse(&calls, libc::EOPNOTSUPP).passes();
    }
    corering::test_support::run(TEST, None, || async {
        keep_the_mode().await?;
        dropped::drop_a_thousand_reads().await?;
        nothing_is_in_flight().await;
        io::Result::Ok(())
    });
}

#[test]
fn closed_pipe_is_an_error_and_no_signal() {
    in_a_child("closed_pipe_is_an_error_and_no_signal", async || {
        // SAFETY: no handler is installed.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        let (reader, writer) = io::pipe()?;
        drop(reader);
        let (peer, socket) = UnixStream::pair()?;
        drop(peer);
        for fd in [OwnedFd::from(writer), socket.into()] {
            let _stdout = Exchanged::new(1, fd);
            let failed = stdout().write_all("text").await.expect_err("nobody reads it");
            assert_eq!((failed.error.kind(), *failed.buf()), (ErrorKind::BrokenPipe, "text"));
        }
        let (reader, writer) = io::pipe()?;
        let head = Command::new("head").arg("-1").stdin(reader).stdout(Stdio::piped()).spawn()?;
        let _stdout = Exchanged::new(1, writer);
        let mut stdout = stdout();
        let kind = loop {
            match stdout.write_all("line\n").await {
                Ok(_) => {}
                Err(failed) => break failed.error.kind(),
            }
        };
        assert_eq!(kind, ErrorKind::BrokenPipe);
        assert_eq!(head.wait_with_output()?.stdout, b"line\n");
        Ok(())
    });
}

#[test]
fn closed_descriptor_is_an_error_that_says_so() {
    in_a_child("closed_descriptor_is_an_error_that_says_so", async || {
        let closed = Exchanged::closed(0);
        let mut own = stdin();
        let error = own.recv().await.expect_err("it is closed").to_string();
        assert_eq!(error, "standard input is closed: Bad file descriptor (os error 9)");
        let failed = own.read(vec![1]).await.expect_err("it is closed");
        assert_eq!(*failed.buf(), [1]);
        drop(closed);
        let _stdin = Exchanged::new(0, scratch(b"text")?);
        assert_eq!(own.recv().await?, "text", "it is opened when it is there");
        let closed = Exchanged::closed(1);
        let failed = stdout().write_all("text").await.expect_err("it is closed");
        drop(closed);
        let error = failed.error.to_string();
        assert_eq!(error, "standard output is closed: Bad file descriptor (os error 9)");
        let closed = Exchanged::closed(2);
        let failed = stderr().write("text").await.expect_err("it is closed");
        drop(closed);
        let error = failed.error.to_string();
        assert_eq!(error, "standard error is closed: Bad file descriptor (os error 9)");
        Ok(())
    });
}

#[test]
fn lines_of_a_page_are_not_mixed_in_a_pipe() {
    in_a_child("lines_of_a_page_are_not_mixed_in_a_pipe", async || {
        const LINE: usize = 4096;
        let (mut reader, writer) = io::pipe()?;
        let _stdout = Exchanged::new(1, writer.try_clone()?);
        let tasks: Vec<_> = [b'a', b'b', b'c']
            .map(|letter| {
                corering::spawn(async move {
                    let mut stdout = stdout();
                    for _ in 0..200 {
                        let mut line = vec![letter; LINE];
                        line[LINE - 1] = b'\n';
                        stdout.write_all(line).await?;
                    }
                    io::Result::Ok(())
                })
            })
            .into();
        // By another process, so to say.
        let other = std::thread::spawn(move || {
            let mut writer = writer;
            let line = ["d".repeat(LINE - 1), "\n".into()].concat();
            (0..200).try_for_each(|_| writer.write_all(line.as_bytes()))
        });
        let read = corering::spawn_blocking(move || {
            // Page by page, so that there is room for a part of a longer line.
            let mut all = vec![0; 4 * 200 * LINE];
            all.chunks_mut(4096).try_for_each(|page| reader.read_exact(page)).map(|()| all)
        });
        for task in tasks {
            task.await.expect("it does not panic")?;
        }
        other.join().expect("it does not panic")?;
        let all = read.await.expect("it does not panic")?;
        let mixed = all.chunks(LINE).find(|line| line[..LINE - 1].iter().any(|&it| it != line[0]));
        assert!(mixed.is_none(), "a line is of two writers");
        Ok(())
    });
}

#[test]
fn stdin_is_copied_to_stdout() {
    in_a_child("stdin_is_copied_to_stdout", async || {
        let text = "some text\n".repeat(100_000);
        let mut out = scratch(b"")?;
        let (reader, writer) = io::pipe()?;
        let (from_pipe, to_pipe) = (scratch(text.as_bytes())?, writer);
        let copied = async |from: OwnedFd, to: OwnedFd| {
            let _stdin = Exchanged::new(0, from);
            let _stdout = Exchanged::new(1, to);
            let (mut stdin, mut stdout) = (stdin(), stdout());
            // The streams have their descriptors, so the next ones may have others.
            assert!(stdin.read(Vec::with_capacity(1)).await?.0 == 1);
            stdout.write_all("s").await?;
            io::Result::Ok((stdin, stdout))
        };
        let (mut stdin, mut stdout) = copied(from_pipe.into(), to_pipe.into()).await?;
        let first = corering::spawn(async move { copy(&mut stdin, &mut stdout).await });
        let (mut stdin, mut stdout) = copied(reader.into(), out.try_clone()?.into()).await?;
        let count = copy(&mut stdin, &mut stdout).await?;
        assert_eq!(count, text.len() as u64 - 1);
        first.await.expect("it does not panic")?;
        out.rewind()?;
        assert!(io::read_to_string(out)? == text);
        Ok(())
    });
}

#[test]
fn full_stdout_holds_up_nobody_else() {
    in_a_child("full_stdout_holds_up_nobody_else", async || {
        let (reader, writer) = io::pipe()?;
        let (screen, terminal) = pty()?;
        for (fd, there) in
            [(OwnedFd::from(writer), fs::File::from(OwnedFd::from(reader))), (terminal, screen)]
        {
            let _stdout = Exchanged::new(1, fd);
            let text = "0123456789".repeat(100_000);
            let expected = text.clone();
            let written = corering::spawn(async move { stdout().write_all(text).await });
            for _ in 0..10 {
                sleep(Duration::from_millis(1)).await;
                corering::spawn(async {}).await.expect("it does not panic");
            }
            assert!(!written.is_finished(), "there is no room for it");
            let mut read = vec![0; expected.len()];
            let reads = corering::spawn_blocking(move || {
                let mut there = there;
                there.read_exact(&mut read).map(|()| read)
            });
            written.await.expect("it does not panic")?;
            assert!(reads.await.expect("it does not panic")? == expected.as_bytes());
        }
        Ok(())
    });
}

#[test]
fn two_runtimes_share_stdin_as_programs_do() {
    const TEST: &str = "two_runtimes_share_stdin_as_programs_do";
    if !child::is_child() {
        return Child::of(TEST).passes();
    }
    let (reader, mut writer) = io::pipe().expect("a pipe can be made");
    let _stdin = Exchanged::new(0, reader);
    let count = |driver: Driver| {
        std::thread::spawn(move || {
            let runtime = Runtime::builder().driver(driver).build()?;
            runtime.block_on(async {
                let (mut stdin, mut count) = (stdin(), 0);
                loop {
                    // Not all that is there, so that both have a part.
                    let (read, bytes) = stdin.read(Vec::with_capacity(5)).await?;
                    assert!(bytes.iter().all(|&byte| byte == b'x'));
                    count += read;
                    if read == 0 {
                        return io::Result::Ok(count);
                    }
                    corering::yield_now().await;
                }
            })
        })
    };
    let drivers = corering::test_support::drivers();
    let counts: Vec<_> = drivers.into_iter().cycle().take(2).map(count).collect();
    for _ in 0..1_000 {
        writer.write_all(&[b'x'; 100]).expect("it is read");
    }
    drop(writer);
    let counts = counts.into_iter().map(|it| it.join().expect("it does not panic"));
    let counts = counts.collect::<io::Result<Vec<usize>>>().expect("it can be read");
    assert_eq!(counts.iter().sum::<usize>(), 100_000, "{counts:?}");
}
