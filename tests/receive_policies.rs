//! The ways to receive, and the change from one to the other: the order of bytes holds throughout.

#[allow(dead_code)] // Each test file uses a part.
#[path = "common/net.rs"]
mod net;

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::Duration;

use corering::time::{sleep, timeout};
use corering::{Driver, Metrics, ReceivePolicy, Runtime, spawn, test_support, yield_now};
use net::{
    POLICIES, Random, drop_in_flight, nothing_is_in_flight, pattern, poll_once, receive_all,
    tcp_pair, tcp_peer, unix_peer,
};

/// Runs a body on both drivers, with each receive policy.
fn on_each_policy<F: Future<Output = io::Result<()>>>(
    name: &str,
    body: impl Fn(ReceivePolicy) -> F,
) {
    for policy in POLICIES {
        test_support::run_configured(
            &format!("{name}, {policy:?}"),
            None,
            |builder| builder.receive_policy(policy),
            || body(policy),
        );
    }
}

/// Messages that are small for a while and then large for a while, so that a stream changes over and back.
fn mixed_sizes(random: &mut Random) -> Vec<usize> {
    let mut sizes = Vec::new();
    for _ in 0..4 {
        sizes.extend((0..150).map(|_| 1 + random.below(1000)));
        sizes.extend((0..20).map(|_| 8 * 1024 + random.below(40_000)));
    }
    sizes
}

#[test]
fn mixed_sizes_keep_their_order_by_whatever_call() {
    on_each_policy("mixed_sizes_keep_their_order_by_whatever_call", |_| async {
        let (mut stream, mut peer) = tcp_pair().await?;
        let mut random = Random(11);
        let sizes = mixed_sizes(&mut random);
        let sent = pattern(sizes.iter().sum());
        let mut received = Vec::with_capacity(sent.len());
        let mut begin = 0;
        for size in sizes {
            let message = sent[begin..begin + size].to_vec();
            begin += size;
            let sending = spawn(async move { peer.write_all(message).await.map(|_| peer) });
            while received.len() < begin {
                match random.below(4) {
                    0 => received.extend_from_slice(&stream.recv().await?),
                    1 => {
                        let room = Vec::with_capacity(1 + random.below(20_000));
                        received.extend_from_slice(&stream.read(room).await?.1);
                    }
                    2 => {
                        let left = begin - received.len();
                        let part = Vec::with_capacity(left);
                        let n = 1 + random.below(left);
                        received.extend_from_slice(&stream.read_exact(part, n).await?);
                    }
                    _ => {
                        // One that is dropped, ready or not, before the next asks.
                        if let std::task::Poll::Ready(bytes) = poll_once(&mut stream.recv()).await {
                            received.extend_from_slice(&bytes?);
                        }
                    }
                }
            }
            peer = sending.await.expect("it does not panic")?;
        }
        assert!(received == sent, "the bytes came in another order");
        Ok(())
    });
}

#[test]
fn mixed_sizes_keep_their_order_while_the_peer_runs_ahead() {
    on_each_policy("mixed_sizes_keep_their_order_while_the_peer_runs_ahead", |_| async {
        let (mut stream, mut peer) = tcp_peer().await?;
        let mut random = Random(5);
        let sizes = mixed_sizes(&mut random);
        let sent = pattern(sizes.iter().sum());
        let expected = sent.clone();
        let sender = thread::spawn(move || {
            let mut rest = &sent[..];
            for size in sizes {
                peer.write_all(&rest[..size])?;
                rest = &rest[size..];
            }
            io::Result::Ok(())
        });
        let mut received = Vec::with_capacity(expected.len());
        loop {
            let bytes = match random.below(3) {
                0 => stream.recv().await?.to_vec(),
                1 => stream.read(Vec::with_capacity(1 + random.below(30_000))).await?.1,
                _ => match poll_once(&mut stream.read(Vec::with_capacity(64))).await {
                    std::task::Poll::Ready(read) => read?.1,
                    std::task::Poll::Pending => continue,
                },
            };
            if bytes.is_empty() {
                break;
            }
            received.extend_from_slice(&bytes);
        }
        assert!(received == expected, "the bytes came in another order");
        sender.join().expect("it does not panic")
    });
}

