//! A thread has the shard run a future, and waits for its result.

use std::thread;

use corering::Handle;
use corering::task::JoinError;
use corering::time::{self, Duration};

async fn double(number: u32) -> u32 {
    time::sleep(Duration::from_millis(10)).await;
    2 * number
}

#[corering::main]
pub(crate) async fn main() -> Result<(), JoinError> {
    let shard = Handle::current();
    let thread = thread::spawn(move || shard.block_on(|| double(21)));
    let joined = corering::spawn_blocking(move || thread.join().expect("the thread does not panic"));
    println!("the thread received {}", joined.await??);
    Ok(())
}
