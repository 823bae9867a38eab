//! Channels between shards, and between shards and plain threads: who waits, who is woken, what a drop
//! leaves, and who drops what.

#[allow(dead_code)] // Each test file uses a part.
#[path = "common/net.rs"]
mod net;

use std::cell::Cell;
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::Duration;

use corering::sync::channel::{SendError, TryRecvError, TrySendError};
use corering::sync::shard_channel::{bounded, unbounded};
use corering::{Runtime, Shard, ShardSender, spawn, spawn_blocking, test_support, yield_now};
use futures_util::{FutureExt, SinkExt, StreamExt, stream};
use net::poll_once;

/// Runs two shards on each driver under test.
fn on_two_shards<T: Send, F: Future<Output = T>>(main: impl Fn(Shard) -> F + Send + Sync) {
    for driver in test_support::drivers() {
        let builder = Runtime::builder().driver(driver).shards(2).oversubscribe(true);
        builder.run(&main).expect("shards can be started");
    }
}

/// Values that wait for the first shard that asks for one.
struct Handed<T>(Mutex<Vec<T>>);

impl<T> Handed<T> {
    fn one_for_each_driver(make: impl Fn() -> T) -> Self {
        Handed(Mutex::new(test_support::drivers().iter().map(|_| make()).collect()))
    }

    fn take(&self) -> T {
        self.0.lock().expect("nobody panics with it").pop().expect("one for each driver")
    }
}

#[corering::test]
async fn full_channel_makes_send_wait_for_room() {
    let (sender, mut receiver) = bounded(1);
    sender.send(1).await.expect("the receiver is there");
    let mut second = pin!(sender.send(2));
    assert!(poll_once(&mut second).await.is_pending());
    assert_eq!((sender.len(), sender.capacity()), (1, 1));
    assert_eq!(receiver.recv().await, Some(1));
    second.await.expect("there is room");
    assert_eq!(receiver.recv().await, Some(2));
}

#[corering::test]
async fn senders_get_room_in_order_of_waiting() {
    let (sender, mut receiver) = bounded(1);
    sender.try_send(0).expect("there is room");
    let tasks: Vec<_> = (1..5)
        .map(|number| {
            let sender = sender.clone();
            spawn(async move { sender.send(number).await })
        })
        .collect();
    // Each stands in line.
    yield_now().await;
    for number in 0..5 {
        assert_eq!(receiver.recv().await, Some(number));
        // Who waits has the room, and a newcomer has to go behind.
        assert_eq!(
            sender.try_send(9),
            if number < 4 { Err(TrySendError::Full(9)) } else { Ok(()) }
        );
    }
    for task in tasks {
        task.await.expect("it does not panic").expect("the receiver is there");
    }
}

#[corering::test]
async fn room_of_dropped_send_goes_to_next_sender() {
    let (sender, mut receiver) = bounded(1);
    sender.try_send(0).expect("there is room");
    let mut first = Box::pin(sender.send(1));
    let mut second = Box::pin(sender.send(2));
    let mut third = Box::pin(sender.reserve());
    assert!(poll_once(&mut first).await.is_pending());
    assert!(poll_once(&mut second).await.is_pending());
    assert!(poll_once(&mut third).await.is_pending());
    assert_eq!(receiver.recv().await, Some(0));
    // It was given the room, and never takes it.
    drop(first);
    second.await.expect("there is room");
    assert_eq!(receiver.recv().await, Some(2));
    drop(third);
    sender.try_send(3).expect("nobody waits for the room");
    assert_eq!(receiver.recv().await, Some(3));
}

#[corering::test]
async fn reserved_room_is_kept_until_filled_or_dropped() {
    let (sender, mut receiver) = bounded(1);
    let room = sender.reserve().await.expect("the receiver is there");
    assert_eq!(sender.try_send(1), Err(TrySendError::Full(1)));
    drop(room);
    sender.try_send(2).expect("the room was given back");
    assert_eq!(receiver.recv().await, Some(2));
    let room = sender.reserve().await.expect("the receiver is there");
    receiver.close();
    assert_eq!(room.send(3), Err(SendError(3)));
    assert_eq!(receiver.recv().await, None);
}

