//! Visits to the kernel that fail, and queues that are too small.

use corering::ReceivePolicy;
use corering::net::TcpListener;
use corering::sim::Simulation;

use crate::echo::{configuration, serve_clients};
use crate::pairs::{pair, pair_with, pattern, receive_all};
use crate::simulated::{Numbers, defaults, run, run_in};

#[test]
fn echo_survives_enters_that_fail() {
    let (mut interrupted, mut refused) = (0, 0);
    for seed in 0..200 {
        let sim = Simulation::new(seed);
        sim.fail_enter(300);
        let mut numbers = Numbers::new(seed);
        let run = run_in(&sim, seed, configuration(&mut numbers), serve_clients(numbers));
        interrupted += run.metrics.enter_interrupted;
        refused += run.metrics.enter_refused;
    }
    assert!(interrupted > 0 && refused > 0, "{interrupted} interrupted, {refused} refused");
}

#[test]
fn echo_survives_enters_that_mostly_fail_with_a_queue_of_one() {
    let mut backlogged = 0;
    for seed in 0..50 {
        let sim = Simulation::new(seed);
        sim.fail_enter(800);
        let mut numbers = Numbers::new(seed);
        let builder = configuration(&mut numbers).ring_entries(1);
        backlogged += run_in(&sim, seed, builder, serve_clients(numbers)).metrics.backlogged;
    }
    assert!(backlogged > 0, "the queue was never full when it could not be flushed");
}

#[test]
fn hundreds_of_operations_pass_through_the_smallest_rings() {
    let mut overflows = 0;
    for seed in 0..8 {
        let sim = Simulation::new(seed);
        sim.fail_enter(100);
        let entries = 1 + seed as u32 % 4;
        let policy = [ReceivePolicy::Completion, ReceivePolicy::Notification][seed as usize / 4];
        let builder = defaults().ring_entries(entries).receive_policy(policy);
        let run = run_in(&sim, seed, builder, async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut tasks = Vec::new();
            for _ in 0..150 {
                let (mut client, mut server) = pair_with(&listener).await;
                tasks.push(corering::spawn(async move {
                    let bytes = receive_all(&mut server, 100).await;
                    server.write_all(bytes).await.unwrap();
                }));
                tasks.push(corering::spawn(async move {
                    // All at once, when the last connection is there.
                    corering::yield_now().await;
                    client.write_all(pattern(100)).await.unwrap();
                    assert!(receive_all(&mut client, 100).await == pattern(100));
                }));
            }
            for task in tasks {
                task.await.unwrap();
            }
        });
        overflows += run.metrics.completion_overflows;
    }
    assert!(overflows > 0, "the completion queue was never full");
}

#[test]
fn multishot_that_a_full_completion_queue_ends_loses_nothing() {
    let mut overflows = 0;
    for seed in 0..200 {
        let builder = defaults()
            .ring_entries(1)
            .receive_policy(ReceivePolicy::Completion)
            .buffer_group(64, 64)
            .max_queued_buffers(32);
        let run = run(seed, builder, async {
            let (mut sender, mut reader) = pair().await;
            let sending = corering::spawn(async move {
                sender.write_all(pattern(6_000)).await.unwrap();
                sender
            });
            assert!(receive_all(&mut reader, 6_000).await == pattern(6_000));
            drop(sending.await.unwrap());
            assert!(reader.recv().await.unwrap().is_empty());
        });
        overflows += run.metrics.completion_overflows;
    }
    assert!(overflows > 0, "the completion queue was never full");
}

#[test]
fn poll_that_a_full_completion_queue_ends_is_armed_again() {
    let mut overflows = 0;
    for seed in 0..20 {
        let builder = defaults().ring_entries(1).receive_policy(ReceivePolicy::Notification);
        let run = run(seed, builder, async {
            let mut tasks = Vec::new();
            for _ in 0..20 {
                let (mut client, mut server) = pair().await;
                tasks.push(corering::spawn(async move {
                    for _ in 0..5 {
                        let bytes = receive_all(&mut server, 10).await;
                        server.write_all(bytes).await.unwrap();
                    }
                }));
                tasks.push(corering::spawn(async move {
                    for _ in 0..5 {
                        client.write_all(pattern(10)).await.unwrap();
                        assert!(receive_all(&mut client, 10).await == pattern(10));
                    }
                }));
            }
            for task in tasks {
                task.await.unwrap();
            }
        });
        overflows += run.metrics.completion_overflows;
    }
    assert!(overflows > 0, "the completion queue was never full");
}
