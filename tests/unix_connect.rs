//! Connecting to Unix sockets whose backlog is full.

#[path = "common/child.rs"]
mod child;
#[allow(dead_code)] // Each test file uses a part.
#[path = "common/net.rs"]
mod net;

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use child::Child;
use corering::net::{UnixListener, UnixStream};
use corering::time::within;
use futures_util::FutureExt;
use futures_util::future::FusedFuture;
use net::nothing_is_in_flight;
use socket2::{Domain, SockAddr, Socket, Type};

/// A listener whose backlog is full, and what fills it.
struct Full {
    listener: UnixListener,
    path: PathBuf,
    _clients: Vec<Socket>,
    held: usize,
}

impl Full {
    fn new(name: &str) -> io::Result<Full> {
        let name = format!("corering-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_file(&path);
        let address = SockAddr::unix(&path)?;
        let listener = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        listener.bind(&address)?;
        listener.listen(2)?;
        let mut clients = Vec::new();
        loop {
            let client = Socket::new(Domain::UNIX, Type::STREAM, None)?;
            client.set_nonblocking(true)?;
            match client.connect(&address) {
                Ok(()) => clients.push(client),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        let held = clients.len();
        Ok(Full { listener: OwnedFd::from(listener).into(), path, _clients: clients, held })
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Threads that the kernel has made for what it could not do at once.
fn kernel_workers() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("it is there");
    let names =
        tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with("iou-wrk")).count()
}

const CONNECTS: usize = 64;

#[test]
fn connects_to_full_backlog_hold_no_thread_and_succeed_later() {
    const TEST: &str = "connects_to_full_backlog_hold_no_thread_and_succeed_later";
    if !child::is_child() {
        return Child::of(TEST).passes();
    }
    corering::test_support::run(TEST, None, || async {
        let full = Full::new("full")?;
        let connects: Vec<_> = (0..CONNECTS)
            .map(|_| corering::spawn(UnixStream::connect(full.path.clone())))
            .collect();
        // Each has begun to wait, whichever way it waits.
        for _ in 0..10 {
            corering::time::sleep(Duration::from_millis(5)).await;
            assert_eq!(kernel_workers(), 0);
        }
        assert!(connects.iter().all(|connect| !connect.is_finished()));
        for _ in 0..full.held {
            drop(full.listener.accept().await?);
        }
        for _ in 0..CONNECTS {
            drop(full.listener.accept().await?);
        }
        for connect in connects {
            drop(connect.await.expect("it does not panic")?);
        }
        drop(full);
        nothing_is_in_flight().await;
        io::Result::Ok(())
    });
}

#[corering::test]
async fn connect_that_waits_for_room_carries_bytes_when_there_is_some() -> io::Result<()> {
    let full = Full::new("room")?;
    let connect = corering::spawn(UnixStream::connect(full.path.clone()));
    corering::yield_now().await;
    for _ in 0..full.held {
        drop(full.listener.accept().await?);
    }
    let mut client = connect.await.expect("it does not panic")?;
    let mut server = full.listener.accept().await?;
    server.write_all("hello").await?;
    assert_eq!(&*client.recv().await?, b"hello");
    let sent = client.write_all("again").await?;
    assert_eq!(server.read_exact(Vec::with_capacity(5), 5).await?, sent.as_bytes());
    Ok(())
}

#[corering::test]
async fn connect_that_waits_for_room_can_be_given_up() -> io::Result<()> {
    let full = Full::new("given-up")?;
    let limit = Duration::from_millis(3);
    let given_up = corering::time::timeout(limit, UnixStream::connect(full.path.clone())).await;
    assert!(given_up.is_err(), "there was no room");
    nothing_is_in_flight().await;
    assert_eq!(corering::metrics().timers, 0);
    Ok(())
}

#[corering::test]
async fn connect_that_waits_for_room_ends_with_its_limit() -> io::Result<()> {
    let full = Full::new("limit")?;
    let limited = within(Duration::from_millis(3), UnixStream::connect(full.path.clone())).await;
    assert_eq!(limited.expect_err("there is no room").kind(), io::ErrorKind::TimedOut);
    nothing_is_in_flight().await;
    assert_eq!(corering::metrics().timers, 0);
    let mut connect = UnixStream::connect(full.path.clone());
    assert!((&mut connect).now_or_never().is_none() && !connect.is_terminated());
    for _ in 0..full.held {
        drop(full.listener.accept().await?);
    }
    (&mut connect).await?;
    assert!(connect.is_terminated());
    Ok(())
}

#[corering::test]
async fn connect_to_nobody_is_an_error_at_once() -> io::Result<()> {
    let full = Full::new("nobody")?;
    let path = full.path.clone();
    let missing = UnixStream::connect(path.with_extension("missing")).await;
    assert_eq!(missing.expect_err("no such file").kind(), io::ErrorKind::NotFound);
    let left = path.with_extension("left");
    drop(std::os::unix::net::UnixListener::bind(&left)?);
    let refused = UnixStream::connect(&left).await.expect_err("nobody listens");
    std::fs::remove_file(left)?;
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    Ok(())
}
