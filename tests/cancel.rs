//! Futures dropped, timed out, aborted and forgotten in flight: nothing is lost, nothing is mixed up, and
//! nothing stays behind.

#[allow(dead_code)] // Each test file uses a part.
#[path = "common/child.rs"]
mod child;
#[allow(dead_code)]
#[path = "common/net.rs"]
mod net;

use std::cell::RefCell;
use std::io::{self, ErrorKind, Read, Write};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use child::Child;
use corering::io::Watched;
use corering::net::{TcpStream, UnixStream, WriteAbandoned};
use corering::task::JoinSet;
use corering::time::within;
use corering::{Driver, Runtime, spawn, test_support, yield_now};
use futures_util::future::{Either, join_all, select};
use net::{
    POLICIES, Random, TOO_MUCH, drop_in_flight, ends, has_ended, listener, nothing_is_in_flight,
    pattern, poll_once, tcp_peer, unix_peer, until_metrics,
};

/// Runs a body on both drivers, with each receive policy.
fn on_each_policy<F: Future<Output = io::Result<()>>>(name: &str, body: impl Fn() -> F) {
    for policy in POLICIES {
        let name = format!("{name}, {policy:?}");
        test_support::run_configured(&name, None, |builder| builder.receive_policy(policy), &body);
    }
}

#[test]
fn dropped_receives_lose_no_byte_and_keep_the_order() {
    on_each_policy("dropped_receives_lose_no_byte_and_keep_the_order", || async {
        let (mut stream, mut peer) = unix_peer()?;
        let mut random = Random(3);
        let (mut sent, mut received) = (Vec::new(), Vec::new());
        for number in 0..2000_u32 {
            if random.below(2) == 0 {
                let bytes = number.to_le_bytes();
                peer.write_all(&bytes)?;
                sent.extend_from_slice(&bytes);
            }
            // Most are dropped at once, some after a turn of the loop, in which they may complete.
            let turns = random.below(3);
            if random.below(2) == 0 {
                let mut recv = stream.recv();
                if let Some(bytes) = poll_for(&mut recv, turns).await {
                    received.extend_from_slice(&bytes?);
                }
            } else {
                let mut read = stream.read(Vec::with_capacity(1 + random.below(16)));
                if let Some(result) = poll_for(&mut read, turns).await {
                    received.extend_from_slice(&result?.1);
                }
            }
        }
        drop(peer);
        loop {
            let bytes = stream.recv().await?;
            if bytes.is_empty() {
                break;
            }
            received.extend_from_slice(&bytes);
        }
        assert!(received == sent, "{} of {} bytes", received.len(), sent.len());
        Ok(())
    });
}

/// Polls a future, and again after each of so many turns of the loop.
async fn poll_for<F: Future + Unpin>(future: &mut F, turns: usize) -> Option<F::Output> {
    for turn in 0..=turns {
        if let Poll::Ready(output) = poll_once(future).await {
            return Some(output);
        }
        if turn < turns {
            yield_now().await;
        }
    }
    None
}

#[test]
fn receive_that_loses_a_race_again_and_again_loses_no_byte() {
    on_each_policy("receive_that_loses_a_race_again_and_again_loses_no_byte", || async {
        let (mut stream, mut peer) = unix_peer()?;
        let mut received = Vec::new();
        for number in 0..500_u32 {
            if number % 3 == 0 {
                peer.write_all(&number.to_le_bytes())?;
            }
            let other = std::pin::pin!(yield_now());
            if let Either::Left((bytes, _)) = select(stream.recv(), other).await {
                received.extend_from_slice(&bytes?);
            }
        }
        while received.len() < 4 * 167 {
            received.extend_from_slice(&stream.recv().await?);
        }
        let expected: Vec<u8> = (0..500_u32).step_by(3).flat_map(u32::to_le_bytes).collect();
        assert!(received == expected);
        Ok(())
    });
}

