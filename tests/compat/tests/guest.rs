//! `corering::compat::tokio::Guest`: what needs tokio's runtime, awaited in tasks of corering's.

#[allow(dead_code)] // A part of it is used.
#[path = "../../common/net.rs"]
mod net;

use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::io;
use std::num::NonZero;
use std::rc::Rc;
use std::task::Poll;
use std::thread::available_parallelism;
use std::time::Duration;

use corering::compat::tokio::Guest;
use corering::{Runtime, ShardFailure, spawn, test_support};
use futures_util::future::{join_all, try_join_all};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

/// Long enough for any machine, and never waited for to its end.
const LONG: Duration = Duration::from_secs(3_600);

#[corering::test]
async fn fifty_sockets_of_tokio_are_served_by_tasks() -> io::Result<()> {
    let guest = Guest::new()?;
    let _tokio = guest.enter();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = spawn(async move {
        let mut served = Vec::new();
        for _ in 0..50 {
            let (mut stream, _) = listener.accept().await?;
            served.push(spawn(async move {
                let (mut reader, mut writer) = stream.split();
                tokio::io::copy(&mut reader, &mut writer).await
            }));
        }
        let counts = try_join_all(served).await.expect("no panic");
        counts.into_iter().sum::<io::Result<u64>>()
    });
    let clients = (0..50_u8).map(|number| {
        spawn(async move {
            let mut stream = TcpStream::connect(address).await?;
            let sent = vec![number; 10_000];
            stream.write_all(&sent).await?;
            stream.shutdown().await?;
            let mut received = Vec::new();
            stream.read_to_end(&mut received).await?;
            assert!(received == sent, "client {number} got other bytes");
            Ok::<(), io::Error>(())
        })
    });
    for client in join_all(clients).await {
        client.expect("no panic")?;
    }
    assert_eq!(server.await.expect("no panic")?, 500_000);
    Ok(())
}

#[corering::test]
async fn timers_of_tokio_end_in_the_order_of_their_deadlines() -> io::Result<()> {
    let guest = Guest::new()?;
    let _tokio = guest.enter();
    let order = Rc::new(Cell::new(String::new()));
    let sleeps = [("c", 30), ("a", 1), ("b", 15)].map(|(name, millis)| {
        let order = order.clone();
        spawn(async move {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            order.set(order.take() + name);
        })
    });
    try_join_all(sleeps).await.expect("no panic");
    assert_eq!(order.take(), "abc");
    let limited = tokio::time::timeout(Duration::from_millis(1), pending::<()>()).await;
    assert!(limited.is_err(), "nothing else could end it");
    Ok(())
}

#[corering::test]
async fn processes_of_tokio_are_waited_for() -> io::Result<()> {
    let guest = Guest::new()?;
    let _tokio = guest.enter();
    let output = tokio::process::Command::new("echo").arg("from a child").output().await?;
    assert_eq!(output.stdout, b"from a child\n");
    let mut cat = tokio::process::Command::new("cat");
    let mut cat = cat
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    cat.stdin.take().expect("it is piped").write_all(b"through a pipe").await?;
    let mut text = String::new();
    cat.stdout.take().expect("it is piped").read_to_string(&mut text).await?;
    assert_eq!(text, "through a pipe");
    assert!(cat.wait().await?.success());
    Ok(())
}

#[corering::test]
async fn files_of_tokio_are_written_and_read() -> io::Result<()> {
    let guest = Guest::new()?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("file");
    let task = spawn(guest.run(async move {
        tokio::fs::write(&path, "text").await?;
        tokio::fs::read_to_string(&path).await
    }));
    assert_eq!(task.await.expect("no panic")?, "text");
    Ok(())
}

