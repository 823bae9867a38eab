//! Three workers share the jobs of a queue.

use std::cell::RefCell;
use std::rc::Rc;

use corering::sync::Queue;
use corering::task::JoinSet;

async fn worker(queue: Rc<Queue<u32>>, done: Rc<RefCell<Vec<u32>>>) {
    while let Some(job) = queue.get().await {
        corering::yield_now().await;
        done.borrow_mut().push(job * job);
        queue.task_done();
    }
}

#[corering::main]
pub(crate) async fn main() {
    let queue = Rc::new(Queue::unbounded());
    let done = Rc::new(RefCell::new(Vec::new()));
    for job in 1..10 {
        queue.try_put(job).expect("the queue is not shut down");
    }
    let mut workers = JoinSet::new();
    for _ in 0..3 {
        workers.spawn(worker(queue.clone(), done.clone()));
    }
    queue.join().await;
    // Dropped, the set aborts the workers, which wait for more.
    drop(workers);
    let mut done = done.take();
    done.sort_unstable();
    println!("{} jobs are done: {done:?}", done.len());
}
