//! A storm of ends: two shards and four threads send, receive, drop, give up and hand on at random, and
//! each value that was sent arrives once, in order of its sender, or is dropped once with the channel.

#[allow(dead_code)] // Each test file uses a part.
#[path = "common/net.rs"]
mod net;

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use corering::sync::channel::TryRecvError;
use corering::sync::shard_channel::{bounded, unbounded};
use corering::time::sleep;
use corering::{
    BoundedShardSender, Driver, Runtime, ShardReceiver, ShardSender, spawn, test_support, yield_now,
};
use net::{Random, poll_once};

/// Senders of a round: one on each of two shards, and three threads.
const SENDERS: usize = 5;

/// Values that each of them tries to send.
const VALUES: usize = 40;

/// Counts how often each value is dropped.
type Drops = Arc<[[AtomicUsize; VALUES]; SENDERS]>;

struct Value {
    sender: usize,
    number: usize,
    drops: Drops,
}

impl Drop for Value {
    fn drop(&mut self) {
        self.drops[self.sender][self.number].fetch_add(1, Ordering::Relaxed);
    }
}

/// What both kinds of senders have in common.
#[derive(Clone)]
enum Sender {
    Bounded(BoundedShardSender<Value>),
    Unbounded(ShardSender<Value>),
}

impl Sender {
    /// Sends in a task by one way or another, or gives up. Whether the value was sent.
    async fn send(&self, value: Value, random: &mut Random) -> bool {
        let sender = match self {
            Sender::Bounded(sender) => sender,
            Sender::Unbounded(sender) => return sender.send(value).is_ok(),
        };
        match random.below(4) {
            0 => sender.try_send(value).is_ok(),
            1 => {
                // Polled a few times, then dropped with its value.
                let mut send = pin!(sender.send(value));
                for _ in 0..random.below(4) {
                    if let Poll::Ready(sent) = poll_once(&mut send).await {
                        return sent.is_ok();
                    }
                    yield_now().await;
                }
                false
            }
            2 => {
                let Ok(room) = sender.reserve().await else { return false };
                yield_now().await;
                random.below(4) > 0 && room.send(value).is_ok()
            }
            _ => sender.send(value).await.is_ok(),
        }
    }

    /// As `send`, on a thread without a runtime.
    fn send_blocking(&self, value: Value, random: &mut Random) -> bool {
        match self {
            Sender::Unbounded(sender) => sender.send(value).is_ok(),
            Sender::Bounded(sender) => match random.below(3) {
                0 => sender.try_send(value).is_ok(),
                1 => sender.blocking_send_timeout(value, Duration::from_micros(50)).is_ok(),
                _ => sender.blocking_send(value).is_ok(),
            },
        }
    }
}

/// A round: the receiver, while nobody holds it, and what has become of the values.
struct Round {
    seed: u64,
    receiver: Mutex<Option<ShardReceiver<Value>>>,
    received: Mutex<Vec<(usize, usize)>>,
    sent: Mutex<Vec<(usize, usize)>>,
    drops: Drops,
    /// The receiver is dropped when so many values have come out.
    receives_max: usize,
    /// Nothing comes out any more.
    is_over: AtomicBool,
    /// The receiver went with a task that was aborted, or had received enough.
    is_cut: AtomicBool,
}

impl Round {
    fn value(&self, sender: usize, number: usize) -> Value {
        Value { sender, number, drops: self.drops.clone() }
    }

    fn random(&self, who: usize) -> Random {
        let mut random = Random(self.seed * 31 + who as u64);
        random.next();
        random
    }

    fn sent(&self, sender: usize, number: usize) {
        self.sent.lock().expect("nobody panics with it").push((sender, number));
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Takes the receiver, if nobody holds it.
    fn hold(&self) -> Option<Held<'_>> {
        let receiver = self.receiver.lock().expect("nobody panics with it").take()?;
        Some(Held { round: self, receiver: Some(receiver), goes_back: false })
    }

    async fn send_all(&self, who: usize, sender: Sender) {
        let mut random = self.random(who);
        for number in 0..VALUES {
            let sender = sender.clone();
            if sender.send(self.value(who, number), &mut random).await {
                self.sent(who, number);
            }
            if random.below(4) == 0 {
                yield_now().await;
            }
        }
    }

    fn send_all_blocking(&self, who: usize, sender: Sender) {
        let mut random = self.random(who);
        for number in 0..VALUES {
            if sender.clone().send_blocking(self.value(who, number), &mut random) {
                self.sent(who, number);
            }
        }
    }

    async fn receive_all(&self, who: usize) {
        let mut random = self.random(who);
        while !self.is_over() {
            if let Some(mut held) = self.hold() {
                for _ in 0..random.below(8) {
                    match random.below(3) {
                        0 => held.count_tried(),
                        // Polled once, and dropped.
                        1 => {
                            let polled = poll_once(&mut pin!(held.receiver().recv())).await;
                            if let Poll::Ready(received) = polled {
                                held.count(received);
                            }
                        }
                        _ => {
                            let received = held.receiver().recv().await;
                            held.count(received);
                        }
                    }
                    if self.is_over() {
                        break;
                    }
                }
                held.goes_back = true;
            }
            // At times the shard sleeps, and has to be woken.
            match random.below(2) {
                0 => yield_now().await,
                _ => sleep(Duration::from_micros(20)).await,
            }
        }
    }

