//! A thread has the shard run a future, and waits for its result.

use std::sync::mpsc;
use std::thread;

use corering::time::{self, Duration};

async fn double(number: u32) -> u32 {
    time::sleep(Duration::from_millis(10)).await;
    2 * number
}

#[corering::main]
pub(crate) async fn main() {
    let (questions, mut asked) = corering::shard_channel();
    let thread = thread::spawn(move || {
        let (answer, answered) = mpsc::channel();
        questions.send((21, answer)).expect("the shard listens");
        println!("the thread received {}", answered.recv().expect("the shard answers"));
    });
    while let Some((number, answer)) = asked.recv().await {
        // The thread may have ended, and wants no answer then.
        let _ = answer.send(double(number).await);
    }
    thread.join().expect("the thread ends by itself");
}