#[corering::test]
async fn channels_lead_to_tasks_of_tokio_and_back() -> io::Result<()> {
    let guest = Guest::new()?;
    let (to_tokio, mut numbers) = mpsc::channel::<u32>(4);
    let (answers, mut from_tokio) = mpsc::channel(4);
    let doubling = guest.handle().spawn(async move {
        while let Some(number) = numbers.recv().await {
            answers.send(2 * number).await.expect("the receiver lives");
        }
    });
    let sending = spawn(async move {
        for number in 0..1_000 {
            to_tokio.send(number).await.expect("the receiver lives");
        }
    });
    let mut expected = (0..1_000).map(|number| 2 * number);
    while let Some(answer) = from_tokio.recv().await {
        assert_eq!(Some(answer), expected.next());
    }
    assert_eq!(expected.next(), None);
    sending.await.expect("no panic");
    doubling.await.expect("no panic");
    Ok(())
}

#[corering::test]
async fn only_the_future_that_it_runs_sees_tokio() -> io::Result<()> {
    let guest = Guest::new()?;
    let (go, waits) = oneshot::channel();
    let inside = spawn(guest.run(async move {
        assert!(Handle::try_current().is_ok());
        waits.await.expect("it is sent");
        tokio::time::sleep(Duration::from_millis(1)).await;
        Handle::try_current().is_ok()
    }));
    let outside = spawn(async move {
        assert!(Handle::try_current().is_err());
        go.send(()).expect("it waits");
    });
    outside.await.expect("no panic");
    assert!(inside.await.expect("no panic"));
    assert!(Handle::try_current().is_err());
    Ok(())
}

/// Tells whether tokio is there when it is dropped.
struct OnDrop(Rc<Cell<Option<bool>>>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.set(Some(Handle::try_current().is_ok()));
    }
}

#[corering::test]
async fn what_a_future_held_is_dropped_inside_of_tokio() -> io::Result<()> {
    let guest = Guest::new()?;
    for ends in [true, false] {
        let seen = Rc::new(Cell::new(None));
        let held = OnDrop(seen.clone());
        let mut hosted = Box::pin(guest.run(async move {
            let _held = held;
            if !ends {
                pending::<()>().await;
            }
        }));
        let polled = poll_fn(|cx| Poll::Ready(hosted.as_mut().poll(cx))).await;
        assert_eq!(polled.is_ready(), ends);
        drop(hosted);
        assert_eq!(seen.get(), Some(true));
    }
    Ok(())
}

#[corering::test]
async fn guest_that_ends_before_its_tasks_ends_their_waits() -> io::Result<()> {
    let guest = Guest::new()?;
    let (one, other) = std::os::unix::net::UnixStream::pair()?;
    one.set_nonblocking(true)?;
    let reading = spawn(guest.run(async move {
        let mut stream = UnixStream::from_std(one)?;
        stream.read_u8().await
    }));
    let sleeping = spawn(guest.run(async { tokio::time::sleep(LONG).await }));
    let joining = spawn(guest.handle().spawn(pending::<()>()));
    let (held, lost) = oneshot::channel::<()>();
    drop(guest.handle().spawn(async move {
        let _held = held;
        pending::<()>().await;
    }));
    // All wait.
    for _ in 0..3 {
        corering::yield_now().await;
    }
    assert!(!reading.is_finished() && !sleeping.is_finished() && !joining.is_finished());
    drop(guest);
    let error = reading.await.expect("no panic").expect_err("nobody watches the socket");
    assert!(error.to_string().contains("shutdown"), "{error}");
    assert!(sleeping.await.expect_err("a timer has no error to give").is_panic());
    let joined = joining.await.expect("no panic");
    assert!(joined.expect_err("it was dropped").is_cancelled());
    assert!(lost.await.is_err(), "its sender was dropped with its task");
    drop(other);
    Ok(())
}

#[corering::test]
async fn guest_that_is_dropped_waits_for_no_blocking_call() -> io::Result<()> {
    let guest = Guest::new()?;
    let (go, blocks) = std::sync::mpsc::channel::<()>();
    let (begun, begins) = oneshot::channel();
    let (ended, ends) = oneshot::channel();
    drop(guest.handle().spawn_blocking(move || {
        begun.send(()).expect("it is waited for");
        let _ = blocks.recv();
        ended.send(()).expect("it is waited for");
    }));
    begins.await.expect("it begins");
    drop(guest);
    go.send(()).expect("it still runs");
    ends.await.expect("it goes on to its end");
    Ok(())
}

