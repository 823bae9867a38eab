//! `tokio::sync` between two shards: the wakers of tasks are `Send`, and that is all it needs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use corering::task::cooperative;
use corering::{Runtime, Shard, spawn, test_support, yield_now};
use tokio::sync::{Barrier, OnceCell, RwLock, broadcast, watch};

const SHARDS: usize = 2;
const ROUNDS: usize = 500;

/// Runs what `new` makes, for each driver anew, on two shards, on however few processors.
fn on_shards<S: Sync, T: Send>(
    new: impl Fn() -> S,
    main: impl AsyncFn(Shard, &S) -> T + Sync,
) -> Vec<Vec<T>> {
    let run = |driver| {
        let shared = new();
        let builder = Runtime::builder().driver(driver).shards(SHARDS).oversubscribe(true);
        builder.run(|shard| main(shard, &shared)).expect("shards can be started")
    };
    test_support::drivers().into_iter().map(run).collect()
}

#[test]
fn watched_value_reaches_another_shard() {
    let channel = || watch::channel(0);
    let seen = on_shards(channel, async |shard, (sender, receiver)| {
        if shard.id() == 0 {
            for value in 1..=ROUNDS {
                sender.send_replace(value);
                yield_now().await;
            }
            return ROUNDS;
        }
        let mut receiver = receiver.clone();
        let mut last = *receiver.borrow_and_update();
        while last < ROUNDS {
            cooperative(receiver.changed()).await.expect("the sender is kept");
            let value = *receiver.borrow_and_update();
            assert!(value > last, "{value} came after {last}");
            last = value;
        }
        last
    });
    assert!(seen.into_iter().flatten().all(|last| last == ROUNDS));
}

#[test]
fn broadcast_values_reach_each_shard_in_order() {
    // Both have subscribed before either sends, and there is room for all.
    let channel = || (broadcast::channel(SHARDS * ROUNDS).0, Barrier::new(SHARDS));
    let received = on_shards(channel, async |shard, (sender, start)| {
        let mut receiver = sender.subscribe();
        start.wait().await;
        let (me, sender) = (shard.id(), sender.clone());
        let sending = spawn(async move {
            for number in 0..ROUNDS {
                sender.send((me, number)).expect("there are receivers");
                yield_now().await;
            }
        });
        let mut next = [0; SHARDS];
        while next != [ROUNDS; SHARDS] {
            let (from, number) = cooperative(receiver.recv()).await.expect("none is lost");
            assert_eq!(number, next[from], "from shard {from}");
            next[from] += 1;
        }
        sending.await.expect("it does not panic");
        receiver.len()
    });
    assert!(received.into_iter().flatten().all(|left| left == 0));
}

#[test]
fn barrier_lets_shards_pass_together() {
    let start = || (Barrier::new(SHARDS), AtomicUsize::new(0));
    let led = on_shards(start, async |_, (barrier, arrived)| {
        let mut led = 0;
        for round in 1..=ROUNDS {
            arrived.fetch_add(1, Ordering::Relaxed);
            led += usize::from(cooperative(barrier.wait()).await.is_leader());
            let arrived = arrived.load(Ordering::Relaxed);
            assert!(arrived >= round * SHARDS, "{arrived} have arrived in round {round}");
        }
        led
    });
    for led in led {
        assert_eq!(led.into_iter().sum::<usize>(), ROUNDS);
    }
}

#[test]
fn lock_of_two_shards_loses_no_write() {
    // Two numbers that are the same, but while one writes.
    let lock = || RwLock::new((0, 0));
    let left = on_shards(lock, async |_, lock| {
        for _ in 0..ROUNDS {
            let mut both = cooperative(lock.write()).await;
            both.0 += 1;
            yield_now().await;
            both.1 += 1;
            drop(both);
            let both = cooperative(lock.read()).await;
            assert_eq!(both.0, both.1);
            yield_now().await;
        }
        // The other shard may still write.
        while lock.read().await.0 < SHARDS * ROUNDS {
            yield_now().await;
        }
        *lock.read().await
    });
    assert!(left.into_iter().flatten().all(|both| both == (SHARDS * ROUNDS, SHARDS * ROUNDS)));
}

#[test]
fn cell_of_two_shards_is_set_once() {
    let cell = || (OnceCell::new(), AtomicUsize::new(0));
    let set = on_shards(cell, async |shard, (cell, times)| {
        let set = cell.get_or_init(async || {
            times.fetch_add(1, Ordering::Relaxed);
            for _ in 0..10 {
                yield_now().await;
            }
            shard.id()
        });
        (*set.await, times.load(Ordering::Relaxed))
    });
    for set in set {
        assert_eq!(set[0], set[1]);
        assert_eq!(set[0].1, 1, "times it was made");
    }
}

#[test]
fn value_may_come_for_a_shard_that_has_ended() {
    let channel = || (watch::channel(0), Arc::new(AtomicBool::new(false)));
    on_shards(channel, async |shard, ((sender, receiver), waits)| {
        if shard.id() == 1 {
            let mut receiver = receiver.clone();
            let waits = waits.clone();
            spawn(async move {
                waits.store(true, Ordering::Release);
                receiver.changed().await
            });
            yield_now().await;
            return;
        }
        while !waits.load(Ordering::Acquire) {
            yield_now().await;
        }
        // Its task is waiting, cancelled, or on the way there.
        for value in 0..ROUNDS {
            sender.send_replace(value);
            yield_now().await;
        }
    });
}
