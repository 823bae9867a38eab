//! Servers that end gracefully: what becomes of the listener and of each connection, and what the report
//! says of them.

#[path = "common/child.rs"]
mod child;
#[allow(dead_code)] // Each test file uses a part.
#[path = "common/net.rs"]
mod net;

use std::cell::Cell;
use std::future::{IntoFuture, pending};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

use child::Child;
use corering::net::{ByteStream, Family, Listener, TcpStream, UnixListener, UnixStream};
use corering::net::{ServeReport, bind_shards, serve};
use corering::sync::Notify;
use corering::task::{CancelHandle, CancelToken, JoinHandle};
use corering::test_support::run_configured;
use corering::time::Duration;
use corering::{Runtime, spawn};
use futures_util::future::LocalBoxFuture;
use net::{listener, nothing_is_in_flight, until, until_metrics};
use socket2::SockRef;

type Connect<F> = Rc<dyn Fn() -> LocalBoxFuture<'static, io::Result<ByteStream<F>>>>;

/// A listener, and how a client comes to it.
struct Place<F> {
    listener: Listener<F>,
    connect: Connect<F>,
}

type Tcp = corering::net::Tcp;
type Unix = corering::net::Unix;

async fn tcp() -> io::Result<Place<Tcp>> {
    let (listener, address) = listener().await?;
    Ok(Place { listener, connect: Rc::new(move || Box::pin(TcpStream::connect(address))) })
}

async fn unix() -> io::Result<Place<Unix>> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("corering-serving-{}-{number}", std::process::id());
    let path = Removed(std::env::temp_dir().join(name));
    // What a process of the same number has left, if it was killed.
    let _ = std::fs::remove_file(&path.0);
    let listener = UnixListener::bind(&path.0).await?;
    let connect = move || -> LocalBoxFuture<'static, _> {
        let path = path.0.clone();
        Box::pin(async move { UnixStream::connect(&path).await })
    };
    Ok(Place { listener, connect: Rc::new(connect) })
}

/// A file that is removed with it.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

type Server = JoinHandle<io::Result<ServeReport>>;

/// Echoes until the client or the server ends.
async fn echo<F: Family>(mut stream: ByteStream<F>, stop: CancelToken) -> io::Result<()> {
    while let Ok(received) = stop.run(stream.recv()).await {
        let received = received?;
        if received.is_empty() {
            break;
        }
        stream.write_all(received).await?;
    }
    stream.close().await
}

/// Keeps a connection for ever.
async fn hold<F: Family>(_stream: ByteStream<F>) -> io::Result<()> {
    pending().await
}

async fn exchange<F: Family>(client: &mut ByteStream<F>) -> io::Result<()> {
    client.write_all("hello").await?;
    assert_eq!(client.recv().await?, "hello");
    Ok(())
}

/// Whether the connection is at its end, which whoever closes it with bytes unread says by a reset.
async fn has_ended<F: Family>(client: &mut ByteStream<F>) -> bool {
    client.recv().await.map_or(true, |received| received.is_empty())
}

fn counts(report: ServeReport) -> [u64; 5] {
    let ServeReport { accepted, finished, failed, panicked, aborted, .. } = report;
    [accepted, finished, failed, panicked, aborted]
}

/// Adds one for as long as it lives.
struct Counted(Rc<Cell<usize>>);

