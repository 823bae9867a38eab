//! Three workers share the jobs of a queue.

use std::cell::RefCell;
use std::rc::Rc;

use corering::task::{JoinError, JoinSet};

#[corering::main]
pub(crate) async fn main() -> Result<(), JoinError> {
    let queue: Rc<RefCell<Vec<u32>>> = Rc::new(RefCell::new((1..10).rev().collect()));
    let done = Rc::new(RefCell::new(Vec::new()));
    let mut workers = JoinSet::new();
    for _ in 0..3 {
        let (queue, done) = (queue.clone(), done.clone());
        workers.spawn(async move {
            loop {
                let Some(job) = queue.borrow_mut().pop() else { return };
                corering::yield_now().await;
                done.borrow_mut().push(job * job);
            }
        });
    }
    while let Some(ended) = workers.join_next().await {
        ended?;
    }
    let mut done = done.take();
    done.sort_unstable();
    println!("{} jobs are done: {done:?}", done.len());
    Ok(())
}
