//! A program of a fraction of a second that uses everything and verifies what it gets.

use std::fs::Permissions;
use std::future::Future;
use std::io;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use corering::fs::{self, Advice, Dir, File, OpenOptions};
use corering::net::{TcpListener, TcpStream, UdpSocket, UnixListener, UnixStream};
use corering::process::Command;
use corering::{Driver, Runtime, signal, spawn, spawn_blocking, time};

/// What cannot be had without one system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lacks {
    /// Room that is reserved on a disk.
    Room,
    /// Pages that are read ahead.
    Prefetch,
    /// A part of a file that is written to the disk.
    SyncedRange,
    /// Locks of files.
    Locks,
    /// Times of files that are set.
    Times,
    /// Connections that are accepted.
    Connections,
}

/// Uses everything on a runtime of one shard. What is lacking has to fail with this error number.
///
/// # Panics
///
/// If anything is not as it should be, or if waiting takes more rounds than there is to wait for.
pub(crate) fn use_everything(runtime: &Runtime, lacks: Option<(Lacks, i32)>) {
    let folder = Folder::new();
    let path = folder.0.clone();
    runtime.block_on(async move {
        if !use_files(&path, lacks).await.expect("files work") {
            return;
        }
        use_beneath(&path).await.expect("files below a folder work");
        use_pipe().await.expect("pipes work as files");
        waits_without_turning(time::sleep(Duration::from_millis(20))).await;
        let mut interval = time::interval(Duration::from_millis(2));
        for _ in 0..3 {
            interval.tick().await;
        }
        assert_eq!(spawn_blocking(|| 6 * 7).await.expect("it does not panic"), 42);
        use_sockets(&path, lacks).await.expect("sockets work");
        use_processes().await.expect("processes work");
        // One that handles the signal before it comes.
        let mut stopped = signal::terminate();
        assert!(futures_util::poll!(&mut stopped).is_pending());
        // SAFETY: the call takes a number.
        assert_eq!(unsafe { libc::raise(libc::SIGTERM) }, 0);
        stopped.await.expect("the handler is installed");
    });
}

/// A pipe that came from outside, as two files.
async fn use_pipe() -> io::Result<()> {
    let (reader, writer) = io::pipe()?;
    let (reader, writer) = (OwnedFd::from(reader), OwnedFd::from(writer));
    let (reader, writer) = (File::from(reader), File::from(writer));
    let reads = spawn(async move { reader.read_at(Vec::with_capacity(8), 0).await });
    corering::yield_now().await;
    writer.write_at("piped", 0).await.map_err(io::Error::from)?;
    let (count, bytes) = reads.await.expect("it does not panic").map_err(io::Error::from)?;
    assert_eq!((count, &bytes[..]), (5, &b"piped"[..]));
    Ok(())
}