#[corering::test]
async fn dropped_receiver_gives_values_of_waiting_sends_back() {
    let (sender, receiver) = bounded(1);
    sender.try_send("in it").expect("there is room");
    let mut send = pin!(sender.send("waits"));
    let mut reserve = pin!(sender.reserve());
    let mut closed = pin!(sender.closed());
    assert!(poll_once(&mut send).await.is_pending());
    assert!(poll_once(&mut reserve).await.is_pending());
    assert!(poll_once(&mut closed).await.is_pending());
    thread::spawn(move || drop(receiver)).join().expect("it does not panic");
    assert_eq!(send.await, Err(SendError("waits")));
    assert_eq!(reserve.await.err(), Some(SendError(())));
    closed.await;
    assert!(sender.is_closed() && sender.is_empty());
    assert_eq!(sender.send("late").await, Err(SendError("late")));
    assert_eq!(sender.try_send("late"), Err(TrySendError::Closed("late")));
}

#[corering::test]
async fn closed_channel_keeps_what_was_sent_before() {
    let (sender, mut receiver) = unbounded();
    sender.send(1).expect("the receiver is there");
    receiver.close();
    assert_eq!(sender.send(2), Err(SendError(2)));
    sender.closed().await;
    assert!(receiver.is_closed());
    assert_eq!(receiver.recv().await, Some(1));
    assert_eq!(receiver.recv().await, None);
}

#[corering::test]
async fn last_sender_that_is_dropped_ends_wait_of_receiver() {
    let (sender, mut receiver) = bounded::<u8>(1);
    let other = sender.clone();
    let mut receive = pin!(receiver.recv());
    assert!(poll_once(&mut receive).await.is_pending());
    drop(other);
    assert!(poll_once(&mut receive).await.is_pending());
    thread::spawn(move || drop(sender)).join().expect("it does not panic");
    assert_eq!(receive.await, None);
}