impl Counted {
    fn new(count: &Rc<Cell<usize>>) -> Self {
        count.set(count.get() + 1);
        Counted(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

async fn ends_with_its_token<F: Family>(place: Place<F>) -> io::Result<()> {
    let stop = CancelToken::new();
    let server = serve(place.listener, echo).token(stop.clone()).grace(Duration::MAX);
    let server: Server = spawn(server.into_future());
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = (place.connect)().await?;
        exchange(&mut client).await?;
        clients.push(client);
    }
    // One leaves before, and the others are idle.
    drop(clients.pop());
    stop.cancel();
    assert_eq!(counts(server.await??), [3, 3, 0, 0, 0]);
    for mut client in clients {
        assert!(client.recv().await?.is_empty());
    }
    Ok(())
}

#[corering::test]
async fn idle_connections_end_with_the_token() -> io::Result<()> {
    ends_with_its_token(tcp().await?).await?;
    ends_with_its_token(unix().await?).await
}

async fn answers_what_has_begun<F: Family>(place: Place<F>) -> io::Result<()> {
    let (asked, may_answer) = (Rc::new(Cell::new(false)), Rc::new(Notify::new()));
    let handler = {
        let (asked, may_answer) = (asked.clone(), may_answer.clone());
        move |mut stream: ByteStream<F>, _stop| {
            let (asked, may_answer) = (asked.clone(), may_answer.clone());
            async move {
                stream.recv().await?;
                asked.set(true);
                may_answer.notified().await;
                stream.write_all("answer").await?;
                stream.close().await
            }
        }
    };
    let signal = Rc::new(Notify::new());
    let end = {
        let signal = signal.clone();
        async move {
            signal.notified().await;
            Ok(())
        }
    };
    let server: Server = spawn(serve(place.listener, handler).until(end).into_future());
    let mut client = (place.connect)().await?;
    client.write_all("question").await?;
    until(|| asked.get()).await;
    signal.notify_one();
    // The listener is closed while the connection goes on.
    while (place.connect)().await.is_ok() {}
    assert!(!server.is_finished());
    may_answer.notify_one();
    assert_eq!(client.recv().await?, "answer");
    assert!(client.recv().await?.is_empty());
    let report = server.await??;
    assert_eq!((report.finished, report.aborted, report.failed), (report.accepted, 0, 0));
    Ok(())
}

#[corering::test]
async fn answers_that_have_begun_are_sent_after_the_end() -> io::Result<()> {
    answers_what_has_begun(tcp().await?).await
}

#[corering::test]
async fn connections_that_ignore_the_token_are_aborted_and_gone() -> io::Result<()> {
    for grace in [Duration::ZERO, Duration::from_millis(2)] {
        let place = tcp().await?;
        let (stop, alive) = (CancelToken::new(), Rc::new(Cell::new(0)));
        let (counted, mut number) = (alive.clone(), 0);
        let handler = move |stream: TcpStream, stop| {
            let counted = Counted::new(&counted);
            number += 1;
            let heeds_it = number % 2 == 0;
            async move {
                let _counted = counted;
                if heeds_it { echo(stream, stop).await } else { hold(stream).await }
            }
        };
        let server = serve(place.listener, handler).token(stop.clone()).grace(grace);
        let server: Server = spawn(server.into_future());
        let mut clients = Vec::new();
        for _ in 0..4 {
            clients.push((place.connect)().await?);
        }
        until(|| alive.get() == 4).await;
        stop.cancel();
        let report = server.await??;
        assert_eq!(alive.get(), 0, "futures of connections are left");
        assert_eq!(report.accepted, 4);
        assert_eq!(report.finished + report.aborted, 4, "{report}");
        assert!(report.aborted >= 2, "{report}");
        for client in &mut clients {
            assert!(has_ended(client).await);
        }
    }
    Ok(())
}

#[corering::test]
async fn failed_and_panicked_connections_end_no_other() -> io::Result<()> {
    let place = tcp().await?;
    let stop = CancelToken::new();
    let mut number = 0;
    let handler = move |stream, stop| {
        number += 1;
        let kind = number;
        assert_ne!(kind, 2, "a panic before the future");
        async move {
            match kind {
                3 => panic!("a panic in the future"),
                4 => Err(io::Error::other("an error")),
                5 => Err(io::Error::other(PanicsInItsDrop)),
                _ => echo(stream, stop).await,
            }
        }
    };
    let server: Server = spawn(serve(place.listener, handler).token(stop.clone()).into_future());
    let mut first = (place.connect)().await?;
    exchange(&mut first).await?;
    for _ in 2..=5 {
        assert!(has_ended(&mut (place.connect)().await?).await);
    }
    exchange(&mut first).await?;
    exchange(&mut (place.connect)().await?).await?;
    stop.cancel();
    assert_eq!(counts(server.await??), [6, 2, 2, 2, 0]);
    Ok(())
}

#[derive(Debug)]
struct PanicsInItsDrop;

impl Drop for PanicsInItsDrop {
    fn drop(&mut self) {
        panic!("a panic in the drop of an error");
    }
}

impl std::fmt::Display for PanicsInItsDrop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("it panics when it is dropped")
    }
}

