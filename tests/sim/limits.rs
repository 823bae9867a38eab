//! Limits in time that do not pass, or that are pushed out before they do: virtual hours, for which no
//! test would wait.

use std::future::pending;
use std::time::Duration;

use corering::time::{now, sleep, timeout};
use corering::{metrics, spawn};

use crate::pairs::pair;
use crate::simulated::{Numbers, defaults, pause, run};

const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn limit_pushed_out_by_each_message_ends_the_last_wait_in_time() {
    for seed in 0..200 {
        run(seed, defaults(), async move {
            let mut numbers = Numbers::new(seed);
            let (mut sender, mut reader) = pair().await;
            let pauses: Vec<Duration> =
                (0..20).map(|_| Duration::from_millis(numbers.within(0..29_000) as u64)).collect();
            let messages = pauses.len();
            let sending = spawn(async move {
                for gap in pauses {
                    pause(gap).await;
                    sender.write_all(b"x".to_vec()).await.unwrap();
                }
                sender
            });
            let mut received = 0;
            while received < messages {
                received +=
                    timeout(LIMIT, reader.recv()).await.expect("it is early").unwrap().len();
            }
            let begin = now();
            assert!(timeout(LIMIT, reader.recv()).await.is_err());
            let waited = now() - begin;
            assert!(waited >= LIMIT && waited < LIMIT + Duration::from_millis(1), "{waited:?}");
            drop(sending.await.unwrap());
        });
    }
}

/// The rounds of an idle hour after so many limits were armed and dropped.
fn rounds_of_an_idle_hour(limits: usize) -> u64 {
    let idle = run(1, defaults(), async move {
        let tasks: Vec<_> = (0..limits).map(|_| spawn(timeout(LIMIT, pending::<()>()))).collect();
        pause(Duration::from_millis(1)).await;
        assert_eq!(metrics().timers, limits as u64);
        tasks.iter().for_each(|task| task.abort());
        pause(Duration::from_millis(1)).await;
        assert_eq!(metrics().timers, 0);
        let before = metrics().rounds;
        sleep(Duration::from_secs(3600)).await;
        metrics().rounds - before
    });
    idle.output
}

#[test]
fn limits_that_were_dropped_wake_an_idle_shard_once_at_most() {
    let without = rounds_of_an_idle_hour(0);
    for limits in [1, 2, 100, 1_000] {
        let with = rounds_of_an_idle_hour(limits);
        assert!(with <= without + 1, "{with} rounds after {limits} limits, {without} without");
    }
}