#[corering::test]
async fn receive_that_is_dropped_leaves_values_and_no_waker() {
    let wakes = Arc::new(Wakes::default());
    let (sender, mut receiver) = unbounded();
    let waker = Waker::from(wakes.clone());
    let mut receive = Box::pin(receiver.recv());
    assert!(receive.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    drop(waker);
    assert_eq!(Arc::strong_count(&wakes), 2, "the channel keeps one");
    drop(receive);
    assert_eq!(Arc::strong_count(&wakes), 1);
    sender.send(1).expect("the receiver is there");
    assert_eq!((wakes.0.load(Ordering::Relaxed), receiver.recv().await), (0, Some(1)));
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[corering::test]
async fn sink_waits_for_room_and_its_close_ends_one_sender() {
    let (sender, mut receiver) = bounded(2);
    let mut sink = sender.clone();
    let feeder = spawn(async move {
        sink.send_all(&mut stream::iter((0..10).map(Ok))).await?;
        sink.close().await?;
        // Closed, it sends no more, by whatever way.
        assert!(sink.send(10).await.is_err() && sink.is_closed());
        assert_eq!(sink.try_send(11), Err(TrySendError::Closed(11)));
        Ok::<_, SendError<()>>(sink)
    });
    let received: Vec<_> = (&mut receiver).take(10).collect().await;
    assert_eq!(received, Vec::from_iter(0..10));
    let _closed = feeder.await.expect("it does not panic").expect("the receiver was there");
    assert!(!sender.is_closed(), "the other one is open");
    drop(sender);
    assert_eq!(receiver.next().await, None);

    let (mut sink, receiver) = unbounded();
    let mut other = sink.clone();
    sink.send_all(&mut stream::iter((0..10).map(Ok))).await.expect("the receiver is there");
    sink.close().await.expect("it can be closed");
    assert_eq!(sink.send(1), Err(SendError(1)));
    other.feed(10).await.expect("the other sender is open");
    drop(other);
    assert_eq!(receiver.collect::<Vec<_>>().await, Vec::from_iter(0..11));
}

#[corering::test]
async fn dropped_sink_gives_its_room_on() {
    for waits in [false, true] {
        let (sender, mut receiver) = bounded(1);
        let mut sink = sender.clone();
        if waits {
            sender.try_send(0).expect("there is room");
            let mut cx = Context::from_waker(Waker::noop());
            assert!(sink.poll_ready_unpin(&mut cx).is_pending());
            assert_eq!(receiver.recv().await, Some(0));
        } else {
            std::future::poll_fn(|cx| sink.poll_ready_unpin(cx)).await.expect("there is room");
        }
        assert_eq!(sender.try_send(1), Err(TrySendError::Full(1)), "the sink has the room");
        drop(sink);
        sender.try_send(2).expect("the room was given back");
        assert_eq!(receiver.recv().await, Some(2));
    }
}

#[test]
fn plain_threads_send_and_receive_by_stopping() {
    for driver in test_support::drivers() {
        let (to_task, mut from_thread) = bounded(1);
        let (to_thread, mut from_task) = bounded(1);
        let thread = thread::spawn(move || {
            for number in 0..100 {
                to_task.blocking_send(number).expect("the task receives");
                assert_eq!(from_task.blocking_recv(), Some(number));
            }
            drop(to_task);
            assert_eq!(from_task.blocking_recv(), None);
        });
        let runtime = Runtime::builder().driver(driver).build().expect("it starts");
        runtime.block_on(async move {
            while let Some(number) = from_thread.recv().await {
                to_thread.send(number).await.expect("the thread receives");
            }
        });
        thread.join().expect("it does not panic");
    }
}

#[test]
fn limit_of_blocking_call_leaves_value_with_its_owner() {
    let (sender, mut receiver) = bounded(1);
    let limit = Duration::from_millis(1);
    assert_eq!(receiver.blocking_recv_timeout(limit), Err(TryRecvError::Empty));
    sender.try_send(1).expect("there is room");
    assert_eq!(sender.blocking_send_timeout(2, limit), Err(TrySendError::Full(2)));
    // Who has given up stands in no line.
    assert_eq!(receiver.blocking_recv_timeout(limit), Ok(1));
    assert_eq!(sender.try_send(3), Ok(()));
    assert_eq!(receiver.blocking_recv_timeout(Duration::MAX), Ok(3));
    drop(receiver);
    assert_eq!(sender.blocking_send_timeout(4, limit), Err(TrySendError::Closed(4)));
    assert_eq!(sender.blocking_send(5), Err(SendError(5)));
}

#[corering::test]
async fn blocking_call_in_runtime_panics_and_names_what_to_await() {
    let (sender, mut receiver) = bounded(1);
    sender.try_send(1).expect("there is room");
    let told = |panic: Box<dyn std::any::Any + Send>| *panic.downcast::<String>().expect("a text");
    let sent = catch_unwind(AssertUnwindSafe(|| sender.blocking_send(2)));
    let text = told(sent.expect_err("it would stop the shard"));
    assert!(text.contains("blocking_send") && text.contains("await send"), "{text}");
    let received = catch_unwind(AssertUnwindSafe(|| receiver.blocking_recv()));
    let text = told(received.expect_err("it would stop the shard"));
    assert!(text.contains("blocking_recv") && text.contains("await recv"), "{text}");
    assert_eq!(receiver.try_recv(), Ok(1), "nothing has changed");
}

#[corering::test]
async fn closure_on_the_pool_may_wait_for_tasks() {
    let (sender, mut receiver) = bounded(1);
    let sum = spawn_blocking(move || {
        let mut sum = 0;
        while let Some(number) = receiver.blocking_recv() {
            sum += number;
        }
        sum
    });
    for number in 0..10 {
        sender.send(number).await.expect("the closure receives");
    }
    drop(sender);
    assert_eq!(sum.await.expect("it does not panic"), 45);
}

#[test]
fn receiver_moves_to_other_shard_between_calls() {
    let channels = Handed::one_for_each_driver(|| bounded(1));
    on_two_shards(|shard| {
        let channels = &channels;
        async move {
            if shard.id() == 1 {
                return;
            }
            let (sender, mut receiver) = channels.take();
            // Its waker is this shard's.
            assert!(receiver.next().now_or_never().is_none());
            let received = shard.submit_to(1, move || async move {
                let mut received = Vec::new();
                while received.len() < 5 {
                    received.extend(receiver.recv().await);
                }
                (received, receiver)
            });
            for number in 0..6 {
                sender.send(number).await.expect("the receiver is there");
            }
            let (received, mut receiver) = received.await.expect("the shard is there");
            assert_eq!(received, [0, 1, 2, 3, 4]);
            assert_eq!(receiver.recv().await, Some(5));
        }
    });
}

#[test]
fn shard_that_ends_gives_values_back_to_waiting_senders() {
    for driver in test_support::drivers() {
        let (sender, receiver) = bounded(1);
        sender.try_send(0).expect("there is room");
        let runtime = Runtime::builder().driver(driver).build().expect("it starts");
        runtime.block_on(async move {
            spawn(async move {
                let _receiver = receiver;
                pending::<()>().await;
            });
            yield_now().await;
        });
        let (on_thread, in_task) = (sender.clone(), sender.clone());
        let thread = thread::spawn(move || on_thread.blocking_send(1));
        let other = thread::spawn(move || {
            let runtime = Runtime::builder().driver(driver).build().expect("it starts");
            runtime.block_on(in_task.send(2))
        });
        drop(runtime);
        assert_eq!(thread.join().expect("it does not panic"), Err(SendError(1)));
        assert_eq!(other.join().expect("it does not panic"), Err(SendError(2)));
        assert!(sender.is_closed());
    }
}

#[test]
fn shard_that_ends_gives_room_of_its_senders_on() {
    for driver in test_support::drivers() {
        let (sender, mut receiver) = bounded(1);
        sender.try_send(0).expect("there is room");
        let runtime = Runtime::builder().driver(driver).build().expect("it starts");
        let waiting = sender.clone();
        runtime.block_on(async move {
            spawn(async move { waiting.send(1).await });
            yield_now().await;
        });
        // The task has the room, and its shard does not run.
        assert_eq!(receiver.blocking_recv(), Some(0));
        assert_eq!(sender.try_send(2), Err(TrySendError::Full(2)));
        let thread = thread::spawn(move || sender.blocking_send(3));
        drop(runtime);
        assert_eq!(receiver.blocking_recv(), Some(3));
        thread.join().expect("it does not panic").expect("the receiver was there");
        assert_eq!(receiver.blocking_recv(), None);
    }
}

#[test]
fn thread_sends_on_after_runtime_of_receiver_has_ended() {
    for driver in test_support::drivers() {
        let (sender, mut receiver) = unbounded();
        let runtime = Runtime::builder().driver(driver).build().expect("it starts");
        runtime.block_on(async { assert!(poll_once(&mut receiver.next()).await.is_pending()) });
        drop(runtime);
        // Its waker is that of a runtime that has ended.
        let thread = thread::spawn(move || sender.send(1));
        thread.join().expect("it does not panic").expect("the receiver is there");
        assert_eq!(receiver.blocking_recv(), Some(1));
        let runtime = Runtime::builder().driver(driver).build().expect("it starts");
        assert_eq!(runtime.block_on(receiver.recv()), None);
    }
}

/// A value that counts its drops, and on which thread they are.
struct Counted {
    drops: Arc<Mutex<Vec<thread::ThreadId>>>,
    panics: bool,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.drops.lock().expect("nobody panics with it").push(thread::current().id());
        assert!(!self.panics, "in the drop of a value");
    }
}

#[corering::test]
async fn values_left_are_dropped_by_thread_that_drops_receiver() {
    let drops = Arc::new(Mutex::new(Vec::new()));
    let (sender, receiver) = bounded(3);
    for _ in 0..3 {
        let value = Counted { drops: drops.clone(), panics: false };
        assert!(sender.try_send(value).is_ok());
    }
    let thread = thread::spawn(move || {
        drop(receiver);
        thread::current().id()
    });
    let there = thread.join().expect("it does not panic");
    assert_eq!(*drops.lock().expect("nobody panics with it"), [there; 3]);
    // What is refused is its sender's.
    assert!(sender.try_send(Counted { drops: drops.clone(), panics: false }).is_err());
    let here = thread::current().id();
    assert_eq!(drops.lock().expect("nobody panics with it").last(), Some(&here));
}

#[corering::test]
async fn panic_in_drop_of_value_reaches_who_drops_it_only() {
    let drops = Arc::new(Mutex::new(Vec::new()));
    let value = |panics| Counted { drops: drops.clone(), panics };
    let (sender, receiver) = bounded(3);
    for number in 0..3 {
        assert!(sender.try_send(value(number == 1)).is_ok());
    }
    let waiting = sender.clone();
    let waits = spawn(async move { waiting.closed().await });
    let full = sender.clone();
    let refused = value(false);
    let send = spawn(async move { full.send(refused).await.is_err() });
    yield_now().await;
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(receiver)));
    assert!(dropped.is_err());
    // The others are dropped, and who waits is woken.
    waits.await.expect("it does not panic");
    assert!(send.await.expect("it does not panic"));
    assert_eq!(drops.lock().expect("nobody panics with it").len(), 4);
    // A sender's own drop leaves the lock usable, too.
    let refused = catch_unwind(AssertUnwindSafe(|| drop(sender.try_send(value(true)))));
    assert!(refused.is_err() && sender.is_closed());
}

