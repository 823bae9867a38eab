//! Rows of queues, and of channels with several receivers.

use std::cell::Cell;
use std::rc::Rc;

use corering::sync::channel::{bounded, unbounded};
use corering::sync::{LifoQueue, Order, PriorityQueue, Queue, TaskQueue};
use corering::{JoinHandle, yield_now};

use crate::moments::{Boxed, Moment, World, drop_at};

/// The rows of taking at one moment, of one that takes.
pub(crate) async fn keep_values(world: &World, moment: Moment) {
    let row = "Receiver::recv_many";
    let (sender, mut receiver) = unbounded();
    let mut received = Vec::new();
    for number in 0..4 {
        let sent = Cell::new(false);
        let send = || {
            if !sent.replace(true) {
                sender.try_send(number).expect("the receiver is there");
            }
        };
        let receive = receiver.recv_many(&mut received, 2);
        let _ = drop_at(world, moment, Box::pin(receive), async || send()).await;
        send();
    }
    while received.len() < 4 {
        receiver.recv_many(&mut received, 2).await;
    }
    assert_eq!(received, [0, 1, 2, 3], "{row}, {moment:?}");
    keep_all(world, moment, &Queue::unbounded()).await;
    keep_all(world, moment, &PriorityQueue::new(4)).await;
    keep_all(world, moment, &LifoQueue::new(4)).await;
}

async fn keep_all<O: Order<u8>>(world: &World, moment: Moment, queue: &TaskQueue<u8, O>) {
    let row = "TaskQueue::get";
    let mut got = Vec::new();
    for number in 0..4 {
        let put = Cell::new(false);
        let put = || {
            if !put.replace(true) {
                queue.try_put(number).expect("it is open");
            }
        };
        let value = drop_at(world, moment, Box::pin(queue.get()), async || put()).await;
        got.extend(value.flatten());
        put();
    }
    while got.len() < 4 {
        got.extend(queue.get().await);
    }
    got.sort_unstable();
    assert_eq!(got, [0, 1, 2, 3], "{row}, {queue:?}, {moment:?}");
}

/// The same of two that take: what one was promised when it is dropped, the other gets, which waits
/// behind it.
pub(crate) async fn pass_values_on(world: &World, moment: Moment) {
    let (sender, receiver) = bounded(1);
    let (mut dropped, other) = (receiver.clone(), Cell::new(Some(receiver)));
    let wait = || {
        let mut other = other.take()?;
        Some(corering::spawn(async move { other.recv().await }))
    };
    let row = "Receiver::recv";
    let take = Box::pin(dropped.recv());
    passes_on(world, moment, row, take, wait, || _ = sender.try_send(1)).await;

    let queue = Rc::new(Queue::new(1));
    let waits = Cell::new(true);
    let wait = || {
        let queue = Rc::clone(&queue);
        waits.take().then(|| corering::spawn(async move { queue.get().await }))
    };
    let row = "TaskQueue::get";
    let take = Box::pin(queue.get());
    passes_on(world, moment, row, take, wait, || _ = queue.try_put(1)).await;
}

async fn passes_on(
    world: &World,
    moment: Moment,
    row: &str,
    take: Boxed<'_, Option<u8>>,
    wait: impl Fn() -> Option<JoinHandle<Option<u8>>>,
    put: impl Fn(),
) {
    let mut other = None;
    let provoke = async || {
        other = wait();
        yield_now().await;
        put();
    };
    let taken = drop_at(world, moment, take, provoke).await.flatten();
    let is_provoked = other.is_some();
    let other = other.or_else(wait).expect("the other has not waited");
    // The value of the other, if the first was not put, or was taken.
    if !is_provoked || taken.is_some() {
        put();
    }
    assert_eq!(other.await.expect("it does not panic"), Some(1), "{row}, {moment:?}");
}

/// The rows of putting at one moment.
pub(crate) async fn put_or_not(world: &World, moment: Moment) {
    let row = "TaskQueue::put";
    let queue = PriorityQueue::new(1);
    queue.try_put(1).expect("there is room");
    let first = Cell::new(None);
    let take = async || first.set(queue.try_get().ok());
    let put = drop_at(world, moment, Box::pin(queue.put(2)), take).await.is_some();
    let mut all: Vec<u8> = first.take().into_iter().collect();
    all.extend(std::iter::from_fn(|| queue.try_get().ok()));
    let expected: &[u8] = if put { &[1, 2] } else { &[1] };
    assert_eq!(all, expected, "{row}, {moment:?}");
    queue.try_put(3).expect("there is room again");

    let row = "Sender::reserve_owned";
    let (sender, mut receiver) = bounded(1);
    sender.try_send(1).expect("there is room");
    let reserve: Boxed<'_, _> = Box::pin(sender.clone().reserve_owned());
    let take = async || _ = receiver.try_recv();
    let reserved = drop_at(world, moment, reserve, take).await;
    let reserved = reserved.map(|reserved| reserved.expect("the receiver is there"));
    assert_eq!(sender.strong_count(), 1 + usize::from(reserved.is_some()), "{row}, {moment:?}");
    drop(reserved);
    let _ = receiver.try_recv();
    sender.try_send(2).expect("there is room again");
}

/// The row of joining at one moment.
pub(crate) async fn are_joined(world: &World, moment: Moment) {
    let row = "TaskQueue::join";
    let queue = Rc::new(Queue::new(1));
    queue.try_put(1).expect("there is room");
    let finish = || {
        if queue.try_get().is_ok() {
            queue.task_done();
        }
    };
    let other = corering::spawn({
        let queue = Rc::clone(&queue);
        async move { queue.join().await }
    });
    let joined = drop_at(world, moment, Box::pin(queue.join()), async || finish()).await;
    assert!(joined.is_none() || queue.is_empty(), "{row}, {moment:?}");
    finish();
    other.await.expect("it does not panic");
}
