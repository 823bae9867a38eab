//! Writes that are given up: bytes never mix, and the next write tells once what was sent.

use std::time::Duration;

use corering::net::{TcpStream, WriteAbandoned};
use corering::time::within;
use corering::{JoinHandle, ReceivePolicy};

use crate::pairs::{pair, pattern};
use crate::simulated::{Numbers, defaults, drop_after, pause, run};

const TOTAL: usize = 6_000;

/// Receives everything, after a while in which the sender's buffers fill.
fn collect(mut reader: TcpStream) -> JoinHandle<Vec<u8>> {
    corering::spawn(async move {
        pause(Duration::from_millis(3)).await;
        let mut received = Vec::new();
        loop {
            let bytes = reader.recv().await.unwrap();
            if bytes.is_empty() {
                return received;
            }
            received.extend_from_slice(&bytes);
        }
    })
}

#[test]
fn write_dropped_at_any_moment_is_told_once_and_the_stream_goes_on() {
    let mut told = 0;
    for step in 0..60 {
        for seed in 0..6 {
            let policies = [ReceivePolicy::Completion, ReceivePolicy::Notification];
            let builder = defaults().receive_policy(policies[seed as usize % 2]);
            let run = run(seed * 1_000 + step, builder, async move {
                let (mut writer, reader) = pair().await;
                let collecting = collect(reader);
                let (mut sent, mut told) = (0, 0);
                while sent < TOTAL {
                    let limit = Duration::from_micros(step * step);
                    let rest = pattern(TOTAL).split_off(sent);
                    let dropped = match step % 2 {
                        0 => drop_after(limit, writer.write_all(rest.clone()))
                            .await
                            .map(|written| written.map(|rest| rest.len())),
                        _ => drop_after(limit, writer.write(rest.clone()))
                            .await
                            .map(|written| written.map(|(count, _)| count)),
                    };
                    if let Some(written) = dropped {
                        sent += written.unwrap();
                        continue;
                    }
                    // One error tells; the write after it is an ordinary one.
                    let failed = writer.write_all(rest).await.unwrap_err();
                    let abandoned = WriteAbandoned::of(&failed.error).expect("it says so");
                    told += 1;
                    sent += abandoned.written;
                    if sent < TOTAL {
                        let piece = pattern(TOTAL)[sent..].chunks(10).next().unwrap().to_vec();
                        sent += writer.write_all(piece).await.unwrap().len();
                    }
                }
                drop(writer);
                assert!(collecting.await.unwrap() == pattern(TOTAL), "bytes were mixed");
                told
            });
            told += run.output;
        }
    }
    assert!(told > 100, "only {told} writes were in flight when they were dropped");
}

#[test]
fn write_that_timed_out_in_the_middle_is_told_by_the_next_write() {
    let mut told = 0;
    for seed in 0..200 {
        let mut numbers = Numbers::new(seed);
        let run = run(seed, defaults(), async move {
            let (mut writer, reader) = pair().await;
            let collecting = collect(reader);
            let (mut sent, mut told) = (0, 0);
            while sent < TOTAL {
                let rest = pattern(TOTAL).split_off(sent);
                match within(numbers.moment(), writer.write_all(rest)).await {
                    Ok(rest) => sent += rest.len(),
                    Err(failed) => match WriteAbandoned::of(&failed.error) {
                        Some(abandoned) => {
                            sent += abandoned.written;
                            told += 1;
                        }
                        None => assert_eq!(failed.kind(), std::io::ErrorKind::TimedOut),
                    },
                }
            }
            drop(writer);
            assert!(collecting.await.unwrap() == pattern(TOTAL), "bytes were mixed");
            told
        });
        told += run.output;
    }
    assert!(told > 0, "no write timed out in the middle");
}

#[test]
fn write_waits_for_the_end_of_an_abandoned_one_also_when_it_is_dropped_itself() {
    for seed in 0..100 {
        run(seed, defaults(), async move {
            let (mut writer, reader) = pair().await;
            // Reads only when the writes below have begun.
            let collecting = collect(reader);
            let large = vec![1; 1 << 20];
            assert!(
                drop_after(Duration::from_micros(seed), writer.write_all(large)).await.is_none()
            );
            // It waits for the first one, or hears of it; either way it sends nothing.
            let second = drop_after(Duration::from_micros(0), writer.write_all(vec![2; 9])).await;
            let told_at_once = second.is_some_and(|second| {
                WriteAbandoned::of(&second.unwrap_err().error).expect("it says so").written > 0
            });
            if !told_at_once {
                let failed = writer.write_all(vec![3; 9]).await;
                if let Err(failed) = failed {
                    assert!(WriteAbandoned::of(&failed.error).is_some());
                }
            }
            writer.write_all(vec![4; 9]).await.unwrap();
            drop(writer);
            let received = collecting.await.unwrap();
            let ones = received.iter().take_while(|byte| **byte == 1).count();
            assert!(received[ones..].iter().all(|byte| *byte > 2), "the dropped write was sent");
            assert!(received.ends_with(&[4; 9]));
        });
    }
}

#[test]
fn writing_to_an_end_that_is_gone_is_an_error_and_closes_cleanly() {
    for seed in 0..100 {
        run(seed, defaults(), async move {
            let (mut writer, reader) = pair().await;
            drop(reader);
            let error = loop {
                match writer.write_all(pattern(10_000)).await {
                    Ok(_) => {}
                    Err(failed) => break failed.error,
                }
            };
            let gone = [std::io::ErrorKind::BrokenPipe, std::io::ErrorKind::ConnectionReset];
            assert!(gone.contains(&error.kind()), "{error}");
        });
    }
}