#[corering::test]
async fn connection_of_a_dropped_accept_is_accepted_by_the_next() -> io::Result<()> {
    let (listener, address) = listener().await?;
    for _ in 0..20 {
        drop_in_flight(listener.accept()).await;
        let client = std::net::TcpStream::connect(address)?;
        yield_now().await;
        let accepted = listener.accept().await?;
        assert_eq!(accepted.peer_addr()?, client.local_addr()?);
    }
    Ok(())
}

#[corering::test]
async fn connections_that_nobody_accepted_are_closed_with_the_listener() -> io::Result<()> {
    let (listener, address) = listener().await?;
    drop_in_flight(listener.accept()).await;
    let clients: Vec<_> =
        (0..5).map(|_| std::net::TcpStream::connect(address)).collect::<Result<_, _>>()?;
    // By now some are in completions, the others in the backlog.
    yield_now().await;
    yield_now().await;
    drop(listener);
    nothing_is_in_flight().await;
    for client in clients {
        assert!(ends(&client));
    }
    Ok(())
}

#[corering::test]
async fn several_that_accept_are_served_in_the_order_of_their_coming() -> io::Result<()> {
    let (listener, address) = listener().await?;
    let order = RefCell::new(Vec::new());
    let accept = async |number: usize| {
        let accepted = listener.accept().await?;
        order.borrow_mut().push(number);
        accepted.peer_addr()
    };
    let clients = async {
        yield_now().await;
        let connected = (0..3).map(|_| std::net::TcpStream::connect(address));
        connected.collect::<io::Result<Vec<_>>>()
    };
    let (first, second, third, clients) =
        futures_util::try_join!(accept(0), accept(1), accept(2), clients)?;
    assert_eq!(*order.borrow(), [0, 1, 2]);
    for (peer, client) in [first, second, third].into_iter().zip(&clients) {
        assert_eq!(peer, client.local_addr()?);
    }
    Ok(())
}

#[corering::test]
async fn one_that_leaves_the_line_of_accepts_lets_the_next_step_forward() -> io::Result<()> {
    let (listener, address) = listener().await?;
    let listener = Rc::new(listener);
    let first = listener.clone();
    let first = spawn(async move { first.accept().await.map(drop) });
    yield_now().await;
    let second = listener.clone();
    let second = spawn(async move { second.accept().await.map(drop) });
    yield_now().await;
    first.abort();
    assert!(first.await.expect_err("it was aborted").is_cancelled());
    let _client = std::net::TcpStream::connect(address)?;
    second.await.expect("it does not panic")
}

#[corering::test]
async fn bytes_for_a_closed_stream_never_reach_the_next_of_its_number() -> io::Result<()> {
    for number in 0..500_u32 {
        let (mut old, mut old_peer) = unix_peer()?;
        drop_in_flight(old.read(Vec::with_capacity(64))).await;
        drop(old);
        // Without the operation's hold on it, the number would be free and taken by this one.
        let (mut new, mut new_peer) = unix_peer()?;
        let recv = spawn(async move {
            let received = new.recv().await?.to_vec();
            io::Result::Ok((new, received))
        });
        // Whether the old peer can still send depends on who was faster.
        let _ = old_peer.write_all(b"for nobody");
        yield_now().await;
        new_peer.write_all(&number.to_le_bytes())?;
        let (new, received) = recv.await.expect("it does not panic")?;
        assert_eq!(received, number.to_le_bytes());
        drop(new);
    }
    Ok(())
}