#[corering::test(driver = "uring")]
async fn adaptive_stream_changes_with_large_messages_and_back_with_small_ones() -> io::Result<()> {
    let (mut stream, mut peer) = tcp_peer().await?;
    let changes =
        |metrics: Metrics| (metrics.changes_to_notification, metrics.changes_to_completion);
    peer.write_all(b"small")?;
    assert_eq!(stream.recv().await?.len(), 5);
    assert_eq!(changes(corering::metrics()), (0, 0));
    for round in 1..4 {
        // The first message that is received as a large one changes the way; its rest may be small.
        let mut left = 0;
        for _ in 0..10 {
            peer.write_all(&[7; 20_000])?;
            left += 20_000;
            while left > 0 {
                left -= stream.recv().await?.len();
            }
        }
        assert_eq!(changes(corering::metrics()), (round, round - 1));
        for _ in 0..100 {
            peer.write_all(b"small")?;
            assert_eq!(stream.recv().await?.len(), 5);
        }
        assert_eq!(changes(corering::metrics()), (round, round));
    }
    Ok(())
}

#[test]
fn large_reads_between_receives_leave_the_way_to_the_policy() {
    // A stream that begins with either, small messages and large ones.
    for (begins_with_read, size) in [(false, 64), (true, 64), (false, 10_000), (true, 10_000)] {
        on_each_policy("large_reads_between_receives", |_| async move {
            let (mut stream, mut peer) = tcp_pair().await?;
            let sent = pattern(size);
            let before = corering::metrics().cancels;
            for turn in 0..1000 {
                peer.write_all(sent.clone()).await?;
                let mut received = Vec::with_capacity(size);
                while received.len() < size {
                    if (turn % 2 == 0) == begins_with_read {
                        received.extend(stream.read(Vec::with_capacity(16 * 1024)).await?.1);
                    } else {
                        received.extend_from_slice(&stream.recv().await?);
                    }
                }
                assert!(received == sent, "message {turn}");
            }
            let cancels = corering::metrics().cancels - before;
            assert!(cancels <= 2, "{cancels} cancels of {size} bytes");
            Ok(())
        });
    }
}

#[test]
fn large_read_of_a_new_stream_arms_nothing_that_stays() {
    on_each_policy("large_read_of_a_new_stream", |policy| async move {
        let (mut stream, mut peer) = tcp_peer().await?;
        peer.write_all(b"bytes")?;
        assert_eq!(stream.read(Vec::with_capacity(8192)).await?.1, b"bytes");
        let stays = corering::metrics().operations_in_flight > 0;
        let by_completion =
            policy == ReceivePolicy::Completion && test_support::current_driver() == Driver::Uring;
        assert_eq!(stays, by_completion);
        // Armed by a small one it is copied from, whatever the room.
        peer.write_all(b"small")?;
        assert_eq!(stream.read(Vec::with_capacity(5)).await?.1, b"small");
        peer.write_all(b"large")?;
        assert_eq!(stream.read(Vec::with_capacity(8192)).await?.1, b"large");
        Ok(())
    });
}

#[test]
fn fixed_policies_never_change() {
    for policy in [ReceivePolicy::Completion, ReceivePolicy::Notification] {
        let configure = |builder: corering::Builder| builder.receive_policy(policy);
        test_support::run_configured("fixed_policies_never_change", None, configure, || async {
            let (mut stream, mut peer) = tcp_peer().await?;
            for size in [20_000, 1, 20_000, 5].into_iter().chain([10; 100]) {
                peer.write_all(&vec![1; size])?;
                stream.read_exact(vec![0; size], size).await?;
                let mut left = size;
                peer.write_all(&vec![2; size])?;
                while left > 0 {
                    left -= stream.recv().await?.len();
                }
            }
            let metrics = corering::metrics();
            assert_eq!((metrics.changes_to_notification, metrics.changes_to_completion), (0, 0));
            io::Result::Ok(())
        });
    }
}

