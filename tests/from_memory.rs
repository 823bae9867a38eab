//! What the kernel can answer from memory takes no thread: none of the pool on epoll, none of the kernel's
//! on a ring.

#[allow(dead_code)] // Each test file uses a part.
#[path = "common/child.rs"]
mod child;
#[allow(dead_code)] // Each test file uses a part.
#[path = "common/net.rs"]
mod net;
#[allow(dead_code)] // Each test file uses a part.
#[path = "common/standard.rs"]
mod standard;

use std::fs;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use corering::fs::{File, OpenOptions};
use corering::{Driver, test_support};

use child::Child;
use net::poll_once;
use standard::Fifo;

#[test]
fn cached_files_take_no_thread_of_either_kind() {
    const TEST: &str = "cached_files_take_no_thread_of_either_kind";
    if !child::is_child() {
        return Child::of(TEST).passes();
    }
    test_support::run(TEST, None, || async {
        let folder = Folder::new();
        let path = folder.file("file", &[7; 10_000]);
        let can = Abilities::of(&path);
        // The first of a process finds out what the mount is of.
        look_at(&path, &can).await?;
        let jobs = jobs();
        for _ in 0..20 {
            look_at(&path, &can).await?;
        }
        assert_eq!(jobs(), 0, "jobs for the pool");
        let names = thread_names();
        assert!(!names.iter().any(|name| name.starts_with("iou-wrk")), "{names:?}");
        io::Result::Ok(())
    });
}

/// Everything that is asked about a file that exists.
async fn look_at(path: &Path, can: &Abilities) -> io::Result<()> {
    assert_eq!(corering::fs::metadata(path).await?.len(), 10_000);
    assert!(corering::fs::symlink_metadata(path).await?.is_file());
    assert!(corering::fs::exists(path).await?);
    let mut place = OpenOptions::new();
    place.read(true).custom_flags(libc::O_PATH).open(path).await?.close().await?;
    let file = File::open(path).await?;
    assert_eq!(file.metadata().await?.len(), 10_000);
    if can.read {
        let (_, bytes) = file.read_at(Vec::with_capacity(5_000), 6_000).await?;
        assert_eq!(bytes, [7; 4_000]);
        let bufs = vec![Vec::with_capacity(1), Vec::with_capacity(100)];
        let (count, bufs) = file.read_vectored_at(bufs, 9_990).await?;
        assert_eq!((count, &bufs[1][..]), (10, &[7; 9][..]));
        assert_eq!(file.read_to_end().await?.len(), 10_000);
    }
    file.close().await?;
    if can.write {
        let file = OpenOptions::new().write(true).open(path).await?;
        assert_eq!(file.write_at(&[7_u8; 100], 0).await?.0, 100);
        assert_eq!(file.write_vectored_at(vec![&[7_u8; 50]; 2], 50).await?.0, 100);
    }
    Ok(())
}

#[corering::test]
async fn name_that_is_known_not_to_exist_takes_no_thread() -> io::Result<()> {
    let folder = Folder::new();
    learn(&folder).await?;
    let path = folder.0.join("none");
    let ask = async || {
        let error = File::open(&path).await.expect_err("there is none");
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
        assert!(!corering::fs::exists(&path).await.expect("it can be asked"));
    };
    // The first has to ask the disk.
    ask().await;
    let jobs = jobs();
    ask().await;
    assert_eq!(jobs(), 0);
    Ok(())
}

#[test]
fn path_that_memory_lacks_goes_to_the_pool() {
    on_epoll("path_that_memory_lacks_goes_to_the_pool", || async {
        let folder = Folder::new();
        learn(&folder).await?;
        let jobs = jobs();
        let error = File::open(folder.0.join("none")).await.expect_err("there is none");
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
        assert_eq!(jobs(), 1);
        // What is created or emptied needs the disk.
        let path = folder.file("file", b"text");
        let mut options = OpenOptions::new();
        drop(options.write(true).create(true).open(&path).await?);
        drop(options.create(false).truncate(true).open(&path).await?);
        assert_eq!(jobs(), 3);
        Ok(())
    });
}

#[test]
fn device_or_file_of_no_disk_is_opened_by_a_thread() {
    on_epoll("device_or_file_of_no_disk_is_opened_by_a_thread", || async {
        for (path, asks) in [("/dev/zero", 0), ("/proc/version", 1)] {
            learn_at(path.as_ref()).await?;
            for _ in 0..2 {
                let jobs = jobs();
                let file = File::open(path).await?;
                assert_eq!(jobs(), 1, "{path} is opened");
                file.metadata().await?;
                assert_eq!(jobs(), 1 + asks, "{path} is asked about");
                file.close().await?;
                assert_eq!(jobs(), 2 + asks, "{path} is closed");
            }
        }
        Ok(())
    });
}

