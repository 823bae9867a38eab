//! Runs three tasks as a group. One fails, and the others end for it.

use corering::task::JoinSet;
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
    Err("out of luck".into())
}

#[corering::main]
pub(crate) async fn main() {
    let mut group = JoinSet::new();
    group.spawn(work());
    group.spawn(work());
    group.spawn(fail());
    let mut failed = None;
    while let Some(ended) = group.join_next().await {
        if let Ok(Err(error)) = ended {
            group.abort_all();
            failed = Some(error);
        }
    }
    println!("failed: {}", failed.expect("one fails"));
}
