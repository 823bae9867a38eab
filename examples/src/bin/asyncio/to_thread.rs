//! Lets the loop go on while a thread waits in a blocking call.

use std::sync::mpsc::{self, Receiver};

use corering::task::JoinError;
use corering::time::{self, Duration};

fn blocking(go_on: Receiver<()>) -> &'static str {
    go_on.recv().expect("the loop says when to go on");
    "the blocking call returned"
}

#[corering::main]
pub(crate) async fn main() -> Result<(), JoinError> {
    let (go_on, waits) = mpsc::channel();
    let call = corering::spawn_blocking(move || blocking(waits));
    for step in 0..3 {
        println!("the loop goes on: {step}");
        time::sleep(Duration::from_millis(10)).await;
    }
    go_on.send(()).expect("the call waits");
    println!("{}", call.await?);
    Ok(())
}