impl std::error::Error for PanicsInItsDrop {}

async fn keeps_its_limit<F: Family>(place: Place<F>) -> io::Result<()> {
    let (stop, alive) = (CancelToken::new(), Rc::new(Cell::new(0)));
    let most = Rc::new(Cell::new(0));
    let handler = {
        let (alive, most) = (alive.clone(), most.clone());
        move |stream, stop| {
            let counted = Counted::new(&alive);
            most.set(most.get().max(alive.get()));
            async move {
                let _counted = counted;
                echo(stream, stop).await
            }
        }
    };
    let server = serve(place.listener, handler).token(stop.clone()).max_connections(2);
    let server: Server = spawn(server.into_future());
    let mut clients = Vec::new();
    for _ in 0..8 {
        let mut client = (place.connect)().await?;
        client.write_all("hello").await?;
        clients.push(client);
    }
    // Each that leaves makes room for the next.
    for mut client in clients.drain(..4) {
        assert_eq!(client.recv().await?, "hello");
    }
    for client in &mut clients[..2] {
        assert_eq!(client.recv().await?, "hello");
    }
    assert_eq!((alive.get(), most.get()), (2, 2));
    // The stop comes at the limit: the others are closed unserved.
    stop.cancel();
    assert_eq!(counts(server.await??), [6, 6, 0, 0, 0]);
    for client in &mut clients {
        assert!(has_ended(client).await);
    }
    Ok(())
}

#[corering::test]
async fn limit_of_connections_is_kept_until_the_end() -> io::Result<()> {
    keeps_its_limit(tcp().await?).await?;
    keeps_its_limit(unix().await?).await
}

#[corering::test]
async fn server_that_is_full_of_waiting_clients_ends() -> io::Result<()> {
    let place = tcp().await?;
    let mut clients = Vec::new();
    for _ in 0..300 {
        clients.push((place.connect)().await?);
    }
    // It is to end before it has accepted any.
    let server = serve(place.listener, echo).until(async { Ok(()) }).await?;
    assert_eq!(server.finished, server.accepted, "{server}");
    assert!(server.accepted < 300, "it goes on for as long as clients come");
    for client in &mut clients {
        assert!(has_ended(client).await);
    }
    Ok(())
}

#[corering::test]
async fn dropped_server_closes_its_listener_and_its_connections() -> io::Result<()> {
    let place = tcp().await?;
    let (stop, alive) = (CancelToken::new(), Rc::new(Cell::new(0)));
    let counted = alive.clone();
    let handler = move |stream, stop| {
        let counted = Counted::new(&counted);
        async move {
            let _counted = counted;
            echo(stream, stop).await
        }
    };
    let server = serve(place.listener, handler).token(stop.clone());
    let server: Server = spawn(server.into_future());
    let mut clients = [(place.connect)().await?, (place.connect)().await?];
    for client in &mut clients {
        exchange(client).await?;
    }
    server.abort();
    assert!(server.await.expect_err("it was aborted").is_cancelled());
    for client in &mut clients {
        assert!(has_ended(client).await);
    }
    while (place.connect)().await.is_ok() {}
    assert_eq!((alive.get(), stop.is_cancelled()), (0, false));
    Ok(())
}

#[corering::test]
async fn error_of_the_signal_is_returned_when_all_have_ended() -> io::Result<()> {
    let place = tcp().await?;
    let (signal, alive) = (Rc::new(Notify::new()), Rc::new(Cell::new(0)));
    let end = {
        let signal = signal.clone();
        async move {
            signal.notified().await;
            Err(io::Error::other("no signal can be had"))
        }
    };
    let counted = alive.clone();
    let handler = move |stream, stop| {
        let counted = Counted::new(&counted);
        async move {
            let _counted = counted;
            echo(stream, stop).await
        }
    };
    let server = serve(place.listener, handler).until(end).grace(Duration::MAX);
    let server: Server = spawn(server.into_future());
    let mut client = (place.connect)().await?;
    exchange(&mut client).await?;
    signal.notify_one();
    let error = server.await?.expect_err("the signal has failed");
    assert_eq!((error.to_string().as_str(), alive.get()), ("no signal can be had", 0));
    assert!(client.recv().await?.is_empty());
    Ok(())
}