    fn receive_all_blocking(&self, who: usize) {
        let mut random = self.random(who);
        while !self.is_over() {
            if let Some(mut held) = self.hold() {
                for _ in 0..random.below(8) {
                    match random.below(3) {
                        0 => held.count_tried(),
                        1 => {
                            let limit = Duration::from_micros(50);
                            match held.receiver().blocking_recv_timeout(limit) {
                                Err(TryRecvError::Empty) => {}
                                received => held.count(received.ok()),
                            }
                        }
                        _ => {
                            let received = held.receiver().blocking_recv();
                            held.count(received);
                        }
                    }
                    if self.is_over() {
                        break;
                    }
                }
                held.goes_back = true;
            }
            thread::yield_now();
        }
    }

    fn check(&self, driver: Driver) {
        let context = format!("on {driver}, seed {}", self.seed);
        let sent: BTreeSet<_> = self.sent.lock().expect("all have ended").drain(..).collect();
        let received: Vec<_> = self.received.lock().expect("all have ended").drain(..).collect();
        for sender in 0..SENDERS {
            let of_sender = received.iter().filter(|value| value.0 == sender).map(|value| value.1);
            assert!(of_sender.is_sorted_by(|first, next| first < next), "{context}: {received:?}");
        }
        let received: BTreeSet<_> = received.into_iter().collect();
        if self.is_cut.load(Ordering::Relaxed) {
            assert!(received.is_subset(&sent), "{context}: came without being sent");
        } else {
            assert_eq!(received, sent, "{context}");
        }
        let drops = self.drops.iter().flatten().map(|drops| drops.load(Ordering::Relaxed));
        assert!(drops.into_iter().all(|drops| drops == 1), "{context}: {:?}", self.drops);
    }
}

/// The receiver, in somebody's hands. Dropped with a task that was aborted, it closes the channel.
struct Held<'a> {
    round: &'a Round,
    receiver: Option<ShardReceiver<Value>>,
    goes_back: bool,
}

impl Held<'_> {
    fn receiver(&mut self) -> &mut ShardReceiver<Value> {
        self.receiver.as_mut().expect("it is held")
    }

    fn count_tried(&mut self) {
        match self.receiver().try_recv() {
            Err(TryRecvError::Empty) => {}
            received => self.count(received.ok()),
        }
    }

    fn count(&mut self, received: Option<Value>) {
        let mut all = self.round.received.lock().expect("nobody panics with it");
        all.extend(received.as_ref().map(|value| (value.sender, value.number)));
        let is_enough = all.len() >= self.round.receives_max;
        if is_enough {
            self.round.is_cut.store(true, Ordering::Relaxed);
        }
        if is_enough || received.is_none() {
            self.round.is_over.store(true, Ordering::Relaxed);
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if self.goes_back && !self.round.is_over() {
            *self.round.receiver.lock().expect("nobody panics with it") = self.receiver.take();
            return;
        }
        if !self.goes_back {
            self.round.is_cut.store(true, Ordering::Relaxed);
        }
        self.round.is_over.store(true, Ordering::Relaxed);
    }
}

fn round(driver: Driver, seed: u64) {
    let mut random = Random(seed);
    let (sender, receiver) = match random.below(4) {
        0 => {
            let (sender, receiver) = unbounded();
            (Sender::Unbounded(sender), receiver)
        }
        capacity => {
            let (sender, receiver) = bounded(capacity);
            (Sender::Bounded(sender), receiver)
        }
    };
    let cuts = random.below(3) == 0;
    let round = Arc::new(Round {
        seed,
        receiver: Mutex::new(Some(receiver)),
        received: Mutex::default(),
        sent: Mutex::default(),
        drops: Arc::new(std::array::from_fn(|_| std::array::from_fn(|_| AtomicUsize::new(0)))),
        receives_max: if cuts { random.below(SENDERS * VALUES) + 1 } else { usize::MAX },
        is_over: AtomicBool::new(false),
        is_cut: AtomicBool::new(false),
    });
    // Polls after which a shard aborts what receives there; mostly it does not.
    let aborts_after = if random.below(4) == 0 { Some(random.below(200)) } else { None };
    let senders: Mutex<Vec<_>> = Mutex::new(vec![sender.clone(), sender.clone()]);
    thread::scope(|scope| {
        for who in 2..SENDERS {
            let (round, sender) = (&round, sender.clone());
            scope.spawn(move || round.send_all_blocking(who, sender));
        }
        scope.spawn(|| round.receive_all_blocking(SENDERS));
        drop(sender);
        let builder = Runtime::builder().driver(driver).shards(2).oversubscribe(true);
        let run = builder.run(|shard| {
            let sender = senders.lock().expect("nobody panics with it").pop().expect("two shards");
            let (round, who) = (round.clone(), shard.id());
            async move {
                let receives = spawn({
                    let round = round.clone();
                    async move { round.receive_all(SENDERS + 1 + who).await }
                });
                let sends = spawn({
                    let round = round.clone();
                    async move { round.send_all(who, sender).await }
                });
                if let Some(polls) = aborts_after {
                    for _ in 0..polls {
                        yield_now().await;
                    }
                    receives.abort();
                }
                sends.await.expect("it does not panic");
                assert!(receives.await.is_ok() || aborts_after.is_some());
            }
        });
        run.expect("shards can be started");
    });
    // What is left of a channel that was not dropped by a receiver.
    drop(round.receiver.lock().expect("all have ended").take());
    round.check(driver);
}

#[test]
fn storm_of_ends_on_shards_and_threads_loses_nothing() {
    let rounds: u64 =
        std::env::var("STORM_ROUNDS").ok().and_then(|it| it.parse().ok()).unwrap_or(1);
    for driver in test_support::drivers() {
        for seed in 0..200 * rounds {
            round(driver, seed);
        }
    }
}
