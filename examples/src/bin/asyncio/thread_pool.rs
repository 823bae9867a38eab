//! Computes on a pool of its own, and takes a call back that has not begun.

use std::sync::mpsc;

use corering::task::{JoinError, ThreadPool};

fn squares(end: u64) -> u64 {
    (0..end).map(|number| number * number).sum()
}

#[corering::main]
pub(crate) async fn main() -> Result<(), JoinError> {
    let pool = ThreadPool::builder().threads(1).name("compute").build();
    let (go_on, waits) = mpsc::channel::<()>();
    let first = pool.run(move || waits.recv());
    let second = pool.run(|| squares(1_000));
    let third = pool.run(|| squares(10_000));
    if third.abort() {
        println!("the third call is taken back");
    }
    go_on.send(()).expect("the first call waits");
    let _ = first.await?;
    println!("the sum of squares: {}", second.await?);
    Ok(())
}
