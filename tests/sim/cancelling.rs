//! Futures dropped at every moment of their life: nothing is lost, nothing comes twice, nothing is
//! left. A virtual microsecond is one visit to the kernel, so the steps cover every state that the
//! operation passes through.

use std::time::Duration;

use corering::ReceivePolicy;
use corering::net::TcpStream;
use corering::time::{sleep, timeout, within};

use crate::pairs::{pair, pattern};
use crate::simulated::{defaults, drop_after, drop_after_polls, pause, run};

const STEPS: u64 = 60;
const POLICIES: [ReceivePolicy; 3] =
    [ReceivePolicy::Adaptive, ReceivePolicy::Completion, ReceivePolicy::Notification];

/// Sends the pattern in pieces, with pauses in which the reader finds nothing.
fn send_slowly(mut sender: TcpStream, bytes: usize) -> corering::JoinHandle<()> {
    corering::spawn(async move {
        for piece in pattern(bytes).chunks(170) {
            pause(Duration::from_micros(40)).await;
            sender.write_all(piece.to_vec()).await.unwrap();
        }
    })
}

fn assert_pattern(received: &[u8]) {
    assert!(received == pattern(received.len()), "other bytes came, or in another order");
}

#[test]
fn recv_dropped_at_any_moment_loses_no_byte() {
    for step in 0..STEPS {
        for (seed, policy) in POLICIES.into_iter().enumerate() {
            let builder = defaults().receive_policy(policy).buffer_group(4, 64);
            run(seed as u64 * 1_000 + step, builder, async move {
                let (sender, mut reader) = pair().await;
                let sending = send_slowly(sender, 2_000);
                let mut received = Vec::new();
                while received.len() < 2_000 {
                    let limit = Duration::from_micros(step);
                    if let Some(bytes) = drop_after(limit, reader.recv()).await {
                        received.extend_from_slice(&bytes.unwrap());
                    }
                }
                assert_pattern(&received);
                sending.await.unwrap();
            });
        }
    }
}

#[test]
fn read_dropped_at_any_moment_loses_no_byte() {
    for step in 0..STEPS {
        for (seed, policy) in POLICIES.into_iter().enumerate() {
            let builder = defaults().receive_policy(policy).buffer_group(4, 64);
            run(seed as u64 * 1_000 + step, builder, async move {
                let (sender, mut reader) = pair().await;
                let sending = send_slowly(sender, 2_000);
                let mut received = Vec::new();
                let mut turn = 0;
                while received.len() < 2_000 {
                    let limit = Duration::from_micros(step);
                    let buffer = Vec::with_capacity(100);
                    if let Some(read) = drop_after(limit, reader.read(buffer)).await {
                        received.extend_from_slice(&read.unwrap().1);
                    }
                    // What a dropped read has brought is for the next call of either kind.
                    turn += 1;
                    if turn % 3 == 0
                        && let Some(bytes) = drop_after(limit, reader.recv()).await
                    {
                        received.extend_from_slice(&bytes.unwrap());
                    }
                }
                assert_pattern(&received);
                sending.await.unwrap();
            });
        }
    }
}

#[test]
fn receives_dropped_after_any_number_of_polls_lose_no_byte() {
    for polls in 0..4 {
        for seed in 0..60 {
            let builder = defaults().receive_policy(POLICIES[seed as usize % 3]);
            run(seed, builder, async move {
                let (sender, mut reader) = pair().await;
                let sending = send_slowly(sender, 1_000);
                let mut received = Vec::new();
                while received.len() < 1_000 {
                    if let Some(bytes) = drop_after_polls(polls, reader.recv()).await {
                        received.extend_from_slice(&bytes.unwrap());
                    }
                    let buffer = Vec::with_capacity(50);
                    if let Some(read) = drop_after_polls(polls, reader.read(buffer)).await {
                        received.extend_from_slice(&read.unwrap().1);
                    }
                    // Without a poll that is not dropped nothing would ever be received.
                    if polls < 2 {
                        let limit = Duration::from_micros(30);
                        let read = drop_after(limit, reader.read(Vec::with_capacity(50))).await;
                        received.extend(read.map_or(Vec::new(), |read| read.unwrap().1));
                    }
                }
                assert_pattern(&received);
                sending.await.unwrap();
            });
        }
    }
}

#[test]
fn sleep_dropped_at_any_moment_leaves_no_timer() {
    for step in 0..STEPS {
        run(step, defaults(), async move {
            let limit = Duration::from_micros(step);
            let _: Option<()> = drop_after(limit, sleep(Duration::from_micros(30))).await;
            let _ = timeout(limit, sleep(Duration::from_micros(30))).await;
            assert_eq!(corering::metrics().timers, 0);
        });
    }
}

#[test]
fn shutdown_and_close_dropped_at_any_moment_still_happen() {
    for step in 0..STEPS {
        run(step, defaults(), async move {
            let (left, mut right) = pair().await;
            let limit = Duration::from_micros(step);
            if step % 2 == 0 {
                drop(drop_after(limit, left.shutdown(std::net::Shutdown::Write)).await);
                // Not polled, nothing has happened; the stream's end comes with its drop.
                drop(left);
            } else {
                drop(drop_after(limit, left.close()).await);
            }
            assert!(right.recv().await.unwrap().is_empty());
        });
    }
}

#[test]
fn timeout_dropped_at_any_moment_leaves_nothing() {
    for step in 0..STEPS {
        run(step, defaults(), async move {
            let (mut sender, mut reader) = pair().await;
            let limit = Duration::from_micros(step);
            let reading = within(Duration::from_micros(20), reader.read(Vec::with_capacity(10)));
            assert!(drop_after(limit, reading).await.is_none_or(|read| read.is_err()));
            assert_eq!(corering::metrics().timers, 0);
            sender.write_all("later").await.unwrap();
            let mut received = Vec::new();
            while received.len() < 5 {
                received.extend_from_slice(&reader.recv().await.unwrap());
            }
            assert_eq!(received, b"later");
        });
    }
}
