//! The buffer group when it runs out, and streams that nobody reads.

use std::time::Duration;

use corering::net::{TcpListener, TcpStream};
use corering::{Builder, JoinHandle, ReceivePolicy};

use crate::pairs::{pair, pair_with, pattern, receive_all};
use crate::simulated::{Numbers, defaults, pause, run};

fn few_buffers() -> Builder {
    defaults().receive_policy(ReceivePolicy::Completion).buffer_group(4, 512)
}

/// Sends without end, until the other end is gone.
fn flood(mut stream: TcpStream) -> JoinHandle<()> {
    corering::spawn(async move { while stream.write_all(pattern(10_000)).await.is_ok() {} })
}

#[test]
fn stream_that_was_paused_and_found_the_group_empty_keeps_its_bytes_in_order() {
    for seed in 0..200 {
        let mut numbers = Numbers::new(seed);
        let builder = few_buffers().buffer_group(2, 64).max_queued_buffers(numbers.of(&[1, 2, 3]));
        run(seed, builder, async move {
            let (mut sender, mut reader) = pair().await;
            let sent = pattern(4_000);
            let sending = corering::spawn(async move { sender.write_all(sent).await.unwrap() });
            let mut received = Vec::new();
            while received.len() < 4_000 {
                if numbers.once_in(3) {
                    pause(numbers.moment()).await;
                }
                let bytes = reader.recv().await.unwrap();
                // Held for a while: the group is empty meanwhile.
                if numbers.once_in(3) {
                    pause(numbers.moment()).await;
                }
                received.extend_from_slice(&bytes);
            }
            assert!(received == sending.await.unwrap(), "other bytes came, or in another order");
        });
    }
}

#[test]
fn connection_is_served_while_another_holds_every_buffer() {
    for seed in 0..100 {
        let run = run(seed, few_buffers(), async {
            let (greedy_sender, mut greedy) = pair().await;
            let (mut sender, mut served) = pair().await;
            let flooding = flood(greedy_sender);
            let mut held = Vec::new();
            while corering::metrics().group_buffers_out < 4 {
                held.push(greedy.recv().await.unwrap());
            }
            let sending = corering::spawn(async move {
                sender.write_all(pattern(3_000)).await.unwrap();
                sender
            });
            assert!(receive_all(&mut served, 3_000).await == pattern(3_000));
            let mut sender = sending.await.unwrap();
            let heap_receives = corering::metrics().heap_receives;
            assert!(heap_receives > 0, "there was no buffer left to receive into");
            drop((held, greedy));
            flooding.await.unwrap();
            // With buffers in the group again, it is the group that is received into.
            for _ in 0..20 {
                sender.write_all(pattern(100)).await.unwrap();
                receive_all(&mut served, 100).await;
            }
            assert!(corering::metrics().heap_receives <= heap_receives + 1);
        });
        assert!(run.metrics.buffer_group_empty > 0);
    }
}

#[test]
fn waiting_for_a_buffer_does_not_spin() {
    for seed in 0..50 {
        run(seed, few_buffers(), async {
            let (greedy_sender, mut greedy) = pair().await;
            let (idle_sender, mut idle) = pair().await;
            let flooding = flood(greedy_sender);
            let mut held = Vec::new();
            while corering::metrics().group_buffers_out < 4 {
                held.push(greedy.recv().await.unwrap());
            }
            let waiting = corering::spawn(async move { idle.recv().await.unwrap().len() });
            pause(Duration::from_secs(1)).await;
            let before = corering::metrics();
            pause(Duration::from_secs(60)).await;
            let after = corering::metrics();
            assert!(after.rounds - before.rounds < 10, "it turned {} times", after.rounds);
            assert_eq!(after.buffer_group_empty, before.buffer_group_empty);
            drop((held, greedy, idle_sender));
            flooding.await.unwrap();
            assert_eq!(waiting.await.unwrap(), 0, "the peer has closed");
        });
    }
}

#[test]
fn stream_that_nobody_reads_leaves_the_others_their_share() {
    for seed in 0..20 {
        let mut numbers = Numbers::new(seed);
        let builder = few_buffers().max_queued_buffers(numbers.of(&[1, 8]));
        run(seed, builder, async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let (mut flood, mut unread) = pair_with(&listener).await;
            let flooding =
                corering::spawn(
                    async move { while flood.write_all(pattern(10_000)).await.is_ok() {} },
                );
            assert!(!unread.recv().await.unwrap().is_empty());
            let mut echoes = Vec::new();
            for _ in 0..50 {
                let (mut client, mut server) = pair_with(&listener).await;
                echoes.push(corering::spawn(async move {
                    loop {
                        let bytes = server.recv().await.unwrap();
                        if bytes.is_empty() {
                            break;
                        }
                        server.write_all(bytes).await.unwrap();
                    }
                }));
                echoes.push(corering::spawn(async move {
                    client.write_all(pattern(200)).await.unwrap();
                    assert!(receive_all(&mut client, 200).await == pattern(200));
                }));
            }
            for echo in echoes {
                echo.await.unwrap();
            }
            drop(unread);
            flooding.await.unwrap();
        });
    }
}

#[test]
fn one_free_buffer_costs_each_message_few_refusals_and_cancels() {
    const CONNECTIONS: usize = 16;
    const MESSAGES: usize = 30;
    for seed in 0..20 {
        let run = run(seed, few_buffers(), async {
            let (greedy_sender, mut greedy) = pair().await;
            let flooding = flood(greedy_sender);
            let mut held = Vec::new();
            while held.len() < 3 {
                held.push(greedy.recv().await.unwrap());
            }
            // What waits with the stream goes back with it; what the program holds stays.
            drop(greedy);
            flooding.await.unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut tasks = Vec::new();
            for _ in 0..CONNECTIONS {
                let (mut client, mut server) = pair_with(&listener).await;
                tasks.push(corering::spawn(async move {
                    for _ in 0..MESSAGES {
                        client.write_all("x").await.unwrap();
                        assert_eq!(&*receive_all(&mut client, 1).await, b"x");
                    }
                }));
                tasks.push(corering::spawn(async move {
                    for _ in 0..MESSAGES {
                        let bytes = server.recv().await.unwrap();
                        server.write_all(bytes).await.unwrap();
                    }
                }));
            }
            for task in tasks {
                task.await.unwrap();
            }
            drop(held);
        });
        // Each goes there and back.
        let messages = 2 * (CONNECTIONS * MESSAGES) as u64;
        let (refusals, cancels) = (run.metrics.buffer_group_empty, run.metrics.cancels);
        assert!(refusals <= messages / 2, "{refusals} refusals for {messages} messages");
        assert!(cancels <= messages / 2, "{cancels} cancels for {messages} messages");
    }
}
