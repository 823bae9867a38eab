//! Queues and channels of a running shard: a pool of workers, and wakers that spawn.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use corering::sync::{PriorityQueue, Queue, channel};
use corering::{spawn, yield_now};

#[corering::test]
async fn pool_of_workers_deals_with_all_and_is_joined() {
    let queue = Rc::new(Queue::new(3));
    let done = Rc::new(RefCell::new(Vec::new()));
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let (queue, done) = (queue.clone(), done.clone());
            spawn(async move {
                while let Some(job) = queue.get().await {
                    yield_now().await;
                    done.borrow_mut().push(job);
                    queue.task_done();
                }
            })
        })
        .collect();
    for job in 0..100 {
        queue.put(job).await.expect("the queue is open");
    }
    queue.join().await;
    assert_eq!(done.borrow().len(), 100, "all was done before the join ended");
    queue.shutdown(false);
    for worker in workers {
        worker.await.expect("it does not panic");
    }
    done.borrow_mut().sort_unstable();
    assert_eq!(*done.borrow(), (0..100).collect::<Vec<_>>());
}

#[corering::test]
async fn workers_that_are_aborted_leave_their_jobs_to_the_others() {
    for _ in 0..50 {
        let (sender, receiver) = channel::bounded(1);
        let received = Rc::new(Cell::new(0));
        let worker = || {
            let (mut jobs, received) = (receiver.clone(), received.clone());
            spawn(async move {
                while let Some(job) = jobs.recv().await {
                    received.set(received.get() + job);
                }
            })
        };
        let (aborted, stays) = (worker(), worker());
        yield_now().await;
        // It wakes the first, which has waited longest, and does not run any more.
        sender.try_send(7).expect("there is room");
        aborted.abort();
        assert!(aborted.await.expect_err("it was aborted").is_cancelled());
        drop((sender, receiver));
        stays.await.expect("it does not panic");
        assert_eq!(received.get(), 7);
    }
}

/// What the waker below uses.
#[derive(Clone)]
struct Shared {
    queue: Rc<PriorityQueue<u32>>,
    sender: channel::Sender<u32>,
}

thread_local! {
    /// Beside the waker, which can go to any thread, as a queue cannot.
    static SHARED: RefCell<Option<Shared>> = const { RefCell::new(None) };
}

/// Spawns a task when it is woken, which puts a value, and puts one itself.
struct Spawning(Waker);

impl Wake for Spawning {
    fn wake(self: Arc<Self>) {
        let shared = SHARED.with_borrow(|shared| shared.clone());
        let Shared { queue, sender } = shared.expect("it is set");
        queue.try_put(2).expect("there is always room");
        sender.try_send(2).expect("there is always room");
        drop(spawn(async move {
            queue.put(3).await.expect("the queue is open");
            sender.send(3).await.expect("the channel is open");
        }));
        self.0.wake_by_ref();
    }
}

#[corering::test]
async fn waker_that_spawns_is_woken_by_queues_and_channels() {
    let queue = Rc::new(PriorityQueue::unbounded());
    let (sender, receiver) = channel::unbounded();
    SHARED.set(Some(Shared { queue: queue.clone(), sender: sender.clone() }));
    let own = std::future::poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
    let waker = Waker::from(Arc::new(Spawning(own)));
    let cx = &mut Context::from_waker(&waker);
    // One receiver waits without a line, two wait in one.
    for receivers in [vec![receiver.clone()], vec![receiver.clone(), receiver]] {
        let mut receivers = receivers;
        let mut gets = [Box::pin(queue.get()), Box::pin(queue.get())];
        let mut receives: Vec<_> =
            receivers.iter_mut().map(|receiver| Box::pin(receiver.recv())).collect();
        for get in &mut gets {
            assert!(get.as_mut().poll(cx).is_pending());
        }
        for receive in &mut receives {
            assert!(receive.as_mut().poll(cx).is_pending());
        }
        queue.try_put(1).expect("there is always room");
        sender.try_send(1).expect("there is always room");
        for _ in 0..3 {
            yield_now().await;
        }
        for get in &mut gets {
            assert!(get.as_mut().poll(cx).is_ready());
        }
        for receive in &mut receives {
            assert!(receive.as_mut().poll(cx).is_ready());
        }
        drop((gets, receives));
        while queue.try_get().is_ok() {}
        while receivers[0].try_recv().is_ok() {}
    }
    SHARED.take();
}
