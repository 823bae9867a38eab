//! Runs three tasks as a group. One fails, and the others end for it.

use corering::task::TaskGroup;
use corering::time::{self, Duration};

/// Prints when it is dropped, at whatever moment of its work.
struct CleanUp;

impl Drop for CleanUp {
    fn drop(&mut self) {
        println!("work is cleaned up");
    }
}

async fn work() -> Result<(), String> {
    let _clean_up = CleanUp;
    time::sleep(Duration::from_secs(3600)).await;
    Ok(())
}

async fn fail() -> Result<(), String> {
    time::sleep(Duration::from_millis(10)).await;
    Err("out of luck".to_owned())
}

#[corering::main]
pub(crate) async fn main() {
    let group = TaskGroup::new();
    group.spawn(|_| work());
    group.spawn(|_| work());
    group.spawn(|_| fail());
    let failed = group.join().await.expect_err("one fails");
    println!("failed: {}", failed.first());
}
