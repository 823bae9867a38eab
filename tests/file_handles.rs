//! Open files at their edges: a file system of memory, pipes with a name, no descriptor left, and a second
//! runtime.

#[path = "common/child.rs"]
mod child;
#[allow(dead_code)] // Each test file uses a part.
#[path = "common/standard.rs"]
mod standard;

use std::fs::Permissions;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, UNIX_EPOCH};

use child::{Child, is_child};
use corering::fs::{Advice, File, FileTimes};
use corering::{Runtime, test_support};
use futures_util::poll;
use standard::Fifo;

/// A file of a tmpfs, without a name.
fn in_memory() -> io::Result<std::fs::File> {
    // SAFETY: the name is a string that outlives the call.
    let raw = unsafe { libc::memfd_create(c"corering".as_ptr(), libc::MFD_CLOEXEC) };
    if raw < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just opened, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) }.into())
}

#[corering::test]
async fn file_of_memory_has_holes_times_and_locks() -> io::Result<()> {
    let mut shared = in_memory()?;
    let file = File::from(shared.try_clone()?);
    file.write_all_at(vec![7; 1 << 20], 0).await?;
    file.punch_hole(0, 1 << 19).await?;
    shared.seek(SeekFrom::Start(77))?;
    assert_eq!(file.seek_data(0).await?, Some(1 << 19));
    assert_eq!(
        (file.seek_hole(0).await?, file.seek_hole(1 << 19).await?),
        (Some(0), Some(1 << 20))
    );
    assert_eq!(shared.stream_position()?, 77);
    let long_ago = UNIX_EPOCH + Duration::new(1_000, 5);
    file.set_times(FileTimes::new().set_accessed(long_ago).set_modified(long_ago)).await?;
    file.set_permissions(Permissions::from_mode(0o600)).await?;
    let known = file.metadata().await?;
    assert_eq!((known.accessed(), known.modified()), (long_ago, long_ago));
    assert_eq!(known.permissions().mode() & 0o777, 0o600);
    for advice in [Advice::Random, Advice::WillNeed, Advice::DontNeed] {
        file.advise(0, 0, advice).await?;
    }
    file.sync_range(0, 0).await?;
    file.lock().await?;
    file.unlock()?;
    Ok(())
}

#[corering::test]
async fn fifo_has_locks_and_permissions_and_no_holes() -> io::Result<()> {
    let fifo = Fifo::new();
    let mut options = corering::fs::OpenOptions::new();
    let file = options.read(true).write(true).open(fifo.path()).await?;
    file.lock().await?;
    file.set_permissions(Permissions::from_mode(0o640)).await?;
    file.set_modified(UNIX_EPOCH).await?;
    let known = file.metadata().await?;
    assert!(known.file_type().is_fifo() && known.permissions().mode() & 0o777 == 0o640);
    assert_eq!(known.modified(), UNIX_EPOCH);
    let refused = [
        file.punch_hole(0, 1).await.expect_err("a pipe"),
        file.seek_data(0).await.expect_err("a pipe"),
        file.seek_hole(0).await.expect_err("a pipe"),
        file.advise(0, 0, Advice::Random).await.expect_err("a pipe"),
        file.sync_range(0, 0).await.expect_err("a pipe"),
    ];
    for error in refused {
        assert_eq!(error.kind(), ErrorKind::NotSeekable, "{error}");
    }
    file.unlock()
}

#[corering::test]
async fn fifo_that_was_read_goes_to_std_in_its_mode() -> io::Result<()> {
    let fifo = Fifo::new();
    for waits in [false, true] {
        let mut options = corering::fs::OpenOptions::new();
        let file = options.read(true).write(true).open(fifo.path()).await?;
        file.write_all_at("text", 0).await?;
        assert_eq!(file.read_at(Vec::with_capacity(4), 0).await?.1, b"text");
        let std = match waits {
            true => file.into_std().await,
            false => file.try_into_std().expect("nothing is in flight"),
        };
        // SAFETY: fcntl with F_GETFL takes no pointer.
        let flags = unsafe { libc::fcntl(std::os::fd::AsRawFd::as_raw_fd(&std), libc::F_GETFL) };
        assert_eq!(flags & libc::O_NONBLOCK, 0, "a read would fail instead of waiting");
    }
    Ok(())
}

#[test]
fn file_without_a_free_descriptor_does_all_but_double_itself() {
    const TEST: &str = "file_without_a_free_descriptor_does_all_but_double_itself";
    if !is_child() {
        return Child::of(TEST).limit(libc::RLIMIT_NOFILE, 64).passes();
    }
    for driver in test_support::drivers() {
        let runtime = Runtime::builder().driver(driver).build().expect("64 are enough");
        runtime.block_on(async {
            let mut memory = in_memory().expect("a descriptor is free");
            memory.write_all(b"text").expect("memory has room");
            let file = File::from(memory);
            // The threads of the pool, and what the runtime opens once, are there before.
            file.set_modified(UNIX_EPOCH).await.expect("it is ours");
            assert_eq!(file.seek_data(0).await.expect("it can be searched"), Some(0));
            let mut all = Vec::new();
            while let Ok(null) = std::fs::File::open("/dev/null") {
                all.push(null);
            }
            let emfile = |error: io::Error| assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
            emfile(file.try_clone().expect_err("none is free"));
            emfile(file.seek_data(0).await.expect_err("none is free"));
            file.lock().await.expect("it takes none");
            file.unlock().expect("it was locked");
            file.set_modified(UNIX_EPOCH).await.expect("it takes none");
            file.punch_hole(0, 1).await.expect("it takes none");
            // One, but the file is to be opened a second time.
            all.pop();
            let error = file.seek_data(0).await.expect_err("one is too few");
            assert!(error.to_string().contains("opened once more"), "{error}");
            let mut file = file.into_std().await;
            file.rewind().expect("it has a position");
            let mut text = String::new();
            file.read_to_string(&mut text).expect("it is text");
            assert_eq!(text, "\0ext");
        });
    }
}

#[test]
fn lock_that_waits_goes_on_in_a_second_runtime() {
    for driver in test_support::drivers() {
        let build = || Runtime::builder().driver(driver).build().expect("the driver works");
        let (first, second) = (build(), build());
        let memory = in_memory().expect("a descriptor is free");
        // Opened a second time, so somebody else for the kernel.
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&memory));
        let other = std::fs::File::open(path).expect("it can be read");
        other.lock().expect("nobody else has it");
        let file = File::from(memory);
        let mut waiting = Box::pin(file.lock());
        first.block_on(async { assert!(poll!(&mut waiting).is_pending(), "it is locked") });
        assert_eq!(first.shut_down().leaked_operations, 0);
        other.unlock().expect("it was locked");
        second.block_on(waiting).expect("nobody has it any more");
        assert!(other.try_lock().is_err(), "on {driver}");
    }
}