/// Processes that end, are signalled, and are dropped.
async fn use_processes() -> io::Result<()> {
    let mut shell = Command::new("/bin/sh");
    let mut child = shell.args(["-c", "exit 5"]).spawn().await?;
    assert_eq!(child.wait().await?.code(), Some(5));
    assert!(child.start_kill().is_err(), "its number is free");
    let mut sleep = Command::new("sleep");
    sleep.arg("1000000").process_group(0).kill_on_drop(true);
    let mut child = sleep.spawn().await?;
    let limit = Duration::from_millis(20);
    let early = waits_without_turning(time::timeout(limit, child.wait())).await;
    early.expect_err("it goes on");
    child.signal_group(15)?;
    assert_eq!(child.wait().await?.signal(), Some(15));
    let mut child = sleep.spawn().await?;
    child.send_signal(9)?;
    assert_eq!(child.wait().await?.signal(), Some(9));
    let child = sleep.spawn().await?;
    let folder = PathBuf::from(format!("/proc/{}", child.id().expect("it goes on")));
    assert!(folder.exists());
    drop(child);
    while folder.exists() {
        time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

/// Two shards that talk to each other.
pub(crate) fn use_shards(driver: Driver) {
    let builder = Runtime::builder().driver(driver).shards(2).oversubscribe(true);
    let sums = builder.run(|shard| async move {
        let other = (shard.id() + 1) % shard.count();
        time::sleep(Duration::from_millis(1)).await;
        shard.submit_to(other, || async { 20 + 1 }).await.expect("the other serves")
    });
    assert_eq!(sums.expect("two shards start"), [21, 21]);
}

/// Lets a future wait, and counts what the shard does meanwhile.
async fn waits_without_turning<F: Future>(waiting: F) -> F::Output {
    let before = corering::metrics();
    let output = waiting.await;
    let after = corering::metrics();
    let (rounds, enters) = (after.rounds - before.rounds, after.enters - before.enters);
    assert!(rounds <= 8 && enters <= 8, "{rounds} rounds and {enters} visits for one wait");
    output
}

/// Whether something fails as it has to, and with nothing else.
#[track_caller]
fn is_had<T>(result: io::Result<T>, what: Lacks, lacks: Option<(Lacks, i32)>) -> io::Result<bool> {
    match (result, lacks) {
        (Err(error), Some((lacks, errno))) if lacks == what => {
            assert_eq!(error.raw_os_error(), Some(errno), "{what:?}: {error}");
            Ok(false)
        }
        (Ok(_), Some((lacks, _))) if lacks == what => panic!("{what:?} was had all the same"),
        (result, _) => result.map(|_| true),
    }
}

async fn use_files(folder: &Path, lacks: Option<(Lacks, i32)>) -> io::Result<bool> {
    let below = folder.join("below");
    fs::create_dir(&below).await?;
    let (path, renamed) = (below.join("file"), below.join("renamed"));
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).await?;
    file.write_all_at(vec![7; 5000], 0).await?;
    file.write_vectored_at(vec![vec![8; 10], vec![9; 10]], 5000).await?;
    file.sync_data().await?;
    file.sync_all().await?;
    if is_had(file.allocate(0, 6000).await, Lacks::Room, lacks)? {
        assert_eq!(file.metadata().await?.len(), 6000);
    }
    is_had(file.punch_hole(5500, 100).await, Lacks::Room, lacks)?;
    is_had(file.try_lock().map_err(io::Error::from), Lacks::Locks, lacks)?;
    is_had(file.lock_shared().await, Lacks::Locks, lacks)?;
    assert_eq!(file.seek_data(0).await?, Some(0));
    is_had(file.sync_range(0, 0).await, Lacks::SyncedRange, lacks)?;
    file.set_len(5020).await?;
    is_had(file.prefetch(0, 0).await, Lacks::Prefetch, lacks)?;
    is_had(file.advise(0, 0, Advice::DontNeed).await, Lacks::Prefetch, lacks)?;
    file.set_permissions(Permissions::from_mode(0o600)).await?;
    assert_eq!(file.metadata().await?.mode() & 0o777, 0o600);
    if is_had(file.set_modified(UNIX_EPOCH).await, Lacks::Times, lacks)? {
        assert_eq!(file.metadata().await?.modified(), UNIX_EPOCH);
    }
    let known = fs::metadata(&path).await?;
    let told = std::fs::metadata(&path)?;
    assert_same(&known, &told);
    assert_same(&file.metadata().await?, &told);
    assert_eq!(
        file.read_at(Vec::with_capacity(20), 4990).await?.1[..],
        [[7; 10], [8; 10]].concat()
    );
    let bufs = vec![Vec::with_capacity(10), Vec::with_capacity(10)];
    let (count, bufs) = file.read_vectored_at(bufs, 5000).await?;
    assert_eq!((count, &bufs[1][..]), (20, &[9; 10][..]));
    file.close().await?;
    std::os::unix::fs::symlink("renamed", below.join("link"))?;
    fs::rename(&path, &renamed).await?;
    assert!(fs::symlink_metadata(below.join("link")).await?.is_symlink());
    assert!(fs::exists(&renamed).await? && !fs::exists(&path).await?);
    assert_eq!(fs::read(&renamed).await?.len(), 5020);
    let error = File::open(&path).await.expect_err("it has another name");
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    use_copy(&renamed, &below.join("copy")).await?;
    fs::remove_file(below.join("link")).await?;
    fs::remove_file(&renamed).await?;
    fs::remove_dir(&below).await?;
    Ok(true)
}

/// A copy, of which a hole stays a hole.
async fn use_copy(from: &Path, to: &Path) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(from).await?;
    file.set_len(10 << 20).await?;
    file.write_all_at("behind the hole", 10 << 20).await?;
    let content = std::fs::read(from)?;
    assert_eq!(fs::copy(from, to).await?, content.len() as u64);
    assert!(std::fs::read(to)? == content && fs::metadata(to).await?.blocks() < 1000);
    assert_eq!(fs::copy("/proc/version", to).await?, std::fs::read("/proc/version")?.len() as u64);
    fs::remove_file(to).await?;
    file.set_len(5020).await
}

/// What `stat(2)` tells is the same by each way.
fn assert_same(known: &fs::Metadata, told: &std::fs::Metadata) {
    use std::os::unix::fs::MetadataExt;
    assert_eq!(
        (known.len(), known.mode(), known.ino(), known.dev(), known.nlink(), known.rdev()),
        (told.len(), told.mode(), told.ino(), told.dev(), told.nlink(), told.rdev())
    );
    assert_eq!(
        (known.uid(), known.gid(), known.blocks(), known.blksize()),
        (told.uid(), told.gid(), told.blocks(), told.blksize())
    );
    assert_eq!(known.modified(), told.modified().expect("Linux has it"));
    assert_eq!(known.accessed(), told.accessed().expect("Linux has it"));
    let changed = known.changed().duration_since(std::time::UNIX_EPOCH).expect("it is recent");
    assert_eq!(
        (changed.as_secs() as i64, i64::from(changed.subsec_nanos())),
        (told.ctime(), told.ctime_nsec())
    );
}