/// A waker that comes back to the channel when it is cloned, woken or dropped.
struct ComesBack {
    sender: ShardSender<u8>,
    visits: AtomicUsize,
}

impl Wake for ComesBack {
    fn wake(self: Arc<Self>) {
        self.visits.fetch_add(self.sender.len().max(1), Ordering::Relaxed);
    }
}

impl Drop for ComesBack {
    fn drop(&mut self) {
        self.sender.send(7).expect("the receiver is there");
    }
}

#[corering::test]
async fn wakers_may_come_back_to_channel_they_wait_at() {
    let (sender, mut receiver) = unbounded();
    for _ in 0..2 {
        let comes_back = ComesBack { sender: sender.clone(), visits: AtomicUsize::new(0) };
        let waker = Waker::from(Arc::new(comes_back));
        let mut cx = Context::from_waker(&waker);
        assert!(receiver.poll_next_unpin(&mut cx).is_pending());
    }
    // The second has replaced the first, whose drop has sent and so woken the second.
    assert_eq!((receiver.recv().await, receiver.recv().await), (Some(7), Some(7)));
    sender.send(1).expect("the receiver is there");
    assert_eq!(receiver.recv().await, Some(1));
}

#[test]
fn ends_and_futures_may_go_to_any_thread() {
    fn may_go<T: Send>(_: &T) {}
    let (sender, mut receiver) = bounded::<Cell<u8>>(1);
    may_go(&sender.send(Cell::new(1)));
    may_go(&sender.reserve());
    may_go(&sender.closed());
    may_go(&receiver.recv());
    may_go(&unbounded::<Cell<u8>>().0);
    may_go(&unbounded::<Cell<u8>>().0.closed());
    let text = format!("{sender:?} {receiver:?} {:?}", unbounded::<u8>());
    assert!(
        text.contains("BoundedShardSender { len: 0, capacity: Some(1), closed: false"),
        "{text}"
    );
}