#[corering::test]
async fn end_that_is_waited_for_drops_spawned_tasks() -> io::Result<()> {
    let guest = Guest::new()?;
    let dropped = std::sync::Arc::new(());
    let held = dropped.clone();
    drop(guest.handle().spawn(async move {
        let _held = held;
        pending::<()>().await;
    }));
    guest.shut_down(LONG);
    assert_eq!(std::sync::Arc::strong_count(&dropped), 1);
    Ok(())
}

#[corering::test]
async fn panics_beside_tokio_stay_in_their_task() -> io::Result<()> {
    let guest = Guest::new()?;
    let inside = spawn(guest.run(async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        panic!("in a task of corering's");
    }));
    assert!(inside.await.expect_err("it panics").is_panic());
    assert!(Handle::try_current().is_err(), "the unwinding has left tokio");
    let spawned = guest.handle().spawn(async { panic!("in a task of tokio's") });
    assert!(spawned.await.expect_err("it panics").is_panic());
    // Both runtimes go on.
    let after = spawn(guest.run(async { tokio::spawn(async { 7 }).await }));
    assert_eq!(after.await.expect("no panic")?, 7);
    Ok(())
}

#[corering::test]
async fn runtime_with_other_settings_is_a_guest_too() -> io::Result<()> {
    let threads =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let guest = Guest::from(threads?);
    let mut set = JoinSet::new();
    for number in 0..100 {
        set.spawn_on(async move { number }, guest.handle());
    }
    assert_eq!(set.join_all().await.into_iter().sum::<u32>(), 4_950);
    Ok(())
}

#[test]
fn every_shard_enters_the_same_guest() {
    for driver in test_support::drivers() {
        let guest = Guest::new().expect("a thread can be had");
        let builder = Runtime::builder().driver(driver).shards(2).oversubscribe(true);
        let outputs = builder.on_shard_failure(ShardFailure::End).try_run(async |shard| {
            let _tokio = guest.enter();
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let address = listener.local_addr()?;
            let client = spawn(async move {
                let mut stream = TcpStream::connect(address).await?;
                stream.write_u8(7).await?;
                tokio::time::sleep(Duration::from_millis(1)).await;
                stream.read_u8().await
            });
            let (mut stream, _) = listener.accept().await?;
            let received = stream.read_u8().await?;
            stream.write_u8(received + shard.id() as u8).await?;
            client.await.expect("no panic")
        });
        assert_eq!(outputs.map_err(|error: io::Error| error.to_string()), Ok(vec![7, 8]));
    }
}

#[test]
fn tokio_entered_around_a_runtime_outlives_its_tasks() {
    for driver in test_support::drivers() {
        let guest = Guest::new().expect("a thread can be had");
        let _tokio = guest.enter();
        let runtime = Runtime::builder().driver(driver).build().expect("the driver was asked for");
        let seen = Rc::new(Cell::new(None));
        let held = OnDrop(seen.clone());
        runtime.block_on(async {
            drop(spawn(async move {
                let _held = held;
                pending::<()>().await;
            }));
        });
        drop(runtime);
        assert_eq!(seen.get(), Some(true));
    }
}

#[test]
fn threads_of_a_guest_have_all_processors_beside_a_pinned_shard() {
    let processors = || available_parallelism().map_or(0, NonZero::get);
    let all = processors();
    for driver in test_support::drivers() {
        let guest = Guest::new().expect("a thread can be had");
        let outputs = Runtime::builder().driver(driver).run(async |_shard| {
            let here = processors();
            let _tokio = guest.enter();
            let spawned = tokio::spawn(async move { processors() }).await;
            let blocking = tokio::task::spawn_blocking(processors).await;
            (here, spawned.expect("no panic"), blocking.expect("no panic"))
        });
        assert_eq!(outputs.expect("one shard starts"), [(1, all, all)]);
    }
}