#[test]
fn data_and_the_end_that_came_before_the_wait_are_both_received() {
    on_each_policy("data_and_the_end_that_came_before_the_wait", |_| async {
        // The stream is known to its driver before, and everything comes while nobody waits.
        for first_waits in [false, true] {
            for by_read in [false, true] {
                let (mut stream, mut peer) = tcp_peer().await?;
                if first_waits {
                    drop_in_flight(stream.recv()).await;
                    peer.write_all(b"first")?;
                    assert_eq!(&*stream.recv().await?, b"first");
                }
                peer.write_all(b"data")?;
                drop(peer);
                for _ in 0..5 {
                    yield_now().await;
                }
                if by_read {
                    assert_eq!(stream.read(Vec::with_capacity(64)).await?.1, b"data");
                    assert_eq!(stream.read(Vec::with_capacity(64)).await?.0, 0);
                } else {
                    assert_eq!(&*stream.recv().await?, b"data");
                    assert!(stream.recv().await?.is_empty());
                }
            }
        }
        Ok(())
    });
}

#[test]
fn end_that_comes_while_small_parts_are_read_is_not_missed() {
    on_each_policy("end_that_comes_while_small_parts_are_read", |_| async {
        let (mut stream, mut peer) = tcp_peer().await?;
        drop_in_flight(stream.recv()).await;
        let sent = pattern(10_000);
        peer.write_all(&sent)?;
        let mut received = stream.read(Vec::with_capacity(100)).await?.1;
        drop(peer);
        loop {
            let (count, part) = stream.read(Vec::with_capacity(100)).await?;
            if count == 0 {
                break;
            }
            received.extend_from_slice(&part);
            yield_now().await;
        }
        assert!(received == sent);
        Ok(())
    });
}

#[test]
fn descriptor_that_was_duplicated_sends_no_events_to_its_successor() {
    on_each_policy("descriptor_that_was_duplicated", |_| async {
        for _ in 0..20 {
            let (mut old, mut old_peer) = unix_peer()?;
            // Waits once, so that readiness is watched where it is.
            drop_in_flight(old.recv()).await;
            let duplicate: OwnedFd = old.as_fd().try_clone_to_owned()?;
            drop(old);
            nothing_is_in_flight().await;
            // The next takes the number, while the duplicate keeps the old file open.
            let (mut new, mut new_peer) = unix_peer()?;
            let waiting = spawn(async move { new.recv().await.map(|bytes| bytes.to_vec()) });
            yield_now().await;
            let unknown = corering::metrics().unknown_completions;
            old_peer.write_all(b"for the duplicate")?;
            for _ in 0..3 {
                yield_now().await;
            }
            assert!(!waiting.is_finished());
            assert_eq!(corering::metrics().unknown_completions, unknown);
            new_peer.write_all(b"new")?;
            assert_eq!(waiting.await.expect("it does not panic")?, b"new");
            drop(duplicate);
        }
        Ok(())
    });
}

#[test]
fn stream_that_is_idle_holds_no_buffer() {
    on_each_policy("stream_that_is_idle_holds_no_buffer", |_| async {
        let mut idle = Vec::new();
        for _ in 0..200 {
            let (mut stream, mut peer) = unix_peer()?;
            peer.write_all(b"hello")?;
            assert_eq!(&*stream.recv().await?, b"hello");
            drop_in_flight(stream.recv()).await;
            idle.push((stream, peer));
        }
        let metrics = corering::metrics();
        assert_eq!((metrics.group_buffers_out, metrics.lent_buffers_out), (0, 0));
        Ok(())
    });
}

