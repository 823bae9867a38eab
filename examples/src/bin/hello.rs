//! Three tasks that sleep and print. They share one thread, and the program takes as long as the
//! longest of them.

use std::pin::pin;
use std::time::Duration;

use corering::{signal, time};
use futures_util::future::{join_all, select};

#[corering::main]
async fn main() {
    let tasks = [("first", 300), ("second", 200), ("third", 100)].map(|(name, millis)| {
        corering::spawn(async move {
            time::sleep(Duration::from_millis(millis)).await;
            println!("hello from the {name} task, after {millis} ms");
        })
    });
    // Ctrl-C ends it early.
    select(join_all(tasks), pin!(signal::shutdown())).await;
}