async fn use_beneath(folder: &Path) -> io::Result<()> {
    let (root, deep) = (folder.join("root"), folder.join("root/a/b"));
    std::fs::create_dir_all(&deep)?;
    std::fs::write(deep.join("file"), "within")?;
    std::fs::write(folder.join("secret"), "outside")?;
    let mut within = OpenOptions::new();
    within.read(true).resolve_beneath(&File::open(&root).await?);
    for path in ["a/b/file", "./a//b/file"] {
        assert_eq!(within.open(path).await?.read_to_end().await?, b"within", "{path}");
    }
    std::os::unix::fs::symlink("../secret", root.join("outward"))?;
    std::os::unix::fs::symlink("..", root.join("up"))?;
    for path in ["outward", "up/secret", "up/root/a/b/file"] {
        let error = within.open(path).await.expect_err("it is outside").raw_os_error();
        // Where the kernel does not watch, every link is refused.
        assert!(
            matches!(error, Some(libc::EXDEV | libc::ELOOP | libc::ENOTDIR)),
            "{path}: {error:?}"
        );
    }
    for path in ["../secret", "a/../../secret", "/etc/hostname", "/"] {
        let error = within.open(path).await.expect_err("it is outside");
        assert_eq!(error.raw_os_error(), Some(libc::EXDEV), "{path}");
    }
    let dir = Dir::open(&root).await?;
    dir.create_dir("a/new").await?;
    dir.hard_link("a/b/file", &dir, "a/new/second").await?;
    dir.rename("a/new/second", &dir, "second").await?;
    assert!(dir.metadata("second").await?.is_file() && dir.metadata("a/new").await?.is_dir());
    assert_eq!(dir.read_link("up").await?, Path::new(".."));
    assert!(dir.symlink_metadata("up").await?.is_symlink() && !dir.exists("a/none").await?);
    let mut entries = dir.read_dir("a/b").await?;
    let entry = entries.next_entry().await?.expect("it has a file");
    assert_eq!(entry.metadata().await?.len(), 6);
    dir.remove_dir_all("a/new").await?;
    fs::atomic_write(root.join("second"), "replaced").await?;
    assert_eq!(dir.read("second").await?, b"replaced");
    fs::tempfile_in(&root).await?.write_all_at("scratch", 0).await?;
    Ok(())
}

async fn use_sockets(folder: &Path, lacks: Option<(Lacks, i32)>) -> io::Result<()> {
    let (one, other) =
        (UdpSocket::bind("127.0.0.1:0").await?, UdpSocket::bind("127.0.0.1:0").await?);
    one.send_to("datagram", other.local_addr()?).await?;
    let (datagram, bytes) = other.recv_from(Vec::with_capacity(100)).await?;
    assert_eq!(&bytes[..datagram.len], b"datagram");
    let (mut one, mut other) = UnixStream::pair()?;
    one.write_all("pair").await?;
    assert_eq!(&*other.recv().await?, b"pair");

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let connecting = spawn(TcpStream::connect(address));
    let accepted = listener.accept().await;
    let client = connecting.await.expect("it does not panic")?;
    let Ok(server) = accepted else {
        return is_had(accepted, Lacks::Connections, lacks).map(drop);
    };
    let mut client = client;
    echo_and_send_file(folder, &mut client, server).await?;

    let path = folder.join("socket");
    let listener = UnixListener::bind(&path).await?;
    let connecting = spawn(UnixStream::connect(path));
    let mut server = listener.accept().await?;
    let mut client = connecting.await.expect("it does not panic")?;
    client.write_all("unix").await?;
    assert_eq!(&*server.recv().await?, b"unix");
    client.close().await?;
    assert!(server.recv().await?.is_empty());
    Ok(())
}

async fn echo_and_send_file(
    folder: &Path,
    client: &mut TcpStream,
    mut server: TcpStream,
) -> io::Result<()> {
    let path = folder.join("sent");
    let content: Vec<u8> = (0..200_000_u32).map(|n| (n / 7) as u8).collect();
    fs::write(&path, content.clone()).await?;
    let serving = spawn(async move {
        for _ in 0..3 {
            let received = server.recv().await?;
            server.write_all(received).await?;
        }
        let file = File::open(path).await?;
        let (sent, _) = server.send_file_after("head", &file, 0, u64::MAX).await?;
        server.shutdown(Shutdown::Write).await?;
        io::Result::Ok(sent)
    });
    for _ in 0..3 {
        client.write_all("echo").await?;
        // After the last the file follows, which is sent as soon as it is open.
        assert_eq!(client.read_exact(Vec::with_capacity(4), 4).await?, b"echo");
    }
    let mut got = Vec::new();
    loop {
        let received = client.recv().await?;
        if received.is_empty() {
            break;
        }
        got.extend_from_slice(&received);
    }
    assert_eq!(serving.await.expect("it does not panic")?, content.len() as u64);
    assert!(got.strip_prefix(b"head") == Some(&content[..]), "{} bytes came", got.len());
    Ok(())
}

/// A folder that goes away with what is in it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let name = format!("everything-{}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a folder can be made");
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
