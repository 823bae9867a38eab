//! Errors that come with a signal (SIGPIPE, SIGXFSZ) stay errors where the program has left the signal
//! as it is by default, which would end the process.

#[path = "common/child.rs"]
mod child;

use std::io::{self, ErrorKind, Read};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::path::Path;
use std::ptr;

use child::Child;
use corering::fs::{self, File};
use corering::net::{TcpListener, UnixStream};
use corering::test_support::drivers;
use corering::{Runtime, spawn_blocking, yield_now};

/// In a child, with the signals as they are by default, on each driver.
fn with_default_signals(body: impl AsyncFn() -> io::Result<()>) {
    for signal in [libc::SIGPIPE, libc::SIGXFSZ] {
        // SAFETY: no handler is installed.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    for driver in drivers() {
        println!("on {driver}");
        let runtime = Runtime::builder().driver(driver).build().expect("the driver was named");
        runtime.block_on(async {
            body().await.expect("it ends well");
            // On the shard, and on the threads of the pool that made calls for it.
            nothing_is_left();
            for _ in 0..8 {
                spawn_blocking(nothing_is_left).await.expect("it does not panic");
            }
        });
    }
}

/// Neither signal is blocked or pending on this thread.
fn nothing_is_left() {
    let (mut blocked, mut pending) = (MaybeUninit::uninit(), MaybeUninit::uninit());
    // SAFETY: a null set asks for the present mask only, and the second is valid for a write.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, ptr::null(), blocked.as_mut_ptr()) };
    // SAFETY: the set is valid for a write.
    unsafe { libc::sigpending(pending.as_mut_ptr()) };
    for signal in [libc::SIGPIPE, libc::SIGXFSZ] {
        // SAFETY: both sets were written above.
        let is_in = unsafe {
            [
                libc::sigismember(blocked.assume_init_ref(), signal),
                libc::sigismember(pending.assume_init_ref(), signal),
            ]
        };
        assert_eq!(is_in, [0, 0], "signal {signal}");
    }
}

#[test]
fn file_to_a_peer_that_is_gone_is_an_error() {
    if !child::is_child() {
        return Child::of("file_to_a_peer_that_is_gone_is_an_error").passes();
    }
    let path = scratch("sent");
    // As much as is sent: what the page cache has all of goes by sendfile(2), which raises the signal.
    const BYTES: u64 = 300_000;
    std::fs::write(&path, vec![7; BYTES as usize]).expect("there is room");
    with_default_signals(async || {
        for (offset, head) in [(0, ""), (0, "head"), (200_000, ""), (299_000, "head")] {
            let (ours, theirs) = StdStream::pair()?;
            theirs.shutdown(Shutdown::Both)?;
            let file = File::open(&path).await?;
            let mut ours = UnixStream::from(OwnedFd::from(ours));
            let sent = ours.send_file_after(head, &file, offset, BYTES - offset).await;
            assert_eq!(sent.expect_err("nobody reads").kind(), ErrorKind::BrokenPipe);
        }
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let peer = std::net::TcpStream::connect(listener.local_addr()?)?;
        let mut ours = listener.accept().await?;
        drop(peer);
        let file = File::open(&path).await?;
        while ours.send_file(&file, 0, BYTES).await.is_ok() {}
        Ok(())
    });
    std::fs::remove_file(&path).expect("it is there");
}

#[test]
fn write_to_a_pipe_without_reader_is_an_error() {
    if !child::is_child() {
        return Child::of("write_to_a_pipe_without_reader_is_an_error").passes();
    }
    with_default_signals(async || {
        let (reader, writer) = io::pipe()?;
        drop(reader);
        let file = File::from(OwnedFd::from(writer));
        let failed = file.write_at("x", 0).await.expect_err("nobody reads");
        assert_eq!(failed.kind(), ErrorKind::BrokenPipe);
        let failed = file.write_vectored_at(vec!["x", "y"], 0).await.expect_err("nobody reads");
        assert_eq!(failed.kind(), ErrorKind::BrokenPipe);
        let (ours, theirs) = StdStream::pair()?;
        theirs.shutdown(Shutdown::Both)?;
        let file = File::from(OwnedFd::from(ours));
        let failed = file.write_all_at("x", 0).await.expect_err("nobody reads");
        assert_eq!(failed.kind(), ErrorKind::BrokenPipe);
        Ok(())
    });
}

#[test]
fn pipe_that_loses_its_reader_during_a_write_is_an_error() {
    if !child::is_child() {
        return Child::of("pipe_that_loses_its_reader_during_a_write_is_an_error").passes();
    }
    with_default_signals(async || {
        let (mut reader, writer) = io::pipe()?;
        let file = File::from(OwnedFd::from(writer));
        // More than a pipe holds.
        let mut writing = Box::pin(file.write_all_at(vec![7; 1 << 20], 0));
        assert!(futures_util::poll!(writing.as_mut()).is_pending());
        yield_now().await;
        reader.read_exact(&mut [0; 100])?;
        drop(reader);
        assert_eq!(writing.await.expect_err("nobody reads").kind(), ErrorKind::BrokenPipe);
        Ok(())
    });
}

#[test]
fn fifo_without_reader_is_an_error() {
    if !child::is_child() {
        return Child::of("fifo_without_reader_is_an_error").passes();
    }
    let path = scratch("fifo");
    let name = std::ffi::CString::new(path.to_str().expect("it is text")).expect("no NUL");
    // SAFETY: the name is a string that the kernel reads during the call.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    with_default_signals(async || {
        let reader = std::fs::OpenOptions::new().read(true).write(true).open(&path)?;
        let file = File::options().write(true).open(&path).await?;
        drop(reader);
        let failed = file.write_at("x", 0).await.expect_err("nobody reads");
        assert_eq!(failed.kind(), ErrorKind::BrokenPipe);
        Ok(())
    });
    std::fs::remove_file(&path).expect("it is there");
}

#[test]
fn file_beyond_its_limit_is_an_error() {
    if !child::is_child() {
        let child = Child::of("file_beyond_its_limit_is_an_error");
        return child.limit(libc::RLIMIT_FSIZE, 4096).passes();
    }
    let path = scratch("limited");
    with_default_signals(async || {
        let file = File::create(&path).await?;
        file.write_all_at(vec![1; 4096], 0).await?;
        let failed = file.write_at("x", 4096).await.expect_err("the limit is reached");
        assert_eq!(failed.kind(), ErrorKind::FileTooLarge);
        let failed = file.write_vectored_at(vec!["x"], 5000).await.expect_err("it is reached");
        assert_eq!(failed.kind(), ErrorKind::FileTooLarge);
        let error = file.set_len(5000).await.expect_err("the limit is reached");
        assert_eq!(error.kind(), ErrorKind::FileTooLarge);
        let error = file.allocate(0, 8192).await.expect_err("the limit is reached");
        assert!(matches!(error.kind(), ErrorKind::FileTooLarge | ErrorKind::Unsupported));
        let error = fs::copy("/proc/self/exe", &path).await.expect_err("the limit is reached");
        assert_eq!(error.kind(), ErrorKind::FileTooLarge);
        assert_eq!(fs::metadata(&path).await?.len(), 4096);
        fs::remove_file(&path).await
    });
}

fn scratch(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("no-signals-{name}-{}", std::process::id()))
}
