//! What was begun in one runtime and is awaited in the next, or in another that lives beside it.

#[allow(dead_code)] // Each test file uses a part.
#[path = "common/child.rs"]
mod child;
#[allow(dead_code)] // Each test file uses a part.
#[path = "common/net.rs"]
mod net;

use std::future::{Future, pending};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::time::Duration;

use child::Child;
use corering::fs::File;
use corering::io::Watched;
use corering::net::{TcpStream, UdpSocket, UnixListener, UnixStream, WriteAbandoned};
use corering::test_support::drivers;
use corering::time::within;
use corering::{Driver, ReceivePolicy, Runtime, shard_channel, signal, sync, time};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use net::{POLICIES, TOO_MUCH, drop_in_flight, pattern, poll_once};

fn runtime(driver: Driver) -> Runtime {
    Runtime::builder().driver(driver).build().expect("the driver is there")
}

/// The output, and no hang if it does not come.
async fn in_time<F: Future>(future: F) -> F::Output {
    time::timeout(Duration::from_secs(20), future).await.expect("it hangs")
}

/// What a wait resolves to, told apart by the error alone.
type Wait = Pin<Box<dyn Future<Output = io::Result<()>>>>;

/// One wait of each kind that belongs to no stream, and what has to stay open meanwhile.
async fn waits() -> io::Result<(Vec<(&'static str, Wait)>, Vec<OwnedFd>)> {
    let mut waits: Vec<(&'static str, Wait)> = Vec::new();
    let (watched, peer) = UnixStream::pair()?;
    let watched = Watched::new(watched.as_fd().try_clone_to_owned()?);
    let peer = peer.as_fd().try_clone_to_owned()?;
    waits.push(("readiness", Box::pin(watched.readable())));
    let udp = UdpSocket::bind("127.0.0.1:0").await?;
    let receive = udp.recv(vec![0; 10]);
    waits.push(("datagram", Box::pin(async { receive.await.map(drop).map_err(|e| e.error) })));
    let receive = udp.recv_from(vec![0; 10]);
    waits.push(("datagram from", Box::pin(async { receive.await.map(drop).map_err(|e| e.error) })));
    let (reader, writer) = io::pipe()?;
    let file = File::from(OwnedFd::from(reader));
    let read = file.read_at(vec![0; 10], 0);
    waits.push(("pipe", Box::pin(async { read.await.map(drop).map_err(|e| e.error) })));
    Ok((waits, vec![peer, OwnedFd::from(writer)]))
}

#[test]
fn wait_whose_runtime_has_ended_resolves_with_ecanceled() {
    for driver in drivers() {
        let first = runtime(driver);
        let (mut waits, open) = first.block_on(waits()).expect("sockets work");
        for (what, wait) in &mut waits {
            assert!(first.block_on(poll_once(wait)).is_pending(), "{driver}: {what}");
        }
        drop(first);
        let second = runtime(driver);
        for (what, wait) in waits {
            let error = second.block_on(in_time(wait)).expect_err("nothing came");
            assert_eq!(error.raw_os_error(), Some(libc::ECANCELED), "{driver}, {what}: {error}");
        }
        drop(open);
    }
}

#[test]
fn set_of_waits_hears_that_their_runtime_has_ended() {
    for driver in drivers() {
        let first = runtime(driver);
        let (waits, open) = first.block_on(waits()).expect("sockets work");
        let count = waits.len();
        // It polls those alone that were woken.
        let mut set: FuturesUnordered<Wait> = waits.into_iter().map(|(_, wait)| wait).collect();
        set.push(Box::pin(async {
            time::sleep(Duration::from_millis(100)).await;
            Err(io::Error::from_raw_os_error(libc::ECANCELED))
        }));
        assert!(first.block_on(poll_once(&mut set.next())).is_pending());
        drop(first);
        let errors: Vec<_> = runtime(driver).block_on(in_time(set.collect()));
        assert_eq!(errors.len(), count + 1);
        for error in errors.into_iter().map(|ended| ended.expect_err("nothing came")) {
            assert_eq!(error.raw_os_error(), Some(libc::ECANCELED), "{driver}: {error}");
        }
        drop(open);
    }
}

#[test]
fn wait_in_a_foreign_runtime_fails_and_says_what_to_do() {
    for driver in drivers() {
        let (first, second) = (runtime(driver), runtime(driver));
        let (mut waits, open) = first.block_on(waits()).expect("sockets work");
        for (what, wait) in &mut waits {
            assert!(first.block_on(poll_once(wait)).is_pending(), "{driver}: {what}");
        }
        for (what, wait) in waits {
            let error = second.block_on(in_time(wait)).expect_err("nothing came").to_string();
            assert!(error.contains("another corering runtime"), "{driver}, {what}: {error}");
        }
        drop(open);
        // The first goes on.
        first.block_on(corering::io::nop()).expect("it works");
        assert_eq!(first.shut_down().leaked_operations, 0);
    }
}

/// A stream that has received, and waits to receive more; and its peer.
async fn receiving() -> io::Result<(TcpStream, std::net::TcpStream)> {
    let (mut stream, mut peer) = net::tcp_peer().await?;
    for _ in 0..3 {
        peer.write_all(b"before")?;
        assert_eq!(&*stream.recv().await?, b"before");
    }
    drop_in_flight(stream.recv()).await;
    Ok((stream, peer))
}

fn in_each_way(mut body: impl FnMut(Driver, ReceivePolicy) -> io::Result<()>) {
    for driver in drivers() {
        for policy in POLICIES {
            body(driver, policy).unwrap_or_else(|error| panic!("{driver}, {policy:?}: {error}"));
        }
    }
}

fn with_policy(driver: Driver, policy: ReceivePolicy) -> io::Result<Runtime> {
    Runtime::builder().driver(driver).receive_policy(policy).build()
}

#[test]
fn stream_works_in_later_runtime_with_what_it_had_queued() {
    in_each_way(|driver, policy| {
        let first = with_policy(driver, policy)?;
        let (mut stream, mut peer) = first.block_on(async {
            let (stream, mut peer) = receiving().await?;
            peer.write_all(b"queued")?;
            // Received by the kernel on a ring, and taken by nobody.
            corering::io::nop().await?;
            corering::io::nop().await?;
            io::Result::Ok((stream, peer))
        })?;
        drop(first);
        let second = with_policy(driver, policy)?;
        second.block_on(async {
            assert_eq!(&*in_time(stream.recv()).await?, b"queued");
            drop_in_flight(stream.read(vec![0; 10])).await;
            peer.write_all(b"later")?;
            assert_eq!(in_time(stream.read(vec![0; 10])).await?.1, b"later");
            stream.write_all("answer").await?;
            stream.send_all(vec!["in ", "parts"]).await?;
            let (mut reader, mut writer) = stream.into_split();
            drop_in_flight(reader.recv()).await;
            peer.write_all(b"half")?;
            assert_eq!(&*in_time(reader.recv()).await?, b"half");
            writer.write_all(" and half").await?;
            writer.shutdown(std::net::Shutdown::Write).await
        })?;
        let mut answer = String::new();
        peer.read_to_string(&mut answer)?;
        assert_eq!(answer, "answerin parts and half");
        Ok(())
    });
}

#[test]
fn read_that_waited_goes_on_in_the_next_runtime() {
    in_each_way(|driver, policy| {
        let first = with_policy(driver, policy)?;
        let (mut stream, mut peer) = first.block_on(net::tcp_peer())?;
        let (mut reader, mut writer) = {
            first.block_on(async {
                drop_in_flight(stream.write_all(pattern(TOO_MUCH))).await;
            });
            stream.into_split()
        };
        let mut read = Box::pin(reader.read(vec![0; 10]));
        assert!(first.block_on(poll_once(&mut read)).is_pending());
        drop(first);
        let second = with_policy(driver, policy)?;
        assert!(second.block_on(poll_once(&mut read)).is_pending());
        peer.write_all(b"first")?;
        assert_eq!(second.block_on(in_time(read))?.1, b"first");
        // The write that was dropped is told of, once, and what comes next is sent.
        second.block_on(async {
            let told = in_time(writer.write_all("next")).await.expect_err("it tells").error;
            let abandoned = WriteAbandoned::of(&told).expect("of the write");
            let mut taken = vec![0; abandoned.written];
            peer.read_exact(&mut taken)?;
            assert!(taken == pattern(abandoned.written));
            writer.write_all("next").await?;
            peer.read_exact(&mut taken[..4])?;
            assert_eq!(&taken[..4], b"next");
            peer.write_all(b"late")?;
            assert_eq!(in_time(reader.read(vec![0; 10])).await?.1, b"late");
            Ok(())
        })
    });
}

#[test]
fn send_that_waited_ends_with_its_runtime_or_goes_on() {
    in_each_way(|driver, policy| {
        let first = with_policy(driver, policy)?;
        let (mut stream, mut peer) = first.block_on(net::tcp_peer())?;
        let mut send = Box::pin(stream.send_all(vec![pattern(TOO_MUCH), pattern(10)]));
        assert!(first.block_on(poll_once(&mut send)).is_pending());
        drop(first);
        let second = with_policy(driver, policy)?;
        let reading = std::thread::spawn(move || {
            let mut all = Vec::new();
            peer.read_to_end(&mut all).map(|_| all)
        });
        // A ring may have sent a part before its end. Then the rest follows here.
        let sent = second.block_on(in_time(send.as_mut())).map(drop);
        drop(send);
        let told = second.block_on(stream.write_all("after"));
        drop(stream);
        let received = reading.join().expect("it does not panic")?;
        let whole = [pattern(TOO_MUCH), pattern(10)].concat();
        match sent {
            Ok(()) => assert!(received == [&whole, &b"after"[..]].concat(), "{driver}, {policy:?}"),
            Err(failed) => {
                assert_eq!(failed.error.raw_os_error(), Some(libc::ECANCELED), "{}", failed.error);
                let told = told.expect_err("a part was sent").error;
                let part = WriteAbandoned::of(&told).expect("of the send").written;
                assert!(received == whole[..part], "{driver}, {policy:?}");
            }
        }
        Ok(())
    });
}

#[test]
fn stream_in_a_foreign_runtime_fails_and_says_what_to_do() {
    in_each_way(|driver, policy| {
        let (first, second) = (with_policy(driver, policy)?, with_policy(driver, policy)?);
        let (mut stream, mut peer) = first.block_on(receiving())?;
        let told = |error: io::Error| {
            let told = error.to_string();
            assert!(told.contains("another corering runtime") && told.contains("detach"), "{told}");
        };
        told(second.block_on(in_time(stream.recv())).expect_err("it waits in the first"));
        told(second.block_on(in_time(stream.recv())).expect_err("and goes on to"));
        peer.write_all(b"for the first")?;
        assert_eq!(&*first.block_on(in_time(stream.recv()))?, b"for the first");
        let detached = first.block_on(stream.detach())?;
        peer.write_all(b"for the second")?;
        second.block_on(async {
            let mut stream = detached.into_stream();
            assert_eq!(&*in_time(stream.recv()).await?, b"for the second");
            Ok(())
        })
    });
}

#[test]
fn listener_accepts_in_later_runtime_what_had_come_before() {
    for driver in drivers() {
        let first = runtime(driver);
        let (listener, before) = first
            .block_on(async {
                let (listener, address) = net::listener().await?;
                drop_in_flight(listener.accept()).await;
                let before = std::net::TcpStream::connect(address)?;
                corering::io::nop().await?;
                corering::io::nop().await?;
                io::Result::Ok((listener, before))
            })
            .expect("sockets work");
        drop(first);
        let address = listener.local_addr().expect("it listens");
        let between = std::net::TcpStream::connect(address).expect("the backlog has room");
        let second = runtime(driver);
        second
            .block_on(async {
                for client in [before, between, std::net::TcpStream::connect(address)?] {
                    let mut accepted = in_time(listener.accept()).await?;
                    assert_eq!(accepted.peer_addr()?, client.local_addr()?);
                    accepted.write_all("hello").await?;
                }
                // Also with nothing there.
                drop_in_flight(listener.accept()).await;
                let last = std::net::TcpStream::connect(address)?;
                assert_eq!(in_time(listener.accept()).await?.peer_addr()?, last.local_addr()?);
                io::Result::Ok(())
            })
            .unwrap_or_else(|error| panic!("{driver}: {error}"));
    }
}

#[test]
fn unix_listener_accepts_in_later_runtime_one_by_one() {
    for driver in drivers() {
        let path = std::env::temp_dir().join(format!("corering-ends-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let one_by_one = |driver| Runtime::builder().driver(driver).max_queued_accepts(1).build();
        let first = one_by_one(driver).expect("the driver is there");
        let listener = first.block_on(async {
            let listener = UnixListener::bind(&path).await.expect("the path is free");
            drop_in_flight(listener.accept()).await;
            listener
        });
        drop(first);
        let second = one_by_one(driver).expect("the driver is there");
        let _client = std::os::unix::net::UnixStream::connect(&path).expect("it listens");
        second.block_on(in_time(listener.accept())).expect("it is there");
        std::fs::remove_file(&path).expect("it was bound");
    }
}

#[test]
fn listener_in_another_runtime_than_its_own_fails_and_lives_on() {
    for accepts_max in [1, 64] {
        for driver in drivers() {
            let build =
                || Runtime::builder().driver(driver).max_queued_accepts(accepts_max).build();
            let (first, second) = (build().expect("built"), build().expect("built"));
            let (listener, address) = first
                .block_on(async {
                    let (listener, address) = net::listener().await?;
                    drop_in_flight(listener.accept()).await;
                    corering::io::nop().await?;
                    io::Result::Ok((listener, address))
                })
                .expect("sockets work");
            let error = second.block_on(in_time(listener.accept())).expect_err("not here");
            assert!(error.to_string().contains("another corering runtime"), "{driver}: {error}");
            let client = std::net::TcpStream::connect(address).expect("it listens");
            let accepted = first.block_on(in_time(listener.accept())).expect("it was its own");
            assert_eq!(accepted.peer_addr().ok(), client.local_addr().ok());
        }
    }
}

#[test]
fn socket_may_be_waited_for_in_two_runtimes() {
    for driver in drivers() {
        let (first, second) = (runtime(driver), runtime(driver));
        let udp = first.block_on(UdpSocket::bind("127.0.0.1:0")).expect("loopback is up");
        let address = udp.local_addr().expect("it is bound");
        let mut in_first = udp.recv(vec![0; 9]);
        assert!(first.block_on(poll_once(&mut in_first)).is_pending());
        let other = std::net::UdpSocket::bind("127.0.0.1:0").expect("loopback is up");
        second.block_on(async {
            let mut in_second = udp.recv(vec![0; 9]);
            assert!(poll_once(&mut in_second).await.is_pending());
        });
        // Polled again in the first, with nothing there, and then woken.
        assert!(first.block_on(poll_once(&mut in_first)).is_pending());
        other.send_to(b"first", address).expect("it is sent");
        let (_, buf) = first.block_on(in_time(in_first)).expect("it was sent");
        assert_eq!(buf, b"first", "{driver}");
    }
}

#[test]
fn pause_of_accept_ends_with_its_runtime() {
    const TEST: &str = "pause_of_accept_ends_with_its_runtime";
    if !child::is_child() {
        return Child::of(TEST).limit(libc::RLIMIT_NOFILE, 40).passes();
    }
    for driver in drivers() {
        let first = runtime(driver);
        let (listener, client) = first.block_on(async {
            let (listener, address) = net::listener().await.expect("sockets work");
            let client = std::net::TcpStream::connect(address).expect("it listens");
            let mut full = Vec::new();
            while let Ok(file) = std::fs::File::open("/dev/null") {
                full.push(file);
            }
            let paused = || corering::metrics().accept_pauses > 0;
            let mut accept = listener.accept();
            while !paused() {
                assert!(poll_once(&mut accept).await.is_pending());
                corering::yield_now().await;
            }
            drop(accept);
            drop(full);
            (listener, client)
        });
        drop(first);
        let accepted = runtime(driver).block_on(in_time(listener.accept())).expect("it waits");
        drop((accepted, client));
    }
}

#[test]
fn timers_signals_joins_and_channels_end_in_later_runtime() {
    const TEST: &str = "timers_signals_joins_and_channels_end_in_later_runtime";
    if !child::is_child() {
        return Child::of(TEST).passes();
    }
    for driver in drivers() {
        let short = Duration::from_millis(5);
        let mut sleep = time::sleep(short);
        let mut interval = time::interval(short);
        let mut limited = Box::pin(time::timeout(short, pending::<()>()));
        let mut stopped = signal::terminate();
        let (sender, mut receiver) = sync::channel::bounded::<i32>(1);
        let (shard_sender, mut shard_receiver) = shard_channel();
        let first = runtime(driver);
        let (mut task, mut closure) = first.block_on(async {
            assert!(poll_once(&mut sleep).await.is_pending());
            interval.tick().await;
            assert!(poll_once(&mut Box::pin(interval.tick())).await.is_pending());
            assert!(poll_once(&mut limited).await.is_pending());
            assert!(poll_once(&mut stopped).await.is_pending());
            assert!(poll_once(&mut Box::pin(receiver.recv())).await.is_pending());
            assert!(poll_once(&mut Box::pin(shard_receiver.recv())).await.is_pending());
            let (begin, may_begin) = std::sync::mpsc::channel::<()>();
            let (running, is_running) = std::sync::mpsc::channel();
            let mut closure = corering::spawn_blocking(move || {
                running.send(()).expect("the test waits");
                may_begin.recv().is_err()
            });
            is_running.recv().expect("it begins");
            assert!(poll_once(&mut closure).await.is_pending());
            let mut task = corering::spawn(pending::<()>());
            assert!(poll_once(&mut task).await.is_pending());
            drop(begin);
            (task, closure)
        });
        drop(first);
        runtime(driver).block_on(async {
            in_time(&mut sleep).await;
            in_time(interval.tick()).await;
            in_time(limited).await.expect_err("it never ends");
            // SAFETY: raise takes no pointer.
            assert_eq!(unsafe { libc::raise(libc::SIGTERM) }, 0);
            in_time(stopped).await.expect("the handler is there");
            sender.send(1).await.expect("the receiver is there");
            assert_eq!(in_time(receiver.recv()).await, Some(1));
            shard_sender.send(2).expect("the receiver is there");
            assert_eq!(in_time(shard_receiver.recv()).await, Some(2));
            assert!(in_time(&mut task).await.expect_err("its shard has ended").is_cancelled());
            assert!(in_time(&mut closure).await.expect("it ran on"));
        });
    }
}

#[test]
fn limit_of_operation_holds_in_later_runtime() {
    for driver in drivers() {
        let first = runtime(driver);
        let udp = first.block_on(UdpSocket::bind("127.0.0.1:0")).expect("loopback is up");
        let mut unlimited = within(Duration::MAX, udp.recv(vec![0; 4]));
        assert!(first.block_on(poll_once(&mut unlimited)).is_pending());
        let mut limited = within(Duration::from_secs(3600), udp.recv(vec![0; 4]));
        assert!(first.block_on(poll_once(&mut limited)).is_pending());
        drop(first);
        let second = runtime(driver);
        for receive in [unlimited, limited] {
            let failed = second.block_on(in_time(receive)).expect_err("nothing came");
            assert_eq!(failed.error.raw_os_error(), Some(libc::ECANCELED), "{driver}");
        }
    }
}

#[test]
fn dropped_outside_runtime_socket_ends_at_once() {
    in_each_way(|driver, policy| {
        let runtime = with_policy(driver, policy)?;
        let (listener, (stream, peer), (reading, other)) = runtime.block_on(async {
            let (listener, _) = net::listener().await?;
            drop_in_flight(listener.accept()).await;
            let (mut stream, other) = net::unix_peer()?;
            drop_in_flight(stream.recv()).await;
            corering::io::nop().await?;
            io::Result::Ok((listener, receiving().await?, (stream, other)))
        })?;
        let address = listener.local_addr()?;
        peer.set_nonblocking(true)?;
        drop((listener, stream, reading));
        // The runtime does not run meanwhile.
        assert!(net::ends(&peer), "{driver}, {policy:?}");
        assert!(net::ends(&other), "{driver}, {policy:?}");
        std::net::TcpListener::bind(address)?;
        Ok(())
    });
}

#[test]
fn dropped_in_another_runtime_socket_ends_at_once() {
    in_each_way(|driver, policy| {
        let first = with_policy(driver, policy)?;
        let (stream, peer) = first.block_on(receiving())?;
        peer.set_nonblocking(true)?;
        with_policy(driver, policy)?.block_on(async { drop(stream) });
        assert!(net::ends(&peer), "{driver}, {policy:?}");
        Ok(())
    });
}
