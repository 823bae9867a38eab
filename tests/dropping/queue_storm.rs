//! Tasks that put, tasks that take, and futures of both that are dropped at random moments: each value
//! that was put is taken once, in order, or dropped by the end that was asked for.

use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use corering::sync::channel::{Receiver, Sender, bounded, unbounded};
use corering::sync::{LifoQueue, Order, PriorityQueue, Queue, TaskQueue};
use corering::{JoinHandle, spawn};
use futures_util::StreamExt;

use crate::moments::World;
use crate::net::Random;

const PUTTERS: u64 = 4;
const TAKERS: u64 = 5;
/// Values of a putter.
const VALUES: u64 = 25;

/// A value that knows how many are alive. Its rank is that of many.
struct Value {
    number: u64,
    alive: Rc<Cell<usize>>,
}

impl Drop for Value {
    fn drop(&mut self) {
        self.alive.set(self.alive.get() - 1);
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.number % 3).cmp(&(other.number % 3))
    }
}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Eq for Value {}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

/// What all tasks of a storm share.
struct Storm {
    world: World,
    random: RefCell<Random>,
    alive: Rc<Cell<usize>>,
    put: RefCell<Vec<u64>>,
    taken: RefCell<Vec<u64>>,
    dropped: Cell<usize>,
}

impl Storm {
    fn below(&self, end: usize) -> usize {
        self.random.borrow_mut().below(end)
    }

    fn value(&self, number: u64) -> Value {
        self.alive.set(self.alive.get() + 1);
        Value { number, alive: Rc::clone(&self.alive) }
    }

    fn take(&self, value: Value) {
        self.taken.borrow_mut().push(value.number);
    }

    /// Runs a future to its end, or drops it after some polls.
    async fn run<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let polls = self.below(5);
        if polls == 4 {
            return Some(future.await);
        }
        let mut future = pin!(future);
        for _ in 0..=polls {
            let polled = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
            if let Poll::Ready(output) = polled {
                return Some(output);
            }
            self.world.turn().await;
        }
        self.dropped.set(self.dropped.get() + 1);
        None
    }

    /// Spawns the tasks that put, each with the first of its numbers.
    fn putters<F: Future<Output = ()> + 'static>(
        self: &Rc<Self>,
        put: impl Fn(Rc<Self>, u64) -> F,
    ) -> Vec<JoinHandle<()>> {
        (0..PUTTERS).map(|putter| spawn(put(Rc::clone(self), putter * VALUES))).collect()
    }

    /// What was put was taken or, if some may be, dropped; each putter's values were taken in order.
    fn check(&self, is_in_order: bool, some_are_dropped: bool) {
        let (put, taken) = (self.put.borrow(), self.taken.borrow());
        if is_in_order {
            for putter in 0..PUTTERS {
                let its = taken.iter().filter(|&&number| number / VALUES == putter);
                assert!(its.is_sorted(), "values of {putter} came in another order: {taken:?}");
            }
        }
        let [mut put, mut taken] = [put.clone(), taken.clone()];
        put.sort_unstable();
        taken.sort_unstable();
        if some_are_dropped {
            assert!(taken.is_sorted_by(|one, other| one < other), "a value was taken twice");
            assert!(
                taken.iter().all(|number| put.contains(number)),
                "a value was taken that was never put"
            );
        } else {
            assert_eq!(put, taken, "values were lost or doubled");
            assert!(put.len() > 20, "hardly a value was put");
        }
        assert_eq!(self.alive.get(), 0, "values are alive");
    }
}

async fn send(storm: Rc<Storm>, sender: Sender<Value>, first: u64) {
    for number in first..first + VALUES {
        let value = storm.value(number);
        let sent = match storm.below(4) {
            0 => sender.try_send(value).is_ok(),
            1 => match storm.run(sender.reserve()).await {
                Some(Ok(reserved)) if storm.below(3) > 0 => reserved.send(value).is_ok(),
                _ => false,
            },
            2 => match storm.run(sender.clone().reserve_owned()).await {
                Some(Ok(reserved)) if storm.below(3) > 0 => reserved.send(value).is_ok(),
                _ => false,
            },
            _ => matches!(storm.run(sender.send(value)).await, Some(Ok(()))),
        };
        if sent {
            storm.put.borrow_mut().push(number);
        }
        if storm.below(4) == 0 {
            storm.world.turn().await;
        }
    }
}

