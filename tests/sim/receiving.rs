//! Receiving: errors, and bytes that wait in the stream.

use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::time::Duration;

use corering::ReceivePolicy;
use corering::sim::Simulation;
use corering::time::within;
use corering::yield_now;
use futures_util::future::{FutureExt, join};
use io_uring::opcode;

use crate::pairs::{pair, pattern, receive_all};
use crate::simulated::{defaults, drop_after, pause, run, run_in};

const POLICIES: [ReceivePolicy; 2] = [ReceivePolicy::Completion, ReceivePolicy::Notification];

#[test]
fn reset_is_an_error_of_the_receive_in_every_way() {
    for seed in 0..100 {
        let sim = Simulation::new(seed);
        sim.fail(opcode::Recv::CODE, 1, libc::ECONNRESET);
        let builder = defaults().receive_policy(POLICIES[seed as usize % 2]);
        run_in(&sim, seed, builder, async move {
            let (mut sender, mut reader) = pair().await;
            sender.write_all(pattern(100)).await.unwrap();
            let error = match seed / 2 % 3 {
                0 => reader.recv().await.unwrap_err(),
                1 => reader.read(Vec::with_capacity(100)).await.unwrap_err().error,
                _ => reader.read_exact(vec![0; 100], 100).await.unwrap_err().error,
            };
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        });
    }
}

/// As at an urgent mark: nothing more comes that would tell of what is left.
#[test]
fn bytes_that_one_receive_left_arrive_by_notification() {
    for seed in 0..100 {
        let builder = defaults().receive_policy(ReceivePolicy::Notification);
        run(seed, builder, async move {
            let (mut sender, mut reader) = pair().await;
            for len in [1, 100, 3_000] {
                let receiving = receive_all(&mut reader, len);
                let (sent, received) = join(sender.write_all(pattern(len)), receiving).await;
                sent.unwrap();
                assert!(received == pattern(len), "other bytes came, or in another order");
            }
        });
    }
}

#[test]
fn end_behind_bytes_is_heard_where_multishot_misses_it() {
    for seed in 0..100 {
        let sim = Simulation::new(seed);
        sim.miss_ends();
        run_in(&sim, seed, defaults(), async move {
            let (mut sender, mut reader) = pair().await;
            // Nothing is known of a socket that was lent out, not that it is one of TCP either.
            reader.as_fd();
            sender.write_all(pattern(100)).await.unwrap();
            drop(sender);
            assert!(receive_all(&mut reader, 100).await == pattern(100));
            assert!(reader.recv().await.unwrap().is_empty());
        });
    }
}

#[test]
fn reading_nothing_does_not_wait() {
    for policy in POLICIES {
        run(1, defaults().receive_policy(policy), async {
            let (_sender, mut reader) = pair().await;
            assert!(reader.read_exact(Vec::new(), 0).await.unwrap().is_empty());
        });
    }
}

#[test]
fn read_into_no_room_fails_and_does_not_end_the_stream() {
    for seed in 0..100 {
        let builder = defaults().receive_policy(POLICIES[seed as usize % 2]);
        run(seed, builder, async move {
            let (mut sender, mut reader) = pair().await;
            let limit = Duration::from_micros(seed);
            let read = drop_after(limit, reader.read(Vec::new())).await;
            let failed = read.expect("there is nothing to wait for").unwrap_err();
            assert_eq!(failed.kind(), ErrorKind::InvalidInput);
            sender.write_all(pattern(100)).await.unwrap();
            assert!(receive_all(&mut reader, 100).await == pattern(100));
        });
    }
}

#[test]
fn stream_with_unread_bytes_can_be_closed_and_detached() {
    for seed in 0..100 {
        let builder = defaults()
            .receive_policy(ReceivePolicy::Completion)
            .buffer_group(128, 64)
            .max_queued_buffers([1, 2, 8][seed as usize % 3]);
        run(seed, builder, async move {
            let (mut sender, mut reader) = pair().await;
            let sending =
                corering::spawn(
                    async move { sender.write_all(pattern(5_000)).await.map(|_| sender) },
                );
            // The multishot is armed, brings more than anybody takes, and is paused.
            let first = reader.recv().await.unwrap().to_vec();
            pause(Duration::from_millis(200)).await;
            if seed % 2 == 0 {
                reader.close().await.unwrap();
                drop(sending.await.unwrap());
                return;
            }
            let mut received = first;
            let mut reader = reader.detach().await.unwrap().into_stream();
            let left = 5_000 - received.len();
            received.extend(receive_all(&mut reader, left).await);
            assert!(received == pattern(5_000), "other bytes came, or in another order");
            drop(sending.await.unwrap().unwrap());
        });
    }
}

#[test]
fn read_that_timed_out_gives_its_buffer_back_and_loses_no_byte() {
    for seed in 0..200 {
        let builder = defaults().receive_policy(POLICIES[seed as usize % 2]);
        run(seed, builder, async move {
            let (mut sender, mut reader) = pair().await;
            let sending = corering::spawn(async move {
                for piece in pattern(3_000).chunks(300) {
                    pause(Duration::from_micros(seed * 7)).await;
                    sender.write_all(piece.to_vec()).await.unwrap();
                }
            });
            let mut buffer = Vec::with_capacity(1_000);
            let mut received = Vec::new();
            while received.len() < 3_000 {
                let limit = Duration::from_micros(seed % 50);
                buffer = match within(limit, reader.read(buffer)).await {
                    Ok((count, buffer)) => {
                        assert_eq!(count, buffer.len());
                        received.extend_from_slice(&buffer);
                        buffer
                    }
                    Err(failed) => {
                        assert_eq!(failed.error.kind(), ErrorKind::TimedOut);
                        failed.into_parts().1
                    }
                };
                assert_eq!(buffer.capacity(), 1_000);
            }
            assert!(received == pattern(3_000), "other bytes came, or in another order");
            sending.await.unwrap();
        });
    }
}

#[test]
fn closed_stream_leaves_no_poll_of_its_number_behind() {
    let sim = Simulation::new(1);
    let builder = defaults().receive_policy(ReceivePolicy::Notification);
    run_in(&sim, 1, builder, async {
        let (mut stream, _peer) = pair().await;
        // The poll is staged and not submitted, and the close comes in the same round.
        assert!(stream.readable().now_or_never().is_none());
        drop(stream);
        yield_now().await;
    });
    let trace = sim.trace();
    let polls = trace.iter().filter(|line| line.contains("submit") && line.contains("opcode 6 "));
    let of_sockets = polls.clone().filter(|line| line.contains("on socket")).count();
    assert!(of_sockets > 0, "nothing was polled: {trace:#?}");
    // The ring's own are of doorbells.
    let others: Vec<_> = polls.filter(|line| line.contains("submit 0x8")).collect();
    assert!(others.iter().all(|line| line.contains("on socket")), "{others:#?}");
}
