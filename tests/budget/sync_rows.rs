//! Channels, locks and notifications that never make anyone wait.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use corering::sync::{
    Mutex, Notify, PriorityQueue, Queue, Semaphore, channel, oneshot, shard_channel,
};
use futures_util::{SinkExt, StreamExt};

use crate::beside::Beside;

pub(crate) async fn rows(beside: &Beside) {
    channels(beside).await;
    shard_channels(beside).await;
    queues(beside).await;
    others(beside).await;
}

async fn channels(beside: &Beside) {
    let (sender, receiver) = channel::unbounded();
    beside
        .endless("sync::channel::sender::send", async move || {
            sender.send(1).await.expect("the receiver is there");
            let _ = &receiver;
        })
        .await;
    let (sender, mut receiver) = channel::bounded(1);
    beside
        .endless("sync::channel::receiver::recv", async move || {
            sender.try_send(1).expect("there is room");
            receiver.recv().await.expect("it was sent");
        })
        .await;
    let (sender, mut receiver) = channel::bounded(1);
    beside
        .endless("sync::channel::receiver::Receiver", async move || {
            sender.try_send(1).expect("there is room");
            receiver.next().await.expect("it was sent");
        })
        .await;
    for (sender, receiver) in [channel::bounded::<u8>(1), channel::unbounded()] {
        beside
            .endless("sync::channel::sender::reserve", async move || {
                drop(sender.reserve().await.expect("the receiver is there"));
                let _ = &receiver;
            })
            .await;
    }
    let (mut sink, mut receiver) = channel::bounded(1);
    beside
        .endless("sync::channel::sender::Sender", async move || {
            sink.feed(1).await.expect("the receiver is there");
            receiver.try_recv().expect("it was sent");
        })
        .await;
    let (sender, mut receiver) = channel::bounded(1);
    beside
        .endless("sync::channel::receiver::recv_many", async move || {
            sender.try_send(1).expect("there is room");
            receiver.recv_many(&mut Vec::new(), 2).await;
        })
        .await;
    // One of many, each of which waits in line.
    let (sender, mut receiver) = channel::bounded(1);
    let second = receiver.clone();
    beside
        .endless("sync::channel::receiver::recv", async move || {
            sender.try_send(1).expect("there is room");
            receiver.recv().await.expect("it was sent");
            let _ = &second;
        })
        .await;
    for (sender, receiver) in [channel::bounded::<u8>(1), channel::unbounded()] {
        beside
            .endless("sync::channel::sender::reserve_owned", async move || {
                drop(sender.clone().reserve_owned().await.expect("the receiver is there"));
                let _ = &receiver;
            })
            .await;
    }
    let (sender, _) = channel::bounded::<u8>(1);
    beside.endless("sync::channel::sender::closed", async move || sender.closed().await).await;
}

async fn shard_channels(beside: &Beside) {
    let (sender, mut receiver) = shard_channel::unbounded();
    beside
        .endless("sync::shard_channel::ShardReceiver", async move || {
            sender.send(1).expect("the receiver is there");
            receiver.next().await.expect("it was sent");
        })
        .await;
    let (sender, mut receiver) = shard_channel::unbounded();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let feeder =
        std::thread::spawn(
            move || {
                while !stopped.load(Ordering::Relaxed) && sender.send(1).is_ok() {}
            },
        );
    beside
        .endless("sync::shard_channel::recv", async move || {
            receiver.recv().await.expect("the feeder is there");
        })
        .await;
    stop.store(true, Ordering::Relaxed);
    feeder.join().expect("the feeder does not panic");
    let (sender, mut receiver) = shard_channel::bounded(1);
    beside
        .endless("sync::shard_channel::bounded::send", async move || {
            sender.send(1).await.expect("the receiver is there");
            receiver.try_recv().expect("it was sent");
        })
        .await;
    let (sender, receiver) = shard_channel::bounded::<u8>(1);
    beside
        .endless("sync::shard_channel::bounded::reserve", async move || {
            drop(sender.reserve().await.expect("the receiver is there"));
            let _ = &receiver;
        })
        .await;
    let (mut sink, mut receiver) = shard_channel::bounded(1);
    beside
        .endless("sync::shard_channel::BoundedShardSender", async move || {
            sink.feed(1).await.expect("the receiver is there");
            receiver.try_recv().expect("it was sent");
        })
        .await;
    let (mut sink, mut receiver) = shard_channel::unbounded();
    beside
        .endless("sync::shard_channel::ShardSender", async move || {
            sink.feed(1).await.expect("the receiver is there");
            receiver.try_recv().expect("it was sent");
        })
        .await;
    let (sender, _) = shard_channel::unbounded::<u8>();
    beside
        .endless("sync::shard_channel::sender::closed", async move || sender.closed().await)
        .await;
    let (sender, _) = shard_channel::bounded::<u8>(1);
    beside
        .endless("sync::shard_channel::bounded::closed", async move || sender.closed().await)
        .await;
}

async fn queues(beside: &Beside) {
    let queue = Rc::new(PriorityQueue::new(1));
    let puts = queue.clone();
    beside
        .endless("sync::queue::put", async move || {
            puts.put(1).await.expect("it is open");
            puts.try_get().expect("it was put");
        })
        .await;
    let gets = queue.clone();
    beside
        .endless("sync::queue::get", async move || {
            gets.try_put(1).expect("there is room");
            gets.get().await.expect("it was put");
        })
        .await;
    let empty = Queue::<u8>::new(1);
    beside.endless("sync::queue::join", async move || empty.join().await).await;
}

async fn others(beside: &Beside) {
    let semaphore = Rc::new(Semaphore::new(3));
    let free = semaphore.clone();
    beside.endless("sync::semaphore::acquire", async move || drop(free.acquire().await)).await;
    let free = semaphore.clone();
    beside
        .endless("sync::semaphore::acquire_many", async move || {
            drop(free.acquire_many(2).await);
        })
        .await;
    let free = semaphore.clone();
    beside
        .endless("sync::semaphore::acquire_owned", async move || {
            drop(free.clone().acquire_owned().await);
        })
        .await;
    beside
        .endless("sync::semaphore::acquire_many_owned", async move || {
            drop(semaphore.clone().acquire_many_owned(3).await);
        })
        .await;
    let mutex = Mutex::new(0);
    beside.endless("sync::mutex::lock", async move || *mutex.lock().await += 1).await;
    let mutex = Rc::new(Mutex::new(0));
    beside
        .endless("sync::mutex::lock_owned", async move || *mutex.clone().lock_owned().await += 1)
        .await;
    let notify = Notify::new();
    beside
        .endless("sync::notify::notified", async move || {
            notify.notify_one();
            notify.notified().await;
        })
        .await;
    beside
        .endless("sync::oneshot::Receiver", async || {
            let (sender, receiver) = oneshot::channel();
            sender.send(1).expect("the receiver is there");
            receiver.await.expect("it was sent");
        })
        .await;
    beside
        .endless("sync::oneshot::closed", async || {
            let (mut sender, receiver) = oneshot::channel::<u8>();
            drop(receiver);
            sender.closed().await;
        })
        .await;
}
