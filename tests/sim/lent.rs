//! Bytes that `poll_write` took arrive, whatever the kernel makes of each send and whenever the stream is
//! dropped.

use std::future::poll_fn;
use std::time::Duration;

use corering::io::PollWrite;
use corering::net::TcpStream;
use corering::sim::Simulation;
use corering::task::JoinSet;
use corering::{ReceivePolicy, yield_now};
use io_uring::opcode;

use crate::pairs::{pair, pattern};
use crate::simulated::{Numbers, defaults, drop_after, run_in};

const TOTAL: usize = 30_000;

/// Writes parts of the pattern until all were taken, and counts the bytes that were.
async fn write_parts(mut stream: TcpStream, numbers: &mut Numbers, taken: &mut usize) {
    let all = pattern(TOTAL);
    while *taken < TOTAL {
        let len = numbers.of(&[1, 100, 3_000, 6_000]);
        let part = &all[*taken..(*taken + len).min(TOTAL)];
        *taken += poll_fn(|cx| stream.poll_write(cx, part)).await.unwrap();
        if numbers.once_in(4) {
            yield_now().await;
        }
    }
}

async fn receive(mut stream: TcpStream) -> Vec<u8> {
    let mut received = Vec::new();
    loop {
        match stream.recv().await {
            Ok(bytes) if bytes.is_empty() => return received,
            Ok(bytes) => received.extend_from_slice(&bytes),
            Err(_) => return received,
        }
    }
}

/// The stream is dropped after a while; its peer receives what was taken by then, and the end. Gives the
/// number of bytes.
async fn write_and_drop(mut numbers: Numbers) -> usize {
    let (stream, peer) = pair().await;
    let mut others = JoinSet::new();
    others.spawn(async {
        loop {
            corering::time::sleep(Duration::from_micros(10)).await;
        }
    });
    let receiving = corering::spawn(receive(peer));
    let mut taken = 0;
    let moment = numbers.moment();
    drop_after(moment, write_parts(stream, &mut numbers, &mut taken)).await;
    let received = receiving.await.unwrap();
    assert!(received == pattern(TOTAL)[..taken], "{} of {taken} came", received.len());
    taken
}

#[test]
fn taken_bytes_arrive_whenever_their_stream_is_dropped() {
    let (mut all, mut some) = (0, 0);
    for seed in 0..600 {
        let mut numbers = Numbers::new(seed);
        let builder = defaults()
            .receive_policy(ReceivePolicy::Completion)
            .ring_entries(numbers.of(&[1, 4, 256]));
        let sim = Simulation::new(seed);
        sim.fail_enter(numbers.of(&[0, 300]));
        let taken = run_in(&sim, seed, builder, write_and_drop(numbers)).output;
        *if taken == TOTAL { &mut all } else { &mut some } += usize::from(taken > 0);
    }
    assert!(all > 20 && some > 20, "{all} wrote all, {some} were dropped before");
}

#[test]
fn failed_send_is_told_and_loses_nothing_unseen() {
    let mut unsent = 0;
    for seed in 0..200 {
        let sim = Simulation::new(seed);
        sim.fail(opcode::Send::CODE, 1 + seed % 7, libc::ECONNRESET);
        let builder = defaults().receive_policy(ReceivePolicy::Completion);
        let run = run_in(&sim, seed, builder, async {
            let (mut stream, peer) = pair().await;
            let receiving = corering::spawn(receive(peer));
            let all = pattern(TOTAL);
            let mut taken = 0;
            let failed = loop {
                if taken == TOTAL {
                    break poll_fn(|cx| stream.poll_shutdown(cx)).await;
                }
                let part = &all[taken..(taken + 1_000).min(TOTAL)];
                match poll_fn(|cx| stream.poll_write(cx, part)).await {
                    Ok(count) => taken += count,
                    Err(error) => break Err(error),
                }
                yield_now().await;
            };
            assert_eq!(failed.unwrap_err().raw_os_error(), Some(libc::ECONNRESET));
            drop(stream);
            let received = receiving.await.unwrap();
            assert!(all.starts_with(&received));
            taken - received.len()
        });
        assert_eq!(run.metrics.unsent_bytes, run.output as u64);
        unsent += run.output;
    }
    assert!(unsent > 0, "no send of the shard's own failed");
}