#[test]
fn fifo_without_a_writer_holds_up_a_thread_and_no_shard() {
    on_epoll("fifo_without_a_writer_holds_up_a_thread_and_no_shard", || async {
        let fifo = Fifo::new();
        learn(&Folder::new()).await?;
        for _ in 0..2 {
            let jobs = jobs();
            let mut opening = Box::pin(File::open(fifo.path()));
            assert!(poll_once(&mut opening).await.is_pending(), "nobody writes");
            assert_eq!(jobs(), 1);
            // The thread opens its end at some time, and not before does a writer find one.
            let writer = loop {
                let mut options = fs::OpenOptions::new();
                let opened = options.write(true).custom_flags(libc::O_NONBLOCK).open(fifo.path());
                match opened {
                    Err(error) if error.raw_os_error() == Some(libc::ENXIO) => {
                        corering::yield_now().await;
                    }
                    opened => break opened?,
                }
            };
            let reader = opening.await?;
            drop(writer);
            assert_eq!(reader.read_at(vec![0; 8], 0).await?.0, 0);
        }
        Ok(())
    });
}

#[corering::test]
async fn file_from_memory_has_the_flags_that_were_asked_for() -> io::Result<()> {
    let folder = Folder::new();
    learn(&folder).await?;
    let path = folder.file("file", b"text");
    let open = async |flags, append| -> io::Result<i32> {
        let mut options = OpenOptions::new();
        options.read(true).append(append).custom_flags(flags);
        let file = options.open(&path).await?;
        // SAFETY: F_GETFL takes no argument.
        Ok(unsafe { libc::fcntl(file.as_fd().as_raw_fd(), libc::F_GETFL) })
    };
    let all = libc::O_ACCMODE | libc::O_APPEND | libc::O_NONBLOCK | libc::O_NOATIME;
    assert_eq!(open(0, false).await? & all, libc::O_RDONLY);
    assert_eq!(open(libc::O_NONBLOCK, false).await? & all, libc::O_NONBLOCK);
    let noatime = libc::O_RDWR | libc::O_APPEND | libc::O_NOATIME;
    assert_eq!(open(libc::O_NOATIME, true).await? & all, noatime);
    Ok(())
}

#[corering::test]
async fn answers_from_memory_are_those_of_a_disk() -> io::Result<()> {
    let folder = Folder::new();
    learn(&folder).await?;
    let (path, link) = (folder.file("file", b"text"), folder.0.join("link"));
    std::os::unix::fs::symlink("file", &link)?;
    for _ in 0..2 {
        assert_eq!(File::open(&link).await?.metadata().await?.len(), 4);
        assert!(corering::fs::symlink_metadata(&link).await?.is_symlink());
        assert!(corering::fs::metadata(&link).await?.is_file());
        let mut options = OpenOptions::new();
        let refused = options.read(true).custom_flags(libc::O_NOFOLLOW).open(&link).await;
        assert_eq!(refused.expect_err("a link").raw_os_error(), Some(libc::ELOOP));
        let refused = options.custom_flags(libc::O_DIRECTORY).open(&path).await;
        assert_eq!(refused.expect_err("no folder").raw_os_error(), Some(libc::ENOTDIR));
        let refused = OpenOptions::new().write(true).open(&folder.0).await;
        assert_eq!(refused.expect_err("a folder").raw_os_error(), Some(libc::EISDIR));
    }
    Ok(())
}

#[test]
fn file_that_was_written_is_closed_by_a_thread() {
    on_epoll("file_that_was_written_is_closed_by_a_thread", || async {
        let folder = Folder::new();
        learn(&folder).await?;
        let path = folder.file("file", b"text");
        let file = OpenOptions::new().write(true).open(&path).await?;
        let jobs = jobs();
        file.close().await?;
        assert_eq!(jobs(), 1);
        Ok(())
    });
}

/// Runs a body on epoll alone.
fn on_epoll<B, F>(name: &str, body: B)
where
    B: Fn() -> F,
    F: Future<Output = io::Result<()>>,
{
    test_support::run(name, Some(Driver::Epoll), body);
}

/// Has it found out what the mount of a folder is of.
async fn learn(folder: &Folder) -> io::Result<()> {
    learn_at(&folder.0).await
}

async fn learn_at(path: &Path) -> io::Result<()> {
    corering::fs::metadata(path).await.map(drop)
}

/// How many jobs go to the pool from now on.
fn jobs() -> impl Fn() -> u64 {
    let before = corering::metrics().pool_jobs;
    move || corering::metrics().pool_jobs - before
}

fn thread_names() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").expect("proc is mounted");
    let name = |task: io::Result<fs::DirEntry>| {
        fs::read_to_string(task.expect("proc lists").path().join("comm")).ok()
    };
    tasks.filter_map(name).collect()
}

/// What the file system can read and write from memory: not every one can.
struct Abilities {
    read: bool,
    write: bool,
}

impl Abilities {
    fn of(path: &Path) -> Self {
        let file = fs::File::options().read(true).write(true).open(path).expect("it is there");
        let mut byte = 7_u8;
        let part = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
        let (fd, now) = (file.as_raw_fd(), libc::RWF_NOWAIT);
        // SAFETY: the one part is a local.
        let read = unsafe { libc::preadv2(fd, &raw const part, 1, 0, now) } == 1;
        // SAFETY: as above.
        let write = unsafe { libc::pwritev2(fd, &raw const part, 1, 0, now) } == 1;
        Abilities { read, write }
    }
}

/// A folder that goes away with what is in it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("from-memory-{}-{number}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).expect("a folder can be made");
        Folder(path)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, bytes).expect("a file can be made");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
