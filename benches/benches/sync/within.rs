//! Tasks of one shard.

use std::rc::Rc;
use std::time::{Duration, Instant};

use corering::task::cooperative;
use corering::{Runtime, spawn, sync};
use criterion::Criterion;
use event_listener::Event;

/// Messages on the way, at most.
const ROOM: usize = 64;

pub(crate) fn measure(criterion: &mut Criterion) {
    let runtime = Runtime::builder().build().expect("epoll is everywhere");
    let mut shard = Shard { criterion, runtime };
    channels(&mut shard);
    values(&mut shard);
    locks(&mut shard);
    barriers(&mut shard);
}

struct Shard<'a> {
    criterion: &'a mut Criterion,
    runtime: Runtime,
}

impl Shard<'_> {
    /// Measures `body`, whose argument is the number of units to do.
    fn figure(&mut self, group: &str, side: &str, body: impl AsyncFn(u64)) {
        let runtime = &self.runtime;
        let timed = async |rounds| -> Duration {
            let start = Instant::now();
            body(rounds).await;
            start.elapsed()
        };
        let mut group = self.criterion.benchmark_group(group);
        group.bench_function(side, |bencher| {
            bencher.iter_custom(|rounds| runtime.block_on(timed(rounds)));
        });
        group.finish();
    }

    fn each(&mut self, group: &str, side: &str, once: impl AsyncFn()) {
        self.figure(group, side, async |rounds| {
            for _ in 0..rounds {
                once().await;
            }
        });
    }
}

/// As many messages from one task to another.
async fn flow(rounds: u64, send: impl AsyncFn(u64) + 'static, mut receive: impl AsyncFnMut()) {
    let sending = spawn(async move {
        for message in 0..rounds {
            send(message).await;
        }
    });
    for _ in 0..rounds {
        receive().await;
    }
    sending.await.expect("it does not panic");
}

fn channels(shard: &mut Shard<'_>) {
    shard.figure("channel", "corering", async |rounds| {
        let (sender, mut receiver) = sync::channel::bounded(ROOM);
        let send = async move |message| sender.send(message).await.expect("it is open");
        flow(rounds, send, async || _ = receiver.recv().await).await;
    });
    shard.figure("channel", "tokio", async |rounds| {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(ROOM);
        let send =
            async move |message| cooperative(sender.send(message)).await.expect("it is open");
        flow(rounds, send, async || _ = cooperative(receiver.recv()).await).await;
    });
    shard.figure("channel", "async-channel", async |rounds| {
        let (sender, receiver) = async_channel::bounded(ROOM);
        let send =
            async move |message| cooperative(sender.send(message)).await.expect("it is open");
        let receive = async || _ = cooperative(receiver.recv()).await.expect("it is open");
        flow(rounds, send, receive).await;
    });
    shard.each("oneshot", "corering", async || {
        let (sender, receiver) = sync::oneshot::channel();
        sender.send(1).expect("it is open");
        receiver.await.expect("it was sent");
    });
    shard.each("oneshot", "tokio", async || {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        sender.send(1).expect("it is open");
        cooperative(receiver).await.expect("it was sent");
    });
}

fn values(shard: &mut Shard<'_>) {
    shard.figure("broadcast", "tokio", async |rounds| {
        let (sender, mut receiver) = tokio::sync::broadcast::channel(ROOM);
        for message in 0..rounds {
            sender.send(message).expect("it is open");
            cooperative(receiver.recv()).await.expect("it was sent");
        }
    });
    shard.figure("watch", "tokio", async |rounds| {
        let (sender, mut receiver) = tokio::sync::watch::channel(0);
        for message in 0..rounds {
            sender.send(message).expect("it is open");
            cooperative(receiver.changed()).await.expect("it is open");
            assert_eq!(*receiver.borrow(), message);
        }
    });
    let cell = tokio::sync::OnceCell::new();
    shard.each("once_cell", "tokio", async || {
        cooperative(cell.get_or_init(async || 1)).await;
    });
    let cell = async_lock::OnceCell::new();
    shard.each("once_cell", "async-lock", async || {
        cooperative(cell.get_or_init(async || 1)).await;
    });
}

fn locks(shard: &mut Shard<'_>) {
    let notify = sync::Notify::new();
    shard.each("notify", "corering", async || {
        notify.notify_one();
        notify.notified().await;
    });
    let notify = tokio::sync::Notify::new();
    shard.each("notify", "tokio", async || {
        notify.notify_one();
        cooperative(notify.notified()).await;
    });
    let event = Event::new();
    shard.each("notify", "event-listener", async || {
        let listener = event.listen();
        event.notify(1);
        cooperative(listener).await;
    });

    let semaphore = sync::Semaphore::new(1);
    shard.each("semaphore", "corering", async || drop(semaphore.acquire().await));
    let semaphore = tokio::sync::Semaphore::new(1);
    shard.each("semaphore", "tokio", async || drop(cooperative(semaphore.acquire()).await));
    let semaphore = async_lock::Semaphore::new(1);
    shard.each("semaphore", "async-lock", async || drop(cooperative(semaphore.acquire()).await));

    let mutex = sync::Mutex::new(0);
    shard.each("mutex", "corering", async || *mutex.lock().await += 1);
    let mutex = tokio::sync::Mutex::new(0);
    shard.each("mutex", "tokio", async || *cooperative(mutex.lock()).await += 1);
    let mutex = async_lock::Mutex::new(0);
    shard.each("mutex", "async-lock", async || *cooperative(mutex.lock()).await += 1);

    let lock = tokio::sync::RwLock::new(0);
    shard.each("rwlock_read", "tokio", async || drop(cooperative(lock.read()).await));
    let lock = async_lock::RwLock::new(0);
    shard.each("rwlock_read", "async-lock", async || drop(cooperative(lock.read()).await));
}

fn barriers(shard: &mut Shard<'_>) {
    /// Has two tasks pass a barrier `rounds` times.
    async fn pass<B: 'static>(rounds: u64, barrier: B, wait: impl AsyncFn(&B) + Copy + 'static) {
        let barrier = Rc::new(barrier);
        let tasks = [barrier.clone(), barrier].map(|barrier| {
            spawn(async move {
                for _ in 0..rounds {
                    wait(&barrier).await;
                }
            })
        });
        for task in tasks {
            task.await.expect("it does not panic");
        }
    }
    shard.figure("barrier", "tokio", async |rounds| {
        let barrier = tokio::sync::Barrier::new(2);
        pass(rounds, barrier, async |it| _ = cooperative(it.wait()).await).await;
    });
    shard.figure("barrier", "async-lock", async |rounds| {
        let barrier = async_lock::Barrier::new(2);
        pass(rounds, barrier, async |it| _ = cooperative(it.wait()).await).await;
    });
}