#[corering::test]
async fn cancel_that_comes_late_meets_no_operation_of_the_same_place() -> io::Result<()> {
    let (mut staying, mut staying_peer) = unix_peer()?;
    for number in 0..1000_u32 {
        let (mut leaving, mut leaving_peer) = unix_peer()?;
        let mut read = leaving.read(Vec::with_capacity(8));
        assert!(poll_once(&mut read).await.is_pending());
        // Done in the kernel, perhaps, when its cancel comes; its place is free for the next.
        leaving_peer.write_all(b"x")?;
        if number % 2 == 0 {
            yield_now().await;
        }
        drop(read);
        drop(leaving);
        let mut next = staying.read(Vec::with_capacity(8));
        let early = poll_once(&mut next).await;
        assert!(early.is_pending(), "nothing was sent and nothing cancelled");
        yield_now().await;
        staying_peer.write_all(&number.to_le_bytes())?;
        assert_eq!(next.await?.1, number.to_le_bytes());
    }
    assert_eq!(corering::metrics().unknown_completions, 0);
    Ok(())
}

#[corering::test]
async fn time_limits_of_any_length_wait_for_what_comes() -> io::Result<()> {
    let limits = [Duration::MAX, Duration::from_secs(u64::MAX / 2), Duration::from_secs(1 << 40)];
    for limit in limits.into_iter().chain([Duration::from_secs(i32::MAX as u64)]) {
        let (mut stream, mut peer) = tcp_peer().await?;
        // Asleep by the time it comes, or not: either way the limit must not wake or stop anything.
        let late = std::thread::spawn(move || peer.write_all(b"late").map(|()| peer));
        assert_eq!(&*within(limit, stream.recv()).await?, b"late");
        drop(late.join().expect("it does not panic")?);
    }
    assert_eq!(corering::metrics().timers, 0);
    Ok(())
}

#[test]
fn three_thousand_time_limits_at_once_all_fire() {
    let few = |builder: corering::Builder| builder.ring_entries(4);
    test_support::run_configured("three_thousand_time_limits_at_once", None, few, || async {
        let (watched, _writer) = watched_pipe()?;
        let limit = Duration::from_millis(5);
        let waits = (0..3000).map(|_| within(limit, watched.readable()));
        for result in join_all(waits).await {
            assert_eq!(result.expect_err("nothing was written").kind(), ErrorKind::TimedOut);
        }
        assert_eq!(corering::metrics().slots_in_use, 0);
        if test_support::current_driver() == Driver::Uring {
            assert!(corering::metrics().cancels >= 3000);
        }
        io::Result::Ok(())
    });
}

#[test]
fn ten_thousand_operations_in_flight_survive_a_ring_of_4() {
    let few = |builder: corering::Builder| builder.ring_entries(4);
    test_support::run_configured("ten_thousand_operations_in_flight", None, few, || async {
        let (watched, mut writer) = watched_pipe()?;
        let waits: Vec<_> = (0..10_000).map(|_| spawn(watched.readable())).collect();
        let expected = match test_support::current_driver() {
            Driver::Uring => 10_000,
            // Waiting without a ring, the futures are in no kernel.
            _ => 0,
        };
        until_metrics(|metrics| metrics.slots_in_use >= 10_000).await;
        until_metrics(|metrics| metrics.operations_in_flight >= expected).await;
        writer.write_all(b"x")?;
        for wait in waits {
            wait.await.expect("it does not panic")?;
        }
        let metrics = corering::metrics();
        assert_eq!((metrics.operations_in_flight, metrics.unknown_completions), (0, 0));
        io::Result::Ok(())
    });
}

#[test]
fn completion_queue_that_overflows_loses_nothing() {
    let few = |builder: corering::Builder| builder.ring_entries(4);
    test_support::run_configured("completion_queue_that_overflows", None, few, || async {
        // All are submitted before the first completion is looked at.
        for result in join_all((0..10_000).map(|_| corering::io::nop())).await {
            result?;
        }
        let (mut stream, mut peer) = unix_peer()?;
        let mut sent = Vec::new();
        drop_in_flight(stream.recv()).await;
        for number in 0..20_u8 {
            peer.write_all(&[number; 100])?;
            sent.extend_from_slice(&[number; 100]);
            let nops = join_all((0..100).map(|_| corering::io::nop()));
            assert!(nops.await.iter().all(Result::is_ok));
        }
        let mut received = Vec::new();
        while received.len() < sent.len() {
            received.extend_from_slice(&stream.recv().await?);
        }
        assert!(received == sent);
        if test_support::current_driver() == Driver::Uring {
            assert!(corering::metrics().completion_overflows > 0, "16 places took them all");
        }
        io::Result::Ok(())
    });
}