#[corering::test]
async fn error_of_the_listener_is_returned_when_all_have_ended() -> io::Result<()> {
    let place = tcp().await?;
    let shared: OwnedFd = place.listener.as_fd().try_clone_to_owned()?;
    let server = serve(place.listener, echo).grace(Duration::MAX);
    let server: Server = spawn(server.into_future());
    let mut client = (place.connect)().await?;
    exchange(&mut client).await?;
    SockRef::from(&shared).shutdown(std::net::Shutdown::Both)?;
    let error = server.await?.expect_err("the socket does not listen any more");
    assert_eq!(error.raw_os_error(), Some(libc::EINVAL), "{error}");
    assert!(client.recv().await?.is_empty());
    Ok(())
}

#[test]
fn server_without_descriptors_pauses_serves_and_ends() {
    const TEST: &str = "server_without_descriptors_pauses_serves_and_ends";
    if !child::is_child() {
        return Child::of(TEST).limit(libc::RLIMIT_NOFILE, 64).passes();
    }
    run_configured(
        TEST,
        None,
        |builder| builder,
        async || {
            let (listener, address) = listener().await?;
            let stop = CancelToken::new();
            let server: Server = spawn(serve(listener, echo).token(stop.clone()).into_future());
            // The clients take every descriptor before the server gets one, so that it lacks one
            // however many this process was started with.
            let open = || -> Vec<_> {
                std::iter::from_fn(|| std::net::TcpStream::connect(address).ok()).collect()
            };
            let first = open();
            until_metrics(|metrics| metrics.accept_pauses > 0).await;
            assert!(!server.is_finished());
            // Descriptors come free, and it goes on.
            drop(first);
            let mut client = TcpStream::connect(address).await?;
            exchange(&mut client).await?;
            let pauses = corering::metrics().accept_pauses;
            let second = open();
            until_metrics(|metrics| metrics.accept_pauses > pauses).await;
            // The stop comes during a pause.
            stop.cancel();
            let report = server.await??;
            assert_eq!(report.finished + report.failed, report.accepted, "{report}");
            assert!(client.recv().await?.is_empty());
            drop((client, second));
            nothing_is_in_flight().await;
            io::Result::Ok(())
        },
    );
}

#[test]
fn shards_end_their_servers_by_one_signal() {
    for driver in corering::test_support::drivers() {
        let builder = Runtime::builder().driver(driver).shards(2).oversubscribe(true);
        let (sender, receiver) = std::sync::mpsc::channel();
        let listeners = bind_shards("127.0.0.1:0", 2).expect("a port is free");
        let address = listeners.local_addr();
        let client = std::thread::spawn(move || {
            // Both listen by then.
            let stops: Vec<CancelHandle> = receiver.iter().take(2).collect();
            let ask = || {
                let mut client = std::net::TcpStream::connect(address)?;
                client.write_all(b"hello")?;
                client.read_exact(&mut [0; 5])
            };
            let asked: io::Result<()> = (0..20).try_for_each(|_| ask());
            // Also after an error, which would otherwise be a test that hangs.
            stops.iter().for_each(CancelHandle::cancel);
            asked
        });
        let reports = builder.try_run(async |shard| {
            let (stop, listener) = (CancelToken::new(), listeners.take(&shard)?);
            sender.send(stop.handle()).expect("the client waits for it");
            serve(listener, echo).token(stop).await
        });
        client.join().expect("it does not panic").expect("each is served");
        let reports = reports.expect("no server fails");
        let accepted: u64 = reports.iter().map(|report| report.accepted).sum();
        assert_eq!(accepted, 20, "{reports:?}");
    }
}

#[test]
fn report_says_what_it_counts() {
    let report = ServeReport::default().to_string();
    assert_eq!(report, "0 connections: 0 finished, 0 failed, 0 panicked, 0 aborted");
}