#[test]
fn message_larger_than_a_buffer_comes_in_order() {
    for policy in POLICIES {
        let configure =
            |builder: corering::Builder| builder.receive_policy(policy).buffer_group(8, 512);
        test_support::run_configured("message_larger_than_a_buffer", None, configure, || async {
            let (mut stream, mut peer) = tcp_peer().await?;
            drop_in_flight(stream.recv()).await;
            let sent = pattern(300_000);
            let expected = sent.clone();
            let sender = thread::spawn(move || peer.write_all(&sent));
            let received = receive_all(&mut stream).await?;
            assert!(received == expected);
            sender.join().expect("it does not panic")
        });
    }
}

#[test]
fn epoll_receives_about_once_per_request() {
    test_support::run_configured(
        "epoll_receives_about_once_per_request",
        Some(Driver::Epoll),
        |builder| builder,
        || async {
            let (mut client, server) = tcp_pair().await?;
            let server = spawn(net::echo(server));
            let before = corering::metrics();
            for _ in 0..1000 {
                client.write_all("request").await?;
                // With room for more than comes: a full buffer would not say that it is drained.
                assert_eq!(client.recv().await?.len(), 7);
            }
            let after = corering::metrics();
            // Two receives and two sends for each: one of the server's and one of the client's.
            let attempts = after.attempts - before.attempts;
            assert!(attempts <= 4200, "{attempts} calls for 1000 requests");
            assert_eq!(after.registrations, before.registrations.max(2));
            drop(client);
            server.await.expect("it does not panic")
        },
    );
}

/// Counts how often it was woken.
#[derive(Default)]
struct Bell(AtomicU32);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn stream_wakes_whoever_asked_last() {
    on_each_policy("stream_wakes_whoever_asked_last", |_| async {
        let (mut stream, mut peer) = tcp_peer().await?;
        for _ in 0..3 {
            let bells = [(); 2].map(|()| Arc::new(Bell::default()));
            let mut receive = stream.recv();
            for bell in &bells {
                let waker = Waker::from(bell.clone());
                let polled = Pin::new(&mut receive).poll(&mut Context::from_waker(&waker));
                assert!(polled.is_pending());
                sleep(Duration::from_millis(1)).await;
            }
            peer.write_all(b"here")?;
            let rings = || bells.each_ref().map(|bell| bell.0.load(Ordering::Relaxed));
            for _ in 0..10_000 {
                if rings()[1] > 0 {
                    break;
                }
                sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(rings(), [0, 1]);
            assert_eq!(&*receive.await?, b"here");
        }
        Ok(())
    });
}

#[test]
fn receiving_half_that_is_dropped_keeps_no_waker() {
    on_each_policy("receiving_half_that_is_dropped_keeps_no_waker", |_| async {
        let (stream, _peer) = tcp_peer().await?;
        let (mut reader, writer) = stream.into_split();
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(bell.clone());
        let polled = Pin::new(&mut reader.recv()).poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
        drop(waker);
        assert_eq!(Arc::strong_count(&bell), 2);
        drop(reader);
        assert_eq!(Arc::strong_count(&bell), 1);
        drop(writer);
        Ok(())
    });
}

#[test]
fn halves_of_a_stream_may_wait_in_two_runtimes() {
    for driver in test_support::drivers() {
        let runtimes = [(); 2].map(|()| {
            let builder = Runtime::builder().driver(driver);
            builder.receive_policy(ReceivePolicy::Notification).build().expect("it is there")
        });
        let (writer, received, mut peer) = runtimes[0].block_on(async {
            let (stream, peer) = tcp_peer().await.expect("sockets work");
            let (mut reader, writer) = stream.into_split();
            let received = spawn(async move { reader.recv().await.map(|bytes| bytes.to_vec()) });
            yield_now().await;
            (writer, received, peer)
        });
        runtimes[1].block_on(async move {
            let mut writer = writer;
            drop_in_flight(writer.write_all(vec![0; net::TOO_MUCH])).await;
        });
        peer.write_all(b"for the first").expect("there is room");
        let received = runtimes[0].block_on(timeout(Duration::from_secs(10), received));
        let received = received.expect("it is woken").expect("it does not panic");
        assert_eq!(received.expect("it was sent"), b"for the first", "{driver}");
    }
}
