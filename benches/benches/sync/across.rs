//! Two shards, both awake.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use corering::task::cooperative;
use corering::{Runtime, shard_channel, spawn, yield_now};
use criterion::Criterion;

pub(crate) fn measure(criterion: &mut Criterion) {
    channels(criterion);
    values(criterion);
    locks(criterion);
}

/// Measures `play` on two shards, each with its number, an end and the number of rounds, by the time that
/// the first shard takes.
fn figure<E: Send>(
    criterion: &mut Criterion,
    group: &str,
    side: &str,
    ends: impl Fn() -> [E; 2],
    play: impl AsyncFn(usize, E, u64) + Send + Sync,
) {
    let mut group = criterion.benchmark_group(group);
    group.bench_function(side, |bencher| {
        bencher.iter_custom(|rounds| {
            let ends = ends().map(|end| Mutex::new(Some(end)));
            on_two_shards(async |shard| {
                let end = ends[shard].lock().expect("nobody panics with it").take();
                let end = end.expect("each shard runs its main future once");
                let start = Instant::now();
                play(shard, end, rounds).await;
                start.elapsed()
            })
        });
    });
    group.finish();
}

/// The shards live as long as this call, on threads of their own, since a shard pins its thread.
fn on_two_shards(main: impl AsyncFn(usize) -> Duration + Send + Sync) -> Duration {
    let builder = Runtime::builder().shards(2).oversubscribe(true);
    let main = &main;
    let run = || {
        builder.run(|shard| async move {
            let busy = spawn(async {
                loop {
                    yield_now().await;
                }
            });
            let taken = main(shard.id()).await;
            busy.abort();
            taken
        })
    };
    let taken = thread::scope(|scope| scope.spawn(run).join().expect("no shard panics"));
    taken.expect("shards can be started")[0]
}

/// Two channels as the ends of a conversation.
fn crossed<S, R>(channel: impl Fn() -> (S, R)) -> [(S, R); 2] {
    let ((to_second, from_first), (to_first, from_second)) = (channel(), channel());
    [(to_second, from_second), (to_first, from_first)]
}

fn channels(criterion: &mut Criterion) {
    let group = "cross_channel";
    let ends = || crossed(shard_channel::<u64>);
    figure(criterion, group, "corering", ends, async |shard, (sender, mut receiver), rounds| {
        for number in 0..rounds {
            if shard == 0 {
                sender.send(number).expect("it is open");
            }
            assert_eq!(receiver.recv().await, Some(number));
            if shard == 1 {
                sender.send(number).expect("it is open");
            }
        }
    });
    let ends = || crossed(tokio::sync::mpsc::unbounded_channel::<u64>);
    figure(criterion, group, "tokio", ends, async |shard, (sender, mut receiver), rounds| {
        for number in 0..rounds {
            if shard == 0 {
                sender.send(number).expect("it is open");
            }
            assert_eq!(cooperative(receiver.recv()).await, Some(number));
            if shard == 1 {
                sender.send(number).expect("it is open");
            }
        }
    });
    let ends = || crossed(async_channel::unbounded::<u64>);
    figure(criterion, group, "async-channel", ends, async |shard, (sender, receiver), rounds| {
        for number in 0..rounds {
            if shard == 0 {
                sender.try_send(number).expect("it is open");
            }
            assert_eq!(cooperative(receiver.recv()).await, Ok(number));
            if shard == 1 {
                sender.try_send(number).expect("it is open");
            }
        }
    });
}

fn values(criterion: &mut Criterion) {
    let ends = || crossed(|| tokio::sync::broadcast::channel::<u64>(64));
    let group = "cross_broadcast";
    figure(criterion, group, "tokio", ends, async |shard, (sender, mut receiver), rounds| {
        for number in 0..rounds {
            if shard == 0 {
                sender.send(number).expect("it is open");
            }
            assert_eq!(cooperative(receiver.recv()).await, Ok(number));
            if shard == 1 {
                sender.send(number).expect("it is open");
            }
        }
    });
    let ends = || crossed(|| tokio::sync::watch::channel(0));
    let group = "cross_watch";
    figure(criterion, group, "tokio", ends, async |shard, (sender, mut receiver), rounds| {
        for number in 1..=rounds {
            if shard == 0 {
                sender.send(number).expect("it is open");
            }
            cooperative(receiver.changed()).await.expect("it is open");
            assert_eq!(*receiver.borrow(), number);
            if shard == 1 {
                sender.send(number).expect("it is open");
            }
        }
    });
}

fn shared<T>(new: impl Fn() -> T) -> impl Fn() -> [Arc<T>; 2] {
    move || {
        let both = Arc::new(new());
        [both.clone(), both]
    }
}

fn locks(criterion: &mut Criterion) {
    let ends = shared(|| tokio::sync::Barrier::new(2));
    figure(criterion, "cross_barrier", "tokio", ends, async |_, barrier, rounds| {
        for _ in 0..rounds {
            cooperative(barrier.wait()).await;
        }
    });
    let ends = shared(|| async_lock::Barrier::new(2));
    figure(criterion, "cross_barrier", "async-lock", ends, async |_, barrier, rounds| {
        for _ in 0..rounds {
            cooperative(barrier.wait()).await;
        }
    });
    let group = "cross_mutex";
    let ends = shared(|| Mutex::new(0_u64));
    figure(criterion, group, "std", ends, async |_, mutex, rounds| {
        for _ in 0..rounds {
            *mutex.lock().expect("nobody panics with it") += 1;
        }
    });
    let ends = shared(|| tokio::sync::Mutex::new(0_u64));
    figure(criterion, group, "tokio", ends, async |_, mutex, rounds| {
        for _ in 0..rounds {
            *cooperative(mutex.lock()).await += 1;
        }
    });
    let ends = shared(|| async_lock::Mutex::new(0_u64));
    figure(criterion, group, "async-lock", ends, async |_, mutex, rounds| {
        for _ in 0..rounds {
            *cooperative(mutex.lock()).await += 1;
        }
    });
    let group = "cross_rwlock";
    let ends = shared(|| tokio::sync::RwLock::new(0_u64));
    figure(criterion, group, "tokio", ends, async |_, lock, rounds| {
        for _ in 0..rounds {
            drop(cooperative(lock.read()).await);
        }
    });
    let ends = shared(|| async_lock::RwLock::new(0_u64));
    figure(criterion, group, "async-lock", ends, async |_, lock, rounds| {
        for _ in 0..rounds {
            drop(cooperative(lock.read()).await);
        }
    });
}