async fn receive(storm: Rc<Storm>, mut receiver: Receiver<Value>) {
    loop {
        let received = match storm.below(5) {
            0 => storm.run(receiver.next()).await,
            1 => {
                let mut values = Vec::new();
                let count = storm.run(receiver.recv_many(&mut values, 3)).await;
                values.into_iter().for_each(|value| storm.take(value));
                count.filter(|&count| count == 0).map(|_| None)
            }
            2 => receiver.try_recv().ok().map(Some),
            // Its place in the line goes with it.
            3 => {
                receiver = receiver.clone();
                None
            }
            _ => storm.run(receiver.recv()).await,
        };
        match received {
            Some(Some(value)) => storm.take(value),
            Some(None) => return,
            None => storm.world.turn().await,
        }
    }
}

async fn channel(storm: &Rc<Storm>, (sender, receiver): (Sender<Value>, Receiver<Value>)) {
    let takers: Vec<_> =
        (0..TAKERS).map(|_| spawn(receive(Rc::clone(storm), receiver.clone()))).collect();
    let receiving = spawn(receive(Rc::clone(storm), receiver.clone()));
    let putters = storm.putters(|storm, first| send(storm, sender.clone(), first));
    drop(sender);
    // The other ones go on without it, at whatever it was.
    storm.world.turn().await;
    receiving.abort();
    drop(receiver);
    for task in putters.into_iter().chain(takers) {
        task.await.expect("it does not panic");
    }
    let _ = receiving.await;
    storm.check(true, false);
}

async fn put<O: Order<Value>>(storm: Rc<Storm>, queue: Rc<TaskQueue<Value, O>>, first: u64) {
    for number in first..first + VALUES {
        let value = storm.value(number);
        let put = match storm.below(3) {
            0 => queue.try_put(value).is_ok(),
            _ => matches!(storm.run(queue.put(value)).await, Some(Ok(()))),
        };
        if put {
            storm.put.borrow_mut().push(number);
        }
        if storm.below(4) == 0 {
            storm.world.turn().await;
        }
    }
}

async fn get<O: Order<Value>>(storm: Rc<Storm>, queue: Rc<TaskQueue<Value, O>>) {
    loop {
        let got = match storm.below(3) {
            0 => queue.try_get().ok().map(Some),
            _ => storm.run(queue.get()).await,
        };
        match got {
            Some(Some(value)) => {
                storm.take(value);
                queue.task_done();
            }
            Some(None) => return,
            None => storm.world.turn().await,
        }
    }
}

async fn queue<O: Order<Value> + 'static>(storm: &Rc<Storm>, queue: TaskQueue<Value, O>) {
    let queue = Rc::new(queue);
    let is_in_order = format!("{queue:?}").starts_with("Queue");
    let takers: Vec<_> =
        (0..TAKERS).map(|_| spawn(get(Rc::clone(storm), Rc::clone(&queue)))).collect();
    let putters = storm.putters(|storm, first| put(storm, Rc::clone(&queue), first));
    let is_immediate = storm.below(4) == 0;
    if is_immediate {
        for _ in 0..storm.below(20) {
            storm.world.turn().await;
        }
        queue.shutdown(true);
        queue.join().await;
        assert!(queue.is_empty());
    }
    for task in putters {
        task.await.expect("it does not panic");
    }
    while storm.run(queue.join()).await.is_none() {}
    assert!(queue.is_empty());
    queue.shutdown(false);
    for task in takers {
        task.await.expect("it does not panic");
    }
    storm.check(is_in_order, is_immediate);
}

/// A storm of one kind, which the number chooses. Gives how many futures were dropped.
pub(crate) async fn storm(number: u64, world: World) -> usize {
    let storm = Rc::new(Storm {
        world,
        random: RefCell::new(Random(number)),
        alive: Rc::default(),
        put: RefCell::default(),
        taken: RefCell::default(),
        dropped: Cell::new(0),
    });
    match number % 6 {
        0 => channel(&storm, bounded(3)).await,
        1 => channel(&storm, unbounded()).await,
        2 => queue(&storm, Queue::new(2)).await,
        3 => queue(&storm, PriorityQueue::new(3)).await,
        4 => queue(&storm, PriorityQueue::unbounded()).await,
        _ => queue(&storm, LifoQueue::new(2)).await,
    }
    storm.dropped.get()
}
