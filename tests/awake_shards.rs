//! Shards that are awake: what other threads have for them is seen soon, and without a system call.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use corering::sync::shard_channel::{bounded, unbounded};
use corering::{Driver, Handle, Runtime, metrics, spawn, test_support, yield_now};

/// Polls after which a shard that is awake has looked at what other threads have for it.
const POLLS_MAX: usize = 16;

/// Yields until `is_over`. Returns how often.
async fn yields_until(is_over: impl Fn() -> bool) -> usize {
    let mut yields = 0;
    while !is_over() {
        yields += 1;
        yield_now().await;
    }
    yields
}

/// Runs a closure on a thread to its end, in the middle of a round.
fn elsewhere(then: impl FnOnce() + Send) {
    thread::scope(|scope| scope.spawn(then).join().expect("it does not panic"));
}

#[corering::test]
async fn task_woken_elsewhere_runs_within_sixteen_polls() {
    let (sender, mut receiver) = unbounded();
    let has_run = Rc::new(Cell::new(false));
    let runs = has_run.clone();
    let waits = spawn(async move { runs.set(receiver.recv().await.is_some()) });
    yield_now().await;
    let spins = spawn(async move {
        elsewhere(|| sender.send(()).expect("the receiver is there"));
        yields_until(|| has_run.get()).await
    });
    let yields = spins.await.expect("it does not panic");
    waits.await.expect("it does not panic");
    assert!(yields <= POLLS_MAX, "it ran after {yields} polls of another task");
}

#[corering::test]
async fn main_future_woken_elsewhere_runs_within_sixteen_polls() {
    let (sender, mut receiver) = unbounded();
    let yields = Rc::new(Cell::new(0));
    let counted = yields.clone();
    let spins = spawn(async move {
        elsewhere(|| sender.send(()).expect("the receiver is there"));
        loop {
            counted.set(counted.get() + 1);
            yield_now().await;
        }
    });
    assert_eq!(receiver.recv().await, Some(()));
    spins.abort();
    let yields = yields.get();
    assert!(yields <= POLLS_MAX, "it ran after {yields} polls of another task");
}

#[corering::test]
async fn closure_from_elsewhere_runs_within_sixteen_polls() {
    let handle = Handle::current();
    let spins = spawn(async move {
        let has_run = Arc::new(AtomicBool::new(false));
        let runs = has_run.clone();
        elsewhere(move || {
            handle.post(move || runs.store(true, Ordering::Relaxed)).expect("it runs")
        });
        yields_until(|| has_run.load(Ordering::Relaxed)).await
    });
    let yields = spins.await.expect("it does not panic");
    assert!(yields <= POLLS_MAX, "it ran after {yields} polls of another task");
}

/// Also run by `scripts/awake-shards.sh`, which counts its system calls.
#[test]
fn awake_shards_exchange_values_without_doorbell() {
    let trips = std::env::var("AWAKE_TRIPS").ok().and_then(|trips| trips.parse().ok());
    let trips = trips.unwrap_or(1000);
    for driver in test_support::drivers() {
        let ((to_second, from_first), (to_first, from_second)) = (unbounded(), bounded(1));
        let first = Mutex::new(Some((to_second, from_second)));
        let second = Mutex::new(Some((to_first, from_first)));
        let builder = Runtime::builder().driver(driver).shards(2).oversubscribe(true);
        let counted = builder.run(|shard| {
            let (first, second) = (&first, &second);
            async move {
                let keeps_awake = spawn(async {
                    loop {
                        yield_now().await;
                    }
                });
                // The first round brings what epoll has to say of a new doorbell.
                yield_now().await;
                let before = metrics();
                if shard.id() == 0 {
                    let (sender, mut receiver) = taken(first);
                    for number in 0..trips {
                        sender.send(number).expect("the other receives");
                        assert_eq!(receiver.recv().await, Some(number));
                        let answer = shard.submit_to(1, move || async move { number }).await;
                        assert_eq!(answer.expect("the shard is there"), number);
                    }
                } else {
                    let (sender, mut receiver) = taken(second);
                    while let Some(number) = receiver.recv().await {
                        sender.send(number).await.expect("the other receives");
                    }
                }
                let after = metrics();
                keeps_awake.abort();
                (
                    after.completions - before.completions,
                    after.enters - before.enters,
                    after.rounds - before.rounds,
                )
            }
        });
        for (completions, enters, rounds) in counted.expect("shards can be started") {
            // A doorbell that rings is a completion, or an event.
            assert_eq!(completions, 0, "on {driver}");
            let enters_max = if driver == Driver::Epoll { rounds } else { rounds / 8 };
            assert!(enters <= enters_max, "on {driver}, {enters} visits in {rounds} rounds");
        }
    }
}

fn taken<T>(ends: &Mutex<Option<T>>) -> T {
    ends.lock().expect("nobody panics with it").take().expect("each shard takes its own")
}
