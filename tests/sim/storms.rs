//! Streams that are read in every way, move, and end, with hardly a buffer in the group.

use std::io::ErrorKind;
use std::time::Duration;

use corering::ReceivePolicy::{self, Adaptive, Completion, Notification};
use corering::net::TcpStream;
use corering::sim::Simulation;
use corering::time::within;

use crate::pairs::{pair, pattern};
use crate::simulated::{Numbers, defaults, drop_after, drop_after_polls, pause, run_in};

const POLICIES: [ReceivePolicy; 3] = [Adaptive, Completion, Notification];
const BYTES: usize = 40_000;

async fn send(mut sender: TcpStream, mut numbers: Numbers) {
    let bytes = pattern(BYTES);
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let most = numbers.of(&[2, 100, 12_000]);
        let (now, later) = rest.split_at(rest.len().min(numbers.within(1..most)));
        sender.write_all(now.to_vec()).await.unwrap();
        if numbers.once_in(3) {
            pause(numbers.moment()).await;
        }
        rest = later;
    }
    if numbers.once_in(2) {
        sender.shutdown(std::net::Shutdown::Write).await.unwrap();
        pause(numbers.moment()).await;
    }
}

async fn receive(mut stream: TcpStream, mut numbers: Numbers) {
    let mut all = Vec::new();
    let mut ends = 0;
    let mut held = None;
    while ends < 3 {
        let room = numbers.of(&[1, 50, 5_000, 10_000]);
        let received = match numbers.within(0..9) {
            0 | 1 => {
                let received = stream.recv().await.unwrap();
                let bytes = received.to_vec();
                // The group has one buffer less for a while.
                held = numbers.once_in(2).then_some(received);
                bytes
            }
            2 | 3 => stream.read(Vec::with_capacity(room)).await.unwrap().1,
            4 => match drop_after_polls(1, stream.recv()).await {
                Some(received) => received.unwrap().to_vec(),
                None => continue,
            },
            5 => match drop_after(numbers.moment(), stream.read(Vec::with_capacity(room))).await {
                Some(received) => received.unwrap().1,
                None => continue,
            },
            6 => match within(numbers.moment(), stream.read(Vec::with_capacity(room))).await {
                Ok((_, bytes)) => bytes,
                Err(failed) => {
                    assert_eq!(failed.kind(), ErrorKind::TimedOut);
                    continue;
                }
            },
            7 if numbers.once_in(8) => {
                stream = stream.detach().await.unwrap().into_stream();
                continue;
            }
            _ => {
                drop(held.take());
                pause(Duration::from_micros(numbers.within(1..100) as u64)).await;
                continue;
            }
        };
        ends += usize::from(received.is_empty());
        all.extend(received);
    }
    assert!(all == pattern(BYTES), "other bytes came, or in another order");
}

#[test]
fn streams_in_storm_lose_nothing_and_end() {
    for seed in 0..120 {
        let sim = Simulation::new(seed);
        let mut numbers = Numbers::new(seed);
        if numbers.once_in(3) {
            sim.fail_enter(100);
        }
        let builder = defaults()
            .receive_policy(POLICIES[seed as usize % 3])
            .buffer_group(numbers.of(&[1, 2, 16]), numbers.of(&[512, 8_192]))
            .max_queued_buffers(numbers.of(&[1, 2, 8]));
        run_in(&sim, seed, builder, async move {
            let mut tasks = Vec::new();
            for _ in 0..4 {
                let (sender, receiver) = pair().await;
                tasks.push(corering::spawn(send(sender, numbers.fork())));
                tasks.push(corering::spawn(receive(receiver, numbers.fork())));
            }
            for task in tasks {
                task.await.unwrap();
            }
        });
    }
}