#[test]
fn ten_thousand_operations_dropped_in_flight_leave_nothing_behind() {
    let few = |builder: corering::Builder| builder.ring_entries(4);
    test_support::run_configured("ten_thousand_operations_dropped", None, few, || async {
        let (watched, _writer) = watched_pipe()?;
        let mut waits: Vec<_> = (0..10_000).map(|_| watched.readable()).collect();
        for wait in &mut waits {
            assert!(poll_once(wait).await.is_pending());
        }
        drop(waits);
        nothing_is_in_flight().await;
        assert_eq!(corering::metrics().slots_in_use, 0);
        io::Result::Ok(())
    });
}

fn watched_pipe() -> io::Result<(Watched, io::PipeWriter)> {
    let (reader, writer) = io::pipe()?;
    Ok((Watched::new(reader.into()), writer))
}

#[corering::test]
async fn write_after_a_dropped_one_says_how_much_of_it_was_sent() -> io::Result<()> {
    let (mut stream, mut peer) = unix_peer()?;
    let first = pattern(TOO_MUCH);
    drop_in_flight(stream.write_all(first.clone())).await;
    let failed = stream.write_all("next").await.expect_err("it has to be told");
    let abandoned = WriteAbandoned::of(&failed.error).expect("that is what went wrong");
    assert!(abandoned.written > 0 && abandoned.written < TOO_MUCH);
    assert_eq!(*failed.buf(), "next");

    // Told once, the stream goes on after what was sent.
    let mut received = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    let mut write = stream.write_all("next");
    loop {
        let written = poll_once(&mut write).await;
        loop {
            match peer.read(&mut buffer) {
                Ok(count) => received.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        if let Poll::Ready(written) = written {
            written?;
            break;
        }
        yield_now().await;
    }
    while let Ok(count) = peer.read(&mut buffer) {
        received.extend_from_slice(&buffer[..count]);
    }
    assert_eq!(received.len(), abandoned.written + 4);
    assert!(received[..abandoned.written] == first[..abandoned.written]);
    assert_eq!(&received[abandoned.written..], b"next");
    Ok(())
}

#[corering::test]
async fn write_that_its_time_limit_ended_says_so_once_more_to_the_next() -> io::Result<()> {
    let (mut stream, _peer) = unix_peer()?;
    let limit = Duration::from_millis(1);
    let failed =
        within(limit, stream.write_all(pattern(TOO_MUCH))).await.expect_err("nobody reads");
    assert_eq!(failed.kind(), ErrorKind::TimedOut);
    assert_eq!(failed.buf().len(), TOO_MUCH);
    let failed = stream.write_all("next").await.expect_err("it has to be told");
    let abandoned = WriteAbandoned::of(&failed.error).expect("that is what went wrong");
    assert!(abandoned.written > 0 && abandoned.written < TOO_MUCH);
    Ok(())
}

#[corering::test]
async fn write_that_was_dropped_before_it_began_is_not_told_of() -> io::Result<()> {
    let (mut stream, mut peer) = unix_peer()?;
    drop(stream.write_all("never polled"));
    stream.write_all("sent").await?;
    let mut got = [0; 16];
    assert_eq!(peer.read(&mut got)?, 4);
    assert_eq!(&got[..4], b"sent");
    Ok(())
}

#[corering::test]
async fn aborted_task_in_io_closes_its_stream() -> io::Result<()> {
    let (mut stream, peer) = unix_peer()?;
    let task =
        spawn(async move { stream.read(Vec::with_capacity(64)).await.map(|(count, _)| count) });
    yield_now().await;
    task.abort();
    assert!(task.await.expect_err("it was aborted").is_cancelled());
    nothing_is_in_flight().await;
    assert!(ends(&peer));
    Ok(())
}

#[corering::test]
async fn join_set_that_is_dropped_ends_the_io_of_its_tasks() -> io::Result<()> {
    let mut tasks = JoinSet::new();
    let mut peers = Vec::new();
    for _ in 0..20 {
        let (mut stream, peer) = unix_peer()?;
        tasks.spawn(async move { stream.recv().await.map(|received| received.len()) });
        peers.push(peer);
    }
    yield_now().await;
    peers[7].write_all(b"seven b")?;
    let first = tasks.join_next().await.expect("one ends").expect("it does not panic")?;
    assert_eq!(first, 7);
    drop(tasks);
    yield_now().await;
    nothing_is_in_flight().await;
    assert!(peers.iter().all(ends));
    Ok(())
}

#[test]
fn runtime_that_ends_with_operations_in_flight_takes_them_back() {
    for driver in test_support::drivers() {
        let runtime = Runtime::builder().driver(driver).build().expect("the driver is there");
        let mut peers = Vec::new();
        runtime.block_on(async {
            for number in 0..100 {
                let (mut stream, peer) = unix_peer().expect("descriptors are free");
                drop(spawn(async move {
                    match number % 3 {
                        0 => drop(stream.recv().await),
                        1 => drop(stream.read(Vec::with_capacity(8)).await),
                        _ => drop(stream.write_all(vec![0; TOO_MUCH / 8]).await),
                    }
                }));
                peers.push(peer);
            }
            yield_now().await;
        });
        let report = runtime.shut_down();
        assert_eq!((report.cancelled_tasks, report.leaked_operations), (100, 0), "{driver}");
        assert!(peers.iter().all(ends), "{driver}");
    }
}

#[test]
fn forgotten_futures_and_streams_leak_and_do_no_more() {
    for driver in test_support::drivers() {
        let runtime = Runtime::builder().driver(driver).build().expect("the driver is there");
        let mut keep = Vec::new();
        runtime.block_on(async {
            let (mut stream, mut peer) = unix_peer().expect("descriptors are free");
            let mut read = stream.read(Vec::with_capacity(64));
            assert!(poll_once(&mut read).await.is_pending());
            std::mem::forget(read);
            peer.write_all(b"into memory that stays").expect("there is room");
            std::mem::forget(stream);
            keep.push(peer);
            let (mut stream, peer) = unix_peer().expect("descriptors are free");
            drop_in_flight(stream.recv()).await;
            std::mem::forget(stream);
            keep.push(peer);
            for _ in 0..10 {
                yield_now().await;
            }
        });
        assert_eq!(runtime.shut_down().leaked_operations, 0, "{driver}");
    }
}

#[test]
fn stream_outlives_its_runtime_and_closes() {
    for driver in test_support::drivers() {
        let runtime = Runtime::builder().driver(driver).build().expect("the driver is there");
        let (stream, peer) = runtime.block_on(async {
            let (mut stream, mut peer) = unix_peer().expect("descriptors are free");
            drop_in_flight(stream.recv()).await;
            peer.write_all(b"late").expect("there is room");
            (stream, peer)
        });
        drop(runtime);
        assert!(!has_ended(&peer), "{driver}");
        drop(stream);
        assert!(ends(&peer), "{driver}");
    }
}

#[test]
fn received_buffer_outlives_its_runtime() {
    for policy in POLICIES {
        for driver in test_support::drivers() {
            let builder = Runtime::builder().driver(driver).receive_policy(policy);
            let runtime = builder.build().expect("the driver is there");
            let received = runtime.block_on(async {
                let (mut stream, mut peer) = unix_peer().expect("descriptors are free");
                peer.write_all(b"still here").expect("there is room");
                stream.recv().await.expect("it was sent")
            });
            drop(runtime);
            assert_eq!(&*received, b"still here");
        }
    }
}

#[test]
fn stream_is_closed_by_a_thread_local_that_is_dropped_last() {
    thread_local! {
        static KEPT: RefCell<Option<UnixStream>> = const { RefCell::new(None) };
    }
    for driver in test_support::drivers() {
        let peer = std::thread::spawn(move || {
            // Registered before those of the runtime, so dropped after them.
            KEPT.with_borrow_mut(|kept| assert!(kept.is_none()));
            let runtime = Runtime::builder().driver(driver).build().expect("the driver is there");
            runtime.block_on(async {
                let (mut stream, peer) = unix_peer().expect("descriptors are free");
                drop_in_flight(stream.recv()).await;
                KEPT.set(Some(stream));
                peer
            })
        });
        let peer = peer.join().expect("the end of a thread does not panic");
        assert!(ends(&peer), "{driver}");
    }
}

#[test]
fn connects_and_accepts_dropped_at_any_moment_leak_no_descriptor() {
    const TEST: &str = "connects_and_accepts_dropped_at_any_moment_leak_no_descriptor";
    if !child::is_child() {
        return Child::of(TEST).passes();
    }
    test_support::run(TEST, None, || async {
        let (listener, address) = listener().await?;
        let before = open_descriptors();
        for number in 0..300_usize {
            let mut connect = std::pin::pin!(TcpStream::connect(address));
            for _ in 0..number % 6 {
                if poll_once(&mut connect).await.is_ready() {
                    break;
                }
                yield_now().await;
            }
            if number % 7 == 0 {
                drop(within(Duration::ZERO, listener.accept()).await);
            }
        }
        nothing_is_in_flight().await;
        drop(listener);
        nothing_is_in_flight().await;
        assert!(open_descriptors() <= before, "{} of {before}", open_descriptors());
        io::Result::Ok(())
    });
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("proc is mounted").count()
}

#[corering::test]
async fn dropped_read_that_had_received_gives_its_bytes_to_the_next() -> io::Result<()> {
    let (mut stream, mut peer) = tcp_peer().await?;
    let mut read = stream.read(Vec::with_capacity(64));
    assert!(poll_once(&mut read).await.is_pending());
    peer.write_all(b"arrived")?;
    // On a ring it completes here, and nobody takes the result.
    for _ in 0..20 {
        yield_now().await;
    }
    drop(read);
    assert_eq!(&*stream.recv().await?, b"arrived");
    Ok(())
}

#[test]
fn address_of_dropped_socket_is_free_at_once() {
    // In a process of its own: a child that another test starts has all descriptors for a moment, and
    // with them the address.
    if !child::is_child() {
        return Child::of("address_of_dropped_socket_is_free_at_once").passes();
    }
    for accepts_max in [1, 64] {
        let configure = |builder: corering::Builder| builder.max_queued_accepts(accepts_max);
        corering::test_support::run_configured("address_is_free", None, configure, || async {
            let mut listener = corering::net::TcpListener::bind("127.0.0.1:0").await?;
            let address = listener.local_addr()?;
            for _ in 0..20 {
                drop_in_flight(listener.accept()).await;
                corering::io::nop().await?;
                drop(listener);
                listener = corering::net::TcpListener::bind(address).await?;
            }
            // One that lives on keeps its address.
            let error = corering::net::TcpListener::bind(address).await.expect_err("it is taken");
            assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
            let udp = corering::net::UdpSocket::bind("127.0.0.1:0").await?;
            let address = udp.local_addr()?;
            drop_in_flight(udp.recv(vec![0; 9])).await;
            corering::io::nop().await?;
            drop(udp);
            corering::net::UdpSocket::bind(address).await?;
            std::io::Result::Ok(())
        });
    }
}
